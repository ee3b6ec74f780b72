# SPDX-License-Identifier: GPL-2.0-or-later
check_PROGRAMS += tests/proxy/test-awake
TESTS += tests/proxy/test-awake
tests_proxy_test_awake_SOURCES = tests/proxy/test-awake.c \
	netcompare/proxy/awake.h netcompare/proxy/awake.c
tests_proxy_test_awake_LDADD = $(COMMON_LIBS)

check_PROGRAMS += tests/proxy/test-inbound
TESTS += tests/proxy/test-inbound
tests_proxy_test_inbound_SOURCES = tests/proxy/test-inbound.c \
	netcompare/proxy/backlog.h netcompare/proxy/backlog.c \
	netcompare/proxy/inbound.h netcompare/proxy/inbound.c
tests_proxy_test_inbound_LDADD = libcolopacket.la $(COMMON_LIBS)

check_PROGRAMS += tests/proxy/test-peers
TESTS += tests/proxy/test-peers
tests_proxy_test_peers_SOURCES = tests/proxy/test-peers.c \
	netcompare/proxy/peers.h netcompare/proxy/peers.c
tests_proxy_test_peers_LDADD = libpacketbuild.la libcolopacket.la $(UNIT_LIBS)

# Namespaces, as root; else skipped
check_PROGRAMS += tests/proxy/test-partial
TESTS += tests/proxy/test-partial
tests_proxy_test_partial_SOURCES = tests/proxy/test-partial.c \
	netcompare/proxy/partial.h netcompare/proxy/partial.c \
	netcompare/proxy/peers.h netcompare/proxy/peers.c
tests_proxy_test_partial_LDADD = libcolohost.la $(CAPTURE_TEST_LIBS)
