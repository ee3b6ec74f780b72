/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks for files opened with O_DIRECT in /proc/PID/fdinfo, and for files on
 * FUSE, whose server may have them read past the page cache whatever their
 * flags are.
 *
 * On which file system a file is, is told by its mount's number.  fstatfs(2)
 * would ask the server (of NFS, too) and wait for it if it hangs.
 */
#include "config.h"
#include "colo/track/direct-io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * FALSE only if the file is known not to be opened with O_DIRECT; the number
 * of its mount is added to mounts.
 */
static gboolean is_direct(int dir, const char *name, GHashTable *mounts)
{
    char text[256], *flags, *mount;
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
    mount = strstr(text, "mnt_id:");
    if (!flags || !mount) {
        return TRUE;
    }
    g_hash_table_add(mounts, GINT_TO_POINTER(atoi(mount + strlen("mnt_id:"))));
    return (strtoul(flags + strlen("flags:"), NULL, 8) & O_DIRECT) != 0;
}

/* "fuse.sshfs", "fuseblk", ...; virtiofs is FUSE as well. */
static gboolean is_fuse(const char *type)
{
    return g_str_has_prefix(type, "fuse") ||
           g_str_has_prefix(type, "virtiofs ");
}

/* FALSE only if none of mounts is known to be FUSE by this mountinfo. */
static gboolean has_fuse(const char *path, GHashTable *mounts)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return TRUE;
    }
    for (const char *line = text; line; line = strchr(line, '\n')) {
        const char *type;

        line += *line == '\n';
        /* No other field is a dash: spaces in names are written as \040. */
        type = strstr(line, " - ");
        if (!type) {
            break;
        }
        if (is_fuse(type + strlen(" - ")) &&
            g_hash_table_contains(mounts, GINT_TO_POINTER(atoi(line)))) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean colo_track_has_direct_io(int proc_fd)
{
    g_autoptr(GHashTable) mounts = g_hash_table_new(NULL, NULL);
    int fd = openat(proc_fd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    gboolean direct = FALSE;
    struct dirent *entry;
    char path[64];

    if (!dir) {
        if (fd >= 0) {
            close(fd);
        }
        return TRUE;
    }
    while (!direct && (entry = readdir(dir))) {
        direct = entry->d_name[0] != '.' &&
                 is_direct(dirfd(dir), entry->d_name, mounts);
    }
    closedir(dir);
    if (direct) {
        return TRUE;
    }
    /* Descriptors that it was given may be of the mounts seen from here. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d/mountinfo", proc_fd);
    return has_fuse(path, mounts) || has_fuse("/proc/self/mountinfo", mounts);
}
