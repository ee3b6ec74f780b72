/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Histograms of durations and sizes with bounded memory.
 *
 * Logarithmic buckets with 32 steps to each power of two: a quantile is at
 * most 1/32 above the true value; the maximum is exact.  Not locked.
 */
#ifndef COLO_HISTOGRAM_H
#define COLO_HISTOGRAM_H

#include <json-glib/json-glib.h>

typedef struct ColoHistogram ColoHistogram;

ColoHistogram *colo_histogram_new(void);
void colo_histogram_free(ColoHistogram *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoHistogram, colo_histogram_free)
void colo_histogram_add(ColoHistogram *h, guint64 value);
void colo_histogram_reset(ColoHistogram *h);
guint64 colo_histogram_count(const ColoHistogram *h);
guint64 colo_histogram_max(const ColoHistogram *h);

/* The value below which a part q (0 to 1) of all lies; 0 when empty. */
guint64 colo_histogram_quantile(const ColoHistogram *h, double q);

/*
 * {"count":N,"p50":X,"p90":X,"p99":X,"max":X,"mean":X}, each value divided
 * by unit (1000.0 turns microseconds into milliseconds).  Transfer full.
 */
JsonNode *colo_histogram_to_json(const ColoHistogram *h, double unit);

#endif
