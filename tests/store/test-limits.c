/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bounded memory for any disk, and a file system that is full. */
#include "tests/store/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIB  ((guint64)1 << 40)
#define MIB  ((guint32)1 << 20)
#define SIZE (2 * TIB)

/* A random block of 2 TiB, and what is in it: the nth always the same */
static guint64 nth_block(guint64 n)
{
    return (n * 0x9e3779b97f4a7c15ull >> 20) % (SIZE / COLO_STORE_BLOCK) *
           COLO_STORE_BLOCK;
}

/* What a sanitizer holds back for a while does not count as ours. */
static gsize resident_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 0;
#else
    g_autofree char *text = NULL;
    gsize pages = 0;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%*u %zu", &pages), ==, 1);
    return pages * 4096;
#endif
}

typedef struct Owner {
    Fixture *f;
    guint64 epoch;
    gint stop;
    GThread *thread;
} Owner;

/* Makes a checkpoint whenever the store asks for one. */
static gpointer own(gpointer user)
{
    Owner *o = user;

    g_mutex_lock(&o->f->lock);
    while (!g_atomic_int_get(&o->stop)) {
        if (strstr(o->f->events->str, "index")) {
            g_string_truncate(o->f->events, 0);
            g_mutex_unlock(&o->f->lock);
            o->epoch++;
            g_assert_cmpint(colo_store_seal(o->f->s, o->epoch), ==, 0);
            g_assert_cmpint(colo_store_load(o->f->s, o->epoch), ==, 0);
            g_mutex_lock(&o->f->lock);
            continue;
        }
        g_cond_wait_until(&o->f->cond, &o->f->lock,
                          g_get_monotonic_time() + G_USEC_PER_SEC / 10);
    }
    g_mutex_unlock(&o->f->lock);
    return NULL;
}

static void test_huge(void)
{
    enum { BLOCKS = 30000, INDEX = 512 * 1024 };
    Fixture *f = fixture_new(SIZE);
    Owner o = {.f = f, .epoch = 1};
    char block[COLO_STORE_BLOCK];
    gsize before;

    store_sync_ms = store_merge_ms = 1;
    f->o.max_index_bytes = INDEX;
    fixture_open(f);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    before = resident_bytes();
    o.thread = g_thread_new("owner", own, &o);
    for (guint64 n = 0; n < BLOCKS; n++) {
        memset(block, (int)(n % 251 + 1), sizeof(block));
        g_assert_cmpint(colo_store_write(f->s, PVM, block, sizeof(block),
                                         nth_block(n), FALSE),
                        ==, 0);
        if (n % 1000 == 0) {
            g_assert_cmpuint(fixture_status(f).index_bytes, <=,
                             INDEX + STORE_LEAF_BYTES);
            g_assert_cmpuint(resident_bytes(), <=, before + 8 * MIB);
        }
    }
    g_atomic_int_set(&o.stop, 1);
    g_thread_join(o.thread);
    g_assert_cmpuint(o.epoch, >, 3);
    for (guint64 n = 0; n < BLOCKS; n += 7) {
        check_filled(f, PVM, nth_block(n), COLO_STORE_BLOCK,
                     (char)(n % 251 + 1));
    }
    /* All of it in one record, and nothing of it in memory */
    g_assert_cmpint(colo_store_zero(f->s, PVM, SIZE, 0, TRUE, TRUE), ==, 0);
    check_filled(f, PVM, nth_block(0), COLO_STORE_BLOCK, 0);
    g_assert_cmpint(colo_store_zero(f->s, SVM, SIZE, 0, FALSE, TRUE), ==, 0);
    g_assert_cmpint(colo_store_seal(f->s, o.epoch + 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, o.epoch + 1), ==, 0);
    g_assert_cmpint(colo_store_merge(f->s), ==, 0);
    check_base(f, nth_block(1), COLO_STORE_BLOCK, 0);
    g_assert_cmpuint(resident_bytes(), <=, before + 8 * MIB);
    fixture_free(f);
    store_sync_ms = store_merge_ms = 100;
}

/* Nobody makes a checkpoint: writes are refused in the end, not for ever. */
static void test_index_full(void)
{
    Fixture *f = fixture_new(SIZE);
    guint64 n;
    int r = 0;

    f->o.max_index_bytes = 2 * STORE_LEAF_BYTES;
    store_index_wait_ms = 200;
    fixture_open(f);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    for (n = 0; n < 100 && !r; n++) {
        r = colo_store_write(f->s, PVM, "x", 1, nth_block(n), FALSE);
    }
    g_assert_cmpint(r, ==, -ENOSPC);
    /* All went well until a second leaf was needed. */
    g_assert_cmpuint(n, ==, STORE_LEAF_RUNS + 2);
    g_assert_true(fixture_wait_event(f, "index"));
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    store_index_wait_ms = 20000;
    g_assert_cmpint(colo_store_write(f->s, PVM, "x", 1, nth_block(n), FALSE),
                    ==, 0);
    for (guint64 i = 0; i < n - 1; i++) {
        check_filled(f, PVM, nth_block(i), 1, 'x');
    }
    fixture_free(f);
}

