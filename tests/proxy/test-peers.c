/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a guest's peers are, and which of them are reached: by frames' bytes
 * and times of our own.
 */
#include "netcompare/proxy/peers.h"
#include "tests/packet/build.h"

#include <string.h>

#define GUEST_MAC "52 54 00 00 00 01"
#define PEER_MAC  "52 54 00 00 00 02"
#define OTHER_MAC "52 54 00 00 00 05"
#define MS        1000

enum { SEQ = 5000, LEN = 100, PORT = 80, CLIENT = 4000 };

/* A segment of the guest's, number n of its peers. */
typedef struct Segment {
    GByteArray *bytes;
    NetPacket p;
} Segment;

static Segment segment(guint16 type, guint n, guint16 dport)
{
    Segment s;
    GByteArray *tcp =
        build_tcp(PORT, dport, SEQ, 1, NET_TCP_ACK, NULL, build_zeros(LEN));

    s.bytes = type == BUILD_IPV4 ? build_ipv4(6, tcp) : build_ipv6(6, tcp);
    s.bytes->data[type == BUILD_IPV4 ? 19 : 39] = (guint8)n;
    g_assert_cmpint(
        net_packet_parse(&s.p, type, s.bytes->data, s.bytes->len, 0, 0), ==,
        NET_KIND_TCP);
    return s;
}

static void segment_clear(Segment *s)
{
    g_byte_array_unref(s->bytes);
}

/* From peer number n, an ACK of what is before ack. */
static void hear(Peers *p, guint16 type, guint n, const char *dst,
                 const char *src, const char *tags, guint16 dport, guint32 ack,
                 gint64 now)
{
    GByteArray *tcp = build_tcp(dport, PORT, 1, ack, NET_TCP_ACK, NULL, NULL);
    GByteArray *ip =
        type == BUILD_IPV4 ? build_ipv4(6, tcp) : build_ipv6(6, tcp);
    g_autoptr(GByteArray) frame = NULL;
    g_autoptr(GByteArray) from = build_hex(src);

    build_turn(ip);
    ip->data[type == BUILD_IPV4 ? 15 : 23] = (guint8)n;
    frame = build_ether(dst, tags, type, ip);
    memcpy(frame->data + 6, from->data, 6);
    peers_learn(p, frame->data, frame->len, now);
}

static void hear_ack(Peers *p, guint n, guint16 dport, guint32 ack, gint64 now)
{
    hear(p, BUILD_IPV4, n, GUEST_MAC, PEER_MAC, NULL, dport, ack, now);
}

static void assert_head(Peers *p, const NetPacket *packet, const char *hex)
{
    g_autoptr(GByteArray) want = build_hex(hex);
    gsize len = 0;
    const guint8 *head = peers_head(p, packet, &len);

    g_assert_cmpmem(head, len, want->data, want->len);
}

static void assert_nobody(Peers *p, const NetPacket *packet)
{
    gsize len;

    g_assert_null(peers_head(p, packet, &len));
    g_assert_false(peers_may_send(p, packet, 0));
}

static void test_heads(void)
{
    static const guint16 types[] = {BUILD_IPV4, BUILD_IPV6};

    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        Peers *p = peers_new();
        guint16 type = types[i];
        Segment s = segment(type, 2, CLIENT);
        g_autofree char *plain =
            g_strdup_printf(PEER_MAC GUEST_MAC "%04x", type);
        g_autofree char *moved =
            g_strdup_printf(OTHER_MAC GUEST_MAC "%04x", type);

        assert_nobody(p, &s.p);
        hear(p, type, 3, GUEST_MAC, PEER_MAC, NULL, CLIENT, 1, 0);
        assert_nobody(p, &s.p);
        hear(p, type, 2, GUEST_MAC, PEER_MAC, NULL, CLIENT, 1, 0);
        assert_head(p, &s.p, plain);
        hear(p, type, 2, GUEST_MAC, OTHER_MAC, NULL, CLIENT, 1, 0);
        assert_head(p, &s.p, moved);
        segment_clear(&s);
        peers_free(p);
    }
}

