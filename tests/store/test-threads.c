/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many threads at once: each has its own blocks, and a few that all write to.
 * Checkpoints are made while they stand still; merging, syncing and reading do
 * not.
 */
#include "tests/store/fixture.h"

enum {
    THREADS = 6,
    BLOCK = 4096,
    OWN = 256, /* blocks of each thread, strided over the disk */
    SHARED = 16,
    SIZE = (THREADS * OWN + SHARED) * BLOCK,
    EPOCHS = 40,
    WRITES = 120, /* of a thread in an epoch */
};

typedef struct Worker {
    Fixture *f;
    guint index;
    guint epoch;
    guint32 pvm[OWN], svm[OWN]; /* what each block holds */
    GRand *rand;
    GThread *thread;
} Worker;

static guint64 own_block(const Worker *w, guint i)
{
    return ((guint64)i * THREADS + w->index) * BLOCK;
}

/* A block that one write made: all of its words are alike. */
static void fill(guint32 *words, guint32 value)
{
    for (guint i = 0; i < BLOCK / sizeof(*words); i++) {
        words[i] = value;
    }
}

static void check_block(const guint32 *words, guint32 value)
{
    for (guint i = 0; i < BLOCK / sizeof(*words); i++) {
        g_assert_cmpuint(words[i], ==, value);
    }
}

static void check_own(Worker *w, ColoStoreView v, guint i)
{
    guint32 words[BLOCK / sizeof(guint32)];

    g_assert_cmpint(colo_store_read(w->f->s, v, words, BLOCK, own_block(w, i)),
                    ==, 0);
    check_block(words, (v == PVM ? w->pvm : w->svm)[i]);
}

static gpointer work(gpointer user)
{
    Worker *w = user;
    guint32 words[BLOCK / sizeof(guint32)];

    for (guint n = 0; n < WRITES; n++) {
        guint i = (guint)g_rand_int_range(w->rand, 0, OWN);
        ColoStoreView v = g_rand_boolean(w->rand) ? PVM : SVM;
        guint32 *holds = (v == PVM ? w->pvm : w->svm) + i;
        guint64 shared =
            SIZE - (guint64)g_rand_int_range(w->rand, 1, SHARED + 1) * BLOCK;

        if (g_rand_int_range(w->rand, 0, 8) == 0) {
            *holds = 0;
            g_assert_cmpint(colo_store_zero(w->f->s, v, BLOCK, own_block(w, i),
                                            TRUE, FALSE),
                            ==, 0);
        } else {
            *holds = g_rand_int(w->rand);
            fill(words, *holds);
            g_assert_cmpint(colo_store_write(w->f->s, v, words, BLOCK,
                                             own_block(w, i), FALSE),
                            ==, 0);
        }
        check_own(w, v, i);
        check_own(w, v, (guint)g_rand_int_range(w->rand, 0, OWN));
        fill(words, w->epoch * 1000 + w->index);
        g_assert_cmpint(
            colo_store_write(w->f->s, v, words, BLOCK, shared, FALSE), ==, 0);
    }
    return NULL;
}

/* Whoever was last: the same before and after the logs are read again. */
static void read_shared(Fixture *f, guint8 *out)
{
    g_assert_cmpint(
        colo_store_read(f->s, PVM, out, SHARED * BLOCK, SIZE - SHARED * BLOCK),
        ==, 0);
    g_assert_cmpint(colo_store_read(f->s, SVM, out + SHARED * BLOCK,
                                    SHARED * BLOCK, SIZE - SHARED * BLOCK),
                    ==, 0);
}

static void check_all(Worker *workers)
{
    for (guint t = 0; t < THREADS; t++) {
        for (guint i = 0; i < OWN; i++) {
            check_own(&workers[t], PVM, i);
            check_own(&workers[t], SVM, i);
        }
    }
}

