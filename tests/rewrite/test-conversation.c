/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random conversations through the rewriter: a client that knows the primary's
 * numbers and a guest that has the secondary's.  Segments are lost, repeated
 * and reordered at random; each end checks that everything it gets makes sense
 * in its own numbers, and at last both have all bytes, FIN included.
 */
#include "netcompare/packet/checksum.h"
#include "netcompare/rewrite/rewrite.h"
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <string.h>

enum {
    CONVERSATIONS = 100000,
    MAX_SEGMENTS = 10,
    MAX_SIZE = 24,
    MAX_PACKET = 40 + 60 + MAX_SIZE,
    MAX_FLYING = 16,
    CHAOS = 40,       /* steps with losses */
    MAX_STEPS = 2000, /* then it must have ended */
};

typedef struct Wire {
    guint8 data[MAX_PACKET];
    gsize len;
    gboolean inbound, unfinished;
} Wire;

/* A stream: n segments, of which the last is FIN. */
typedef struct Stream {
    guint32 isn, n;
    guint32 at[MAX_SEGMENTS + 2]; /* offsets; segment i is at[i]..at[i+1] */
} Stream;

typedef struct World {
    GRand *rand;
    NetRewrite *r;
    guint16 ethertype;
    gboolean ts, unfinished;
    guint8 header[40]; /* of IP, guest to client */
    guint32 ip_len;
    guint32 seq_delta, ts_delta;
    guint32 guest_clock, client_clock, guest_ticks, client_ticks;
    gint64 now;

    Stream guest, client; /* in each one's own numbers */
    guint32 guest_sent;   /* segments that were sent at least once */
    guint32 guest_acked, client_acked;
    guint32 client_got; /* bits: of the guest's segments */
    guint32 guest_got;  /* in order */
    guint32 last_tsval; /* the guest's, as the client knows it */

    Wire flying[MAX_FLYING];
    guint n_flying;
} World;

static guint32 number(World *w)
{
    guint32 v = g_rand_int(w->rand);

    /* Often just before or behind the end of the numbers. */
    return v & 1 ? v : (v >> 20) - 0x400;
}

static guint8 byte_at(guint32 offset)
{
    return (guint8)(offset * 167 + (offset >> 8));
}

static void stream_init(World *w, Stream *s)
{
    s->isn = number(w);
    s->n = (guint32)g_rand_int_range(w->rand, 1, MAX_SEGMENTS + 1);
    s->at[0] = 0;
    for (guint32 i = 0; i < s->n; i++) {
        guint32 size = (guint32)g_rand_int_range(w->rand, 1, MAX_SIZE + 1);

        s->at[i + 1] = s->at[i] + (i + 1 < s->n ? size : 1);
    }
}

static void world_init(World *w, GRand *rand, NetRewrite *r)
{
    g_autoptr(GByteArray) ip = NULL;
    GByteArray *tcp = build_tcp(80, 4711, 0, 0, 0, NULL, NULL);
    NetPacket p;

    memset(w, 0, sizeof(*w));
    w->rand = rand;
    w->r = r;
    w->ethertype = g_rand_boolean(rand) ? BUILD_IPV4 : BUILD_IPV6;
    w->ts = g_rand_boolean(rand);
    w->unfinished = g_rand_int_range(rand, 0, 4) == 0;
    ip = w->ethertype == BUILD_IPV4 ? build_ipv4(IPPROTO_TCP, tcp)
                                    : build_ipv6(IPPROTO_TCP, tcp);
    w->ip_len = ip->len - 20;
    memcpy(w->header, ip->data, w->ip_len);
    stream_init(w, &w->guest);
    stream_init(w, &w->client);
    w->seq_delta = number(w);
    w->ts_delta = number(w);
    w->guest_clock = number(w);
    w->client_clock = number(w);
    w->last_tsval = w->guest_clock + w->ts_delta; /* as in the SYN */
    net_packet_parse(&p, w->ethertype, ip->data, ip->len, 0, 0);
    g_assert_true(net_rewrite_set(r, &p.key, w->seq_delta, w->ts_delta, 0));
}

/* --- Packets ------------------------------------------------------------ */

