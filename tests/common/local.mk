# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of colo/common/
COMMON_TESTS = \
	tests/common/test-qmp-client \
	tests/common/test-qmp-server
check_PROGRAMS += $(COMMON_TESTS)
TESTS += $(COMMON_TESTS)

RAW_PEER = tests/common/raw-peer.c tests/common/raw-peer.h
tests_common_test_qmp_client_SOURCES = \
	tests/common/test-qmp-client.c $(RAW_PEER)
tests_common_test_qmp_client_LDADD = $(UNIT_LIBS)
tests_common_test_qmp_server_SOURCES = \
	tests/common/test-qmp-server.c $(RAW_PEER)
tests_common_test_qmp_server_LDADD = $(UNIT_LIBS)
