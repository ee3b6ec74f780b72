/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The comparator's entrance: packets, time, figures.  See compare.h. */
#include "netcompare/compare/internal.h"

void net_compare_config_default(NetCompareConfig *c)
{
    *c = (NetCompareConfig){
        .compare_timeout_us = 3 * G_USEC_PER_SEC,
        .expired_scan_us = 3 * G_USEC_PER_SEC,
        .idle_us = G_GINT64_CONSTANT(7200) * G_USEC_PER_SEC,
        .max_queue_size = 1024,
        .max_bytes = 256 * 1024 * 1024,
        .max_flows = 65536,
        .settle_us = 1000,
        .part_us = 10 * 1000,
    };
    net_digest_new_secret(c->secret);
}

NetCompare *net_compare_new(const NetCompareConfig *config,
                            const NetCompareOps *ops, gpointer user)
{
    NetCompare *c = g_new0(NetCompare, 1);

    c->config = *config;
    c->ops = *ops;
    c->user = user;
    c->mode = c->mode_old = NET_COMPARE_PASS;
    for (guint i = 0; i < CMP_LISTS; i++) {
        cmp_link_init(&c->lists[i]);
    }
    for (guint i = 0; i < CMP_WHERES; i++) {
        cmp_link_init(&c->flows[i]);
    }
    cmp_link_init(&c->seen);
    cmp_link_init(&c->stuck);
    cmp_link_init(&c->partial);
    cmp_link_init(&c->fetching);
    c->parts = net_digest_parts_new();
    c->held_pool.size = sizeof(CmpHeld);
    c->seen_pool.size = sizeof(CmpSeen);
    c->table = g_hash_table_new(net_key_hash, net_key_equal);
    c->causes =
        g_hash_table_new_full(net_key_hash, net_key_equal, NULL, g_free);
    c->frags[0] = cmp_frags_new();
    c->frags[1] = cmp_frags_new();
    return c;
}

void net_compare_free(NetCompare *c)
{
    if (!c) {
        return;
    }
    for (guint i = 0; i < CMP_LISTS; i++) {
        CmpHeld *h;

        while ((h = cmp_oldest(c, i))) {
            cmp_forget_held(c, h);
        }
    }
    cmp_flows_clear(c);
    g_hash_table_unref(c->table);
    g_hash_table_unref(c->causes);
    cmp_frags_free(c->frags[0]);
    cmp_frags_free(c->frags[1]);
    net_digest_parts_free(c->parts);
    cmp_pool_clear(&c->held_pool);
    cmp_pool_clear(&c->seen_pool);
    g_free(c->scratch);
    g_free(c);
}

/* --- Packets ------------------------------------------------------------ */

void cmp_primary(NetCompare *c, CmpIn *in)
{
    const NetPacket *p = in->p;
    CmpFlow *f;

    switch (p->kind) {
    case NET_KIND_TCP:
    case NET_KIND_DATAGRAM:
        f = cmp_flow_get(c, p);
        if (!f) {
            cmp_hold(c, in, CMP_COMPARED, TRUE);
            cmp_need(c, NET_CAUSE_FLOWS_FULL, NULL, p, NULL);
        } else if (f->tcp) {
            cmp_tcp_primary(c, f, in);
        } else {
            cmp_datagram_primary(c, f, in);
        }
        break;
    case NET_KIND_FRAGMENT:
        cmp_frag_primary(c, in);
        break;
    case NET_KIND_LINK:
        cmp_release(c, in, NET_RELEASE_LINK, NULL, 0);
        break;
    case NET_KIND_BAD:
    default:
        cmp_hold(c, in, CMP_COMPARED, TRUE);
        break;
    }
}

