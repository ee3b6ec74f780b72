/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes in packets of its own: UDP, ICMP, other protocols.  Each flow's
 * are compared in order.
 *
 * A packet of the PVM that the SVM has not sent yet waits; one in whose place
 * the SVM has sent another diverges.  Where the SVM has sent the same later,
 * what came before it is the SVM's alone: it was the slower one's answer to
 * something that the faster one did not answer, or was too late for.
 *
 * What waited in the SVM's own tap when it was loaded it gets once more, so
 * it may send again what was released before: right after a load packets like
 * the last ones released do not count.  The time is limited, because there
 * are flows whose packets are all the same.
 */
#include "netcompare/compare/internal.h"

enum {
    SEARCH = 64, /* of the SVM's packets */
    FRESH_US = 250 * 1000,
};

void cmp_datagrams_init(CmpFlow *f)
{
    cmp_link_init(&f->d.held);
    cmp_link_init(&f->d.seen);
}

static void unsee(NetCompare *c, CmpFlow *f)
{
    CmpSeen *s;

    while ((s = cmp_first_seen(&f->d.seen))) {
        cmp_seen_free(c, s);
    }
}

static void diverge(NetCompare *c, CmpFlow *f, const NetPacket *pvm,
                    const NetPacket *svm)
{
    cmp_diverge(c, f, cmp_fields_cause(pvm, svm), pvm, svm);
    unsee(c, f);
}

static void note(CmpDatagrams *d, const NetPacket *p)
{
    d->recent[d->n_recent++ % CMP_RECENT] = cmp_fields_hash(p);
}

static void release(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    note(&f->d, in->p);
    f->d.fresh = FALSE;
    cmp_release(c, in, NET_RELEASE_MATCH, NULL, 0);
}

/* --- Of the PVM --------------------------------------------------------- */

static CmpSeen *find(const CmpDatagrams *d, const NetPacket *p)
{
    const CmpLink *l = d->seen.next;

    for (guint i = 0; i < SEARCH && l != &d->seen; i++, l = l->next) {
        CmpSeen *s = CMP_ENTRY(l, CmpSeen, queue);

        if (cmp_fields_equal(p, &s->p)) {
            return s;
        }
    }
    return NULL;
}

void cmp_datagram_primary(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    CmpDatagrams *d = &f->d;
    CmpSeen *s, *match;

    if (!f->diverged && cmp_list_empty(&d->held) &&
        (s = cmp_first_seen(&d->seen))) {
        match = find(d, in->p);
        if (match) {
            while ((s = cmp_first_seen(&d->seen)) != match) {
                c->stats.secondary_extra++;
                cmp_seen_free(c, s);
            }
            cmp_seen_free(c, match);
            release(c, f, in);
            return;
        }
        diverge(c, f, in->p, &s->p);
    }
    cmp_hold_in_flow(c, f, in, &d->held);
}

/* --- Of the SVM --------------------------------------------------------- */

static gboolean is_repeated(const NetCompare *c, CmpDatagrams *d,
                            const NetPacket *s)
{
    guint n = MIN(d->n_recent, CMP_RECENT);
    guint64 hash;

    if (!d->fresh || !n) {
        return FALSE;
    }
    if (c->now - c->loaded_at > FRESH_US) {
        d->fresh = FALSE;
        return FALSE;
    }
    hash = cmp_fields_hash(s);
    for (guint i = 0; i < n; i++) {
        if (d->recent[i] == hash) {
            return TRUE;
        }
    }
    return FALSE;
}

void cmp_datagram_secondary(NetCompare *c, CmpFlow *f, const NetPacket *s,
                            NetBuf *buf)
{
    CmpDatagrams *d = &f->d;
    CmpHeld *h = cmp_first_held(&d->held);
    CmpSeen *seen;

    if (f->diverged || is_repeated(c, d, s)) {
        c->stats.secondary_ignored++;
    } else if (!h) {
        seen = cmp_see(c, f, s, buf);
        if (seen) {
            cmp_link_before(&d->seen, &seen->queue);
            cmp_link_before(&c->seen, &seen->time);
        }
    } else if (cmp_fields_equal(&h->p, s)) {
        CmpIn in = cmp_in_held(h);

        release(c, f, &in);
    } else {
        diverge(c, f, &h->p, s);
    }
}

void cmp_datagrams_tick(NetCompare *c)
{
    while (!cmp_list_empty(&c->seen)) {
        CmpSeen *s = CMP_ENTRY(c->seen.next, CmpSeen, time);

        if (c->now - s->since < c->config.compare_timeout_us) {
            break;
        }
        c->stats.secondary_extra++;
        cmp_seen_free(c, s);
    }
}

/* --- Checkpoints -------------------------------------------------------- */

void cmp_datagram_left(CmpFlow *f, const NetPacket *p)
{
    note(&f->d, p);
}

void cmp_datagrams_commit(NetCompare *c, CmpFlow *f)
{
    unsee(c, f);
    f->d.fresh = TRUE;
}

void cmp_datagrams_blind(NetCompare *c, CmpFlow *f)
{
    unsee(c, f);
}
