/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model's guests: what they send, and how.  See model.h. */
#include "model-internal.h"

#include <string.h>

/* --- On the wire -------------------------------------------------------- */

static gsize build(Model *m, const Packet *x, gboolean primary)
{
    /* NOP, NOP, one block */
    static const guint8 sack[] = {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2};
    Conn *c = &m->conns[x->conn];
    const guint8 *stream = primary ? c->bytes : c->svm_bytes;
    gboolean syn = (x->flags & NET_TCP_SYN) != 0;
    guint8 text[4];
    Segment s = {
        .flow = x->conn,
        .v6 = c->v6,
        .flags = x->flags,
        .seq = x->isn + !syn + x->from,
        .ack = x->flags & NET_TCP_ACK ? c->client_isn + 1 + x->acked : 0,
        .window = x->window,
        .data = stream + x->from,
        .len = x->to - x->from,
        .ip_id = (guint16)pick(m, 65536),
    };

    if (x->flags == NET_TCP_ACK && pick(m, 4) == 0) {
        s.options = sack;
        s.n_options = sizeof(sack);
    }
    if (c->kind == UDP) {
        text[0] = (guint8)x->from;
        text[1] = stream[x->from];
        text[2] = text[3] = 0;
        return build_datagram(m->bytes, c->v6, x->conn, s.ip_id, text,
                              2 + x->from % 3);
    }
    return build_segment(m->bytes, &s);
}

/* --- Digests ------------------------------------------------------------ */

static gboolean by_digests(Model *m, const Packet *x)
{
    return m->conns[x->conn].kind != UDP && x->from < x->to &&
           !(x->flags & (NET_TCP_SYN | NET_TCP_RST)) && pick(m, 2);
}

static void deliver_digests(Model *m, const Packet *x)
{
    Conn *c = &m->conns[x->conn];
    Packet head = *x;
    NetDigests d;
    NetPacket p;
    gsize len;

    g_assert_cmpuint(m->n_frames, <, MAX_FRAMES);
    net_digests_make(&d, m->n_frames, m->secret, c->svm_bytes + x->from,
                     x->to - x->from, 5 + pick(m, pick(m, 2) ? 20 : 200));
    m->frames[m->n_frames++] = (Frame){.packet = *x};
    head.to = head.from;
    len = build(m, &head, FALSE);
    build_parse(&p, m->bytes, len, c->v6);
    TRACE("  digests %u, pieces of %u", (guint)d.number, d.piece);
    net_compare_secondary_digests(m->compare, &p, &d, m->now);
    model_totals.digests++;
}

static void answer(Model *m, guint number)
{
    Frame *f = &m->frames[number];
    gboolean gone = m->fault && pick(m, 4) == 0;
    NetPacket p;

    f->asked = FALSE;
    m->n_asked--;
    if (gone) {
        m->silent = TRUE;
        model_totals.gone++;
        TRACE("gone %u", number);
        if (pick(m, 2)) { /* else: never */
            net_compare_content(m->compare, 1, number, NULL, NULL, m->now);
        }
    } else {
        gsize len = build(m, &f->packet, FALSE);

        TRACE("content %u", number);
        build_parse(&p, m->bytes, len, m->conns[f->packet.conn].v6);
        net_compare_content(m->compare, 1, number, &p, NULL, m->now);
    }
}

void svm_answer(Model *m, gboolean all)
{
    for (guint i = 0; i < m->n_frames && m->n_asked; i++) {
        if (m->frames[i].asked && (all || pick(m, 2))) {
            answer(m, i);
        }
    }
}

static void deliver(Model *m, Packet *x, gboolean primary)
{
    gboolean v6 = m->conns[x->conn].v6;
    gsize len = build(m, x, primary);
    g_autoptr(NetBuf) buf = NULL;
    const guint8 *data = m->bytes;
    NetPacket p;

    if (pick(m, 4) == 0) {
        buf = net_buf_new(len);
        memcpy(buf->data, data, len);
        data = buf->data;
    }
    build_parse(&p, data, len, v6);
    if (pick(m, 4) == 0) {
        net_compare_settle(m->compare, m->now);
    }
    TRACE("%s %u: %u to %u (seq %u) flags %x ack %u window %u",
          primary ? "PVM" : "SVM", x->conn, x->from, x->to, p.seq, x->flags,
          x->acked, x->window);
    m->now += pick(m, 20);
    if (primary) {
        g_assert_cmpuint(m->n_packets, <, MAX_PACKETS);
        x->id = m->n_packets++;
        x->released = FALSE;
        m->packets[x->id] = *x;
        m->n_unreleased++;
        net_compare_primary(m->compare, &p, buf, x->id, pick(m, 10) == 0,
                            m->now);
    } else {
        oracle_saw(m, x);
        if (by_digests(m, x)) {
            deliver_digests(m, x);
        } else {
            net_compare_secondary(m->compare, &p, buf, m->now);
        }
    }
    model_totals.packets++;
}

