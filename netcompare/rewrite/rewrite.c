/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rewriter.  See rewrite.h. */
#include "netcompare/rewrite/rewrite.h"

#include "netcompare/packet/checksum.h"
#include "netcompare/rewrite/flows.h"

#include <netinet/in.h>
#include <string.h>

enum { TCP_CHECK = 16, TCP_SEQ = 4, TCP_ACK = 8, ICMP_CHECK = 2 };

struct NetRewrite {
    guint max_flows;
    NetFlows flows;
    NetRewriteStats stats;
};

NetRewrite *net_rewrite_new(guint max_flows)
{
    NetRewrite *r = g_new0(NetRewrite, 1);

    r->max_flows = max_flows;
    net_flows_init(&r->flows);
    return r;
}

void net_rewrite_free(NetRewrite *r)
{
    if (r) {
        net_flows_destroy(&r->flows);
        g_free(r);
    }
}

static void forget(NetRewrite *r, NetFlow *flow)
{
    if (flow->end == NET_FLOW_OPEN) {
        r->stats.expired++;
    } else {
        r->stats.ended++;
    }
    net_flows_remove(&r->flows, flow);
}

gboolean net_rewrite_set(NetRewrite *r, const NetKey *key, guint32 seq_delta,
                         guint32 ts_delta, gint64 now_us)
{
    NetFlow *flow = net_flows_find(&r->flows, key);

    if (flow) { /* of an older connection: nothing of it is true any more */
        net_flows_remove(&r->flows, flow);
    }
    if (!seq_delta && !ts_delta) {
        return TRUE;
    }
    if (net_flows_count(&r->flows) >= r->max_flows) {
        flow = net_flows_ended(&r->flows);
        if (!flow) {
            r->stats.refused++;
            return FALSE;
        }
        forget(r, flow);
    }
    flow = net_flows_add(&r->flows, key, now_us);
    flow->seq_delta = seq_delta;
    flow->ts_delta = ts_delta;
    return TRUE;
}

void net_rewrite_clear(NetRewrite *r)
{
    net_flows_clear(&r->flows);
}

guint net_rewrite_flows(const NetRewrite *r)
{
    return net_flows_count(&r->flows);
}

guint net_rewrite_tick(NetRewrite *r, gint64 idle_us, gint64 now_us)
{
    NetFlow *flow;

    while ((flow = net_flows_due(&r->flows, idle_us, now_us))) {
        forget(r, flow);
    }
    return net_flows_count(&r->flows);
}

void net_rewrite_stats(const NetRewrite *r, NetRewriteStats *stats)
{
    *stats = r->stats;
}

/* --- Life and end of a connection --------------------------------------- */

static NetFlowEnd end_by_fin(const NetFlow *flow)
{
    return flow->fin_in && flow->fin_out ? NET_FLOW_CLOSED : NET_FLOW_OPEN;
}

/*
 * Does a segment of the guest open another connection with the same
 * addresses and ports?  (Repeating its SYN is no other connection.)
 */
static gboolean opens_another(const NetFlow *flow, const NetPacket *p)
{
    return p->flags & NET_TCP_SYN &&
           (flow->end != NET_FLOW_OPEN ||
            (flow->has_first && p->seq + 1 != flow->first));
}

/*
 * The guest's segment: what it says about the connection.  NULL: it is not
 * known, or not any more.
 */
static NetFlow *watch_guest(NetRewrite *r, const NetPacket *p, gint64 now_us)
{
    NetFlow *flow = net_flows_find(&r->flows, &p->key);
    NetFlowEnd end;

    if (!flow) {
        return NULL;
    }
    if (opens_another(flow, p)) {
        forget(r, flow);
        return NULL;
    }
    if (p->flags & NET_TCP_RST) {
        end = NET_FLOW_RESET;
    } else {
        if (!flow->has_first) {
            flow->has_first = TRUE;
            flow->first = p->seq + !!(p->flags & NET_TCP_SYN);
        }
        if (p->flags & NET_TCP_ACK) {
            flow->has_ack = TRUE;
            flow->ack = p->ack;
        }
        flow->fin_out |= !!(p->flags & NET_TCP_FIN);
        end = end_by_fin(flow); /* alive, if we thought it was reset */
    }
    net_flows_touch(&r->flows, flow, end, now_us);
    return flow;
}

