/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packet parser: each kind of packet, and each of them cut short. */
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <string.h>

#define HOPS  "3a 00 05 02 00 00 01 00" /* router alert; then ICMPv6 */
#define FLAGS (NET_TCP_ACK | NET_TCP_PSH)
#define TS    "01 01 08 0a 11223344 55667788"
#define A_TCP build_tcp(80, 4711, 1, 2, FLAGS, TS, build_text("hello"))

/* --- A table of packets ------------------------------------------------- */

typedef struct Sample {
    const char *name;
    GByteArray *(*make)(void);
    guint16 ethertype; /* 0: a frame */
    NetKind kind;
    guint8 proto;
    guint16 sport, dport;
    guint32 l4, payload, payload_len;
    guint32 at, id; /* of fragments */
    gboolean more;
} Sample;

static GByteArray *tcp4(void)
{
    return build_ipv4(IPPROTO_TCP, A_TCP);
}

/* IPv4 options of 8 bytes: record route. */
static GByteArray *with_options(GByteArray *ip)
{
    GByteArray *o = build_hex("07 07 04 00 00 00 00 00");
    GByteArray *a = g_byte_array_new();

    g_byte_array_append(a, ip->data, 20);
    g_byte_array_append(a, o->data, o->len);
    g_byte_array_append(a, ip->data + 20, ip->len - 20);
    a->data[0] = 0x47;
    net_put16(a->data + 2, (guint16)a->len);
    g_byte_array_unref(o);
    g_byte_array_unref(ip);
    return a;
}

static GByteArray *tcp4_options(void)
{
    return with_options(tcp4());
}

static GByteArray *tcp4_padded(void)
{
    GByteArray *a = build_ipv4(
        IPPROTO_TCP, build_tcp(80, 4711, 1, 2, NET_TCP_ACK, NULL, NULL));

    return g_byte_array_append(a, (const guint8 *)"\0\0\0\0\0\0", 6);
}

static GByteArray *tcp4_large(void)
{
    GByteArray *a = build_ipv4(
        IPPROTO_TCP, build_tcp(80, 4711, 1, 2, FLAGS, NULL, build_zeros(1960)));

    net_put16(a->data + 2, 0); /* total length: the card's business */
    return a;
}

static GByteArray *tcp4_no_length(void)
{
    GByteArray *a = tcp4_padded(); /* not large: it may be padding */

    net_put16(a->data + 2, 0);
    return a;
}

static GByteArray *udp4(void)
{
    return build_ipv4(IPPROTO_UDP, build_udp(53, 4711, build_text("query")));
}

static GByteArray *udp4_too_long(void)
{
    GByteArray *a = udp4();

    net_put16(a->data + 24, 8 + 6);
    return a;
}

static GByteArray *udp4_behind(void) /* bytes that UDP does not count */
{
    GByteArray *a = udp4();

    net_put16(a->data + 24, 8 + 2);
    return a;
}

static GByteArray *echo4(void)
{
    return build_ipv4(IPPROTO_ICMP, build_icmp(8, 0, 77, 1, build_text("x")));
}

static GByteArray *unreachable4(void)
{
    return build_ipv4(IPPROTO_ICMP, build_icmp(3, 1, 0, 0, tcp4()));
}

static GByteArray *igmp4(void)
{
    return build_ipv4(IPPROTO_IGMP, build_hex("16 00 00 00 e0 00 00 fb"));
}

static GByteArray *gre4(void)
{
    return build_ipv4(IPPROTO_GRE, build_hex("00 00 08 00 45"));
}

static GByteArray *fragment4(guint16 field, guint n)
{
    GByteArray *a = build_ipv4(IPPROTO_UDP, build_zeros(n));

    net_put16(a->data + 6, field);
    return a;
}

static GByteArray *fragment4_first(void)
{
    return fragment4(0x2000, 16);
}

static GByteArray *fragment4_last(void)
{
    return fragment4(0x0002, 5);
}

static GByteArray *fragment4_odd(void)
{
    return fragment4(0x2000, 13);
}

static GByteArray *fragment4_empty(void)
{
    return fragment4(0x0002, 0);
}

static GByteArray *fragment4_beyond(void)
{
    return fragment4(0x1fff, 24);
}

