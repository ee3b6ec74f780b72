/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP: two streams of bytes.
 *
 * Not compared, because they say nothing about what the guests have done with
 * their input, and because their peers must not rely on them: where segments
 * begin and end; PSH; URG and its pointer (they may be set on any segment of
 * the same bytes, depending on how it was cut); ECE and CWR (what became of
 * packets on the way to one of the two); SACK blocks (advice, which may be
 * taken back: RFC 2018, 8); values of timestamps.
 */
#include "netcompare/compare/internal.h"

void cmp_tcp_init(CmpFlow *f)
{
    CmpTcp *t = &f->t;

    cmp_link_init(&t->data);
    cmp_link_init(&t->acks);
    cmp_link_init(&t->resets);
    cmp_link_init(&t->seen);
    t->synced = TRUE; /* open before: both have the same numbers */
    t->ws_hi = CMP_MAX_WSCALE;
}

/* A connection that ended here, or was left by both, needs its delta no more:
 * everything that the PVM can send again was released.
 */
gboolean cmp_tcp_closed(const CmpFlow *f)
{
    const CmpTcp *t = &f->t;

    return (t->p_rst && t->s_rst) ||
           (t->has_p_fin && t->started && net_seq_lt(t->p_fin, t->next));
}

gboolean cmp_tcp_bound(const CmpFlow *f)
{
    return f->t.delta || !f->t.synced || f->t.s_syn;
}

/* --- What both sides said ----------------------------------------------- */

static guint32 data_seq(const NetPacket *p)
{
    return p->seq + !!(p->flags & NET_TCP_SYN);
}

static guint32 data_end(const NetPacket *p)
{
    return data_seq(p) + p->payload_len;
}

static guint32 stream_end(const NetPacket *p)
{
    return data_end(p) + !!(p->flags & NET_TCP_FIN);
}

static void start(CmpTcp *t, guint32 seq)
{
    t->started = TRUE;
    t->next = t->floor = t->p_end = seq;
}

/* Of every packet that is held, or leaves. */
static void note_primary(CmpTcp *t, const NetPacket *p)
{
    guint32 end = stream_end(p);

    if (p->flags & NET_TCP_ACK) {
        if (!t->has_p_ack || net_seq_lt(t->p_ack, p->ack)) {
            t->p_ack = p->ack;
            t->has_p_ack = TRUE;
        }
        if (!(p->flags & (NET_TCP_SYN | NET_TCP_RST)) && t->p_ack == p->ack) {
            t->p_win = p->window;
            t->has_p_win = TRUE;
        }
    }
    if (p->flags & NET_TCP_RST) {
        t->p_rst = TRUE;
        return;
    }
    /* An empty one may have overtaken the FIN that it counts. */
    if (end != p->seq && net_seq_lt(t->p_end, end)) {
        t->p_end = end;
    }
    if (p->flags & NET_TCP_FIN && !t->has_p_fin) {
        t->p_fin = data_end(p);
        t->has_p_fin = TRUE;
    }
}

/* --- Contradictions ------------------------------------------------------ */

static guint32 p_data_end(const CmpTcp *t)
{
    return t->has_p_fin ? t->p_fin : t->p_end;
}

/* Does one side go on where the other has ended? */
static void check_ends(NetCompare *c, CmpFlow *f, const NetPacket *pvm,
                       const NetPacket *svm)
{
    CmpTcp *t = &f->t;

    if (!t->started || !t->synced || f->diverged) {
        return;
    }
    if (t->has_p_fin && net_seq_lt(t->p_fin + 1, t->p_end)) {
        cmp_diverge(c, f, NET_CAUSE_FIN, pvm, svm); /* against itself */
    } else if (t->has_s_fin &&
               (net_seq_lt(t->s_fin, p_data_end(t)) ||
                (t->has_p_fin && t->p_fin != t->s_fin) ||
                (t->has_s_end && net_seq_lt(t->s_fin, t->s_end)))) {
        cmp_diverge(c, f, NET_CAUSE_FIN, pvm, svm);
    } else if (t->has_s_end) {
        if (t->has_p_fin && net_seq_lt(t->p_fin, t->s_end)) {
            cmp_diverge(c, f, NET_CAUSE_FIN, pvm, svm);
        } else if (t->p_rst && net_seq_lt(p_data_end(t), t->s_end)) {
            cmp_diverge(c, f, NET_CAUSE_RESET, pvm, svm);
        }
    }
    if (t->s_rst && net_seq_lt(t->next, t->p_end) &&
        (!t->has_s_end || net_seq_lt(t->s_end, t->p_end))) {
        /* It will not send what the PVM has sent. */
        cmp_diverge(c, f, NET_CAUSE_RESET, pvm, svm);
    }
    if (f->diverged) {
        cmp_tcp_unsee(c, f);
    }
}

