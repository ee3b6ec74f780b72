/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page bitmaps against a plain array of booleans. */
#include "colo/bitmap.h"

#include <string.h>

enum { N = 517 };

static void check_same(const ColoBitmap *b, const gboolean *model)
{
    gsize count = 0, from = 0, start, n;

    for (gsize i = 0; i < N; i++) {
        g_assert_cmpint(colo_bitmap_test(b, i), ==, model[i]);
        count += model[i];
    }
    g_assert_cmpuint(colo_bitmap_count(b), ==, count);

    /* The runs cover exactly the set bits, whatever the cut. */
    gsize max = g_random_int_range(1, N + 1), seen = 0;
    while ((n = colo_bitmap_next_run(b, from, max, &start))) {
        g_assert_cmpuint(n, <=, max);
        for (gsize i = from; i < start; i++) {
            g_assert_false(model[i]);
        }
        for (gsize i = start; i < start + n; i++) {
            g_assert_true(model[i]);
        }
        if (n < max && start + n < N) {
            g_assert_false(model[start + n]);
        }
        seen += n;
        from = start + n;
    }
    g_assert_cmpuint(seen, ==, count);
}

static void test_random(void)
{
    g_autoptr(ColoBitmap) b = colo_bitmap_new(N);
    gboolean model[N] = {0};

    for (int round = 0; round < 5000; round++) {
        gsize start = g_random_int_range(0, N);
        gsize n = g_random_int_range(0, N - start + 1);
        gboolean set = g_random_boolean();

        (set ? colo_bitmap_set : colo_bitmap_clear)(b, start, n);
        for (gsize i = start; i < start + n; i++) {
            model[i] = set;
        }
        check_same(b, model);
    }
    colo_bitmap_clear_all(b);
    memset(model, 0, sizeof(model));
    check_same(b, model);
}

static void test_or(void)
{
    g_autoptr(ColoBitmap) a = colo_bitmap_new(N), b = colo_bitmap_new(N);

    colo_bitmap_set(a, 3, 70);
    colo_bitmap_set(b, 60, 400);
    colo_bitmap_or(a, b);
    g_assert_cmpuint(colo_bitmap_count(a), ==, 457);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bitmap/random", test_random);
    g_test_add_func("/bitmap/or", test_or);
    return g_test_run();
}
