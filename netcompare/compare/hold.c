/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets that wait: kept, counted, released, dropped.  See internal.h. */
#include "netcompare/compare/internal.h"

#include <string.h>

/* --- Memory ------------------------------------------------------------- */

gpointer cmp_pool_get(CmpPool *pool)
{
    gpointer item = pool->first;

    if (!item) {
        return g_malloc(pool->size);
    }
    memcpy(&pool->first, item, sizeof(pool->first));
    pool->n--;
    return item;
}

void cmp_pool_put(CmpPool *pool, gpointer item)
{
    if (pool->n >= CMP_POOL_MAX) {
        g_free(item);
        return;
    }
    memcpy(item, &pool->first, sizeof(pool->first));
    pool->first = item;
    pool->n++;
}

void cmp_pool_clear(CmpPool *pool)
{
    while (pool->first) {
        gpointer item = pool->first;

        memcpy(&pool->first, item, sizeof(pool->first));
        g_free(item);
    }
    pool->n = 0;
}

/* Small ones are copied, so that they do not pin a buffer of full size. */
static NetBuf *keep(NetPacket *p, guint8 *small, NetBuf *buf)
{
    if (p->len <= CMP_SMALL) {
        if (p->len) {
            memcpy(small, p->data, p->len);
        }
        p->data = small;
        return NULL;
    }
    return net_buf_keep(buf, &p->data, p->len);
}

/* --- Of the PVM --------------------------------------------------------- */

static void count(NetCompare *c, gsize size)
{
    c->cost += size + CMP_OVERHEAD;
    c->stats.held_packets++;
    c->stats.held_bytes += size;
    c->stats.max_held_bytes = MAX(c->stats.max_held_bytes, c->stats.held_bytes);
}

static void uncount(NetCompare *c, gsize size)
{
    c->cost -= size + CMP_OVERHEAD;
    c->stats.held_packets--;
    c->stats.held_bytes -= size;
}

CmpHeld *cmp_hold(NetCompare *c, CmpIn *in, guint list, gboolean bytes)
{
    CmpHeld *h = in->held;

    if (!h) {
        if (c->cost >= c->config.max_bytes) {
            cmp_need(c, NET_CAUSE_QUEUE_FULL, &in->p->key, NULL, NULL);
            if (c->cost / 2 >= c->config.max_bytes) {
                cmp_drop(c, in);
                return NULL;
            }
        }
        h = cmp_pool_get(&c->held_pool);
        h->p = *in->p;
        h->buf = NULL;
        h->has_bytes = bytes;
        if (bytes) {
            h->buf = keep(&h->p, h->small, in->buf);
        } else {
            h->p.data = NULL;
        }
        cmp_link_init(&h->all);
        cmp_link_init(&h->queue);
        h->flow = NULL;
        h->parts = NULL;
        h->sent = 0;
        h->id = in->id;
        h->gso = in->gso;
        h->since = c->now;
        h->size = in->p->len;
        count(c, h->size);
        in->held = h;
        in->p = &h->p;
        in->buf = h->buf;
    }
    h->from = c->now;
    cmp_unlink(&h->all);
    cmp_link_before(&c->lists[list], &h->all);
    return h;
}

CmpHeld *cmp_hold_in_flow(NetCompare *c, CmpFlow *f, CmpIn *in, CmpLink *at)
{
    guint max = c->config.max_queue_size;
    CmpHeld *h;

    if (f->n_held >= max) {
        cmp_need(c, NET_CAUSE_QUEUE_FULL, &f->key, NULL, NULL);
        if (!in->held && f->n_held / 2 >= max) {
            cmp_drop(c, in);
            return NULL;
        }
    }
    h = cmp_hold(c, in, CMP_COMPARED, TRUE);
    if (h) {
        h->flow = f;
        f->n_held++;
        cmp_link_before(at, &h->queue);
    }
    return h;
}

void cmp_orphan(CmpHeld *h)
{
    cmp_unlink(&h->queue);
    if (h->flow) {
        h->flow->n_held--;
        h->flow = NULL;
    }
}

void cmp_forget_held(NetCompare *c, CmpHeld *h)
{
    cmp_orphan(h);
    cmp_unlink(&h->all);
    uncount(c, h->size);
    net_buf_unref(h->buf);
    cmp_pool_put(&c->held_pool, h);
}

