/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sessions have seen, as JSON. */
#include "tests/net/session.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>

static gint by_value(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double quantile(GArray *sorted, double q)
{
    guint at;

    if (!sorted || !sorted->len) {
        return 0;
    }
    at = (guint)ceil(q * sorted->len);
    return g_array_index(sorted, double, at ? at - 1 : 0);
}

static void put_name(GString *t, const char *name)
{
    char last = t->str[t->len - 1];

    g_string_append_printf(t, "%s\"%s\": ", last == '{' ? "" : ", ", name);
}

static void put_int(GString *t, const char *name, guint64 value)
{
    put_name(t, name);
    g_string_append_printf(t, "%" G_GUINT64_FORMAT, value);
}

static void put_number(GString *t, const char *name, double value)
{
    put_name(t, name);
    g_string_append_printf(t, "%.3f", value);
}

static void put_kind(GString *t, const char *name, Figures *f, guint n)
{
    if (f->ms) {
        g_array_sort(f->ms, by_value);
    }
    put_name(t, name);
    g_string_append_c(t, '{');
    put_int(t, "sessions", n);
    put_int(t, "exchanges", f->exchanges);
    put_int(t, "bytes", f->bytes);
    put_int(t, "lost", f->lost);
    put_int(t, "wrong_bytes", f->wrong_bytes);
    put_int(t, "retries", f->retries);
    put_number(t, "gap_ms", (double)f->gap_us / 1e3);
    put_number(t, "connect_gap_ms", (double)f->connect_gap_us / 1e3);
    put_number(t, "p50_ms", quantile(f->ms, 0.5));
    put_number(t, "p99_ms", quantile(f->ms, 0.99));
    put_number(t, "max_ms", quantile(f->ms, 1));
    g_string_append_c(t, '}');
}

static void put_errors(GString *t, const GPtrArray *errors)
{
    put_name(t, "errors");
    for (guint i = 0; i < errors->len; i++) {
        g_autoptr(JsonNode) node =
            json_node_init_string(json_node_alloc(), errors->pdata[i]);
        g_autofree char *text = json_to_string(node, FALSE);

        g_string_append_printf(t, "%s%s", i ? ", " : "[", text);
    }
    g_string_append(t, errors->len ? "]" : "[]");
}

void report(Load *l, const char *event, Figures *figures, gint64 since_us)
{
    g_autoptr(GString) t = g_string_new("{");
    Figures sum = {0};
    guint64 records = 0;
    guint open = 0;

    for (guint i = 0; i < l->sessions->len; i++) {
        const Session *s = l->sessions->pdata[i];

        open += s->connected;
        records += s->kind == KIND_RECORD ? s->number : 0;
    }
    put_name(t, "event");
    g_string_append_printf(t, "\"%s\"", event);
    put_int(t, "number", l->marks);
    put_number(t, "seconds", (double)(g_get_monotonic_time() - since_us) / 1e6);
    put_name(t, "kinds");
    g_string_append_c(t, '{');
    for (int k = 0; k < KIND_N; k++) {
        Figures *f = &figures[k];

        if (l->o.counts[k]) {
            put_kind(t, kind_names[k], f, (guint)l->o.counts[k]);
            sum.exchanges += f->exchanges;
            sum.lost += f->lost;
            sum.wrong_bytes += f->wrong_bytes;
            sum.gap_us = MAX(sum.gap_us, f->gap_us);
            sum.connect_gap_us = MAX(sum.connect_gap_us, f->connect_gap_us);
        }
    }
    g_string_append_c(t, '}');
    put_int(t, "connections", open);
    put_int(t, "records", records);
    put_int(t, "exchanges", sum.exchanges);
    put_number(t, "client_gap_ms", (double)sum.gap_us / 1e3);
    put_number(t, "connect_gap_ms", (double)sum.connect_gap_us / 1e3);
    put_int(t, "connections_lost", sum.lost);
    put_int(t, "wrong_bytes", sum.wrong_bytes);
    put_errors(t, l->errors);
    printf("%s}\n", t->str);
    fflush(stdout);
}
