# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolocompare.la
libcolocompare_la_SOURCES = \
	netcompare/compare/compare.h netcompare/compare/internal.h \
	netcompare/compare/list.h netcompare/compare/compare.c \
	netcompare/compare/epoch.c netcompare/compare/hold.c \
	netcompare/compare/cause.c netcompare/compare/flow.c \
	netcompare/compare/tcp.c netcompare/compare/tcp-syn.c \
	netcompare/compare/tcp-seen.c netcompare/compare/tcp-window.c \
	netcompare/compare/tcp-digest.c \
	netcompare/compare/datagram.c netcompare/compare/fields.c \
	netcompare/compare/frag.c
libcolocompare_la_LIBADD = libcolopacket.la
