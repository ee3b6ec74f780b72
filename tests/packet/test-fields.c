/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packet parser: the fields that it finds, and what it tells apart. */
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <string.h>

#define V4 BUILD_IPV4
#define V6 BUILD_IPV6
#define TS "01 01 08 0a 11223344 55667788"

static GByteArray *udp4(void)
{
    return build_ipv4(IPPROTO_UDP, build_udp(53, 4711, build_text("query")));
}

static GByteArray *ack4(void)
{
    return build_ipv4(IPPROTO_TCP,
                      build_tcp(80, 4711, 1, 2, NET_TCP_ACK, NULL, NULL));
}

static void test_tcp_fields(void)
{
    g_autoptr(GByteArray) a =
        build_ipv4(IPPROTO_TCP, build_tcp(80, 4711, 0xfffffff0, 0x80000001,
                                          NET_TCP_FIN | NET_TCP_URG, TS, NULL));
    NetPacket p;

    net_put16(a->data + 20 + 14, 4321);
    net_put16(a->data + 20 + 18, 17);
    g_assert_cmpint(net_packet_parse(&p, V4, a->data, a->len, 9, 2), ==,
                    NET_KIND_TCP);
    g_assert_cmpuint(p.seq, ==, 0xfffffff0);
    g_assert_cmpuint(p.ack, ==, 0x80000001);
    g_assert_cmpuint(p.flags, ==, NET_TCP_FIN | NET_TCP_URG);
    g_assert_cmpuint(p.window, ==, 4321);
    g_assert_cmpuint(p.urgent, ==, 17);
    g_assert_cmpuint(p.options, ==, 40);
    g_assert_cmpuint(p.options_len, ==, 12);
    g_assert_true(p.has_ts);
    g_assert_cmpuint(p.tsval, ==, 0x11223344);
    g_assert_cmpuint(p.tsecr, ==, 0x55667788);
    g_assert_cmpuint(p.ts_at, ==, 44);
    g_assert_cmpuint(p.key.vlan, ==, 9);
    g_assert_cmpuint(p.key.iface, ==, 2);
    g_assert_cmpmem(p.key.src, 4, "\x0a\0\0\1", 4);
    g_assert_cmpmem(p.key.dst, 4, "\x0a\0\0\2", 4);
}

/* Kinds of options in order, the last -1; timestamp found or not. */
static void options_are(const char *hex, gboolean has_ts, ...)
{
    g_autoptr(GByteArray) a =
        build_ipv4(IPPROTO_TCP, build_tcp(1, 2, 3, 4, NET_TCP_SYN, hex, NULL));
    guint32 at, body, body_len;
    NetPacket p;
    va_list kinds;
    int kind;

    net_packet_parse(&p, V4, a->data, a->len, 0, 0);
    g_assert_cmpint(p.has_ts, ==, has_ts);
    at = p.options;
    va_start(kinds, has_ts);
    do {
        kind = net_packet_next_option(&p, &at, &body, &body_len);
        g_assert_cmpint(kind, ==, va_arg(kinds, int));
    } while (kind >= 0);
    va_end(kinds);
    g_assert_cmpint(net_packet_next_option(&p, &at, &body, &body_len), ==, -1);
}

static void test_options(void)
{
    /* MSS 1460, SACK allowed, timestamps, NOP, window scale: Linux's SYN. */
    options_are("020405b4 0402 080a 00000001 00000000 01 030307", TRUE, 2, 4, 8,
                3, -1);
    options_are("01 080a 00000001 00000000", TRUE, 8, -1);
    options_are("0809 000000010000 00", FALSE, 8, -1); /* no timestamp: 9 */
    options_are("00 080a 00000001 00000000", FALSE, -1);
    options_are("0300", FALSE, -1);
    options_are("0301", FALSE, -1);
    options_are("01010305", FALSE, -1);
    options_are("010101 08", FALSE, -1);
    options_are("050a 00000001 00000002 01 01", FALSE, 5, -1);
    options_are(NULL, FALSE, -1);
}

static void test_vlan(void)
{
    const struct {
        const char *tags;
        guint16 vlan, ethertype;
        guint header;
    } cases[] = {
        {NULL, 0, V4, 14},           {"8100 0001", 1, V4, 18},
        {"8100 6ffe", 4094, V4, 18}, {"8100 e000", 0, V4, 18},
        {"9100 0007", 7, V4, 18},    {"88a8 0064 8100 0005", 100, V4, 22},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) a = build_ether(NULL, cases[i].tags, V4, udp4());
        NetPacket p;

        g_assert_cmpint(net_packet_parse_frame(&p, a->data, a->len, 0), ==,
                        NET_KIND_DATAGRAM);
        g_assert_cmpuint(p.key.vlan, ==, cases[i].vlan);
        g_assert_cmpuint(p.key.ethertype, ==, cases[i].ethertype);
        g_assert_cmpuint(p.data - a->data, ==, cases[i].header);
        g_assert_cmpuint(p.len, ==, 33);
    }
}

