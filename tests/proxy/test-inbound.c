/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames the secondary's guest gets, and which once more after a load:
 * cases by hand, and random ones against a model of both guests and taps.
 */
#include "netcompare/proxy/backlog.h"
#include "netcompare/proxy/inbound.h"

#include <stdlib.h>
#include <string.h>

static void push(Inbound *in, guint64 number)
{
    const struct virtio_net_hdr vnet = {.gso_size = (guint16)number};

    inbound_push(in, number, &vnet, (const guint8 *)&number, sizeof(number),
                 NULL);
}

static void push_range(Inbound *in, guint64 from, guint64 to)
{
    for (guint64 i = from; i <= to; i++) {
        push(in, i);
    }
}

/* What is injected now, as text: "3 4 5". */
static char *injected(Inbound *in)
{
    GString *s = g_string_new(NULL);
    const InboundFrame *f;

    while ((f = inbound_next(in))) {
        guint64 content;

        g_assert_cmpuint(f->len, ==, sizeof(content));
        memcpy(&content, f->data, sizeof(content));
        g_assert_cmpuint(content, ==, f->number);
        g_assert_cmpuint(f->vnet.gso_size, ==, (guint16)f->number);
        g_string_append_printf(s, "%s%" G_GUINT64_FORMAT, s->len ? " " : "",
                               f->number);
    }
    return g_string_free(s, FALSE);
}

#define assert_injected(in, text)                                              \
    do {                                                                       \
        g_autofree char *got = injected(in);                                   \
        g_assert_cmpstr(got, ==, text);                                        \
    } while (0)

/* A guest that runs, loaded from checkpoint 1, with no frames so far. */
static Inbound *running(void)
{
    Inbound *in = inbound_new(64, 1 << 20);

    inbound_capture(in, 1, 0, FALSE);
    inbound_load(in, 1);
    inbound_run(in, 0);
    return in;
}

static void test_nothing_before_first_load(void)
{
    Inbound *in = inbound_new(64, 1 << 20);

    push_range(in, 1, 5);
    assert_injected(in, "");
    inbound_capture(in, 1, 3, FALSE);
    assert_injected(in, "");
    inbound_load(in, 1);
    assert_injected(in, "");
    inbound_run(in, 0);
    assert_injected(in, "4 5");
    inbound_free(in);
}

static void test_in_order(void)
{
    Inbound *in = running();

    push_range(in, 1, 3);
    assert_injected(in, "1 2 3");
    push_range(in, 4, 4);
    assert_injected(in, "4");
    inbound_free(in);
}

/* The primary's guest had consumed less than ours: again. */
static void test_again_after_load(void)
{
    Inbound *in = running();
    InboundStats s;

    push_range(in, 1, 6);
    assert_injected(in, "1 2 3 4 5 6");
    inbound_capture(in, 2, 4, FALSE);
    push(in, 7);
    assert_injected(in, "7");
    inbound_load(in, 2);
    push(in, 8);
    assert_injected(in, "");
    inbound_run(in, 0);
    assert_injected(in, "5 6 7 8");
    push(in, 9);
    assert_injected(in, "9");
    inbound_stats(in, &s);
    g_assert_cmpuint(s.again, ==, 3);
    g_assert_cmpuint(s.doubled, ==, 0);
    inbound_free(in);
}

/* Frames that still wait in the tap are not given once more. */
static void test_waiting_in_tap(void)
{
    Inbound *in = running();
    InboundStats s;

    push_range(in, 1, 6);
    assert_injected(in, "1 2 3 4 5 6");
    inbound_capture(in, 2, 3, FALSE);
    inbound_load(in, 2);
    push(in, 7);
    inbound_run(in, 2); /* 5 and 6 */
    assert_injected(in, "4 7");
    inbound_stats(in, &s);
    g_assert_cmpuint(s.doubled, ==, 0);

    /* The last injected are 5 6 4 7: 4 and 7 wait now. */
    inbound_capture(in, 3, 3, FALSE);
    inbound_load(in, 3);
    inbound_run(in, 2);
    assert_injected(in, "5 6");
    inbound_free(in);
}

