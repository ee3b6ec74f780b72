/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that fail: what is refused, what goes on, and that nothing is lost. */
#include "tests/store/faults.h"
#include "tests/store/fixture.h"

#include <errno.h>
#include <string.h>

#define MIB ((guint32)1 << 20)
enum { SIZE = 32 << 20 };

/* Epoch 2 is loaded, and not merged. */
static void set_up(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp = fixture_new(SIZE);

    store_sync_ms = store_merge_ms = 1;
    fixture_open(f);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 0, MIB, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    fixture_wait_durable(f, 2);
}

static void tear_down(Fixture **fp, gconstpointer unused)
{
    fixture_free(*fp);
    fault_reset();
    store_sync_ms = 100;
    store_merge_ms = 250;
    store_free_rounds = 8;
}

/* The image fails: no more checkpoints, but a takeover works all the same. */
static void image_fails(Fixture *f, gint *fault)
{
    g_autofree char *error = NULL;
    ColoStoreStatus st;

    g_atomic_int_set(fault, EIO);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    g_assert_true(fixture_wait_event(f, "error"));
    colo_store_status(f->s, &st);
    error = st.error;
    g_assert_nonnull(strstr(error, "cannot merge"));
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, -EIO);
    g_assert_cmpint(colo_store_write(f->s, PVM, "x", 1, 0, FALSE), ==, -EIO);
    g_assert_cmpint(colo_store_merge(f->s), ==, -EIO);
    check_filled(f, PVM, 0, MIB, 'a');
    check_write(f, SVM, 0, 4096, 's');
}

static void check_image_works_again(Fixture *f)
{
    g_assert_true(fixture_wait_event(f, "space"));
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    check_write(f, PVM, 4096, 4096, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 4), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 4), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, 0, 4096, 'a');
    check_base(f, 4096, 4096, 'b');
    check_base(f, 8192, MIB - 8192, 'a');
    g_assert_null(f->s->error);
    g_assert_null(f->s->merge_error);
}

static void test_image_write(Fixture **fp, gconstpointer unused)
{
    image_fails(*fp, &fault_write[FAULT_BASE]);
    g_atomic_int_set(&fault_write[FAULT_BASE], 0);
    check_image_works_again(*fp);
}

static void test_image_sync(Fixture **fp, gconstpointer unused)
{
    image_fails(*fp, &fault_sync[FAULT_BASE]);
    g_atomic_int_set(&fault_sync[FAULT_BASE], 0);
    check_image_works_again(*fp);
}

static void test_image_survivor(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    image_fails(f, &fault_write[FAULT_BASE]);
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    check_write(f, SVM, 4096, 4096, 't');
    g_assert_cmpint(colo_store_flush(f->s, SVM), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, -EIO);
    check_filled(f, SVM, 0, 4096, 's');
    check_filled(f, SVM, 4096, 4096, 't');
    check_filled(f, SVM, 8192, 4096, 'a');
    g_atomic_int_set(&fault_write[FAULT_BASE], 0);
    g_assert_true(fixture_wait_event(f, "merged"));
    check_base(f, 0, 4096, 's');
    check_base(f, 4096, 4096, 't');
    check_base(f, 8192, 4096, 'a');
}

/* There is no room in the image for long: the survivor's logs stay few. */
static void test_image_full(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_atomic_int_set(&fault_write[FAULT_BASE], ENOSPC);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    for (guint i = 0; i < 40; i++) {
        check_write(f, SVM, i * 4096, 4096, (char)('A' + i));
        g_assert_cmpint(colo_store_merge(f->s), ==, -ENOSPC);
    }
    g_mutex_lock(&f->s->lock);
    g_assert_cmpuint(f->s->active->len, >, 2);
    g_assert_cmpuint(f->s->active->len, <, 12);
    g_mutex_unlock(&f->s->lock);
    g_atomic_int_set(&fault_write[FAULT_BASE], 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    for (guint i = 0; i < 40; i++) {
        check_base(f, i * 4096, 4096, (char)('A' + i));
    }
}

/* Zeroes that keep their space need it in the image; if there is none: */
static void test_zeroes_full(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_atomic_int_set(&fault_allocate[FAULT_BASE], ENOSPC);
    g_assert_cmpint(colo_store_zero(f->s, PVM, SIZE, 0, FALSE, FALSE), ==, 0);
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 3), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, 0, SIZE, 0);
}

