/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys of flows: equal, hashed, reversed, printed. */
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <string.h>

/* ip: taken. */
static NetKey key_of(guint16 ethertype, GByteArray *ip, guint16 vlan)
{
    NetPacket p;

    memset(&p, 0xa5, sizeof(p));
    net_packet_parse(&p, ethertype, ip->data, ip->len, vlan, 1);
    g_byte_array_unref(ip);
    return p.key;
}

static NetKey tcp_key(void)
{
    return key_of(
        BUILD_IPV4,
        build_ipv4(IPPROTO_TCP, build_tcp(80, 4711, 1, 2, 0, NULL, NULL)), 0);
}

static void test_equal(void)
{
    NetKey a = tcp_key(), b = tcp_key();

    g_assert_true(net_key_equal(&a, &b));
    g_assert_cmpuint(net_key_hash(&a), ==, net_key_hash(&b));
    for (gsize i = 0; i < sizeof(b); i++) {
        ((guint8 *)&b)[i] ^= 1;
        g_assert_false(net_key_equal(&a, &b));
        g_assert_cmpuint(net_key_hash(&a), !=, net_key_hash(&b));
        ((guint8 *)&b)[i] ^= 1;
    }
}

/* Neighbouring addresses and ports spread over few bits, too. */
static void test_spread(void)
{
    enum { KEYS = 4096, BUCKETS = 256 };
    guint n[BUCKETS] = {0};
    NetKey key = tcp_key();

    for (guint i = 0; i < KEYS; i++) {
        key.dport = (guint16)(1024 + i / 16);
        key.dst[3] = (guint8)(i % 16);
        n[net_key_hash(&key) % BUCKETS]++;
    }
    for (guint i = 0; i < BUCKETS; i++) {
        g_assert_cmpuint(n[i], <, 5 * KEYS / BUCKETS);
    }
}

static void test_reverse(void)
{
    NetKey a = tcp_key(), r = net_key_reverse(&a), back = net_key_reverse(&r);
    GByteArray *answer =
        build_ipv4(IPPROTO_TCP, build_tcp(4711, 80, 1, 2, 0, NULL, NULL));
    GByteArray *echo =
        build_ipv6(IPPROTO_ICMPV6, build_icmp(128, 0, 7, 1, NULL));
    GByteArray *reply =
        build_ipv6(IPPROTO_ICMPV6, build_icmp(129, 0, 7, 1, NULL));
    NetKey wire, e, er;

    build_turn(answer);
    wire = key_of(BUILD_IPV4, answer, 0);
    g_assert_true(net_key_equal(&r, &wire));
    g_assert_true(net_key_equal(&a, &back));
    g_assert_false(net_key_equal(&a, &r));

    build_turn(reply);
    e = key_of(BUILD_IPV6, echo, 5);
    er = key_of(BUILD_IPV6, reply, 5);
    e = net_key_reverse(&e);
    g_assert_true(net_key_equal(&e, &er));
}

/* ip: taken. */
static void format_is(guint16 ethertype, GByteArray *ip, guint16 vlan,
                      const char *expected)
{
    NetKey key = key_of(ethertype, ip, vlan);
    g_autofree char *text = net_key_format(&key);

    g_assert_cmpstr(text, ==, expected);
}

static void test_format(void)
{
    format_is(BUILD_IPV4,
              build_ipv4(IPPROTO_TCP, build_tcp(80, 4711, 1, 2, 0, NULL, NULL)),
              0, "tcp 10.0.0.1:80 > 10.0.0.2:4711");
    format_is(BUILD_IPV6, build_ipv6(IPPROTO_UDP, build_udp(53, 4711, NULL)),
              12, "udp [fd00::1]:53 > [fd00::2]:4711 vlan 12");
    format_is(BUILD_IPV6,
              build_ipv6(IPPROTO_ICMPV6, build_icmp(135, 0, 0, 0, NULL)), 0,
              "icmpv6 fd00::1 > fd00::2");
    format_is(BUILD_IPV4,
              build_ipv4(IPPROTO_ICMP, build_icmp(8, 0, 77, 1, NULL)), 0,
              "icmp 10.0.0.1 > 10.0.0.2 id 77");
    format_is(BUILD_IPV4, build_ipv4(IPPROTO_GRE, build_zeros(4)), 0,
              "ip-47 10.0.0.1 > 10.0.0.2");
    format_is(0x88b5, build_zeros(46), 0, "ethertype 0x88b5");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/key/equal", test_equal);
    g_test_add_func("/key/spread", test_spread);
    g_test_add_func("/key/reverse", test_reverse);
    g_test_add_func("/key/format", test_format);
    return g_test_run();
}
