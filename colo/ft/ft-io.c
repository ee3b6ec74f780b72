/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole reads and writes on the ft stream's socket. */
#include "colo/ft/ft-io.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

void ft_io_no_delay(int fd)
{
    int one = 1;

    /* Fails on a UNIX socket, which needs nothing. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Less than one segment where those are largest: it must not delay an ACK */
#define LOW_WATER (32 * 1024)

static gboolean has_some(int fd)
{
    int bytes = 0;

    return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* Wait until the socket is ready for events; FALSE: give up. */
static gboolean wait_ready(FtIo *io, short events, GError **error)
{
    struct pollfd p[2] = {
        {.fd = io->fd, .events = events},
        {.fd = io->stop_fd, .events = POLLIN},
    };
    gint64 end = g_get_monotonic_time() + io->stall_us;

    for (;;) {
        gint64 now = g_get_monotonic_time();
        gint64 left = (io->end_us ? MIN(end, io->end_us) : end) - now;
        int r = left > 0 ? poll(p, 2, (int)(left / 1000 + 1)) : 0;

        if (r > 0 && p[1].revents) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                "the stream was stopped");
            return FALSE;
        }
        if (r > 0) {
            return TRUE;
        }
        if (r == 0 && io->end_us && g_get_monotonic_time() >= io->end_us) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "the peer did not %s all in time",
                        events == POLLIN ? "send" : "read");
            return FALSE;
        }
        if (r == 0 && events == POLLIN && has_some(io->fd)) {
            return TRUE; /* little came, below the low water: no stall */
        }
        if (r == 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "the peer did not %s for %.1f s",
                        events == POLLIN ? "send" : "read",
                        (double)io->stall_us / 1e6);
            return FALSE;
        }
        if (errno != EINTR) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                        "cannot poll the ft stream: %s", g_strerror(errno));
            return FALSE;
        }
    }
}

/* Account for done bytes at the front of iov. */
static void advance(struct iovec **iov, int *n, gsize done)
{
    while (*n && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }
    if (done) {
        (*iov)->iov_base = (guint8 *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
}

/*
 * Sleep until a good part of what is missing is there: a wake for each
 * segment that arrives would cost more than copying it.  Never more than is
 * missing, so that the wait ends with the frame.
 */
static void set_low_water(FtIo *io, const struct iovec *iov, int n)
{
    gsize missing = 0;
    int low;

    for (int i = 0; i < n && missing < LOW_WATER; i++) {
        missing += iov[i].iov_len;
    }
    low = missing < LOW_WATER ? 1 : LOW_WATER;
    if (low != MAX(io->low_water, 1) &&
        setsockopt(io->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)) == 0) {
        io->low_water = low;
    }
}

static gboolean transfer(FtIo *io, struct iovec *iov, int n, gboolean out,
                         GError **error)
{
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (io->more ? MSG_MORE : 0);

    advance(&iov, &n, 0);
    while (n) {
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = MIN(n, IOV_MAX)};
        ssize_t r = out ? sendmsg(io->fd, &m, flags)
                        : recvmsg(io->fd, &m, MSG_DONTWAIT);

        if (r > 0) {
            advance(&iov, &n, (gsize)r);
        } else if (r == 0) {
            g_set_error_literal(error, G_IO_ERROR,
                                G_IO_ERROR_CONNECTION_CLOSED,
                                "the peer closed the ft stream");
            return FALSE;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!out) {
                set_low_water(io, iov, n);
            }
            if (!wait_ready(io, out ? POLLOUT : POLLIN, error)) {
                return FALSE;
            }
        } else if (errno != EINTR) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                        "cannot %s the ft stream: %s",
                        out ? "write to" : "read from", g_strerror(errno));
            return FALSE;
        }
    }
    if (io->low_water > 1) {
        set_low_water(io, NULL, 0); /* the next frame may be short */
    }
    return TRUE;
}

gboolean ft_io_writev(FtIo *io, struct iovec *iov, int n, GError **error)
{
    return transfer(io, iov, n, TRUE, error);
}

gboolean ft_io_readv(FtIo *io, struct iovec *iov, int n, GError **error)
{
    return transfer(io, iov, n, FALSE, error);
}

gboolean ft_io_write(FtIo *io, const void *data, gsize len, GError **error)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = len};

    return transfer(io, &iov, 1, TRUE, error);
}

gboolean ft_io_read(FtIo *io, void *data, gsize len, GError **error)
{
    struct iovec iov = {.iov_base = data, .iov_len = len};

    return transfer(io, &iov, 1, FALSE, error);
}
