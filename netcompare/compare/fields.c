/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a datagram is compared.
 *
 * Its flow has addresses, protocol and ports in its key.  Of the rest all
 * bytes count but those that say how, not what: of IPv4 id, fragment bits,
 * TTL, TOS and checksum; of IPv6 traffic class, flow label, hop limit and the
 * fragment header; the checksum of UDP and ICMP.  DSCP is one of them: it
 * asks the network for a quality and reaches no application.  IP options and
 * extension headers count, and what lies behind a UDP datagram.
 *
 * An ICMP error quotes a packet, with numbers that may differ; of that only
 * addresses and ports count.
 */
#include "netcompare/compare/internal.h"

#include <netinet/in.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    MAX_PIECES = 10,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    FRAGMENT_HEADER = 8,
    ICMP_HEADER = 8,
};

typedef struct Pieces {
    const guint8 *at[MAX_PIECES];
    guint32 len[MAX_PIECES];
    guint n;
    guint headers; /* how many of them are of IP */
} Pieces;

static void add(Pieces *x, const NetPacket *p, guint32 from, guint32 to)
{
    if (from < to && x->n < MAX_PIECES) {
        x->at[x->n] = p->data + from;
        x->len[x->n++] = to - from;
    }
}

/* The parser has found all of them whole. */
static void add_extensions(Pieces *x, const NetPacket *p)
{
    guint8 next = p->data[6];
    guint32 at = IPV6_HEADER, from = at;

    while (at < p->l4 && p->l4 - at >= 8) {
        const guint8 *h = p->data + at;

        if (next == IPPROTO_FRAGMENT) {
            add(x, p, from, at);
            at += FRAGMENT_HEADER;
            from = at;
        } else if (next == IPPROTO_AH) {
            at += (h[1] + 2u) * 4;
        } else {
            at += (h[1] + 1u) * 8;
        }
        next = h[0];
    }
    add(x, p, from, p->l4);
}

static gboolean is_error(const NetPacket *p)
{
    guint8 type = p->data[p->l4];

    if (p->key.proto == IPPROTO_ICMPV6) {
        return type < 128;
    }
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static gboolean has_ports(guint8 proto)
{
    return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
           proto == IPPROTO_UDPLITE || proto == IPPROTO_SCTP ||
           proto == IPPROTO_DCCP;
}

/* The packet quoted from at on, which is cut anywhere. */
static void add_quoted(Pieces *x, const NetPacket *p, guint32 at)
{
    const guint8 *q = p->data + at;
    guint32 left = p->len - at, l4;
    guint8 proto;

    if (p->key.proto == IPPROTO_ICMP && left >= IPV4_HEADER) {
        proto = q[9];
        l4 = (q[0] & 15) * 4u;
        add(x, p, at + 9, at + 10);
        add(x, p, at + 12, at + 20);
        if (net_get16(q + 6) & 0x1fff) {
            return; /* not the first fragment */
        }
    } else if (p->key.proto == IPPROTO_ICMPV6 && left >= IPV6_HEADER) {
        proto = q[6];
        l4 = IPV6_HEADER;
        add(x, p, at + 6, at + 7);
        add(x, p, at + 8, at + 40);
    } else {
        add(x, p, at, p->len);
        return;
    }
    if (has_ports(proto) && l4 <= left && left - l4 >= 4) {
        add(x, p, at + l4, at + l4 + 4);
    }
}

/* Without the 16 bits at check. */
static void add_summed(Pieces *x, const NetPacket *p, guint32 check)
{
    add(x, p, p->l4, p->l4 + check);
    add(x, p, p->l4 + check + 2, p->len);
}

static void add_transport(Pieces *x, const NetPacket *p)
{
    guint32 size = p->len - p->l4;

    switch (p->key.proto) {
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        if (size >= 8) {
            add_summed(x, p, 6);
            return;
        }
        break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        if (size >= ICMP_HEADER && is_error(p)) {
            add(x, p, p->l4, p->l4 + 2);               /* type and code */
            add(x, p, p->l4 + 4, p->l4 + ICMP_HEADER); /* MTU, pointer */
            add_quoted(x, p, p->l4 + ICMP_HEADER);
            return;
        }
        if (size >= 4) {
            add_summed(x, p, 2);
            return;
        }
        break;
    default:
        break;
    }
    add(x, p, p->l4, p->len);
}

static void split(Pieces *x, const NetPacket *p)
{
    x->n = 0;
    if (p->key.ethertype == 0x0800 && p->l4 >= IPV4_HEADER) {
        add(x, p, IPV4_HEADER, p->l4);
    } else if (p->key.ethertype == 0x86dd && p->l4 >= IPV6_HEADER) {
        add_extensions(x, p);
    } else {
        add(x, p, 0, p->len);
        x->headers = 0;
        return;
    }
    x->headers = x->n;
    add_transport(x, p);
}

guint64 cmp_fields_hash(const NetPacket *p)
{
    guint64 hash = 0;
    Pieces x;

    split(&x, p);
    for (guint i = 0; i < x.n; i++) {
        hash = XXH3_64bits_withSeed(x.at[i], x.len[i], hash);
    }
    return hash;
}

static gboolean same_piece(const Pieces *x, const Pieces *y, guint i)
{
    return x->len[i] == y->len[i] && !memcmp(x->at[i], y->at[i], x->len[i]);
}

gboolean cmp_fields_equal(const NetPacket *a, const NetPacket *b)
{
    Pieces x, y;

    split(&x, a);
    split(&y, b);
    if (x.n != y.n || x.headers != y.headers) {
        return FALSE;
    }
    for (guint i = 0; i < x.n; i++) {
        if (!same_piece(&x, &y, i)) {
            return FALSE;
        }
    }
    return TRUE;
}

NetCause cmp_fields_cause(const NetPacket *a, const NetPacket *b)
{
    Pieces x, y;

    split(&x, a);
    split(&y, b);
    if (x.headers != y.headers) {
        return NET_CAUSE_HEADER;
    }
    for (guint i = 0; i < x.headers; i++) {
        if (!same_piece(&x, &y, i)) {
            return NET_CAUSE_HEADER;
        }
    }
    return a->len - a->l4 != b->len - b->l4 ? NET_CAUSE_LENGTH
                                            : NET_CAUSE_PAYLOAD;
}
