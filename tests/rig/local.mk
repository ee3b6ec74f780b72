# SPDX-License-Identifier: GPL-2.0-or-later
# Two hosts with real guests, for tests/engine/ and tests/bench/.
check_LTLIBRARIES += librig.la
librig_la_SOURCES = \
	tests/rig/rig.h \
	tests/rig/rig.c \
	tests/rig/client.c \
	tests/rig/colod.c \
	tests/rig/disk.c \
	tests/rig/guest.c \
	tests/rig/hosts.c \
	tests/rig/proxy.c \
	tests/rig/qmp.c \
	tests/rig/spawn.c
