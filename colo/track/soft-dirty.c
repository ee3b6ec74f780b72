/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking by the kernel's soft-dirty bits.
 *
 * The bit sits in a page table entry, is set by a write and cleared, for the
 * whole process, by /proc/PID/clear_refs.  Reading and clearing are two
 * steps, so it is cleared only while nothing writes; between two quiesced
 * collects the set of pages with the bit only grows, and those copied since
 * are told apart by a hash of the copy.  That also makes the in-flight
 * direct I/O of uffd.c harmless here.
 *
 * The bit goes away with the entry: when shared memory is swapped out or
 * collapsed into huge pages, when a hole is punched into it, on
 * MADV_DONTNEED.  So a page is also looked at when
 *
 * - the process has no entry for it;
 *
 * - we have none in a mapping of our own that only this file touches: what
 *   takes a page away from everybody (all of the above but MADV_DONTNEED)
 *   takes it from there too, while the process may have touched it again.
 *   It is touched by writing back a byte unchanged, since the kernel lets a
 *   reading fault bring in neighbours;
 *
 * - libcolotrack.so, if it is loaded there, logged it (discard-log.h).
 *
 * Looking at it is comparing the page with the hash of its last copy.
 */
#include "config.h"
#include "colo/track/discard-reader.h"
#include "colo/track/kernel-abi.h"
#include "colo/track/page-hash.h"
#include "colo/track/ram-extents.h"
#include "colo/track/tracker-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHUNK 16384     /* pages looked at in one go */
#define POPULATE_MAX 512 /* pages of one process_vm_readv() */

typedef struct SoftDirtyTracker {
    ColoTracker common;
    int pagemap;     /* of the process */
    int own_pagemap; /* ours */
    guint8 *watch;   /* our own mapping of the RAM, see above */
    int clear_refs;
    ColoDiscards *discards; /* NULL: none */
    ColoBitmap *discarded;
    ColoRamExtents *extents;
    ColoPageHash *copies;
    guint64 *theirs; /* CHUNK entries each */
    guint64 *ours;
    gboolean can_populate;
    gsize absent[POPULATE_MAX]; /* pages to give the process entries for */
    guint n_absent;
} SoftDirtyTracker;

/* The pagemap entries of n pages at addr. */
static gboolean read_entries(int fd, guint64 addr, gsize n, guint64 *entries,
                             GError **error)
{
    gsize done = 0, bytes = n * sizeof(entries[0]);
    off_t start = (off_t)(addr >> COLO_PAGE_SHIFT) * (off_t)sizeof(entries[0]);

    while (done < bytes) {
        ssize_t r = pread(fd, (char *)entries + done, bytes - done,
                          start + (off_t)done);
        int err = errno;

        if (r < 0 && err == EINTR) {
            continue;
        }
        if (r <= 0) {
            g_set_error(error, G_IO_ERROR,
                        r ? g_io_error_from_errno(err) : G_IO_ERROR_CLOSED,
                        "cannot read the page map at %#" G_GINT64_MODIFIER
                        "x: %s", addr,
                        r ? g_strerror(err) : "the process has ended");
            return FALSE;
        }
        done += (gsize)r;
    }
    return TRUE;
}

static gboolean clear_bits(int clear_refs, GError **error)
{
    if (pwrite(clear_refs, "4", 1, 0) == 1) {
        return TRUE;
    }
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                "cannot clear soft-dirty bits: %s", g_strerror(errno));
    return FALSE;
}

/* -1: error; else whether page has the bit, in our own process. */
static int own_bit(int pagemap, const void *page, GError **error)
{
    guint64 entry;

    if (!read_entries(pagemap, (guintptr)page, 1, &entry, error)) {
        return -1;
    }
    return !!(entry & COLO_PM_SOFT_DIRTY);
}

/*
 * A kernel without soft-dirty accepts clear_refs and never sets the bit;
 * one that did not clear it would still be right, but useless.
 */
