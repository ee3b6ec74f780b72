/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folders that are damaged, of somebody else, or in use; and the check. */
#include "tests/store/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 4 << 20 };

/* Two epochs of which neither is merged, and something pending */
static void set_up(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp = fixture_new(SIZE);

    fixture_reboot(f); /* so that a test may do it again */
    fixture_open(f);
    check_write(f, PVM, 0, 65536, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 32768, 'b');
    check_write(f, PVM, 32768, 32768, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    check_write(f, PVM, 0, 65536, 'c');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    check_write(f, PVM, 0, 4096, 'p');
    fixture_wait_durable(f, 3);
}

static void tear_down(Fixture **fp, gconstpointer unused)
{
    fixture_free(*fp);
}

static void expect_error(Fixture *f, int code, const char *says)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(colo_store_open(&f->o, &error));
    g_assert_error(error, G_IO_ERROR, code);
    if (!strstr(error->message, says)) {
        g_error("'%s' does not say '%s'", error->message, says);
    }
}

/* The log of the nth layer from the bottom */
static char *log_path(Fixture *f, guint n)
{
    StoreLayer *l = f->s->sealed->pdata[n];
    g_autofree char *name = store_log_name(l->log->number);

    return g_build_filename(f->folder, name, NULL);
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char byte;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
    byte ^= 8;
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
    close(fd);
}

static gboolean check(Fixture *f, JsonNode **report)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node;
    gboolean ok;

    node = colo_store_check(f->base, NULL, &ok, &error);
    g_assert_no_error(error);
    g_assert_nonnull(node);
    g_assert_cmpint(
        json_object_get_boolean_member(json_node_get_object(node), "ok"), ==,
        ok);
    if (report) {
        *report = node;
    } else {
        json_node_unref(node);
    }
    return ok;
}

static void test_flipped(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autofree char *path = log_path(f, 0);

    g_assert_true(check(f, NULL));
    fixture_close(f);
    g_assert_true(check(f, NULL));
    flip(path, STORE_LOG_START + STORE_HEADER + 100);
    g_assert_false(check(f, NULL));
    expect_error(f, G_IO_ERROR_INVALID_DATA, "1 of 2 records are whole");
    fixture_reboot(f); /* it was durable */
    g_assert_false(check(f, NULL));
    expect_error(f, G_IO_ERROR_INVALID_DATA, "remove the folder");
    flip(path, STORE_LOG_START + STORE_HEADER + 100);
    fixture_open(f);
    check_filled(f, PVM, 0, 65536, 'c');
}

static void test_truncated(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autofree char *path = log_path(f, 1);

    fixture_close(f);
    g_assert_cmpint(truncate(path, STORE_LOG_START + 70000), ==, 0);
    fixture_open(f); /* was more than the records have */
    fixture_close(f);
    g_assert_cmpint(truncate(path, STORE_LOG_START + 30000), ==, 0);
    expect_error(f, G_IO_ERROR_INVALID_DATA, "0 of 1 records are whole");
    g_assert_cmpint(truncate(path, 10), ==, 0);
    expect_error(f, G_IO_ERROR_FAILED, "cannot read the log");
    g_assert_cmpint(unlink(path), ==, 0);
    expect_error(f, G_IO_ERROR_NOT_FOUND, "cannot read the log");
    g_assert_false(check(f, NULL));
}

/* The state says so; returns the path of the log of the nth layer. */
static char *close_with_durable(Fixture *f, guint64 durable, guint n)
{
    char *path;

    g_mutex_lock(&f->s->control);
    g_mutex_lock(&f->s->lock);
    f->s->durable = durable;
    f->s->serial++; /* the syncer, if it is at work, forgets what it did */
    path = log_path(f, n);
    store_break(f->s, "for this test"); /* and begins nothing more */
    g_mutex_unlock(&f->s->lock);
    g_assert_cmpint(store_save(f->s), ==, 0);
    g_mutex_unlock(&f->s->control);
    fixture_close(f);
    return path;
}

/* What had not reached the disk is cut off, with all above it. */
static void test_cut(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autoptr(JsonNode) report = NULL;
    g_autofree char *path = NULL;

    fixture_close(f);
    fixture_open(f);
    path = close_with_durable(f, 1, 1);
    flip(path, STORE_LOG_START + 3);
    g_assert_false(check(f, NULL)); /* in this boot it cannot be gone */
    fixture_reboot(f);
    g_assert_true(check(f, &report));
    fixture_open(f);
    g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
    check_filled(f, PVM, 0, 65536, 'b');
    g_assert_true(check(f, NULL));
}

/* An epoch of two logs, of which one is damaged: neither counts. */
static void test_cut_half(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autofree char *path = NULL;

    g_assert_cmpint(colo_store_unseal(f->s, 3), ==, 0);
    g_assert_cmpint(colo_store_seal(f->s, 4), ==, 0);
    g_assert_cmpuint(f->s->sealed->len, ==, 3);
    path = close_with_durable(f, 2, 2);
    flip(path, STORE_LOG_START + 3);
    fixture_reboot(f);
    fixture_open(f);
    g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
    check_filled(f, PVM, 0, 65536, 'b');
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    g_assert_cmpuint(fixture_status(f).index_bytes, ==, 0);
}

