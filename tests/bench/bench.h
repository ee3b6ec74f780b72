/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benches share: samples, and the line that they print. */
#ifndef COLO_TESTS_BENCH_H
#define COLO_TESTS_BENCH_H

#include "tests/rig/rig.h"

/* Exact quantiles: every value is kept. */
typedef struct Samples Samples;

Samples *samples_new(void);
void samples_free(Samples *s);
void samples_add(Samples *s, double value);
double samples_quantile(const Samples *s, double q); /* 0 when empty */

/*
 * The line: a JSON object in a GString that begins empty.  Numbers have three
 * decimals, enough for milliseconds and rates; strings are plain words.
 */
void bench_put_string(GString *line, const char *name, const char *value);
void bench_put_int(GString *line, const char *name, gint64 value);
void bench_put_number(GString *line, const char *name, double value);
/* {"p50":..,"p99":..,"max":..} or, brief, {"p50":..,"max":..} */
void bench_put_samples(GString *line, const char *name, const Samples *s,
                       gboolean brief);
void bench_print(GString *line);

/*
 * Options, or exit 2 with the usage; then the rig's needs, or exit 1 with
 * the reason.
 */
void bench_start(const char *summary, const GOptionEntry *entries, int argc,
                 char **argv);

/* The first part alone */
void bench_parse(const char *summary, const GOptionEntry *entries, int argc,
                 char **argv);

/* TRUE for the second of two words; exit 2 for another word. */
gboolean bench_choice(const char *option, const char *value, const char *first,
                      const char *second);

/* A number that must lie within a range, or exit 2. */
void bench_range(const char *option, int value, int min, int max);

#endif
