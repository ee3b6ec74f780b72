/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window that the client is told: the smaller of both guests'.
 *
 * A window's right edge is ack + (window << scale).  The scale is known when
 * the guest's SYN-ACK was seen.  When the guest itself began, it is what its
 * SYN offered, or 0; when the SYN was not seen, anything from 0 to 14.  Edges
 * are linear in 1 << scale, and the highest of many is convex, so what holds
 * for the lowest (lo) and the highest (hi) possible scale holds in between.
 *
 * A right edge that the client was told is never taken back (RFC 9293,
 * 3.8.6): the window becomes no smaller than that.
 */
#include "netcompare/compare/internal.h"
#include "netcompare/packet/checksum.h"

#include <string.h>

enum { WINDOW_AT = 14 };

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
    guint32 at = p->options, body, body_len;
    int kind;

    do {
        kind = net_packet_next_option(p, &at, &body, &body_len);
    } while (kind >= 0 && kind != NET_TCPOPT_MD5 && kind != NET_TCPOPT_AO);
    return kind >= 0;
}

static const guint8 *rewrite(NetCompare *c, const NetPacket *p, guint16 window)
{
    if (c->scratch_size < p->len) {
        g_free(c->scratch);
        c->scratch = g_malloc(p->len);
        c->scratch_size = p->len;
    }
    memcpy(c->scratch, p->data, p->len);
    net_put16(c->scratch + p->l4 + WINDOW_AT, window);
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
            data = in->gso || cmp_tcp_signed(p) ? NULL : rewrite(c, p, window);
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