/* A log that may not be on the disk: nothing is said to be any more. */
static void test_log_sync(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    check_write(f, PVM, 4096, 4096, 'b');
    check_write(f, SVM, 8192, 4096, 's');
    g_atomic_int_set(&fault_sync[FAULT_LOG], EIO);
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    g_assert_true(fixture_wait_event(f, "error"));
    /* The kernel says so once. */
    g_atomic_int_set(&fault_sync[FAULT_LOG], 0);
    g_assert_cmpint(colo_store_seal(f->s, 4), ==, -EIO);
    g_assert_cmpuint(fixture_status(f).durable, <, 3);
    g_assert_cmpint(colo_store_promote(f->s), ==, -EIO);
    g_assert_cmpint(colo_store_promote(f->s), ==, -EIO);
    g_assert_cmpint(colo_store_flush(f->s, SVM), ==, -EIO);
    check_filled(f, SVM, 8192, 4096, 's');
    fixture_close(f);
    /* While the kernel runs all of it is there. */
    fixture_open(f);
    check_filled(f, SVM, 0, 8192, 'a');
    check_filled(f, SVM, 8192, 4096, 's');
}

/* The state cannot be written: what it named before stays. */
static void test_state_write(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'b');
    check_write(f, SVM, 0, 4096, 's');
    g_atomic_int_set(&fault_write[FAULT_STATE], EIO);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, -EIO);
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, -EIO);
    fixture_close(f);
    g_atomic_int_set(&fault_write[FAULT_STATE], 0);
    fixture_open(f);
    g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
    g_assert_cmpuint(fixture_status(f).loaded, ==, 0);
    check_filled(f, PVM, 0, 4096, 'b');
    check_filled(f, SVM, 0, 4096, 's');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
}

/* The PVM may write again: the file system itself was never full. */
static void wait_room(Fixture *f)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    g_mutex_lock(&f->s->lock);
    while (f->s->full) {
        g_assert_true(g_cond_wait_until(&f->s->changed, &f->s->lock, until));
    }
    g_mutex_unlock(&f->s->lock);
    g_assert_true(fixture_wait_event(f, "enospc"));
    g_assert_true(fixture_wait_event(f, "space"));
}

/* Nothing has changed, and can be asked for again. */
static void check_refused(Fixture *f)
{
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(colo_store_seal(f->s, 3), ==, -ENOSPC);
        g_assert_false(colo_store_has_epoch(f->s, 3));
        g_assert_cmpint(colo_store_load(f->s, 3), ==, -ENOENT);
    }
    g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
    g_assert_cmpuint(fixture_status(f).loaded, ==, 0);
    g_assert_null(f->s->error);
    check_filled(f, PVM, 0, 4096, 'b');
    check_filled(f, PVM, 4096, 4096, 'a');
    check_filled(f, SVM, 0, 4096, 's');
    wait_room(f);
}

static void check_sealed_again(Fixture *f)
{
    check_write(f, PVM, 8192, 4096, 'd');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    check_write(f, PVM, 8192, 4096, 'e');
    g_assert_cmpint(colo_store_load(f->s, 3), ==, 0);
    check_filled(f, SVM, 0, 4096, 'b');
    check_filled(f, SVM, 4096, 4096, 'c');
    check_filled(f, SVM, 8192, 4096, 'd');
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, 0, 4096, 'b');
    check_base(f, 4096, 4096, 'c');
    check_base(f, 8192, 4096, 'd');
    check_filled(f, PVM, 8192, 4096, 'e');
}

/*
 * There is no room for the state: a checkpoint is refused, everything is as it
 * was, for the next process, too.
 */
static void state_full(Fixture *f, gint *fault, gboolean reopen)
{

    check_write(f, PVM, 0, 4096, 'b');
    check_write(f, SVM, 0, 4096, 's');
    g_atomic_int_set(fault, ENOSPC);
    check_refused(f);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, -ENOSPC);
    g_assert_cmpint(colo_store_unseal(f->s, 2), ==, -ENOSPC);
    check_refused(f);
    check_write(f, PVM, 4096, 4096, 'c');
    if (reopen) {
        fixture_close(f);
    }
    g_atomic_int_set(fault, 0);
    if (reopen) {
        fixture_open(f);
        g_assert_cmpuint(fixture_status(f).epoch, ==, 2);
        check_filled(f, SVM, 0, 4096, 's');
    }
    check_filled(f, PVM, 4096, 4096, 'c');
    check_sealed_again(f);
}

