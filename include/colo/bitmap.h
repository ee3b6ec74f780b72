/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps of guest pages.
 *
 * One bit is one page of guest RAM, counted from the start of the memory
 * backend.  Not locked: a bitmap belongs to one thread at a time.
 */
#ifndef COLO_BITMAP_H
#define COLO_BITMAP_H

#include <glib.h>

typedef struct ColoBitmap {
    gsize n_bits;
    guint64 *words;
} ColoBitmap;

/* A bitmap of n_bits clear bits; aborts when memory is exhausted. */
ColoBitmap *colo_bitmap_new(gsize n_bits);
void colo_bitmap_free(ColoBitmap *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoBitmap, colo_bitmap_free)

/* Set or clear the n bits from start on; start + n must be within n_bits. */
void colo_bitmap_set(ColoBitmap *b, gsize start, gsize n);
void colo_bitmap_clear(ColoBitmap *b, gsize start, gsize n);
void colo_bitmap_clear_all(ColoBitmap *b);

/* Number of bits set. */
gsize colo_bitmap_count(const ColoBitmap *b);

/* dst |= src; both of the same size. */
void colo_bitmap_or(ColoBitmap *dst, const ColoBitmap *src);

/* Is any bit set in both?  Both of the same size. */
gboolean colo_bitmap_overlap(const ColoBitmap *a, const ColoBitmap *b);

/*
 * Find the first run of set bits at or after from.
 * Returns its length (0: none) and its first bit in *start; a run is cut
 * at max bits, so that callers can bound their work.
 */
gsize colo_bitmap_next_run(const ColoBitmap *b, gsize from, gsize max,
                           gsize *start);

static inline gboolean colo_bitmap_test(const ColoBitmap *b, gsize i)
{
    return (b->words[i / 64] >> (i % 64)) & 1;
}

#endif
