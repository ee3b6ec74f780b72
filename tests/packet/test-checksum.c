/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checksums, against the plainest way to sum: see build_sum(). */
#include "netcompare/packet/checksum.h"
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <string.h>

static guint16 plain(const guint8 *data, gsize len)
{
    guint64 sum = build_sum(data, len);

    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (guint16)~sum;
}

/* Every length and alignment; in two pieces. */
static void test_sum(void)
{
    guint8 data[300];

    for (gsize i = 0; i < sizeof(data); i++) {
        data[i] = (guint8)g_test_rand_int();
    }
    for (gsize at = 0; at < 9; at++) {
        for (gsize n = 0; n <= 280; n++) {
            gsize half = n / 4 * 2;
            guint64 sum = net_sum(data + at, half, 0);

            g_assert_cmpuint(net_sum_fold(net_sum(data + at, n, 0)), ==,
                             plain(data + at, n));
            sum = net_sum(data + at + half, n - half, sum);
            g_assert_cmpuint(net_sum_fold(sum), ==, plain(data + at, n));
        }
    }
    memset(data, 0xff, sizeof(data));
    g_assert_cmpuint(net_sum_fold(net_sum(data, 280, 0)), ==, 0);
    /* RFC 1071, 3 */
    g_assert_cmpuint(net_sum_fold(net_sum("\0\1\xf2\3\xf4\xf5\xf6\xf7", 8, 0)),
                     ==, (guint16)~0xddf2);
    {
        g_autoptr(GByteArray) big = build_zeros(1 << 20);

        memset(big->data, 0xff, big->len); /* many carries */
        big->data[77] = 0x12;
        g_assert_cmpuint(net_sum_fold(net_sum(big->data, big->len, 0)), ==,
                         plain(big->data, big->len));
    }
}

/* A field anywhere becomes anything: as if all had been summed again. */
static void test_replace(void)
{
    guint8 data[40], check[2];

    for (guint round = 0; round < 20000; round++) {
        gboolean edge = g_test_rand_bit();
        gsize at = g_test_rand_int_range(0, 36);
        guint32 value = edge ? (g_test_rand_bit() ? 0xffffffff : 0)
                             : (guint32)g_test_rand_int();

        for (gsize i = 0; i < sizeof(data); i++) {
            data[i] =
                (guint8)(edge ? 0xff * g_test_rand_bit() : g_test_rand_int());
        }
        data[39] |= 1; /* an address is never all zeros */
        net_put16(check, plain(data, sizeof(data)));
        if (g_test_rand_bit()) {
            net_replace32(data + at, value, check, at % 2);
            g_assert_cmpuint(net_get32(data + at), ==, value);
        } else {
            net_replace16(data + at, (guint16)value, check, at % 2);
            g_assert_cmpuint(net_get16(data + at), ==, (guint16)value);
        }
        g_assert_cmpuint(net_get16(check), ==, plain(data, sizeof(data)));
    }
}

static void test_unfinished(void)
{
    guint8 field[4] = {1, 2, 3, 4};

    net_replace32(field, 5, NULL, FALSE);
    g_assert_cmpuint(net_get32(field), ==, 5);
    net_replace16(field, 6, NULL, TRUE);
    g_assert_cmpuint(net_get16(field), ==, 6);
}

/* ip: taken.  Filled in, right; each bit that is summed counts. */
static void fill_is_right(guint16 ethertype, GByteArray *ip)
{
    g_autoptr(GByteArray) a = ip;
    NetPacket p;

    net_packet_parse(&p, ethertype, a->data, a->len, 0, 0);
    g_assert_false(net_checksum_ok(&p) && ethertype == BUILD_IPV6);
    g_assert_true(net_checksum_fill(&p, a->data));
    g_assert_true(net_checksum_ok(&p));
    g_assert_true(build_is_sound(&p, a->data));
    for (guint32 i = p.l4 + 8; i < p.len; i++) {
        a->data[i] ^= 0x10;
        g_assert_false(net_checksum_ok(&p));
        a->data[i] ^= 0x10;
    }
    if (ethertype == BUILD_IPV4) {
        a->data[8]--; /* time to live */
        g_assert_false(net_checksum_ok(&p));
    }
}