/* Our guest was slower: what it gets twice is counted. */
static void test_doubled(void)
{
    Inbound *in = running();
    InboundStats s;

    push_range(in, 1, 6);
    assert_injected(in, "1 2 3 4 5 6");
    inbound_capture(in, 2, 5, FALSE);
    inbound_load(in, 2);
    inbound_run(in, 4); /* 3 to 6 wait; of them 3, 4, 5 are its past */
    assert_injected(in, "");
    inbound_stats(in, &s);
    g_assert_cmpuint(s.doubled, ==, 3);
    inbound_free(in);
}

/* A capture that was made again, and one that never became a checkpoint. */
static void test_captures_that_fail(void)
{
    Inbound *in = running();

    push_range(in, 1, 9);
    assert_injected(in, "1 2 3 4 5 6 7 8 9");
    inbound_capture(in, 2, 3, FALSE);
    inbound_capture(in, 2, 6, FALSE);
    inbound_load(in, 2);
    inbound_run(in, 0);
    assert_injected(in, "7 8 9");
    inbound_free(in);
}

static void test_unmarked(void)
{
    Inbound *in = running();
    InboundStats s;

    push_range(in, 1, 2);
    assert_injected(in, "1 2");
    inbound_load(in, 7);
    push(in, 3);
    inbound_run(in, 0);
    assert_injected(in, "3");
    inbound_stats(in, &s);
    g_assert_cmpuint(s.unmarked, ==, 1);
    inbound_free(in);
}

/* Periodic: kept since the last commit, for the takeover. */
static void test_periodic(void)
{
    Inbound *in = inbound_new(64, 1 << 20);
    InboundStats s;

    push_range(in, 1, 4);
    inbound_capture(in, 1, 2, TRUE);
    inbound_load(in, 1);
    assert_injected(in, "");
    push_range(in, 5, 8);
    inbound_capture(in, 2, 6, TRUE); /* never committed */
    assert_injected(in, "");
    inbound_stats(in, &s);
    g_assert_cmpuint(s.kept, ==, 6);
    inbound_run(in, 0);
    assert_injected(in, "3 4 5 6 7 8");
    inbound_free(in);
}

static void test_bounds(void)
{
    Inbound *in = inbound_new(8, 1 << 20);
    InboundStats s;

    push_range(in, 1, 20);
    inbound_stats(in, &s);
    g_assert_cmpuint(s.kept, ==, 8);
    g_assert_cmpuint(s.dropped, ==, 12);
    inbound_capture(in, 1, 0, FALSE);
    inbound_load(in, 1);
    inbound_run(in, 0);
    assert_injected(in, "13 14 15 16 17 18 19 20");
    inbound_free(in);

    in = inbound_new(64, 3 * sizeof(guint64));
    push_range(in, 1, 5);
    inbound_stats(in, &s);
    g_assert_cmpuint(s.kept, ==, 3);
    g_assert_cmpuint(s.kept_bytes, ==, 3 * sizeof(guint64));
    inbound_free(in);
}

static void test_gaps(void)
{
    Inbound *in = running();
    InboundStats s;

    push(in, 1);
    push(in, 5);
    push(in, 5);
    push(in, 2);
    inbound_stats(in, &s);
    g_assert_cmpuint(s.lost, ==, 3);
    assert_injected(in, "1 5");
    inbound_restart(in);
    push(in, 1);
    assert_injected(in, "1");
    inbound_free(in);
}

/* --- A model ------------------------------------------------------------ */

/*
 * Frames arrive; both guests read theirs at their own pace; now and then a
 * checkpoint sets ours back (or forth) to the primary's.  What our guest has
 * seen, as far as its memory goes, must be every frame once and in order, but
 * for frames that waited in its tap at a load: those may come again, or early.
 */