/*
 * The client's.  A RST counts if it has the very number that the guest
 * expects, as for the guest itself (RFC 5961, 3): anybody can send another.
 */
static NetFlow *watch_client(NetRewrite *r, const NetPacket *p, gint64 now_us)
{
    NetKey key = net_key_reverse(&p->key);
    NetFlow *flow = net_flows_find(&r->flows, &key);
    NetFlowEnd end;

    if (!flow) {
        return NULL;
    }
    end = flow->end;
    if ((p->flags & (NET_TCP_SYN | NET_TCP_ACK)) == NET_TCP_SYN &&
        end != NET_FLOW_OPEN) {
        forget(r, flow); /* ports are used again */
        return NULL;
    }
    if (p->flags & NET_TCP_RST) {
        if (flow->has_ack && p->seq == flow->ack) {
            end = NET_FLOW_RESET;
        }
    } else if (end != NET_FLOW_RESET) {
        flow->fin_in |= !!(p->flags & NET_TCP_FIN);
        end = end_by_fin(flow);
    }
    net_flows_touch(&r->flows, flow, end, now_us);
    return flow;
}

/* --- Translating -------------------------------------------------------- */

/* A packet that is being changed. */
typedef struct Edit {
    const NetPacket *p; /* as it was */
    guint8 *data;
    guint8 *check; /* NULL: unfinished */
    gboolean changed;
} Edit;

/* Add to the number at an offset, modulo 2^32. */
static void add32(Edit *e, guint32 at, guint32 delta)
{
    const guint8 *field = net_packet_at(e->p, at, 4);

    if (field && delta) {
        net_replace32(e->data + at, net_get32(field) + delta, e->check,
                      (at - e->p->l4) % 2);
        e->changed = TRUE;
    }
}

static void translate_sack(NetRewrite *r, Edit *e, guint32 at, guint32 len,
                           guint32 delta)
{
    for (; len >= 8 && delta; at += 8, len -= 8) {
        add32(e, at, delta);
        add32(e, at + 4, delta);
        r->stats.sack_blocks++;
    }
}

/* What the client says about the guest's numbers. */
static void translate_in(NetRewrite *r, Edit *e, const NetFlow *flow)
{
    const NetPacket *p = e->p;
    guint32 at = p->options, body, len;
    int kind;

    if (!(p->flags & NET_TCP_ACK)) {
        return; /* neither ack nor TSecr mean anything */
    }
    add32(e, p->l4 + TCP_ACK, -flow->seq_delta);
    while ((kind = net_packet_next_option(p, &at, &body, &len)) >= 0) {
        if (kind == NET_TCPOPT_SACK) {
            translate_sack(r, e, body, len, -flow->seq_delta);
        } else if (kind == NET_TCPOPT_TIMESTAMP && len == 8) {
            add32(e, body + 4, -flow->ts_delta);
        }
    }
}

/* What the guest says about its own. */
static void translate_out(Edit *e, const NetFlow *flow)
{
    const NetPacket *p = e->p;
    guint32 at = p->options, body, len;
    int kind;

    add32(e, p->l4 + TCP_SEQ, flow->seq_delta);
    while ((kind = net_packet_next_option(p, &at, &body, &len)) >= 0) {
        if (kind == NET_TCPOPT_TIMESTAMP && len == 8) {
            add32(e, body, flow->ts_delta);
        }
    }
}

/* A segment, or the head of a fragmented one; NULL: neither. */
static const NetPacket *segment_of(const NetPacket *p, NetPacket *head)
{
    if (p->kind == NET_KIND_TCP) {
        return p;
    }
    return p->kind == NET_KIND_FRAGMENT &&
                   net_packet_parse_head(head, p) == NET_KIND_TCP
               ? head
               : NULL;
}

/* --- ICMP errors -------------------------------------------------------- */

