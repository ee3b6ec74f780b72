/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Histograms against the sorted list of the same values. */
#include "colo/histogram.h"

#include <math.h>

static int compare(gconstpointer a, gconstpointer b)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;

    return x < y ? -1 : x > y;
}

static void check(GArray *values)
{
    static const double qs[] = {0, 0.001, 0.5, 0.9, 0.99, 0.999, 1};
    g_autoptr(ColoHistogram) h = colo_histogram_new();

    for (guint i = 0; i < values->len; i++) {
        colo_histogram_add(h, g_array_index(values, guint64, i));
    }
    g_array_sort(values, compare);
    g_assert_cmpuint(colo_histogram_count(h), ==, values->len);
    g_assert_cmpuint(colo_histogram_max(h), ==,
                     g_array_index(values, guint64, values->len - 1));
    for (guint i = 0; i < G_N_ELEMENTS(qs); i++) {
        guint rank = MAX(ceil(qs[i] * values->len), 1);
        guint64 truth = g_array_index(values, guint64, rank - 1);
        guint64 found = colo_histogram_quantile(h, qs[i]);

        g_assert_cmpuint(found, >=, truth);
        g_assert_cmpuint(found - truth, <=, truth / 32);
    }
}

static void test_random(void)
{
    for (int bits = 1; bits <= 64; bits++) {
        g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(guint64));

        for (int i = 0; i < 500; i++) {
            guint64 v = (guint64)g_random_int() << 32 | g_random_int();

            v >>= 64 - bits;
            g_array_append_val(values, v);
        }
        check(values);
    }
}

/* Each value alone, around every limit of a bucket. */
static void test_edges(void)
{
    for (int bit = 0; bit < 64; bit++) {
        for (int off = -2; off <= 2; off++) {
            guint64 v = (G_GUINT64_CONSTANT(1) << bit) + off;
            g_autoptr(GArray) values =
                g_array_new(FALSE, FALSE, sizeof(guint64));

            g_array_append_val(values, v);
            check(values);
        }
    }
}

static void test_json(void)
{
    g_autoptr(ColoHistogram) h = colo_histogram_new();
    g_autoptr(JsonNode) empty = colo_histogram_to_json(h, 1000.0);
    g_autoptr(JsonNode) full = NULL;
    JsonObject *o = json_node_get_object(empty);

    g_assert_cmpint(json_object_get_int_member(o, "count"), ==, 0);
    g_assert_cmpfloat(json_object_get_double_member(o, "p99"), ==, 0);
    g_assert_cmpfloat(json_object_get_double_member(o, "mean"), ==, 0);

    for (int i = 1; i <= 4; i++) {
        colo_histogram_add(h, i * 1000);
    }
    full = colo_histogram_to_json(h, 1000.0);
    o = json_node_get_object(full);
    g_assert_cmpint(json_object_get_int_member(o, "count"), ==, 4);
    g_assert_cmpfloat_with_epsilon(json_object_get_double_member(o, "p50"), 2,
                                   2 / 32.0);
    g_assert_cmpfloat(json_object_get_double_member(o, "p99"), ==, 4);
    g_assert_cmpfloat(json_object_get_double_member(o, "max"), ==, 4);
    g_assert_cmpfloat(json_object_get_double_member(o, "mean"), ==, 2.5);

    colo_histogram_reset(h);
    g_assert_cmpuint(colo_histogram_count(h), ==, 0);
    g_assert_cmpuint(colo_histogram_quantile(h, 1), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/histogram/random", test_random);
    g_test_add_func("/histogram/edges", test_edges);
    g_test_add_func("/histogram/json", test_json);
    return g_test_run();
}
