# SPDX-License-Identifier: GPL-2.0-or-later
#
# The test guest, the hosts of the tests, and the tools of shell tests.  The
# guests are built by scripts/mkguest (for their own machine), not by make.
EXTRA_DIST += scripts/mkguest \
	tests/functions.sh tests/guest-functions.sh tests/hosts.sh \
	tests/guest/chain.h tests/guest/chain-step.h tests/guest/guest.h \
	tests/guest/colo-guest.c tests/guest/guest-chain.c \
	tests/guest/guest-load.c tests/guest/guest-net.c \
	tests/guest/guest-service.c tests/guest/guest-service.h \
	tests/guest/guest-http.c tests/guest/guest-disk.c tests/guest/service.h \
	tests/guest/tiny.c tests/guest/tiny-machine.c tests/guest/tiny.h \
	tests/guest/tiny.lds

# In the build folder itself, where ./run finds them
check_PROGRAMS += chain-check unix-send qmp-send tcp-hold ram-tear
chain_check_SOURCES = tests/guest/chain-check.c tests/guest/chain.h
unix_send_SOURCES = tests/tools/unix-send.c
qmp_send_SOURCES = tests/tools/qmp-send.c
qmp_send_LDADD = $(COMMON_LIBS)
tcp_hold_SOURCES = tests/tools/tcp-hold.c
ram_tear_SOURCES = tests/tools/ram-tear.c
ram_tear_LDADD = $(COMMON_LIBS)

dist_check_SCRIPTS += tests/guest/test-chain-check.sh \
	tests/guest/test-mkguest.sh tests/guest/test-guest.sh \
	tests/test-hosts.sh
TESTS += tests/guest/test-chain-check.sh tests/guest/test-mkguest.sh \
	tests/guest/test-guest.sh tests/test-hosts.sh
