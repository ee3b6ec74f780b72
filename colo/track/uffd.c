/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking by asynchronous userfaultfd write protection.
 *
 * libcolotrack.so has registered the RAM inside the process.  From outside,
 * one ioctl on its pagemap reports the pages that are no longer
 * write-protected and protects them again, page by page atomically.  What
 * the kernel does not say by it:
 *
 * - A hole punched into the memory changes pages without a write.  The
 *   library logs those (discard-log.h).
 *
 * - A page table that is not there counts as not written.  Arming therefore
 *   protects holes too, which makes all page tables; those the kernel frees
 *   later, it frees on madvise(), which the library logs as well.
 *
 * - Direct I/O (cache=none) takes its pages, which marks them written, when
 *   it is submitted, and the data arrives later.  A scan in between reports
 *   the page and protects it, and the arrival is not noticed.  Only while
 *   nothing writes, which includes that no I/O is in flight, is a scan the
 *   whole truth.  So where the process has files open for direct I/O, the
 *   pages that earlier scans reported are "unsettled" until the next
 *   quiesced collect, which compares them with a hash of their copy.
 *   Pages not copied in between are reported again.  Where no file was read
 *   since the last quiesced collect, nothing can have arrived.
 */
#include "config.h"
#include "colo/track/direct-io.h"
#include "colo/track/discard-reader.h"
#include "colo/track/kernel-abi.h"
#include "colo/track/page-hash.h"
#include "colo/track/ram-extents.h"
#include "colo/track/tracker-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define N_REGIONS 4096

typedef struct UffdTracker {
    ColoTracker common;
    int pagemap;
    ColoDiscards *discards;
    struct colo_page_region *regions;
    ColoBitmap *fresh;     /* what the current collect found */
    /* From when direct I/O was seen; which is believed for good: */
    ColoBitmap *unsettled; /* NULL: not seen */
    ColoPageHash *copies;  /* of unsettled pages */
    ColoRamExtents *extents;
    char *settled_reads;   /* at the last time all was looked at, or NULL */
} UffdTracker;

/* Called for each region found. */
typedef void (*RegionFunc)(UffdTracker *u, gsize page, gsize n, gpointer data);

static gboolean scan(UffdTracker *u, struct colo_pm_scan_arg arg,
                     RegionFunc found, gpointer data, GError **error)
{
    const ColoTrackTarget *target = &u->common.target;

    arg.size = sizeof(arg);
    arg.start = target->addr;
    arg.end = target->addr + colo_track_bytes(&u->common);
    arg.vec = found ? (guintptr)u->regions : 0;
    arg.vec_len = found ? N_REGIONS : 0;
    while (arg.start < arg.end) {
        int n = ioctl(u->pagemap, COLO_PAGEMAP_SCAN, &arg), err = errno;

        if (n < 0 && err == EINTR) {
            continue;
        }
        if (n < 0 || arg.walk_end <= arg.start || arg.walk_end > arg.end) {
            g_set_error(
                error, G_IO_ERROR,
                n < 0 ? g_io_error_from_errno(err) : G_IO_ERROR_FAILED,
                n >= 0           ? "PAGEMAP_SCAN of process %d stood still%s"
                : err == ENOTTY ? "the kernel has no PAGEMAP_SCAN for process "
                                  "%d: Linux 6.7 or newer is needed%s"
                : err == EPERM ? "RAM of process %d is no longer registered "
                                 "for asynchronous write protection%s"
                               : "cannot scan the pages of process %d: %s",
                (int)target->pid,
                n < 0 && err != ENOTTY && err != EPERM ? g_strerror(err) : "");
            return FALSE;
        }
        for (int i = 0; i < n; i++) {
            guint64 start = MAX(u->regions[i].start, target->addr);
            guint64 end = MIN(u->regions[i].end, arg.end);

            if (start < end) {
                found(u, (start - target->addr) >> COLO_PAGE_SHIFT,
                      (end - start) >> COLO_PAGE_SHIFT, data);
            }
        }
        arg.start = arg.walk_end;
    }
    return TRUE;
}

static void count_pages(UffdTracker *u, gsize page, gsize n, gpointer data)
{
    *(gsize *)data += n;
}

static void mark_pages(UffdTracker *u, gsize page, gsize n, gpointer data)
{
    colo_bitmap_set(data, page, n);
}

/*
 * After a scan with writers running: is the process one with direct I/O?
 * Once is for good.  A file opened after the scan, and seen too early, does
 * no harm; one not yet seen had nothing in flight when the scan was made.
 */
static void look_for_direct_io(UffdTracker *u)
{
    gsize n_pages = u->common.target.n_pages;

    if (!u->unsettled && colo_track_has_direct_io(u->common.proc_fd)) {
        u->unsettled = colo_bitmap_new(n_pages);
        u->copies = colo_page_hash_new(n_pages);
        u->extents = colo_ram_extents_new(u->common.target.ram, n_pages);
        u->common.wants_copies = TRUE;
        u->common.wants_reads = TRUE;
    }
}

