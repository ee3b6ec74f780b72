/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the SVM has sent of a stream, known by digests of its pieces.
 *
 * A piece counts when the PVM has sent all of it: in one packet or in several,
 * which wait until then.  Where that does not come about, and where a digest
 * differs, the bytes are fetched and compared: nothing is said to differ of
 * which the place is not known.
 */
#include "netcompare/compare/internal.h"

static guint32 piece_len(const CmpSeen *s)
{
    return MIN(s->piece, s->len);
}

/* --- Comparing ---------------------------------------------------------- */

/*
 * The bytes [from, from + len) of h and those that are held after it; hash:
 * into parts.  FALSE: not all are there, or a FIN is between them.
 */
static gboolean gather(const NetCompare *c, const CmpTcp *t, const CmpHeld *h,
                       guint32 from, guint32 len, gboolean hash)
{
    const CmpLink *l = &h->queue;

    for (; l != &t->data; l = l->next) {
        const CmpHeld *x = CMP_ENTRY(l, CmpHeld, queue);
        guint32 end = x->seq + x->p.payload_len;

        if (net_seq_lt(from, x->seq)) {
            return FALSE;
        }
        if (net_seq_lt(from, end)) {
            guint32 n = MIN(len, end - from);

            if (hash) {
                net_digest_add(c->parts,
                               x->p.data + x->p.payload + (from - x->seq), n);
            }
            from += n;
            len -= n;
        }
        if (!len) {
            return TRUE;
        }
        if (x->p.flags & NET_TCP_FIN) {
            return FALSE;
        }
    }
    return FALSE;
}

/* FALSE: the PVM has not sent all of it. */
static gboolean hash_piece(NetCompare *c, const CmpTcp *t, const NetPacket *p,
                           guint32 seq, const CmpHeld *h, guint32 len,
                           guint64 *hash)
{
    guint32 at = t->next - seq;

    if (len <= p->payload_len - at) {
        *hash = net_digest(c->config.secret, p->data + p->payload + at, len);
        return TRUE;
    }
    if (!h || !gather(c, t, h, t->next, len, FALSE)) {
        return FALSE;
    }
    net_digest_begin(c->parts, c->config.secret);
    gather(c, t, h, t->next, len, TRUE);
    *hash = net_digest_end(c->parts);
    return TRUE;
}

gboolean cmp_tcp_match_piece(NetCompare *c, CmpFlow *f, CmpSeen *s,
                             const NetPacket *p, guint32 seq, const CmpHeld *h)
{
    CmpTcp *t = &f->t;
    guint32 len;
    guint64 hash;

    if (!s->digests || s->differs || t->next != s->seq) {
        return FALSE;
    }
    len = piece_len(s);
    if (t->has_s_bad && t->s_bad - t->next < len) {
        cmp_diverge(c, f, NET_CAUSE_PAYLOAD, p, NULL);
        cmp_tcp_unsee(c, f);
        return FALSE;
    }
    if (!hash_piece(c, t, p, seq, h, len, &hash)) {
        return FALSE;
    }
    if (hash != *s->digests) {
        s->differs = TRUE;
        return FALSE;
    }
    c->stats.pieces++;
    cmp_tcp_advance(t, len);
    if (len == s->len) {
        cmp_seen_free(c, s);
    } else {
        cmp_seen_cut(s, len);
    }
    return TRUE;
}

/* --- Asking for the bytes ----------------------------------------------- */

static void fetch(NetCompare *c, CmpFlow *f, CmpSeen *s)
{
    cmp_unlink(&f->stuck);
    s->asked = TRUE;
    cmp_unlink(&s->time);
    cmp_link_before(&c->fetching, &s->time);
    c->stats.fetched++;
    c->ops.fetch(c->user, f->key.iface, s->number);
}

/* The first of the SVM's, if the PVM waits for it and its bytes may help. */
static CmpSeen *lacking(const CmpFlow *f)
{
    const CmpTcp *t = &f->t;
    CmpSeen *s = cmp_first_seen(&t->seen);
    CmpHeld *h = cmp_first_held(&t->data);

    if (!s || s->bytes || s->asked || !h || f->diverged || !t->synced ||
        net_seq_lt(t->next, s->seq) || net_seq_lt(t->next, h->seq) ||
        net_seq_le(h->seq + h->p.payload_len, t->next)) {
        return NULL;
    }
    return s;
}

/* --- Parts of segments --------------------------------------------------- */

static gboolean may_be_cut(const CmpTcp *t, const NetPacket *p)
{
    /* What is urgent is counted from the segment's begin on. */
    return !(p->flags & (NET_TCP_SYN | NET_TCP_URG)) && cmp_tcp_ack_ok(t, p) &&
           !cmp_tcp_signed(p);
}

/*
 * The held segment of which both have a part that could leave already.  Not
 * always the first: where a part was lost on its way, the PVM sends it again,
 * perhaps with more behind it than the SVM has sent.
 */
static CmpHeld *partial(const NetCompare *c, const CmpFlow *f)
{
    const CmpTcp *t = &f->t;

    if (!c->ops.part || f->diverged || !t->synced) {
        return NULL;
    }
    for (const CmpLink *l = t->data.next; l != &t->data; l = l->next) {
        CmpHeld *h = CMP_ENTRY(l, CmpHeld, queue);

        if (net_seq_le(t->next, h->seq)) {
            break;
        }
        if (net_seq_lt(h->seq + h->sent, t->next) &&
            net_seq_lt(t->next, h->seq + h->p.payload_len) &&
            may_be_cut(t, &h->p)) {
            return h;
        }
    }
    return NULL;
}

