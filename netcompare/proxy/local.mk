# SPDX-License-Identifier: GPL-2.0-or-later
sbin_PROGRAMS += colo-proxy
colo_proxy_SOURCES = \
	netcompare/proxy/awake.h netcompare/proxy/awake.c \
	netcompare/proxy/backlog.h netcompare/proxy/backlog.c \
	netcompare/proxy/colo-proxy.c \
	netcompare/proxy/config.h netcompare/proxy/config.c \
	netcompare/proxy/control.c \
	netcompare/proxy/divergence.h netcompare/proxy/divergence.c \
	netcompare/proxy/gather.h netcompare/proxy/gather.c \
	netcompare/proxy/fetcher.h netcompare/proxy/fetcher.c \
	netcompare/proxy/mirror.h netcompare/proxy/mirror.c \
	netcompare/proxy/partial.h netcompare/proxy/partial.c \
	netcompare/proxy/peers.h netcompare/proxy/peers.c \
	netcompare/proxy/inbound.h netcompare/proxy/inbound.c \
	netcompare/proxy/nudge.h netcompare/proxy/nudge.c \
	netcompare/proxy/primary.c \
	netcompare/proxy/proxy.h netcompare/proxy/proxy.c \
	netcompare/proxy/recent.h netcompare/proxy/recent.c \
	netcompare/proxy/resend.h netcompare/proxy/resend.c \
	netcompare/proxy/digests.h netcompare/proxy/digests.c \
	netcompare/proxy/secondary.h netcompare/proxy/secondary.c \
	netcompare/proxy/stats.h netcompare/proxy/stats.c \
	netcompare/proxy/takeover.c \
	netcompare/proxy/unheard.h netcompare/proxy/unheard.c
colo_proxy_LDADD = libcololink.la libcolocompare.la libcolorewrite.la \
	libcolocapture.la libcolohost.la libcolopacket.la libcoloft.la \
	$(PCAP_LIBS) $(COMMON_LIBS)