static gboolean uffd_arm(ColoTracker *t, GError **error)
{
    UffdTracker *u = (UffdTracker *)t;
    struct colo_pm_scan_arg ask = {
        .category_mask = COLO_PAGE_IS_WPALLOWED,
        .return_mask = COLO_PAGE_IS_WPALLOWED,
    };
    struct colo_pm_scan_arg protect = {
        .flags = COLO_PM_SCAN_WP_MATCHING | COLO_PM_SCAN_CHECK_WPASYNC,
    };
    g_autofree char *reason = NULL;
    gsize registered = 0;

    u->pagemap = colo_track_open(t, "pagemap", O_RDONLY, error);
    if (u->pagemap < 0 || !(u->discards = colo_discards_open(t, error))) {
        return FALSE;
    }
    if (!colo_discards_armable(u->discards, &reason)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "libcolotrack.so in process %d says: %s",
                    (int)t->target.pid, reason);
        return FALSE;
    }
    u->regions = g_new(struct colo_page_region, N_REGIONS);
    u->fresh = colo_bitmap_new(t->target.n_pages);

    /* An address that is not mapped would pass every other check. */
    if (!scan(u, ask, count_pages, &registered, error)) {
        return FALSE;
    }
    if (registered != t->target.n_pages) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "only %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " pages of "
                    "process %d are registered for asynchronous write "
                    "protection",
                    registered, t->target.n_pages, (int)t->target.pid);
        return FALSE;
    }
    if (!scan(u, protect, NULL, NULL, error)) {
        return FALSE;
    }
    look_for_direct_io(u);
    if (u->unsettled) {
        colo_bitmap_set(u->unsettled, 0, t->target.n_pages);
    }
    return TRUE;
}

/* Pages that changed although no scan could see it. */
static void look_at_unsettled(UffdTracker *u, ColoBitmap *dirty)
{
    gsize page = 0, n, run, extent_end = 0;
    gboolean data = FALSE;

    /* Many short runs in a long extent: it is looked for once. */
    while ((n = colo_bitmap_next_run(u->unsettled, page, G_MAXSIZE, &page))) {
        for (gsize end = page + n; page < end; page += run) {
            if (page >= extent_end) {
                extent_end =
                    page + colo_ram_extents_run(u->extents, page, &data);
            }
            run = MIN(extent_end, end) - page;
            if (data) {
                colo_page_hash_diff(u->copies, page, run,
                                    colo_track_page(&u->common, page),
                                    dirty);
            } else {
                colo_page_hash_diff_zero(u->copies, page, run, dirty);
            }
        }
    }
}

/* Quiesced: afterwards every page is settled. */
static void settle_all(UffdTracker *u)
{
    if (!u->settled_reads || g_strcmp0(u->settled_reads, u->common.reads)) {
        look_at_unsettled(u, u->fresh);
    }
    colo_bitmap_clear_all(u->unsettled);
    colo_page_hash_clear_all(u->copies);
    g_free(u->settled_reads);
    u->settled_reads = g_steal_pointer(&u->common.reads);
}

/*
 * All pages stay unsettled: a read that is under way now may still arrive.
 * That none was is known when none has ended at the quiesced collect.
 */
static void uffd_settle(ColoTracker *t, const char *reads, ColoBitmap *dirty)
{
    UffdTracker *u = (UffdTracker *)t;

    look_at_unsettled(u, dirty);
    g_free(u->settled_reads);
    u->settled_reads = g_strdup(reads);
}

static gboolean uffd_collect(ColoTracker *t, ColoBitmap *dirty,
                             gboolean quiesced, GError **error)
{
    UffdTracker *u = (UffdTracker *)t;
    /*
     * Exactly this combination: with it the kernel counts an entry that is
     * empty, because its page was taken away after a write, as written.
     */
    struct colo_pm_scan_arg written = {
        .flags = COLO_PM_SCAN_WP_MATCHING | COLO_PM_SCAN_CHECK_WPASYNC,
        .category_mask = COLO_PAGE_IS_WRITTEN,
        .return_mask = COLO_PAGE_IS_WRITTEN,
    };

    colo_bitmap_clear_all(u->fresh);
    if (!scan(u, written, mark_pages, u->fresh, error)) {
        return FALSE;
    }
    colo_discards_take(u->discards, u->fresh);

    if (!quiesced) {
        look_for_direct_io(u);
    }
    if (u->unsettled) {
        if (quiesced) {
            settle_all(u);
        } else {
            colo_bitmap_or(u->unsettled, u->fresh);
        }
    }
    colo_bitmap_or(dirty, u->fresh);
    return TRUE;
}

static void uffd_copied(ColoTracker *t, gsize page, const void *data)
{
    UffdTracker *u = (UffdTracker *)t;

    if (colo_bitmap_test(u->unsettled, page)) {
        colo_page_hash_set(u->copies, page, data);
    }
}

static void uffd_free(ColoTracker *t)
{
    UffdTracker *u = (UffdTracker *)t;

    if (u->pagemap > 0) {
        close(u->pagemap);
    }
    colo_discards_free(u->discards);
    g_free(u->regions);
    colo_bitmap_free(u->fresh);
    colo_bitmap_free(u->unsettled);
    colo_page_hash_free(u->copies);
    colo_ram_extents_free(u->extents);
    g_free(u->settled_reads);
}

const ColoTrackOps colo_track_uffd = {
    .kind = COLO_TRACKER_UFFD,
    .arm = uffd_arm,
    .collect = uffd_collect,
    .settle = uffd_settle,
    .copied = uffd_copied,
    .free = uffd_free,
    .instance_size = sizeof(UffdTracker),
};
