/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image below all layers: a raw file or a block device. */
#ifndef COLO_STORE_BASE_H
#define COLO_STORE_BASE_H

#include "blockrep/store/store.h"

typedef struct StoreBase {
    int fd;
    gboolean is_device;
    guint64 size; /* bytes */
} StoreBase;

/* Takes a lock that keeps other stores off; reading only: no lock. */
gboolean store_base_open(StoreBase *b, const char *path, gboolean writable,
                         GError **error);
void store_base_close(StoreBase *b);

/* Reads as zero after; by writing zeroes only where nothing else works. */
int store_base_zero(StoreBase *b, guint64 off, guint64 len, gboolean punch);

/*
 * What lies at off: sets *end (at most end) to where that ends.  FALSE: a hole.
 */
gboolean store_base_is_data(const StoreBase *b, guint64 off, guint64 *end);

#endif
