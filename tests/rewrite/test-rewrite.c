/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rewriter: what a packet has to become, compared byte by byte with one
 * that is built from the other numbers; and when connections are forgotten.
 */
#include "netcompare/packet/checksum.h"
#include "netcompare/rewrite/rewrite.h"
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <string.h>

#define SECOND    G_GINT64_CONSTANT(1000000)
#define HOUR      (3600 * SECOND)
#define GUEST     80
#define CLIENT    4711
#define SEQ_DELTA 0x10000000u
#define TS_DELTA  0x00100000u

enum { ROOM = 4 };

/* From the guest to the client; or the other way. */
static GByteArray *segment(guint16 ethertype, gboolean inbound, guint32 seq,
                           guint32 ack, guint8 flags, const char *options,
                           const char *payload)
{
    GByteArray *tcp =
        build_tcp(inbound ? CLIENT : GUEST, inbound ? GUEST : CLIENT, seq, ack,
                  flags, options, payload ? build_text(payload) : NULL);
    GByteArray *ip = ethertype == BUILD_IPV4 ? build_ipv4(IPPROTO_TCP, tcp)
                                             : build_ipv6(IPPROTO_TCP, tcp);

    if (inbound) {
        build_turn(ip);
    }
    build_checksums(ip, ethertype);
    return ip;
}

static NetKey flow_key(guint16 ethertype)
{
    g_autoptr(GByteArray) a = segment(ethertype, FALSE, 0, 0, 0, NULL, NULL);
    NetPacket p;

    net_packet_parse(&p, ethertype, a->data, a->len, 0, 0);
    return p.key;
}

/* Through the rewriter: TRUE as from there. */
static gboolean pass(NetRewrite *r, guint16 ethertype, GByteArray *a,
                     gboolean inbound, gboolean unfinished, gint64 now)
{
    NetPacket p;

    net_packet_parse(&p, ethertype, a->data, a->len, 0, 0);
    return inbound ? net_rewrite_inbound(r, &p, a->data, unfinished, now)
                   : net_rewrite_outbound(r, &p, a->data, unfinished, now);
}

/* --- What a packet becomes ---------------------------------------------- */

typedef struct Case {
    const char *name;
    gboolean inbound;
    guint8 flags;
    guint32 seq_delta, ts_delta;
    guint32 seq, ack;
    const char *options;
    guint32 new_seq, new_ack;
    const char *new_options;
    guint sack_blocks;
} Case;

#define ACK NET_TCP_ACK
#define RST NET_TCP_RST