static GByteArray *df4(void) /* "don't fragment" is no fragment */
{
    GByteArray *a = udp4();

    net_put16(a->data + 6, 0x4000);
    return a;
}

static GByteArray *version4(void)
{
    GByteArray *a = udp4();

    a->data[0] = 0x65;
    return a;
}

static GByteArray *header4(void)
{
    GByteArray *a = udp4();

    a->data[0] = 0x44;
    return a;
}

static GByteArray *tcp4_header(void)
{
    GByteArray *a = tcp4();

    a->data[32] = 0x40;
    return a;
}

static GByteArray *tcp4_header_long(void)
{
    GByteArray *a = tcp4();

    a->data[32] = 0xf0;
    return a;
}

static GByteArray *tcp6(void)
{
    return build_ipv6(IPPROTO_TCP, A_TCP);
}

static GByteArray *udp6(void)
{
    return build_ipv6(IPPROTO_UDP, build_udp(53, 4711, build_text("query")));
}

static GByteArray *echo6(void)
{
    return build_ipv6(IPPROTO_ICMPV6,
                      build_icmp(129, 0, 78, 1, build_text("x")));
}

static GByteArray *too_big6(void)
{
    return build_ipv6(IPPROTO_ICMPV6, build_icmp(2, 0, 0, 1280, tcp6()));
}

static GByteArray *solicit6(void)
{
    return build_ipv6(IPPROTO_ICMPV6,
                      build_icmp(135, 0, 0, 0, build_zeros(16)));
}

static GByteArray *joined(const char *hex, GByteArray *rest)
{
    GByteArray *a = build_hex(hex);

    g_byte_array_append(a, rest->data, rest->len);
    g_byte_array_unref(rest);
    return a;
}

static GByteArray *mld6(void)
{
    return build_ipv6(IPPROTO_HOPOPTS,
                      joined(HOPS, build_icmp(143, 0, 0, 1, build_zeros(20))));
}

/* Hop-by-hop, destination options, routing, AH: 8 + 8 + 24 + 24. */
static GByteArray *chain6(void)
{
    return build_ipv6(IPPROTO_HOPOPTS,
                      joined("3c 00 01 04 00 00 00 00  2b 00 01 04 00 00 00 00"
                             "33 02 04 00 00 00 00 00"
                             "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03"
                             "06 04 00 00 00 00 00 01 00 00 00 02"
                             "00 00 00 00 00 00 00 00 00 00 00 00",
                             A_TCP));
}

static GByteArray *many6(guint n)
{
    GByteArray *a = build_udp(53, 4711, NULL);

    for (guint i = 0; i < n; i++) {
        a = joined(i ? "3c 00 01 04 00 00 00 00" : "11 00 01 04 00 00 00 00",
                   a);
    }
    return build_ipv6(IPPROTO_DSTOPTS, a);
}

static GByteArray *eight6(void)
{
    return many6(8);
}

static GByteArray *nine6(void)
{
    return many6(9);
}

static GByteArray *atomic6(void)
{
    return build_ipv6(IPPROTO_FRAGMENT, joined("06 00 0006 00000063", A_TCP));
}

static GByteArray *fragment6_first(void)
{
    return build_ipv6(IPPROTO_FRAGMENT,
                      joined("11 00 0001 00abcdef", build_zeros(16)));
}

static GByteArray *fragment6_last(void)
{
    return build_ipv6(IPPROTO_HOPOPTS, joined("2c 00 01 04 00 00 00 00"
                                              "06 00 0010 00abcdef",
                                              build_zeros(5)));
}

static GByteArray *fragment6_odd(void)
{
    return build_ipv6(IPPROTO_FRAGMENT,
                      joined("11 00 0001 00abcdef", build_zeros(13)));
}

static GByteArray *tcp6_large(void)
{
    GByteArray *a = build_ipv6(
        IPPROTO_TCP, build_tcp(80, 4711, 1, 2, FLAGS, NULL, build_zeros(1960)));

    net_put16(a->data + 4, 0);
    return a;
}

static GByteArray *nothing6(void)
{
    return build_ipv6(IPPROTO_NONE, NULL);
}

