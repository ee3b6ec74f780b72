/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sending end of the ft stream, after INIT.
 *
 * A thread of its own sums, compresses and writes what the engine queues,
 * and reads the answers.  The engine fills buffers from a pool of bounded
 * size, so that a slow link holds back the engine's copying, never the
 * guest's memory; it never blocks on the network itself.
 *
 * The pool outlives connections.  FtBuf belongs to the engine from
 * ft_pool_get() until it is queued or put back.
 */
#ifndef COLO_FT_SENDER_H
#define COLO_FT_SENDER_H

#include "colo/ft/ft-io.h"
#include "colo/ft/ft-states.h"

typedef struct FtBuf {
    FtChunkType type;
    guint n_runs;
    FtRun runs[FT_CHUNK_RUNS];
    guint64 offset;         /* DEVICE */
    guint32 len;            /* bytes used of data */
    guint8 *data;           /* FT_CHUNK_DATA bytes */
    gboolean summed;        /* sum is known: summed while it was warm */
    guint64 sum;            /* ft_sum() of data */
} FtBuf;

typedef struct FtPool FtPool;

/*
 * At most max_bytes of buffers (at least four of them).  wake (an eventfd
 * of the engine's) is written when half of them are free again after
 * ft_pool_get() found none.
 */
FtPool *ft_pool_new(gsize max_bytes, int wake);
void ft_pool_free(FtPool *p);

/* An empty buffer, or NULL when all are in use. */
FtBuf *ft_pool_get(FtPool *p);

/*
 * The same while fewer than limit are in use.  What is sent in bulk stays
 * in the processor's caches when few buffers take turns.
 */
FtBuf *ft_pool_get_below(FtPool *p, gsize limit);
void ft_pool_put(FtPool *p, FtBuf *b);

/* Wait until one is free; FALSE at deadline_us (monotonic). */
gboolean ft_pool_wait(FtPool *p, gint64 deadline_us);

/* Would ft_pool_get() find none? */
gboolean ft_pool_is_empty(FtPool *p);

typedef enum {
    FT_EVENT_ACK,       /* epoch is committed */
    FT_EVENT_NACK,      /* note says why, and how much was right */
    FT_EVENT_CANCEL,    /* the receiver left the ft mode; note says why */
    FT_EVENT_LOST,      /* the stream broke; error says how */
} FtEventType;

typedef struct FtEvent {
    FtEventType type;
    guint16 id;         /* ACK, NACK: of the transaction */
    guint64 epoch;      /* the same */
    FtNote note;
    const GError *error;
} FtEvent;

/* Called on the sender's thread; nothing comes after CANCEL and LOST. */
typedef void (*FtEventFunc)(const FtEvent *event, gpointer user_data);

typedef struct FtSender FtSender;

/*
 * fd: a connected socket after INIT; becomes the sender's.  coding: of page
 * data.  stall_us: a peer that takes nothing, or answers nothing to a
 * COMMIT, for so long is lost.
 */
FtSender *ft_sender_new(int fd, FtPool *pool, FtCoding coding,
                        gint64 stall_us, FtEventFunc on_event,
                        gpointer user_data);

/* Stops the thread at once; what is queued goes back to the pool. */
void ft_sender_free(FtSender *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtSender, ft_sender_free)

/*
 * Queue the parts of one transaction, in order.  A transaction whose parts
 * are all queued before any is sent, and that is small enough, goes out as
 * one ATOMIC frame: hold the sender while queueing the parts of one.  (It
 * goes on by itself when that takes the pool's last buffer.)
 *
 * The next transaction may begin when the last was acknowledged, refused or
 * given up; a BEGIN before that ends the stream.  After a NACK the rest of
 * the transaction may still be queued: it is dropped.
 *
 * id is the transaction's, another one for each attempt.
 * ft_sender_chunk() returns the payload's number within the transaction.
 * resumed_us: since when (monotonic) the guest runs on that was captured; 0:
 * not known, or it does not run.
 */
void ft_sender_hold(FtSender *s);
void ft_sender_unhold(FtSender *s);
void ft_sender_begin(FtSender *s, guint16 id, guint64 epoch, guint32 flags);
guint32 ft_sender_chunk(FtSender *s, FtBuf *b);
void ft_sender_commit(FtSender *s, gint64 resumed_us);

/*
 * Give up the open transaction: what is not sent yet is dropped, and no
 * event is of interest that has its id.  FALSE: too late, all of it is sent
 * and an ACK or NACK decides.
 */
gboolean ft_sender_cancel(FtSender *s);

/*
 * End the ft mode: drop what is queued, tell the peer why and wait at most
 * timeout_us until it has read that and closed its end.
 */
void ft_sender_end(FtSender *s, FtCancel code, const char *text,
                   gint64 timeout_us);

/* Bytes written, and bytes of page data before compression. */
guint64 ft_sender_bytes(const FtSender *s);

#endif
