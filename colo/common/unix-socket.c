/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix stream sockets: connecting in bounded time, replacing stale ones. */
#include "colo/common/unix-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 16, PROBE_TIMEOUT_US = 200 * 1000 };

static void set_errno(GError **error, int err, const char *doing,
                      const char *path)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                "cannot %s unix socket %s: %s", doing, path, g_strerror(err));
}

static gboolean make_address(struct sockaddr_un *sa, const char *path,
                             GError **error)
{
    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    if (!*path || strlen(path) >= sizeof(sa->sun_path)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the path of unix socket \"%s\" must have 1 to %zu bytes",
                    path, sizeof(sa->sun_path) - 1);
        return FALSE;
    }
    strcpy(sa->sun_path, path);
    return TRUE;
}

/* Returns 0 or an errno value; the descriptor stays open either way. */
static int connect_within(int fd, const struct sockaddr_un *sa,
                          gint64 timeout_us)
{
    /*
     * A full backlog is waited for inside connect(2), bounded by the
     * socket's send timeout; poll(2) would not wait for it.
     */
    struct timeval tv = {0}, none = {0};
    int err = 0;

    timeout_us = MAX(timeout_us, 1000);
    tv.tv_sec = timeout_us / G_USEC_PER_SEC;
    tv.tv_usec = timeout_us % G_USEC_PER_SEC;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ||
        connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
        err = errno == EAGAIN ? ETIMEDOUT : errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
    return err;
}

int colo_unix_connect(const char *path, gint64 timeout_us, GError **error)
{
    struct sockaddr_un sa;
    int fd, err;

    if (!make_address(&sa, path, error)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    err = fd < 0 ? errno : connect_within(fd, &sa, timeout_us);
    if (err) {
        set_errno(error, err, "connect to", path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* Make room at path: nothing there, or a socket without an owner. */
static gboolean remove_stale(const struct sockaddr_un *sa, GError **error)
{
    const char *path = sa->sun_path;
    struct stat st;
    int fd, err;

    if (lstat(path, &st) < 0) {
        return TRUE; /* whatever it was, bind(2) will say */
    }
    if (!S_ISSOCK(st.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "cannot listen at %s: a file that is no socket is there",
                    path);
        return FALSE;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        set_errno(error, errno, "make", path);
        return FALSE;
    }
    err = connect_within(fd, sa, PROBE_TIMEOUT_US);
    close(fd);
    if (err == ECONNREFUSED) {
        if (unlink(path) == 0 || errno == ENOENT) {
            return TRUE;
        }
        set_errno(error, errno, "remove the stale", path);
        return FALSE;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                "cannot listen at %s: another process listens there already",
                path);
    return FALSE;
}

int colo_unix_listen(const char *path, mode_t mode, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    struct sockaddr_un sa;
    int fd;

    if (!make_address(&sa, path, error)) {
        return -1;
    }
    if (g_mkdir_with_parents(folder, 0755) < 0) {
        int err = errno;

        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                    "cannot make folder %s of unix socket %s: %s", folder, path,
                    g_strerror(err));
        return -1;
    }
    if (!remove_stale(&sa, error)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* fchmod(2) before bind(2): there is no moment with a wider mode. */
    if (fd < 0 || fchmod(fd, mode) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        listen(fd, BACKLOG) < 0) {
        set_errno(error, errno, "listen at", path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}
