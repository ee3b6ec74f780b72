/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the discard log of a tracked process.
 *
 * What the process wrote is not trusted: the seals are checked before
 * anything is mapped, the numbers against the file's size.
 */
#include "config.h"
#include "colo/track/discard-reader.h"
#include "colo/track/discard-log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_TEXT "/memfd:" COLO_DISCARD_NAME " (deleted)"

struct ColoDiscards {
    ColoDiscardHeader *log;
    gsize bytes;
    gsize first; /* the target's first page, counted from the log's */
    gsize n_pages;
};

static gboolean covers(const ColoDiscardHeader *log, gsize bytes,
                       const ColoTrackTarget *target)
{
    return !memcmp(log->magic, COLO_DISCARD_MAGIC, sizeof(log->magic)) &&
           log->n_pages <= (bytes - COLO_DISCARD_HEADER) * 8 &&
           log->addr % COLO_PAGE_SIZE == 0 && log->addr <= target->addr &&
           (target->addr - log->addr) >> COLO_PAGE_SHIFT <= log->n_pages &&
           target->n_pages <=
               log->n_pages - ((target->addr - log->addr) >> COLO_PAGE_SHIFT);
}

/* Map the log behind fd if it is one and covers the target. */
static ColoDiscards *map_log(int fd, const ColoTrackTarget *target)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat st;
    ColoDiscards *d;
    gsize bytes;
    void *p;

    if (fstat(fd, &st) < 0 || st.st_size < (off_t)COLO_DISCARD_HEADER ||
        (fcntl(fd, F_GET_SEALS) & seals) != seals) {
        return NULL;
    }
    bytes = (gsize)st.st_size;
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    if (!covers(p, bytes, target)) {
        munmap(p, bytes);
        return NULL;
    }
    d = g_new0(ColoDiscards, 1);
    d->log = p;
    d->bytes = bytes;
    d->first = (target->addr - d->log->addr) >> COLO_PAGE_SHIFT;
    d->n_pages = target->n_pages;
    return d;
}

static ColoDiscards *try_entry(int dir, const char *name,
                               const ColoTrackTarget *target)
{
    char text[sizeof(LINK_TEXT)];
    ssize_t len = readlinkat(dir, name, text, sizeof(text));
    ColoDiscards *d;
    int fd;

    if (len != sizeof(LINK_TEXT) - 1 || memcmp(text, LINK_TEXT, (gsize)len)) {
        return NULL;
    }
    fd = openat(dir, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    d = map_log(fd, target);
    close(fd);
    return d;
}

ColoDiscards *colo_discards_open(const ColoTracker *t, GError **error)
{
    int fd = colo_track_open(t, "fd", O_RDONLY | O_DIRECTORY, error);
    ColoDiscards *d = NULL;
    struct dirent *entry;
    DIR *dir;

    if (fd < 0) {
        return NULL;
    }
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot list /proc/%d/fd", (int)t->target.pid);
        return NULL;
    }
    while (!d && (entry = readdir(dir))) {
        d = try_entry(dirfd(dir), entry->d_name, &t->target);
    }
    closedir(dir);
    if (!d) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "libcolotrack.so does not track this RAM in process %d: "
                    "start QEMU by colo-qemu",
                    (int)t->target.pid);
    }
    return d;
}

void colo_discards_free(ColoDiscards *d)
{
    if (d) {
        munmap(d->log, d->bytes);
        g_free(d);
    }
}

gboolean colo_discards_armable(const ColoDiscards *d, char **reason)
{
    if (__atomic_load_n(&d->log->armable, __ATOMIC_RELAXED) == 1) {
        return TRUE;
    }
    /* It may hold anything: text for an operator is printable. */
    *reason = g_strndup(d->log->reason, sizeof(d->log->reason));
    g_strcanon(*reason, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS " ,.:-()_",
               '?');
    return FALSE;
}

void colo_discards_take(ColoDiscards *d, ColoBitmap *dirty)
{
    guint64 *words = (guint64 *)((char *)d->log + COLO_DISCARD_HEADER);
    gsize first = d->first, end = d->first + d->n_pages;

    for (gsize w = first / 64; w <= (end - 1) / 64; w++) {
        guint64 bits;

        if (!__atomic_load_n(&words[w], __ATOMIC_RELAXED)) {
            continue;
        }
        bits = __atomic_exchange_n(&words[w], 0, __ATOMIC_ACQ_REL);
        while (bits) {
            gsize page = w * 64 + (gsize)__builtin_ctzll(bits);

            bits &= bits - 1;
            if (page >= first && page < end) {
                colo_bitmap_set(dirty, page - first, 1);
            }
        }
    }
}
