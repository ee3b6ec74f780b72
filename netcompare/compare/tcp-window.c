/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window that the client is told: the smaller of both guests'; and, where
 * only one of them has lost something, the ACK.
 *
 * A window's right edge is ack + (window << scale).  The scale is known when
 * the guest's SYN-ACK was seen.  When the guest itself began, it is what its
 * SYN offered, or 0; when the SYN was not seen, anything from 0 to 14.  Edges
 * are linear in 1 << scale, and the highest of many is convex, so what holds
 * for the lowest (lo) and the highest (hi) possible scale holds in between.
 *
 * A right edge that the client was told is never taken back (RFC 9293,
 * 3.8.6): the window becomes no smaller than that.
 *
 * The SVM may drop what the PVM has taken in: its tap or its socket was full.
 * The PVM's ACKs, which are of more, then wait for it (I5), and the client
 * sends again what was not acknowledged.  It has to learn how far the SVM has
 * come by that, or it sends the same segment again and again.  So when the SVM
 * says, by SACK blocks, that something is missing, an ACK of the PVM's leaves
 * with the SVM's number.  The last one waits, to tell when nothing is missing.
 */
#include "netcompare/compare/internal.h"
#include "netcompare/packet/checksum.h"

#include <string.h>

enum { ACK_AT = 8, WINDOW_AT = 14, NO_OPERATION = 1 };

static gboolean plain(const NetPacket *p)
{
    return (p->flags & (NET_TCP_ACK | NET_TCP_SYN | NET_TCP_RST)) ==
           NET_TCP_ACK;
}

void cmp_tcp_edge(CmpTcp *t, const NetPacket *p, guint16 window)
{
    guint32 lo, hi;

    if (p->flags & NET_TCP_RST) {
        return;
    }
    if (!t->has_told_ack || net_seq_lt(t->told_ack, p->ack)) {
        t->told_ack = p->ack;
        t->has_told_ack = TRUE;
    }
    lo = hi = p->ack + window; /* a SYN's is not scaled */
    if (!(p->flags & NET_TCP_SYN)) {
        lo = p->ack + ((guint32)window << t->ws_lo);
        hi = p->ack + ((guint32)window << t->ws_hi);
    }
    if (!t->has_edge || net_seq_lt(t->edge_lo, lo)) {
        t->edge_lo = lo;
    }
    if (!t->has_edge || net_seq_lt(t->edge_hi, hi)) {
        t->edge_hi = hi;
    }
    t->has_edge = TRUE;
}

void cmp_tcp_window(CmpTcp *t, const NetPacket *s)
{
    if (plain(s) && s->ack == t->s_ack) { /* no older one */
        t->s_win = s->window;
        t->s_win_ack = s->ack;
        t->has_s_win = TRUE;
    }
}

/* The window that reaches from ack to edge, rounded up. */
static guint32 needed(guint32 edge, guint32 ack, guint8 scale)
{
    guint32 n = edge - ack;

    return net_seq_lt(ack, edge) ? (n >> scale) + !!(n & ((1u << scale) - 1))
                                 : 0;
}

static guint16 allowed(const CmpTcp *t, const NetPacket *p)
{
    guint32 window;

    if (!t->has_s_win || !plain(p) || net_seq_lt(t->s_win_ack, p->ack)) {
        return p->window;
    }
    window = t->s_win + ((t->s_win_ack - p->ack) >> t->ws_hi);
    if (window < p->window && t->has_edge) {
        window = MAX(window, needed(t->edge_lo, p->ack, t->ws_lo));
        window = MAX(window, needed(t->edge_hi, p->ack, t->ws_hi));
    }
    return (guint16)MIN(window, p->window);
}

gboolean cmp_tcp_signed(const NetPacket *p)
{
    return net_packet_has_option(p, NET_TCPOPT_MD5) ||
           net_packet_has_option(p, NET_TCPOPT_AO);
}

/* It would be of bytes beyond an ACK that has become smaller. */
static void take_sack_out(guint8 *data, const NetPacket *p)
{
    guint32 at = p->options, body, body_len;
    int kind;

    while ((kind = net_packet_next_option(p, &at, &body, &body_len)) >= 0) {
        if (kind == NET_TCPOPT_SACK) {
            memset(data + body - 2, NO_OPERATION, body_len + 2);
        }
    }
}

