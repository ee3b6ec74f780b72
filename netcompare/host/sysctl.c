/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in /proc/sys. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netcompare/host/sysctl.h"

static int open_sysctl(const char *path, int flags, GError **error)
{
    g_autofree char *file = g_strconcat("/proc/sys/", path, NULL);
    int fd = open(file, flags | O_CLOEXEC);

    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot open %s: %s", file, g_strerror(errno));
    }
    return fd;
}

gboolean net_sysctl_get(const char *path, int *value, GError **error)
{
    char text[32];
    char *end;
    int fd = open_sysctl(path, O_RDONLY, error);
    ssize_t n;

    if (fd < 0) {
        return FALSE;
    }
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[MAX(n, 0)] = '\0';
    *value = (int)strtol(text, &end, 10);
    if (n <= 0 || end == text) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot read a number from /proc/sys/%s", path);
        return FALSE;
    }
    return TRUE;
}

gboolean net_sysctl_set(const char *path, int value, GError **error)
{
    char text[32];
    int n = g_snprintf(text, sizeof text, "%d\n", value);
    int fd = open_sysctl(path, O_WRONLY, error);
    ssize_t written;

    if (fd < 0) {
        return FALSE;
    }
    written = write(fd, text, (gsize)n);
    if (written != n) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot write %d to /proc/sys/%s: %s", value, path,
                    g_strerror(errno));
    }
    close(fd);
    return written == n;
}
