/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who uses a store or an image, so that coloctl keeps its hands off. */
#include "colo/ctl/ctl-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU's image locking (block/file-posix.c): a byte for each right that one
 * has, another for each that one leaves to nobody else. */
enum {
    HAS = 100,
    LEAVES_NOT = 200,
    RIGHTS = 100,
    CONSISTENT_READ = 0,
    WRITE = 1,
};

static gboolean has_open(const char *pid, const struct stat *file)
{
    g_autofree char *path = g_build_filename("/proc", pid, "fd", NULL);
    g_autoptr(GDir) fds = g_dir_open(path, 0, NULL);
    const char *name;

    while (fds && (name = g_dir_read_name(fds))) {
        g_autofree char *fd = g_build_filename(path, name, NULL);
        struct stat st;

        if (stat(fd, &st) == 0 && st.st_dev == file->st_dev &&
            st.st_ino == file->st_ino) {
            return TRUE;
        }
    }
    return FALSE;
}

static char *program_of(const char *pid)
{
    g_autofree char *path = g_build_filename("/proc", pid, "comm", NULL);
    char *name = NULL;

    return g_file_get_contents(path, &name, NULL, NULL) ? g_strchomp(name)
                                                        : g_strdup("a program");
}

pid_t disk_holder(const char *folder, char **program)
{
    g_autofree char *path = g_build_filename(folder, "lock", NULL);
    g_autoptr(GDir) all = NULL;
    const char *name;
    struct stat file;

    *program = NULL;
    if (stat(path, &file) < 0) {
        return 0;
    }
    all = g_dir_open("/proc", 0, NULL);
    while (all && (name = g_dir_read_name(all))) {
        gint64 pid;

        /* Who has the file open has it locked, or is about to. */
        if (g_ascii_string_to_signed(name, 10, 1, G_MAXINT32, &pid, NULL) &&
            pid != getpid() && has_open(name, &file)) {
            *program = program_of(name);
            return (pid_t)pid;
        }
    }
    return 0;
}

static int lock_byte(int fd, off_t byte)
{
    struct flock l = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &l);
}

/* 1: another has any of its bytes */
static int is_locked(int fd)
{
    struct flock l = {.l_type = F_WRLCK,
                      .l_whence = SEEK_SET,
                      .l_start = HAS,
                      .l_len = LEAVES_NOT + RIGHTS - HAS};

    if (fcntl(fd, F_OFD_GETLK, &l) < 0) {
        return -1;
    }
    return l.l_type != F_UNLCK;
}

int disk_lock_image(const char *image, GError **error)
{
    static const off_t bytes[] = {HAS + WRITE, LEAVES_NOT + WRITE,
                                  LEAVES_NOT + CONSISTENT_READ};
    int fd = open(image, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot open the image %s: %s", image, g_strerror(errno));
        return -1;
    }
    r = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(bytes) && !r; i++) {
        r = lock_byte(fd, bytes[i]);
    }
    r = r ? r : is_locked(fd);
    if (!r) {
        return fd;
    }
    if (r < 0 && errno != EAGAIN && errno != EACCES) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot lock the image %s: %s", image, g_strerror(errno));
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "a QEMU or one of its tools uses the image %s: end that "
                    "first",
                    image);
    }
    close(fd);
    return -1;
}