static void test_padding(void)
{
    g_autoptr(GByteArray) a =
        build_ether(NULL, NULL, V4,
                    g_byte_array_append(ack4(), (const guint8 *)"padded", 6));
    NetPacket p;

    g_assert_cmpuint(a->len, ==, 60);
    net_packet_parse_frame(&p, a->data, a->len, 0);
    g_assert_cmpuint(p.len, ==, 40);
}

/* Each type of ICMPv6: the link's own, or to be compared. */
static void test_icmpv6_types(void)
{
    for (guint type = 0; type < 256; type++) {
        g_autoptr(GByteArray) a =
            build_ipv6(IPPROTO_ICMPV6, build_icmp((guint8)type, 0, 5, 6, NULL));
        gboolean link = (type >= 130 && type <= 137) || type == 143;
        gboolean echo = type == 128 || type == 129;
        NetPacket p;

        g_assert_cmpint(net_packet_parse(&p, V6, a->data, a->len, 0, 0), ==,
                        link ? NET_KIND_LINK : NET_KIND_DATAGRAM);
        g_assert_cmpuint(p.key.sport, ==, echo ? 5 : 0);
    }
}

/* 01:80:c2:00:00:00 to 0f never pass a bridge; 10 does. */
static void test_bridge_group(void)
{
    for (guint last = 0; last < 256; last++) {
        g_autoptr(GByteArray) a = build_ether(NULL, NULL, V4, ack4());
        static const guint8 group[] = {0x01, 0x80, 0xc2, 0x00, 0x00};
        NetPacket p;

        memcpy(a->data, group, sizeof(group));
        a->data[5] = (guint8)last;
        g_assert_cmpint(net_packet_parse_frame(&p, a->data, a->len, 0), ==,
                        last < 16 ? NET_KIND_LINK : NET_KIND_TCP);
    }
}

static void test_numbers(void)
{
    guint8 b[4];

    g_assert_true(net_seq_lt(0xffffffff, 0));
    g_assert_false(net_seq_lt(0, 0xffffffff));
    g_assert_false(net_seq_lt(7, 7));
    g_assert_true(net_seq_le(7, 7));
    g_assert_true(net_seq_le(0xfffffff0, 0x10));
    net_put32(b, 0x01020304);
    g_assert_cmpmem(b, 4, "\1\2\3\4", 4);
    g_assert_cmpuint(net_get32(b), ==, 0x01020304);
    g_assert_cmpuint(net_get16(b + 1), ==, 0x0203);
}

/* The first fragment of a segment, with and without all of its header. */
static void test_head(void)
{
    const struct {
        guint n;
        guint16 field;
        NetKind kind;
    } cases[] = {
        {40, 0x2000, NET_KIND_TCP}, {32, 0x2000, NET_KIND_TCP},
        {24, 0x2000, NET_KIND_BAD}, {16, 0x2000, NET_KIND_BAD},
        {40, 0x2001, NET_KIND_BAD}, {40, 0x0000, NET_KIND_BAD},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) a =
            build_ipv4(IPPROTO_TCP, build_tcp(80, 4711, 7, 8, NET_TCP_ACK, TS,
                                              build_text("eighteen and more")));
        guint len = 20 + cases[i].n;
        NetPacket p, head;

        net_put16(a->data + 2, (guint16)len);
        net_put16(a->data + 6, cases[i].field);
        net_packet_parse(&p, V4, a->data, len, 0, 0);
        g_assert_cmpint(net_packet_parse_head(&head, &p), ==, cases[i].kind);
        g_assert_cmpint(head.kind, ==, cases[i].kind);
        if (cases[i].kind == NET_KIND_TCP) {
            g_assert_cmpuint(head.key.sport, ==, 80);
            g_assert_cmpuint(head.seq, ==, 7);
            g_assert_true(head.has_ts);
            g_assert_cmpuint(head.payload_len, ==, cases[i].n - 32);
            g_assert_cmpuint(p.key.sport, ==, 0);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packet/tcp-fields", test_tcp_fields);
    g_test_add_func("/packet/tcp-options", test_options);
    g_test_add_func("/packet/vlan", test_vlan);
    g_test_add_func("/packet/padding", test_padding);
    g_test_add_func("/packet/icmpv6-types", test_icmpv6_types);
    g_test_add_func("/packet/bridge-group", test_bridge_group);
    g_test_add_func("/packet/numbers", test_numbers);
    g_test_add_func("/packet/head", test_head);
    return g_test_run();
}
