/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All of a request, whatever the kernel does at a time. */
#include "blockrep/store/file-io.h"

#include <errno.h>

typedef ssize_t (*VectorFunc)(int, const struct iovec *, int, off_t);

static int all(VectorFunc func, int fd, struct iovec *v, int n, guint64 pos)
{
    while (n) {
        ssize_t done;

        if (!v->iov_len) {
            v++;
            n--;
            continue;
        }
        done = func(fd, v, n, (off_t)pos);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done ? -errno : -EIO;
        }
        pos += (guint64)done;
        while (n && (gsize)done >= v->iov_len) {
            done -= (ssize_t)v->iov_len;
            v++;
            n--;
        }
        if (done) {
            v->iov_base = (guint8 *)v->iov_base + done;
            v->iov_len -= (gsize)done;
        }
    }
    return 0;
}

int store_preadv(int fd, struct iovec *v, int n, guint64 pos)
{
    return all(preadv, fd, v, n, pos);
}

int store_pwritev(int fd, struct iovec *v, int n, guint64 pos)
{
    return all(pwritev, fd, v, n, pos);
}

int store_pread(int fd, void *buf, gsize len, guint64 pos)
{
    struct iovec v = {buf, len};

    return store_preadv(fd, &v, 1, pos);
}

int store_pwrite(int fd, const void *buf, gsize len, guint64 pos)
{
    struct iovec v = {(void *)buf, len};

    return store_pwritev(fd, &v, 1, pos);
}
