/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the receiver holds: the primary's RAM as last sent, which pages of
 * it are new, and the device state.
 *
 * cache is as large as the guest's RAM.  Pages of the open transaction are
 * written straight into it; they never touch the guest before the
 * transaction is committed.  That is all or nothing (I2) because a takeover
 * never starts from the cache of an open transaction: in colo mode the
 * secondary's guest runs on its own RAM, in periodic mode the guest's RAM
 * is the last commit, and what an open transaction put into the cache is
 * thrown away.  The sender in turn sends every page of a transaction that
 * failed again before the next commit.
 *
 * Who may touch it: the receiving thread from ft_hold_enter() to
 * ft_hold_leave(), the engine from the moment a transaction is committed
 * until ft_hold_release(); lock guards just that hand-over.
 */
#ifndef COLO_FT_HOLD_H
#define COLO_FT_HOLD_H

#include "colo/bitmap.h"
#include "colo/ft/ft-proto.h"

typedef struct FtHold {
    guint8 *cache;          /* n_pages pages */
    gsize n_pages;

    ColoBitmap *staged;     /* in cache, newer than the guest has it */
    ColoBitmap *scratch;    /* in cache, not as last committed: what failed
                               or was never finished, too */
    guint8 *state;          /* device state of the open transaction */
    gsize state_len;        /* bytes held: always the first ones */
    gsize state_room;       /* largest state the guest can load */

    /* The open transaction */
    guint64 open_epoch;     /* 0: none */
    guint16 open_id;        /* its frames' id */
    guint32 good;           /* payloads held and right */
    guint64 pages;          /* page copies received */
    guint64 chain;          /* ft_sum_chain() so far */

    guint64 epoch;          /* last committed; 0: none yet */
    guint64 committed_pages;/* page copies of that transaction */
    gint64 resumed_us;      /* when the primary's guest ran on after its
                               capture, on our monotonic clock, as the COMMIT
                               said when it came; 0: not known */

    GMutex lock;
    GCond released;
    gboolean committed;     /* the engine has yet to take the last commit */
} FtHold;

/*
 * Allocates all memory at once, so that a host without room fails here and
 * not in the middle of a checkpoint.
 */
FtHold *ft_hold_new(gsize n_pages, gsize state_room, GError **error);
void ft_hold_free(FtHold *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtHold, ft_hold_free)

/* Forget everything: a new session begins with a full copy. */
void ft_hold_reset(FtHold *h);

/*
 * Wait until the engine has taken the last commit; FALSE if *stop became
 * TRUE meanwhile (set under lock, followed by a broadcast of released).
 */
gboolean ft_hold_wait(FtHold *h, const gboolean *stop);

/* The engine is done with the commit: receiving may go on. */
void ft_hold_release(FtHold *h);
gboolean ft_hold_is_committed(FtHold *h);

/*
 * The steps of a transaction, by the receiving thread.  Those that return
 * text found something wrong (a static text).
 */
const char *ft_hold_begin(FtHold *h, guint16 id, const FtBegin *b);
/* Before data of these pages goes into the cache, whole or not. */
void ft_hold_touch(FtHold *h, const FtRun *runs, guint n_runs);
/* Their data is there, and right. */
/* These pages are about to be overwritten, and then they are there. */
void ft_hold_expect(FtHold *h, const FtRun *runs, guint n_runs);
void ft_hold_pages(FtHold *h, const FtRun *runs, guint n_runs);
/* Is the open transaction whole?  It can then be committed. */
const char *ft_hold_check(FtHold *h, const FtCommit *c);
void ft_hold_commit(FtHold *h, gint64 resumed_us);
/* Of the open transaction nothing counts as right any more. */
void ft_hold_cancel(FtHold *h);

#endif
