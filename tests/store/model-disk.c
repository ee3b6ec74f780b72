/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk with a volatile cache, below the store: the linker gives us its
 * writes and syncs (--wrap).
 *
 * A sync copies the file into a shadow folder.  After a power loss each 512
 * bytes of a file are as in the shadow or as in the live one, whatever falls
 * together; a name that was not synced is there or not.  Bits may be flipped
 * in what was not synced, but not in what is beside it in the same 512 bytes.
 */
#include "tests/store/model.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, CHUNK = 64 * 1024 };

static char *live_dir, *shadow_dir;
static gint calls_left; /* 0: for ever */
static guint slowness;  /* us */

ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t pos);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t pos);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);

void disk_die_after(guint calls)
{
    g_atomic_int_set(&calls_left, (gint)calls);
}

void disk_is_slow(guint us)
{
    slowness = us;
}

static gboolean is_last_call(void)
{
    return g_atomic_int_get(&calls_left) > 0 &&
           g_atomic_int_dec_and_test(&calls_left);
}

static void die(void)
{
    model_lock();
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

static void copy_file(const char *from, const char *to)
{
    g_autofree char *a = g_malloc(CHUNK), *b = g_malloc(CHUNK);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    ssize_t n;

    g_assert_cmpint(out, >=, 0);
    if (in < 0) { /* just unlinked */
        close(out);
        return;
    }
    for (off_t off = 0; (n = pread(in, a, CHUNK, off)) > 0; off += n) {
        if (pread(out, b, (gsize)n, off) != n || memcmp(a, b, (gsize)n)) {
            g_assert_cmpint(pwrite(out, a, (gsize)n, off), ==, n);
        }
    }
    g_assert_cmpint(fstat(in, &st), ==, 0);
    g_assert_cmpint(__real_ftruncate(out, st.st_size), ==, 0);
    close(in);
    close(out);
}

void disk_copy_all(const char *from, const char *to)
{
    g_autoptr(GDir) d = g_dir_open(from, 0, NULL);
    const char *name;

    g_mkdir_with_parents(to, 0700);
    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *a = g_build_filename(from, name, NULL);
        g_autofree char *b = g_build_filename(to, name, NULL);

        if (g_file_test(a, G_FILE_TEST_IS_DIR)) {
            disk_copy_all(a, b);
        } else {
            copy_file(a, b);
        }
    }
}

void disk_shadow(const char *live, const char *shadow)
{
    live_dir = g_strdup(live);
    shadow_dir = g_strdup(shadow);
}

/* Where a file of ours has its shadow; NULL: none of ours. */
static char *shadow_of(int fd, char **live)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *path = NULL;

    if (!live_dir) {
        return NULL;
    }
    path = g_file_read_link(link, NULL);
    if (!path || !g_str_has_prefix(path, live_dir) ||
        g_str_has_suffix(path, " (deleted)")) {
        return NULL;
    }
    *live = g_steal_pointer(&path);
    return g_strconcat(shadow_dir, *live + strlen(live_dir), NULL);
}

/* The names are on the disk from now on; what they hold is not. */
static void sync_names(const char *live, const char *shadow)
{
    g_autoptr(GDir) a = g_dir_open(live, 0, NULL);
    g_autoptr(GDir) b = NULL;
    const char *name;

    g_mkdir_with_parents(shadow, 0700);
    while (a && (name = g_dir_read_name(a))) {
        g_autofree char *to = g_build_filename(shadow, name, NULL);
        g_autofree char *from = g_build_filename(live, name, NULL);

        if (!g_strcmp0(name, STORE_STATE_NAME)) {
            copy_file(from, to); /* was synced under its first name */
        } else if (!g_file_test(from, G_FILE_TEST_IS_DIR)) {
            close(open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        }
    }
    b = g_dir_open(shadow, 0, NULL);
    while (b && (name = g_dir_read_name(b))) {
        g_autofree char *from = g_build_filename(live, name, NULL);
        g_autofree char *to = g_build_filename(shadow, name, NULL);

        if (!g_file_test(from, G_FILE_TEST_EXISTS)) {
            g_unlink(to);
        }
    }
}

/* One at a time: else one could put back what it read before the other. */
static void sync_to_shadow(int fd)
{
    static GMutex lock;
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&lock);
    g_autofree char *live = NULL;
    g_autofree char *shadow = shadow_of(fd, &live);

    if (shadow && g_file_test(live, G_FILE_TEST_IS_DIR)) {
        sync_names(live, shadow);
    } else if (shadow) {
        g_autofree char *folder = g_path_get_dirname(shadow);

        g_mkdir_with_parents(folder, 0700);
        copy_file(live, shadow);
    }
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t pos)
{
    ssize_t r;

    if (is_last_call()) {
        /* Some of it */
        for (int i = 0; i < n; i++) {
            gsize len = v[i].iov_len;

            if (i == n - 1 || g_random_int_range(0, 3) == 0) {
                len = len ? (gsize)g_random_int_range(0, (gint)len + 1) : 0;
            }
            if (len && pwrite(fd, v[i].iov_base, len, pos) < 0) {
                break;
            }
            pos += (off_t)v[i].iov_len;
            if (len != v[i].iov_len) {
                break;
            }
        }
        die();
    }
    r = __real_pwritev(fd, v, n, pos);
    return r;
}

