/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's disks: each protected disk of the VM is mirrored to the
 * secondary's NBD server (nbdkit with our plugin).
 *
 * For each disk NAME this makes, in QEMU: a node "colo-nbd-NAME" for the
 * server's export "NAME/primary", and a job "colo-NAME" (blockdev-mirror,
 * write-blocking, with the filter node "colo-top-NAME") that first copies the
 * disk and then writes to both before the guest's write completes.  So once a
 * disk is synced and the guest is stopped (colo_vm_capture_begin()), the
 * server has all of the guest's writes.
 *
 * A server that is lost (its process, its host, the link; or it just does not
 * answer) does not keep the guest from its disk for longer than hang_us +
 * reconnect_us.  What could not be written is remembered by the job, and only
 * that is copied when the server is back.
 *
 * It belongs to the engine's thread.  No call waits for more than a few round
 * trips of QEMU's monitor (each --qmp-timeout at most) but those that say so. A
 * thread of its own looks for the server, and watches it: resolving names,
 * connecting, and breaking QEMU's connections to a server that is silent
 * happens there, also while QEMU's monitor is blocked by its disk.
 */
#ifndef COLO_DISK_ATTACH_H
#define COLO_DISK_ATTACH_H

#include "blockrep/attach/peer.h"
#include "colo/vm/vm.h"

/* Limited by QEMU's node names, and by nbdkit's options of one handshake. */
#define COLO_DISK_NAME_MAX 22
#define COLO_DISK_MAX      16

typedef struct ColoDiskSpec {
    const char *name; /* as the secondary calls it: "vda" */
    const char *node; /* node or device of the VM; NULL: as name */
} ColoDiskSpec;

typedef enum {
    COLO_DISK_DETACHED, /* nothing of it is in QEMU */
    COLO_DISK_WAITING,  /* shall be attached; the server is not there yet */
    COLO_DISK_COPYING,  /* the first copy, or what a loss left to be copied */
    COLO_DISK_SYNCED,   /* the server has what the guest wrote */
    COLO_DISK_LOST,     /* it has not: see why; goes on by itself */
    COLO_DISK_BY_HAND,  /* somebody else's node has our export: left alone */
    COLO_DISK_REFUSED,  /* cannot be attached: see why; tried again */
} ColoDiskState;

/* "copying" and so on, as the status shows it. */
const char *colo_disk_state_name(ColoDiskState state);

/* All strings are owned by the ColoDiskAttach, valid until its next call. */
typedef struct ColoDiskInfo {
    const char *name;
    const char *node;
    guint64 size; /* bytes */
    ColoDiskState state;
    guint64 done, total; /* bytes, while copying */
    const char *why;     /* a sentence for WAITING, LOST and REFUSED, or "" */
} ColoDiskInfo;

typedef struct ColoDiskAttach ColoDiskAttach;

/*
 * Look at the disks of vm: that they exist, how large they are, whether
 * somebody attached them by hand.  What a predecessor of ours left is adopted
 * by colo_disk_attach_start() if it is right, otherwise removed; nothing of
 * the VM is changed before.  vm must outlive this object, which takes its
 * event hook.  Strings and peer are copied.  Errors: COLO_VM_ERROR_GONE,
 * _HUNG; COLO_VM_ERROR_UNPROTECTABLE names the option to change.
 */
ColoDiskAttach *colo_disk_attach_new(ColoVm *vm, const ColoDiskPeer *peer,
                                     const ColoDiskSpec *disks, guint n_disks,
                                     GError **error);

/* Leaves in QEMU what is there: the mirrors go on.  See colo_disk_attach_stop.
 */
void colo_disk_attach_free(ColoDiskAttach *a);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoDiskAttach, colo_disk_attach_free)

/*
 * For poll(2): what the thread has to say; when to call dispatch at the
 * latest (monotonic, -1: never); and the call itself, which takes the next
 * step where one is due.  Call it also after colo_vm_dispatch(), but not in
 * a capture, where the VM's answers wait for each other.  FALSE: the VM's
 * connection broke (COLO_VM_ERROR_GONE, _HUNG); everything else is told
 * by the disks' states.
 */
int colo_disk_attach_fd(const ColoDiskAttach *a);
gint64 colo_disk_attach_deadline(const ColoDiskAttach *a);
gboolean colo_disk_attach_dispatch(ColoDiskAttach *a, GError **error);

/*
 * The disks shall be attached, and be so again after a loss.  whole: the
 * secondary's disks begin anew (disk-reset: a new session), so everything is
 * to be copied; what is in QEMU is removed first.  Otherwise mirrors that are
 * there go on.  Call it when the peer has agreed to the disks.
 */
void colo_disk_attach_start(ColoDiskAttach *a, gboolean whole);

/*
 * Take down, step by step in dispatch, until all are DETACHED (or BY_HAND);
 * the second form waits for that until deadline_us (monotonic), FALSE with
 * error: something is left in QEMU.  Both also remove what a predecessor
 * left.
 */
void colo_disk_attach_stop(ColoDiskAttach *a);
gboolean colo_disk_attach_detach(ColoDiskAttach *a, gint64 deadline_us,
                                 GError **error);

/* --- What there is ------------------------------------------------------- */

guint colo_disk_attach_count(const ColoDiskAttach *a);
void colo_disk_attach_info(const ColoDiskAttach *a, guint i,
                           ColoDiskInfo *info);

/* One sentence for the operator: of the first disk that is not synced; or "" */
const char *colo_disk_attach_why(ColoDiskAttach *a);

/*
 * All disks are synced (or by hand), and the server answers.  As far as the
 * events read so far say: after colo_vm_capture_begin() it is exact, since
 * QEMU tells of a write that failed before it answers to stop.  So ask before
 * (a checkpoint is possible) and again in the pause (this one is good).
 * Takes no round trip.
 */
gboolean colo_disk_attach_is_synced(const ColoDiskAttach *a);

/* It was not synced for a moment at least since it was last asked. */
gboolean colo_disk_attach_take_lost(ColoDiskAttach *a);

#endif
