/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the store's files share: layers, the store, and who locks what.
 *
 * Locks, in the order in which they may be taken:
 *   control   one change of the state at a time (seal, load, a finished merge);
 *             held over the write of one block of the state file, never over
 *             fdatasync() but where a caller asked for durability
 *   lock      all fields below it, for the time of a look-up
 */
#ifndef COLO_STORE_PRIV_H
#define COLO_STORE_PRIV_H

#include "blockrep/store/base.h"
#include "blockrep/store/log.h"
#include "blockrep/store/statefile.h"

enum {
    STORE_SPARES = 8,      /* logs kept ready, at most */
    STORE_SPACE_MS = 1000, /* a full file system is looked at this often */
};
/* Epochs are made durable, and merged, this often at most; tests hurry. */
extern guint store_sync_ms, store_merge_ms;
/* Rounds of merging after a promote before the survivor is slowed down */
extern guint store_free_rounds;
/* A write waits so long for room in the index, then it is refused. */
extern guint store_index_wait_ms;
/* Of the blocks of old logs, for new ones: writing over is cheap. */
#define STORE_SPARE_BYTES ((guint64)256 << 20)
/* Left free for the SVM and the state; a sixteenth of a small file system */
#define STORE_RESERVE ((guint64)64 << 20)
/* A log gets more blocks when it has no more than this ahead. */
#define STORE_AHEAD ((guint64)2 << 20)
/* Free space is looked at after so many bytes. */
#define STORE_SPACE_BYTES ((guint64)1 << 20)

/*
 * One log and its index.  Once frozen nothing is added: what is read without
 * the lock (by merging) does not change.
 */
typedef struct StoreLayer {
    guint refs;     /* lists and requests under way; store's lock */
    guint inflight; /* writes under way */
    gboolean frozen;
    guint64 epoch;  /* sealed; else 0 */
    guint64 before; /* the newest epoch before that */
    StoreLog *log;
    StoreIndex *index;
} StoreLayer;

/* A part of a view that lies in one place */
typedef struct StorePiece {
    guint64 off, end;
    StoreLayer *layer; /* NULL: in base */
    StoreRun run;      /* just this part */
} StorePiece;

struct ColoStore {
    ColoStoreOptions o;
    char *base_path, *folder_path;
    StoreBase base;
    int folder, lock_fd;
    StoreState *statefile;
    guint8 boot[STORE_BOOT_ID];
    GThread *keeper, *syncer, *merger;

    GMutex control;

    GMutex lock;
    GCond changed; /* of anything here that somebody waits for */
    GCond to_sync; /* there is an epoch, or quit */
    guint waiters; /* for writes to end */
    guint users;   /* requests under way */
    ColoStoreState state;
    gboolean direct; /* writes go to base: before the first seal; or when
                        everything is merged after a promote */
    guint64 epoch, loaded, durable;
    guint64 before;       /* the newest epoch before epoch; epoch: not known */
    guint64 merge_to;     /* loaded, once the state file says so: what is merged
                             cannot be taken out of the SVM's view again */
    gboolean survivor;    /* promoted, and the disk knows: all may be merged */
    gboolean based, lost; /* as in a snapshot */
    guint64 next_number;
    guint serial;                         /* of changes that take epochs back */
    GPtrArray *sealed, *pending, *active; /* StoreLayer, from the bottom;
                          the last of pending and active is written to */
    /* guint64, ascending: sealed, not loaded, and nothing was written to them
     */
    GArray *hollow;
    GPtrArray *spares; /* StoreLog */
    GPtrArray *dead;   /* StoreLayer without refs, for the keeper */
    gboolean gate[2];  /* writes of this view wait for a moment */
    guint base_inflight;
    guint64 base_written, base_synced; /* counts of writes */
    guint64 names_made, names_synced;
    gsize index_bytes;
    gboolean index_told;
    guint64 appended;       /* since free space was looked at */
    gboolean blocks_wanted; /* a log has few left */
    gboolean full;
    guint64 merged_bytes;
    char *error;       /* fatal: what was written may not be found again */
    char *merge_error; /* merging failed; it is tried again */
    GQueue events;     /* StoreEvent, for the keeper to tell */
    gboolean quit, merge_now, merging;
    guint merge_hold;
    StoreLayer *next_active; /* known on disk, not written to yet */
    guint merge_rounds;      /* since the promote */
    guint64 may_reach; /* the end of the survivor's log, while merging has to
                          catch up with it */
    int merge_result;  /* of the last round */
};

