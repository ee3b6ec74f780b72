# SPDX-License-Identifier: GPL-2.0-or-later
# colo-proxy with real guests and real clients.
PROXY_GUEST_TESTS = \
	tests/proxy/test-proxy-closed \
	tests/proxy/test-proxy-faults \
	tests/proxy/test-proxy-parts \
	tests/proxy/test-proxy-takeover \
	tests/proxy/test-proxy-windows
check_PROGRAMS += $(PROXY_GUEST_TESTS)
TESTS += $(PROXY_GUEST_TESTS)

PROXY_LOAD = tests/proxy/load.h tests/proxy/load.c
PROXY_GUEST_LIBS = librig.la $(UNIT_LIBS)
tests_proxy_test_proxy_closed_SOURCES = \
	tests/proxy/test-proxy-closed.c $(PROXY_LOAD)
tests_proxy_test_proxy_closed_LDADD = $(PROXY_GUEST_LIBS)
tests_proxy_test_proxy_faults_SOURCES = \
	tests/proxy/test-proxy-faults.c $(PROXY_LOAD)
tests_proxy_test_proxy_faults_LDADD = $(PROXY_GUEST_LIBS)
tests_proxy_test_proxy_parts_SOURCES = \
	tests/proxy/test-proxy-parts.c $(PROXY_LOAD)
tests_proxy_test_proxy_parts_LDADD = $(PROXY_GUEST_LIBS)
tests_proxy_test_proxy_takeover_SOURCES = \
	tests/proxy/test-proxy-takeover.c $(PROXY_LOAD)
tests_proxy_test_proxy_takeover_LDADD = $(PROXY_GUEST_LIBS)
tests_proxy_test_proxy_windows_SOURCES = \
	tests/proxy/test-proxy-windows.c $(PROXY_LOAD)
tests_proxy_test_proxy_windows_LDADD = $(PROXY_GUEST_LIBS)

check_PROGRAMS += tests/proxy/test-nudge
TESTS += tests/proxy/test-nudge
tests_proxy_test_nudge_SOURCES = tests/proxy/test-nudge.c \
	netcompare/proxy/nudge.h netcompare/proxy/nudge.c
tests_proxy_test_nudge_LDADD = libpacketbuild.la libcolopacket.la $(UNIT_LIBS)

check_PROGRAMS += tests/proxy/test-resend
TESTS += tests/proxy/test-resend
tests_proxy_test_resend_SOURCES = tests/proxy/test-resend.c \
	netcompare/proxy/recent.h netcompare/proxy/recent.c \
	netcompare/proxy/resend.h netcompare/proxy/resend.c
tests_proxy_test_resend_LDADD = libpacketbuild.la libcolopacket.la $(UNIT_LIBS)

check_PROGRAMS += tests/proxy/test-gather
TESTS += tests/proxy/test-gather
tests_proxy_test_gather_SOURCES = tests/proxy/test-gather.c \
	netcompare/proxy/gather.h netcompare/proxy/gather.c
tests_proxy_test_gather_LDADD = $(UNIT_LIBS)
