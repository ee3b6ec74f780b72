# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolohost.la
libcolohost_la_SOURCES = \
	netcompare/host/netdev.h netcompare/host/netdev.c \
	netcompare/host/netlink.h netcompare/host/netlink.c \
	netcompare/host/ports.h netcompare/host/ports.c \
	netcompare/host/cut.c netcompare/host/join.c \
	netcompare/host/sysctl.h netcompare/host/sysctl.c \
	netcompare/host/announce.h netcompare/host/announce.c \
	netcompare/host/announce-entry.h netcompare/host/announce-frames.c \
	netcompare/host/run.h netcompare/host/run.c \
	netcompare/host/rules.h netcompare/host/rules.c \
	netcompare/host/rules-text.h netcompare/host/rules-text.c
libcolohost_la_LIBADD = $(NL_LIBS)
