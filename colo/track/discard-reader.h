/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tracker's side of a discard log (discard-log.h). */
#ifndef COLO_TRACK_DISCARD_READER_H
#define COLO_TRACK_DISCARD_READER_H

#include "colo/track/tracker-impl.h"

typedef struct ColoDiscards ColoDiscards;

/*
 * Find the log that covers t's target among the open files of its process.
 * Fails with G_IO_ERROR_NOT_FOUND when libcolotrack.so is not loaded there
 * or did not take this memory for guest RAM.
 */
ColoDiscards *colo_discards_open(const ColoTracker *t, GError **error);
void colo_discards_free(ColoDiscards *d);

/* Was the range registered with userfaultfd?  If not, *reason says why. */
gboolean colo_discards_armable(const ColoDiscards *d, char **reason);

/* Move the pages discarded since the last call into dirty. */
void colo_discards_take(ColoDiscards *d, ColoBitmap *dirty);

#endif
