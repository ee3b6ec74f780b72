/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receiving end of the ft stream, after INIT.
 *
 * Runs on a thread of its own and writes into the FtHold.  It answers ACK
 * only for a transaction that is held whole and whose checksums are right;
 * anything wrong is answered with NACK and skipped until the next BEGIN.
 */
#ifndef COLO_FT_RECEIVER_H
#define COLO_FT_RECEIVER_H

#include "colo/ft/ft-hold.h"
#include "colo/ft/ft-io.h"
#include "colo/ft/ft-states.h"

typedef struct FtReceiver FtReceiver;

typedef struct FtReceiverOps {
    /*
     * Before the ACK: what else belongs to the epoch is made safe (I4).
     * FALSE: the transaction is refused with the text in error.
     */
    gboolean (*seal)(guint64 epoch, gpointer user_data, GError **error);
    /* The ACK is out; the engine must take the commit from the hold. */
    void (*committed)(guint64 epoch, gpointer user_data);
    gpointer user_data;
} FtReceiverOps;

/* The bytes of frames read so far; for statistics, from any thread. */
guint64 ft_receiver_bytes(const FtReceiver *r);

/*
 * fd: a connected socket after the answer to INIT, stays the caller's.
 * codings: what was agreed.  stall_us bounds a peer that stops in the
 * middle of a frame; between frames there is no bound.
 */
FtReceiver *ft_receiver_new(int fd, FtHold *hold, guint codings,
                            gint64 stall_us, const FtReceiverOps *ops);
void ft_receiver_free(FtReceiver *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtReceiver, ft_receiver_free)

/*
 * Receive until the stream ends.  TRUE: the sender ended the ft mode, note
 * says why.  FALSE: the stream broke (error).
 */
gboolean ft_receiver_run(FtReceiver *r, FtNote *note, GError **error);

/* From another thread: make ft_receiver_run() return soon. */
void ft_receiver_stop(FtReceiver *r);

/*
 * From another thread: leave the ft mode; the sender is told why.  Ends
 * ft_receiver_run() too.
 */
void ft_receiver_cancel(FtReceiver *r, FtCancel code, const char *text);

#endif
