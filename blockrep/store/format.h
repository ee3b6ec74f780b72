/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of the epoch store's files: docs/internals.md, "Epoch store".
 *
 * Little-endian; each structure carries its own XXH3-64.
 */
#ifndef COLO_STORE_FORMAT_H
#define COLO_STORE_FORMAT_H

#include "blockrep/store/store.h"

enum {
    STORE_VERSION = 1,
    STORE_HEADER = 64,              /* of a log, of a record, a layer's entry */
    STORE_LOG_START = 4096,         /* the first record */
    STORE_MAX_RECORD = 1024 * 1024, /* data bytes in one */
    STORE_SNAPSHOT_HEADER = 128,
    STORE_MAX_LAYERS = 4000, /* in one snapshot */
    STORE_BOOT_ID = 16,
};

/* --- Logs ------------------------------------------------------------------
 */

typedef enum {
    STORE_DATA = 1,
    STORE_ZERO = 2,  /* reads as zero, keeps its space */
    STORE_PUNCH = 3, /* reads as zero, needs none */
} StoreKind;

typedef struct StoreRecord {
    StoreKind kind;
    guint64 pos;      /* where it lies in the log */
    guint64 off, len; /* on the disk */
    guint64 data_sum;
    guint64 sum; /* of the header, which holds data_sum */
} StoreRecord;

/* id: random, new at each use of the file: old content is never taken for new
 */
void store_log_header_encode(guint8 out[STORE_HEADER], guint64 number,
                             guint64 id);
/* FALSE: *version is 0 if it is no header at all. */
gboolean store_log_header_decode(const guint8 in[STORE_HEADER], guint64 *number,
                                 guint64 *id, guint32 *version);

guint64 store_data_sum(const void *data, gsize len);
/* Sets r->sum. */
void store_record_encode(guint8 out[STORE_HEADER], guint64 id, StoreRecord *r);
/* TRUE: a header of this log and place, with sane values. */
gboolean store_record_decode(const guint8 in[STORE_HEADER], guint64 id,
                             guint64 pos, StoreRecord *r);
/* Does it look like one at all?  Cheap. */
gboolean store_record_magic(const guint8 *in);
/* Bytes in the log, header and padding included. */
guint64 store_record_size(StoreKind kind, guint64 len);

/* --- State file ------------------------------------------------------------
 */

typedef enum {
    STORE_ROLE_SEALED = 1,
    STORE_ROLE_PENDING = 2,
    STORE_ROLE_ACTIVE = 3,
} StoreRole;

typedef struct StoreLayerInfo {
    StoreRole role;
    gboolean frozen; /* nothing more is appended; what follows is exact */
    guint64 epoch;   /* of a sealed one */
    guint64 number, id;
    guint64 length;       /* of the log */
    guint64 records, sum; /* whole ones, and the sum of their sums */
    guint64 before;       /* the newest epoch before it was sealed */
} StoreLayerInfo;

/* All that is known about the store, but what is in its logs and the base. */
typedef struct StoreSnapshot {
    guint64 generation;
    ColoStoreState state;
    gboolean direct; /* writes go straight to base */
    gboolean based;  /* what the first epoch wrote to base is on the disk */
    gboolean lost;   /* acknowledged writes went down with the host */
    guint64 epoch, loaded, durable;
    guint64 before; /* the newest epoch before epoch */
    guint64 next_number;
    guint8 boot[STORE_BOOT_ID]; /* of the kernel that runs */
    guint n;
    StoreLayerInfo *layers; /* from the bottom; sealed, pending, active */
} StoreSnapshot;

void store_snapshot_clear(StoreSnapshot *s);
/* Padded to COLO_STORE_BLOCK with zeroes; free with g_free(). */
guint8 *store_snapshot_encode(const StoreSnapshot *s, guint64 store_id,
                              gsize *len);
/* Looks at no more than len bytes; FALSE: not a whole one of this store. */
gboolean store_snapshot_decode(const guint8 *in, gsize len, guint64 store_id,
                               StoreSnapshot *s);

typedef struct StoreIdentity {
    guint64 store_id;
    guint64 base_size;
    guint32 ring_blocks;
} StoreIdentity;

void store_identity_encode(guint8 out[STORE_HEADER], const StoreIdentity *i);
gboolean store_identity_decode(const guint8 in[STORE_HEADER], StoreIdentity *i,
                               guint32 *version);

#endif
