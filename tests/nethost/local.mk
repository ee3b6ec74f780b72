# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of netcompare/host/
NETHOST_TESTS = \
	tests/nethost/test-netdev \
	tests/nethost/test-cut \
	tests/nethost/test-join \
	tests/nethost/test-ports \
	tests/nethost/test-rules-text \
	tests/nethost/test-rules \
	tests/nethost/test-announce \
	tests/nethost/test-announce-net
check_PROGRAMS += $(NETHOST_TESTS)
dist_check_SCRIPTS += tests/nethost/test-colo-net.sh
TESTS += $(NETHOST_TESTS) tests/nethost/test-colo-net.sh
NETHOST_LIBS = libcolohost.la $(UNIT_LIBS)
NETNS = tests/nethost/netns.c tests/nethost/netns.h

tests_nethost_test_netdev_SOURCES = tests/nethost/test-netdev.c $(NETNS)
tests_nethost_test_netdev_LDADD = $(NETHOST_LIBS)

tests_nethost_test_cut_SOURCES = tests/nethost/test-cut.c $(NETNS)
tests_nethost_test_cut_LDADD = $(NETHOST_LIBS)

tests_nethost_test_join_SOURCES = tests/nethost/test-join.c $(NETNS)
tests_nethost_test_join_LDADD = $(NETHOST_LIBS)

tests_nethost_test_ports_SOURCES = tests/nethost/test-ports.c $(NETNS)
tests_nethost_test_ports_LDADD = $(NETHOST_LIBS)

tests_nethost_test_rules_text_SOURCES = tests/nethost/test-rules-text.c
tests_nethost_test_rules_text_LDADD = $(NETHOST_LIBS)
tests_nethost_test_rules_SOURCES = tests/nethost/test-rules.c $(NETNS)
tests_nethost_test_rules_LDADD = $(NETHOST_LIBS)

tests_nethost_test_announce_SOURCES = tests/nethost/test-announce.c $(NETNS)
tests_nethost_test_announce_LDADD = $(NETHOST_LIBS)
tests_nethost_test_announce_net_SOURCES = \
	tests/nethost/test-announce-net.c $(NETNS)
tests_nethost_test_announce_net_LDADD = $(NETHOST_LIBS)
