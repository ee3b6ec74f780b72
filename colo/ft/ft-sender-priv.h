/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the ft stream's sending end share. */
#ifndef COLO_FT_SENDER_PRIV_H
#define COLO_FT_SENDER_PRIV_H

#include "colo/ft/ft-sender.h"

typedef enum { ITEM_BEGIN, ITEM_CHUNK, ITEM_COMMIT, ITEM_CANCEL } ItemType;

typedef struct Item {
    ItemType type;
    guint16 id;             /* of its transaction */
    FtBegin begin;
    FtBuf *buf;
    gint64 resumed_us;      /* COMMIT */
    FtNote note;            /* CANCEL */
} Item;

struct FtSender {
    FtIo io;
    FtPool *pool;
    FtCoding coding;
    FtEventFunc on_event;
    gpointer user_data;
    GThread *thread;
    int wake;               /* eventfd: the queue has changed */
    guint64 bytes;          /* atomic */

    GMutex lock;            /* guards down to flushed */
    GQueue queue;           /* Item */
    gboolean held;          /* the engine is adding parts of a transaction */
    guint16 begun;          /* id of the last BEGIN queued */
    gboolean commit_left;   /* its COMMIT left the queue */
    gboolean ended;         /* the thread has nothing more to say */
    GCond flushed;          /* ended became TRUE */

    /* The engine's */
    guint32 next_payload;

    /* The thread's */
    FtMode mode;
    guint16 id;             /* of the open transaction */
    guint64 epoch;
    guint32 payloads;
    guint64 pages, state_len, chain;
    gint64 commit_time;     /* when COMMIT was sent; 0: not waiting */
    guint8 in[FT_HEADER_LEN + FT_NOTE_LEN + FT_MAX_TEXT];
    gsize in_len;
    guint8 head[FT_HEADER_LEN + 4 + FT_CHUNK_LEN + FT_CHUNK_RUNS * FT_RUN_LEN];
    guint8 *coded;
};

/*
 * Write a queued item as a frame, or the parts of a whole transaction, from
 * BEGIN to COMMIT, as one.  An item that the state table has no step for is
 * dropped: after a NACK, the rest of that transaction is still in the queue
 * and the peer does not want it.
 */
gboolean ft_sender_put_item(FtSender *s, Item *i, GError **error);
gboolean ft_sender_put_atomic(FtSender *s, GQueue *parts, gsize payload_len,
                              GError **error);

/* Fails: a BEGIN that comes too early would never be answered. */
gboolean ft_sender_begun_early(GError **error);

#endif
