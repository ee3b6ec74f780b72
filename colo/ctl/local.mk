# SPDX-License-Identifier: GPL-2.0-or-later
bin_PROGRAMS += coloctl
coloctl_SOURCES = \
	colo/ctl/ctl.h \
	colo/ctl/coloctl.c \
	colo/ctl/ctl-ask.c \
	colo/ctl/ctl-disk.h \
	colo/ctl/ctl-disk.c \
	colo/ctl/ctl-disk-lock.c \
	colo/ctl/ctl-disk-merge.c \
	colo/ctl/ctl-events.c \
	colo/ctl/ctl-json.c \
	colo/ctl/ctl-proxy.c \
	colo/ctl/ctl-stats.c \
	colo/ctl/ctl-status.c \
	colo/ctl/ctl-text.c
coloctl_LDADD = libcolostore.la $(COMMON_LIBS)
