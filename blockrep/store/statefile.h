/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file that says which logs make up the store: a ring of snapshots.
 *
 * Each change writes a whole snapshot behind the one before, which is a write
 * of one block into space that was allocated at the start, so it works on a
 * full file system, too.  The newest whole one counts.  The newest that is on
 * the disk for sure is never written over.
 */
#ifndef COLO_STORE_STATEFILE_H
#define COLO_STORE_STATEFILE_H

#include "blockrep/store/format.h"

#define STORE_STATE_NAME "state"

typedef struct StoreState StoreState;

/* An empty folder gets its file, on the disk on return. */
StoreState *store_state_create(int folder, guint64 base_size, GError **error);
/*
 * s: the newest snapshot.  G_IO_ERROR_NOT_FOUND: there is no such file;
 * G_IO_ERROR_NOT_SUPPORTED: of another version; else damaged.
 */
StoreState *store_state_open(int folder, guint64 base_size, gboolean writable,
                             StoreSnapshot *s, GError **error);
void store_state_close(StoreState *f);

/*
 * Sets s->generation.  One at a time.  0 or -errno; with -ENOSPC the one before
 * is the newest still.
 */
int store_state_write(StoreState *f, StoreSnapshot *s);
/* What was written before the call is on the disk.  0 or -errno */
int store_state_sync(StoreState *f);

#endif