int __wrap_fdatasync(int fd)
{
    if (is_last_call()) {
        die();
    }
    if (slowness && gettid() != getpid()) {
        g_usleep((gulong)g_random_int_range(0, (gint)slowness));
    }
    sync_to_shadow(fd);
    if (is_last_call()) {
        die();
    }
    return 0;
}

int __wrap_fsync(int fd)
{
    return __wrap_fdatasync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
    if (is_last_call()) {
        die();
    }
    return __real_fallocate(fd, mode, off, len);
}

int __wrap_ftruncate(int fd, off_t len)
{
    if (is_last_call()) {
        die();
    }
    return __real_ftruncate(fd, len);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
    if (is_last_call()) {
        die();
    }
    return __real_unlinkat(fd, name, flags);
}

static char *read_file(const char *path, gsize *len)
{
    char *bytes = NULL;

    *len = 0;
    g_file_get_contents(path, &bytes, len, NULL);
    return bytes;
}

/* Each sector from one or the other; some bits that are unsynced are flipped */
static void mix(const char *live, const char *shadow, Model *m)
{
    gsize a_len, b_len, len;
    g_autofree char *a = read_file(live, &a_len);
    g_autofree char *b = read_file(shadow, &b_len);
    guint bias = model_random(m, 5); /* of 4: how much reached the disk */
    /* A plain image cannot know of a flipped bit. */
    gboolean summed = !g_str_has_suffix(live, ".raw");
    g_autofree char *out = NULL;

    if (!b && model_random(m, 2)) {
        g_unlink(live);
        return;
    }
    if (!a && model_random(m, 2)) {
        return; /* unlinked, and stays so */
    }
    len = MAX(a_len, b_len);
    out = g_malloc0(len + 1);
    for (gsize at = 0; at < len; at += SECTOR) {
        gsize n = MIN(SECTOR, len - at);
        gboolean in_a = at < a_len, in_b = at < b_len;

        if (in_b) {
            memcpy(out + at, b + at, MIN(n, b_len - at));
        }
        if (in_a && model_random(m, 4) < bias) {
            gsize k = at + model_random(m, (guint32)n);

            memcpy(out + at, a + at, MIN(n, a_len - at));
            if (summed && model_random(m, 20) == 0 &&
                (k >= b_len || k >= a_len || a[k] != b[k])) {
                out[k] ^= (char)(1 << model_random(m, 8));
            }
        }
    }
    if (b && a && a_len > b_len && model_random(m, 2)) {
        len = b_len + model_random(m, (guint32)(a_len - b_len));
    }
    g_assert_true(g_file_set_contents_full(
        live, out, (gssize)len, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/* Of a state that was synced and then given its name: one name or the other. */
static void lose_rename(const char *live, const char *shadow, Model *m)
{
    g_autofree char *a = g_build_filename(live, STORE_STATE_NAME, NULL);
    g_autofree char *b = g_build_filename(shadow, STORE_STATE_NAME, NULL);
    g_autofree char *a_new = g_strconcat(a, ".new", NULL);
    g_autofree char *b_new = g_strconcat(b, ".new", NULL);

    if (g_file_test(a, G_FILE_TEST_EXISTS) &&
        !g_file_test(b, G_FILE_TEST_EXISTS) &&
        g_file_test(b_new, G_FILE_TEST_EXISTS)) {
        gboolean lost = model_random(m, 2);

        g_assert_cmpint(
            lost ? g_rename(a, a_new) : g_rename(b_new, b), ==, 0);
    }
}

void disk_power_loss(const char *live, const char *shadow, Model *m)
{
    const char *dirs[] = {live, shadow};
    g_autoptr(GHashTable) names =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GList) sorted = NULL;

    lose_rename(live, shadow, m);
    for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autoptr(GDir) d = g_dir_open(dirs[i], 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
            g_hash_table_add(names, g_strdup(name));
        }
    }
    sorted = g_list_sort(g_hash_table_get_keys(names), (GCompareFunc)strcmp);
    for (GList *l = sorted; l; l = l->next) {
        g_autofree char *a = g_build_filename(live, l->data, NULL);
        g_autofree char *b = g_build_filename(shadow, l->data, NULL);

        if (g_file_test(a, G_FILE_TEST_IS_DIR) ||
            g_file_test(b, G_FILE_TEST_IS_DIR)) {
            g_mkdir_with_parents(a, 0700);
            g_mkdir_with_parents(b, 0700);
            disk_power_loss(a, b, m);
        } else {
            mix(a, b, m);
            /* What was found is on the disk, whatever was synced before. */
            g_unlink(b);
            if (g_file_test(a, G_FILE_TEST_EXISTS)) {
                copy_file(a, b);
            }
        }
    }
}
