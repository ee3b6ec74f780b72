# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of colo/common/
COMMON_TESTS = \
	tests/common/test-qmp-client
check_PROGRAMS += $(COMMON_TESTS)
TESTS += $(COMMON_TESTS)

tests_common_test_qmp_client_SOURCES = tests/common/test-qmp-client.c \
	tests/common/raw-peer.c tests/common/raw-peer.h
tests_common_test_qmp_client_LDADD = $(UNIT_LIBS)
