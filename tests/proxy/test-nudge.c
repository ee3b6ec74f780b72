/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients are told after a takeover: right, and only of what they sent. */
#include "netcompare/proxy/nudge.h"
#include "tests/packet/build.h"

#include <string.h>

#define IDLE_US  1000000
#define GUEST    "52 54 00 77 03 64" /* where the client's frames go */
#define MAX_SEEN 64

static GArray *seen; /* guint32: sequence numbers that were quoted */

/* From 10.0.0.1 or fd00::1, the client. */
static GByteArray *segment(gboolean v6, const char *tags, guint32 seq,
                           guint32 ack, guint8 flags, guint len)
{
    GByteArray *tcp =
        build_tcp(4711, 80, seq, ack, flags, NULL, build_zeros(len));
    GByteArray *ip = v6 ? build_ipv6(6, tcp) : build_ipv4(6, tcp);

    build_checksums(ip, v6 ? BUILD_IPV6 : BUILD_IPV4);
    return build_ether(GUEST, tags, v6 ? BUILD_IPV6 : BUILD_IPV4, ip);
}

static void from_client(Nudges *n, gboolean v6, guint32 seq, guint8 flags,
                        guint len, gint64 now)
{
    g_autoptr(GByteArray) f = segment(v6, NULL, seq, 1, flags, len);

    nudges_inbound(n, f->data, f->len, now);
}

static void from_guest(Nudges *n, gboolean v6, guint32 ack, guint8 flags)
{
    GByteArray *tcp = build_tcp(80, 4711, 1, ack, flags, NULL, build_zeros(0));
    GByteArray *ip = v6 ? build_ipv6(6, tcp) : build_ipv4(6, tcp);
    g_autoptr(GByteArray) f = NULL;

    build_turn(ip);
    f = build_ether(NULL, NULL, v6 ? BUILD_IPV6 : BUILD_IPV4, ip);
    nudges_outbound(n, f->data, f->len);
}

/* From the guest's address to the client's, sums right, the client quoted. */
static void look(const guint8 *frame, gsize len, gpointer v6)
{
    g_autoptr(GByteArray) sent = segment(v6 != NULL, NULL, 0, 0, 0, 0);
    NetPacket p, client, quoted;
    const guint8 *icmp, *tcp;
    gsize ip = v6 ? 40 : 20;
    guint32 seq;

    g_assert_cmpint(net_packet_parse_frame(&p, frame, len, 0), ==,
                    NET_KIND_DATAGRAM);
    net_packet_parse_frame(&client, sent->data, sent->len, 0);
    g_assert_true(build_is_sound(&p, p.data));
    g_assert_cmpmem(frame, 6, sent->data + 6, 6);
    g_assert_cmpmem(frame + 6, 6, sent->data, 6);
    g_assert_cmpmem(p.key.src, 16, client.key.dst, 16);
    g_assert_cmpmem(p.key.dst, 16, client.key.src, 16);
    icmp = p.data + ip;
    g_assert_cmpint(icmp[0], ==, v6 ? 1 : 3);
    g_assert_cmpint(icmp[1], ==, v6 ? 0 : 1);
    g_assert_cmpint(p.len, ==, ip + 8 + ip + 8);
    tcp = icmp + 8 + ip;
    g_assert_cmpint(net_get16(tcp), ==, 4711);
    g_assert_cmpint(net_get16(tcp + 2), ==, 80);
    /* Addresses and protocol, whatever the rest of the quotation is. */
    if (v6) {
        g_assert_cmpmem(icmp + 8 + 8, 32, client.data + 8, 32);
        g_assert_cmpint(icmp[8 + 6], ==, 6);
    } else {
        g_assert_cmpmem(icmp + 8 + 12, 8, client.data + 12, 8);
        g_assert_cmpint(icmp[8 + 9], ==, 6);
        net_packet_parse(&quoted, BUILD_IPV4, icmp + 8, ip + 8, 0, 0);
        g_assert_cmpint(quoted.kind, ==, NET_KIND_BAD); /* it is cut short */
    }
    seq = net_get32(tcp + 4);
    g_array_append_val(seen, seq);
}

static guint emit(Nudges *n, gboolean v6, guint max, gint64 now)
{
    g_array_set_size(seen, 0);
    return nudges_emit(n, max, IDLE_US, now, look, GINT_TO_POINTER(v6));
}

static void expect(guint32 seq, guint times)
{
    guint n = 0;

    for (guint i = 0; i < seen->len; i++) {
        n += g_array_index(seen, guint32, i) == seq;
    }
    g_assert_cmpuint(n, ==, times);
}

static void places(gconstpointer data)
{
    gboolean v6 = data != NULL;
    Nudges *n = nudges_new(16);

    /* Begins just before the numbers wrap. */
    from_client(n, v6, 0xfffffff0, NET_TCP_ACK, 32, 1);
    g_assert_cmpuint(emit(n, v6, MAX_SEEN, 1), ==, 6);
    expect(0xfffffff0, 3);
    expect(0x10, 3);
    from_guest(n, v6, 0x10, NET_TCP_ACK);
    g_assert_cmpuint(emit(n, v6, MAX_SEEN, 1), ==, 6); /* told once */

    /* After a capture the place before it still counts, once. */
    nudges_capture(n);
    from_client(n, v6, 0x10, NET_TCP_ACK, 16, 2);
    from_client(n, v6, 0x20, NET_TCP_ACK, 16, 2);
    g_assert_cmpuint(emit(n, v6, MAX_SEEN, 2), ==, 9);
    expect(0x10, 3);
    expect(0x30, 3);
    expect(0xfffffff0, 3);
    nudges_capture(n);
    nudges_capture(n);
    emit(n, v6, MAX_SEEN, 2);
    expect(0xfffffff0, 0);

    g_assert_cmpuint(emit(n, v6, 4, 2), ==, 4); /* not more */
    nudges_free(n);
}