/* --- Time ---------------------------------------------------------------- */

static void wait_at(NetCompare *c, CmpLink *list, CmpLink *link, guint32 next,
                    guint32 *at, gint64 *since)
{
    if (cmp_list_empty(link) || *at != next) {
        *at = next;
        *since = c->now;
        cmp_unlink(link);
        cmp_link_before(list, link);
    }
}

void cmp_tcp_look(NetCompare *c, CmpFlow *f)
{
    CmpSeen *s = lacking(f);

    if (!s) {
        cmp_unlink(&f->stuck);
    } else if (s->differs || !s->digests || f->t.next != s->seq) {
        /* Nothing that the PVM may send would help. */
        fetch(c, f, s);
    } else {
        wait_at(c, &c->stuck, &f->stuck, f->t.next, &f->stuck_at,
                &f->stuck_since);
    }
    if (partial(c, f)) {
        wait_at(c, &c->partial, &f->partial, f->t.next, &f->partial_at,
                &f->partial_since);
    } else {
        cmp_unlink(&f->partial);
    }
}

static gint64 fetch_due(NetCompare *c)
{
    while (!cmp_list_empty(&c->stuck)) {
        CmpFlow *f = CMP_ENTRY(c->stuck.next, CmpFlow, stuck);
        CmpSeen *s = lacking(f);

        if (c->now < f->stuck_since + c->config.settle_us) {
            return f->stuck_since + c->config.settle_us;
        }
        cmp_unlink(&f->stuck);
        if (s) {
            fetch(c, f, s);
        }
    }
    return G_MAXINT64;
}

static gint64 part_due(NetCompare *c)
{
    while (!cmp_list_empty(&c->partial)) {
        CmpFlow *f = CMP_ENTRY(c->partial.next, CmpFlow, partial);
        CmpHeld *h = partial(c, f);

        if (c->now < f->partial_since + c->config.part_us) {
            return f->partial_since + c->config.part_us;
        }
        cmp_unlink(&f->partial);
        if (h) {
            cmp_tcp_release_part(c, f, h);
        }
    }
    return G_MAXINT64;
}

gint64 net_compare_settle(NetCompare *c, gint64 now_us)
{
    gint64 due;

    c->now = now_us;
    due = fetch_due(c);
    return MIN(due, part_due(c));
}

/* --- The answer --------------------------------------------------------- */

static CmpSeen *find_asked(NetCompare *c, guint8 iface, guint64 number)
{
    for (CmpLink *l = c->fetching.next; l != &c->fetching; l = l->next) {
        CmpSeen *s = CMP_ENTRY(l, CmpSeen, time);

        if (s->number == number && s->flow->key.iface == iface) {
            return s;
        }
    }
    return NULL;
}

static void gone(NetCompare *c, CmpFlow *f, CmpSeen *s)
{
    const CmpHeld *h = cmp_first_held(&f->t.data);

    c->stats.gone++;
    cmp_unlink(&s->time);
    if (s->differs) {
        cmp_diverge(c, f, NET_CAUSE_PAYLOAD, h ? &h->p : NULL, NULL);
        cmp_tcp_unsee(c, f);
    } else {
        cmp_need(c, NET_CAUSE_GONE, &f->key, h ? &h->p : NULL, NULL);
    }
}

/* Does it have all that is not known? */
static gboolean answers(const CmpFlow *f, const CmpSeen *s, const NetPacket *p)
{
    const CmpTcp *t = &f->t;
    guint32 seq = p->seq + t->delta;
    guint32 from = net_seq_lt(s->seq, t->next) ? t->next : s->seq;

    return p->kind == NET_KIND_TCP && net_key_equal(&p->key, &f->key) &&
           !(p->flags & (NET_TCP_SYN | NET_TCP_RST)) && net_seq_le(seq, from) &&
           net_seq_le(s->seq + s->len, seq + p->payload_len);
}

void net_compare_content(NetCompare *c, guint8 iface, guint64 number,
                         const NetPacket *p, NetBuf *buf, gint64 now_us)
{
    CmpSeen *s = find_asked(c, iface, number);
    CmpFlow *f;

    if (!s) {
        return; /* a checkpoint, or the rest of the piece, was faster */
    }
    c->now = now_us;
    f = s->flow;
    f->used = now_us;
    if (p && answers(f, s, p)) {
        cmp_tcp_see(c, f, p, buf, NULL, p->seq + f->t.delta);
        cmp_tcp_settled(c, f, p);
    } else {
        gone(c, f, s);
    }
}

void net_compare_secondary_digests(NetCompare *c, const NetPacket *s,
                                   const NetDigests *d, gint64 now_us)
{
    CmpFlow *f;

    g_return_if_fail(c->ops.fetch && c->ops.done && d->len && d->piece);
    c->taken = FALSE;
    c->now = now_us;
    c->stats.secondary_packets++;
    c->stats.secondary_bytes += s->len + d->len;
    c->stats.digests++;
    if (!c->comparing || s->kind != NET_KIND_TCP || s->payload_len ||
        s->flags & (NET_TCP_SYN | NET_TCP_RST)) {
        c->stats.secondary_ignored++;
    } else if (!(f = cmp_flow_get(c, s))) {
        c->stats.secondary_dropped++;
    } else {
        f->t.mss = d->piece;
        cmp_tcp_secondary(c, f, s, NULL, d);
    }
    if (!c->taken) {
        c->ops.done(c->user, s->key.iface, d->number);
    }
}