static void test_threads(void)
{
    Fixture *f = fixture_new(SIZE);
    Worker workers[THREADS] = {0};
    static guint8 before[2 * SHARED * BLOCK], after[2 * SHARED * BLOCK];

    store_sync_ms = store_merge_ms = 2;
    fixture_open(f);
    for (guint t = 0; t < THREADS; t++) {
        workers[t].f = f;
        workers[t].index = t;
        workers[t].rand = g_rand_new_with_seed(g_test_rand_int_range(0, 1000));
    }
    g_assert_cmpint(colo_store_seal(f->s, 1), ==, 0);
    g_assert_cmpint(colo_store_load(f->s, 1), ==, 0);
    for (guint64 e = 2; e < EPOCHS; e++) {
        for (guint t = 0; t < THREADS; t++) {
            workers[t].epoch = (guint)e;
            workers[t].thread = g_thread_new("worker", work, &workers[t]);
        }
        for (guint t = 0; t < THREADS; t++) {
            g_thread_join(workers[t].thread);
        }
        if (e % 10 == 3) {
            read_shared(f, before);
            fixture_close(f);
            fixture_open(f);
            read_shared(f, after);
            g_assert_cmpmem(before, sizeof(before), after, sizeof(after));
        }
        if (e % 8 == 0) {
            check_all(workers);
        }
        g_assert_cmpint(colo_store_seal(f->s, e), ==, 0);
        if (e % 3) {
            g_assert_cmpint(colo_store_load(f->s, e), ==, 0);
            for (guint t = 0; t < THREADS; t++) {
                memcpy(workers[t].svm, workers[t].pvm, sizeof(workers[t].svm));
            }
        }
    }
    check_all(workers);
    for (guint t = 0; t < THREADS; t++) {
        g_rand_free(workers[t].rand);
    }
    fixture_free(f);
}

/* Checkpoints and writes that nobody stopped: each lands on one side. */
typedef struct Flood {
    Fixture *f;
    gint stop;
    guint64 off;
} Flood;

static gpointer flood(gpointer user)
{
    Flood *fl = user;
    guint32 words[BLOCK / sizeof(guint32)];
    guint32 n = 0;

    while (!g_atomic_int_get(&fl->stop)) {
        fill(words, ++n);
        g_assert_cmpint(
            colo_store_write(fl->f->s, PVM, words, BLOCK, fl->off, FALSE), ==,
            0);
        g_assert_cmpint(colo_store_read(fl->f->s, PVM, words, BLOCK, fl->off),
                        ==, 0);
        check_block(words, n);
    }
    return GUINT_TO_POINTER(n);
}

static void test_unstopped(void)
{
    Fixture *f = fixture_new(SIZE);
    Flood floods[3];
    GThread *threads[3];
    guint32 words[BLOCK / sizeof(guint32)];

    store_sync_ms = store_merge_ms = 1;
    fixture_open(f);
    for (guint i = 0; i < 3; i++) {
        floods[i] = (Flood){f, 0, i * BLOCK};
        threads[i] = g_thread_new("flood", flood, &floods[i]);
    }
    for (guint64 e = 1; e < 300; e++) {
        guint32 first;

        g_assert_cmpint(colo_store_seal(f->s, e), ==, 0);
        if (e % 5 == 0) {
            g_assert_cmpint(colo_store_unseal(f->s, e), ==, 0);
            continue;
        }
        g_assert_cmpint(colo_store_load(f->s, e), ==, 0);
        g_assert_cmpint(colo_store_read(f->s, SVM, words, BLOCK, 0), ==, 0);
        first = words[0];
        check_block(words, first);
        g_assert_cmpint(colo_store_read(f->s, SVM, words, BLOCK, 0), ==, 0);
        check_block(words, first); /* and stays */
    }
    for (guint i = 0; i < 3; i++) {
        g_atomic_int_set(&floods[i].stop, 1);
        g_assert_cmpuint(GPOINTER_TO_UINT(g_thread_join(threads[i])), >, 0);
    }
    fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/threads/own-and-shared", test_threads);
    g_test_add_func("/store/threads/unstopped", test_unstopped);
    return g_test_run();
}