typedef struct Options {
    guint8 bytes[40];
    guint len;
} Options;

static void options_put(Options *o, const void *bytes, guint n)
{
    g_assert_cmpuint(n, <=, sizeof(o->bytes) - o->len);
    memcpy(o->bytes + o->len, bytes, n);
    o->len += n;
}

static void options_put32(Options *o, guint32 v)
{
    guint8 b[4];

    net_put32(b, v);
    options_put(o, b, sizeof(b));
}

static void options_put_ts(World *w, Options *o, guint32 val, guint32 ecr)
{
    guint nops = (guint)g_rand_int_range(w->rand, 0, 3); /* odd ones, too */

    options_put(o, "\1\1", nops);
    options_put(o, "\x08\x0a", 2);
    options_put32(o, val);
    options_put32(o, ecr);
}

static void options_pad(Options *o)
{
    while (o->len % 4) {
        options_put(o, "\1", 1);
    }
}

static gboolean rewritten(World *w, Wire *wire)
{
    NetPacket p;

    g_assert_cmpint(
        net_packet_parse(&p, w->ethertype, wire->data, wire->len, 0, 0), ==,
        NET_KIND_TCP);
    return wire->inbound ? net_rewrite_inbound(w->r, &p, wire->data,
                                               wire->unfinished, w->now)
                         : net_rewrite_outbound(w->r, &p, wire->data,
                                                wire->unfinished, w->now);
}

/* Segment i of a stream; i == n: nothing but an ACK. */
static void wire_make(World *w, Wire *wire, gboolean inbound, guint32 i,
                      guint32 ack, const Options *o)
{
    const Stream *s = inbound ? &w->client : &w->guest;
    guint32 size = i + 1 < s->n ? s->at[i + 1] - s->at[i] : 0;
    guint32 tcp_len = 20 + o->len, total = w->ip_len + tcp_len + size;
    guint8 *h = wire->data, *t = h + w->ip_len;
    GByteArray turned = {.data = h, .len = total};
    NetPacket p;

    memcpy(h, w->header, w->ip_len);
    if (inbound) {
        build_turn(&turned);
    }
    memset(t, 0, 20);
    net_put16(t, inbound ? 4711 : 80);
    net_put16(t + 2, inbound ? 80 : 4711);
    net_put32(t + 4, s->isn + 1 + s->at[i]);
    net_put32(t + 8, ack);
    t[12] = (guint8)(tcp_len / 4 << 4);
    t[13] = NET_TCP_ACK | (i + 1 == s->n ? NET_TCP_FIN : 0);
    net_put16(t + 14, 512);
    memcpy(t + 20, o->bytes, o->len);
    for (guint32 k = 0; k < size; k++) {
        t[tcp_len + k] = byte_at(s->at[i] + k);
    }
    if (w->ethertype == BUILD_IPV4) {
        net_put16(h + 2, (guint16)total);
    } else {
        net_put16(h + 4, (guint16)(tcp_len + size));
    }
    wire->len = total;
    wire->inbound = inbound;
    wire->unfinished = w->unfinished;
    net_packet_parse(&p, w->ethertype, h, total, 0, 0);
    g_assert_true(net_checksum_fill(&p, h));
    if (w->unfinished) {
        net_put16(t + 16, 0xbeef);
    }
}

static Wire *fly(World *w)
{
    return w->n_flying < MAX_FLYING ? &w->flying[w->n_flying++] : NULL;
}

/* --- Sending ------------------------------------------------------------ */

/* New, or again one that is not acknowledged. */
static guint32 pick(World *w, guint32 acked, guint32 sent, guint32 n)
{
    guint32 last = MIN(sent, n - 1);

    return acked >= n ? n
                      : (guint32)g_rand_int_range(w->rand, (gint)acked,
                                                  (gint)last + 1);
}

