/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All of a request, whatever the kernel does at a time: 0 or -errno.
 * Reading past the end of a file is -EIO.
 */
#ifndef COLO_STORE_FILE_IO_H
#define COLO_STORE_FILE_IO_H

#include <glib.h>
#include <sys/uio.h>

int store_pread(int fd, void *buf, gsize len, guint64 pos);
int store_pwrite(int fd, const void *buf, gsize len, guint64 pos);
/* v is used up. */
int store_preadv(int fd, struct iovec *v, int n, guint64 pos);
int store_pwritev(int fd, struct iovec *v, int n, guint64 pos);

#endif
