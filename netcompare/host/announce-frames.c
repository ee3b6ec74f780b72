/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frames by which the network learns where a guest is: gratuitous ARP
 * (RFC 5227, 3), unsolicited neighbour advertisements (RFC 4861, 7.2.6), and
 * for a guest whose address is not known RARP requests (RFC 903).
 */
#include "config.h"

#include <string.h>

#include "netcompare/host/announce-entry.h"

#define MIN_FRAME 60 /* without the frame check sequence */

static const guint8 everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static gsize put(guint8 *frame, gsize at, const void *data, gsize len)
{
    memcpy(frame + at, data, len);
    return at + len;
}

static gsize put16(guint8 *frame, gsize at, guint16 v)
{
    frame[at] = (guint8)(v >> 8);
    frame[at + 1] = (guint8)v;
    return at + 2;
}

static gsize put_ethernet(guint8 *frame, const AnnounceEntry *e,
                          const guint8 dst[6], guint16 type)
{
    gsize at = 0;

    memset(frame, 0, ANNOUNCE_FRAME_MAX);
    at = put(frame, at, dst, 6);
    at = put(frame, at, e->mac, 6);
    at = put(frame, at, e->tags, e->n_tags * sizeof e->tags[0]);
    return put16(frame, at, type);
}

/* ARP and RARP of Ethernet and IPv4; the target's hardware address is target */
static gsize put_arp(guint8 *frame, const AnnounceEntry *e, guint16 type,
                     guint16 op, const guint8 target[6])
{
    gsize at = put_ethernet(frame, e, everybody, type);

    at = put16(frame, at, 1);
    at = put16(frame, at, 0x0800);
    frame[at++] = 6;
    frame[at++] = 4;
    at = put16(frame, at, op);
    at = put(frame, at, e->mac, 6);
    at = put(frame, at, e->addr, 4);
    at = put(frame, at, target, 6);
    at = put(frame, at, e->addr, 4);
    return MAX(at, MIN_FRAME);
}

gsize announce_arp(guint8 *frame, const AnnounceEntry *e, gboolean reply)
{
    static const guint8 unknown[6];

    return reply ? put_arp(frame, e, 0x0806, 2, e->mac)
                 : put_arp(frame, e, 0x0806, 1, unknown);
}

gsize announce_rarp(guint8 *frame, const AnnounceEntry *e)
{
    return put_arp(frame, e, 0x8035, 3, e->mac);
}

/* Of the ICMPv6 message at p and its pseudo-header (RFC 8200, 8.1) */
static guint16 icmpv6_checksum(const guint8 *ip, const guint8 *p, gsize len)
{
    guint32 sum = 58 + (guint32)len;

    for (gsize i = 8; i < 40; i += 2) {
        sum += (guint32)ip[i] << 8 | ip[i + 1];
    }
    for (gsize i = 0; i < len; i += 2) {
        sum += (guint32)p[i] << 8 | p[i + 1];
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (guint16)~sum;
}

gsize announce_na(guint8 *frame, const AnnounceEntry *e)
{
    static const guint8 all_nodes[16] = {0xff, 2, [15] = 1};
    static const guint8 all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    const guint16 icmp_len = 32;
    gsize ip = put_ethernet(frame, e, all_nodes_mac, 0x86dd), icmp;
    gsize at = ip;

    frame[at] = 0x60;
    put16(frame, at + 4, icmp_len);
    frame[at + 6] = 58;
    frame[at + 7] = 255;
    at = put(frame, at + 8, e->addr, 16);
    at = put(frame, at, all_nodes, 16);

    icmp = at;
    frame[at] = 136;
    /* Override what is known; a router that says no more that it is one
     * would be taken from its neighbours' lists */
    frame[at + 4] = (guint8)(0x20 | (e->router ? 0x80 : 0));
    at = put(frame, at + 8, e->addr, 16);
    frame[at++] = 2; /* target's link-layer address, 8 bytes */
    frame[at++] = 1;
    at = put(frame, at, e->mac, 6);
    put16(frame, icmp + 2, icmpv6_checksum(frame + ip, frame + icmp, icmp_len));
    return at;
}
