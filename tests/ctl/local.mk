# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of colo/ctl/
check_PROGRAMS += tests/ctl/test-coloctl
TESTS += tests/ctl/test-coloctl
tests_ctl_test_coloctl_SOURCES = tests/ctl/test-coloctl.c \
	tests/ctl/fake-colod.h tests/ctl/fake-colod.c
tests_ctl_test_coloctl_LDADD = $(UNIT_LIBS)

dist_check_SCRIPTS += tests/ctl/test-coloctl-colod.sh
TESTS += tests/ctl/test-coloctl-colod.sh

# coloctl disk; stores that are made for it, and a real nbdkit
check_PROGRAMS += store-make
store_make_SOURCES = tests/tools/store-make.c
store_make_LDADD = libcolostore.la $(COMMON_LIBS)
dist_check_SCRIPTS += tests/ctl/test-coloctl-disk.sh
TESTS += tests/ctl/test-coloctl-disk.sh
tests/ctl/test-coloctl-disk.log: nbdkit-colo-plugin.la store-make qmp-send