static void deliver_one(Model *m, Wire *w, guint i, gboolean primary)
{
    Packet x = w->packets[i];

    memmove(w->packets + i, w->packets + i + 1, (--w->n - i) * sizeof(Packet));
    deliver(m, &x, primary);
}

void wire_flush(Model *m, gboolean primary)
{
    Wire *w = primary ? &m->p_wire : &m->s_wire;

    while (w->n) {
        deliver_one(m, w, pick(m, w->n), primary);
    }
}

static void send(Model *m, const Packet *x, gboolean primary)
{
    Wire *w = primary ? &m->p_wire : &m->s_wire;
    Conn *c = &m->conns[x->conn];

    /* What cannot be overtaken: a first packet, and what was sent before RST */
    if (c->kind == UDP || x->flags & (NET_TCP_SYN | NET_TCP_RST) ||
        (primary && !c->first_left)) {
        Packet copy = *x;

        wire_flush(m, primary);
        c->first_left |= primary;
        deliver(m, &copy, primary);
        return;
    }
    if (w->n == MAX_WIRE) {
        deliver_one(m, w, pick(m, w->n), primary);
    }
    w->packets[w->n++] = *x;
    while (w->n && pick(m, 2)) {
        deliver_one(m, w, pick(m, w->n), primary);
    }
}

/* --- What a guest sends ------------------------------------------------- */

static guint index_of(const Model *m, const Conn *c)
{
    return (guint)(c - m->conns);
}

static guint length(const Conn *c, gboolean primary)
{
    return primary ? c->len : c->svm_len;
}

static Packet packet(Model *m, Conn *c, gboolean primary, guint8 flags)
{
    const Side *side = primary ? &c->p : &c->s;

    return (Packet){
        .conn = index_of(m, c),
        .isn = side->isn,
        .flags = flags,
        .acked = side->acked,
        .window = (guint16)pick(m, pick(m, 2) ? 65536 : 1000),
    };
}

void guest_syn(Model *m, Conn *c, gboolean primary)
{
    Side *side = primary ? &c->p : &c->s;
    Packet x;

    if (!side->syn) {
        /* Often near the end of all numbers, and near each other's */
        side->isn =
            pick(m, 2) ? (guint32)pick(m, G_MAXUINT) : (guint32)-pick(m, 400);
        if (pick(m, 2)) {
            side->isn = (primary ? &c->s : &c->p)->isn + pick(m, 40) - 20;
        }
        side->syn = TRUE;
    }
    x = packet(m, c, primary,
               NET_TCP_SYN | (c->kind == ANSWERS ? NET_TCP_ACK : 0));
    x.acked = 0;
    send(m, &x, primary);
}

static void send_range(Model *m, Conn *c, gboolean primary, guint from,
                       guint to)
{
    Side *side = primary ? &c->p : &c->s;
    gboolean fin =
        to == length(c, primary) && !c->reset && (side->end || pick(m, 2));
    Packet x = packet(m, c, primary,
                      NET_TCP_ACK | (fin ? NET_TCP_FIN : 0) |
                          (pick(m, 2) ? NET_TCP_PSH : 0));

    x.from = from;
    x.to = to;
    side->sent = MAX(side->sent, to);
    side->end |= fin;
    send(m, &x, primary);
}

void guest_acknowledge(Model *m, Conn *c, gboolean primary)
{
    Side *side = primary ? &c->p : &c->s;
    Packet x;

    x = packet(m, c, primary, NET_TCP_ACK);
    x.from = x.to = side->sent + side->end;
    send(m, &x, primary);
}

static void send_message(Model *m, Conn *c, gboolean primary)
{
    Side *side = primary ? &c->p : &c->s;
    Packet x = packet(m, c, primary, 0);

    if (side->again) {
        x.from = side->sent - side->again--;
    } else if (side->sent < length(c, primary)) {
        x.from = side->sent++;
    } else {
        return;
    }
    x.to = x.from + 1;
    send(m, &x, primary);
}

static gboolean may_send(const Conn *c, gboolean primary)
{
    const Side *side = primary ? &c->p : &c->s;

    return c->kind == OPEN_BEFORE || (c->established && side->syn);
}