static const Case cases[] = {
    {"ack", TRUE, ACK, 0x1000, 0, 7, 0x5000, NULL, 7, 0x4000, NULL},
    {"ack-wraps", TRUE, ACK, 0x1000, 0, 7, 0x0fff, NULL, 7, 0xffffffff, NULL},
    {"ack-negative", TRUE, ACK, 0xfffff000, 0, 7, 0xfffffff0, NULL, 7, 0x0ff0,
     NULL},
    {"ack-to-zero", TRUE, ACK, 0xffffffff, 0, 0, 0xffffffff, NULL, 0, 0, NULL},
    {"data", TRUE, ACK | NET_TCP_PSH, 5, 6, 1, 10, "0101080a 00000007 00000009",
     1, 5, "0101080a 00000007 00000003"},
    {"tsecr-wraps", TRUE, ACK, 0, 0x10, 1, 2, "0101080a 00000007 0000000f", 1,
     2, "0101080a 00000007 ffffffff"},
    {"sack-1", TRUE, ACK, 0x10, 0, 1, 0x20, "0101050a 00000030 00000040", 1,
     0x10, "0101050a 00000020 00000030", 1},
    {"sack-2-wraps", TRUE, ACK, 0x20, 0, 1, 0x20,
     "01010512 fffffff0 00000010 00000020 00000040", 1, 0,
     "01010512 ffffffd0 fffffff0 00000000 00000020", 2},
    {"sack-3-tsecr", TRUE, ACK, 1, 2, 1, 0x20,
     "0101080a 00000007 00000009 0101051a"
     "00000001 00000002 00000003 00000004 00000005 00000006",
     1, 0x1f,
     "0101080a 00000007 00000007 0101051a"
     "00000000 00000001 00000002 00000003 00000004 00000005",
     3},
    {"sack-4", TRUE, ACK, 1, 2, 1, 0x20,
     "01010522 00000001 00000002 00000003 00000004"
     "00000005 00000006 00000007 00000000",
     1, 0x1f,
     "01010522 00000000 00000001 00000002 00000003"
     "00000004 00000005 00000006 ffffffff",
     4},
    {"sack-odd", TRUE, ACK, 0x01020304, 0x0a0b0c0d, 1, 0x20000000,
     "050a 30000000 40000000 01 080a 00000007 a0000000", 1, 0x1efdfcfc,
     "050a 2efdfcfc 3efdfcfc 01 080a 00000007 95f4f3f3", 1},
    {"odd", TRUE, ACK, 0x01020304, 0x0a0b0c0d, 1, 0x20000000,
     "01 080a 00000007 a0000000", 1, 0x1efdfcfc, "01 080a 00000007 95f4f3f3"},
    {"sack-cut", TRUE, ACK, 0x10, 0, 1, 0x20, "0101050e 00000030 00000040", 1,
     0x10, "0101050e 00000030 00000040"},
    {"sack-uneven", TRUE, ACK, 0x10, 0, 1, 0x20,
     "050e 00000030 00000040 00000050 0101", 1, 0x10,
     "050e 00000020 00000030 00000050 0101", 1},
    {"syn-in", TRUE, NET_TCP_SYN, 5, 6, 1, 0, "0101080a 00000007 00000000", 1,
     0, "0101080a 00000007 00000000"},
    {"syn-ack-in", TRUE, NET_TCP_SYN | ACK, 5, 6, 1, 10,
     "020405b4 0402 080a 00000007 00000009 01 030307", 1, 5,
     "020405b4 0402 080a 00000007 00000003 01 030307"},
    {"rst-in", TRUE, RST, 5, 6, 1, 10, NULL, 1, 10, NULL},
    {"rst-ack-in", TRUE, RST | ACK, 5, 6, 1, 10, NULL, 1, 5, NULL},
    {"fin-in", TRUE, NET_TCP_FIN | ACK, 5, 6, 1, 10, NULL, 1, 5, NULL},
    {"only-ts-in", TRUE, ACK, 0, 6, 1, 10, NULL, 1, 10, NULL},
    {"seq", FALSE, ACK, 0x1000, 0, 7, 0x5000, NULL, 0x1007, 0x5000, NULL},
    {"seq-wraps", FALSE, ACK, 0x1000, 0, 0xfffff000, 3, NULL, 0, 3, NULL},
    {"seq-tsval", FALSE, ACK, 5, 6, 1, 10, "0101080a 00000007 00000009", 6, 10,
     "0101080a 0000000d 00000009"},
    {"tsval-odd", FALSE, ACK, 0x01020304, 0x0a0b0c0d, 0x20000000, 1,
     "01 080a a0000000 00000007", 0x21020304, 1, "01 080a aa0b0c0d 00000007"},
    {"sack-out", FALSE, ACK, 5, 6, 1, 10, "0101050a 00000030 00000040", 6, 10,
     "0101050a 00000030 00000040"},
    {"syn-out", FALSE, NET_TCP_SYN, 5, 6, 1, 0,
     "020405b4 0402 080a 00000007 00000000 01 030307", 6, 0,
     "020405b4 0402 080a 0000000d 00000000 01 030307"},
    {"syn-ack-out", FALSE, NET_TCP_SYN | ACK, 5, 6, 1, 2, NULL, 6, 2, NULL},
    {"rst-out", FALSE, RST, 5, 6, 1, 0, NULL, 6, 0, NULL},
    {"rst-ack-out", FALSE, RST | ACK, 5, 6, 1, 2, NULL, 6, 2, NULL},
};

