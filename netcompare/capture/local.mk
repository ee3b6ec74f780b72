# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolocapture.la
libcolocapture_la_SOURCES = \
	netcompare/capture/nfqueue.h \
	netcompare/capture/nfqueue-private.h \
	netcompare/capture/nfqueue.c \
	netcompare/capture/nfqueue-read.c \
	netcompare/capture/nfqueue-verdict.c \
	netcompare/capture/tap.h \
	netcompare/capture/tap-private.h \
	netcompare/capture/tap.c \
	netcompare/capture/tap-read.c \
	netcompare/capture/tap-send.c \
	netcompare/capture/vnet.c \
	netcompare/capture/waiting.h \
	netcompare/capture/waiting.c
libcolocapture_la_LIBADD = libcolopacket.la $(NFQ_LIBS) $(MNL_LIBS) $(PCAP_LIBS)