void guest_step(Model *m, Conn *c, gboolean primary)
{
    Side *side = primary ? &c->p : &c->s;
    guint len = length(c, primary), from, to;

    if (c->kind == UDP) {
        send_message(m, c, primary);
        return;
    }
    if (side->end && c->reset) {
        return;
    }
    if (!may_send(c, primary)) {
        if (c->opened && (!side->syn || !pick(m, 4))) {
            guest_syn(m, c, primary);
        }
        return;
    }
    if (side->acked < c->client_sent && pick(m, 2)) {
        side->acked += 1 + pick(m, c->client_sent - side->acked);
    }
    switch (pick(m, 8)) {
    case 0:
        guest_acknowledge(m, c, primary);
        return;
    case 1: /* again, and perhaps more than before */
    case 2:
        from = pick(m, side->sent + 1);
        break;
    default:
        from = side->sent;
    }
    to = from + 1 + pick(m, pick(m, 2) ? 20 : 200);
    to = MIN(len, to);
    if (from < to || (!side->end && !c->reset)) {
        send_range(m, c, primary, from, MAX(from, to));
    }
}

/* All that is left, and the end. */
void guest_finish(Model *m, Conn *c, gboolean primary)
{
    Side *side = primary ? &c->p : &c->s;
    guint len = length(c, primary);

    if (c->kind == UDP) {
        while (side->sent < len || side->again) {
            send_message(m, c, primary);
        }
        return;
    }
    if (side->end && c->reset) {
        return;
    }
    side->acked = c->client_sent;
    while (side->sent < len || (!c->reset && !side->end)) {
        guint to = side->sent + 1 + pick(m, 300);

        send_range(m, c, primary, side->sent, MIN(len, to));
    }
    if (c->reset) {
        Packet x =
            packet(m, c, primary, NET_TCP_RST | (c->len % 2 ? NET_TCP_ACK : 0));

        guest_acknowledge(m, c, primary);
        x.from = x.to = len;
        side->end = TRUE;
        send(m, &x, primary);
    } else {
        guest_acknowledge(m, c, primary);
    }
}

/* --- What they are ------------------------------------------------------ */

static void no_fault(Conn *c)
{
    memcpy(c->svm_bytes, c->bytes, sizeof(c->bytes));
    c->svm_len = c->len;
    c->diff = G_MAXUINT;
}

/* Somewhere in what the SVM has not sent. */
void guest_fault(Model *m, Conn *c)
{
    guint left = c->len - MIN(c->s.sent, c->len);
    guint at, kind = pick(m, 3);

    if (!left || c->s.end) {
        return;
    }
    at = c->s.sent + pick(m, left);
    no_fault(c);
    if (kind == 0) {
        c->svm_bytes[at] ^= 1;
    } else if (kind == 1) {
        memmove(c->svm_bytes + at, c->svm_bytes + at + 1, c->len - at - 1);
        c->svm_len--;
    } else {
        memmove(c->svm_bytes + at + 1, c->svm_bytes + at, c->len - at);
        c->svm_bytes[at] = (guint8)pick(m, 2);
        c->svm_len++;
    }
    while (at < c->len && at < c->svm_len && c->bytes[at] == c->svm_bytes[at]) {
        at++;
    }
    c->diff = at;
}

void svm_load(Model *m, const Snapshot *from)
{
    /* It keeps nothing of before; what is asked for is gone. */
    for (guint i = 0; i < m->n_frames && m->n_asked; i++) {
        if (m->frames[i].asked) {
            m->frames[i].asked = FALSE;
            m->n_asked--;
            if (m->n_late < MAX_LATE && pick(m, 2)) {
                m->late_gone[m->n_late++] = i;
            }
        }
    }
    m->s_wire.n = 0;
    for (guint i = 0; i < m->n_conns; i++) {
        Conn *c = &m->conns[i];

        c->s = from->sides[i];
        if (c->kind == UDP) {
            c->s.again = pick(m, 4);
            c->s.again = MIN(c->s.again, c->s.sent);
        }
        no_fault(c);
        if (m->fault && pick(m, 2)) {
            guest_fault(m, c);
        }
    }
}

void guests_init(Model *m)
{
    m->n_conns = 1 + pick(m, MAX_CONNS);
    for (guint i = 0; i < m->n_conns; i++) {
        Conn *c = &m->conns[i];

        memset(c, 0, sizeof(*c));
        c->kind = (Kind)pick(m, N_KINDS);
        c->v6 = pick(m, 3) == 0;
        c->reset = pick(m, 4) == 0;
        c->len = c->kind == UDP ? pick(m, MAX_MESSAGES) : pick(m, MAX_STREAM);
        /* Few different bytes: wrong places look right. */
        for (guint j = 0; j < c->len; j++) {
            c->bytes[j] = (guint8)pick(m, 2);
        }
        c->client_isn =
            pick(m, 2) ? (guint32)pick(m, G_MAXUINT) : (guint32)-pick(m, 400);
        c->p.isn = c->s.isn =
            pick(m, 2) ? pick(m, G_MAXUINT) : (guint32)-pick(m, 400);
        c->opened = pick(m, 2);
        no_fault(c);
        if (m->fault && (i == 0 || pick(m, 2))) {
            guest_fault(m, c);
        }
    }
}
