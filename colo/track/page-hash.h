/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each page's last copy contained, as a 128 bit hash (XXH3): 16 bytes a
 * page and a bit that says whether there is one.
 */
#ifndef COLO_TRACK_PAGE_HASH_H
#define COLO_TRACK_PAGE_HASH_H

#include "colo/bitmap.h"

typedef struct ColoPageHash ColoPageHash;

/* Memory is only used for pages that were set. */
ColoPageHash *colo_page_hash_new(gsize n_pages);
void colo_page_hash_free(ColoPageHash *h);

/* Remember the content of a copy; NULL is a page of zeros. */
void colo_page_hash_set(ColoPageHash *h, gsize page, const void *data);

/* Forget all. */
void colo_page_hash_clear_all(ColoPageHash *h);

/* Is this what was last set?  FALSE if nothing was. */
gboolean colo_page_hash_is(const ColoPageHash *h, gsize page,
                           const void *data);

/* The same for a page of zeros that need not be looked at. */
gboolean colo_page_hash_is_zero(const ColoPageHash *h, gsize page);

/*
 * Set in dirty those of the n pages from page on that are not what was last
 * set.  data: the n pages.
 */
void colo_page_hash_diff(const ColoPageHash *h, gsize page, gsize n,
                         const guint8 *data, ColoBitmap *dirty);

/* The same for n pages of zeros. */
void colo_page_hash_diff_zero(const ColoPageHash *h, gsize page, gsize n,
                              ColoBitmap *dirty);

#endif
