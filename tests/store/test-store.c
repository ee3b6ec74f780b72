/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two views show from checkpoint to checkpoint. */
#include "tests/store/fixture.h"

#include <errno.h>

#define MIB ((guint32)1 << 20)
enum { SIZE = 8 << 20 };

static void set_up(Fixture **f, gconstpointer unused)
{
    *f = fixture_new(SIZE);
    fixture_open(*f);
}

static void tear_down(Fixture **f, gconstpointer unused)
{
    fixture_free(*f);
}

/* The first full copy: both see it, and nothing can be taken over. */
static void test_empty(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(fixture_status(f).state, ==, COLO_STORE_EMPTY);
    g_assert_cmpuint(colo_store_size(f->s), ==, SIZE);
    check_write(f, PVM, 0, MIB, 'a');
    check_filled(f, PVM, 0, MIB, 'a');
    check_filled(f, SVM, 0, MIB, 'a');
    check_base(f, 0, MIB, 'a');
    check_write(f, SVM, 4096, 4096, 's');
    check_filled(f, SVM, 4096, 4096, 's');
    check_filled(f, PVM, 4096, 4096, 'a');
    g_assert_cmpint(colo_store_promote(f->s), ==, -ENOENT);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, -ENOENT);
    g_assert_cmpint(colo_store_seal(f->s, 0), ==, -EINVAL);
    g_assert_cmpint(colo_store_flush(f->s, PVM), ==, 0);
}

static void test_epochs(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 2 * MIB, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, -EEXIST);
    check_write(f, PVM, 0, 8192, 'b');
    check_write(f, SVM, 4096, 8192, 's');
    check_filled(f, PVM, 0, 8192, 'b');
    check_filled(f, PVM, 8192, 8192, 'a');
    check_filled(f, SVM, 0, 4096, 'a');
    check_filled(f, SVM, 4096, 8192, 's');
    check_base(f, 0, 2 * MIB, 'a');

    /* A seal does not change what the SVM sees. */
    g_assert_cmpint(colo_store_seal(f->s, 5), ==, 0);
    check_filled(f, SVM, 0, 4096, 'a');
    check_filled(f, SVM, 4096, 8192, 's');
    check_filled(f, PVM, 0, 8192, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 4), ==, -EINVAL);
    g_assert_cmpint(colo_store_load(f->s, 4), ==, -ENOENT);
    g_assert_cmpint(colo_store_load(f->s, 6), ==, -ENOENT);
    g_assert_cmpint(colo_store_load(f->s, 5), ==, 0);
    check_filled(f, SVM, 0, 8192, 'b');
    check_filled(f, SVM, 8192, 8192, 'a');
    g_assert_cmpuint(fixture_status(f).loaded, ==, 5);
    g_assert_cmpuint(fixture_status(f).active_bytes, ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, 0, 8192, 'b');
    g_assert_cmpuint(fixture_status(f).sealed, ==, 0);
    check_filled(f, SVM, 0, 8192, 'b');
    check_filled(f, PVM, 0, 8192, 'b');
}

static void test_unseal(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 4096, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    check_write(f, PVM, 0, 8192, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    check_write(f, PVM, 4096, 8192, 'c');
    g_assert_cmpint(colo_store_unseal(f->s, 2), ==, -ENOENT);
    g_assert_cmpint(colo_store_unseal(f->s, 3), ==, 0);
    g_assert_cmpint(colo_store_unseal(f->s, 3), ==, -ENOENT);
    g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
    check_filled(f, PVM, 0, 4096, 'b');
    check_filled(f, PVM, 4096, 8192, 'c');
    check_filled(f, SVM, 0, 4096, 'a');
    check_filled(f, SVM, 4096, 8192, 0);
    /* Sealed again it is one epoch of two layers, and survives its process. */
    g_assert_cmpint(colo_store_seal(f->s, 4), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 4), ==, 0);
    g_assert_cmpint(colo_store_unseal(f->s, 4), ==, -EBUSY);
    fixture_close(f);
    fixture_open(f);
    check_filled(f, SVM, 0, 4096, 'b');
    check_filled(f, SVM, 4096, 8192, 'c');
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, 4096, 8192, 'c');
}

/* An epoch that the SVM does not see yet stays out of the image. */
static void test_not_loaded(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 4096, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, 0, 4096, 0);
    g_assert_cmpuint(fixture_status(f).sealed, ==, 1);
    check_filled(f, SVM, 0, 4096, 0);
}