static gboolean may_contradict(const CmpTcp *t)
{
    return t->has_s_fin || t->has_p_fin || t->p_rst || t->s_rst;
}

/* --- I5 ------------------------------------------------------------------ */

gboolean cmp_tcp_ack_ok(const CmpTcp *t, const NetPacket *p)
{
    return !(p->flags & NET_TCP_ACK) ||
           (t->has_s_ack && net_seq_le(p->ack, t->s_ack));
}

/* Nothing but its ACK keeps it. */
static void settle(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    CmpLink *at = &f->t.acks;
    CmpHeld *h = in->held;

    if (cmp_tcp_ack_ok(&f->t, in->p)) {
        cmp_tcp_release(c, f, in);
        return;
    }
    while (at->prev != &f->t.acks &&
           net_seq_lt(in->p->ack, CMP_ENTRY(at->prev, CmpHeld, queue)->p.ack)) {
        at = at->prev;
    }
    if (h && h->flow) {
        cmp_unlink(&h->queue);
        cmp_link_before(at, &h->queue);
    } else {
        cmp_hold_in_flow(c, f, in, at);
    }
}

/* --- Going on ------------------------------------------------------------ */

static gboolean reset_ok(const CmpTcp *t, const NetPacket *p)
{
    if (!t->s_rst || !cmp_list_empty(&t->data)) {
        return FALSE;
    }
    /* To a segment for no connection: the same answer to the same one. */
    if (p->flags & NET_TCP_ACK && p->seq == 0) {
        return p->ack == t->s_rst_ack;
    }
    return cmp_tcp_ack_ok(t, p);
}

/* Data of the PVM that is held, the oldest first. */
void cmp_tcp_run(NetCompare *c, CmpFlow *f, const NetPacket *svm)
{
    CmpTcp *t = &f->t;
    CmpHeld *h;

    while (t->synced && (h = cmp_first_held(&t->data))) {
        CmpIn in;

        if (net_seq_lt(t->next, h->end)) {
            if (f->diverged || net_seq_lt(t->next, h->seq) ||
                !cmp_tcp_match(c, f, &h->p, h->seq, h)) {
                break;
            }
        }
        in = cmp_in_held(h);
        settle(c, f, &in);
    }
}

static void run_acks(NetCompare *c, CmpFlow *f)
{
    CmpTcp *t = &f->t;
    CmpHeld *h;

    while ((h = cmp_first_held(&t->acks)) && cmp_tcp_ack_ok(t, &h->p)) {
        CmpIn in = cmp_in_held(h);

        cmp_tcp_release(c, f, &in);
    }
    while (!f->diverged && (h = cmp_first_held(&t->resets)) &&
           reset_ok(t, &h->p)) {
        CmpIn in = cmp_in_held(h);

        cmp_tcp_release(c, f, &in);
    }
}

/* --- The PVM's ----------------------------------------------------------- */

/* By seq; most come in order, and of the others most are the first again. */
static void hold_data(NetCompare *c, CmpFlow *f, CmpIn *in, guint32 seq)
{
    CmpLink *list = &f->t.data, *at = list;
    CmpHeld *h;

    if (!cmp_list_empty(list)) {
        guint32 lowest = CMP_ENTRY(list->next, CmpHeld, queue)->seq;
        guint32 highest = CMP_ENTRY(list->prev, CmpHeld, queue)->seq;

        if (net_seq_lt(seq - lowest, highest - seq)) {
            at = list->next;
            while (at != list &&
                   net_seq_le(CMP_ENTRY(at, CmpHeld, queue)->seq, seq)) {
                at = at->next;
            }
        } else {
            while (at->prev != list &&
                   net_seq_lt(seq, CMP_ENTRY(at->prev, CmpHeld, queue)->seq)) {
                at = at->prev;
            }
        }
    }
    h = cmp_hold_in_flow(c, f, in, at);
    if (h) {
        h->seq = seq;
        h->end = stream_end(in->p);
        note_primary(&f->t, in->p);
    }
}

