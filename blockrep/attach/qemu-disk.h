/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk in QEMU: what there is, and the commands that change it.  Each
 * function takes a few round trips of the monitor.  Errors are ColoVm's.
 */
#ifndef COLO_QEMU_DISK_H
#define COLO_QEMU_DISK_H

#include "blockrep/attach/nbd-link.h"
#include "colo/vm/vm.h"

typedef struct QemuDisk {
    char *name;    /* "vda" */
    char *node;    /* as the operator calls it: node or device */
    char *job;     /* "colo-vda" */
    char *nbd;     /* "colo-nbd-vda" */
    char *top;     /* "colo-top-vda" */
    char *export;  /* "vda/primary" */
    gboolean only; /* the one disk: its export is called "primary" too */
} QemuDisk;

/* What was found; free with qemu_found_clear(). */
typedef struct QemuFound {
    guint64 size;
    char *device;       /* the root node to be mirrored */
    char *source;       /* the node that has the job's dirty bitmap */
    char *hand;         /* somebody else's node with our export, or NULL */
    gboolean has_nbd;   /* our node is there */
    gboolean nbd_right; /* and for this server */
    gboolean has_job;
} QemuFound;

void qemu_found_clear(QemuFound *f);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(QemuFound, qemu_found_clear)

/* FALSE with COLO_VM_ERROR_UNPROTECTABLE: there is no such disk. */
gboolean qemu_disk_find(ColoVm *vm, const NbdPeer *peer, const QemuDisk *d,
                        QemuFound *found, GError **error);

typedef struct QemuProgress {
    gboolean exists; /* the job; else all is zero */
    gboolean failed; /* it stopped with an error */
    gboolean synced; /* nothing is left to be copied */
    guint64 done, total;
} QemuProgress;

/* source: as found. */
gboolean qemu_disk_progress(ColoVm *vm, const QemuDisk *d, const char *source,
                            QemuProgress *p, GError **error);

gboolean qemu_disk_add(ColoVm *vm, const NbdPeer *peer, const QemuDisk *d,
                       const char *device, GError **error);
gboolean qemu_disk_resume(ColoVm *vm, const QemuDisk *d, GError **error);
gboolean qemu_disk_cancel(ColoVm *vm, const QemuDisk *d, GError **error);
gboolean qemu_disk_del(ColoVm *vm, const QemuDisk *d, GError **error);

/* The TLS credentials that all disks share; gone already is no error. */
gboolean qemu_tls_del(ColoVm *vm, GError **error);

/* --- block-graph.c ------------------------------------------------------- */

/*
 * The export in a node's file name, as QEMU prints it for the driver nbd;
 * transfer full, "" if it has none.
 */
char *nbd_export_of(const char *filename);

/* Of x-debug-query-block-graph's answer: the driver node below a node. */
const char *block_graph_below(JsonObject *graph, const char *name);

/* Have the two nodes a common user, or does one use the other? */
gboolean block_graph_related(JsonObject *graph, const char *a, const char *b);

#endif
