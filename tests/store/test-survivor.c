/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a takeover: the survivor's disk, and how it becomes a plain image. */
#include "tests/store/fixture.h"

#include <errno.h>

#define MIB ((guint32)1 << 20)
enum { SIZE = 32 << 20 };

/* An epoch that is loaded, one that is not, and both guests' writes */
static void set_up(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp = fixture_new(SIZE);

    fixture_open(f);
    check_write(f, PVM, 0, MIB, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, 4096, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    check_write(f, PVM, 4096, 4096, 'c');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    check_write(f, PVM, 8192, 4096, 'p');
    check_write(f, SVM, 16384, 4096, 's');
}

static void tear_down(Fixture **fp, gconstpointer unused)
{
    fixture_free(*fp);
}

static void check_taken_over(Fixture *f)
{
    check_filled(f, SVM, 0, 4096, 'b');
    check_filled(f, SVM, 4096, 12288, 'a');
    check_filled(f, SVM, 16384, 4096, 's');
    check_filled(f, SVM, 20480, MIB - 20480, 'a');
}

static void test_promote(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    char byte = 0;

    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    check_taken_over(f);
    g_assert_cmpint(colo_store_read(f->s, PVM, &byte, 1, 0), ==, -ESHUTDOWN);
    g_assert_cmpint(colo_store_write(f->s, PVM, &byte, 1, 0, FALSE), ==,
                    -ESHUTDOWN);
    g_assert_cmpint(colo_store_flush(f->s, PVM), ==, -ESHUTDOWN);
    g_assert_cmpint(colo_store_seal(f->s, 9), ==, -EROFS);
    g_assert_cmpint(colo_store_unseal(f->s, 3), ==, -EROFS);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, -EROFS);
    g_assert_cmpint(colo_store_reset(f->s), ==, -EROFS);
    g_assert_true(fixture_wait_event(f, "merged"));
    g_assert_true(fixture_status(f).merged);
    check_taken_over(f);
    check_base(f, 0, 4096, 'b');
    check_base(f, 16384, 4096, 's');
    /* From now on the image is the disk. */
    check_write(f, SVM, 0, 4096, 'z');
    check_base(f, 0, 4096, 'z');
    g_assert_cmpint(colo_store_zero(f->s, SVM, MIB, 0, TRUE, TRUE), ==, 0);
    check_base(f, 0, MIB, 0);
    g_assert_cmpuint(fixture_status(f).active_bytes, ==, 0);
}

/* Durable on return, whatever happens next. */
static void test_power_loss(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    fixture_close(f);
    for (int i = 0; i < 3; i++) {
        fixture_reboot(f);
        fixture_open(f);
        g_assert_cmpint(fixture_status(f).state, ==, COLO_STORE_PROMOTED);
        g_assert_false(fixture_status(f).lost);
        check_taken_over(f);
        if (i == 1) {
            g_assert_cmpint(colo_store_merge(f->s), ==, 0);
        }
        fixture_close(f);
    }
}

/* The survivor writes all the time: merging ends all the same. */
typedef struct Writer {
    Fixture *f;
    gint stop;
    guint8 *want;
} Writer;

static gpointer write_on(gpointer user)
{
    Writer *w = user;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    for (guint i = 1; !g_atomic_int_get(&w->stop); i++) {
        guint64 off = (guint64)g_rand_int_range(rand, 0, SIZE - 65536);
        guint32 len = (guint32)g_rand_int_range(rand, 1, 65536);

        memset(w->want + off, (int)i, len);
        g_assert_cmpint(colo_store_write(w->f->s, SVM, w->want + off, len, off,
                                         i % 500 == 0),
                        ==, 0);
    }
    return NULL;
}

static void test_busy(Fixture **fp, gconstpointer unused)
{
    g_autofree guint8 *want = g_malloc(SIZE), *got = g_malloc(SIZE);
    Fixture *f = *fp;
    Writer w = {.f = f, .want = want};
    GThread *t;

    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    g_assert_cmpint(colo_store_read(f->s, SVM, want, SIZE, 0), ==, 0);
    t = g_thread_new("writer", write_on, &w);
    g_assert_true(fixture_wait_event(f, "merged"));
    g_atomic_int_set(&w.stop, 1);
    g_thread_join(t);
    g_assert_cmpint(colo_store_read(f->s, SVM, got, SIZE, 0), ==, 0);
    g_assert_cmpmem(got, SIZE, want, SIZE);
    fixture_close(f);
    fixture_open(f);
    g_assert_cmpint(colo_store_read(f->s, SVM, got, SIZE, 0), ==, 0);
    g_assert_cmpmem(got, SIZE, want, SIZE);
}

/* The rate that merging may take */
static void test_rate(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    gint64 start;

    g_assert_cmpint(colo_store_load(f->s, 3), ==, 0);
    check_write(f, PVM, 0, 8 * MIB, 'r');
    g_assert_cmpint(colo_store_seal(f->s, 4), ==, 0);
    fixture_close(f);
    f->o.merge_bytes_per_s = 16 * MIB;
    fixture_open(f);
    g_assert_cmpint(colo_store_load(f->s, 4), ==, 0);
    start = g_get_monotonic_time();
    while (fixture_status(f).sealed) {
        g_mutex_lock(&f->s->lock);
        if (f->s->sealed->len) {
            g_cond_wait_until(&f->s->changed, &f->s->lock,
                              g_get_monotonic_time() + G_USEC_PER_SEC / 10);
        }
        g_mutex_unlock(&f->s->lock);
    }
    g_assert_cmpint(g_get_monotonic_time() - start, >=,
                    (gint64)(0.4 * G_USEC_PER_SEC));
    check_base(f, 0, 8 * MIB, 'r');
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/store/survivor/" name, Fixture *, NULL, set_up, func,         \
               tear_down)
    ADD("promote", test_promote);
    ADD("power-loss", test_power_loss);
    ADD("busy", test_busy);
    ADD("rate", test_rate);
    return g_test_run();
}