static void run_case(const Case *c, guint16 ethertype, gboolean unfinished,
                     const char *payload)
{
    g_autoptr(GByteArray) a = segment(ethertype, c->inbound, c->seq, c->ack,
                                      c->flags, c->options, payload);
    g_autoptr(GByteArray) expected =
        segment(ethertype, c->inbound, c->new_seq, c->new_ack, c->flags,
                c->new_options, payload);
    guint16 check = ethertype == BUILD_IPV4 ? 20 + 16 : 40 + 16;
    NetRewrite *r = net_rewrite_new(ROOM);
    NetKey key = flow_key(ethertype);
    NetRewriteStats s;
    gboolean same;

    if (unfinished) {
        net_put16(a->data + check, 0xbeef);
        net_put16(expected->data + check, 0xbeef);
    }
    same = a->len == expected->len && !memcmp(a->data, expected->data, a->len);
    g_assert_true(net_rewrite_set(r, &key, c->seq_delta, c->ts_delta, 0));
    g_assert_cmpint(pass(r, ethertype, a, c->inbound, unfinished, 1), ==,
                    !same);
    g_assert_cmpmem(a->data, a->len, expected->data, expected->len);
    net_rewrite_stats(r, &s);
    g_assert_cmpuint(s.inbound, ==, !same && c->inbound);
    g_assert_cmpuint(s.outbound, ==, !same && !c->inbound);
    g_assert_cmpuint(s.sack_blocks, ==, c->sack_blocks);
    g_assert_cmpuint(s.errors, ==, 0);
    net_rewrite_free(r);
}

static void test_case(gconstpointer user_data)
{
    static const guint16 types[] = {BUILD_IPV4, BUILD_IPV6};

    for (guint i = 0; i < 2; i++) {
        for (guint unfinished = 0; unfinished < 2; unfinished++) {
            run_case(user_data, types[i], unfinished, NULL);
            run_case(user_data, types[i], unfinished, "odd");
        }
    }
}

/* Only the flow that was named; neither its reverse nor its neighbours. */
static void test_others(void)
{
    NetRewrite *r = net_rewrite_new(ROOM);
    NetKey key = flow_key(BUILD_IPV4);
    NetKey others[4];

    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        others[i] = key;
    }
    others[0].iface = 1;
    others[1].vlan = 1;
    others[2].dport++;
    others[3] = net_key_reverse(&key);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_assert_true(net_rewrite_set(r, &others[i], 5, 6, 0));
    }
    for (guint inbound = 0; inbound < 2; inbound++) {
        g_autoptr(GByteArray) a =
            segment(BUILD_IPV4, inbound, 1, 2, ACK, NULL, NULL);
        g_autofree guint8 *before = g_memdup2(a->data, a->len);

        g_assert_false(pass(r, BUILD_IPV4, a, inbound, FALSE, 0));
        g_assert_cmpmem(a->data, a->len, before, a->len);
    }
    net_rewrite_free(r);
}

/* Other kinds of packets go through as they are. */
static void test_kinds(void)
{
    NetRewrite *r = net_rewrite_new(ROOM);
    NetKey key = flow_key(BUILD_IPV4);
    GByteArray *list[] = {
        build_ipv4(IPPROTO_UDP, build_udp(CLIENT, GUEST, build_text("x"))),
        build_ipv4(IPPROTO_ICMP, build_icmp(8, 0, 1, 2, NULL)),
        build_ipv4(IPPROTO_TCP, build_zeros(19)),
        build_zeros(60),
    };

    net_rewrite_set(r, &key, 5, 6, 0);
    for (guint i = 0; i < G_N_ELEMENTS(list); i++) {
        g_autoptr(GByteArray) a = list[i];
        g_autofree guint8 *before = g_memdup2(a->data, a->len);

        g_assert_false(pass(r, BUILD_IPV4, a, TRUE, FALSE, 0));
        g_assert_false(pass(r, BUILD_IPV4, a, FALSE, FALSE, 0));
        g_assert_cmpmem(a->data, a->len, before, a->len);
    }
    net_rewrite_free(r);
}

/* A segment in two fragments: put together, it is right again. */
static void test_fragments(void)
{
    g_autoptr(GByteArray) whole =
        segment(BUILD_IPV4, TRUE, 1, 0x5000, ACK, NULL,
                "thirty-two bytes, then some more");
    g_autoptr(GByteArray) expected =
        segment(BUILD_IPV4, TRUE, 1, 0x4000, ACK, NULL,
                "thirty-two bytes, then some more");
    g_autoptr(GByteArray) first = g_byte_array_new();
    g_autoptr(GByteArray) second = g_byte_array_new();
    NetRewrite *r = net_rewrite_new(ROOM);
    NetKey key = flow_key(BUILD_IPV4);

    g_byte_array_append(first, whole->data, 20 + 32);
    net_put16(first->data + 2, 20 + 32);
    net_put16(first->data + 6, 0x2000);
    g_byte_array_append(second, whole->data, 20);
    g_byte_array_append(second, whole->data + 52, whole->len - 52);
    net_put16(second->data + 2, (guint16)second->len);
    net_put16(second->data + 6, 4);
    net_rewrite_set(r, &key, 0x1000, 0, 0);
    g_assert_true(pass(r, BUILD_IPV4, first, TRUE, FALSE, 0));
    g_assert_false(pass(r, BUILD_IPV4, second, TRUE, FALSE, 0));
    g_assert_cmpmem(first->data + 20, 32, expected->data + 20, 32);
    g_assert_cmpmem(second->data + 20, second->len - 20, expected->data + 52,
                    expected->len - 52);
    net_rewrite_free(r);
}

