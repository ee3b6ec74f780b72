# SPDX-License-Identifier: GPL-2.0-or-later
# libcolopacket.la, for its buffers, comes after this one where it is linked.
noinst_LTLIBRARIES += libcololink.la
libcololink_la_SOURCES = \
	netcompare/link/wire.h netcompare/link/wire.c netcompare/link/hello.c \
	netcompare/link/wire-digest.c \
	netcompare/link/reader.h netcompare/link/reader.c \
	netcompare/link/queue.h netcompare/link/queue.c \
	netcompare/link/connect.h netcompare/link/connect.c \
	netcompare/link/link.h netcompare/link/link-priv.h \
	netcompare/link/link.c netcompare/link/link-conn.c \
	netcompare/link/link-listen.c
