/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the receiver holds of the primary. */
#include "colo/ft/ft-hold.h"
#include "colo/track/tracker.h" /* COLO_PAGE_SIZE */

#include <errno.h>
#include <gio/gio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <fcntl.h>
#include <string.h>

static int fallocate_all(int fd, off_t bytes)
{
    int r;

    do {
        r = fallocate(fd, 0, 0, bytes); /* a signal makes it start again */
    } while (r < 0 && errno == EINTR);
    return r;
}

FtHold *ft_hold_new(gsize n_pages, gsize state_room, GError **error)
{
    FtHold *h = g_new0(FtHold, 1);
    gsize bytes = n_pages * COLO_PAGE_SIZE;
    int fd = memfd_create("colo-cache", MFD_CLOEXEC);

    g_mutex_init(&h->lock);
    g_cond_init(&h->released);
    h->n_pages = n_pages;
    h->cache = MAP_FAILED;
    h->staged = colo_bitmap_new(n_pages);
    h->scratch = colo_bitmap_new(n_pages);
    h->state_room = MIN(state_room, FT_MAX_STATE);
    h->state = g_malloc(h->state_room);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fallocate_all(fd, (off_t)bytes) < 0 ||
        (h->cache = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_POPULATE, fd, 0)) == MAP_FAILED) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot allocate %zu MiB for the copy of the primary's "
                    "RAM: %s: the secondary's host needs memory for the "
                    "guest twice",
                    bytes >> 20, g_strerror(errno));
        g_clear_pointer(&h, ft_hold_free);
    }
    if (fd >= 0) {
        close(fd);
    }
    return h;
}

void ft_hold_free(FtHold *h)
{
    if (h) {
        if (h->cache != MAP_FAILED) {
            munmap(h->cache, h->n_pages * COLO_PAGE_SIZE);
        }
        colo_bitmap_free(h->staged);
        colo_bitmap_free(h->scratch);
        g_free(h->state);
        g_mutex_clear(&h->lock);
        g_cond_clear(&h->released);
        g_free(h);
    }
}

void ft_hold_reset(FtHold *h)
{
    g_mutex_lock(&h->lock);
    colo_bitmap_clear_all(h->staged);
    colo_bitmap_set(h->scratch, 0, h->n_pages);
    h->state_len = 0;
    h->open_epoch = 0;
    h->good = 0;
    h->epoch = 0;
    h->resumed_us = 0;
    h->committed = FALSE;
    g_mutex_unlock(&h->lock);
}

gboolean ft_hold_wait(FtHold *h, const gboolean *stop)
{
    gboolean go_on;

    g_mutex_lock(&h->lock);
    while (h->committed && !*stop) {
        g_cond_wait(&h->released, &h->lock);
    }
    go_on = !*stop;
    g_mutex_unlock(&h->lock);
    return go_on;
}

void ft_hold_release(FtHold *h)
{
    g_mutex_lock(&h->lock);
    h->committed = FALSE;
    g_cond_broadcast(&h->released);
    g_mutex_unlock(&h->lock);
}

gboolean ft_hold_is_committed(FtHold *h)
{
    gboolean committed;

    g_mutex_lock(&h->lock);
    committed = h->committed;
    g_mutex_unlock(&h->lock);
    return committed;
}

const char *ft_hold_begin(FtHold *h, guint16 id, const FtBegin *b)
{
    if (b->epoch != h->epoch + 1) {
        return "BEGIN of an epoch that does not follow the last";
    }
    if (!(b->flags & FT_BEGIN_INHERIT)) {
        colo_bitmap_clear_all(h->staged);
    }
    h->open_epoch = b->epoch;
    h->open_id = id;
    h->good = 1;
    h->pages = 0;
    h->chain = 0;
    h->state_len = 0;
    return NULL;
}

/*
 * Marked before, not after: a chunk that the stream leaves half read has
 * changed the cache as well, and a takeover must know where.
 */
void ft_hold_touch(FtHold *h, const FtRun *runs, guint n_runs)
{
    for (guint i = 0; i < n_runs; i++) {
        colo_bitmap_set(h->staged, runs[i].page, runs[i].n_pages);
    }
}

void ft_hold_expect(FtHold *h, const FtRun *runs, guint n_runs)
{
    for (guint i = 0; i < n_runs; i++) {
        colo_bitmap_set(h->scratch, runs[i].page, runs[i].n_pages);
    }
}

void ft_hold_pages(FtHold *h, const FtRun *runs, guint n_runs)
{
    for (guint i = 0; i < n_runs; i++) {
        gsize start = runs[i].page * COLO_PAGE_SIZE;
        gsize len = (gsize)runs[i].n_pages * COLO_PAGE_SIZE;

        if (runs[i].zero) {
            memset(h->cache + start, 0, len);
        }
        h->pages += runs[i].n_pages;
    }
}

const char *ft_hold_check(FtHold *h, const FtCommit *c)
{
    if (c->epoch != h->open_epoch || c->n_payloads != h->good ||
        c->n_pages != h->pages || !ft_sum_is(c->sum, h->chain)) {
        return "COMMIT does not match what was received";
    }
    if (c->state_len != h->state_len || !c->state_len) {
        return "device state is not complete";
    }
    return NULL;
}

void ft_hold_commit(FtHold *h, gint64 resumed_us)
{
    g_mutex_lock(&h->lock);
    h->epoch = h->open_epoch;
    /* What had failed was sent again before. */
    colo_bitmap_clear_all(h->scratch);
    h->committed_pages = h->pages;
    h->resumed_us = resumed_us;
    h->open_epoch = 0;
    h->good = 0;
    h->committed = TRUE;
    g_mutex_unlock(&h->lock);
}

void ft_hold_cancel(FtHold *h)
{
    h->open_epoch = 0;
    h->good = 0;
    h->state_len = 0;
}
