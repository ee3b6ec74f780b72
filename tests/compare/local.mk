# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of netcompare/compare/
COMPARE_TESTS = \
	tests/compare/test-compare-tcp \
	tests/compare/test-compare-epochs \
	tests/compare/test-compare-datagrams \
	tests/compare/test-compare-bounds \
	tests/compare/test-compare-digests \
	tests/compare/test-compare-streams \
	tests/compare/test-compare-pcap
check_PROGRAMS += $(COMPARE_TESTS)
TESTS += $(COMPARE_TESTS)
COMPARE_TEST_LIBS = libcolocompare.la libcolopacket.la $(UNIT_LIBS)
COMPARE_SCRIPT = \
	tests/compare/build.h tests/compare/build.c \
	tests/compare/script.h tests/compare/script.c

tests_compare_test_compare_tcp_SOURCES = \
	tests/compare/test-compare-tcp.c $(COMPARE_SCRIPT)
tests_compare_test_compare_tcp_LDADD = $(COMPARE_TEST_LIBS)
tests_compare_test_compare_epochs_SOURCES = \
	tests/compare/test-compare-epochs.c $(COMPARE_SCRIPT)
tests_compare_test_compare_epochs_LDADD = $(COMPARE_TEST_LIBS)
tests_compare_test_compare_datagrams_SOURCES = \
	tests/compare/test-compare-datagrams.c $(COMPARE_SCRIPT)
tests_compare_test_compare_datagrams_LDADD = $(COMPARE_TEST_LIBS)
tests_compare_test_compare_bounds_SOURCES = \
	tests/compare/test-compare-bounds.c $(COMPARE_SCRIPT)
tests_compare_test_compare_bounds_LDADD = $(COMPARE_TEST_LIBS)
tests_compare_test_compare_digests_SOURCES = \
	tests/compare/test-compare-digests.c $(COMPARE_SCRIPT)
tests_compare_test_compare_digests_LDADD = $(COMPARE_TEST_LIBS)
COMPARE_MODEL = \
	tests/compare/build.h tests/compare/build.c \
	tests/compare/model.h tests/compare/model-internal.h \
	tests/compare/model.c tests/compare/model-guests.c \
	tests/compare/model-oracle.c
tests_compare_test_compare_streams_SOURCES = \
	tests/compare/test-compare-streams.c $(COMPARE_MODEL)
tests_compare_test_compare_streams_LDADD = $(COMPARE_TEST_LIBS)
tests_compare_test_compare_pcap_SOURCES = tests/compare/test-compare-pcap.c
tests_compare_test_compare_pcap_LDADD = $(COMPARE_TEST_LIBS) $(PCAP_LIBS)
EXTRA_DIST += tests/compare/pcap

# How fast it is; run by hand: tests/bench/compare-speed
check_PROGRAMS += tests/bench/compare-speed
tests_bench_compare_speed_SOURCES = tests/bench/compare-speed.c \
	tests/compare/build.h tests/compare/build.c
tests_bench_compare_speed_LDADD = $(COMPARE_TEST_LIBS)