/* --- ICMP errors -------------------------------------------------------- */

/* About the guest's segment with this number: from a router to the guest. */
static GByteArray *error_about(guint16 ethertype, guint8 type, guint32 seq,
                               guint n)
{
    GByteArray *cause =
        segment(ethertype, FALSE, seq, 1, ACK, NULL, "what was too long");
    GByteArray *a;

    /* Its own checksum is that of the first number: nobody looks. */
    net_put16(cause->data + (ethertype == BUILD_IPV4 ? 36 : 56), 0x1234);
    g_byte_array_set_size(cause, n);
    a = ethertype == BUILD_IPV4
            ? build_ipv4(IPPROTO_ICMP, build_icmp(type, 4, 0, 1400, cause))
            : build_ipv6(IPPROTO_ICMPV6, build_icmp(type, 0, 0, 1400, cause));
    build_turn(a);
    build_checksums(a, ethertype);
    return a;
}

static void error_becomes(guint16 ethertype, guint8 type, guint n,
                          gboolean changed)
{
    g_autoptr(GByteArray) a = error_about(ethertype, type, 0x5000, n);
    g_autoptr(GByteArray) expected =
        error_about(ethertype, type, changed ? 0x4000 : 0x5000, n);
    NetRewrite *r = net_rewrite_new(ROOM);
    NetKey key = flow_key(ethertype);
    NetRewriteStats s;

    net_rewrite_set(r, &key, 0x1000, 9, 0);
    g_assert_cmpint(pass(r, ethertype, a, TRUE, FALSE, 0), ==, changed);
    g_assert_cmpmem(a->data, a->len, expected->data, expected->len);
    net_rewrite_stats(r, &s);
    g_assert_cmpuint(s.errors, ==, changed);
    g_assert_cmpuint(s.inbound, ==, changed);
    net_rewrite_free(r);
}

static void test_errors(void)
{
    error_becomes(BUILD_IPV4, 3, 20 + 8, TRUE);
    error_becomes(BUILD_IPV4, 11, 20 + 37, TRUE);
    error_becomes(BUILD_IPV4, 3, 20 + 7, FALSE);
    error_becomes(BUILD_IPV4, 5, 20 + 8, FALSE); /* redirect: no number read */
    error_becomes(BUILD_IPV4, 8, 20 + 8, FALSE); /* echo that looks like it */
    error_becomes(BUILD_IPV6, 2, 40 + 8, TRUE);
    error_becomes(BUILD_IPV6, 1, 40 + 37, TRUE);
    error_becomes(BUILD_IPV6, 2, 40 + 7, FALSE);
    error_becomes(BUILD_IPV6, 128, 40 + 8, FALSE);
}

/* --- Life and end ------------------------------------------------------- */

typedef struct Life {
    NetRewrite *r;
    NetKey key;
    gint64 now;
} Life;

static void life_begin(Life *l)
{
    l->r = net_rewrite_new(ROOM);
    l->key = flow_key(BUILD_IPV4);
    l->now = 1000 * SECOND;
    g_assert_true(net_rewrite_set(l->r, &l->key, SEQ_DELTA, TS_DELTA, l->now));
}

static void life_end(Life *l)
{
    net_rewrite_free(l->r);
}

/* A segment passes; was it translated? */
static gboolean says(Life *l, gboolean inbound, guint8 flags, guint32 seq,
                     guint32 ack)
{
    g_autoptr(GByteArray) a =
        segment(BUILD_IPV4, inbound, seq, ack, flags, NULL, NULL);

    return pass(l->r, BUILD_IPV4, a, inbound, FALSE, l->now);
}

#define client_says(l, flags, seq, ack) says(l, TRUE, flags, seq, ack)
#define guest_says(l, flags, seq, ack)  says(l, FALSE, flags, seq, ack)

