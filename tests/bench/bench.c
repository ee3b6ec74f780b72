/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benches share: samples, and the line that they print. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Samples {
    GArray *values;
};

Samples *samples_new(void)
{
    Samples *s = g_new0(Samples, 1);

    s->values = g_array_new(FALSE, FALSE, sizeof(double));
    return s;
}

void samples_free(Samples *s)
{
    g_array_unref(s->values);
    g_free(s);
}

void samples_add(Samples *s, double value)
{
    g_array_append_val(s->values, value);
}

static gint compare(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double samples_quantile(const Samples *s, double q)
{
    guint n = s->values->len, at;

    if (!n) {
        return 0;
    }
    g_array_sort(s->values, compare);
    at = (guint)ceil(q * n);
    return g_array_index(s->values, double, at ? at - 1 : 0);
}

static void put_name(GString *line, const char *name)
{
    g_string_append_printf(line, "%s\"%s\":", line->len ? "," : "", name);
}

void bench_put_string(GString *line, const char *name, const char *value)
{
    put_name(line, name);
    g_string_append_printf(line, "\"%s\"", value);
}

void bench_put_int(GString *line, const char *name, gint64 value)
{
    put_name(line, name);
    g_string_append_printf(line, "%" G_GINT64_FORMAT, value);
}

void bench_put_number(GString *line, const char *name, double value)
{
    put_name(line, name);
    g_string_append_printf(line, "%.3f", value);
}

void bench_put_samples(GString *line, const char *name, const Samples *s,
                       gboolean brief)
{
    g_autoptr(GString) inner = g_string_new(NULL);

    bench_put_number(inner, "p50", samples_quantile(s, 0.5));
    if (!brief) {
        bench_put_number(inner, "p99", samples_quantile(s, 0.99));
    }
    bench_put_number(inner, "max", samples_quantile(s, 1));
    put_name(line, name);
    g_string_append_printf(line, "{%s}", inner->str);
}

void bench_print(GString *line)
{
    printf("{%s}\n", line->str);
    fflush(stdout);
}

void bench_parse(const char *summary, const GOptionEntry *entries, int argc,
                 char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_set_summary(context, summary);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1) {
        g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);

        g_printerr("%s: %s\n%s", argv[0],
                   error ? error->message : "no arguments but options", help);
        exit(2);
    }
}

void bench_start(const char *summary, const GOptionEntry *entries, int argc,
                 char **argv)
{
    const char *missing;

    bench_parse(summary, entries, argc, argv);
    missing = rig_missing();
    if (missing) {
        g_printerr("%s\n", missing);
        exit(1);
    }
}

gboolean bench_choice(const char *option, const char *value, const char *first,
                      const char *second)
{
    if (!value || !strcmp(value, first)) {
        return FALSE;
    }
    if (strcmp(value, second)) {
        g_printerr("--%s is %s or %s, not \"%s\"\n", option, first, second,
                   value);
        exit(2);
    }
    return TRUE;
}

void bench_range(const char *option, int value, int min, int max)
{
    if (value < min || value > max) {
        g_printerr("--%s is %d to %d, not %d\n", option, min, max, value);
        exit(2);
    }
}
