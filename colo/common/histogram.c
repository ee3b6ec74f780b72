/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Histograms with logarithmic buckets. */
#include "colo/histogram.h"

#include <math.h>
#include <string.h>

/*
 * Values below STEPS have a bucket each.  Above, bucket STEPS * (1 + k) + s
 * holds the values whose highest bit is bit (STEP_BITS + k) and whose next
 * STEP_BITS bits are s.
 */
enum {
    STEP_BITS = 5,
    STEPS = 1 << STEP_BITS,
    BUCKETS = STEPS * (1 + 64 - STEP_BITS),
};

struct ColoHistogram {
    guint64 count;
    guint64 max;
    double sum;
    guint64 buckets[BUCKETS];
};

static guint bucket_of(guint64 value)
{
    guint shift;

    if (value < STEPS) {
        return value;
    }
    shift = 63 - __builtin_clzll(value) - STEP_BITS;
    return STEPS * (1 + shift) + ((value >> shift) & (STEPS - 1));
}

/* The largest value that falls into bucket i. */
static guint64 bucket_end(guint i)
{
    guint shift;

    if (i < STEPS) {
        return i;
    }
    shift = i / STEPS - 1;
    return ((guint64)(STEPS + i % STEPS) << shift) +
           ((G_GUINT64_CONSTANT(1) << shift) - 1);
}

ColoHistogram *colo_histogram_new(void)
{
    return g_new0(ColoHistogram, 1);
}

void colo_histogram_free(ColoHistogram *h)
{
    g_free(h);
}

void colo_histogram_add(ColoHistogram *h, guint64 value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
    h->sum += value;
    h->max = MAX(h->max, value);
}

void colo_histogram_reset(ColoHistogram *h)
{
    memset(h, 0, sizeof(*h));
}

guint64 colo_histogram_count(const ColoHistogram *h)
{
    return h->count;
}

guint64 colo_histogram_max(const ColoHistogram *h)
{
    return h->max;
}

guint64 colo_histogram_quantile(const ColoHistogram *h, double q)
{
    double wanted = ceil(CLAMP(q, 0, 1) * h->count);
    guint64 seen = 0;

    for (guint i = 0; i < BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen && seen >= wanted) {
            return MIN(bucket_end(i), h->max);
        }
    }
    return 0;
}

JsonNode *colo_histogram_to_json(const ColoHistogram *h, double unit)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *o = json_object_new();

    json_object_set_int_member(o, "count", h->count);
    for (guint i = 0; i < G_N_ELEMENTS(quantiles); i++) {
        json_object_set_double_member(
            o, quantiles[i].name,
            colo_histogram_quantile(h, quantiles[i].q) / unit);
    }
    json_object_set_double_member(o, "max", h->max / unit);
    json_object_set_double_member(o, "mean",
                                  h->count ? h->sum / h->count / unit : 0);
    json_node_take_object(node, o);
    return node;
}
