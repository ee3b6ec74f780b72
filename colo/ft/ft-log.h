/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages went into which payload of the open transaction.
 *
 * A page counts as sent once its copy is queued, so a transaction that
 * fails would lose it: what the receiver did not get right has to be marked
 * dirty again.  A NACK and the receiver's INIT say how many payloads were
 * right; this log turns the rest into pages.
 *
 * One log is one transaction: start it anew with each BEGIN, and compare
 * the serial before believing a number of good payloads.  Not locked.
 */
#ifndef COLO_FT_LOG_H
#define COLO_FT_LOG_H

#include "colo/bitmap.h"
#include "colo/ft/ft-proto.h"

typedef struct FtLog FtLog;

FtLog *ft_log_new(void);
void ft_log_free(FtLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtLog, ft_log_free)

/*
 * Note the pages of a payload, zero pages too; runs as they go into the
 * chunk.  payload is what ft_sender_chunk() returned or will return: never
 * less than that of the call before.
 */
void ft_log_add(FtLog *log, guint32 payload, const FtRun *runs, guint n_runs);

/*
 * Set the pages of all payloads from n_good on in dirty.  n_good counts
 * BEGIN, as FtNote.n_good and FtHello.open_good do; 0 means all.
 */
void ft_log_lost(const FtLog *log, guint32 n_good, ColoBitmap *dirty);

/* Forget everything: a new transaction, or the end of one. */
void ft_log_reset(FtLog *log);

/* Bytes of memory in use. */
gsize ft_log_size(const FtLog *log);

#endif
