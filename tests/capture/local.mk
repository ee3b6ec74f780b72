# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of netcompare/capture/: namespaces, as root; else they are skipped.
CAPTURE_TESTS = \
	tests/capture/test-tap \
	tests/capture/test-vnet \
	tests/capture/test-waiting \
	tests/capture/test-nfqueue \
	tests/capture/test-nfqueue-load
check_PROGRAMS += $(CAPTURE_TESTS) tests/bench/nfq-accept
TESTS += $(CAPTURE_TESTS)

check_LTLIBRARIES += libcapturenet.la
libcapturenet_la_SOURCES = tests/capture/net.h tests/capture/net.c \
	tests/capture/queue.h tests/capture/queue.c \
	tests/capture/taps.h tests/capture/taps.c tests/capture/taps-frames.c
CAPTURE_TEST_LIBS = libcapturenet.la libpacketbuild.la libcolocapture.la \
	$(UNIT_LIBS)

tests_capture_test_tap_SOURCES = tests/capture/test-tap.c
tests_capture_test_tap_LDADD = $(CAPTURE_TEST_LIBS)
tests_capture_test_vnet_SOURCES = tests/capture/test-vnet.c
tests_capture_test_vnet_LDADD = libcolocapture.la $(UNIT_LIBS)
tests_capture_test_waiting_SOURCES = tests/capture/test-waiting.c
tests_capture_test_waiting_LDADD = libcolocapture.la $(UNIT_LIBS)
tests_capture_test_nfqueue_SOURCES = tests/capture/test-nfqueue.c
tests_capture_test_nfqueue_LDADD = $(CAPTURE_TEST_LIBS)
tests_capture_test_nfqueue_load_SOURCES = tests/capture/test-nfqueue-load.c
tests_capture_test_nfqueue_load_LDADD = $(CAPTURE_TEST_LIBS)

tests_bench_nfq_accept_SOURCES = tests/bench/nfq-accept.c
tests_bench_nfq_accept_LDADD = libcolocapture.la $(UNIT_LIBS)