/* Epochs in which nothing was written are epochs, too. */
static void test_hollow(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    for (guint64 epoch = 2; epoch < 20; epoch += 2) {
        g_assert_cmpint(colo_store_seal(f->s, epoch), ==, 0);
    }
    g_assert_cmpint(colo_store_load(f->s, 5), ==, -ENOENT);
    g_assert_cmpint(colo_store_load(f->s, 4), ==, 0);
    g_assert_cmpuint(fixture_status(f).loaded, ==, 4);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, -ENOENT);
    g_assert_cmpint(colo_store_load(f->s, 12), ==, 0);
    g_assert_cmpint(colo_store_unseal(f->s, 18), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 18), ==, -ENOENT);
    g_assert_cmpint(colo_store_load(f->s, 16), ==, 0);
}

/* The process goes and comes back; the host runs on. */
static void test_reopen(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    check_write(f, PVM, 4096, 4096, 'p');
    check_write(f, SVM, 8192, 4096, 's');
    for (int i = 0; i < 3; i++) {
        fixture_close(f);
        fixture_open(f);
        g_assert_false(fixture_status(f).lost);
        check_filled(f, PVM, 4096, 4096, 'p');
        check_filled(f, PVM, 8192, 4096, 0);
        check_filled(f, SVM, 4096, 4096, 0);
        check_filled(f, SVM, 8192, 4096, 's');
        check_write(f, PVM, 16384, 4096, (char)('0' + i));
    }
    check_filled(f, PVM, 16384, 4096, '2');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    check_filled(f, SVM, 4096, 4096, 'p');
    check_filled(f, SVM, 8192, 4096, 0);
}

/* The host goes down: the last epoch is what there is. */
static void test_reboot(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 4096, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    fixture_wait_durable(f, 2);
    check_write(f, PVM, 0, 4096, 'c');
    check_write(f, SVM, 4096, 4096, 's');
    fixture_close(f);
    fixture_reboot(f);
    fixture_open(f);
    g_assert_true(fixture_status(f).lost);
    g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
    check_filled(f, PVM, 0, 4096, 'b');
    check_filled(f, SVM, 0, 4096, 'b');
    check_filled(f, SVM, 4096, 4096, 0);
    fixture_close(f);
    fixture_open(f);
    g_assert_true(fixture_status(f).lost); /* still */
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    g_assert_false(fixture_status(f).lost);
}

/* The host goes down in the first copy. */
static void test_reboot_early(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'a');
    check_write(f, SVM, 0, 4096, 's');
    fixture_close(f);
    fixture_reboot(f);
    fixture_open(f);
    g_assert_cmpint(fixture_status(f).state, ==, COLO_STORE_EMPTY);
    g_assert_true(fixture_status(f).lost);
    check_filled(f, SVM, 0, 4096, 'a');
    g_assert_cmpint(colo_store_reset(f->s), ==, 0);
    g_assert_false(fixture_status(f).lost);
}

static void test_reset(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 4096, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    check_write(f, PVM, 0, 4096, 'c');
    check_write(f, SVM, 0, 4096, 's');
    g_assert_cmpint(colo_store_reset(f->s), ==, 0);
    g_assert_cmpint(fixture_status(f).state, ==, COLO_STORE_EMPTY);
    g_assert_cmpuint(fixture_status(f).epoch, ==, 0);
    check_filled(f, PVM, 0, 4096, 'a');
    check_filled(f, SVM, 0, 4096, 'a');
    check_write(f, PVM, 0, 4096, 'd');
    check_base(f, 0, 4096, 'd');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    check_filled(f, SVM, 0, 4096, 'd');
}

/* A sync that a reset overtook says nothing of what base is to become. */
static void test_reset_and_sync(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    fixture_wait_durable(f, 1);
    g_assert_true(f->s->based);
    g_assert_cmpint(colo_store_reset(f->s), ==, 0);
    store_make_durable(f->s);
    g_assert_false(f->s->based);
    check_write(f, PVM, 0, 4096, 'a');
    store_make_durable(f->s);
    g_assert_false(f->s->based);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    fixture_wait_durable(f, 1);
    g_assert_true(f->s->based);
}

