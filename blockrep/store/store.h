/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The epoch store: one disk of the secondary, as of the last checkpoint, with
 * what both guests wrote since.
 *
 * Theory of operation.  Layers, each above the one before:
 *
 *   base      the image: a raw file or a block device
 *   sealed    epochs that were committed; merged into base in the background,
 *             read through until then
 *   pending   what the primary's guest (PVM) wrote since the last seal
 *   active    what the secondary's guest (SVM) wrote since it was last loaded
 *
 * Reads of the PVM's export see base, sealed and pending; those of the SVM's
 * see base, sealed and active.  At a checkpoint:
 *
 *   seal      pending becomes the newest sealed epoch.  What the SVM sees does
 *             not change: its view keeps the epoch that it runs on.
 *   load      the SVM's view moves to the newest sealed epoch, active is
 *             emptied
 *   promote   the takeover: pending is dropped, active stays, and both are one
 *             disk from now on: the survivor's
 *
 * seal, load and promote take the same time whatever the volume.  An epoch that
 * the SVM's view does not include yet is not merged into base.
 *
 * Until the first seal the store is EMPTY: the PVM's writes go straight to
 * base (the first full copy), and there is nothing to take over.
 *
 * Layers above base are append-only logs of checksummed records in a folder;
 * their format is in docs/internals.md, "Epoch store".  After a power loss at
 * any byte opening the folder finds every sealed epoch that was durable, whole;
 * what is behind the last whole one is cut off.  pending and active outlive
 * their process, with every write that was acknowledged, so that a server that
 * died is replaced while its clients wait; before a promote they do not outlive
 * their host (status: lost); after it active does, as far as it was flushed.
 *
 * Memory: an index entry for each run of blocks in the logs, at most
 * max_index_bytes.  At half of it the owner is told that a checkpoint would
 * help; at the limit writes wait for merging, for 10 s, then -ENOSPC.  Disk
 * sizes do not matter.
 *
 * Threads: all calls may come from any thread at once.  Two writes that overlap
 * and are under way at the same time leave either of them in each block, as on
 * a disk.  The lock is never held over I/O.
 *
 * Blocks are 4096 bytes; requests may have any offset and length in the disk.
 * Errors are negative errno, with a sentence in the log; -ENOSPC: the file
 * system of the folder is full: nothing is lost, writes of the PVM are refused
 * until there is room.  They are refused while there is still some (64 MiB),
 * for the SVM and for merging.
 */
#ifndef COLO_STORE_H
#define COLO_STORE_H

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#define COLO_STORE_BLOCK 4096

typedef struct ColoStore ColoStore;

typedef enum {
    COLO_STORE_PRIMARY,   /* the PVM's export */
    COLO_STORE_SECONDARY, /* the SVM's; after a promote the only one */
} ColoStoreView;

typedef enum {
    COLO_STORE_EMPTY,    /* no epoch yet */
    COLO_STORE_STANDBY,  /* epochs come and go */
    COLO_STORE_PROMOTED, /* the survivor's disk */
} ColoStoreState;

typedef enum {
    COLO_DURABLE_EPOCH, /* flush returns at once before a promote: see DESIGN */
    COLO_DURABLE_FLUSH, /* flush always waits for the disk */
} ColoDurability;

typedef struct ColoStoreOptions {
    const char *base;   /* path of the image; its size is the disk's */
    const char *folder; /* for the logs; made if missing; NULL: BASE.colo */
    ColoDurability durability;
    gsize max_index_bytes;   /* 256 MiB */
    gsize merge_bytes_per_s; /* 0: as fast as it can, idle I/O priority */
    /*
     * From a thread of the store's: the folder or the image is full, or takes
     * writes again, a checkpoint would help, all is merged after a promote, the
     * image cannot be written or the store broke.
     * what: "enospc", "space", "index", "merged", "error".
     */
    void (*event)(gpointer user, const char *what, const char *detail);
    gpointer user;
} ColoStoreOptions;

void colo_store_options_default(ColoStoreOptions *o);

/*
 * Open, and recover what the folder holds.  One process at a time (lock file).
 * A format of another version, another base size, a lock that is held: errors
 * that say what to do.
 */
ColoStore *colo_store_open(const ColoStoreOptions *o, GError **error);
/* Waits for requests under way; merging stops where it is. */
void colo_store_close(ColoStore *s);

guint64 colo_store_size(const ColoStore *s); /* bytes */

/* --- I/O: 0 or negative errno -------------------------------------------- */

int colo_store_read(ColoStore *s, ColoStoreView v, void *buf, guint32 len,
                    guint64 offset);
/* fua: durable on return, as flush() would make it. */
int colo_store_write(ColoStore *s, ColoStoreView v, const void *buf,
                     guint32 len, guint64 offset, gboolean fua);
