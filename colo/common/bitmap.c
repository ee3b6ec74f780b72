/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bitmaps of guest pages. */
#include "colo/bitmap.h"

#include <string.h>

static gsize n_words(gsize n_bits)
{
    return (n_bits + 63) / 64;
}

ColoBitmap *colo_bitmap_new(gsize n_bits)
{
    ColoBitmap *b = g_new0(ColoBitmap, 1);

    b->n_bits = n_bits;
    b->words = g_new0(guint64, n_words(n_bits));
    return b;
}

void colo_bitmap_free(ColoBitmap *b)
{
    if (b) {
        g_free(b->words);
        g_free(b);
    }
}

/* The bits of word w that lie in [start, start + n). */
static guint64 word_mask(gsize w, gsize start, gsize n)
{
    guint64 mask = ~G_GUINT64_CONSTANT(0);
    gsize end = start + n;

    if (w == start / 64) {
        mask <<= start % 64;
    }
    if (w == (end - 1) / 64 && end % 64) {
        mask &= ~(~G_GUINT64_CONSTANT(0) << (end % 64));
    }
    return mask;
}

void colo_bitmap_set(ColoBitmap *b, gsize start, gsize n)
{
    g_assert(start <= b->n_bits && n <= b->n_bits - start);
    if (n) {
        for (gsize w = start / 64; w <= (start + n - 1) / 64; w++) {
            b->words[w] |= word_mask(w, start, n);
        }
    }
}

void colo_bitmap_clear(ColoBitmap *b, gsize start, gsize n)
{
    g_assert(start <= b->n_bits && n <= b->n_bits - start);
    if (n) {
        for (gsize w = start / 64; w <= (start + n - 1) / 64; w++) {
            b->words[w] &= ~word_mask(w, start, n);
        }
    }
}

void colo_bitmap_clear_all(ColoBitmap *b)
{
    memset(b->words, 0, n_words(b->n_bits) * sizeof(b->words[0]));
}

gsize colo_bitmap_count(const ColoBitmap *b)
{
    gsize count = 0;

    for (gsize w = 0; w < n_words(b->n_bits); w++) {
        count += __builtin_popcountll(b->words[w]);
    }
    return count;
}

void colo_bitmap_or(ColoBitmap *dst, const ColoBitmap *src)
{
    g_assert(dst->n_bits == src->n_bits);
    for (gsize w = 0; w < n_words(dst->n_bits); w++) {
        dst->words[w] |= src->words[w];
    }
}

gboolean colo_bitmap_overlap(const ColoBitmap *a, const ColoBitmap *b)
{
    guint64 both = 0;

    g_assert(a->n_bits == b->n_bits);
    for (gsize i = 0; i < (a->n_bits + 63) / 64; i++) {
        both |= a->words[i] & b->words[i];
    }
    return both != 0;
}

gsize colo_bitmap_next_run(const ColoBitmap *b, gsize from, gsize max,
                           gsize *start)
{
    gsize words = n_words(b->n_bits);
    gsize w = from / 64, end;
    guint64 v;

    if (from >= b->n_bits) {
        return 0;
    }
    v = b->words[w] & (~G_GUINT64_CONSTANT(0) << (from % 64));
    while (!v) {
        if (++w == words) {
            return 0;
        }
        v = b->words[w];
    }
    *start = w * 64 + __builtin_ctzll(v);

    /* The run ends at the first clear bit after start. */
    v = ~b->words[w] & (~G_GUINT64_CONSTANT(0) << (*start % 64));
    while (!v && w * 64 < *start + max && ++w < words) {
        v = ~b->words[w];
    }
    end = w >= words ? b->n_bits
          : v        ? w * 64 + __builtin_ctzll(v)
                     : (w + 1) * 64;
    end = MIN(end, b->n_bits);
    return MIN(end - *start, max);
}
