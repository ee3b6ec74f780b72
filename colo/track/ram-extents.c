/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Data and holes of RAM, by SEEK_DATA and SEEK_HOLE on its file. */
#include "config.h"
#include "colo/track/ram-extents.h"
#include "colo/track/tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

struct ColoRamExtents {
    int fd;       /* -1: unknown */
    off_t offset; /* of the first page in the file */
    gsize n_pages;
};

/* The file that is mapped at ram, and where in it ram starts. */
static int open_mapped_file(guint64 ram, guint64 bytes, off_t *offset)
{
    g_autofree char *path = NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];

    if (!maps) {
        return -1;
    }
    while (!path && fgets(line, sizeof(line), maps)) {
        unsigned long start, end, from;

        if (sscanf(line, "%lx-%lx %*4s %lx", &start, &end, &from) == 3 &&
            start <= ram && ram + bytes <= end) {
            *offset = (off_t)(from + (ram - start));
            path = g_strdup_printf("/proc/self/map_files/%lx-%lx", start, end);
        }
    }
    fclose(maps);
    return path ? open(path, O_RDWR | O_CLOEXEC) : -1;
}

ColoRamExtents *colo_ram_extents_new(const void *ram, gsize n_pages)
{
    ColoRamExtents *e = g_new0(ColoRamExtents, 1);

    e->n_pages = n_pages;
    e->fd = open_mapped_file((guintptr)ram, (guint64)n_pages << COLO_PAGE_SHIFT,
                             &e->offset);
    return e;
}

void colo_ram_extents_free(ColoRamExtents *e)
{
    if (e) {
        if (e->fd >= 0) {
            close(e->fd);
        }
        g_free(e);
    }
}

gsize colo_ram_extents_run(ColoRamExtents *e, gsize page, gboolean *data)
{
    off_t here = e->offset + ((off_t)page << COLO_PAGE_SHIFT), next;
    gsize n = page < e->n_pages ? e->n_pages - page : 0;

    *data = TRUE;
    if (e->fd < 0 || !n) {
        return n;
    }
    next = lseek(e->fd, here, SEEK_DATA);
    if (next < 0 && errno != ENXIO) {
        return n;
    }
    *data = next == here;
    if (*data) {
        next = lseek(e->fd, here, SEEK_HOLE);
    }
    if (next <= here) {
        return n; /* no further data, or none of what was asked known */
    }
    /* Outwards for data: a page with any memory behind it is data. */
    next -= e->offset;
    next = *data ? (next + COLO_PAGE_SIZE - 1) >> COLO_PAGE_SHIFT
                 : next >> COLO_PAGE_SHIFT;
    return MIN(n, (gsize)next - page);
}

gboolean colo_ram_extents_hugetlb(const ColoRamExtents *e)
{
    struct statfs fs;

    return e->fd >= 0 && fstatfs(e->fd, &fs) == 0 &&
           (guint32)fs.f_type == HUGETLBFS_MAGIC;
}

guint8 *colo_ram_extents_map(const ColoRamExtents *e, GError **error)
{
    void *p = MAP_FAILED;

    errno = ENOENT;
    if (e->fd >= 0) {
        p = mmap(NULL, e->n_pages << COLO_PAGE_SHIFT, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_NORESERVE, e->fd, e->offset);
    }
    if (p == MAP_FAILED) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot map the RAM's file from /proc/self/map_files: %s "
                    "(CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE is needed)",
                    g_strerror(errno));
        return NULL;
    }
    return p;
}