static void primary_reset(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    CmpTcp *t = &f->t;

    note_primary(t, in->p);
    if (!f->diverged && reset_ok(t, in->p)) {
        cmp_tcp_release(c, f, in);
        return;
    }
    if (cmp_hold_in_flow(c, f, in, &t->resets)) {
        check_ends(c, f, in->p, NULL);
    }
}

/* It may be what completes a piece that begins before it. */
static gboolean completes(const CmpTcp *t, guint32 seq)
{
    const CmpSeen *s = cmp_first_seen(&t->seen);

    return s && s->digests && t->next == s->seq &&
           net_seq_lt(seq, t->next + MIN(s->piece, s->len));
}

/* Bytes beyond next. */
static void primary_data(NetCompare *c, CmpFlow *f, CmpIn *in, guint32 seq)
{
    CmpTcp *t = &f->t;
    gboolean matched = FALSE;

    if (t->synced && !f->diverged && net_seq_le(seq, t->next) &&
        (cmp_list_empty(&t->data) ||
         net_seq_lt(t->next, cmp_first_held(&t->data)->seq))) {
        matched = cmp_tcp_match(c, f, in->p, seq, NULL);
    }
    if (!matched) {
        hold_data(c, f, in, seq);
    } else {
        note_primary(t, in->p);
        settle(c, f, in);
        cmp_tcp_run(c, f, NULL);
    }
    if (may_contradict(t)) {
        /* One that matched is perhaps there no more. */
        check_ends(c, f, matched ? NULL : in->p, NULL);
    }
    if (!matched && completes(t, seq)) {
        cmp_tcp_run(c, f, NULL);
    }
    if (may_contradict(t)) {
        run_acks(c, f);
    }
}

void cmp_tcp_primary(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    CmpTcp *t = &f->t;
    const NetPacket *p = in->p;
    guint32 seq, end;

    if (p->flags & NET_TCP_RST) {
        primary_reset(c, f, in);
        return;
    }
    if (p->flags & NET_TCP_SYN) {
        cmp_tcp_syn_primary(c, f, in);
    }
    seq = data_seq(p);
    end = stream_end(p);
    if (!t->started) {
        start(t, seq);
        cmp_tcp_trim(c, f);
    }
    if (net_seq_lt(seq, t->floor) && end - seq > 1) {
        /*
         * Sent again from before this flow was known, or sent late: who knows.
         * (One byte below is what keepalives have.)
         */
        note_primary(t, p);
        cmp_hold(c, in, CMP_COMPARED, TRUE);
        cmp_need(c, NET_CAUSE_HEADER, &f->key, in->p, NULL);
    } else if (net_seq_lt(t->next, end) &&
               (seq != end || p->flags & NET_TCP_SYN)) {
        if (end - t->next > CMP_MAX_WINDOW) {
            cmp_hold(c, in, CMP_COMPARED, TRUE); /* beyond any window */
        } else {
            primary_data(c, f, in, seq);
        }
    } else {
        note_primary(t, p);
        settle(c, f, in);
    }
    cmp_tcp_look(c, f);
}

/* --- The SVM's ----------------------------------------------------------- */

static void secondary_ack(CmpTcp *t, const NetPacket *s)
{
    if (s->flags & NET_TCP_RST) {
        /* The connection is over, or never was: nothing to be older than. */
        t->s_ack = s->ack;
    } else if (!t->has_s_ack) {
        t->s_ack = s->ack;
    } else if (net_seq_lt(t->s_ack, s->ack) &&
               s->ack - t->s_ack <= CMP_MAX_WINDOW) {
        t->s_ack = s->ack;
    }
    t->has_s_ack = TRUE;
    cmp_tcp_window(t, s);
}

