/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole frames in memory, made with the encoders, for tests. */
#ifndef TESTS_FT_FRAMES_H
#define TESTS_FT_FRAMES_H

#include "colo/ft/ft-proto.h"
#include "colo/track/tracker.h" /* COLO_PAGE_SIZE */

/* Append a frame to out. */
void frame_begin(GByteArray *out, guint16 id, const FtBegin *b);
void frame_commit(GByteArray *out, guint16 id, const FtCommit *c);
void frame_note(GByteArray *out, FtCmd cmd, guint16 id, guint32 seq,
                const FtNote *n);
void frame_ack(GByteArray *out, guint16 id, const FtAck *a);

/*
 * A chunk with these data bytes.  Fills what c does not say: data_len,
 * raw_len (unless set), the sums.
 */
void frame_chunk(GByteArray *out, guint16 id, guint32 seq, FtChunk *c,
                 const FtRun *runs, const void *data, gsize len);

/*
 * A whole small transaction: a page of data at 3, zero pages 5 and 6, and
 * ten bytes of device state; in several frames or as an ATOMIC one.
 */
void frames_transaction(GByteArray *out, guint16 id, guint64 epoch,
                        gboolean atomic);

#define FRAMES_STATE      "ten bytes!"
#define FRAMES_RUNNING_US 3007

#endif