static void test_versions(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autofree char *log = log_path(f, 0);
    g_autofree char *state =
        g_build_filename(f->folder, STORE_STATE_NAME, NULL);

    fixture_close(f);
    flip(log, 4); /* the magic */
    expect_error(f, G_IO_ERROR_INVALID_DATA, "header of the log");
    flip(log, 4);
    flip(state, 30);
    expect_error(f, G_IO_ERROR_INVALID_DATA, "state is damaged");
    flip(state, 30);
    g_assert_cmpint(truncate(f->base, SIZE + 512), ==, 0);
    expect_error(f, G_IO_ERROR_INVALID_DATA, "the store is of one with");
    g_assert_cmpint(truncate(f->base, SIZE), ==, 0);
    g_assert_cmpint(unlink(state), ==, 0);
    expect_error(f, G_IO_ERROR_INVALID_DATA, "holds logs but no file");
    g_assert_cmpint(truncate(f->base, 0), ==, 0);
    expect_error(f, G_IO_ERROR_INVALID_DATA, "is empty");
    g_assert_cmpint(unlink(f->base), ==, 0);
    expect_error(f, G_IO_ERROR_NOT_FOUND, "cannot open the image");
    g_assert_cmpint(g_mkdir(f->base, 0700), ==, 0);
    expect_error(f, G_IO_ERROR_IS_DIRECTORY, "cannot open the image");
    g_assert_cmpint(g_rmdir(f->base), ==, 0);
}

/* A version of tomorrow, whole as it is, is refused by name. */
static void test_newer(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    StoreIdentity id = {.ring_blocks = 256, .base_size = SIZE};
    g_autofree char *state =
        g_build_filename(f->folder, STORE_STATE_NAME, NULL);
    guint8 h[STORE_HEADER];
    guint32 version;
    int fd;

    fixture_close(f);
    store_identity_encode(h, &id);
    h[8]++;
    *(guint64 *)(void *)(h + STORE_HEADER - 8) =
        GUINT64_TO_LE(store_data_sum(h, STORE_HEADER - 8));
    g_assert_false(store_identity_decode(h, &id, &version));
    g_assert_cmpuint(version, ==, STORE_VERSION + 1);
    fd = open(state, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, h, sizeof(h), 0), ==, sizeof(h));
    close(fd);
    expect_error(f, G_IO_ERROR_NOT_SUPPORTED, "has format 2");
}

/* One process at a time, and one store for an image */
static void test_locked(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autofree char *other = g_build_filename(f->dir, "other", NULL);
    g_autofree char *image = g_build_filename(f->dir, "image", NULL);
    g_autofree char *zeroes = g_malloc0(SIZE);
    pid_t pid;
    int status;

    expect_error(f, G_IO_ERROR_WOULD_BLOCK, "another process uses it");
    f->o.folder = other;
    expect_error(f, G_IO_ERROR_WOULD_BLOCK, "another process uses it");
    g_assert_true(g_file_set_contents(image, zeroes, SIZE, NULL));
    f->o.base = image;
    f->o.folder = f->folder;
    expect_error(f, G_IO_ERROR_WOULD_BLOCK, "end that first");
    f->o.base = f->base;
    f->o.folder = NULL;
    pid = fork();
    if (!pid) {
        _exit(colo_store_open(&f->o, NULL) ? 1 : 0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    check_filled(f, PVM, 0, 4096, 'p');
}

/* Logs that nobody names go; other files are none of our business. */
static void test_orphans(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    g_autofree char *name = store_log_name(4711);
    g_autofree char *orphan = g_build_filename(f->folder, name, NULL);
    g_autofree char *note = g_build_filename(f->folder, "README", NULL);

    fixture_close(f);
    g_assert_true(g_file_set_contents(orphan, "x", 1, NULL));
    g_assert_true(g_file_set_contents(note, "x", 1, NULL));
    fixture_open(f);
    g_assert_false(g_file_test(orphan, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(note, G_FILE_TEST_EXISTS));
    check_filled(f, PVM, 0, 4096, 'p');
}

/* A check beside a store that is at work finds nothing wrong. */
static gpointer check_on(gpointer user)
{
    Fixture *f = user;

    for (int i = 0; i < 60; i++) {
        g_assert_true(check(f, NULL));
    }
    g_atomic_int_set(&f->o.durability, COLO_DURABLE_FLUSH); /* done */
    return NULL;
}

static void test_live_check(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    GThread *t;

    store_sync_ms = store_merge_ms = 1;
    f->o.durability = COLO_DURABLE_EPOCH;
    t = g_thread_new("check", check_on, f);
    for (guint64 e = 4;
         g_atomic_int_get(&f->o.durability) == COLO_DURABLE_EPOCH; e++) {
        check_write(f, PVM, (e % 60) * 65536, 65536, (char)e);
        check_write(f, SVM, (e % 60) * 65536, 65536, 's');
        g_assert_cmpint(colo_store_seal(f->s, e), ==, 0);
        g_assert_cmpint(colo_store_load(f->s, e), ==, 0);
    }
    g_thread_join(t);
    store_sync_ms = store_merge_ms = 100;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/store/damage/" name, Fixture *, NULL, set_up, func, tear_down)
    ADD("flipped", test_flipped);
    ADD("truncated", test_truncated);
    ADD("cut", test_cut);
    ADD("cut-half", test_cut_half);
    ADD("versions", test_versions);
    ADD("newer", test_newer);
    ADD("locked", test_locked);
    ADD("orphans", test_orphans);
    ADD("live-check", test_live_check);
    return g_test_run();
}
