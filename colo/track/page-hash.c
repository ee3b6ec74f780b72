/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes of page copies; the loop that 'compare' spends its time in. */
#include "config.h"
#include "colo/track/page-hash.h"
#include "colo/track/tracker.h"

#include <sys/mman.h>

/* The length is known here: inlined it is a quarter faster than a call. */
#define XXH_INLINE_ALL
#include <xxhash.h>

struct ColoPageHash {
    XXH128_hash_t *hashes;
    gsize bytes;
    ColoBitmap *known;
    XXH128_hash_t zero;
};

static const guint8 zero_page[COLO_PAGE_SIZE];

static inline XXH128_hash_t hash_page(const void *data)
{
    return XXH3_128bits(data, COLO_PAGE_SIZE);
}

ColoPageHash *colo_page_hash_new(gsize n_pages)
{
    ColoPageHash *h = g_new0(ColoPageHash, 1);

    /* Mapped, so that what is never set costs no memory. */
    h->bytes = n_pages * sizeof(h->hashes[0]);
    h->hashes = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (h->hashes == MAP_FAILED) {
        g_error("no memory for the hashes of %" G_GSIZE_FORMAT " pages",
                n_pages);
    }
    h->known = colo_bitmap_new(n_pages);
    h->zero = hash_page(zero_page);
    return h;
}

void colo_page_hash_free(ColoPageHash *h)
{
    if (h) {
        munmap(h->hashes, h->bytes);
        colo_bitmap_free(h->known);
        g_free(h);
    }
}

void colo_page_hash_set(ColoPageHash *h, gsize page, const void *data)
{
    h->hashes[page] = data ? hash_page(data) : h->zero;
    colo_bitmap_set(h->known, page, 1);
}

void colo_page_hash_clear_all(ColoPageHash *h)
{
    colo_bitmap_clear_all(h->known);
}

gboolean colo_page_hash_is(const ColoPageHash *h, gsize page, const void *data)
{
    return colo_bitmap_test(h->known, page) &&
           XXH128_isEqual(h->hashes[page], hash_page(data));
}

gboolean colo_page_hash_is_zero(const ColoPageHash *h, gsize page)
{
    return colo_bitmap_test(h->known, page) &&
           XXH128_isEqual(h->hashes[page], h->zero);
}

void colo_page_hash_diff(const ColoPageHash *h, gsize page, gsize n,
                         const guint8 *data, ColoBitmap *dirty)
{
    for (gsize i = 0; i < n; i++, data += COLO_PAGE_SIZE) {
        if (!colo_page_hash_is(h, page + i, data)) {
            colo_bitmap_set(dirty, page + i, 1);
        }
    }
}

void colo_page_hash_diff_zero(const ColoPageHash *h, gsize page, gsize n,
                              ColoBitmap *dirty)
{
    for (gsize i = page; i < page + n; i++) {
        if (!colo_page_hash_is_zero(h, i)) {
            colo_bitmap_set(dirty, i, 1);
        }
    }
}
