/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for files opened with O_DIRECT in /proc/PID/fdinfo. */
#include "config.h"
#include "colo/track/direct-io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FALSE only if the file is known not to be opened with O_DIRECT. */
static gboolean is_direct(int dir, const char *name)
{
    char text[256], *flags;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0) {
        return FALSE; /* closed since the folder was read */
    }
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (len <= 0) {
        return FALSE;
    }
    text[len] = '\0';
    flags = strstr(text, "flags:");
    return !flags || (strtoul(flags + strlen("flags:"), NULL, 8) & O_DIRECT);
}

gboolean colo_track_has_direct_io(int proc_fd)
{
    int fd = openat(proc_fd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    gboolean direct = FALSE;
    struct dirent *entry;

    if (!dir) {
        if (fd >= 0) {
            close(fd);
        }
        return TRUE;
    }
    while (!direct && (entry = readdir(dir))) {
        direct = entry->d_name[0] != '.' &&
                 is_direct(dirfd(dir), entry->d_name);
    }
    closedir(dir);
    return direct;
}