static void test_state_full(Fixture **fp, gconstpointer unused)
{
    state_full(*fp, &fault_write[FAULT_STATE], FALSE);
}

static void test_state_full_killed(Fixture **fp, gconstpointer unused)
{
    state_full(*fp, &fault_write[FAULT_STATE], TRUE);
}

/* Part of it was written, and that part says it all. */
static void test_state_part(Fixture **fp, gconstpointer unused)
{
    state_full(*fp, &fault_state_late, TRUE);
}

/* The first of all: until then the PVM writes to the image. */
static void test_state_full_first(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_assert_cmpint(colo_store_reset(f->s), ==, 0);
    check_write(f, PVM, 0, 4096, 'b');
    g_atomic_int_set(&fault_write[FAULT_STATE], ENOSPC);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, -ENOSPC);
    g_assert_cmpuint(fixture_status(f).state, ==, COLO_STORE_EMPTY);
    wait_room(f);
    check_write(f, PVM, 4096, 4096, 'c');
    check_base(f, 4096, 4096, 'c');
    g_atomic_int_set(&fault_write[FAULT_STATE], 0);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    check_write(f, PVM, 4096, 4096, 'd');
    check_base(f, 4096, 4096, 'c');
    fixture_wait_durable(f, 1);
}

/* What is merged stays in the lists until the state can say so. */
static void test_state_full_merging(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_atomic_int_set(&fault_write[FAULT_BASE], ENOSPC); /* not yet */
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, -ENOSPC);
    g_atomic_int_set(&fault_write[FAULT_STATE], ENOSPC);
    g_atomic_int_set(&fault_write[FAULT_BASE], 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, -ENOSPC);
    g_assert_cmpuint(fixture_status(f).sealed, ==, 1);
    check_filled(f, SVM, 0, MIB, 'a');
    check_filled(f, PVM, 0, MIB, 'a');
    g_atomic_int_set(&fault_write[FAULT_STATE], 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    g_assert_cmpuint(fixture_status(f).sealed, ==, 0);
    check_base(f, 0, MIB, 'a');
}

/* So many logs are ready, and there is room for no other. */
static void leave_spares(Fixture *f, guint n)
{
    ColoStore *s = f->s;

    g_atomic_int_set(&fault_write[FAULT_LOG], ENOSPC);
    g_mutex_lock(&s->control);
    g_mutex_lock(&s->lock);
    g_assert_cmpuint(s->spares->len, >=, n);
    while (s->spares->len > n) {
        StoreLog *log = g_ptr_array_steal_index(s->spares, s->spares->len - 1);

        store_log_close(log);
    }
    g_mutex_unlock(&s->lock);
    g_mutex_unlock(&s->control);
}

static void wait_spares(Fixture *f, guint n)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    guint have = 0;

    while (have < n && g_get_monotonic_time() < until) {
        g_usleep(1000);
        g_mutex_lock(&f->s->lock);
        have = f->s->spares->len;
        g_mutex_unlock(&f->s->lock);
    }
    g_assert_cmpuint(have, >=, n);
}

/* A checkpoint takes a log when it is sealed and one when it is loaded. */
static void test_no_log(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'b');
    check_write(f, SVM, 0, 4096, 's');
    wait_spares(f, 2);
    leave_spares(f, 1);
    check_refused(f);
    g_atomic_int_set(&fault_write[FAULT_LOG], 0);
    check_write(f, PVM, 4096, 4096, 'c');
    check_sealed_again(f);
}

static void test_last_logs(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    check_write(f, PVM, 0, 4096, 'b');
    check_write(f, SVM, 0, 4096, 's');
    wait_spares(f, 2);
    leave_spares(f, 2);
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 3), ==, 0);
    check_filled(f, SVM, 0, 4096, 'b');
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    check_filled(f, SVM, 0, 4096, 'b');
}

static ColoStore *watched;

/* In a sync of the state: what it names no more is on the disk. */
static void check_logs_are_synced(void)
{
    gboolean listed[FAULT_FDS] = {FALSE};

    g_mutex_lock(&watched->lock);
    for (guint i = 0; i < watched->active->len; i++) {
        listed[((StoreLayer *)watched->active->pdata[i])->log->fd] = TRUE;
    }
    g_mutex_unlock(&watched->lock);
    for (int fd = 0; fd < FAULT_FDS; fd++) {
        g_assert_true(listed[fd] || !fault_is_dirty(fd));
    }
}

