/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model's oracle: may this leave?  See model.h. */
#include "model-internal.h"

#include <string.h>

/* A packet of the SVM is about to be handed in. */
void oracle_saw(Model *m, const Packet *x)
{
    Conn *c = &m->conns[x->conn];

    if (!m->listening) {
        return;
    }
    if (x->flags & NET_TCP_RST) {
        c->seen_reset = TRUE;
    }
    if (x->flags & NET_TCP_SYN) {
        c->seen_syn = TRUE;
    }
    for (guint i = x->from; i < x->to; i++) {
        c->seen[i] = (guint16)(1 + c->svm_bytes[i]);
    }
    if (x->flags & NET_TCP_FIN) {
        c->seen[x->to] = SEEN_FIN;
    }
    if (x->flags & NET_TCP_ACK) {
        c->seen_ack = TRUE;
        c->svm_acked = MAX(c->svm_acked, x->acked);
    }
}

#define RULE(x, text)                                                          \
    do {                                                                       \
        if (!(x)) {                                                            \
            g_error("packet %" G_GUINT64_FORMAT                                \
                    " of connection %u, %u to %u, "                            \
                    "flags %x, ack %u: %s",                                    \
                    p->id, p->conn, p->from, p->to, p->flags, p->acked, text); \
        }                                                                      \
    } while (0)

static void check_match(Model *m, const Conn *c, const Packet *p)
{
    const Side *k = &c->committed;

    RULE(m->listening, "I1: the SVM runs something else");
    RULE(!m->captured || p->id < m->capture.upto, "I1: sent after the capture");
    for (guint i = p->from; i < p->to; i++) {
        RULE(i < k->sent || c->seen[i] == 1 + c->bytes[i],
             "I1: a byte that the SVM has not sent");
        RULE(i < k->sent || i < c->diff, "I1: behind a difference");
    }
    if (p->flags & NET_TCP_FIN) {
        RULE(k->end || (c->seen[p->to] == SEEN_FIN && p->to < c->diff),
             "I1: the SVM has sent no FIN here");
    }
    if (p->flags & NET_TCP_SYN) {
        RULE(k->syn || c->seen_syn, "I1: the SVM has not begun");
    }
    if (p->flags & NET_TCP_RST) {
        RULE(k->end || c->seen_reset, "I1: the SVM has not reset");
    }
    if (p->flags & NET_TCP_ACK) {
        RULE(p->acked <= k->acked || (c->seen_ack && p->acked <= c->svm_acked),
             "I5: the SVM has not acknowledged that");
    }
}

/* The packet is as it left from here on. */
static void note_ack(Model *m, Conn *c, Packet *p, const guint8 *data,
                     gsize len)
{
    guint was = p->acked;
    NetPacket x;

    if (!(p->flags & NET_TCP_ACK) || p->flags & NET_TCP_RST) {
        return;
    }
    if (data) {
        build_parse(&x, data, len, c->v6);
        p->acked = x.ack - (c->client_isn + 1);
        RULE(p->acked <= was, "a higher ACK");
        if (p->acked < was) {
            RULE(p->acked >= c->told, "lowered to less than was said before");
            RULE(p->from == p->to &&
                     !(p->flags & (NET_TCP_SYN | NET_TCP_FIN)),
                 "lowered, and not just an ACK");
            model_totals.lowered++;
        }
    }
    c->told = MAX(c->told, p->acked);
    c->pvm_acked = MAX(c->pvm_acked, was);
}

/* The window's scale is 0 where it is known; else anything. */
static void check_window(Model *m, Conn *c, const Packet *p, const guint8 *data,
                         gsize len, gboolean lowered)
{
    guint16 window = p->window;
    guint32 ack = c->client_isn + 1 + p->acked, at_0, at_14;
    NetPacket x;

    if (!(p->flags & NET_TCP_ACK) || p->flags & NET_TCP_RST) {
        RULE(!data, "rewritten without an ACK");
        return;
    }
    if (data) {
        build_parse(&x, data, len, c->v6);
        RULE(x.kind == NET_KIND_TCP && x.ack == ack && x.flags == p->flags,
             "rewritten to another packet");
        RULE(x.payload_len == p->to - p->from &&
                 !memcmp(data + x.payload, c->bytes + p->from, x.payload_len),
             "rewritten to other bytes");
        RULE(lowered || x.window < p->window, "rewritten to no smaller window");
        window = x.window;
        model_totals.windows += !lowered;
    }
    at_0 = ack + window;
    at_14 = ack + ((guint32)window << 14);
    RULE(!data || !c->has_edge || net_seq_le(c->edge_0, at_0),
         "the window's right edge is taken back");
    if (c->kind != ANSWERS && c->kind != ASKS) {
        RULE(!data || !c->has_edge || net_seq_le(c->edge_14, at_14),
             "a scaled window's right edge is taken back");
    }
    if (!c->has_edge || net_seq_lt(c->edge_0, at_0)) {
        c->edge_0 = at_0;
    }
    if (!c->has_edge || net_seq_lt(c->edge_14, at_14)) {
        c->edge_14 = at_14;
    }
    c->has_edge = TRUE;
}

