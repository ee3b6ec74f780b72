/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image below all layers: a raw file or a block device. */
#include "blockrep/store/base.h"
#include "blockrep/store/file-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean store_base_open(StoreBase *b, const char *path, gboolean writable,
                         GError **error)
{
    struct stat st;
    int e;

    *b = (StoreBase){0};
    b->fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (b->fd < 0 || fstat(b->fd, &st) < 0) {
        goto fail;
    }
    b->is_device = S_ISBLK(st.st_mode);
    if (b->is_device) {
        if (ioctl(b->fd, BLKGETSIZE64, &b->size) < 0) {
            goto fail;
        }
    } else if (S_ISREG(st.st_mode)) {
        b->size = (guint64)st.st_size;
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
                    "%s is neither a file nor a block device: the image must "
                    "be one of them",
                    path);
        store_base_close(b);
        return FALSE;
    }
    if (!b->size) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the image %s is empty: make it as large as the disk of "
                    "the primary (truncate -s SIZE)",
                    path);
        store_base_close(b);
        return FALSE;
    }
    if (writable && flock(b->fd, LOCK_EX | LOCK_NB) < 0) {
        e = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(e),
                    "cannot lock the image %s: %s%s", path, g_strerror(e),
                    e == EWOULDBLOCK ? ": another process uses it" : "");
        store_base_close(b);
        return FALSE;
    }
    return TRUE;
fail:
    e = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(e),
                "cannot open the image %s: %s", path, g_strerror(e));
    store_base_close(b);
    return FALSE;
}

void store_base_close(StoreBase *b)
{
    if (b->fd >= 0) {
        close(b->fd);
    }
    b->fd = -1;
}

static int allocate(int fd, int mode, guint64 off, guint64 len)
{
    int r;

    do {
        r = fallocate(fd, mode, (off_t)off, (off_t)len);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static int write_zeroes(int fd, guint64 off, guint64 len)
{
    static const guint8 zeroes[64 * 1024];

    while (len) {
        struct iovec v[16];
        guint64 n = 0;
        int i, r;

        for (i = 0; i < (int)G_N_ELEMENTS(v) && n < len; i++) {
            v[i].iov_base = (void *)zeroes;
            v[i].iov_len = MIN(sizeof(zeroes), len - n);
            n += v[i].iov_len;
        }
        r = store_pwritev(fd, v, i, off);
        if (r) {
            return r;
        }
        off += n;
        len -= n;
    }
    return 0;
}

int store_base_zero(StoreBase *b, guint64 off, guint64 len, gboolean punch)
{
    int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    int r = allocate(b->fd, punch ? hole : zero, off, len);

    if (r == -ENOSPC && !punch) {
        r = allocate(b->fd, hole, off, len); /* that it reads so comes first */
    }
    /* EINVAL: a device wants whole sectors */
    if (r == -EOPNOTSUPP || r == -EINVAL) {
        r = allocate(b->fd, punch ? zero : hole, off, len);
    }
    if (r == -EOPNOTSUPP || r == -EINVAL) {
        r = write_zeroes(b->fd, off, len);
    }
    return r;
}

gboolean store_base_is_data(const StoreBase *b, guint64 off, guint64 *end)
{
    off_t data, hole;

    if (b->is_device) {
        return TRUE;
    }
    data = lseek(b->fd, (off_t)off, SEEK_DATA);
    if (data < 0) {
        return errno != ENXIO; /* no data up to the end; or not known */
    }
    if ((guint64)data > off) {
        *end = MIN(*end, (guint64)data);
        return FALSE;
    }
    hole = lseek(b->fd, (off_t)off, SEEK_HOLE);
    if (hole > (off_t)off) {
        *end = MIN(*end, (guint64)hole);
    }
    return TRUE;
}
