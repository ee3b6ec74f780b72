# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of netcompare/packet/; libpacketbuild.la builds packets for others, too
PACKET_TESTS = \
	tests/packet/test-packet \
	tests/packet/test-fields \
	tests/packet/test-key \
	tests/packet/test-checksum \
	tests/packet/test-buf \
	tests/packet/test-digest
check_PROGRAMS += $(PACKET_TESTS)
TESTS += $(PACKET_TESTS)
check_LTLIBRARIES += libpacketbuild.la
libpacketbuild_la_SOURCES = tests/packet/build.h tests/packet/build.c
PACKET_TEST_LIBS = libpacketbuild.la libcolopacket.la $(UNIT_LIBS)

tests_packet_test_packet_SOURCES = tests/packet/test-packet.c
tests_packet_test_packet_LDADD = $(PACKET_TEST_LIBS)
tests_packet_test_fields_SOURCES = tests/packet/test-fields.c
tests_packet_test_fields_LDADD = $(PACKET_TEST_LIBS)
tests_packet_test_key_SOURCES = tests/packet/test-key.c
tests_packet_test_key_LDADD = $(PACKET_TEST_LIBS)
tests_packet_test_checksum_SOURCES = tests/packet/test-checksum.c
tests_packet_test_checksum_LDADD = $(PACKET_TEST_LIBS)
tests_packet_test_digest_SOURCES = tests/packet/test-digest.c
tests_packet_test_digest_LDADD = libcolopacket.la $(UNIT_LIBS)
tests_packet_test_buf_SOURCES = tests/packet/test-buf.c
tests_packet_test_buf_LDADD = libcolopacket.la $(UNIT_LIBS)

# By hand: ns for each packet
check_PROGRAMS += tests/bench/packet-speed
tests_bench_packet_speed_SOURCES = tests/bench/packet-speed.c
tests_bench_packet_speed_LDADD = libpacketbuild.la libcolorewrite.la \
	libcolopacket.la $(UNIT_LIBS)
