/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in a log the bytes of the disk are: runs that do not overlap, by
 * offset.  The caller locks.
 *
 * Records that follow each other both on the disk and in the log and have the
 * same length are one run, so a file written in small pieces costs one entry.
 */
#ifndef COLO_STORE_INDEX_H
#define COLO_STORE_INDEX_H

#include "blockrep/store/format.h"

/* A group of runs, and what it costs: the array and GTree's node, as malloc
 * rounds them */
#define STORE_LEAF_RUNS  32
#define STORE_LEAF_BYTES 1376

typedef struct StoreRun {
    guint64 off, end; /* on the disk; end is behind the last byte */
    guint64 pos;      /* in the log: the header of its first record */
    guint32 skip;     /* data bytes of those records that lie before off */
    guint32 stride;   /* data bytes in each record; 0: zeroes */
    StoreKind kind;
} StoreRun;

typedef struct StoreIndex StoreIndex;

StoreIndex *store_index_new(void);
void store_index_free(StoreIndex *ix);

/*
 * The record's bytes lie in the log now.  Where a record further on in the log
 * was here before, that one stays: the log's order counts, not that of calls.
 */
void store_index_insert(StoreIndex *ix, const StoreRecord *r);

/* The first run that ends behind off; NULL: none.  Valid until an insert. */
const StoreRun *store_index_find(const StoreIndex *ix, guint64 off);

/* The part [off, end) of a run */
StoreRun store_run_part(const StoreRun *run, guint64 off, guint64 end);

/* Where the first byte of the run lies, and how many follow it there */
guint64 store_run_pos(const StoreRun *run, guint64 *contiguous);

gsize store_index_bytes(const StoreIndex *ix);
guint store_index_runs(const StoreIndex *ix);

#endif
