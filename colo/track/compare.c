/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking by comparing every page with its last copy.
 *
 * Needs nothing of the process or the kernel and is blind to nothing, also
 * not to writes by other processes (vhost-user) or devices; costs reading
 * all of the RAM each time.
 */
#include "config.h"
#include "colo/track/page-hash.h"
#include "colo/track/ram-extents.h"
#include "colo/track/tracker-impl.h"

typedef struct CompareTracker {
    ColoTracker common;
    ColoRamExtents *extents;
    ColoPageHash *copies;
} CompareTracker;

static gboolean compare_arm(ColoTracker *t, GError **error)
{
    CompareTracker *c = (CompareTracker *)t;

    c->extents = colo_ram_extents_new(t->target.ram, t->target.n_pages);
    c->copies = colo_page_hash_new(t->target.n_pages);
    t->wants_copies = TRUE;
    return TRUE;
}

static gboolean compare_collect(ColoTracker *t, ColoBitmap *dirty,
                                gboolean quiesced, GError **error)
{
    CompareTracker *c = (CompareTracker *)t;
    gboolean data;
    gsize n;

    for (gsize page = 0;
         (n = colo_ram_extents_run(c->extents, page, &data)); page += n) {
        if (data) {
            colo_page_hash_diff(c->copies, page, n, colo_track_page(t, page),
                                dirty);
        } else {
            colo_page_hash_diff_zero(c->copies, page, n, dirty);
        }
    }
    return TRUE;
}

static void compare_copied(ColoTracker *t, gsize page, const void *data)
{
    colo_page_hash_set(((CompareTracker *)t)->copies, page, data);
}

static void compare_free(ColoTracker *t)
{
    CompareTracker *c = (CompareTracker *)t;

    colo_ram_extents_free(c->extents);
    colo_page_hash_free(c->copies);
}

const ColoTrackOps colo_track_compare = {
    .kind = COLO_TRACKER_COMPARE,
    .arm = compare_arm,
    .collect = compare_collect,
    .copied = compare_copied,
    .free = compare_free,
    .instance_size = sizeof(CompareTracker),
};
