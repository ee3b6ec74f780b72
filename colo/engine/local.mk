# SPDX-License-Identifier: GPL-2.0-or-later
sbin_PROGRAMS += colod
colod_SOURCES = \
	colo/engine/colod.c \
	colo/engine/config.h colo/engine/config.c \
	colo/engine/config-disks.h colo/engine/config-disks.c \
	colo/engine/control.h colo/engine/control.c \
	colo/engine/engine.h colo/engine/engine.c \
	colo/engine/fence.c \
	colo/engine/heartbeat.h colo/engine/heartbeat.c \
	colo/engine/mailbox.h colo/engine/mailbox.c \
	colo/engine/primary.h colo/engine/primary.c \
	colo/engine/primary-checkpoint.c \
	colo/engine/primary-copy.c \
	colo/engine/primary-disks.c \
	colo/engine/primary-link.c \
	colo/engine/primary-output.c \
	colo/engine/primary-session.c \
	colo/engine/proxy.h colo/engine/proxy.c \
	colo/engine/replica-states.h colo/engine/replica-states.c \
	colo/engine/run-state.h colo/engine/run-state.c \
	colo/engine/secondary.h colo/engine/secondary.c \
	colo/engine/secondary-disks.c \
	colo/engine/secondary-link.c \
	colo/engine/secondary-load.c \
	colo/engine/secondary-session.c colo/engine/secondary-takeover.c \
	colo/engine/served-disks.c \
	colo/engine/status.h colo/engine/status.c
colod_LDADD = libcolodiskserver.la libcolostore.la libcoloattach.la \
	libcolovm.la libcolotracker.la libcoloft.la $(COMMON_LIBS)
