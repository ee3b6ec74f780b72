/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a takeover: clients are told that the path was interrupted. */
#include "netcompare/proxy/nudge.h"
#include "netcompare/packet/checksum.h"

#include <string.h>

#define ETHERNET_MAX (6 + 6 + 4 + 4 + 2) /* two VLAN tags */
#define IPV4_HEADER  20
#define IPV6_HEADER  40
#define ICMP_HEADER  8
#define QUOTED       8 /* of TCP: ports and sequence number */
#define FRAME_MAX    (ETHERNET_MAX + 2 * IPV6_HEADER + ICMP_HEADER + QUOTED)

#define ICMP_UNREACHABLE   3
#define ICMP_HOST          1
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_NO_ROUTE    0
#define PROTO_ICMP         1
#define PROTO_TCP          6
#define PROTO_ICMPV6       58
#define HOPS               64

/* Doublings that are undone: more than there are in the time of a takeover. */
#define TIMES 3

enum { ACKED, LAST, FIRST, BEFORE, N_PLACES };

typedef struct Flow {
    NetKey key;                    /* the client's direction */
    guint8 ethernet[ETHERNET_MAX]; /* as the client sends */
    guint8 ethernet_len;
    gint64 seen_us;
    guint32 place[N_PLACES]; /* in the client's stream */
    gboolean known[N_PLACES];
} Flow;

struct Nudges {
    guint max_flows;
    GHashTable *flows; /* NetKey in Flow: Flow */
    GHashTable *callers; /* of these flows: NetKey without the client's port;
                            NULL: to be made */
};

Nudges *nudges_new(guint max_flows)
{
    Nudges *n = g_new0(Nudges, 1);

    n->max_flows = max_flows;
    n->flows = g_hash_table_new_full(net_key_hash, net_key_equal, NULL, g_free);
    return n;
}

static void forget_callers(Nudges *n)
{
    g_clear_pointer(&n->callers, g_hash_table_unref);
}

void nudges_free(Nudges *n)
{
    if (n) {
        forget_callers(n);
        g_hash_table_unref(n->flows);
        g_free(n);
    }
}

static void set(Flow *f, int place, guint32 seq)
{
    f->place[place] = seq;
    f->known[place] = TRUE;
}

static gboolean parse(NetPacket *p, const guint8 *frame, gsize len)
{
    return net_packet_parse_frame(p, frame, len, 0) == NET_KIND_TCP;
}

void nudges_inbound(Nudges *n, const guint8 *frame, gsize len, gint64 now_us)
{
    NetPacket p;
    gsize ethernet;
    Flow *f;

    if (!parse(&p, frame, len)) {
        return;
    }
    /* One that only begins is refused by such a message. */
    if (p.flags & (NET_TCP_RST | NET_TCP_SYN)) {
        g_hash_table_remove(n->flows, &p.key);
        return;
    }
    ethernet = (gsize)(p.data - frame);
    f = g_hash_table_lookup(n->flows, &p.key);
    if (!f) {
        if (g_hash_table_size(n->flows) >= n->max_flows ||
            ethernet > ETHERNET_MAX) {
            return;
        }
        forget_callers(n);
        f = g_new0(Flow, 1);
        f->key = p.key;
        g_hash_table_insert(n->flows, &f->key, f);
    }
    memcpy(f->ethernet, frame, MIN(ethernet, ETHERNET_MAX));
    f->ethernet_len = (guint8)MIN(ethernet, ETHERNET_MAX);
    f->seen_us = now_us;
    set(f, LAST, p.seq + p.payload_len + !!(p.flags & NET_TCP_FIN));
    if (!f->known[FIRST] || net_seq_lt(p.seq, f->place[FIRST])) {
        set(f, FIRST, p.seq);
    }
}

void nudges_outbound(Nudges *n, const guint8 *frame, gsize len)
{
    NetPacket p;
    NetKey client;
    Flow *f;

    if (!parse(&p, frame, len)) {
        return;
    }
    client = net_key_reverse(&p.key);
    f = g_hash_table_lookup(n->flows, &client);
    if (!f) {
        return;
    }
    if (p.flags & NET_TCP_RST) {
        g_hash_table_remove(n->flows, &client);
    } else if (p.flags & NET_TCP_ACK) {
        set(f, ACKED, p.ack);
    }
}

void nudges_capture(Nudges *n)
{
    GHashTableIter i;
    gpointer value;

    g_hash_table_iter_init(&i, n->flows);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        Flow *f = value;

        f->place[BEFORE] = f->place[FIRST];
        f->known[BEFORE] = f->known[FIRST];
        f->known[FIRST] = FALSE;
    }
}

static NetKey caller(const NetKey *client)
{
    NetKey k = *client;

    k.sport = 0;
    return k;
}

