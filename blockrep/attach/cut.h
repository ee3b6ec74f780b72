/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cut: in the pause of a capture, the secondary's disks are told to seal
 * what was written so far, through the export "checkpoint" of its NBD server.
 *
 * The connection is made, and made again, by a thread of its own.  It belongs
 * to the engine's thread; nothing waits but colo_disk_cut_end().
 */
#ifndef COLO_DISK_CUT_H
#define COLO_DISK_CUT_H

#include "blockrep/attach/peer.h"

typedef struct ColoDiskCut ColoDiskCut;

/* peer is copied; connecting begins at once. */
ColoDiskCut *colo_disk_cut_new(const ColoDiskPeer *peer);
void colo_disk_cut_free(ColoDiskCut *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoDiskCut, colo_disk_cut_free)

/* For poll(2): dispatch when readable: it notices a server that went away. */
int colo_disk_cut_fd(const ColoDiskCut *c);
void colo_disk_cut_dispatch(ColoDiskCut *c);

/* Connected? and if not, why, for the operator. */
gboolean colo_disk_cut_is_ready(const ColoDiskCut *c);
const char *colo_disk_cut_why(const ColoDiskCut *c);

/*
 * Write the request to seal epoch; the guest is stopped.  session: 32 hex
 * digits, what disk-reset was told.  Any failure is told by the end.  A
 * begin without an end yet is ended, without waiting.
 */
void colo_disk_cut_begin(ColoDiskCut *c, guint64 epoch, const char *session);

/*
 * Wait for the answer until deadline_us (monotonic).  TRUE: all disks are
 * sealed.  FALSE: none is, or it is not known (sealing the same epoch again
 * is right either way): the capture is to be thrown away.  Errors:
 * COLO_DISK_ERROR; REFUSED or FULL with the server's errno in words.
 */
gboolean colo_disk_cut_end(ColoDiskCut *c, gint64 deadline_us, GError **error);

#endif
