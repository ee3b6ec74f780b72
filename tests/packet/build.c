/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets for tests.  See build.h. */
#include "tests/packet/build.h"

#include "netcompare/packet/checksum.h"

#include <netinet/in.h>
#include <string.h>

static void put16(GByteArray *a, guint16 v)
{
    guint8 b[2];

    net_put16(b, v);
    g_byte_array_append(a, b, sizeof(b));
}

static void put32(GByteArray *a, guint32 v)
{
    put16(a, (guint16)(v >> 16));
    put16(a, (guint16)v);
}

static void put8(GByteArray *a, guint8 v)
{
    g_byte_array_append(a, &v, 1);
}

/* Takes body. */
static void put_all(GByteArray *a, GByteArray *body)
{
    if (body) {
        g_byte_array_append(a, body->data, body->len);
        g_byte_array_unref(body);
    }
}

GByteArray *build_hex(const char *hex)
{
    GByteArray *a = g_byte_array_new();

    for (; hex && *hex; hex++) {
        if (g_ascii_isxdigit(hex[0])) {
            g_assert_true(g_ascii_isxdigit(hex[1]));
            put8(a, (guint8)(g_ascii_xdigit_value(hex[0]) << 4 |
                             g_ascii_xdigit_value(hex[1])));
            hex++;
        }
    }
    return a;
}

GByteArray *build_text(const char *text)
{
    GByteArray *a = g_byte_array_new();

    return g_byte_array_append(a, (const guint8 *)text, (guint)strlen(text));
}

GByteArray *build_zeros(guint n)
{
    GByteArray *a = g_byte_array_new();

    g_byte_array_set_size(a, n);
    if (n) {
        memset(a->data, 0, n);
    }
    return a;
}

GByteArray *build_tcp(guint16 sport, guint16 dport, guint32 seq, guint32 ack,
                      guint8 flags, const char *options, GByteArray *payload)
{
    GByteArray *a = g_byte_array_new(), *o = build_hex(options);

    while (o->len % 4) {
        put8(o, 0);
    }
    g_assert_cmpuint(o->len, <=, 40);
    put16(a, sport);
    put16(a, dport);
    put32(a, seq);
    put32(a, ack);
    put8(a, (guint8)((5 + o->len / 4) << 4));
    put8(a, flags);
    put16(a, 29200); /* window */
    put32(a, 0);     /* checksum, urgent */
    put_all(a, o);
    put_all(a, payload);
    return a;
}

GByteArray *build_udp(guint16 sport, guint16 dport, GByteArray *payload)
{
    GByteArray *a = g_byte_array_new();

    put16(a, sport);
    put16(a, dport);
    put16(a, (guint16)(8 + (payload ? payload->len : 0)));
    put16(a, 0);
    put_all(a, payload);
    return a;
}

GByteArray *build_icmp(guint8 type, guint8 code, guint16 id, guint16 seq,
                       GByteArray *payload)
{
    GByteArray *a = g_byte_array_new();

    put8(a, type);
    put8(a, code);
    put16(a, 0);
    put16(a, id);
    put16(a, seq);
    put_all(a, payload);
    return a;
}

GByteArray *build_ipv4(guint8 proto, GByteArray *body)
{
    GByteArray *a = build_hex("45 00");

    put16(a, (guint16)(20 + (body ? body->len : 0)));
    put32(a, 0x12340000); /* id, no fragment */
    put8(a, 64);
    put8(a, proto);
    put16(a, 0);
    put32(a, 0x0a000001);
    put32(a, 0x0a000002);
    put_all(a, body);
    return a;
}

GByteArray *build_ipv6(guint8 next, GByteArray *body)
{
    GByteArray *a = build_hex("60 00 00 00");

    put16(a, (guint16)(body ? body->len : 0));
    put8(a, next);
    put8(a, 64);
    put_all(a, build_hex("fd000000 00000000 00000000 00000001"));
    put_all(a, build_hex("fd000000 00000000 00000000 00000002"));
    put_all(a, body);
    return a;
}

void build_turn(GByteArray *ip)
{
    gsize n = ip->data[0] >> 4 == 4 ? 4 : 16, at = n == 4 ? 12 : 8;
    guint8 src[16];

    memcpy(src, ip->data + at, n);
    memcpy(ip->data + at, ip->data + at + n, n);
    memcpy(ip->data + at + n, src, n);
}

GByteArray *build_ether(const char *dst, const char *tags, guint16 type,
                        GByteArray *body)
{
    GByteArray *a = build_hex(dst ? dst : "52 54 00 00 00 02");

    put_all(a, build_hex("52 54 00 00 00 01"));
    put_all(a, build_hex(tags));
    put16(a, type);
    put_all(a, body);
    return a;
}

void build_checksums(GByteArray *ip, guint16 ethertype)
{
    NetPacket p;

    net_packet_parse(&p, ethertype, ip->data, ip->len, 0, 0);
    g_assert_true(net_checksum_fill(&p, ip->data));
}

guint64 build_sum(const guint8 *data, gsize len)
{
    guint64 sum = 0;

    for (gsize i = 0; i < len; i++) {
        sum += i % 2 ? data[i] : data[i] << 8;
    }
    return sum;
}

static gboolean is_zero(guint64 sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum == 0xffff;
}

gboolean build_is_sound(const NetPacket *p, const guint8 *data)
{
    gboolean v4 = p->key.ethertype == BUILD_IPV4;
    gsize left = p->len - p->l4, n = v4 ? 4 : 16;
    guint64 sum = build_sum(data + p->l4, left);

    if (p->key.proto != IPPROTO_ICMP) {
        sum += build_sum(p->key.src, n) + build_sum(p->key.dst, n) + left +
               p->key.proto;
    }
    return is_zero(sum) && (!v4 || is_zero(build_sum(data, p->l4)));
}