static GByteArray *short6(void)
{
    GByteArray *a = udp6();

    net_put16(a->data + 4, 14);
    return a;
}

static GByteArray *frame(void)
{
    return build_ether(NULL, NULL, BUILD_IPV4, tcp4());
}

static GByteArray *frame_tagged(void)
{
    return build_ether(NULL, "8100 6064", BUILD_IPV4, tcp4());
}

static GByteArray *frame_twice(void)
{
    return build_ether(NULL, "88a8 0064 8100 0005", BUILD_IPV6, tcp6());
}

static GByteArray *frame_thrice(void)
{
    return build_ether(NULL, "88a8 0064 8100 0005 8100 0006", BUILD_IPV6,
                       tcp6());
}

static GByteArray *frame_reserved(void)
{
    return build_ether(NULL, "8100 0fff", BUILD_IPV4, tcp4());
}

static GByteArray *frame_padded(void)
{
    return build_ether(NULL, NULL, BUILD_IPV4, tcp4_padded());
}

static GByteArray *frame_arp(void)
{
    return build_ether("ff ff ff ff ff ff", NULL, 0x0806, build_zeros(28));
}

static GByteArray *frame_lldp(void)
{
    return build_ether("01 80 c2 00 00 0e", NULL, 0x88cc, build_zeros(20));
}

static GByteArray *frame_stp(void)
{
    return build_ether("01 80 c2 00 00 00", NULL, 38,
                       joined("42 42 03", build_zeros(43)));
}

static GByteArray *frame_llc(void)
{
    return build_ether(NULL, NULL, 7, joined("42 42 03", build_zeros(43)));
}

static GByteArray *frame_llc_long(void)
{
    return build_ether(NULL, NULL, 47, build_zeros(46));
}

static GByteArray *frame_other(void)
{
    return build_ether(NULL, NULL, 0x88b5, build_zeros(46));
}

#define V4 BUILD_IPV4
#define V6 BUILD_IPV6

