/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages went into which payload of the open transaction.
 *
 * A full copy of random memory is mostly long runs, a busy guest's
 * transaction mostly single pages: both are kept as (distance, length)
 * pairs of variable length: two bytes for a single page close to the one
 * before.
 */
#include "colo/ft/ft-log.h"

#include <string.h>

typedef struct Payload {
    guint32 number;
    guint32 n_runs;
    guint64 start;          /* offset of its runs in bytes */
} Payload;

struct FtLog {
    GArray *payloads;       /* Payload */
    GByteArray *bytes;      /* the runs, see above */
};

/* Kept between transactions; more is given back to the system. */
#define KEEP_BYTES (1024 * 1024)

FtLog *ft_log_new(void)
{
    FtLog *log = g_new0(FtLog, 1);

    log->payloads = g_array_new(FALSE, FALSE, sizeof(Payload));
    log->bytes = g_byte_array_new();
    return log;
}

void ft_log_free(FtLog *log)
{
    if (log) {
        g_array_unref(log->payloads);
        g_byte_array_unref(log->bytes);
        g_free(log);
    }
}

/* Seven bits a byte, the lowest first; bit 7: more follow. */
static guint put_varint(guint8 *out, guint64 v)
{
    guint n = 0;

    while (v >= 0x80) {
        out[n++] = (guint8)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (guint8)v;
    return n;
}

static guint64 get_varint(const guint8 **in)
{
    guint64 v = 0;
    guint shift = 0;

    do {
        v |= (guint64)(**in & 0x7f) << shift;
        shift += 7;
    } while (*(*in)++ & 0x80);
    return v;
}

void ft_log_add(FtLog *log, guint32 payload, const FtRun *runs, guint n_runs)
{
    Payload p = {.number = payload, .n_runs = n_runs,
                 .start = log->bytes->len};
    guint64 next = 0; /* runs of a chunk ascend */
    guint8 out[20];

    g_assert(!log->payloads->len ||
             g_array_index(log->payloads, Payload, log->payloads->len - 1)
                     .number <= payload);
    for (guint i = 0; i < n_runs; i++) {
        guint n = put_varint(out, runs[i].page - next);

        n += put_varint(out + n, runs[i].n_pages);
        g_byte_array_append(log->bytes, out, n);
        next = runs[i].page + runs[i].n_pages;
    }
    if (n_runs) {
        g_array_append_val(log->payloads, p);
    }
}

void ft_log_lost(const FtLog *log, guint32 n_good, ColoBitmap *dirty)
{
    /* The lost ones are the last ones, and often few. */
    for (guint i = log->payloads->len; i-- > 0;) {
        const Payload *p = &g_array_index(log->payloads, Payload, i);
        const guint8 *in = log->bytes->data + p->start;
        guint64 next = 0;

        if (p->number < n_good) {
            break;
        }
        for (guint r = 0; r < p->n_runs; r++) {
            guint64 page = next + get_varint(&in);
            guint64 n_pages = get_varint(&in);

            colo_bitmap_set(dirty, page, n_pages);
            next = page + n_pages;
        }
    }
}

void ft_log_reset(FtLog *log)
{
    if (ft_log_size(log) > KEEP_BYTES) {
        g_array_unref(log->payloads);
        g_byte_array_unref(log->bytes);
        log->payloads = g_array_new(FALSE, FALSE, sizeof(Payload));
        log->bytes = g_byte_array_new();
    }
    g_array_set_size(log->payloads, 0);
    g_byte_array_set_size(log->bytes, 0);
}

gsize ft_log_size(const FtLog *log)
{
    return log->payloads->len * sizeof(Payload) + log->bytes->len;
}
