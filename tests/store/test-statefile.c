/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: the newest whole snapshot counts, whatever is broken. */
#include "blockrep/store/statefile.h"
#include "blockrep/store/file-io.h"
#include "tests/common/scratch.h"
#include "tests/store/fixture.h"

#include <fcntl.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };

typedef struct Files {
    char *dir;
    int folder;
    StoreState *f;
} Files;

static void set_up(Files *t, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    t->dir = test_dir_new();
    t->folder = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    t->f = store_state_create(t->folder, SIZE, &error);
    g_assert_no_error(error);
}

static void tear_down(Files *t, gconstpointer unused)
{
    store_state_close(t->f);
    close(t->folder);
    scratch_remove(t->dir);
    g_free(t->dir);
}

static void write_epoch(Files *t, guint64 epoch, guint layers)
{
    StoreSnapshot s = {.state = COLO_STORE_STANDBY,
                       .epoch = epoch,
                       .before = epoch - 1,
                       .loaded = epoch / 2,
                       .next_number = layers + 1,
                       .n = layers,
                       .layers = g_new0(StoreLayerInfo, layers)};

    for (guint i = 0; i < layers; i++) {
        s.layers[i] = (StoreLayerInfo){
            .role = STORE_ROLE_SEALED,
            .frozen = TRUE,
            .number = i + 1,
            .epoch = epoch,
            .before = epoch - 1,
            .id = epoch * 1000 + i,
            .length = 4096 + i,
            .records = i,
            .sum = ~(guint64)i,
        };
    }
    g_assert_cmpint(store_state_write(t->f, &s), ==, 0);
    store_snapshot_clear(&s);
}

static void check_epoch(Files *t, guint64 epoch, guint layers)
{
    g_autoptr(GError) error = NULL;
    StoreSnapshot s;
    StoreState *f = store_state_open(t->folder, SIZE, FALSE, &s, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(s.epoch, ==, epoch);
    g_assert_cmpuint(s.n, ==, layers);
    for (guint i = 0; i < layers; i++) {
        g_assert_cmpuint(s.layers[i].id, ==, epoch * 1000 + i);
        g_assert_cmpuint(s.layers[i].sum, ==, ~(guint64)i);
        g_assert_cmpuint(s.layers[i].length, ==, 4096 + i);
    }
    store_snapshot_clear(&s);
    store_state_close(f);
}

/* Many times around the ring, with snapshots of all sizes */
static void test_ring(Files *t, gconstpointer unused)
{
    check_epoch(t, 0, 0);
    for (guint64 i = 1; i < 1500; i++) {
        guint n = (guint)(i % 7 ? i % 200 : i % STORE_MAX_LAYERS);

        write_epoch(t, i, n);
        if (i % 10 == 0) {
            check_epoch(t, i, n);
        }
        if (i % 100 == 0) {
            g_assert_cmpint(store_state_sync(t->f), ==, 0);
        }
    }
    write_epoch(t, 2000, STORE_MAX_LAYERS);
    check_epoch(t, 2000, STORE_MAX_LAYERS);
}

/* Continued by another process */
static void test_reopen(Files *t, gconstpointer unused)
{
    for (guint64 i = 1; i < 700; i++) {
        g_autoptr(GError) error = NULL;
        StoreSnapshot s;

        write_epoch(t, i, (guint)i % 150);
        store_state_close(t->f);
        t->f = store_state_open(t->folder, SIZE, TRUE, &s, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(s.epoch, ==, i);
        store_snapshot_clear(&s);
    }
}

/* A torn or flipped snapshot: the one before counts. */
static void test_torn(Files *t, gconstpointer unused)
{
    g_autofree char *path = g_build_filename(t->dir, STORE_STATE_NAME, NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    for (guint64 i = 1; i < 200; i++) {
        guint64 at = i * COLO_STORE_BLOCK +
                     (guint64)g_test_rand_int_range(0, 60 * STORE_HEADER);
        guint8 byte, flipped;

        /* One block each as long as there are no more than 62 layers */
        write_epoch(t, i, 60);
        g_assert_cmpint(store_pread(fd, &byte, 1, at), ==, 0);
        flipped = byte ^ (guint8)(1 << g_test_rand_int_range(0, 8));
        g_assert_cmpint(store_pwrite(fd, &flipped, 1, at), ==, 0);
        check_epoch(t, i - 1, i > 1 ? 60 : 0);
        g_assert_cmpint(store_pwrite(fd, &byte, 1, at), ==, 0);
        check_epoch(t, i, 60);
    }
    close(fd);
}

static void expect(Files *t, guint64 size, int code)
{
    g_autoptr(GError) error = NULL;
    StoreSnapshot s;

    g_assert_null(store_state_open(t->folder, size, FALSE, &s, &error));
    g_assert_error(error, G_IO_ERROR, code);
}

static void test_refused(Files *t, gconstpointer unused)
{
    g_autofree char *path = g_build_filename(t->dir, STORE_STATE_NAME, NULL);
    StoreIdentity id = {.store_id = 1, .base_size = SIZE, .ring_blocks = 256};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    guint8 h[STORE_HEADER];
    guint32 version;

    expect(t, SIZE + 512, G_IO_ERROR_INVALID_DATA);
    store_identity_encode(h, &id);
    g_assert_true(store_identity_decode(h, &id, &version));
    h[20] ^= 1;
    g_assert_cmpint(store_pwrite(fd, h, sizeof(h), 0), ==, 0);
    expect(t, SIZE, G_IO_ERROR_INVALID_DATA);
    g_assert_cmpint(ftruncate(fd, 40), ==, 0);
    expect(t, SIZE, G_IO_ERROR_FAILED); /* EIO: no header */
    close(fd);
    g_assert_cmpint(unlink(path), ==, 0);
    expect(t, SIZE, G_IO_ERROR_NOT_FOUND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/store/statefile/" name, Files, NULL, set_up, func, tear_down)
    ADD("ring", test_ring);
    ADD("reopen", test_reopen);
    ADD("torn", test_torn);
    ADD("refused", test_refused);
    return g_test_run();
}