static gboolean probe_page(int pagemap, int clear_refs, volatile guint8 *page,
                           GError **error)
{
    int cleared, set;

    *page = 1;
    if (!clear_bits(clear_refs, error) ||
        (cleared = own_bit(pagemap, (const void *)page, error)) < 0) {
        return FALSE;
    }
    *page = 2;
    set = own_bit(pagemap, (const void *)page, error);
    if (set >= 0 && (cleared || !set)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "this kernel has no soft-dirty bits "
                            "(CONFIG_MEM_SOFT_DIRTY)");
    }
    return set == 1 && !cleared;
}

static gboolean probe_kernel(int own_pagemap, GError **error)
{
    int clear_refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    void *page;
    gboolean ok;

    if (clear_refs < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot open /proc/self/clear_refs: %s",
                    g_strerror(errno));
        return FALSE;
    }
    page = mmap(NULL, COLO_PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert(page != MAP_FAILED);
    ok = probe_page(own_pagemap, clear_refs, page, error);
    munmap(page, COLO_PAGE_SIZE);
    close(clear_refs);
    return ok;
}

static gboolean soft_dirty_arm(ColoTracker *t, GError **error)
{
    SoftDirtyTracker *s = (SoftDirtyTracker *)t;

    s->pagemap = s->own_pagemap = s->clear_refs = -1;
    s->own_pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (s->own_pagemap < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot open /proc/self/pagemap: %s", g_strerror(errno));
        return FALSE;
    }
    if (!probe_kernel(s->own_pagemap, error) ||
        (s->pagemap = colo_track_open(t, "pagemap", O_RDONLY, error)) < 0 ||
        (s->clear_refs = colo_track_open(t, "clear_refs", O_WRONLY, error)) <
            0) {
        return FALSE;
    }
    s->extents = colo_ram_extents_new(t->target.ram, t->target.n_pages);
    s->watch = colo_ram_extents_map(s->extents, error);
    if (!s->watch) {
        return FALSE;
    }
    if (colo_ram_extents_hugetlb(s->extents)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "the kernel keeps no soft-dirty bits for huge "
                            "pages (hugetlbfs)");
        return FALSE;
    }
    s->discards = colo_discards_open(t, NULL);
    s->discarded = colo_bitmap_new(t->target.n_pages);
    s->copies = colo_page_hash_new(t->target.n_pages);
    s->theirs = g_new(guint64, CHUNK);
    s->ours = g_new(guint64, CHUNK);
    s->can_populate = TRUE;
    t->wants_copies = TRUE;
    /* Nothing was copied, so every page that may differ is reported. */
    return TRUE;
}

/*
 * Give the process page table entries, by reading: pages that only we have
 * touched (a restored guest's) would be compared at each collect for ever.
 * Quiesced only: the neighbours that come in with them were looked at.
 */
static void populate(SoftDirtyTracker *s)
{
    struct iovec remote[POPULATE_MAX], local;
    guint8 bytes[POPULATE_MAX];

    for (guint i = 0; i < s->n_absent; i++) {
        remote[i].iov_base = (void *)(guintptr)(
            s->common.target.addr + (s->absent[i] << COLO_PAGE_SHIFT));
        remote[i].iov_len = 1;
    }
    local = (struct iovec){bytes, s->n_absent};
    /* Where it is not allowed we are slower, not wrong. */
    if (s->n_absent && process_vm_readv(s->common.target.pid, &local, 1,
                                        remote, s->n_absent, 0) < 0) {
        s->can_populate = FALSE;
    }
    s->n_absent = 0;
}