/* What is not from a peer to the guest says nothing of either's address. */
static void test_passing(void)
{
    Segment s = segment(BUILD_IPV4, 2, CLIENT);
    g_autoptr(GByteArray) other =
        build_ipv4(6, build_tcp(CLIENT, PORT, 1, 1, NET_TCP_ACK, NULL, NULL));
    g_autoptr(GByteArray) frame = NULL;
    Peers *p = peers_new();

    hear(p, BUILD_IPV4, 2, "ff ff ff ff ff ff", PEER_MAC, NULL, CLIENT, 1, 0);
    hear(p, BUILD_IPV4, 2, "01 00 5e 00 00 01", PEER_MAC, NULL, CLIENT, 1, 0);
    hear(p, BUILD_IPV4, 2, GUEST_MAC, "53 54 00 00 00 02", NULL, CLIENT, 1, 0);
    assert_nobody(p, &s.p);
    /* Flooded: to somebody else. */
    build_turn(other);
    other->data[19] = 9;
    frame = build_ether(OTHER_MAC, NULL, BUILD_IPV4, g_byte_array_ref(other));
    peers_learn(p, frame->data, frame->len, 0);
    assert_nobody(p, &s.p);
    segment_clear(&s);
    peers_free(p);
}

static void test_short(void)
{
    Segment s = segment(BUILD_IPV4, 2, CLIENT);
    g_autoptr(GByteArray) frame = NULL;
    GByteArray *ip = g_byte_array_ref(s.bytes);
    Peers *p = peers_new();

    build_turn(ip);
    frame = build_ether(GUEST_MAC, "8100 0007", BUILD_IPV4, ip);
    for (gsize n = 0; n < 18 + 20; n++) {
        /* Of its own size, for the sanitizers to guard its end. */
        g_autofree guint8 *cut = g_memdup2(frame->data, n);

        peers_learn(p, cut, n, 0);
    }
    build_turn(ip);
    assert_nobody(p, &s.p);
    segment_clear(&s);
    peers_free(p);
}

static void test_vlans(void)
{
    Segment s = segment(BUILD_IPV4, 2, CLIENT);
    Segment t = segment(BUILD_IPV4, 3, CLIENT);
    Peers *p = peers_new();

    /* The priority was the peer's. */
    hear(p, BUILD_IPV4, 2, GUEST_MAC, PEER_MAC, "8100 e007", CLIENT, 1, 0);
    assert_head(p, &s.p, PEER_MAC GUEST_MAC "8100 0007 0800");
    hear(p, BUILD_IPV4, 2, GUEST_MAC, PEER_MAC, "8100 2007", CLIENT, 1, 0);
    assert_head(p, &s.p, PEER_MAC GUEST_MAC "8100 0007 0800");
    hear(p, BUILD_IPV4, 2, GUEST_MAC, PEER_MAC, "8100 0008", CLIENT, 1, 0);
    assert_nobody(p, &s.p);
    hear(p, BUILD_IPV4, 2, GUEST_MAC, PEER_MAC, "8100 0007", CLIENT, 1, 0);
    assert_nobody(p, &s.p);
    hear(p, BUILD_IPV4, 3, GUEST_MAC, PEER_MAC, NULL, CLIENT, 1, 0);
    assert_head(p, &t.p, PEER_MAC GUEST_MAC "0800");
    hear(p, BUILD_IPV4, 3, GUEST_MAC, PEER_MAC, "8100 0007", CLIENT, 1, 0);
    assert_nobody(p, &t.p);
    segment_clear(&s);
    segment_clear(&t);
    peers_free(p);
}

/* --- Trials ------------------------------------------------------------- */

static void test_reached(void)
{
    Segment a = segment(BUILD_IPV4, 2, CLIENT);
    Segment b = segment(BUILD_IPV4, 2, CLIENT + 1);
    Peers *p = peers_new();
    gint64 t = 1000 * MS;

    hear_ack(p, 2, CLIENT, SEQ, t);
    g_assert_true(peers_may_send(p, &a.p, t));
    peers_sent(p, &a.p, SEQ + LEN, t);
    /* The same flow goes on, others wait. */
    g_assert_true(peers_may_send(p, &a.p, t));
    g_assert_false(peers_may_send(p, &b.p, t));
    hear_ack(p, 2, CLIENT, SEQ + LEN - 1, t + MS);
    hear_ack(p, 2, CLIENT + 1, SEQ + LEN, t + MS);
    hear_ack(p, 3, CLIENT, SEQ + LEN, t + MS);
    g_assert_false(peers_may_send(p, &b.p, t + MS));
    hear_ack(p, 2, CLIENT, SEQ + LEN, t + 2 * MS);
    g_assert_true(peers_may_send(p, &b.p, t + 3 * MS));
    /* For a minute. */
    peers_sent(p, &b.p, SEQ + LEN, t + 3 * MS);
    g_assert_true(peers_may_send(p, &a.p, t + 2 * MS + PEERS_VALID_US));
    g_assert_true(peers_may_send(p, &a.p, t + 3 * MS + PEERS_VALID_US));
    peers_sent(p, &a.p, SEQ + LEN, t + 3 * MS + PEERS_VALID_US);
    g_assert_false(peers_may_send(p, &b.p, t + 3 * MS + PEERS_VALID_US));
    segment_clear(&a);
    segment_clear(&b);
    peers_free(p);
}