static void released(NetCompare *c, guint64 id, guint32 size, NetRelease why,
                     const guint8 *data, gsize len, gint64 held_us)
{
    c->stats.released[why]++;
    c->stats.released_bytes[why] += size;
    c->ops.release(c->user, id, data, len, why, held_us);
}

void cmp_release_held(NetCompare *c, CmpHeld *h, NetRelease why)
{
    released(c, h->id, h->size, why, NULL, 0, MAX(c->now - h->since, 0));
    cmp_forget_held(c, h);
}

/* In the order of arrival, which is the reverse of the chain. */
static void release_parts(NetCompare *c, CmpHeld *parts, NetRelease why)
{
    CmpHeld *first = NULL;

    while (parts) {
        CmpHeld *before = parts->parts;

        parts->parts = first;
        first = parts;
        parts = before;
    }
    while (first) {
        CmpHeld *after = first->parts;

        cmp_release_held(c, first, why);
        first = after;
    }
}

void cmp_release(NetCompare *c, CmpIn *in, NetRelease why, const guint8 *data,
                 gsize len)
{
    CmpHeld *h = in->held;

    if (!h) {
        released(c, in->id, in->p->len, why, data, len, 0);
        return;
    }
    release_parts(c, g_steal_pointer(&h->parts), why);
    released(c, h->id, h->size, why, data, len, MAX(c->now - h->since, 0));
    cmp_forget_held(c, h);
}

void cmp_release_sent(NetCompare *c, CmpHeld *h)
{
    c->stats.released[NET_RELEASE_MATCH]++;
    c->stats.released_bytes[NET_RELEASE_MATCH] += h->size;
    c->ops.drop(c->user, h->id);
    cmp_forget_held(c, h);
}

void cmp_drop(NetCompare *c, CmpIn *in)
{
    c->stats.dropped++;
    c->ops.drop(c->user, in->id);
}

void cmp_drop_held(NetCompare *c, CmpHeld *h)
{
    c->stats.dropped++;
    c->ops.drop(c->user, h->id);
    cmp_forget_held(c, h);
}

CmpIn cmp_in_held(CmpHeld *h)
{
    return (CmpIn){
        .p = &h->p,
        .buf = h->buf,
        .id = h->id,
        .gso = h->gso,
        .held = h,
    };
}

/* --- Of the SVM --------------------------------------------------------- */

CmpSeen *cmp_see(NetCompare *c, CmpFlow *f, const NetPacket *s, NetBuf *buf)
{
    CmpSeen *seen;

    /* Without it nothing matches that should not: it is just not there. */
    if (f->n_seen >= c->config.max_queue_size ||
        c->cost >= c->config.max_bytes) {
        c->stats.secondary_dropped++;
        cmp_need(c, NET_CAUSE_QUEUE_FULL, &f->key, NULL, s);
        return NULL;
    }
    seen = cmp_pool_get(&c->seen_pool);
    seen->p = *s;
    seen->buf = keep(&seen->p, seen->small, buf);
    seen->flow = f;
    seen->since = c->now;
    seen->size = s->len;
    seen->bytes = NULL;
    seen->digests = NULL;
    seen->differs = seen->asked = seen->whole = seen->borrowed = FALSE;
    cmp_link_init(&seen->queue);
    cmp_link_init(&seen->time);
    count(c, s->len);
    f->n_seen++;
    return seen;
}

void cmp_see_digests(NetCompare *c, CmpSeen *s, const guint64 *digests, guint n)
{
    guint32 size = n * (guint32)sizeof(*digests);
    NetBuf *buf = net_buf_new(size);

    memcpy(buf->data, digests, size);
    /* The headers are where small packets are, or they are needed no more. */
    if (s->buf) {
        s->p = (NetPacket){.key = s->p.key};
        net_buf_unref(s->buf);
    }
    s->buf = buf;
    s->digests = (const guint64 *)(gconstpointer)buf->data;
    s->size += size;
    c->cost += size;
    c->stats.held_bytes += size;
    c->stats.max_held_bytes = MAX(c->stats.max_held_bytes, c->stats.held_bytes);
}

void cmp_seen_free(NetCompare *c, CmpSeen *s)
{
    cmp_unlink(&s->queue);
    if (s->borrowed) {
        return;
    }
    if (s->whole) {
        c->ops.done(c->user, s->flow->key.iface, s->number);
    }
    cmp_unlink(&s->time);
    uncount(c, s->size);
    s->flow->n_seen--;
    net_buf_unref(s->buf);
    cmp_pool_put(&c->seen_pool, s);
}