/* Reads as zero after; punch: space may be given back.  No buffer of len. */
int colo_store_zero(ColoStore *s, ColoStoreView v, guint64 len, guint64 offset,
                    gboolean punch, gboolean fua);
int colo_store_flush(ColoStore *s, ColoStoreView v);

/*
 * What lies from offset on: calls extent with ascending, adjoining runs until
 * len is covered or it returns FALSE.  zero: reads as zero; hole: takes no
 * space.
 */
int colo_store_extents(ColoStore *s, ColoStoreView v, guint64 len,
                       guint64 offset,
                       gboolean (*extent)(guint64 offset, guint64 len,
                                          gboolean hole, gboolean zero,
                                          gpointer user),
                       gpointer user);

/* --- Checkpoints -----------------------------------------------------------
 */

/*
 * epoch: of the checkpoint, larger than all before.  0, -EEXIST for one that is
 * sealed already, -EINVAL for an older one, -EROFS after a promote, -EIO if the
 * store broke or cannot write to the image.  Writes under way when it is called
 * may land on either side: the caller has stopped them.
 */
int colo_store_seal(ColoStore *s, guint64 epoch);
/*
 * Take the newest seal back, that was not acknowledged: it becomes pending
 * again.  -ENOENT: not the newest; -EBUSY: loaded already.
 */
int colo_store_unseal(ColoStore *s, guint64 epoch);
/*
 * The SVM's view moves to this epoch, active is emptied.  -ENOENT: it is not
 * sealed, or older than the one loaded.
 */
int colo_store_load(ColoStore *s, guint64 epoch);
/*
 * A new session: pending and active are emptied, as are sealed epochs that are
 * not merged: base is of no use until the next full copy.  -EROFS after a
 * promote: a survivor's disk is thrown away by its user only, by removing the
 * folder.
 */
int colo_store_reset(ColoStore *s);
/*
 * The survivor's disk, as the SVM's view shows it: epochs that are not loaded
 * go.  -ENOENT: none is loaded.  The other view answers -ESHUTDOWN from now on.
 * Durable on return: what active holds, and that it was
 * promoted.  -EIO: it is taken over, but that cannot be said.  Everything is
 * merged into base in the background; when that is done base alone is the disk,
 * and event("merged") says so.
 */
int colo_store_promote(ColoStore *s);
/*
 * The same; survives is called, from inside, as soon as the SVM's view is the
 * survivor's: the guest may go on, while this is made durable.  That is at
 * once, whatever the volume.  Not called when this fails before.
 */
int colo_store_promote_notify(ColoStore *s, void (*survives)(gpointer user),
                              gpointer user);
/* May this epoch be loaded? */
gboolean colo_store_has_epoch(ColoStore *s, guint64 epoch);

typedef struct ColoStoreStatus {
    ColoStoreState state;
    guint64 epoch;   /* newest sealed; 0: none */
    guint64 loaded;  /* the SVM's view */
    guint64 durable; /* newest sealed that would survive a power loss */
    guint sealed;    /* epochs not merged yet */
    guint64 pending_bytes, active_bytes, sealed_bytes, merged_bytes;
    guint64 index_bytes, max_index_bytes;
    gboolean full;   /* ENOSPC */
    gboolean merged; /* promoted, and base alone is the disk */
    gboolean lost;   /* the host went down since the last seal: what was
                        pending is gone, copy that again */
    char *error;     /* why no checkpoint is taken; NULL; free with g_free */
} ColoStoreStatus;
void colo_store_status(ColoStore *s, ColoStoreStatus *st);
const char *colo_store_state_name(ColoStoreState state);
JsonNode *colo_store_status_json(ColoStore *s);

/*
 * Merge until nothing is left to be merged (or broken); for offline use, after
 * a load of the newest epoch.  0 or -errno.
 */
int colo_store_merge(ColoStore *s);
/*
 * What merging has to write to base as of now, in bytes, for its progress: as
 * far as merged_bytes will grow.  Goes through the indexes with the lock held:
 * for offline use.
 */
guint64 colo_store_to_merge(ColoStore *s);

/*
 * Look at a folder without opening it for writing, safe while it is in use:
 * every record's checksum, every epoch's completeness.  Returns a JSON report;
 * ok is FALSE if anything sealed is damaged.
 */
JsonNode *colo_store_check(const char *base, const char *folder, gboolean *ok,
                           GError **error);
/*
 * The same, but no record is read: what the state file says, and how large the
 * logs are; of one that grows ("exact": false) the file, which may be larger.
 */
JsonNode *colo_store_look(const char *base, const char *folder, GError **error);

#endif
