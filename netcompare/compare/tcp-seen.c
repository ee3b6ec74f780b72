/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the SVM has sent of a stream: kept while it is ahead of the PVM, put in
 * order, compared.
 *
 * The pieces are sorted and do not overlap; bytes that came twice are compared
 * with those that came first, and where they differ (s_bad) the stream is not
 * to be believed from there on.
 */
#include "netcompare/compare/internal.h"

#include <string.h>

static guint32 end_of(const CmpSeen *s)
{
    return s->seq + s->len;
}

void cmp_seen_cut(CmpSeen *s, guint32 n)
{
    if (s->digests) {
        s->digests += n / s->piece;
        n -= n % s->piece;
    } else if (s->bytes) {
        s->bytes += n;
    }
    s->seq += n;
    s->len -= n;
}

void cmp_tcp_advance(CmpTcp *t, guint32 n)
{
    t->next += n;
    /* Numbers wrap: no memory reaches further back than a window. */
    if (t->next - t->floor > CMP_MAX_WINDOW) {
        t->floor = t->next - CMP_MAX_WINDOW;
    }
}

/* What both have, or what is out of reach, is of no use any more. */
void cmp_tcp_trim(NetCompare *c, CmpFlow *f)
{
    CmpTcp *t = &f->t;
    CmpSeen *s;

    while ((s = cmp_first_seen(&t->seen))) {
        gint32 before = (gint32)(t->next - s->seq);

        if (before <= 0 && before >= -CMP_MAX_WINDOW) {
            break;
        }
        if (before > 0 && (guint32)before < s->len) {
            cmp_seen_cut(s, (guint32)before);
            break;
        }
        cmp_seen_free(c, s);
    }
}

void cmp_tcp_unsee(NetCompare *c, CmpFlow *f)
{
    CmpSeen *s;

    while ((s = cmp_first_seen(&f->t.seen))) {
        cmp_seen_free(c, s);
    }
    f->t.has_s_bad = FALSE;
    cmp_unlink(&f->stuck);
    cmp_unlink(&f->partial);
}

/* --- Adding ------------------------------------------------------------- */

/*
 * [seq, end) lies in both pieces: are they the same there?  Where one is known
 * by its digest it is not asked: what came first counts.
 */
static void check_overlap(CmpTcp *t, const CmpSeen *a, const CmpSeen *b,
                          guint32 seq, guint32 end)
{
    const guint8 *x = a->bytes, *y = b->bytes;
    guint32 n = end - seq, i = 0;

    if (!x || !y) {
        return;
    }
    x += seq - a->seq;
    y += seq - b->seq;
    if (!memcmp(x, y, n)) {
        return;
    }
    while (x[i] == y[i]) {
        i++;
    }
    if (!t->has_s_bad || net_seq_lt(seq + i, t->s_bad)) {
        t->s_bad = seq + i;
        t->has_s_bad = TRUE;
    }
}

/* Piece new's bytes [seq, end), which no other has, before at. */
static gboolean add_part(NetCompare *c, CmpFlow *f, const CmpSeen *new,
                         NetBuf *buf, CmpLink *at, guint32 seq, guint32 end,
                         gboolean with_digests, gboolean whole)
{
    CmpSeen *s = cmp_see(c, f, &new->p, buf);

    if (!s) {
        return FALSE;
    }
    s->seq = seq;
    s->len = end - seq;
    s->number = new->number;
    s->differs = new->differs;
    s->whole = whole && with_digests;
    c->taken |= !new->bytes;
    if (new->bytes) {
        s->bytes = s->p.data + (new->bytes - new->p.data) + (seq - new->seq);
    }
    cmp_link_before(at, &s->queue);
    if (with_digests) {
        s->piece = new->piece;
        cmp_see_digests(c, s, new->digests + (seq - new->seq) / new->piece,
                        net_digest_count(s->len, s->piece));
    }
    return TRUE;
}

/* The same; of pieces that are cut, the digests are of no use. */
static gboolean add_piece(NetCompare *c, CmpFlow *f, const CmpSeen *new,
                          NetBuf *buf, CmpLink *at, guint32 seq, guint32 end,
                          gboolean whole)
{
    guint32 from, to;

    if (!new->digests) {
        return add_part(c, f, new, buf, at, seq, end, FALSE, FALSE);
    }
    from = seq - new->seq + new->piece - 1;
    from = new->seq + from - from % new->piece;
    to = end == end_of(new)
             ? end
             : end - (end - new->seq) % new->piece;
    if (!net_seq_lt(from, to)) {
        return add_part(c, f, new, buf, at, seq, end, FALSE, FALSE);
    }
    whole &= seq == from && to == end;
    return (seq == from ||
            add_part(c, f, new, buf, at, seq, from, FALSE, FALSE)) &&
           add_part(c, f, new, buf, at, from, to, TRUE, whole) &&
           (to == end || add_part(c, f, new, buf, at, to, end, FALSE, FALSE));
}

/* Bytes are better than digests, where they are of all of them. */
static void replace_digests(NetCompare *c, CmpTcp *t, const CmpSeen *new)
{
    CmpLink *list = &t->seen, *l = list->prev;

    while (l != list) {
        CmpSeen *s = CMP_ENTRY(l, CmpSeen, queue);
        guint32 from = t->started && net_seq_lt(s->seq, t->next) ? t->next
                                                                 : s->seq;

        if (net_seq_le(end_of(s), new->seq)) {
            break;
        }
        l = l->prev;
        if (!s->bytes && net_seq_le(new->seq, from) &&
            net_seq_le(end_of(s), end_of(new))) {
            cmp_seen_free(c, s);
        }
    }
}

