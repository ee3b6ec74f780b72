# SPDX-License-Identifier: GPL-2.0-or-later
#
# The test guest: scripts/mkguest builds it (static, as its /init), not make.
EXTRA_DIST += scripts/mkguest \
	tests/guest/chain.h tests/guest/guest.h \
	tests/guest/colo-guest.c tests/guest/guest-chain.c \
	tests/guest/guest-load.c
