/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of a guest's address.  Used by announce*.c only. */
#ifndef COLO_NET_ANNOUNCE_ENTRY_H
#define COLO_NET_ANNOUNCE_ENTRY_H

#include "netcompare/host/announce.h"

#define ANNOUNCE_TAGS      2
#define ANNOUNCE_FRAME_MAX 128

typedef enum { ANNOUNCE_MAC, ANNOUNCE_IPV4, ANNOUNCE_IPV6 } AnnounceFamily;

/* Who says that the guest has an address; the higher ones count */
typedef enum {
    ANNOUNCE_OTHERS, /* somebody sends to it */
    ANNOUNCE_SENT, /* the guest sends with it, and seems to be the first hop */
    ANNOUNCE_OWN,  /* the guest says so by ARP or neighbour discovery */
} AnnounceTrust;

typedef struct AnnounceEntry {
    guint8 mac[6];
    guint8 n_tags; /* of VLANs, the outer one first */
    guint8 tags[ANNOUNCE_TAGS][4]; /* as in the frame, without the priority */
    AnnounceFamily family;
    guint8 addr[16]; /* IPv4: the first four; ANNOUNCE_MAC: zero */
    AnnounceTrust trust;
    gboolean router; /* IPv6: it says of itself that it is one */
    guint64 seen;    /* grows with each frame */
} AnnounceEntry;

/* They return the length; frame has room for ANNOUNCE_FRAME_MAX bytes. */
gsize announce_arp(guint8 *frame, const AnnounceEntry *e, gboolean reply);
gsize announce_rarp(guint8 *frame, const AnnounceEntry *e);
gsize announce_na(guint8 *frame, const AnnounceEntry *e);

#endif
