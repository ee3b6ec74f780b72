/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that came lately: what the secondary's guest sent, and (unheard.h)
 * what clients did.
 *
 * Frames of which the primary has only digests are kept, too, for it may ask
 * for them.
 *
 * A primary that dies takes with it what it had not yet released.  The
 * secondary's guest believes that it was sent, and would repeat it only after
 * its own timers, which double with each try.  So at a takeover the frames of
 * the last moments are sent once more: a client that has them ignores them.
 */
#ifndef COLO_PROXY_RECENT_H
#define COLO_PROXY_RECENT_H

#include "netcompare/capture/tap.h"

typedef struct RecentFrames RecentFrames;

/* At most so many frames and bytes; the oldest give way. */
RecentFrames *recent_new(guint max_frames, gsize max_bytes);
void recent_free(RecentFrames *r);
/* number: grows with each.  Returns the frame as it is kept. */
const NetFrame *recent_add(RecentFrames *r, const NetFrame *frame,
                           guint64 number, gint64 now_us);
/* NULL: it is not there any more. */
const NetFrame *recent_find(const RecentFrames *r, guint64 number);
/* It is not needed any more. */
void recent_forget(RecentFrames *r, guint64 number);
/* Is there room for one more, without one giving way? */
gboolean recent_has_room(const RecentFrames *r, gsize len);
/* Those added before are not needed any more. */
void recent_expire(RecentFrames *r, gint64 before_us);
/* All of them are of a past that was undone. */
void recent_clear(RecentFrames *r);
/* Those added at or after since_us, oldest first. */
typedef void (*RecentFunc)(const NetFrame *frame, gpointer user);
void recent_foreach(const RecentFrames *r, gint64 since_us, RecentFunc func,
                    gpointer user);

#endif