/* --- layer.c; the caller holds the lock ------------------------------------
 */

StoreLayer *store_layer_new(StoreLog *log);
void store_layer_ref(StoreLayer *l);
void store_layer_unref(ColoStore *s, StoreLayer *l);
void store_layer_destroy(StoreLayer *l); /* no lock; the log is closed */
/* A list's layers go; they may be used until the last reader is done. */
void store_layers_drop(ColoStore *s, GPtrArray *list);
StoreLayer *store_layers_top(GPtrArray *list);
/* The piece at off that a list has; FALSE: none, *end is where one begins. */
gboolean store_layers_find(StoreLayer **layers, guint n, guint64 off,
                           guint64 *end, StorePiece *p);
/* The piece of a view at off, no further than end. */
void store_view_find(ColoStore *s, ColoStoreView v, guint64 off, guint64 end,
                     StorePiece *p);
/* How many of the sealed a view sees. */
guint store_view_sealed(ColoStore *s, ColoStoreView v);
int store_piece_read(ColoStore *s, const StorePiece *p, void *buf);

/* --- keeper.c --------------------------------------------------------------
 */

void store_keeper_start(ColoStore *s);
void store_keeper_stop(ColoStore *s);
/* With control, without lock: there are n spare logs after.  0 or -errno */
int store_need_spares(ColoStore *s, guint n);
/* With both, after that: a layer to write to.  The caller broadcasts changed
 * when it is done: the keeper makes another. */
StoreLayer *store_take_spare(ColoStore *s);
/* With the lock: the keeper tells the owner. */
void store_tell(ColoStore *s, const char *what, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
/*
 * With the lock: something that cannot be repaired.  No log is used again or
 * removed from now on, for the state on the disk may be an old one.
 */
void store_break(ColoStore *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* With the lock: a write found the file system full. */
void store_is_full(ColoStore *s, const char *where);
/* Without: look whether there is room. */
void store_look_at_space(ColoStore *s);

/* --- durable.c: without locks; 0 or -errno ---------------------------------
 */

int store_sync_layer(ColoStore *s, StoreLayer *l);
int store_sync_base(ColoStore *s);
int store_sync_folder(ColoStore *s);
/* What the sealed epochs consist of; all that a view shows. */
int store_sync_epochs(ColoStore *s);
int store_sync_view(ColoStore *s, ColoStoreView v);
/* Let the newest epoch survive a power loss. */
void store_make_durable(ColoStore *s);

/* --- epoch.c ----------------------------------------------------------------
 */

/* With the lock, which is given up meanwhile: writes under way have ended. */
void store_drain(ColoStore *s, const guint *inflight);

/* --- snapshot.c: with control, without lock --------------------------------
 */

/*
 * Write the state as it is now.  0; -ENOSPC: the disk has the one before, and
 * the caller takes back what it changed; or -errno, and the store is broken.
 */
int store_save(ColoStore *s);
void store_fill_snapshot(ColoStore *s, StoreSnapshot *out); /* with lock */

/* --- merge.c ---------------------------------------------------------------
 */

void store_merger_start(ColoStore *s);
void store_merger_stop(ColoStore *s);
/* With the lock, which is given up meanwhile: no round is under way after,
 * and none begins until released. */
void store_merge_hold(ColoStore *s);
void store_merge_release(ColoStore *s);
/* With the lock: the next round begins at once. */
void store_merge_soon(ColoStore *s);
/* With the lock: there is something that may be merged. */
gboolean store_has_to_merge(ColoStore *s);

/* --- copy.c: one round's copying -------------------------------------------
 */

/* hurry: no limit of its rate.  -ECANCELED: the store is to be closed */
int store_copy_to_base(ColoStore *s, StoreLayer **layers, guint n,
                       gboolean hurry);
/* What a piece counts in merged_bytes */
guint64 store_copy_cost(const StorePiece *p);

/* --- recover.c -------------------------------------------------------------
 */

/* What the folder holds; the threads do not run yet. */
gboolean store_recover(ColoStore *s, GError **error);
/* 32 hex digits of the kernel's run; tests put another file here. */
extern const char *store_boot_id_path;
void store_read_boot_id(guint8 out[STORE_BOOT_ID]);

#endif
