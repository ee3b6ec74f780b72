# SPDX-License-Identifier: GPL-2.0-or-later
bin_PROGRAMS += coloctl
coloctl_SOURCES = \
	colo/ctl/ctl.h \
	colo/ctl/coloctl.c \
	colo/ctl/ctl-ask.c \
	colo/ctl/ctl-events.c \
	colo/ctl/ctl-json.c \
	colo/ctl/ctl-proxy.c \
	colo/ctl/ctl-stats.c \
	colo/ctl/ctl-status.c
coloctl_LDADD = $(COMMON_LIBS)
