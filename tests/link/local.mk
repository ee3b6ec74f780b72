# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of netcompare/link/
LINK_TESTS = \
	tests/link/test-wire \
	tests/link/test-reader \
	tests/link/test-link \
	tests/link/test-link-faults \
	tests/link/test-link-order \
	tests/link/test-link-rate
check_PROGRAMS += $(LINK_TESTS)
TESTS += $(LINK_TESTS)
LINK_LIBS = libcololink.la libcolopacket.la
LINK_TEST_LIBS = $(LINK_LIBS) $(UNIT_LIBS)
LINK_FIXTURE = tests/link/link-fixture.c tests/link/link-fixture.h

tests_link_test_wire_SOURCES = tests/link/test-wire.c
tests_link_test_wire_LDADD = $(LINK_TEST_LIBS)
tests_link_test_reader_SOURCES = tests/link/test-reader.c $(LINK_FIXTURE)
tests_link_test_reader_LDADD = $(LINK_TEST_LIBS)
tests_link_test_link_SOURCES = tests/link/test-link.c $(LINK_FIXTURE) \
	$(CAPTURE) $(RAW_PEER)
tests_link_test_link_LDADD = $(LINK_TEST_LIBS)
tests_link_test_link_faults_SOURCES = tests/link/test-link-faults.c \
	$(LINK_FIXTURE) $(CAPTURE)
tests_link_test_link_faults_LDADD = $(LINK_TEST_LIBS)
tests_link_test_link_order_SOURCES = tests/link/test-link-order.c \
	$(LINK_FIXTURE)
tests_link_test_link_order_LDADD = $(LINK_TEST_LIBS)
tests_link_test_link_rate_SOURCES = tests/link/test-link-rate.c \
	$(LINK_FIXTURE) $(RAW_PEER)
tests_link_test_link_rate_LDADD = $(LINK_TEST_LIBS)