static void make_callers(Nudges *n)
{
    GHashTableIter i;
    gpointer key;

    n->callers =
        g_hash_table_new_full(net_key_hash, net_key_equal, g_free, NULL);
    g_hash_table_iter_init(&i, n->flows);
    while (g_hash_table_iter_next(&i, &key, NULL)) {
        NetKey k = caller(key);

        g_hash_table_add(n->callers, g_memdup2(&k, sizeof(k)));
    }
}

gboolean nudges_know(Nudges *n, const guint8 *frame, gsize len)
{
    NetPacket p;
    NetKey k;

    if (!parse(&p, frame, len)) {
        return FALSE;
    }
    if (!(p.flags & NET_TCP_SYN) || p.flags & NET_TCP_ACK) {
        return g_hash_table_contains(n->flows, &p.key);
    }
    if (!n->callers) {
        make_callers(n);
    }
    k = caller(&p.key);
    return g_hash_table_contains(n->callers, &k);
}

void nudges_expire(Nudges *n, gint64 idle_us, gint64 now_us)
{
    GHashTableIter i;
    gpointer value;

    forget_callers(n);
    g_hash_table_iter_init(&i, n->flows);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        if (now_us - ((Flow *)value)->seen_us > idle_us) {
            g_hash_table_iter_remove(&i);
        }
    }
}

/* --- The message ---------------------------------------------------------- */

static void put_ip(guint8 *at, gboolean v6, const guint8 *src,
                   const guint8 *dst, guint8 proto, gsize payload)
{
    if (v6) {
        at[0] = 0x60;
        net_put16(at + 4, (guint16)payload);
        at[6] = proto;
        at[7] = HOPS;
        memcpy(at + 8, src, 16);
        memcpy(at + 24, dst, 16);
        return;
    }
    at[0] = 0x45;
    net_put16(at + 2, (guint16)(IPV4_HEADER + payload));
    at[8] = HOPS;
    at[9] = proto;
    memcpy(at + 12, src, 4);
    memcpy(at + 16, dst, 4);
    net_put16(at + 10, net_sum_fold(net_sum(at, IPV4_HEADER, 0)));
}

/* What the client sent is quoted as if it had been this segment. */
static gsize put_message(guint8 *out, const Flow *f, guint32 seq)
{
    const NetKey *k = &f->key;
    gboolean v6 = k->ethertype == 0x86dd;
    gsize ip = v6 ? IPV6_HEADER : IPV4_HEADER;
    gsize payload = ICMP_HEADER + ip + QUOTED;
    guint8 *packet = out + f->ethernet_len, *icmp = packet + ip;
    guint8 *quoted = icmp + ICMP_HEADER, *tcp = quoted + ip;
    NetPacket p;

    memset(out, 0, FRAME_MAX);
    memcpy(out, f->ethernet, f->ethernet_len);
    memcpy(out, f->ethernet + 6, 6);
    memcpy(out + 6, f->ethernet, 6);
    put_ip(packet, v6, k->dst, k->src, v6 ? PROTO_ICMPV6 : PROTO_ICMP, payload);
    icmp[0] = v6 ? ICMPV6_UNREACHABLE : ICMP_UNREACHABLE;
    icmp[1] = v6 ? ICMPV6_NO_ROUTE : ICMP_HOST;
    put_ip(quoted, v6, k->src, k->dst, PROTO_TCP, QUOTED + 12);
    net_put16(tcp, k->sport);
    net_put16(tcp + 2, k->dport);
    net_put32(tcp + 4, seq);
    net_packet_parse(&p, k->ethertype, packet, ip + payload, 0, 0);
    net_checksum_fill(&p, packet);
    return f->ethernet_len + ip + payload;
}

guint nudges_emit(const Nudges *n, guint max, gint64 idle_us, gint64 now_us,
                  void (*emit)(const guint8 *frame, gsize len, gpointer user),
                  gpointer user)
{
    GHashTableIter i;
    gpointer value;
    guint sent = 0;

    g_hash_table_iter_init(&i, n->flows);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        const Flow *f = value;

        if (now_us - f->seen_us > idle_us) {
            continue;
        }
        for (int a = 0; a < N_PLACES; a++) {
            guint8 frame[FRAME_MAX];
            gboolean again = FALSE;
            gsize len;

            for (int b = 0; b < a; b++) {
                again |= f->known[b] && f->place[b] == f->place[a];
            }
            if (!f->known[a] || again) {
                continue;
            }
            len = put_message(frame, f, f->place[a]);
            for (int k = 0; k < TIMES; k++) {
                if (sent++ == max) {
                    return max;
                }
                emit(frame, len, user);
            }
        }
    }
    return sent;
}