static void later(Life *l, gint64 us, guint expected)
{
    l->now += us;
    g_assert_cmpuint(net_rewrite_tick(l->r, HOUR, l->now), ==, expected);
    g_assert_cmpuint(net_rewrite_flows(l->r), ==, expected);
}

static void ended_expired(const Life *l, guint ended, guint expired)
{
    NetRewriteStats s;

    net_rewrite_stats(l->r, &s);
    g_assert_cmpuint(s.ended, ==, ended);
    g_assert_cmpuint(s.expired, ==, expired);
}

static void test_fin(void)
{
    Life l;

    life_begin(&l);
    g_assert_true(guest_says(&l, ACK | NET_TCP_FIN, 100, 200));
    later(&l, 300 * SECOND, 1); /* half closed */
    g_assert_true(client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101));
    g_assert_true(guest_says(&l, ACK, 101, 201));
    later(&l, 119 * SECOND, 1);
    g_assert_true(client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101));
    later(&l, 119 * SECOND, 1); /* repeated: the last ACK was lost */
    later(&l, 1 * SECOND, 0);
    g_assert_false(guest_says(&l, ACK, 101, 201));
    ended_expired(&l, 1, 0);
    life_end(&l);
}

/* Both FINs of one side are not two. */
static void test_fin_repeated(void)
{
    Life l;

    life_begin(&l);
    g_assert_true(client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101));
    g_assert_true(client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101));
    later(&l, 121 * SECOND, 1);
    life_end(&l);
}

static void test_rst_out(void)
{
    Life l;

    life_begin(&l);
    g_assert_true(guest_says(&l, RST, 100, 0));
    later(&l, 9 * SECOND, 1);
    g_assert_true(
        client_says(&l, ACK, 200, SEQ_DELTA + 100)); /* was on its way */
    g_assert_true(guest_says(&l, RST, 100, 0));
    later(&l, 9 * SECOND, 1);
    later(&l, 1 * SECOND, 0);
    ended_expired(&l, 1, 0);
    life_end(&l);
}

static void test_rst_in(void)
{
    Life l;

    life_begin(&l);
    g_assert_true(guest_says(&l, ACK, 100, 200));
    g_assert_false(client_says(&l, RST, 200, 0));
    later(&l, 9 * SECOND, 1);
    later(&l, 1 * SECOND, 0);
    ended_expired(&l, 1, 0);
    life_end(&l);
}

/* One with a number that the guest does not expect resets nothing. */
static void test_rst_forged(void)
{
    Life l;

    life_begin(&l);
    client_says(&l, RST, 0, 0);
    client_says(&l, RST, 200, 0); /* nobody knows yet what it expects */
    later(&l, 60 * SECOND, 1);
    g_assert_true(guest_says(&l, ACK, 100, 200));
    client_says(&l, RST, 201, 0);
    client_says(&l, RST, 199, 0);
    later(&l, 60 * SECOND, 1);
    /* The guest lives on after a reset: it was none. */
    client_says(&l, RST, 200, 0);
    later(&l, 9 * SECOND, 1);
    g_assert_true(guest_says(&l, ACK, 100, 200));
    later(&l, 60 * SECOND, 1);
    life_end(&l);
}

static void test_idle(void)
{
    Life l;

    life_begin(&l);
    later(&l, HOUR - 1, 1);
    g_assert_true(client_says(&l, ACK, 1, 2));
    later(&l, HOUR - 1, 1);
    g_assert_true(guest_says(&l, ACK, 1, 2));
    later(&l, HOUR - 1, 1);
    later(&l, 1, 0);
    ended_expired(&l, 0, 1);
    life_end(&l);
}

/* Ports used again: another connection, whose numbers both sides know. */
static void test_again(void)
{
    Life l;

    life_begin(&l); /* by the client, after FIN */
    guest_says(&l, ACK | NET_TCP_FIN, 100, 200);
    g_assert_false(client_says(&l, NET_TCP_SYN, 900, 0)); /* old, or forged */
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 1);
    client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101);
    g_assert_false(client_says(&l, NET_TCP_SYN, 900, 0));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 0);
    g_assert_false(guest_says(&l, NET_TCP_SYN | ACK, 500, 901));
    life_end(&l);

    life_begin(&l); /* by the guest, which was reset meanwhile */
    g_assert_true(guest_says(&l, ACK, 100, 200));
    g_assert_false(guest_says(&l, NET_TCP_SYN, 500, 0));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 0);
    life_end(&l);

    life_begin(&l); /* the same SYN again is the same connection */
    g_assert_true(guest_says(&l, NET_TCP_SYN, 99, 0));
    g_assert_true(guest_says(&l, NET_TCP_SYN, 99, 0));
    g_assert_true(client_says(&l, NET_TCP_SYN | ACK, 5, SEQ_DELTA + 100));
    g_assert_true(guest_says(&l, ACK, 100, 200));
    g_assert_true(guest_says(&l, NET_TCP_SYN, 99, 0));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 1);
    life_end(&l);
}