static void on_release(gpointer user, guint64 id, const guint8 *data, gsize len,
                       NetRelease why, gint64 held_us)
{
    Model *m = user;
    Packet *p;
    Conn *c;
    guint acked;

    g_assert_cmpuint(id, <, m->n_packets);
    p = &m->packets[id];
    c = &m->conns[p->conn];
    acked = p->acked;
    note_ack(m, c, p, data, len);
    TRACE("  %s %u: %u to %u flags %x ack %u", net_release_name(why), p->conn,
          p->from, p->to, p->flags, p->acked);
    RULE(!p->released, "released twice");
    p->released = TRUE;
    m->n_unreleased--;
    if (why == NET_RELEASE_MATCH) {
        check_match(m, c, p);
        model_totals.matched++;
    } else {
        RULE(why == NET_RELEASE_CHECKPOINT, "released for no good reason");
        RULE(id < m->committing, "not part of the checkpoint");
        model_totals.by_checkpoint++;
    }
    check_window(m, c, p, data, len, p->acked < acked);
    for (guint i = p->from; i < p->to; i++) {
        c->got[i] = 1;
    }
    if (p->flags & NET_TCP_SYN) {
        c->established = TRUE;
    }
}

/* Only what has left in parts. */
static void on_drop(gpointer user, guint64 id)
{
    Model *m = user;
    Packet *p = &m->packets[id];

    g_assert_cmpuint(id, <, m->n_packets);
    RULE(!p->released, "dropped, and released before");
    RULE(p->sent && p->sent == p->to - p->from, "dropped, and not sent");
    p->released = TRUE;
    m->n_unreleased--;
    model_totals.in_parts++;
}

static gboolean on_part(gpointer user, guint64 id, const NetPacket *x,
                        guint32 at, guint32 len, guint16 window, guint mss,
                        gint64 held_us)
{
    Model *m = user;
    Packet *p = &m->packets[id], part;
    Conn *c = &m->conns[p->conn];

    g_assert_cmpuint(id, <, m->n_packets);
    RULE(!p->released, "a part of what was released");
    RULE(at == p->sent && len && at + len <= p->to - p->from,
         "not the next part");
    RULE(x->payload_len == p->to - p->from &&
             !memcmp(x->data + x->payload, c->bytes + p->from, x->payload_len),
         "a part of another packet");
    g_assert_cmpuint(mss, >=, 1);
    if (!pick(m, 4)) {
        return FALSE;
    }
    part = *p;
    part.from = p->from + at;
    part.to = part.from + len;
    if (part.to < p->to) {
        part.flags &= (guint8)~NET_TCP_FIN;
    }
    check_match(m, c, &part);
    RULE(window <= p->window, "a larger window");
    part.window = window;
    note_ack(m, c, &part, NULL, 0);
    check_window(m, c, &part, NULL, 0, FALSE);
    for (guint i = part.from; i < part.to; i++) {
        c->got[i] = 1;
    }
    p->sent = at + len;
    model_totals.parts++;
    return TRUE;
}

static void on_need(gpointer user, NetCause cause, const NetKey *flow,
                    const NetPacket *pvm, const NetPacket *svm)
{
    Model *m = user;

    if (!m->fault) {
        g_autofree char *text = flow ? net_key_format(flow) : NULL;

        g_error("%s of %s, but both guests send the same",
                net_cause_name(cause), text);
    }
    m->needs++;
    model_totals.needs++;
}

static void on_offset(gpointer user, const NetKey *flow, guint32 seq_delta,
                      guint32 ts_delta)
{
    Model *m = user;
    const Conn *c = &m->conns[flow->dport - 1024];

    g_assert_cmpuint(seq_delta, ==, c->p.isn - c->s.isn);
    g_assert_cmpuint(ts_delta, ==, 0);
    model_totals.offsets++;
}

static Frame *frame(Model *m, guint8 iface, guint64 number)
{
    g_assert_cmpuint(iface, ==, 1);
    g_assert_cmpuint(number, <, m->n_frames);
    g_assert_false(m->frames[number].done);
    return &m->frames[number];
}

static void on_fetch(gpointer user, guint8 iface, guint64 number)
{
    Model *m = user;
    Frame *f = frame(m, iface, number);

    TRACE("  fetch %u", (guint)number);
    m->n_asked += !f->asked;
    f->asked = TRUE;
    model_totals.fetched++;
}

static void on_done(gpointer user, guint8 iface, guint64 number)
{
    Model *m = user;

    frame(m, iface, number)->done = TRUE;
}

const NetCompareOps oracle_ops = {on_release, on_drop, on_need, on_offset,
                                  on_fetch,   on_done, on_part};