static void fail(Peers *p, const NetPacket *s, gint64 now)
{
    g_assert_true(peers_may_send(p, s, now));
    peers_sent(p, s, SEQ + LEN, now);
    g_assert_false(peers_may_send(p, s, now + PEERS_TRIAL_US + 1));
}

static void test_not_reached(void)
{
    Segment a = segment(BUILD_IPV4, 2, CLIENT);
    Peers *p = peers_new();
    gint64 t = 1000 * MS, late = t + PEERS_TRIAL_US + 1;

    hear_ack(p, 2, CLIENT, SEQ, t);
    g_assert_true(peers_may_send(p, &a.p, t));
    peers_sent(p, &a.p, SEQ + LEN, t);
    /* The guest may have sent it again. */
    hear_ack(p, 2, CLIENT, SEQ + LEN, late);
    g_assert_false(peers_may_send(p, &a.p, late));
    hear_ack(p, 2, CLIENT, SEQ + LEN, late);
    g_assert_false(peers_may_send(p, &a.p, late + PEERS_VALID_US));
    g_assert_true(peers_may_send(p, &a.p, late + PEERS_VALID_US + 1));
    segment_clear(&a);
    peers_free(p);
}

/* A checkpoint released it whole meanwhile: nothing is known. */
static void test_void(void)
{
    Segment a = segment(BUILD_IPV4, 2, CLIENT);
    Segment b = segment(BUILD_IPV4, 2, CLIENT + 1);
    Peers *p = peers_new();
    gint64 t = 1000 * MS;

    hear_ack(p, 2, CLIENT, SEQ, t);
    peers_sent(p, &a.p, SEQ + LEN, t);
    peers_void_trials(p);
    hear_ack(p, 2, CLIENT, SEQ + LEN, t + MS);
    /* So this is a trial again. */
    g_assert_true(peers_may_send(p, &a.p, t + 2 * MS));
    peers_sent(p, &a.p, SEQ + LEN, t + 2 * MS);
    g_assert_false(peers_may_send(p, &b.p, t + 3 * MS));
    /* Nor does silence say anything. */
    peers_void_trials(p);
    g_assert_true(peers_may_send(p, &a.p, t + PEERS_VALID_US / 2));
    segment_clear(&a);
    segment_clear(&b);
    peers_free(p);
}

static void test_in_a_row(void)
{
    Segment s[PEERS_IN_A_ROW + 2];
    Peers *p = peers_new();
    gint64 t = 1000 * MS, end = t;

    for (guint i = 0; i < G_N_ELEMENTS(s); i++) {
        s[i] = segment(BUILD_IPV4, 10 + i, CLIENT);
        hear_ack(p, 10 + i, CLIENT, SEQ, t);
    }
    /* One that is reached, and the count begins again. */
    fail(p, &s[0].p, t);
    peers_sent(p, &s[1].p, SEQ + LEN, t);
    hear_ack(p, 11, CLIENT, SEQ + LEN, t + MS);
    for (guint i = 2; i < G_N_ELEMENTS(s); i++) {
        end = t + i * PEERS_TRIAL_US;
        fail(p, &s[i].p, end);
    }
    end += PEERS_TRIAL_US + 1;
    hear_ack(p, 99, CLIENT, SEQ, end);
    segment_clear(&s[0]);
    s[0] = segment(BUILD_IPV4, 99, CLIENT);
    g_assert_false(peers_may_send(p, &s[0].p, end + PEERS_VALID_US - 1));
    g_assert_true(peers_may_send(p, &s[0].p, end + PEERS_VALID_US));
    /* The one that is reached is not asked. */
    g_assert_true(peers_may_send(p, &s[1].p, end));
    for (guint i = 0; i < G_N_ELEMENTS(s); i++) {
        segment_clear(&s[i]);
    }
    peers_free(p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peers/heads", test_heads);
    g_test_add_func("/peers/passing", test_passing);
    g_test_add_func("/peers/short", test_short);
    g_test_add_func("/peers/vlans", test_vlans);
    g_test_add_func("/peers/trial/reached", test_reached);
    g_test_add_func("/peers/trial/not-reached", test_not_reached);
    g_test_add_func("/peers/trial/void", test_void);
    g_test_add_func("/peers/trial/in-a-row", test_in_a_row);
    return g_test_run();
}