/* A file system of 24 MiB for the logs; FALSE: not allowed here. */
static gboolean mount_small(const char *where)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", where, "tmpfs", 0, "size=24m,mode=0700") == 0;
}

static void fill_up(Fixture *f, guint64 *off)
{
    g_autofree char *buf = g_malloc(MIB);
    int r = 0;

    memset(buf, 'f', MIB);
    while (!r) {
        r = colo_store_write(f->s, PVM, buf, MIB, *off, FALSE);
        *off += r ? 0 : MIB;
        g_assert_cmpuint(*off, <, 64 * MIB);
    }
    g_assert_cmpint(r, ==, -ENOSPC);
}

static void do_full(Fixture *f)
{
    guint64 off = MIB, held;

    fixture_open(f);
    check_write(f, PVM, 0, MIB, 'a');
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    fill_up(f, &off);
    g_assert_cmpuint(off, >, 10 * MIB);
    g_assert_true(fixture_wait_event(f, "enospc"));
    g_assert_true(fixture_status(f).full);
    g_assert_cmpint(colo_store_zero(f->s, PVM, MIB, 0, TRUE, FALSE), ==,
                    -ENOSPC);

    /* The SVM has something in reserve; nothing that was held is lost. */
    held = off;
    check_write(f, SVM, 8 * MIB, 65536, 's');
    check_filled(f, SVM, 8 * MIB, 65536, 's');
    check_filled(f, PVM, 0, MIB, 'a');
    check_filled(f, PVM, MIB, (guint32)held - MIB, 'f');

    /* A checkpoint makes room: the image lies elsewhere. */
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 2), ==, 0);
    g_assert_true(fixture_wait_event(f, "space"));
    g_assert_false(fixture_status(f).full);
    check_write(f, PVM, 0, MIB, 'b');
    check_filled(f, SVM, MIB, (guint32)held - MIB, 'f');

    /* Full again, and the process goes. */
    off = MIB;
    fill_up(f, &off);
    fixture_close(f);
    fixture_open(f);
    check_filled(f, PVM, 0, MIB, 'b');
    check_filled(f, PVM, MIB, (guint32)off - MIB, 'f');
    g_assert_cmpint(colo_store_seal(f->s, 3), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 3), ==, 0);
    check_write(f, SVM, 0, 4096, 's');
    g_assert_cmpint(colo_store_promote(f->s), ==, 0);
    g_assert_true(fixture_wait_event(f, "merged"));
    check_base(f, 0, 4096, 's');
    check_base(f, MIB, (guint32)off - MIB, 'f');
}

static void test_full(void)
{
    Fixture *f = fixture_new(64 * MIB);
    int status;
    pid_t pid;

    g_assert_cmpint(g_mkdir_with_parents(f->folder, 0700), ==, 0);
    pid = fork(); /* namespaces are a process's; no threads run here */
    if (!pid) {
        if (!mount_small(f->folder)) {
            _exit(77);
        }
        do_full(f);
        colo_store_close(f->s);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        g_test_skip("mounting a file system needs root");
    } else {
        g_assert_cmpint(status, ==, 0);
    }
    fixture_free(f);
}

/* Files may not grow: as if the file system were full. */
static void do_file_limit(Fixture *f)
{
    const struct rlimit limit = {3 * MIB, 3 * MIB};
    guint64 off = 0;

    fixture_open(f);
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    fill_up(f, &off);
    g_assert_cmpuint(off, ==, 2 * MIB);
    g_assert_true(fixture_wait_event(f, "enospc"));
    check_filled(f, PVM, 0, 2 * MIB, 'f');
    g_assert_cmpint(colo_store_seal(f->s, 2), ==, 0);
    fixture_close(f);
    fixture_open(f); /* the record that was cut is none */
    check_filled(f, PVM, 0, 2 * MIB, 'f');
    check_filled(f, PVM, 2 * MIB, 2 * MIB, 0);
}

static void test_file_limit(void)
{
    Fixture *f = fixture_new(8 * MIB);
    int status;
    pid_t pid = fork();

    if (!pid) {
        do_file_limit(f);
        colo_store_close(f->s);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* First those that fork */
    g_test_add_func("/store/limits/full", test_full);
    g_test_add_func("/store/limits/file-limit", test_file_limit);
    g_test_add_func("/store/limits/huge", test_huge);
    g_test_add_func("/store/limits/index-full", test_index_full);
    return g_test_run();
}
