/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must survive colod itself: a small shared mapping in the state
 * folder (a tmpfs), written by plain stores, so that even a colod killed
 * between two instructions leaves its truth behind.
 *
 * It speaks of one QEMU process; for another one it is empty again.
 */
#ifndef COLO_RUN_STATE_H
#define COLO_RUN_STATE_H

#include <gio/gio.h>
#include <sys/types.h>

typedef enum {
    COLO_RUN_CAPTURING = 1,  /* we stopped the guest: it must be resumed */
    COLO_RUN_TAKEN_OVER = 2, /* the secondary's guest is the only one now */
    COLO_RUN_LOADING = 4,    /* the secondary's guest is half loaded */
} ColoRunFlag;

typedef struct ColoRunState ColoRunState;

/*
 * Open or create FOLDER/NAME.state and take it for this process alone: a
 * second colod of the same name is refused.
 */
ColoRunState *colo_run_state_open(const char *folder, const char *name,
                                  GError **error);
void colo_run_state_close(ColoRunState *r);

/* It is about this QEMU; flags of another one are dropped. */
void colo_run_state_attach(ColoRunState *r, pid_t pid, guint64 start_time);

void colo_run_state_set(ColoRunState *r, ColoRunFlag flag, gboolean on);
gboolean colo_run_state_get(const ColoRunState *r, ColoRunFlag flag);

#endif
