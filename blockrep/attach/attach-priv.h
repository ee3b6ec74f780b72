/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files behind attach.h share; nobody else includes this. */
#ifndef COLO_ATTACH_PRIV_H
#define COLO_ATTACH_PRIV_H

#include "blockrep/attach/attach.h"
#include "blockrep/attach/qemu-disk.h"
#include "blockrep/attach/watch.h"

typedef enum { STEP_FIND, STEP_REMOVE, STEP_ADD, STEP_RUN, STEP_REST } DiskStep;

typedef struct AttachDisk {
    QemuDisk q;
    DiskStep step;
    gint64 due; /* of the next step; -1: when something happens */
    guint64 size;
    char *device, *source, *hand;
    gboolean was_by_hand, has_nbd;
    gboolean whole;     /* a job that is there is not to be adopted */
    gboolean cancelled; /* told so; it may take a while */
    guint resumes;      /* in vain */
    gint64 resumed;     /* when last */

    ColoDiskState state;
    guint64 done, total;
    char *why;

    /* What events said since the last step */
    gboolean error, ended;
} AttachDisk;

struct ColoDiskAttach {
    ColoVm *vm;
    NbdPeer *peer;
    ColoDiskWatch *watch;
    AttachDisk *disks;
    guint n;
    gboolean wanted;
    gboolean tidy; /* what the disks share is to be removed, too */
    gboolean was_up;
    gboolean lost;
    char *why;
};

/* Synced, or by hand and not known to be lost. */
gboolean attach_is_good(const AttachDisk *d);

/* The state and its sentence; the log hears of changes. */
void attach_set_state(ColoDiskAttach *a, AttachDisk *d, ColoDiskState state,
                      const char *fmt, ...) G_GNUC_PRINTF(4, 5);

/* This step is due after so many us; -1: when something happens. */
void attach_go(AttachDisk *d, DiskStep step, gint64 after_us);

/* --- attach-steps.c ------------------------------------------------------ */

/* The step that is due.  FALSE: the VM's connection broke. */
gboolean attach_step(ColoDiskAttach *a, AttachDisk *d, GError **error);

/* The VM's hook; user_data is the ColoDiskAttach. */
void attach_on_event(const char *event, JsonObject *data, gpointer user_data);

/* What qemu_disk_find() found is taken over (f is emptied of it). */
void attach_take_found(AttachDisk *d, QemuFound *f);
void attach_found_by_hand(ColoDiskAttach *a, AttachDisk *d);

#endif