static const Sample samples[] = {
    {"tcp4", tcp4, V4, NET_KIND_TCP, 6, 80, 4711, 20, 52, 5},
    {"tcp4-options", tcp4_options, V4, NET_KIND_TCP, 6, 80, 4711, 28, 60, 5},
    {"tcp4-padded", tcp4_padded, V4, NET_KIND_TCP, 6, 80, 4711, 20, 40, 0},
    {"tcp4-large", tcp4_large, V4, NET_KIND_TCP, 6, 80, 4711, 20, 40, 1960},
    {"tcp4-no-length", tcp4_no_length, V4, NET_KIND_BAD, 6},
    {"tcp4-header", tcp4_header, V4, NET_KIND_BAD, 6, 80, 4711, 20, 20, 37},
    {"tcp4-header-long", tcp4_header_long, V4, NET_KIND_BAD, 6, 80, 4711, 20,
     20, 37},
    {"udp4", udp4, V4, NET_KIND_DATAGRAM, 17, 53, 4711, 20, 28, 5},
    {"udp4-df", df4, V4, NET_KIND_DATAGRAM, 17, 53, 4711, 20, 28, 5},
    {"udp4-too-long", udp4_too_long, V4, NET_KIND_BAD, 17, 53, 4711, 20, 28, 5},
    {"udp4-behind", udp4_behind, V4, NET_KIND_DATAGRAM, 17, 53, 4711, 20, 28,
     5},
    {"echo4", echo4, V4, NET_KIND_DATAGRAM, 1, 77, 0, 20, 28, 1},
    {"unreachable4", unreachable4, V4, NET_KIND_DATAGRAM, 1, 0, 0, 20, 28, 57},
    {"igmp4", igmp4, V4, NET_KIND_LINK, 2, 0, 0, 20, 20, 8},
    {"gre4", gre4, V4, NET_KIND_DATAGRAM, 47, 0, 0, 20, 20, 5},
    {"fragment4-first", fragment4_first, V4, NET_KIND_FRAGMENT, 17, 0, 0, 20,
     20, 16, 0, 0x1234, TRUE},
    {"fragment4-last", fragment4_last, V4, NET_KIND_FRAGMENT, 17, 0, 0, 20, 20,
     5, 16, 0x1234, FALSE},
    {"fragment4-odd", fragment4_odd, V4, NET_KIND_BAD, 17, 0, 0, 20, 20, 13, 0,
     0x1234, TRUE},
    {"fragment4-empty", fragment4_empty, V4, NET_KIND_BAD, 17, 0, 0, 20, 20, 0,
     16, 0x1234, FALSE},
    {"fragment4-beyond", fragment4_beyond, V4, NET_KIND_BAD, 17, 0, 0, 20, 20,
     24, 65528, 0x1234, FALSE},
    {"version4", version4, V4, NET_KIND_BAD},
    {"header4", header4, V4, NET_KIND_BAD, 17},
    {"tcp6", tcp6, V6, NET_KIND_TCP, 6, 80, 4711, 40, 72, 5},
    {"tcp6-large", tcp6_large, V6, NET_KIND_TCP, 6, 80, 4711, 40, 60, 1960},
    {"udp6", udp6, V6, NET_KIND_DATAGRAM, 17, 53, 4711, 40, 48, 5},
    {"echo6", echo6, V6, NET_KIND_DATAGRAM, 58, 78, 0, 40, 48, 1},
    {"too-big6", too_big6, V6, NET_KIND_DATAGRAM, 58, 0, 0, 40, 48, 77},
    {"solicit6", solicit6, V6, NET_KIND_LINK, 58, 0, 0, 40, 40, 24},
    {"mld6", mld6, V6, NET_KIND_LINK, 58, 0, 0, 48, 48, 28},
    {"chain6", chain6, V6, NET_KIND_TCP, 6, 80, 4711, 104, 136, 5},
    {"eight6", eight6, V6, NET_KIND_DATAGRAM, 17, 53, 4711, 104, 112, 0},
    {"nine6", nine6, V6, NET_KIND_BAD, 60, 0, 0, 112},
    {"atomic6", atomic6, V6, NET_KIND_TCP, 6, 80, 4711, 48, 80, 5},
    {"fragment6-first", fragment6_first, V6, NET_KIND_FRAGMENT, 17, 0, 0, 48,
     48, 16, 0, 0xabcdef, TRUE},
    {"fragment6-last", fragment6_last, V6, NET_KIND_FRAGMENT, 6, 0, 0, 56, 56,
     5, 16, 0xabcdef, FALSE},
    {"fragment6-odd", fragment6_odd, V6, NET_KIND_BAD, 17, 0, 0, 48, 48, 13, 0,
     0xabcdef, TRUE},
    {"nothing6", nothing6, V6, NET_KIND_DATAGRAM, 59, 0, 0, 40, 40, 0},
    {"short6", short6, V6, NET_KIND_BAD, 17},
    {"arp", udp4, 0x0806, NET_KIND_LINK},
    {"rarp", udp4, 0x8035, NET_KIND_LINK},
    {"other", udp4, 0x88b5, NET_KIND_DATAGRAM, 0, 0, 0, 0, 0, 33},
    {"frame", frame, 0, NET_KIND_TCP, 6, 80, 4711, 20, 52, 5},
    {"frame-tagged", frame_tagged, 0, NET_KIND_TCP, 6, 80, 4711, 20, 52, 5},
    {"frame-twice", frame_twice, 0, NET_KIND_TCP, 6, 80, 4711, 40, 72, 5},
    {"frame-thrice", frame_thrice, 0, NET_KIND_DATAGRAM, 0, 0, 0, 0, 0, 81},
    {"frame-reserved", frame_reserved, 0, NET_KIND_BAD},
    {"frame-padded", frame_padded, 0, NET_KIND_TCP, 6, 80, 4711, 20, 40, 0},
    {"frame-arp", frame_arp, 0, NET_KIND_LINK},
    {"frame-lldp", frame_lldp, 0, NET_KIND_LINK},
    {"frame-stp", frame_stp, 0, NET_KIND_LINK},
    {"frame-llc", frame_llc, 0, NET_KIND_DATAGRAM, 0, 0, 0, 0, 0, 7},
    {"frame-llc-long", frame_llc_long, 0, NET_KIND_BAD},
    {"frame-other", frame_other, 0, NET_KIND_DATAGRAM, 0, 0, 0, 0, 0, 46},
};

