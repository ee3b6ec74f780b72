/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that fails as told, below the store: linked with --wrap. */
#include "tests/store/faults.h"
#include "blockrep/store/format.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

gint fault_write[FAULT_OTHER + 1], fault_sync[FAULT_OTHER + 1];
gint fault_allocate[FAULT_OTHER + 1];
gint fault_short, fault_state_late, fault_base_us;
static gint written[FAULT_FDS], synced[FAULT_FDS]; /* how often */
void (*fault_on_state_sync)(void);

ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t pos);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t pos);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);

void fault_reset(void)
{
    memset(fault_write, 0, sizeof(fault_write));
    memset(fault_sync, 0, sizeof(fault_sync));
    memset(fault_allocate, 0, sizeof(fault_allocate));
    memset(written, 0, sizeof(written));
    memset(synced, 0, sizeof(synced));
    fault_base_us = fault_short = fault_state_late = 0;
    fault_on_state_sync = NULL;
}

gboolean fault_is_dirty(int fd)
{
    return fd >= 0 && fd < FAULT_FDS &&
           g_atomic_int_get(&written[fd]) != g_atomic_int_get(&synced[fd]);
}

static FaultFile file_of(int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *path = g_file_read_link(link, NULL);

    if (!path) {
        return FAULT_OTHER;
    }
    return g_str_has_suffix(path, ".raw")     ? FAULT_BASE
           : g_str_has_suffix(path, ".log")   ? FAULT_LOG
           : g_str_has_suffix(path, "/state") ? FAULT_STATE
                                              : FAULT_OTHER;
}

static gboolean fails(const gint *table, FaultFile file)
{
    errno = g_atomic_int_get(&table[file]);
    return errno != 0;
}

/* All but its last bytes; what is left of the request fails. */
static ssize_t write_short(int fd, const struct iovec *v, int n, off_t pos,
                           gsize missing)
{
    gsize len = 0;
    struct iovec cut[3];

    g_assert_cmpint(n, ==, G_N_ELEMENTS(cut));
    for (int i = 0; i < n; i++) {
        cut[i] = v[i];
        len += v[i].iov_len;
    }
    g_assert_cmpuint(cut[n - 1].iov_len, >=, missing);
    cut[n - 1].iov_len -= missing;
    g_assert_cmpint(__real_pwritev(fd, cut, n, pos), ==, len - missing);
    g_atomic_int_set(&fault_write[FAULT_LOG], ENOSPC);
    return (ssize_t)(len - missing);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t pos)
{
    FaultFile file = file_of(fd);
    gint missing = g_atomic_int_get(&fault_short);

    if (fails(fault_write, file)) {
        /* Once for a request that was cut: what came before is there. */
        if (file == FAULT_LOG && missing) {
            g_atomic_int_set(&fault_short, 0);
            g_atomic_int_set(&fault_write[file], 0);
            errno = ENOSPC;
        }
        return -1;
    }
    if (file == FAULT_LOG && pos >= STORE_LOG_START) {
        if (missing) {
            return write_short(fd, v, n, pos, (gsize)missing);
        }
        g_assert_cmpint(fd, <, FAULT_FDS);
        g_atomic_int_inc(&written[fd]);
    }
    if (file == FAULT_STATE && g_atomic_int_get(&fault_state_late) &&
        v->iov_len > STORE_SNAPSHOT_HEADER) {
        g_assert_cmpint(__real_pwritev(fd, v, n, pos), ==, v->iov_len);
        errno = ENOSPC;
        return -1;
    }
    if (file == FAULT_BASE && g_atomic_int_get(&fault_base_us)) {
        g_usleep((gulong)g_atomic_int_get(&fault_base_us));
    }
    return __real_pwritev(fd, v, n, pos);
}

int __wrap_fdatasync(int fd)
{
    FaultFile file = file_of(fd);
    gint before = fd < FAULT_FDS ? g_atomic_int_get(&written[fd]) : 0;

    if (fails(fault_sync, file)) {
        return -1;
    }
    if (file == FAULT_LOG) {
        g_assert_cmpint(fd, <, FAULT_FDS);
        g_atomic_int_set(&synced[fd], before);
    } else if (file == FAULT_STATE && fault_on_state_sync) {
        fault_on_state_sync();
    }
    return 0;
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
    /* Holes need no space. */
    if (!(mode & 2 /* FALLOC_FL_PUNCH_HOLE */) &&
        fails(fault_allocate, file_of(fd))) {
        return -1;
    }
    return __real_fallocate(fd, mode, off, len);
}