/* The n pages from page on, whose entries are in theirs and ours. */
static void look_at_data(SoftDirtyTracker *s, gsize page, gsize n,
                         const guint64 *theirs, const guint64 *ours,
                         ColoBitmap *dirty, gboolean quiesced)
{
    for (gsize i = 0; i < n; i++) {
        if ((theirs[i] & COLO_PM_PRESENT) && (ours[i] & COLO_PM_PRESENT) &&
            !(theirs[i] & COLO_PM_SOFT_DIRTY) &&
            !colo_bitmap_test(s->discarded, page + i)) {
            continue;
        }
        guint8 *watched = s->watch + ((page + i) << COLO_PAGE_SHIFT);

        /* First touched, then compared: taken away later shows later. */
        __atomic_fetch_or(watched, 0, __ATOMIC_SEQ_CST);
        if (!colo_page_hash_is(s->copies, page + i, watched)) {
            colo_bitmap_set(dirty, page + i, 1);
        }
        if (!(theirs[i] & COLO_PM_PRESENT) && s->can_populate && quiesced) {
            s->absent[s->n_absent++] = page + i;
            if (s->n_absent == POPULATE_MAX) {
                populate(s);
            }
        }
    }
}

static gboolean look_at_chunk(SoftDirtyTracker *s, gsize page, gsize n,
                              ColoBitmap *dirty, gboolean quiesced,
                              GError **error)
{
    const ColoTrackTarget *target = &s->common.target;
    gsize end = page + n, run;
    gboolean data;

    if (!read_entries(s->pagemap,
                      target->addr + ((guint64)page << COLO_PAGE_SHIFT), n,
                      s->theirs, error) ||
        !read_entries(s->own_pagemap,
                      (guintptr)s->watch + (page << COLO_PAGE_SHIFT), n,
                      s->ours, error)) {
        return FALSE;
    }
    for (gsize at = page; at < end; at += run) {
        run = MIN(colo_ram_extents_run(s->extents, at, &data), end - at);
        if (data) {
            look_at_data(s, at, run, s->theirs + (at - page),
                         s->ours + (at - page), dirty, quiesced);
        } else {
            colo_page_hash_diff_zero(s->copies, at, run, dirty);
        }
    }
    return TRUE;
}

static gboolean soft_dirty_collect(ColoTracker *t, ColoBitmap *dirty,
                                   gboolean quiesced, GError **error)
{
    SoftDirtyTracker *s = (SoftDirtyTracker *)t;

    /* Kept until the quiesced collect, as the soft-dirty bits are. */
    if (s->discards) {
        colo_discards_take(s->discards, s->discarded);
    }
    for (gsize page = 0; page < t->target.n_pages; page += CHUNK) {
        if (!look_at_chunk(s, page, MIN(CHUNK, t->target.n_pages - page),
                           dirty, quiesced, error)) {
            return FALSE;
        }
    }
    if (quiesced) {
        if (!clear_bits(s->clear_refs, error)) {
            return FALSE;
        }
        colo_bitmap_clear_all(s->discarded);
        populate(s);
    }
    return TRUE;
}

static void soft_dirty_copied(ColoTracker *t, gsize page, const void *data)
{
    colo_page_hash_set(((SoftDirtyTracker *)t)->copies, page, data);
}

static void soft_dirty_free(ColoTracker *t)
{
    SoftDirtyTracker *s = (SoftDirtyTracker *)t;
    const int fds[] = {s->pagemap, s->own_pagemap, s->clear_refs};

    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] > 0) {
            close(fds[i]);
        }
    }
    if (s->watch) {
        munmap(s->watch, colo_track_bytes(t));
    }
    colo_discards_free(s->discards);
    colo_bitmap_free(s->discarded);
    colo_ram_extents_free(s->extents);
    colo_page_hash_free(s->copies);
    g_free(s->theirs);
    g_free(s->ours);
}

const ColoTrackOps colo_track_soft_dirty = {
    .kind = COLO_TRACKER_SOFT_DIRTY,
    .arm = soft_dirty_arm,
    .collect = soft_dirty_collect,
    .copied = soft_dirty_copied,
    .free = soft_dirty_free,
    .instance_size = sizeof(SoftDirtyTracker),
};