static gboolean is_error(const NetPacket *p)
{
    const guint8 *type = net_packet_at(p, p->l4, 1);

    if (p->kind != NET_KIND_DATAGRAM || !type) {
        return FALSE;
    }
    if (p->key.ethertype == 0x86dd && p->key.proto == IPPROTO_ICMPV6) {
        return type[0] >= 1 && type[0] <= 4;
    }
    return p->key.ethertype == 0x0800 && p->key.proto == IPPROTO_ICMP &&
           (type[0] == 3 || type[0] == 4 || type[0] == 11 || type[0] == 12);
}

/*
 * The offset of the TCP header that an error is about (its first 8 bytes are
 * there), and whose it was; 0: it is about something else.
 */
static guint32 find_cause(const NetPacket *p, NetKey *key)
{
    gboolean v6 = p->key.ethertype == 0x86dd;
    guint32 at = p->payload, size = v6 ? 40 : 20;
    const guint8 *h = net_packet_at(p, at, size);

    if (!h || h[0] >> 4 != (v6 ? 6 : 4) || h[v6 ? 6 : 9] != IPPROTO_TCP ||
        (!v6 && net_get16(h + 6) & 0x1fff)) {
        return 0;
    }
    memset(key, 0, sizeof(*key));
    memcpy(key->src, h + (v6 ? 8 : 12), v6 ? 16 : 4);
    memcpy(key->dst, h + (v6 ? 24 : 16), v6 ? 16 : 4);
    at += v6 ? size : (h[0] & 15) * 4u;
    h = net_packet_at(p, at, 8);
    if (!h || at < p->payload + size) {
        return 0;
    }
    key->sport = net_get16(h);
    key->dport = net_get16(h + 2);
    key->vlan = p->key.vlan;
    key->ethertype = p->key.ethertype;
    key->proto = IPPROTO_TCP;
    key->iface = p->key.iface;
    return at;
}

/* The guest looks whether the number is one that it sent. */
static gboolean translate_error(NetRewrite *r, const NetPacket *p, guint8 *data,
                                gboolean unfinished)
{
    Edit e = {p, data, unfinished ? NULL : data + p->l4 + ICMP_CHECK, FALSE};
    NetFlow *flow;
    NetKey key;
    guint32 at = find_cause(p, &key);

    flow = at ? net_flows_find(&r->flows, &key) : NULL;
    if (flow) {
        add32(&e, at + TCP_SEQ, -flow->seq_delta);
        r->stats.inbound += e.changed;
        r->stats.errors += e.changed;
    }
    return e.changed;
}

/* --- Packets ------------------------------------------------------------ */

gboolean net_rewrite_inbound(NetRewrite *r, const NetPacket *p, guint8 *data,
                             gboolean unfinished, gint64 now_us)
{
    const NetFlow *flow;
    NetPacket head;
    Edit e;

    if (!net_flows_count(&r->flows)) {
        return FALSE;
    }
    if (is_error(p)) {
        return translate_error(r, p, data, unfinished);
    }
    p = segment_of(p, &head);
    flow = p ? watch_client(r, p, now_us) : NULL;
    if (!flow) {
        return FALSE;
    }
    e = (Edit){p, data, unfinished ? NULL : data + p->l4 + TCP_CHECK, FALSE};
    translate_in(r, &e, flow);
    r->stats.inbound += e.changed;
    return e.changed;
}

gboolean net_rewrite_outbound(NetRewrite *r, const NetPacket *p, guint8 *data,
                              gboolean unfinished, gint64 now_us)
{
    const NetFlow *flow;
    NetPacket head;
    Edit e;

    if (!net_flows_count(&r->flows)) {
        return FALSE;
    }
    p = segment_of(p, &head);
    flow = p ? watch_guest(r, p, now_us) : NULL;
    if (!flow) {
        return FALSE;
    }
    e = (Edit){p, data, unfinished ? NULL : data + p->l4 + TCP_CHECK, FALSE};
    translate_out(&e, flow);
    r->stats.outbound += e.changed;
    return e.changed;
}

void net_rewrite_watch(NetRewrite *r, const NetPacket *p, gint64 now_us)
{
    NetPacket head;

    if (net_flows_count(&r->flows)) {
        p = segment_of(p, &head);
        if (p) {
            watch_guest(r, p, now_us);
        }
    }
}