static GByteArray *a_tcp(void)
{
    return build_tcp(80, 4711, 0xfffffff0, 2, NET_TCP_ACK, "0101",
                     build_text("odd"));
}

static void test_fill(void)
{
    fill_is_right(BUILD_IPV4, build_ipv4(IPPROTO_TCP, a_tcp()));
    fill_is_right(BUILD_IPV6, build_ipv6(IPPROTO_TCP, a_tcp()));
    fill_is_right(BUILD_IPV4,
                  build_ipv4(IPPROTO_UDP, build_udp(1, 2, build_text("odd"))));
    fill_is_right(BUILD_IPV6,
                  build_ipv6(IPPROTO_UDP, build_udp(1, 2, build_text("even"))));
    fill_is_right(
        BUILD_IPV4,
        build_ipv4(IPPROTO_ICMP, build_icmp(8, 0, 1, 2, build_text("x"))));
    fill_is_right(
        BUILD_IPV6,
        build_ipv6(IPPROTO_ICMPV6, build_icmp(128, 0, 1, 2, build_text("x"))));
}

/* UDP: 0 says that nobody summed (IPv4 only); what sums to 0 is 0xffff. */
static void test_udp_zero(void)
{
    g_autoptr(GByteArray) a =
        build_ipv4(IPPROTO_UDP, build_udp(1, 2, build_hex("0000")));
    g_autoptr(GByteArray) b =
        build_ipv6(IPPROTO_UDP, build_udp(1, 2, build_hex("0000")));
    NetPacket p;
    guint16 sum;

    build_checksums(a, BUILD_IPV4);
    sum = net_get16(a->data + 26);
    net_put16(a->data + 28, sum); /* now it sums to 0 */
    build_checksums(a, BUILD_IPV4);
    g_assert_cmpuint(net_get16(a->data + 26), ==, 0xffff);
    net_packet_parse(&p, BUILD_IPV4, a->data, a->len, 0, 0);
    g_assert_true(net_checksum_ok(&p));
    g_assert_true(build_is_sound(&p, a->data));
    net_put16(a->data + 26, 0);
    g_assert_true(net_checksum_ok(&p));
    net_put16(a->data + 26, 1);
    g_assert_false(net_checksum_ok(&p));

    net_packet_parse(&p, BUILD_IPV6, b->data, b->len, 0, 0);
    g_assert_false(net_checksum_ok(&p)); /* there it has to be summed */
}

static void test_none(void)
{
    const struct {
        guint16 ethertype;
        GByteArray *ip;
    } cases[] = {
        {BUILD_IPV4, build_ipv4(IPPROTO_GRE, build_zeros(8))},
        {BUILD_IPV6,
         build_ipv6(IPPROTO_FRAGMENT,
                    build_hex("1100 0001 00000007 0102030405060708"))},
        {0x0806, build_zeros(28)},
        /*
         * To be routed on, so the destination is another; behind the header
         * of an atomic fragment, whose second byte says nothing.
         */
        {BUILD_IPV6,
         build_ipv6(IPPROTO_FRAGMENT,
                    build_hex("2b ff 0000 00000007  11 02 04 01 00000000"
                              "fd00000000000000 0000000000000003"
                              "0001 0002 0008 0000"))},
        /* the same alone */
        {BUILD_IPV6, build_ipv6(IPPROTO_ROUTING,
                                build_hex("11 02 04 01 00000000"
                                          "fd00000000000000 0000000000000003"
                                          "0001 0002 0008 0000"))},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) a = cases[i].ip;
        g_autofree guint8 *before = g_memdup2(a->data, a->len);
        NetPacket p;

        g_assert_cmpint(
            net_packet_parse(&p, cases[i].ethertype, a->data, a->len, 0, 0), !=,
            NET_KIND_BAD);
        g_assert_false(net_checksum_fill(&p, a->data));
        g_assert_cmpmem(a->data, a->len, before, a->len);
        g_assert_true(net_checksum_ok(&p) || cases[i].ethertype == BUILD_IPV4);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/checksum/sum", test_sum);
    g_test_add_func("/checksum/replace", test_replace);
    g_test_add_func("/checksum/unfinished", test_unfinished);
    g_test_add_func("/checksum/fill", test_fill);
    g_test_add_func("/checksum/udp-zero", test_udp_zero);
    g_test_add_func("/checksum/none", test_none);
    return g_test_run();
}
