# SPDX-License-Identifier: GPL-2.0-or-later
# Clients of the test guest; in the build folder itself, where ./run finds it.
check_PROGRAMS += net-client
net_client_SOURCES = \
	tests/net/session.h \
	tests/net/session.c \
	tests/net/protocol.c \
	tests/net/datagram.c \
	tests/net/disk.c \
	tests/net/report.c \
	tests/net/net-client.c
net_client_LDADD = $(UNIT_LIBS) -lm

NET_TESTS = tests/net/test-net-client tests/net/test-service
check_PROGRAMS += $(NET_TESTS)
TESTS += $(NET_TESTS)
tests_net_test_net_client_SOURCES = tests/net/test-net-client.c
tests_net_test_net_client_LDADD = librig.la $(UNIT_LIBS)
tests_net_test_service_SOURCES = tests/net/test-service.c
tests_net_test_service_LDADD = librig.la $(UNIT_LIBS)