static void test_model(void)
{
    const char *env = g_getenv("COLO_SEED");
    guint32 seed = env ? (guint32)strtoul(env, NULL, 10) : g_random_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    g_test_message("COLO_SEED=%u", seed);
    for (int round = 0; round < 300; round++) {
        Inbound *in = inbound_new(4096, 1 << 20);
        g_autoptr(GQueue) tap = g_queue_new();
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        guint64 sent = 0, consumed = 0, epoch = 0;
        const InboundFrame *f;
        InboundStats s;

        for (int step = 0; step < 300; step++) {
            switch (g_rand_int_range(rand, 0, 12)) {
            case 0: { /* a checkpoint, with frames on the way meanwhile */
                guint64 mark = consumed;
                int during = g_rand_int_range(rand, 0, 4);

                inbound_capture(in, ++epoch, mark, FALSE);
                for (int i = 0; i < during; i++) {
                    push(in, ++sent);
                    while ((f = inbound_next(in))) {
                        g_queue_push_tail(tap, GUINT_TO_POINTER(f->number));
                    }
                }
                inbound_load(in, epoch);
                if (g_rand_boolean(rand)) {
                    push(in, ++sent);
                    g_assert_null(inbound_next(in));
                }
                /* Its memory is the primary's now. */
                g_hash_table_remove_all(seen);
                for (guint64 i = 1; i <= mark; i++) {
                    g_hash_table_add(seen, GUINT_TO_POINTER(i));
                }
                inbound_run(in, tap->length);
                break;
            }
            case 1: case 2: case 3: case 4:
                push(in, ++sent);
                break;
            case 5: case 6: case 7:
                consumed =
                    MIN(sent, consumed + (guint64)g_rand_int_range(rand, 0, 3));
                break;
            default:
                if (tap->length) {
                    g_hash_table_add(seen, g_queue_pop_head(tap));
                }
            }
            while ((f = inbound_next(in))) {
                g_queue_push_tail(tap, GUINT_TO_POINTER(f->number));
            }
        }
        if (!epoch) {
            inbound_free(in);
            continue;
        }
        while (tap->length) {
            g_hash_table_add(seen, g_queue_pop_head(tap));
        }
        for (guint64 i = 1; i <= sent; i++) {
            if (!g_hash_table_contains(seen, GUINT_TO_POINTER(i))) {
                g_error("COLO_SEED=%u round %d: frame %" G_GUINT64_FORMAT
                        " of %" G_GUINT64_FORMAT " was lost", seed, round, i,
                        sent);
            }
        }
        inbound_stats(in, &s);
        g_assert_cmpuint(s.lost + s.dropped + s.unmarked, ==, 0);
        inbound_free(in);
    }
}

static void test_backlog(void)
{
    Backlog b;

    backlog_init(&b);
    /* Counters that began at other times; the tap is empty at first. */
    g_assert_cmpuint(backlog_waiting(&b, 10, 1010), ==, 0);
    g_assert_cmpuint(backlog_waiting(&b, 15, 1010), ==, 5);
    g_assert_cmpuint(backlog_waiting(&b, 15, 1013), ==, 2);
    /* It was not empty when we began. */
    g_assert_cmpuint(backlog_waiting(&b, 15, 1018), ==, 0);
    g_assert_cmpuint(backlog_waiting(&b, 16, 1018), ==, 1);
    /* QEMU was started anew: three frames vanished without being read. */
    g_assert_cmpuint(backlog_waiting(&b, 19, 1018), ==, 4);
    backlog_rotate(&b);
    g_assert_cmpuint(backlog_waiting(&b, 23, 1022), ==, 4);
    backlog_rotate(&b);
    g_assert_cmpuint(backlog_waiting(&b, 25, 1024), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inbound/nothing-before-first-load",
                    test_nothing_before_first_load);
    g_test_add_func("/inbound/in-order", test_in_order);
    g_test_add_func("/inbound/again-after-load", test_again_after_load);
    g_test_add_func("/inbound/waiting-in-tap", test_waiting_in_tap);
    g_test_add_func("/inbound/doubled", test_doubled);
    g_test_add_func("/inbound/captures-that-fail", test_captures_that_fail);
    g_test_add_func("/inbound/unmarked", test_unmarked);
    g_test_add_func("/inbound/periodic", test_periodic);
    g_test_add_func("/inbound/bounds", test_bounds);
    g_test_add_func("/inbound/gaps", test_gaps);
    g_test_add_func("/inbound/model", test_model);
    g_test_add_func("/backlog", test_backlog);
    return g_test_run();
}