/*
 * What leaves the survivor's lists is on the disk: between that and the new
 * state a flush finds nothing to do, and the old state may be found.
 */
static void test_merged_and_flushed(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;

    g_atomic_int_set(&fault_write[FAULT_BASE], ENOSPC); /* not yet */
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, -ENOSPC);
    check_write(f, SVM, 0, 4096, 'x');
    check_write(f, SVM, 0, 4096, 'y');
    watched = f->s;
    fault_on_state_sync = check_logs_are_synced;
    g_atomic_int_set(&fault_write[FAULT_BASE], 0);
    g_assert_true(fixture_wait_event(f, "merged"));
    check_base(f, 0, 4096, 'y');
}

/* A write that failed though its record is whole is none. */
static void test_short(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    char bytes[100] = "failed";

    check_write(f, PVM, 0, 100, 'b');
    g_atomic_int_set(&fault_short, 20); /* of 28 bytes that fill up */
    g_assert_cmpint(colo_store_write(f->s, PVM, bytes, sizeof(bytes), 0, FALSE),
                    ==, -ENOSPC);
    g_assert_cmpint(fault_short, ==, 0);
    check_filled(f, PVM, 0, 100, 'b');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    fixture_close(f);
    fixture_open(f);
    check_filled(f, PVM, 0, 100, 'b');
}

/* The survivor writes faster than the image can: it is slowed down a little,
 * all the time, and merging ends. */
typedef struct Writer {
    Fixture *f;
    gint stop;
    gint64 slowest; /* us */
    guint64 written;
} Writer;

static gpointer write_on(gpointer user)
{
    g_autofree char *buf = g_malloc0(65536);
    Writer *w = user;

    for (guint64 i = 0; !g_atomic_int_get(&w->stop); i++) {
        gint64 start = g_get_monotonic_time();

        g_assert_cmpint(
            colo_store_write(w->f->s, SVM, buf, 65536, i * 65536 % SIZE, FALSE),
            ==, 0);
        w->slowest = MAX(w->slowest, g_get_monotonic_time() - start);
        g_mutex_lock(&w->f->lock);
        w->written += 65536;
        g_cond_broadcast(&w->f->cond);
        g_mutex_unlock(&w->f->lock);
    }
    return NULL;
}

static void test_slow_image(Fixture **fp, gconstpointer unused)
{
    Fixture *f = *fp;
    Writer w = {.f = f};
    GThread *t;

    store_free_rounds = 1;
    g_atomic_int_set(&fault_base_us, 10 * 1000); /* a MiB: 100 MiB/s */
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    t = g_thread_new("writer", write_on, &w);
    g_mutex_lock(&f->lock);
    while (w.written < SIZE) {
        g_cond_wait(&f->cond, &f->lock);
    }
    g_mutex_unlock(&f->lock);
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    g_assert_true(fixture_wait_event(f, "merged"));
    g_atomic_int_set(&w.stop, 1);
    g_thread_join(t);
    g_test_message("%" G_GUINT64_FORMAT " MiB, slowest write %" G_GINT64_FORMAT
                   " us",
                   w.written / MIB, w.slowest);
    /* The last round, and not the tens of MiB before it */
    g_assert_cmpint(w.slowest, <, G_USEC_PER_SEC);
    check_filled(f, SVM, 0, SIZE, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/store/faults/" name, Fixture *, NULL, set_up, func, tear_down)
    ADD("image-write", test_image_write);
    ADD("image-sync", test_image_sync);
    ADD("image-survivor", test_image_survivor);
    ADD("image-full", test_image_full);
    ADD("zeroes-full", test_zeroes_full);
    ADD("log-sync", test_log_sync);
    ADD("state-write", test_state_write);
    ADD("state-full", test_state_full);
    ADD("state-full-killed", test_state_full_killed);
    ADD("state-part", test_state_part);
    ADD("state-full-first", test_state_full_first);
    ADD("state-full-merging", test_state_full_merging);
    ADD("no-log", test_no_log);
    ADD("last-logs", test_last_logs);
    ADD("merged-and-flushed", test_merged_and_flushed);
    ADD("short", test_short);
    ADD("slow-image", test_slow_image);
    return g_test_run();
}
