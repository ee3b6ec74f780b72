/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that fails as told, below the store: linked with --wrap. */
#ifndef COLO_TEST_STORE_FAULTS_H
#define COLO_TEST_STORE_FAULTS_H

#include <glib.h>

typedef enum {
    FAULT_BASE,
    FAULT_LOG,
    FAULT_STATE,
    FAULT_OTHER,
} FaultFile;

enum { FAULT_FDS = 1024 };

/* errno that writes, syncs and fallocate() of these files give; 0: none */
extern gint fault_write[FAULT_OTHER + 1], fault_sync[FAULT_OTHER + 1];
extern gint fault_allocate[FAULT_OTHER + 1];
/* The next write to a log ends so many bytes too early, then fails. */
extern gint fault_short;
/* Snapshots of the state are written, and yet give ENOSPC. */
extern gint fault_state_late;
/* Each write to the image takes this long. */
extern gint fault_base_us;

/* No faults, and all is synced. */
void fault_reset(void);
/* Does the file hold records that were not synced? */
gboolean fault_is_dirty(int fd);
/* In each sync of the state file, before it */
extern void (*fault_on_state_sync)(void);

#endif