static void guest_sends(World *w)
{
    guint32 i = pick(w, w->guest_acked, w->guest_sent, w->guest.n);
    Wire *wire = fly(w);
    Options o = {.len = 0};

    if (!wire) {
        return;
    }
    w->guest_ticks++;
    if (w->ts) {
        options_put_ts(w, &o, w->guest_clock + w->guest_ticks,
                       w->client_clock + w->client_ticks);
    }
    options_pad(&o);
    wire_make(w, wire, FALSE, i, w->client.isn + 1 + w->client.at[w->guest_got],
              &o);
    if (i < w->guest.n) {
        w->guest_sent = MAX(w->guest_sent, i + 1);
    }
    rewritten(w, wire);
}

/* What came behind the first gap, at most as many blocks as there is room. */
static void put_sack(World *w, Options *o, guint32 base, guint32 next)
{
    guint room = w->ts ? 3 : 4, n = 0;
    guint32 edges[8];

    for (guint32 i = next; i < w->guest.n && n < room; i++) {
        if (w->client_got & 1u << i) {
            edges[2 * n] = base + w->guest.at[i];
            while (i < w->guest.n && w->client_got & 1u << i) {
                i++;
            }
            edges[2 * n + 1] = base + w->guest.at[i];
            n++;
        }
    }
    if (n) {
        guint8 head[] = {NET_TCPOPT_SACK, (guint8)(2 + 8 * n)};

        options_put(o, head, sizeof(head));
        for (guint i = 0; i < 2 * n; i++) {
            options_put32(o, edges[i]);
        }
    }
}

static void client_sends(World *w)
{
    guint32 base = w->guest.isn + w->seq_delta + 1, next = 0;
    guint32 i = pick(w, w->client_acked, w->client_acked, w->client.n);
    Wire *wire = fly(w);
    Options o = {.len = 0};

    if (!wire) {
        return;
    }
    w->client_ticks++;
    while (next < w->guest.n && w->client_got & 1u << next) {
        next++;
    }
    if (w->ts && g_rand_boolean(w->rand)) {
        options_put_ts(w, &o, w->client_clock + w->client_ticks, w->last_tsval);
        put_sack(w, &o, base, next);
    } else {
        put_sack(w, &o, base, next);
        if (w->ts) {
            options_put(&o, "\x08\x0a", 2);
            options_put32(&o, w->client_clock + w->client_ticks);
            options_put32(&o, w->last_tsval);
        }
    }
    options_pad(&o);
    wire_make(w, wire, TRUE, i, base + w->guest.at[next], &o);
}

/* --- Receiving ---------------------------------------------------------- */

/* Which segment begins at this offset; n: the end. */
static guint32 segment_at(const Stream *s, guint32 offset)
{
    for (guint32 i = 0; i <= s->n; i++) {
        if (s->at[i] == offset) {
            return i;
        }
    }
    g_error("offset %u is no segment's", offset);
}

/* The segment's index; its bytes and checksums are what they have to be. */
static guint32 check_segment(World *w, const NetPacket *p, const Stream *s,
                             guint32 isn)
{
    guint32 i = segment_at(s, p->seq - isn - 1);
    guint32 size = i + 1 < s->n ? s->at[i + 1] - s->at[i] : 0;

    g_assert_cmpuint(p->payload_len, ==, size);
    for (guint32 k = 0; k < size; k++) {
        g_assert_cmpuint(p->data[p->payload + k], ==, byte_at(s->at[i] + k));
    }
    if (w->unfinished) {
        g_assert_cmpuint(net_get16(p->data + p->l4 + 16), ==, 0xbeef);
    } else {
        g_assert_true(build_is_sound(p, p->data));
    }
    g_assert_cmpint(p->has_ts, ==, w->ts);
    return i;
}

static void client_gets(World *w, const NetPacket *p)
{
    guint32 i = check_segment(w, p, &w->guest, w->guest.isn + w->seq_delta);
    guint32 acked = segment_at(&w->client, p->ack - w->client.isn - 1);

    g_assert_cmpuint(acked, <=, w->guest_got);
    w->client_acked = MAX(w->client_acked, acked);
    if (w->ts) {
        guint32 clock = w->guest_clock + w->ts_delta;

        g_assert_cmpuint(p->tsval - clock, <=, w->guest_ticks);
        g_assert_cmpuint(p->tsecr - w->client_clock, <=, w->client_ticks);
        w->last_tsval = p->tsval;
    }
    if (i < w->guest.n) {
        w->client_got |= 1u << i;
    }
}

