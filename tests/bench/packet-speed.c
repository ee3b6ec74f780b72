/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a packet takes that is parsed, found, summed or rewritten, in ns:
 * one line of JSON.  No guests, no root; run it by hand.
 */
#include "netcompare/packet/checksum.h"
#include "netcompare/rewrite/rewrite.h"
#include "tests/packet/build.h"

#include <netinet/in.h>
#include <stdio.h>

enum { ROUNDS = 7, FLOWS = 10000 };

#define TS "01 01 08 0a 11223344 55667788"

typedef struct Bench {
    GByteArray *tcp4, *tcp6, *frame, *sack, *large;
    NetKey key;
    NetRewrite *rewrite;
    guint64 sink; /* what is computed, so that it is */
} Bench;

static void parse_tcp4(Bench *b, guint n)
{
    NetPacket p;

    for (guint i = 0; i < n; i++) {
        net_packet_parse(&p, BUILD_IPV4, b->tcp4->data, b->tcp4->len, 0, 0);
        b->sink += p.seq;
    }
}

static void parse_tcp6(Bench *b, guint n)
{
    NetPacket p;

    for (guint i = 0; i < n; i++) {
        net_packet_parse(&p, BUILD_IPV6, b->tcp6->data, b->tcp6->len, 0, 0);
        b->sink += p.seq;
    }
}

static void parse_frame(Bench *b, guint n)
{
    NetPacket p;

    for (guint i = 0; i < n; i++) {
        net_packet_parse_frame(&p, b->frame->data, b->frame->len, 0);
        b->sink += p.seq;
    }
}

static void hash(Bench *b, guint n)
{
    for (guint i = 0; i < n; i++) {
        b->key.dport = (guint16)i;
        b->sink += net_key_hash(&b->key);
    }
}

static void sum_64k(Bench *b, guint n)
{
    for (guint i = 0; i < n; i++) {
        b->sink += net_sum(b->large->data, b->large->len, i);
    }
}

/* One block of SACK and timestamps; parsing it, too. */
static void rewrite_in(Bench *b, guint n)
{
    NetPacket p;

    for (guint i = 0; i < n; i++) {
        net_packet_parse(&p, BUILD_IPV4, b->sack->data, b->sack->len, 0, 0);
        b->sink += net_rewrite_inbound(b->rewrite, &p, b->sack->data, FALSE, i);
    }
}

static void rewrite_out(Bench *b, guint n)
{
    NetPacket p;

    for (guint i = 0; i < n; i++) {
        net_packet_parse(&p, BUILD_IPV4, b->tcp4->data, b->tcp4->len, 0, 0);
        b->sink +=
            net_rewrite_outbound(b->rewrite, &p, b->tcp4->data, FALSE, i);
    }
}

static const struct {
    const char *name;
    void (*run)(Bench *b, guint n);
    guint n;
} measured[] = {
    {"parse_tcp4_ns", parse_tcp4, 2000000},
    {"parse_tcp6_ns", parse_tcp6, 2000000},
    {"parse_frame_ns", parse_frame, 2000000},
    {"key_hash_ns", hash, 2000000},
    {"sum_64k_ns", sum_64k, 5000},
    {"parse_rewrite_in_ns", rewrite_in, 1000000},
    {"parse_rewrite_out_ns", rewrite_out, 1000000},
};

/* The best round: what the machine did meanwhile is not ours. */
static double best(Bench *b, void (*run)(Bench *b, guint n), guint n)
{
    gint64 least = G_MAXINT64;

    for (guint i = 0; i < ROUNDS; i++) {
        gint64 start = g_get_monotonic_time();

        run(b, n);
        least = MIN(least, g_get_monotonic_time() - start);
    }
    return (double)least * 1000 / n;
}

static GByteArray *segment(GByteArray *(*ip)(guint8, GByteArray *),
                           guint16 sport, guint16 dport, const char *options)
{
    return ip(IPPROTO_TCP, build_tcp(sport, dport, 1, 2, NET_TCP_ACK, options,
                                     build_zeros(1000)));
}

int main(void)
{
    Bench b = {
        .tcp4 = segment(build_ipv4, 80, 4711, TS),
        .tcp6 = segment(build_ipv6, 80, 4711, TS),
        .sack =
            segment(build_ipv4, 4711, 80, TS "01 01 05 0a 00000100 00000200"),
        .large = build_zeros(65536),
        .rewrite = net_rewrite_new(FLOWS),
    };
    NetPacket p;
    NetKey key;

    build_turn(b.sack);
    build_checksums(b.tcp4, BUILD_IPV4);
    build_checksums(b.sack, BUILD_IPV4);
    b.frame =
        build_ether(NULL, NULL, BUILD_IPV4, segment(build_ipv4, 80, 4711, TS));
    net_packet_parse(&p, BUILD_IPV4, b.tcp4->data, b.tcp4->len, 0, 0);
    key = b.key = p.key;
    for (guint i = 0; i < FLOWS; i++) {
        key.dport = (guint16)(4711 + i);
        net_rewrite_set(b.rewrite, &key, 0x12345678, 0x9abcdef1, 0);
    }
    printf("{");
    for (guint i = 0; i < G_N_ELEMENTS(measured); i++) {
        printf("%s\"%s\":%.1f", i ? "," : "", measured[i].name,
               best(&b, measured[i].run, measured[i].n));
        fflush(stdout);
    }
    printf("}\n");
    g_byte_array_unref(b.tcp4);
    g_byte_array_unref(b.tcp6);
    g_byte_array_unref(b.sack);
    g_byte_array_unref(b.large);
    g_byte_array_unref(b.frame);
    net_rewrite_free(b.rewrite);
    return b.sink == 0;
}
