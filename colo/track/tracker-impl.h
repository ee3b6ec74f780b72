/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the three kinds of tracker share. */
#ifndef COLO_TRACKER_IMPL_H
#define COLO_TRACKER_IMPL_H

#include "colo/track/tracker.h"

#include <gio/gio.h>

typedef struct ColoTrackOps {
    ColoTrackerKind kind;

    /*
     * Probe and arm.  t->target and t->proc_fd are set; the tracker is in
     * place when it returns TRUE, and free() is called in any case.
     */
    gboolean (*arm)(ColoTracker *t, GError **error);
    gboolean (*collect)(ColoTracker *t, ColoBitmap *dirty, gboolean quiesced,
                        GError **error);

    /* NULL: wants_reads is never TRUE. */
    void (*settle)(ColoTracker *t, const char *reads, ColoBitmap *dirty);

    /* data NULL: a page of zeros.  Called only while wants_copies. */
    void (*copied)(ColoTracker *t, gsize page, const void *data);
    void (*free)(ColoTracker *t);
    gsize instance_size;
} ColoTrackOps;

/* First member of each kind's own struct. */
struct ColoTracker {
    const ColoTrackOps *ops;
    ColoTrackTarget target;
    gboolean wants_copies;
    gboolean wants_reads;
    char *reads; /* colo_tracker_reads() for the collect that comes, or NULL */
    int pidfd;
    int proc_fd; /* /proc/PID, of the very process that pidfd means */
    char *passed_over;
};

extern const ColoTrackOps colo_track_uffd;
extern const ColoTrackOps colo_track_soft_dirty;
extern const ColoTrackOps colo_track_compare;

static inline guint64 colo_track_bytes(const ColoTracker *t)
{
    return (guint64)t->target.n_pages << COLO_PAGE_SHIFT;
}

static inline const guint8 *colo_track_page(const ColoTracker *t, gsize page)
{
    return t->target.ram + (page << COLO_PAGE_SHIFT);
}

/* Open a file of the target process; names it in errors. */
int colo_track_open(const ColoTracker *t, const char *name, int flags,
                    GError **error);

#endif
