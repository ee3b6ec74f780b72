/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole reads and writes on the ft stream's socket.
 *
 * A stream is ended from another thread by shutting its socket down, or by
 * its stop descriptor (an eventfd) becoming readable: nothing here waits
 * for the peer alone.
 */
#ifndef COLO_FT_IO_H
#define COLO_FT_IO_H

#include <gio/gio.h>
#include <sys/uio.h>

typedef struct FtIo {
    int fd;         /* non-blocking stream socket */
    int stop_fd;    /* readable: give up (G_IO_ERROR_CANCELLED) */
    gint64 stall_us;/* no progress for so long: G_IO_ERROR_TIMED_OUT */
    gint64 end_us;  /* monotonic: nor is waited after it; 0: no such time */
    gboolean more;  /* what is written is only a frame's first part */
    int low_water;  /* SO_RCVLOWAT in force; 0: the socket's default */
} FtIo;

/*
 * Frames leave at once: a COMMIT that waits for more data (TCP's Nagle
 * algorithm) would cost each checkpoint a delayed acknowledgement.
 */
void ft_io_no_delay(int fd);

/*
 * Write or read exactly what iov describes; iov is changed.  TRUE, or
 * FALSE with error: G_IO_ERROR_CANCELLED, G_IO_ERROR_TIMED_OUT,
 * G_IO_ERROR_CONNECTION_CLOSED (end of stream), or the socket's error.
 */
gboolean ft_io_writev(FtIo *io, struct iovec *iov, int n, GError **error);
gboolean ft_io_readv(FtIo *io, struct iovec *iov, int n, GError **error);
gboolean ft_io_write(FtIo *io, const void *data, gsize len, GError **error);
gboolean ft_io_read(FtIo *io, void *data, gsize len, GError **error);

#endif