/* Before a takeover: as it is, but its end is seen. */
static void test_watch(void)
{
    g_autoptr(GByteArray) fin =
        segment(BUILD_IPV4, FALSE, 100, 200, ACK | NET_TCP_FIN, NULL, NULL);
    NetPacket p;
    Life l;

    life_begin(&l);
    net_packet_parse(&p, BUILD_IPV4, fin->data, fin->len, 0, 0);
    net_rewrite_watch(l.r, &p, l.now);
    client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101);
    later(&l, 120 * SECOND, 0);
    ended_expired(&l, 1, 0);
    net_rewrite_watch(l.r, &p, l.now);
    life_end(&l);
}

static void test_set(void)
{
    Life l;
    NetKey key;
    NetRewriteStats s;

    life_begin(&l);
    guest_says(&l, ACK | NET_TCP_FIN, 100, 200);
    client_says(&l, ACK | NET_TCP_FIN, 200, SEQ_DELTA + 101);
    /* Again: what was known of the older one is gone. */
    g_assert_true(net_rewrite_set(l.r, &l.key, 1, 0, l.now));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 1);
    later(&l, 300 * SECOND, 1);
    g_assert_true(net_rewrite_set(l.r, &l.key, 0, 0, l.now));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 0);
    g_assert_false(guest_says(&l, ACK, 100, 200));

    key = l.key;
    for (guint i = 0; i < ROOM; i++) {
        key.dport = (guint16)(1000 + i);
        g_assert_true(net_rewrite_set(l.r, &key, 1, 1, l.now));
    }
    g_assert_true(net_rewrite_set(l.r, &key, 2, 2, l.now)); /* its own place */
    g_assert_false(net_rewrite_set(l.r, &l.key, 1, 1, l.now));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, ROOM);
    net_rewrite_stats(l.r, &s);
    g_assert_cmpuint(s.refused, ==, 1);

    net_rewrite_clear(l.r);
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, 0);
    g_assert_true(net_rewrite_set(l.r, &l.key, 1, 1, l.now));
    guest_says(&l, RST, 100, 0);
    for (guint i = 0; i < ROOM - 1; i++) {
        key.dport = (guint16)(1000 + i);
        g_assert_true(net_rewrite_set(l.r, &key, 1, 1, l.now));
    }
    key.dport = 7; /* in the place of the one that was reset */
    g_assert_true(net_rewrite_set(l.r, &key, 1, 1, l.now));
    g_assert_cmpuint(net_rewrite_flows(l.r), ==, ROOM);
    g_assert_false(guest_says(&l, ACK, 100, 200));
    ended_expired(&l, 1, 0);
    life_end(&l);
    net_rewrite_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name =
            g_strdup_printf("/rewrite/case/%s", cases[i].name);

        g_test_add_data_func(name, &cases[i], test_case);
    }
    g_test_add_func("/rewrite/others", test_others);
    g_test_add_func("/rewrite/kinds", test_kinds);
    g_test_add_func("/rewrite/fragments", test_fragments);
    g_test_add_func("/rewrite/errors", test_errors);
    g_test_add_func("/rewrite/fin", test_fin);
    g_test_add_func("/rewrite/fin-repeated", test_fin_repeated);
    g_test_add_func("/rewrite/rst-out", test_rst_out);
    g_test_add_func("/rewrite/rst-in", test_rst_in);
    g_test_add_func("/rewrite/rst-forged", test_rst_forged);
    g_test_add_func("/rewrite/idle", test_idle);
    g_test_add_func("/rewrite/again", test_again);
    g_test_add_func("/rewrite/watch", test_watch);
    g_test_add_func("/rewrite/set", test_set);
    return g_test_run();
}