static NetKind parse(NetPacket *p, const Sample *s, const guint8 *data,
                     gsize len)
{
    memset(p, 0xa5, sizeof(*p)); /* whatever was there */
    return s->ethertype ? net_packet_parse(p, s->ethertype, data, len, 0, 3)
                        : net_packet_parse_frame(p, data, len, 3);
}

static void test_sample(gconstpointer user_data)
{
    const Sample *s = user_data;
    g_autoptr(GByteArray) a = s->make();
    NetPacket p;

    g_assert_cmpint(parse(&p, s, a->data, a->len), ==, s->kind);
    g_assert_cmpint(p.kind, ==, s->kind);
    g_assert_cmpuint(p.key.proto, ==, s->proto);
    g_assert_cmpuint(p.key.sport, ==, s->sport);
    g_assert_cmpuint(p.key.dport, ==, s->dport);
    g_assert_cmpuint(p.key.iface, ==, 3);
    if (s->kind != NET_KIND_BAD || s->l4) {
        g_assert_cmpuint(p.l4, ==, s->l4);
    }
    if (s->kind != NET_KIND_BAD || s->payload) {
        g_assert_cmpuint(p.payload, ==, s->payload);
        g_assert_cmpuint(p.payload_len, ==, s->payload_len);
    }
    g_assert_cmpuint(p.fragment_at, ==, s->at);
    g_assert_cmpuint(p.fragment_id, ==, s->id);
    g_assert_cmpint(p.fragment_more, ==, s->more);
    if (s->kind == NET_KIND_TCP) {
        g_assert_cmpuint(p.seq, ==, 1);
        g_assert_cmpuint(p.ack, ==, 2);
        g_assert_cmpuint(p.window, ==, 29200);
    }
}

/* What the header promises, whatever the bytes say. */
static void check_bounds(const NetPacket *p, const guint8 *data, gsize len)
{
    guint32 at = p->options, body, body_len, last = at;
    int kind;

    g_assert_true(p->data >= data);
    g_assert_cmpuint(p->data - data, <=, len);
    g_assert_cmpuint(p->len, <=, len - (p->data - data));
    g_assert_cmpuint(p->l4, <=, p->len);
    g_assert_cmpuint(p->payload, <=, p->len);
    g_assert_cmpuint(p->payload_len, <=, p->len - p->payload);
    g_assert_cmpuint(p->options, <=, p->len);
    g_assert_cmpuint(p->options_len, <=, p->len - p->options);
    if (p->has_ts) {
        g_assert_cmpuint(p->ts_at, >=, p->options + 2);
        g_assert_cmpuint(p->ts_at + 8, <=, p->options + p->options_len);
    }
    while ((kind = net_packet_next_option(p, &at, &body, &body_len)) >= 0) {
        g_assert_cmpint(kind, >, 1);
        g_assert_cmpuint(at, >, last);
        g_assert_cmpuint(body + body_len, ==, at);
        g_assert_cmpuint(at, <=, p->options + p->options_len);
        last = at;
    }
}

/* Every prefix, in memory of its own for the sanitizers to guard. */
static void test_cut(gconstpointer user_data)
{
    const Sample *s = user_data;
    g_autoptr(GByteArray) a = s->make();
    NetPacket whole, p;
    gsize need;

    parse(&whole, s, a->data, a->len);
    need = (gsize)(whole.data - a->data) + whole.len;
    for (gsize n = 0; n <= a->len; n++) {
        g_autofree guint8 *cut = g_memdup2(a->data, n);
        guint8 nothing;
        const guint8 *data = cut ? cut : &nothing;
        NetKind kind = parse(&p, s, data, n);

        check_bounds(&p, data, n);
        /* What says how long it is is bad when it is shorter. */
        if (n < need && whole.key.proto && !strstr(s->name, "-large")) {
            g_assert_cmpint(kind, ==, NET_KIND_BAD);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(samples); i++) {
        const Sample *s = &samples[i];
        g_autofree char *whole = g_strdup_printf("/packet/%s", s->name);
        g_autofree char *cut = g_strdup_printf("/packet/%s/cut", s->name);

        g_test_add_data_func(whole, s, test_sample);
        g_test_add_data_func(cut, s, test_cut);
    }
    return g_test_run();
}
