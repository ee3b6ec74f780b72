# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of colo/common/
EXTRA_DIST += tests/valgrind.supp
COMMON_TESTS = \
	tests/common/test-histogram \
	tests/common/test-log \
	tests/common/test-options \
	tests/common/test-qmp-client \
	tests/common/test-qmp-load \
	tests/common/test-qmp-server \
	tests/common/test-sockaddr
check_PROGRAMS += $(COMMON_TESTS)
TESTS += $(COMMON_TESTS)

CAPTURE = tests/common/capture.c tests/common/capture.h
RAW_PEER = tests/common/raw-peer.c tests/common/raw-peer.h

tests_common_test_histogram_SOURCES = tests/common/test-histogram.c
tests_common_test_histogram_LDADD = $(UNIT_LIBS) -lm

tests_common_test_log_SOURCES = tests/common/test-log.c $(CAPTURE)
tests_common_test_log_LDADD = $(UNIT_LIBS)

tests_common_test_options_SOURCES = tests/common/test-options.c $(CAPTURE)
tests_common_test_options_LDADD = $(UNIT_LIBS)

tests_common_test_qmp_client_SOURCES = \
	tests/common/test-qmp-client.c $(RAW_PEER)
tests_common_test_qmp_client_LDADD = $(UNIT_LIBS)

QMP_FIXTURE = tests/common/qmp-fixture.c tests/common/qmp-fixture.h $(RAW_PEER)
tests_common_test_qmp_load_SOURCES = \
	tests/common/test-qmp-load.c $(QMP_FIXTURE)
tests_common_test_qmp_load_LDADD = $(UNIT_LIBS)

tests_common_test_qmp_server_SOURCES = \
	tests/common/test-qmp-server.c $(QMP_FIXTURE)
tests_common_test_qmp_server_LDADD = $(UNIT_LIBS)

tests_common_test_sockaddr_SOURCES = \
	tests/common/test-sockaddr.c $(RAW_PEER)
tests_common_test_sockaddr_LDADD = $(UNIT_LIBS)