static const guint8 *rewrite(NetCompare *c, const NetPacket *p, guint32 ack,
                             guint16 window)
{
    if (c->scratch_size < p->len) {
        g_free(c->scratch);
        c->scratch = g_malloc(p->len);
        c->scratch_size = p->len;
    }
    memcpy(c->scratch, p->data, p->len);
    net_put16(c->scratch + p->l4 + WINDOW_AT, window);
    if (ack != p->ack) {
        net_put32(c->scratch + p->l4 + ACK_AT, ack);
        take_sack_out(c->scratch, p);
    }
    return net_checksum_fill(p, c->scratch) ? c->scratch : NULL;
}

/* The bytes of h that have not left, up to the offset end. */
static gboolean send_part(NetCompare *c, CmpTcp *t, CmpHeld *h, guint32 end)
{
    guint16 window = allowed(t, &h->p);
    guint mss = t->mss ? t->mss : CMP_LEAST_MSS;

    if (!h->gso) {
        mss = MAX(mss, h->p.payload_len); /* the whole of it is a packet */
    }
    if (!c->ops.part(c->user, h->id, &h->p, h->sent, end - h->sent, window,
                     mss, MAX(c->now - h->since, 0))) {
        return FALSE;
    }
    h->sent = end;
    c->stats.parts++;
    if (h->p.flags & NET_TCP_ACK) {
        cmp_tcp_edge(t, &h->p, window);
    }
    return TRUE;
}

void cmp_tcp_release_part(NetCompare *c, CmpFlow *f, CmpHeld *h)
{
    send_part(c, &f->t, h, f->t.next - h->seq);
}

void cmp_tcp_release(NetCompare *c, CmpFlow *f, CmpIn *in)
{
    CmpTcp *t = &f->t;
    const NetPacket *p = in->p;
    const guint8 *data = NULL;

    if (in->held && in->held->sent &&
        send_part(c, t, in->held, p->payload_len)) {
        cmp_release_sent(c, in->held);
        return;
    }
    if (p->flags & NET_TCP_ACK) {
        guint16 window = allowed(t, p);

        if (window < p->window) {
            data = in->gso || cmp_tcp_signed(p)
                       ? NULL
                       : rewrite(c, p, p->ack, window);
            if (data) {
                c->stats.windows++;
            } else {
                c->stats.windows_kept++;
                window = p->window;
            }
        }
        cmp_tcp_edge(t, p, window);
    }
    cmp_release(c, in, NET_RELEASE_MATCH, data, data ? p->len : 0);
}

/* --- What only the SVM has lost ------------------------------------------ */

/* An ACK that waits, and is not the last one. */
static CmpHeld *spare_ack(const CmpTcp *t)
{
    for (CmpLink *l = t->acks.next; l != &t->acks && l->next != &t->acks;
         l = l->next) {
        CmpHeld *h = CMP_ENTRY(l, CmpHeld, queue);

        if (plain(&h->p) && !(h->p.flags & NET_TCP_FIN) && !h->p.payload_len &&
            !h->gso && !cmp_tcp_signed(&h->p)) {
            return h;
        }
    }
    return NULL;
}

void cmp_tcp_hole(NetCompare *c, CmpFlow *f, const NetPacket *s)
{
    CmpTcp *t = &f->t;
    CmpHeld *h;
    CmpIn in;
    const guint8 *data;
    guint32 window, room;

    if (cmp_list_empty(&t->acks) || !plain(s) || s->ack != t->s_ack ||
        !t->has_told_ack || !net_seq_lt(t->told_ack, t->s_ack) ||
        !net_packet_has_option(s, NET_TCPOPT_SACK) || !(h = spare_ack(t))) {
        return;
    }
    room = h->p.window + ((h->p.ack - t->s_ack) >> t->ws_hi);
    window = MIN(s->window, room);
    window = MAX(window, needed(t->edge_lo, t->s_ack, t->ws_lo));
    window = MAX(window, needed(t->edge_hi, t->s_ack, t->ws_hi));
    data = rewrite(c, &h->p, t->s_ack, (guint16)MIN(window, G_MAXUINT16));
    if (data) {
        NetPacket told = h->p;

        told.ack = t->s_ack;
        cmp_tcp_edge(t, &told, (guint16)MIN(window, G_MAXUINT16));
        c->stats.acks_lowered++;
        in = cmp_in_held(h);
        cmp_release(c, &in, NET_RELEASE_MATCH, data, h->p.len);
    }
}