static void add(NetCompare *c, CmpFlow *f, const CmpSeen *new, NetBuf *buf)
{
    CmpLink *list = &f->t.seen, *l = list;
    guint32 seq = new->seq, end = end_of(new);
    gboolean whole = TRUE;

    /* Digests may begin before what is still of use. */
    if (f->t.started && net_seq_lt(seq, f->t.next)) {
        seq = f->t.next;
    }
    if (new->bytes) {
        replace_digests(c, &f->t, new);
    }
    /* Most are the last. */
    while (l->prev != list &&
           net_seq_lt(seq, end_of(CMP_ENTRY(l->prev, CmpSeen, queue)))) {
        l = l->prev;
    }
    for (; l != list && net_seq_lt(seq, end); l = l->next) {
        CmpSeen *s = CMP_ENTRY(l, CmpSeen, queue);
        guint32 from = net_seq_lt(seq, s->seq) ? s->seq : seq;
        guint32 to = net_seq_lt(end, end_of(s)) ? end : end_of(s);

        if (net_seq_le(end, s->seq)) {
            break;
        }
        whole = FALSE;
        if (seq != from && !add_piece(c, f, new, buf, l, seq, from, FALSE)) {
            return;
        }
        check_overlap(&f->t, s, new, from, to);
        seq = to;
    }
    if (net_seq_lt(seq, end)) {
        add_piece(c, f, new, buf, l, seq, end, whole);
    }
}

/* A first piece says where the stream is; without a PVM nothing else does. */
static gboolean within_reach(const CmpTcp *t, const CmpSeen *s)
{
    const CmpSeen *first = cmp_first_seen(&t->seen);

    return t->started || !first ||
           s->seq - first->seq + CMP_MAX_WINDOW / 2 < CMP_MAX_WINDOW;
}

void cmp_tcp_see(NetCompare *c, CmpFlow *f, const NetPacket *s, NetBuf *buf,
                 const NetDigests *d, guint32 seq)
{
    CmpTcp *t = &f->t;
    CmpSeen new = {
        .p = *s,
        .seq = seq,
        .len = s->payload_len,
        .bytes = s->data + s->payload,
        .borrowed = TRUE,
    };

    if (d) {
        new.len = d->len;
        new.bytes = NULL;
        new.digests = d->hash;
        new.piece = d->piece;
        new.number = d->number;
    }
    cmp_link_init(&new.queue);
    if (t->started && net_seq_lt(seq, t->next)) {
        if (net_seq_le(end_of(&new), t->next)) {
            c->stats.secondary_ignored++;
            return;
        }
        cmp_seen_cut(&new, t->next - seq);
    }
    if (!within_reach(t, &new)) {
        c->stats.secondary_ignored++;
        return;
    }
    if (cmp_list_empty(&t->seen) && !cmp_list_empty(&t->data) &&
        new.seq == t->next) {
        /* The PVM waits for it: perhaps nothing has to be kept. */
        cmp_link_before(&t->seen, &new.queue);
        cmp_tcp_run(c, f, s);
        if (!cmp_list_empty(&new.queue)) {
            cmp_unlink(&new.queue);
            add(c, f, &new, buf);
        }
        return;
    }
    add(c, f, &new, buf);
    cmp_tcp_run(c, f, s);
}

/* --- Comparing ---------------------------------------------------------- */

static void diverge(NetCompare *c, CmpFlow *f, NetCause cause,
                    const NetPacket *pvm, const NetPacket *svm)
{
    cmp_diverge(c, f, cause, pvm, svm);
    cmp_tcp_unsee(c, f);
}

static gboolean match_bytes(NetCompare *c, CmpFlow *f, const NetPacket *p,
                            guint32 seq, guint32 end, const CmpHeld *h)
{
    CmpTcp *t = &f->t;
    const guint8 *bytes = p->data + p->payload;

    while (net_seq_lt(t->next, end)) {
        CmpSeen *s = cmp_first_seen(&t->seen);
        const guint8 *x = bytes + (t->next - seq);
        guint32 n = end - t->next, i = 0;

        if (!s || net_seq_lt(t->next, s->seq)) {
            return FALSE;
        }
        if (!s->bytes) {
            if (!cmp_tcp_match_piece(c, f, s, p, seq, h)) {
                return FALSE;
            }
            continue;
        }
        n = MIN(n, s->len);
        if (t->has_s_bad && t->s_bad - t->next < n) {
            n = t->s_bad - t->next;
        }
        if (n == 0 || memcmp(x, s->bytes, n)) {
            while (i < n && x[i] == s->bytes[i]) {
                i++;
            }
            cmp_tcp_advance(t, i);
            diverge(c, f, NET_CAUSE_PAYLOAD, p, &s->p);
            return FALSE;
        }
        cmp_tcp_advance(t, n);
        if (n == s->len) {
            cmp_seen_free(c, s);
        } else {
            cmp_seen_cut(s, n);
        }
    }
    return TRUE;
}

gboolean cmp_tcp_match(NetCompare *c, CmpFlow *f, const NetPacket *p,
                       guint32 seq, const CmpHeld *h)
{
    CmpTcp *t = &f->t;
    guint32 end = seq + p->payload_len;

    if (!match_bytes(c, f, p, seq, end, h)) {
        return FALSE;
    }
    if (p->flags & NET_TCP_FIN && t->next == end) {
        /* Another end is found by check_ends(). */
        if (!t->has_s_fin || t->s_fin != end) {
            return FALSE;
        }
        cmp_tcp_advance(t, 1);
        cmp_tcp_trim(c, f); /* data behind a FIN: see check_ends() */
    }
    return TRUE;
}
