/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How connections begin: both guests' SYN (or SYN-ACK) are compared, and the
 * difference of their initial sequence numbers is the flow's from then on.
 *
 * Options bind the connection for life, so all have to be the same, in the
 * same order; of the timestamp only that it is there.  The window of a SYN
 * does not count: the next packet has another one.
 *
 * Data in a SYN (RFC 7413) that the SVM sends first is not kept; where it
 * does not send it again, a checkpoint has to release the PVM's.
 */
#include "netcompare/compare/internal.h"

#include <string.h>

/* ECN is agreed upon here, so ECE and CWR count in a SYN. */
enum { SYN_FLAGS = 0xff & ~(NET_TCP_PSH | NET_TCP_URG) };

static void put(CmpSyn *syn, const void *bytes, gsize n)
{
    if (n <= sizeof(syn->options) - syn->n_options) { /* as every parsed one */
        memcpy(syn->options + syn->n_options, bytes, n);
        syn->n_options += (guint8)n;
    }
}

static CmpSyn *syn_new(const NetPacket *p)
{
    CmpSyn *syn = g_new0(CmpSyn, 1);
    guint32 at = p->options, body, body_len;
    int kind;

    syn->seq = p->seq;
    syn->ack = p->flags & NET_TCP_ACK ? p->ack : 0;
    syn->flags = p->flags & SYN_FLAGS;
    syn->has_ts = p->has_ts;
    syn->tsval = p->tsval;
    syn->wscale = -1;
    while ((kind = net_packet_next_option(p, &at, &body, &body_len)) >= 0) {
        guint8 head[2] = {(guint8)kind, (guint8)(body_len + 2)};

        put(syn, head, sizeof(head));
        if (kind == NET_TCPOPT_WSCALE && body_len == 1) {
            syn->wscale = (gint8)MIN(p->data[body], CMP_MAX_WSCALE);
        }
        if (kind != NET_TCPOPT_TIMESTAMP) {
            put(syn, p->data + body, body_len);
        }
    }
    return syn;
}

void cmp_tcp_forget_syns(NetCompare *c, CmpFlow *f)
{
    g_clear_pointer(&f->t.p_syn, g_free);
    g_clear_pointer(&f->t.s_syn, g_free);
}

static void orphan_all(CmpLink *queue)
{
    CmpHeld *h;

    while ((h = cmp_first_held(queue))) {
        cmp_orphan(h);
    }
}

/* The PVM begins a connection with p; what the SVM's begins with may be known.
 */
void cmp_tcp_begin(NetCompare *c, CmpFlow *f, const NetPacket *p)
{
    CmpTcp *t = &f->t;
    CmpSyn *s_syn = g_steal_pointer(&t->s_syn);
    guint8 scale;

    orphan_all(&t->data);
    orphan_all(&t->acks);
    orphan_all(&t->resets);
    cmp_tcp_unsee(c, f);
    cmp_tcp_forget_syns(c, f);
    memset(t, 0, sizeof(*t));
    cmp_tcp_init(f);
    f->diverged = FALSE;
    t->synced = FALSE;
    t->s_syn = s_syn;
    t->p_syn = syn_new(p);
    t->started = TRUE;
    t->next = t->floor = t->p_end = p->seq;
    t->p_isn = p->seq;
    t->has_p_isn = TRUE;
    /*
     * Scaling is agreed upon when the second SYN has it; the answer to the
     * guest's own does not pass here.
     */
    scale = (guint8)MAX(t->p_syn->wscale, 0);
    t->ws_lo = p->flags & NET_TCP_ACK ? scale : 0;
    t->ws_hi = scale;
}

/* Both have begun: with the same? */
static void compare_syns(NetCompare *c, CmpFlow *f, const NetPacket *pvm,
                         const NetPacket *svm)
{
    CmpTcp *t = &f->t;
    const CmpSyn *a = t->p_syn, *b = t->s_syn;
    guint32 ts_delta;

    if (a->flags == b->flags && a->ack != b->ack) {
        return; /* the answer to another one; ours may still come */
    }
    if (a->flags != b->flags) {
        cmp_diverge(c, f, NET_CAUSE_HEADER, pvm, svm);
        return;
    }
    if (a->n_options != b->n_options ||
        memcmp(a->options, b->options, a->n_options)) {
        cmp_diverge(c, f, NET_CAUSE_OPTIONS, pvm, svm);
        return;
    }
    t->delta = a->seq - b->seq;
    t->s_isn = b->seq;
    t->has_s_isn = TRUE;
    t->synced = TRUE;
    cmp_tcp_advance(t, 1);
    t->floor = t->next;
    if (b->flags & NET_TCP_ACK) {
        t->s_ack = b->ack;
        t->has_s_ack = TRUE;
    }
    ts_delta = a->has_ts && b->has_ts ? a->tsval - b->tsval : 0;
    if (t->delta || ts_delta) {
        c->ops.offset(c->user, &f->key, t->delta, ts_delta);
    }
    cmp_tcp_forget_syns(c, f);
}

static void try_sync(NetCompare *c, CmpFlow *f, const NetPacket *pvm,
                     const NetPacket *svm)
{
    if (f->t.p_syn && f->t.s_syn && !f->diverged) {
        compare_syns(c, f, pvm, svm);
    }
}

void cmp_tcp_syn_primary(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    CmpTcp *t = &f->t;

    if (!t->has_p_isn || t->p_isn != in->p->seq) {
        cmp_tcp_begin(c, f, in->p);
        try_sync(c, f, in->p, NULL);
    }
}

gboolean cmp_tcp_syn_secondary(NetCompare *c, CmpFlow *f, const NetPacket *s,
                               NetBuf *buf)
{
    CmpTcp *t = &f->t;
    CmpHeld *h = cmp_first_held(&t->data);

    if (!t->s_syn && t->synced && t->has_s_isn && t->s_isn == s->seq) {
        return TRUE; /* again */
    }
    g_free(t->s_syn);
    t->s_syn = syn_new(s);
    if (t->synced || !t->p_syn) {
        return FALSE;
    }
    try_sync(c, f, h ? &h->p : NULL, s);
    return t->synced;
}
