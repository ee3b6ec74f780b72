/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast the comparator is, without sockets: prints one JSON object.
 *
 * Usage: compare-speed [SECONDS], for each case 1 by default.  A pair is a
 * packet of each guest; _ns is the processor's time for both.
 */
#include "netcompare/compare/compare.h"
#include "tests/compare/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TURN = 1024, LARGE = 64000 };

typedef struct Case {
    const char *name;
    guint flows;
    guint len;   /* of the payload */
    guint ahead; /* packets that one guest is ahead of the other */
    gboolean svm_first, udp, smaller_window;
} Case;

static const Case cases[] = {
    {"tcp_small_svm_first", 1, 64, 1, TRUE},
    {"tcp_small_pvm_first", 1, 64, 1, FALSE},
    {"tcp_small_32_ahead", 1, 64, 32, FALSE},
    {"tcp_small_64_flows", 64, 64, 1, TRUE},
    {"tcp_small_20000_flows", 20000, 64, 1, TRUE},
    {"tcp_ack", 1, 0, 1, TRUE},
    {"tcp_small_window", 1, 64, 1, TRUE, FALSE, TRUE},
    {"udp_small_svm_first", 1, 64, 1, TRUE, TRUE},
    {"udp_small_pvm_first", 1, 64, 1, FALSE, TRUE},
    {"tcp_1448_svm_first", 1, 1448, 1, TRUE},
    {"tcp_1448_pvm_first", 1, 1448, 1, FALSE},
    {"tcp_64k_svm_first", 1, LARGE, 1, TRUE},
    {"tcp_64k_pvm_first", 1, LARGE, 1, FALSE},
};

typedef struct Bench {
    NetCompare *compare;
    guint64 released;
    NetBufPool *pool;
    NetBuf *bufs[2];
    NetPacket packets[2]; /* PVM's, SVM's */
    guint32 *next;        /* of each flow */
    guint turn;
} Bench;

static void on_release(gpointer user, guint64 id, const guint8 *data, gsize len,
                       NetRelease why, gint64 held_us)
{
    Bench *b = user;

    b->released++;
}

static void on_drop(gpointer user, guint64 id)
{
    g_error("a packet was dropped");
}

static void on_need(gpointer user, NetCause cause, const NetKey *flow,
                    const NetPacket *pvm, const NetPacket *svm)
{
    g_error("the packets differ: %s", net_cause_name(cause));
}

static void on_offset(gpointer user, const NetKey *flow, guint32 seq_delta,
                      guint32 ts_delta)
{
}

static const NetCompareOps ops = {on_release, on_drop, on_need, on_offset};

static void prepare(Bench *b, const Case *x)
{
    g_autofree guint8 *data = g_malloc(LARGE);
    NetCompareConfig config;

    net_compare_config_default(&config);
    b->compare = net_compare_new(&config, &ops, b);
    net_compare_capture(b->compare, 1, FALSE, 1);
    net_compare_loaded(b->compare, 1, 1);
    for (guint i = 0; i < LARGE; i++) {
        data[i] = (guint8)(i * 7);
    }
    b->pool = net_buf_pool_new(x->len > 2000 ? 65536 : 2048, 64);
    for (guint side = 0; side < 2; side++) {
        Segment s = {
            .flags = NET_TCP_ACK,
            .window = side && x->smaller_window ? 500 : 1000,
            .data = data,
            .len = x->len,
            .ip_id = (guint16)side,
        };
        gsize len;

        b->bufs[side] = net_buf_get(b->pool);
        len = x->udp ? build_datagram(b->bufs[side]->data, FALSE, 0, 0, data,
                                      x->len)
                     : build_segment(b->bufs[side]->data, &s);
        build_parse(&b->packets[side], b->bufs[side]->data, len, FALSE);
    }
    b->next = g_new0(guint32, x->flows);
    b->released = b->turn = 0;
}

static void clean_up(Bench *b)
{
    net_compare_free(b->compare);
    net_buf_unref(b->bufs[0]);
    net_buf_unref(b->bufs[1]);
    net_buf_pool_free(b->pool);
    g_free(b->next);
}

static inline void hand_in(Bench *b, const Case *x, guint side, guint flow,
                           guint32 seq)
{
    NetPacket *p = &b->packets[side];

    p->key.dport = (guint16)flow;
    p->seq = seq;
    p->ack = seq;
    if (side == 0) {
        net_compare_primary(b->compare, p, b->bufs[0], 1, FALSE, 1);
    } else {
        net_compare_secondary(b->compare, p, b->bufs[1], 1);
    }
}

/* Some thousand pairs. */
static guint turn(Bench *b, const Case *x)
{
    guint first = x->svm_first ? 1 : 0, pairs = 0;

    for (guint i = 0; i < TURN; i += x->ahead) {
        guint flow = b->turn++ % x->flows;

        for (guint side = 0; side < 2; side++) {
            for (guint j = 0; j < x->ahead; j++) {
                hand_in(b, x, side ? 1 - first : first, flow,
                        b->next[flow] + j * x->len);
            }
        }
        b->next[flow] += x->ahead * x->len;
        pairs += x->ahead;
    }
    return pairs;
}

/* Others may use the processor, too. */
static gint64 used_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * G_GINT64_CONSTANT(1000000000) + t.tv_nsec;
}

/* What a checkpoint takes when all flows were used since the last one. */
static double checkpoint(Bench *b)
{
    gint64 start = used_ns();

    net_compare_capture(b->compare, 2, FALSE, 2);
    net_compare_commit(b->compare, 2, 2);
    net_compare_loaded(b->compare, 2, 2);
    return (double)(used_ns() - start) / 1000;
}

static void run(const Case *x, double seconds, gboolean last)
{
    gint64 start, end, limit = (gint64)(seconds * 1e9);
    guint64 pairs = 0, before;
    double ns;
    Bench b;

    prepare(&b, x);
    turn(&b, x);
    before = b.released;
    start = used_ns();
    do {
        pairs += turn(&b, x);
        end = used_ns();
    } while (end - start < limit);
    g_assert_cmpuint(b.released - before, ==, pairs);
    ns = (double)(end - start) / (double)pairs;
    printf("  \"%s_ns\": %.0f", x->name, ns);
    if (x->len > 1000) {
        printf(",\n  \"%s_gb_s\": %.2f", x->name, x->len / ns);
    }
    if (x->flows > 1) {
        printf(",\n  \"%s_checkpoint_us\": %.1f", x->name, checkpoint(&b));
    }
    printf("%s\n", last ? "" : ",");
    clean_up(&b);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? g_ascii_strtod(argv[1], NULL) : 1;

    printf("{\n");
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        run(&cases[i], seconds, i + 1 == G_N_ELEMENTS(cases));
    }
    printf("}\n");
    return 0;
}