static void guest_gets(World *w, const NetPacket *p)
{
    guint32 i = check_segment(w, p, &w->client, w->client.isn);
    guint32 base = w->guest.isn + 1, at = p->options, body, len;
    guint32 acked = segment_at(&w->guest, p->ack - base);
    int kind;

    g_assert_cmpuint(acked, <=, w->guest_sent);
    w->guest_acked = MAX(w->guest_acked, acked);
    if (w->ts) {
        g_assert_cmpuint(p->tsval - w->client_clock, <=, w->client_ticks);
        g_assert_cmpuint(p->tsecr - w->guest_clock, <=, w->guest_ticks);
    }
    while ((kind = net_packet_next_option(p, &at, &body, &len)) >= 0) {
        for (; kind == NET_TCPOPT_SACK && len; body += 8, len -= 8) {
            guint32 l = segment_at(&w->guest, net_get32(p->data + body) - base);
            guint32 r =
                segment_at(&w->guest, net_get32(p->data + body + 4) - base);

            g_assert_cmpuint(acked, <, l);
            g_assert_cmpuint(l, <, r);
            for (; l < r; l++) {
                g_assert_true(w->client_got & 1u << l);
            }
        }
    }
    if (i == w->guest_got && i < w->client.n) {
        w->guest_got++;
    }
}

static void arrive(World *w, gboolean lossy)
{
    guint i = (guint)g_rand_int_range(w->rand, 0, (gint)w->n_flying);
    guint fate = lossy ? (guint)g_rand_int_range(w->rand, 0, 8) : 7;
    Wire wire = w->flying[i];
    NetPacket p;

    if (fate != 0) { /* 0: it stays and comes again */
        w->flying[i] = w->flying[--w->n_flying];
    }
    if (fate == 1) {
        return; /* lost */
    }
    if (wire.inbound) {
        rewritten(w, &wire);
    }
    net_packet_parse(&p, w->ethertype, wire.data, wire.len, 0, 0);
    if (wire.inbound) {
        guest_gets(w, &p);
    } else {
        client_gets(w, &p);
    }
}

/* --- Conversations ------------------------------------------------------ */

static gboolean done(const World *w)
{
    return w->guest_acked == w->guest.n && w->client_acked == w->client.n;
}

static void converse(GRand *rand, NetRewrite *r)
{
    World w;
    guint step;

    world_init(&w, rand, r);
    for (step = 0; !done(&w) && step < MAX_STEPS; step++) {
        gboolean lossy = step < CHAOS;

        w.now += g_rand_int_range(rand, 0, 1000);
        switch (g_rand_int_range(rand, 0, 4)) {
        case 0:
            guest_sends(&w);
            break;
        case 1:
            client_sends(&w);
            break;
        default:
            if (w.n_flying) {
                arrive(&w, lossy);
            }
        }
    }
    g_assert_cmpuint(step, <, MAX_STEPS);
    g_assert_cmpuint(w.client_got, ==, (1u << w.guest.n) - 1);
    g_assert_cmpuint(w.guest_got, ==, w.client.n);
    /* Both FINs were seen, so it is forgotten in time. */
    g_assert_cmpuint(net_rewrite_flows(r), ==, w.seq_delta || w.ts_delta);
    g_assert_cmpuint(net_rewrite_tick(r, G_MAXINT64, w.now + 120000000), ==, 0);
}

static void test_conversations(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
    NetRewrite *r = net_rewrite_new(1);
    NetRewriteStats s;

    for (guint i = 0; i < CONVERSATIONS; i++) {
        converse(rand, r);
    }
    net_rewrite_stats(r, &s);
    g_test_message("%" G_GUINT64_FORMAT " in, %" G_GUINT64_FORMAT
                   " out, %" G_GUINT64_FORMAT " SACK blocks",
                   s.inbound, s.outbound, s.sack_blocks);
    g_assert_cmpuint(s.sack_blocks, >, CONVERSATIONS);
    net_rewrite_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rewrite/conversations", test_conversations);
    return g_test_run();
}
