/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of flows: found, forgotten, changed by a commit. */
#include "netcompare/compare/internal.h"

#include <string.h>

enum {
    SWEEP = 256, /* flows looked at by one tick */
    EVICT = 64,  /* and when there is no room */
    REST_US = G_USEC_PER_SEC,
    /* Longer than a closed connection's last retransmissions are likely. */
    CLOSED_US = 120 * G_USEC_PER_SEC,
};

static CmpFlow *first(const CmpLink *list)
{
    return cmp_list_empty(list) ? NULL : CMP_ENTRY(list->next, CmpFlow, link);
}

static void move(NetCompare *c, CmpFlow *f, guint where)
{
    cmp_unlink(&f->link);
    f->where = where;
    cmp_link_before(&c->flows[where], &f->link);
}

/* Where it belongs while nobody uses it. */
static guint resting_place(const CmpFlow *f)
{
    if (f->n_held || f->n_seen) {
        return CMP_ACTIVE;
    }
    if (!f->tcp) {
        return CMP_OPEN;
    }
    if (cmp_tcp_closed(f)) {
        return CMP_CLOSED;
    }
    return cmp_tcp_bound(f) ? CMP_BOUND : CMP_OPEN;
}

static void flow_free(NetCompare *c, CmpFlow *f)
{
    if (f->tcp) {
        cmp_tcp_forget_syns(c, f);
    }
    if (c->last == f) {
        c->last = NULL;
    }
    g_hash_table_remove(c->table, &f->key);
    cmp_unlink(&f->link);
    cmp_unlink(&f->stuck);
    cmp_unlink(&f->partial);
    c->stats.flows--;
    g_free(f);
}

static void expire(NetCompare *c, CmpFlow *f)
{
    c->stats.flows_expired++;
    flow_free(c, f);
}

/* --- Commit ------------------------------------------------------------- */

static void commit_one(NetCompare *c, CmpFlow *f)
{
    f->generation = c->generation;
    f->diverged = FALSE;
    if (f->tcp) {
        cmp_tcp_commit(c, f);
    } else {
        cmp_datagrams_commit(c, f);
    }
}

void cmp_flows_commit(NetCompare *c)
{
    CmpFlow *f;

    c->generation++;
    while ((f = first(&c->flows[CMP_ACTIVE]))) {
        commit_one(c, f);
        move(c, f, resting_place(f));
    }
    cmp_list_move(&c->flows[CMP_OPEN], &c->flows[CMP_BOUND]);
}

void cmp_flows_blind(NetCompare *c)
{
    CmpLink *list = &c->flows[CMP_ACTIVE];

    for (CmpLink *l = list->next; l != list; l = l->next) {
        CmpFlow *f = CMP_ENTRY(l, CmpFlow, link);

        if (f->tcp) {
            cmp_tcp_blind(c, f);
        } else {
            cmp_datagrams_blind(c, f);
        }
    }
}

void cmp_flows_clear(NetCompare *c)
{
    cmp_flows_blind(c);
    for (guint i = 0; i < CMP_WHERES; i++) {
        CmpFlow *f;

        while ((f = first(&c->flows[i]))) {
            flow_free(c, f);
        }
    }
}

/* --- Forgetting --------------------------------------------------------- */

static CmpFlow *idlest_active(NetCompare *c)
{
    CmpLink *list = &c->flows[CMP_ACTIVE], *l = list->next;
    CmpFlow *idlest = NULL;

    for (guint i = 0; i < EVICT && l != list; i++, l = l->next) {
        CmpFlow *f = CMP_ENTRY(l, CmpFlow, link);
        guint where = resting_place(f);

        if ((where == CMP_OPEN || where == CMP_CLOSED) &&
            (!idlest || f->used < idlest->used)) {
            idlest = f;
        }
    }
    return idlest;
}

static gboolean make_room(NetCompare *c)
{
    CmpFlow *f = first(&c->flows[CMP_CLOSED]);

    f = f ? f : first(&c->flows[CMP_OPEN]);
    f = f ? f : idlest_active(c);
    if (f) {
        expire(c, f);
    }
    return f != NULL;
}

static void expire_list(NetCompare *c, guint where, gint64 idle_us)
{
    CmpFlow *f;

    for (guint i = 0; i < SWEEP && (f = first(&c->flows[where])) &&
                      c->now - f->used >= idle_us;
         i++) {
        expire(c, f);
    }
}

void cmp_flows_tick(NetCompare *c)
{
    CmpFlow *f;

    for (guint i = 0; i < SWEEP && (f = first(&c->flows[CMP_ACTIVE])); i++) {
        move(c, f, c->now - f->used < REST_US ? CMP_ACTIVE : resting_place(f));
    }
    expire_list(c, CMP_CLOSED, MIN(CLOSED_US, c->config.idle_us));
    expire_list(c, CMP_OPEN, c->config.idle_us);
}

/* --- Finding ------------------------------------------------------------ */

static CmpFlow *flow_new(NetCompare *c, const NetPacket *p)
{
    CmpFlow *f;

    if (c->stats.flows >= c->config.max_flows && !make_room(c)) {
        return NULL;
    }
    f = g_new0(CmpFlow, 1);
    f->key = p->key;
    f->generation = c->generation;
    f->tcp = p->kind == NET_KIND_TCP;
    cmp_link_init(&f->link);
    cmp_link_init(&f->stuck);
    cmp_link_init(&f->partial);
    if (f->tcp) {
        cmp_tcp_init(f);
    } else {
        cmp_datagrams_init(f);
    }
    move(c, f, CMP_ACTIVE);
    g_hash_table_insert(c->table, &f->key, f);
    c->stats.flows++;
    return f;
}

CmpFlow *cmp_flow_get(NetCompare *c, const NetPacket *p)
{
    CmpFlow *f = c->last;

    if (!f || !net_key_equal(&f->key, &p->key)) {
        f = g_hash_table_lookup(c->table, &p->key);
        if (!f) {
            f = flow_new(c, p);
        }
        if (!f) {
            return NULL;
        }
        c->last = f;
    }
    if (f->generation != c->generation) {
        commit_one(c, f);
    }
    f->used = c->now;
    if (f->where != CMP_ACTIVE) {
        move(c, f, CMP_ACTIVE);
    }
    return f;
}