void net_compare_primary(NetCompare *c, const NetPacket *p, NetBuf *buf,
                         guint64 id, gboolean gso, gint64 now_us)
{
    CmpIn in = {.p = p, .buf = buf, .id = id, .gso = gso};

    c->now = now_us;
    c->stats.primary_packets++;
    c->stats.primary_bytes += p->len;
    c->stats.bad += p->kind == NET_KIND_BAD;
    if (c->mode == NET_COMPARE_BLOCK) {
        cmp_drop(c, &in);
    } else if (c->mode == NET_COMPARE_PASS) {
        cmp_release(c, &in, NET_RELEASE_PASS, NULL, 0);
    } else if (p->kind == NET_KIND_LINK) {
        cmp_release(c, &in, NET_RELEASE_LINK, NULL, 0);
    } else if (c->captured) {
        cmp_hold(c, &in, CMP_NEW, TRUE);
    } else if (!c->comparing) {
        cmp_hold(c, &in, CMP_WAITING, TRUE);
    } else {
        cmp_primary(c, &in);
    }
}

void cmp_secondary(NetCompare *c, const NetPacket *s, NetBuf *buf)
{
    CmpFlow *f = cmp_flow_get(c, s);

    if (!f) {
        c->stats.secondary_dropped++;
    } else if (f->tcp) {
        cmp_tcp_secondary(c, f, s, buf, NULL);
    } else {
        cmp_datagram_secondary(c, f, s, buf);
    }
}

void net_compare_secondary(NetCompare *c, const NetPacket *s, NetBuf *buf,
                           gint64 now_us)
{
    c->now = now_us;
    c->stats.secondary_packets++;
    c->stats.secondary_bytes += s->len;
    c->stats.bad += s->kind == NET_KIND_BAD;
    if (!c->comparing || s->kind == NET_KIND_BAD || s->kind == NET_KIND_LINK) {
        c->stats.secondary_ignored++;
    } else if (s->kind == NET_KIND_FRAGMENT) {
        cmp_frag_secondary(c, s);
    } else {
        cmp_secondary(c, s, buf);
    }
}

/* --- Time --------------------------------------------------------------- */

static gboolean is_late(const NetCompare *c, const CmpHeld *h)
{
    return h && c->now - h->from >= c->config.compare_timeout_us;
}

gint64 net_compare_tick(NetCompare *c, gint64 now_us)
{
    gint64 next = now_us + c->config.expired_scan_us;
    CmpHeld *h;

    c->now = now_us;
    while (is_late(c, h = cmp_oldest(c, CMP_COMPARED))) {
        cmp_unlink(&h->all);
        cmp_link_before(&c->lists[CMP_LATE], &h->all);
        cmp_need(c, NET_CAUSE_TIMEOUT, &h->p.key, h->has_bytes ? &h->p : NULL,
                 NULL);
    }
    if (h) {
        next = MIN(next, h->from + c->config.compare_timeout_us);
    }
    /* The SVM is not loaded, or nobody knows with what. */
    h = cmp_oldest(c, CMP_WAITING);
    if (c->mode == NET_COMPARE_COLO && !c->captured && is_late(c, h) &&
        !(c->asked & 1u << NET_CAUSE_TIMEOUT)) {
        cmp_need(c, NET_CAUSE_TIMEOUT, &h->p.key, h->has_bytes ? &h->p : NULL,
                 NULL);
    }
    cmp_datagrams_tick(c);
    cmp_frags_tick(c);
    cmp_flows_tick(c);
    return next;
}

gint64 net_compare_oldest_us(const NetCompare *c, gint64 now_us)
{
    for (guint i = 0; i < CMP_LISTS; i++) {
        const CmpHeld *h = cmp_oldest(c, i);

        if (h) {
            return MAX(now_us - h->since, 0);
        }
    }
    return 0;
}

/* --- Figures ------------------------------------------------------------ */

NetCompareMode net_compare_mode(const NetCompare *c)
{
    return c->mode;
}

void net_compare_stats(const NetCompare *c, NetCompareStats *stats)
{
    *stats = c->stats;
}
