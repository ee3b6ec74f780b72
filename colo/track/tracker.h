/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking: which pages of a guest's RAM were written.
 *
 * Three ways, one contract.  The contract that the engine relies on: a page
 * whose content may differ from what was last given to
 * colo_tracker_copied() is reported by the next collect(), at the latest by
 * the next collect() with quiesced = TRUE.  Pages may be reported without
 * need; none is ever missed.
 *
 *  uffd        the VM's QEMU has libcolotrack.so: asynchronous userfaultfd
 *              write protection, collected and re-armed by PAGEMAP_SCAN
 *              (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst).
 *  soft-dirty  /proc/PID/clear_refs and bit 55 of pagemap
 *              (Documentation/admin-guide/mm/soft-dirty.rst).  Reading and
 *              clearing are two steps, so bits are cleared only while
 *              nothing writes (quiesced); until then pages that were copied
 *              already are told apart by a hash of the copy.
 *  compare     a 128 bit hash of each page's last copy; works anywhere.
 *
 * The order that makes it right: collect, then copy the page, then
 * colo_tracker_copied() with the bytes of the copy (not of the page).  The
 * caller keeps what collect() gave it until it has copied the page: a page
 * that waits there is not reported again.  Where the caller itself writes to
 * the RAM, through ram, it says so by colo_tracker_copied() as well.
 *
 * Files that the process reads by direct I/O (QEMU's cache=none) make uffd's
 * quiesced collect look at all pages that were reported since the last one,
 * unless colo_tracker_reads() tells that nothing was read.  With such files, a
 * quiesced collect right after colo_tracker_new() keeps the next one short.
 *
 * Blind spots of uffd and soft-dirty: memory written by another process
 * (vhost-user) or by a device (VFIO).  Of soft-dirty without libcolotrack.so
 * in the process: MADV_DONTNEED on written pages that are read again before
 * the next collect (QEMU never does that to shared memory alone).
 *
 * A tracker belongs to one thread at a time.
 */
#ifndef COLO_TRACKER_H
#define COLO_TRACKER_H

#include "colo/bitmap.h"
#include <sys/types.h>

#define COLO_PAGE_SIZE 4096u
#define COLO_PAGE_SHIFT 12

typedef enum {
    COLO_TRACKER_AUTO,
    COLO_TRACKER_UFFD,
    COLO_TRACKER_SOFT_DIRTY,
    COLO_TRACKER_COMPARE,
} ColoTrackerKind;

/* The names of --tracker: auto, uffd, soft-dirty, compare; -1 if unknown. */
int colo_tracker_kind_parse(const char *name);
const char *colo_tracker_kind_name(ColoTrackerKind kind);

typedef struct ColoTrackTarget {
    pid_t pid;          /* the process whose writes are tracked */
    guint64 addr;       /* where it has the RAM mapped, one range */
    const guint8 *ram;  /* the same memory, mapped by the caller */
    gsize n_pages;
} ColoTrackTarget;

typedef struct ColoTracker ColoTracker;

/*
 * Arm tracking: every write after the return is reported.  AUTO takes the
 * first kind that a probe on this very process shows to work; any other
 * kind fails with an error that says what is missing.  The target is
 * copied; ram must stay mapped.
 */
ColoTracker *colo_tracker_new(ColoTrackerKind kind,
                              const ColoTrackTarget *target, GError **error);
void colo_tracker_free(ColoTracker *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoTracker, colo_tracker_free)

ColoTrackerKind colo_tracker_kind(const ColoTracker *t);

/*
 * Why AUTO took none of the kinds before this one, as text for an operator
 * ("uffd: ...; soft-dirty: ..."); empty if there is nothing to say.
 */
const char *colo_tracker_passed_over(const ColoTracker *t);

/*
 * OR into dirty (n_pages bits) the pages that must be copied again.
 * quiesced: nothing writes to the RAM during this call.
 * Fails when the process is gone (G_IO_ERROR_CLOSED) or the tracker broke;
 * the caller then starts over with a full copy.
 */
gboolean colo_tracker_collect(ColoTracker *t, ColoBitmap *dirty,
                              gboolean quiesced, GError **error);

/*
 * TRUE: the process has files for direct I/O, and to be told of their reads
 * makes the next quiesced collect faster.
 */
gboolean colo_tracker_wants_reads(const ColoTracker *t);

/*
 * Right before a quiesced collect: reads (copied) stands for how often the
 * process has read such files up to now, failures included, and none of its
 * reads is under way.  The same text as at the last quiesced collect, or at
 * the last colo_tracker_settle(), means that no read has ended since then,
 * so that none was under way then, either.  NULL: not known.
 */
void colo_tracker_reads(ColoTracker *t, const char *reads);

/*
 * Shortly before that, while the process runs: look at the pages that reads
 * may have written to; those that changed are set in dirty.  reads: as above,
 * but of a moment before the call, and reads may be under way.
 */
void colo_tracker_settle(ColoTracker *t, const char *reads, ColoBitmap *dirty);

/*
 * TRUE if colo_tracker_copied() must be called for each page copied.  With
 * uffd this may turn TRUE later (direct I/O was seen); calling it when it is
 * FALSE does nothing.
 */
gboolean colo_tracker_wants_copies(const ColoTracker *t);

/* data: the COLO_PAGE_SIZE bytes that were copied of this page. */
void colo_tracker_copied(ColoTracker *t, gsize page, const void *data);

/*
 * The same for n pages from page on that were zero: a hole of the RAM's file
 * was copied without reading it, which would have allocated it.
 */
void colo_tracker_copied_zero(ColoTracker *t, gsize page, gsize n);

#endif