/* Those that begin, or end, or were silent are left alone. */
static void left_alone(void)
{
    Nudges *n = nudges_new(1);

    from_client(n, FALSE, 100, NET_TCP_SYN, 0, 1);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 0);
    from_guest(n, FALSE, 101, NET_TCP_SYN | NET_TCP_ACK);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 0);

    from_client(n, FALSE, 100, NET_TCP_ACK, 10, 1);
    from_client(n, TRUE, 100, NET_TCP_ACK, 10, 1); /* one is enough */
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 6);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, IDLE_US + 2), ==, 0);
    from_guest(n, FALSE, 0, NET_TCP_RST);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 0);

    from_client(n, FALSE, 100, NET_TCP_ACK, 10, 1);
    from_client(n, FALSE, 110, NET_TCP_RST, 0, 1);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 0);

    from_client(n, FALSE, 100, NET_TCP_ACK, 10, 1);
    nudges_expire(n, IDLE_US, 2);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 6);
    nudges_expire(n, IDLE_US, IDLE_US + 2);
    g_assert_cmpuint(emit(n, FALSE, MAX_SEEN, 1), ==, 0);
    nudges_free(n);
}

/* Nothing in a frame is trusted. */
static void any_frame(void)
{
    static const char *const tags[] = {NULL, "81 00 00 07",
                                       "88 a8 00 07 81 00 00 09"};
    Nudges *n = nudges_new(1000);

    for (int i = 0; i < 20000; i++) {
        g_autoptr(GByteArray) f =
            segment(i & 1, tags[i % 3], (guint32)i, 1, NET_TCP_ACK, 20);
        guint len = (guint)g_test_rand_int_range(0, (gint)f->len + 1);

        for (int k = g_test_rand_int_range(0, 4); k > 0; k--) {
            f->data[g_test_rand_int_range(0, (gint)f->len)] =
                (guint8)g_test_rand_int();
        }
        nudges_inbound(n, f->data, len, i);
        nudges_outbound(n, f->data, len);
    }
    nudges_free(n);
}

static gboolean knows(Nudges *n, const char *tags, guint16 sport, guint16 dport,
                      guint8 flags)
{
    GByteArray *tcp =
        build_tcp(sport, dport, 1, 1, flags, NULL, build_zeros(0));
    g_autoptr(GByteArray) f =
        build_ether(GUEST, tags, BUILD_IPV4, build_ipv4(6, tcp));

    return nudges_know(n, f->data, f->len);
}

/* What was not seen on its way through the primary's network is not known. */
static void known(void)
{
    Nudges *n = nudges_new(8);
    g_autoptr(GByteArray) other = NULL;

    g_assert_false(knows(n, NULL, 4711, 80, NET_TCP_ACK));
    g_assert_false(knows(n, NULL, 4711, 80, NET_TCP_SYN));
    from_client(n, FALSE, 100, NET_TCP_ACK, 10, 0);
    g_assert_true(knows(n, NULL, 4711, 80, NET_TCP_ACK));
    g_assert_true(knows(n, NULL, 4711, 80, NET_TCP_RST));
    g_assert_false(knows(n, NULL, 4712, 80, NET_TCP_ACK));
    g_assert_true(knows(n, NULL, 4712, 80, NET_TCP_SYN));
    g_assert_false(knows(n, NULL, 4712, 80, NET_TCP_SYN | NET_TCP_ACK));
    g_assert_false(knows(n, NULL, 4712, 22, NET_TCP_SYN));
    g_assert_false(knows(n, "81 00 00 07", 4711, 80, NET_TCP_ACK));
    g_assert_false(knows(n, "81 00 00 07", 4712, 80, NET_TCP_SYN));
    other = segment(TRUE, NULL, 100, 1, NET_TCP_ACK, 0);
    g_assert_false(nudges_know(n, other->data, other->len));
    g_assert_false(nudges_know(n, other->data, 30));

    /* Who came later, and who was forgotten */
    from_client(n, TRUE, 100, NET_TCP_ACK, 10, 2 * IDLE_US);
    g_assert_true(nudges_know(n, other->data, other->len));
    nudges_expire(n, IDLE_US, 2 * IDLE_US);
    g_assert_false(knows(n, NULL, 4711, 80, NET_TCP_ACK));
    g_assert_false(knows(n, NULL, 4712, 80, NET_TCP_SYN));
    nudges_free(n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    seen = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_test_add_data_func("/nudge/places/ipv4", NULL, places);
    g_test_add_data_func("/nudge/places/ipv6", "", places);
    g_test_add_func("/nudge/left-alone", left_alone);
    g_test_add_func("/nudge/any-frame", any_frame);
    g_test_add_func("/nudge/known", known);
    return g_test_run();
}
