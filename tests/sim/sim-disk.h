/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu: a disk of the guest, and what it is mirrored to.
 *
 * A disk has a few blocks, in a file or behind NBD.  All calls need the
 * guest's lock: the vCPU writes, the main thread copies.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <glib.h>

enum { SIM_MAX_DISKS = 3, SIM_BLOCKS = 64, SIM_BLOCK = 4096 };

/* An NBD connection that is made again when it breaks, as QEMU's. */
typedef struct SimNbd {
    char *uri;
    struct nbd_handle *h; /* NULL: broken */
    gint64 patience_us;   /* how long a request waits for the server */
    gboolean given_up;    /* one waited in vain: the next ones do not wait */
    gint64 next_try;
} SimNbd;

SimNbd *sim_nbd_new(const char *uri, gint64 patience_us);
void sim_nbd_free(SimNbd *n);
/* Until end (monotonic), or not. */
gboolean sim_nbd_connect(SimNbd *n, gint64 end);
gboolean sim_nbd_io(SimNbd *n, guint block, guint8 *data, gboolean write);

typedef struct SimMirror {
    char *id, *target, *top; /* job and nodes */
    SimNbd *to;              /* of the target's node */
    gboolean dirty[SIM_BLOCKS];
    gboolean ready, failed;
    gboolean told;           /* that it failed */
    guint offset, len;       /* blocks */
} SimMirror;

typedef struct SimDisk {
    char *name;
    int fd;      /* a file; -1: behind NBD */
    SimNbd *nbd;
    SimMirror *mirror;
} SimDisk;

extern SimDisk sim_disks[SIM_MAX_DISKS];
extern guint sim_n_disks;
extern char sim_disk_error[80]; /* the last */

/* From --disk NAME=FILE or NAME=URI. */
gboolean sim_disk_open(const char *option);

/* FALSE: an error that the guest sees. */
gboolean sim_disk_read(SimDisk *d, guint block, guint8 *data);
gboolean sim_disk_write(SimDisk *d, guint block, guint8 *data);

/* One block of what is to be copied; FALSE: nothing left, or it failed. */
gboolean sim_mirror_step(SimDisk *d);
guint sim_mirror_dirty(const SimMirror *m);

#endif