/* Any offset and length; the end of the disk; too far */
static void test_bounds(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    char byte = 'x';

    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 3 * MIB + 7, 'a'); /* several records */
    check_write(f, PVM, 511, 2, 'b');
    check_write(f, PVM, 4095, 4098, 'c');
    check_write(f, PVM, SIZE - 1, 1, 'z');
    check_filled(f, PVM, 0, 511, 'a');
    check_filled(f, PVM, 511, 2, 'b');
    check_filled(f, PVM, 513, 4095 - 513, 'a');
    check_filled(f, PVM, 4095, 4098, 'c');
    check_filled(f, PVM, 8193, 3 * MIB + 7 - 8193, 'a');
    check_filled(f, PVM, 3 * MIB + 7, MIB, 0);
    check_filled(f, PVM, SIZE - 1, 1, 'z');
    g_assert_cmpint(colo_store_write(f->s, PVM, &byte, 1, SIZE, FALSE), ==,
                    -ENOSPC);
    g_assert_cmpint(colo_store_write(f->s, PVM, &byte, 1, G_MAXUINT64, FALSE),
                    ==, -EINVAL);
    g_assert_cmpint(colo_store_read(f->s, PVM, &byte, 1, SIZE), ==, -EINVAL);
    g_assert_cmpint(colo_store_zero(f->s, PVM, G_MAXUINT64, 1, TRUE, FALSE), <,
                    0);
    g_assert_cmpint(colo_store_write(f->s, PVM, &byte, 0, 0, FALSE), ==, 0);
    g_assert_cmpint(colo_store_zero(f->s, PVM, 0, 0, TRUE, FALSE), ==, 0);
    g_assert_cmpint(colo_store_zero(f->s, PVM, SIZE, 0, TRUE, TRUE), ==, 0);
    check_filled(f, PVM, 0, SIZE, 0);
}

typedef struct Extents {
    GString *text;
    guint left;
} Extents;

static gboolean add_extent(guint64 off, guint64 len, gboolean hole,
                           gboolean zero, gpointer user)
{
    Extents *e = user;

    g_string_append_printf(e->text, "%u+%u%s%s ", (guint)(off / 4096),
                           (guint)(len / 4096), hole ? "h" : "",
                           zero ? "z" : "");
    return --e->left > 0;
}

static void check_extents(Fixture *f, ColoStoreView v, guint64 len, guint64 off,
                          guint most, const char *want)
{
    Extents e = {g_string_new(NULL), most};

    g_assert_cmpint(colo_store_extents(f->s, v, len, off, add_extent, &e), ==,
                    0);
    g_assert_cmpstr(e.text->str, ==, want);
    g_string_free(e.text, TRUE);
}

static void test_extents(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 16 * 4096, 16 * 4096, 'a');
    check_extents(f, PVM, SIZE, 0, 9, "0+16hz 16+16 32+2016hz ");
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 8 * 4096, 8 * 4096, 'b'); /* joins with the image */
    g_assert_cmpint(
        colo_store_zero(f->s, PVM, 4 * 4096, 20 * 4096, TRUE, FALSE), ==, 0);
    g_assert_cmpint(
        colo_store_zero(f->s, PVM, 4 * 4096, 24 * 4096, FALSE, FALSE), ==, 0);
    check_extents(f, PVM, SIZE, 0, 9,
                  "0+8hz 8+12 20+4hz 24+4z 28+4 32+2016hz ");
    check_extents(f, SVM, SIZE, 0, 9, "0+16hz 16+16 32+2016hz ");
    check_extents(f, PVM, 2 * 4096, 21 * 4096, 9, "21+2hz ");
    check_extents(f, PVM, SIZE, 0, 2, "0+8hz 8+12 ");
}

static void test_durability(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    fixture_close(f);
    f->o.durability = COLO_DURABLE_FLUSH;
    fixture_open(f);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 4096, 'a');
    g_mutex_lock(&f->s->lock);
    g_assert_cmpuint(store_layers_top(f->s->pending)->log->synced, ==, 0);
    g_mutex_unlock(&f->s->lock);
    g_assert_cmpint(colo_store_flush(f->s, PVM), ==, 0);
    g_mutex_lock(&f->s->lock);
    g_assert_cmpuint(store_layers_top(f->s->pending)->log->synced, ==, 2);
    g_mutex_unlock(&f->s->lock);
}

static void test_status(Fixture **fp, gconstpointer unused)
{
    g_autoptr(JsonNode) node = colo_store_status_json((*fp)->s);
    JsonObject *o = json_node_get_object(node);

    g_assert_cmpstr(json_object_get_string_member(o, "state"), ==, "empty");
    g_assert_cmpint(json_object_get_int_member(o, "size"), ==, SIZE);
    g_assert_false(json_object_get_boolean_member(o, "full"));
    g_assert_false(json_object_has_member(o, "error"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/store/" name, Fixture *, NULL, set_up, func, tear_down)
    ADD("empty", test_empty);
    ADD("epochs", test_epochs);
    ADD("unseal", test_unseal);
    ADD("not-loaded", test_not_loaded);
    ADD("hollow", test_hollow);
    ADD("reopen", test_reopen);
    ADD("reboot", test_reboot);
    ADD("reboot-early", test_reboot_early);
    ADD("reset", test_reset);
    ADD("reset-and-sync", test_reset_and_sync);
    ADD("bounds", test_bounds);
    ADD("extents", test_extents);
    ADD("durability", test_durability);
    ADD("status", test_status);
    return g_test_run();
}
