# SPDX-License-Identifier: GPL-2.0-or-later
check_PROGRAMS += tests/proxy/test-inbound
TESTS += tests/proxy/test-inbound
tests_proxy_test_inbound_SOURCES = tests/proxy/test-inbound.c \
	netcompare/proxy/backlog.h netcompare/proxy/backlog.c \
	netcompare/proxy/inbound.h netcompare/proxy/inbound.c
tests_proxy_test_inbound_LDADD = libcolopacket.la $(COMMON_LIBS)