static void secondary_stream(NetCompare *c, CmpFlow *f, const NetPacket *s,
                             NetBuf *buf, const NetDigests *d, guint32 seq)
{
    CmpTcp *t = &f->t;
    guint32 len = d ? d->len : s->payload_len, end = seq + len;

    if (len && (!t->has_s_end || net_seq_lt(t->s_end, end))) {
        t->s_end = end;
        t->has_s_end = TRUE;
    }
    if (s->flags & NET_TCP_FIN) {
        if (t->has_s_fin && t->s_fin != end) {
            cmp_diverge(c, f, NET_CAUSE_FIN, NULL, s); /* against itself */
            cmp_tcp_unsee(c, f);
            return;
        }
        t->s_fin = end;
        t->has_s_fin = TRUE;
    }
    if (len) {
        cmp_tcp_see(c, f, s, buf, d, seq);
    } else {
        cmp_tcp_run(c, f, s);
    }
}

void cmp_tcp_settled(NetCompare *c, CmpFlow *f, const NetPacket *s)
{
    if (may_contradict(&f->t)) {
        check_ends(c, f, NULL, s);
    }
    run_acks(c, f);
    cmp_tcp_look(c, f);
}

void cmp_tcp_secondary(NetCompare *c, CmpFlow *f, const NetPacket *s,
                       NetBuf *buf, const NetDigests *d)
{
    CmpTcp *t = &f->t;
    guint32 seq, len = d ? d->len : s->payload_len;

    if (s->flags & NET_TCP_SYN && !(s->flags & NET_TCP_RST)) {
        if (!cmp_tcp_syn_secondary(c, f, s, buf)) {
            return;
        }
    } else if (t->s_syn || !t->synced) {
        c->stats.secondary_ignored++; /* of another connection than the PVM's */
        return;
    }
    if (s->flags & NET_TCP_ACK) {
        secondary_ack(t, s);
    }
    seq = data_seq(s) + t->delta;
    if (s->flags & NET_TCP_RST) {
        t->s_rst = TRUE;
        t->s_rst_ack = s->ack;
    } else if (f->diverged) {
        c->stats.secondary_ignored += len > 0;
    } else if (t->started && seq + len - t->next + CMP_MAX_WINDOW >
                                 2u * CMP_MAX_WINDOW) {
        c->stats.secondary_ignored++; /* beyond any window */
    } else {
        secondary_stream(c, f, s, buf, d, seq);
    }
    cmp_tcp_settled(c, f, s);
    if (!d) {
        cmp_tcp_hole(c, f, s);
    }
}

/* --- Checkpoints --------------------------------------------------------- */

void cmp_tcp_left(NetCompare *c, CmpFlow *f, const NetPacket *p,
                  gboolean compared)
{
    CmpTcp *t = &f->t;

    if (!compared) {
        if (p->flags & NET_TCP_SYN && !(p->flags & NET_TCP_RST) &&
            !(t->has_p_isn && t->p_isn == p->seq)) {
            cmp_tcp_begin(c, f, p);
        } else if (!t->started && !(p->flags & NET_TCP_RST)) {
            start(t, data_seq(p));
        }
        note_primary(t, p);
    }
    if (p->flags & NET_TCP_ACK) {
        cmp_tcp_edge(t, p, p->window);
    }
}

/* The SVM's timeline ends; it will go on from what the PVM has sent. */
void cmp_tcp_commit(NetCompare *c, CmpFlow *f)
{
    CmpTcp *t = &f->t;

    cmp_tcp_unsee(c, f);
    cmp_tcp_forget_syns(c, f);
    if (t->started && net_seq_lt(t->next, t->p_end)) {
        t->next = t->p_end;
    }
    t->floor = t->next - CMP_MAX_WINDOW;
    t->delta = 0;
    t->synced = TRUE;
    t->s_isn = t->p_isn;
    t->has_s_isn = t->has_p_isn;
    t->has_s_fin = t->has_s_end = FALSE;
    t->s_rst = t->p_rst;
    t->s_rst_ack = t->p_ack;
    t->s_ack = t->s_win_ack = t->p_ack;
    t->has_s_ack = t->has_p_ack;
    t->s_win = t->p_win;
    t->has_s_win = t->has_p_win;
}

/* What the SVM said is not to be trusted any more, until the next commit. */
void cmp_tcp_blind(NetCompare *c, CmpFlow *f)
{
    cmp_tcp_unsee(c, f);
    cmp_tcp_forget_syns(c, f);
}
