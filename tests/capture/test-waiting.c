/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which ids wait: against a plain table, with ids that wrap. */
#include "config.h"

#include "netcompare/capture/waiting.h"

static void test_order(void)
{
    NetWaiting *w = net_waiting_new();
    gboolean oldest;

    for (guint32 id = 10; id < 20; id++)
        g_assert_true(net_waiting_add(w, id));
    g_assert_false(net_waiting_add(w, 19));
    g_assert_false(net_waiting_add(w, 3));
    g_assert_false(net_waiting_remove(w, 9, &oldest));
    g_assert_false(net_waiting_remove(w, 20, &oldest));
    g_assert_true(net_waiting_remove(w, 12, &oldest));
    g_assert_false(oldest);
    g_assert_false(net_waiting_remove(w, 12, &oldest));
    g_assert_true(net_waiting_remove(w, 10, &oldest));
    g_assert_true(oldest);
    g_assert_true(net_waiting_remove(w, 11, &oldest));
    g_assert_true(oldest);
    /* 12 is gone: 13 is the oldest now */
    g_assert_true(net_waiting_remove(w, 13, &oldest));
    g_assert_true(oldest);
    g_assert_cmpuint(net_waiting_count(w), ==, 6);
    net_waiting_free(w);
}

/* Random ids with gaps around the wrap, random verdicts, one held for long. */
static void test_random(void)
{
    enum { SPAN = 200000 };
    const guint32 base = (guint32)-SPAN / 2;
    g_autofree guint8 *waits = g_malloc0(SPAN);
    NetWaiting *w = net_waiting_new();
    guint32 at = 0, low = 0, count = 0;
    guint seen_oldest = 0, seen_other = 0;
    gboolean oldest;

    while (at < SPAN - 8) {
        if (g_test_rand_int_range(0, 100) < 55) {
            at += (guint32)g_test_rand_int_range(1, 4);
            g_assert_true(net_waiting_add(w, base + at));
            waits[at] = 1;
            count++;
        } else {
            guint32 back = (guint32)g_test_rand_int_range(0, 64);
            guint32 id = at > back ? at - back : 0;

            while (low < at && !waits[low])
                low++;
            if (g_test_rand_int_range(0, 3) == 0)
                id = low;
            g_assert_cmpint(net_waiting_remove(w, base + id, &oldest), ==,
                            waits[id]);
            if (waits[id]) {
                g_assert_cmpint(oldest, ==, id == low);
                *(oldest ? &seen_oldest : &seen_other) += 1;
                count--;
            }
            waits[id] = 0;
        }
        g_assert_cmpuint(net_waiting_count(w), ==, count);
    }
    g_assert_cmpuint(seen_oldest, >, 1000);
    g_assert_cmpuint(seen_other, >, 1000);
    net_waiting_free(w);
}

/* The memory follows what waits: 10 million pass by one that is held. */
static void test_held(void)
{
    NetWaiting *w = net_waiting_new();
    gboolean oldest;

    g_assert_true(net_waiting_add(w, 1));
    for (guint32 id = 2; id < 10000000; id++) {
        g_assert_true(net_waiting_add(w, id));
        g_assert_true(net_waiting_remove(w, id, &oldest));
        g_assert_false(oldest);
    }
    g_assert_true(net_waiting_remove(w, 1, &oldest));
    g_assert_true(oldest);
    g_assert_cmpuint(net_waiting_count(w), ==, 0);
    net_waiting_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/waiting/order", test_order);
    g_test_add_func("/waiting/random", test_random);
    g_test_add_func("/waiting/one-held", test_held);
    return g_test_run();
}
