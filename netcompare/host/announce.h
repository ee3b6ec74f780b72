/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Telling the network where a guest is now: gratuitous ARP (RFC 5227) and
 * unsolicited neighbour advertisements (RFC 4861, 7.2.6).
 *
 * The addresses are learned from what the guest sends and what is sent to it.
 * A guest that forwards has packets with the addresses of others, so those
 * that it says are its own count first: see announce.c.
 */
#ifndef COLO_NET_ANNOUNCE_H
#define COLO_NET_ANNOUNCE_H

#include <glib.h>

/* Addresses of one interface; older ones give way. */
#define NET_ANNOUNCE_MAX 64

typedef struct NetAddresses NetAddresses;
NetAddresses *net_addresses_new(void);
void net_addresses_free(NetAddresses *a);

/*
 * Learn from a frame.  from_guest: its source is the guest's; otherwise its
 * destination is, if it is unicast.  Multicast, unspecified and, for IPv6,
 * tentative addresses (duplicate address detection) are not learned.  A VLAN
 * tag (or two) is learned with the address.
 */
void net_addresses_learn(NetAddresses *a, const guint8 *frame, gsize len,
                         gboolean from_guest);

/* The MAC addresses learned; returns how many, at most max. */
guint net_addresses_macs(const NetAddresses *a, guint8 (*macs)[6], guint max);

/*
 * Call emit with each frame of one round: for every address a gratuitous ARP
 * request and reply, or a neighbour advertisement; for a MAC without any, a
 * RARP request, as QEMU sends.  They are meant for everybody but the guest.
 */
void net_addresses_announce(const NetAddresses *a,
                            void (*emit)(const guint8 *frame, gsize len,
                                         gpointer user),
                            gpointer user);

/* How long to wait before round n (0, 1, ...), ms; -1: that was the last. */
int net_announce_delay(guint round);

#endif
