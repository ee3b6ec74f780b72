/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logs: what is written is found, what is broken is not. */
#include "blockrep/store/log.h"
#include "blockrep/store/file-io.h"
#include "tests/common/scratch.h"
#include "tests/store/fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORDS = 40, ROOM = RECORDS + 4, MAX = 20000, DISK = 1 << 20 };

typedef struct Logs {
    char *dir;
    int folder;
    StoreLog *log;
    StoreRecord records[ROOM];
    guint8 *data[ROOM];
    guint n;
} Logs;

static void append(Logs *l, StoreKind kind, guint64 off, guint64 len)
{
    StoreRecord *r = &l->records[l->n];

    g_assert_cmpuint(l->n, <, ROOM);
    *r = (StoreRecord){.kind = kind, .off = off, .len = len};
    r->pos = l->log->end;
    l->log->end += store_record_size(kind, len);
    l->data[l->n] = g_malloc(len);
    for (guint64 i = 0; i < len; i++) {
        l->data[l->n][i] = (guint8)g_test_rand_int();
    }
    g_assert_cmpint(store_log_write(l->log, r, l->data[l->n]), ==, 0);
    l->n++;
}

static void set_up(Logs *l, gconstpointer unused)
{
    l->dir = test_dir_new();
    l->folder = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(store_log_create(l->folder, 7, &l->log), ==, 0);
    for (guint i = 0; i < RECORDS; i++) {
        append(l, i % 5 ? STORE_DATA : STORE_ZERO, i * MAX,
               (guint64)g_test_rand_int_range(1, MAX));
    }
}

static void tear_down(Logs *l, gconstpointer unused)
{
    store_log_close(l->log);
    close(l->folder);
    scratch_remove(l->dir);
    g_free(l->dir);
    for (guint i = 0; i < l->n; i++) {
        g_free(l->data[i]);
    }
}

typedef struct Found {
    Logs *l;
    guint next; /* the record that must come next, or a later one */
    guint n;
} Found;

static gboolean found(const StoreRecord *r, gpointer user)
{
    Found *f = user;
    const StoreRecord *want;

    while (f->next < f->l->n && f->l->records[f->next].pos != r->pos) {
        f->next++;
    }
    g_assert_cmpuint(f->next, <, f->l->n);
    want = &f->l->records[f->next];
    g_assert_cmpuint(r->kind, ==, want->kind);
    g_assert_cmpuint(r->off, ==, want->off);
    g_assert_cmpuint(r->len, ==, want->len);
    g_assert_cmpuint(r->sum, ==, want->sum);
    f->next++;
    f->n++;
    return TRUE;
}

static guint replay(Logs *l, guint64 end, StoreReplay *out)
{
    Found f = {.l = l};

    g_assert_cmpint(
        store_log_replay(l->log->fd, l->log->id, end, DISK, found, &f, out), ==,
        0);
    g_assert_cmpuint(out->records, ==, f.n);
    return f.n;
}

static void test_replay(Logs *l, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    StoreLog *again;
    StoreReplay r;
    guint64 sum = 0;

    for (guint i = 0; i < l->n; i++) {
        sum += l->records[i].sum;
    }
    g_assert_cmpuint(replay(l, G_MAXUINT64, &r), ==, l->n);
    g_assert_cmpuint(r.sum, ==, sum);
    g_assert_cmpuint(r.end, ==, l->log->end);
    g_assert_cmpuint(r.skipped, ==, 0);
    again = store_log_open(l->folder, 7, l->log->id, FALSE, &error);
    g_assert_no_error(error);
    store_log_close(again);
    g_assert_null(store_log_open(l->folder, 7, 1234, FALSE, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

/* The file ends anywhere: all records before, no other. */
static void test_cut(Logs *l, gconstpointer unused)
{
    for (int i = 0; i < 200; i++) {
        guint64 at = (guint64)g_test_rand_int_range(0, (gint)l->log->end);
        guint want = 0;
        StoreReplay r;

        while (want < l->n && l->records[want].pos + STORE_HEADER +
                                      (l->records[want].kind == STORE_DATA
                                           ? l->records[want].len
                                           : 0) <=
                                  at) {
            want++;
        }
        g_assert_cmpuint(replay(l, at, &r), ==, want);
    }
}

/* One flipped bit costs its record, and no other. */
static void test_flip(Logs *l, gconstpointer unused)
{
    for (int i = 0; i < 200; i++) {
        guint victim = (guint)g_test_rand_int_range(0, (gint)l->n);
        const StoreRecord *v = &l->records[victim];
        guint64 bytes = STORE_HEADER + (v->kind == STORE_DATA ? v->len : 0);
        guint64 at = v->pos + (guint64)g_test_rand_int_range(0, (gint)bytes);
        guint8 byte, flipped;
        StoreReplay r;

        g_assert_cmpint(store_pread(l->log->fd, &byte, 1, at), ==, 0);
        flipped = byte ^ (guint8)(1 << g_test_rand_int_range(0, 8));
        g_assert_cmpint(store_pwrite(l->log->fd, &flipped, 1, at), ==, 0);
        g_assert_cmpuint(replay(l, G_MAXUINT64, &r), ==, l->n - 1);
        if (victim < l->n - 1) {
            g_assert_cmpuint(r.skipped, ==, store_record_size(v->kind, v->len));
        }
        g_assert_cmpint(store_pwrite(l->log->fd, &byte, 1, at), ==, 0);
    }
}

/* A writer died between two others. */
static void test_gap(Logs *l, gconstpointer unused)
{
    StoreReplay r;

    l->log->end += 100 * STORE_HEADER;
    append(l, STORE_DATA, 0, 4096);
    g_assert_cmpuint(replay(l, G_MAXUINT64, &r), ==, l->n);
}

/* Old content, whole as it is, does not come back. */
static void test_recycle(Logs *l, gconstpointer unused)
{
    guint n = l->n;
    StoreReplay r;
    struct stat st;

    g_assert_cmpint(store_log_recycle(l->log, 1 << 20), ==, 0);
    g_assert_cmpint(fstat(l->log->fd, &st), ==, 0);
    g_assert_cmpint(st.st_size, >, 64 * 1024);
    g_assert_cmpuint(replay(l, G_MAXUINT64, &r), ==, 0);
    for (guint i = 0; i < n; i++) {
        g_free(l->data[i]);
    }
    l->n = 0;
    append(l, STORE_DATA, 0, 5000);
    append(l, STORE_DATA, 5000, 5000);
    g_assert_cmpuint(replay(l, G_MAXUINT64, &r), ==, 2);
    g_assert_cmpint(store_log_recycle(l->log, STORE_LOG_START), ==, 0);
    g_assert_cmpint(fstat(l->log->fd, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, STORE_LOG_START);
}

static gboolean enter(const StoreRecord *r, gpointer user)
{
    store_index_insert(user, r);
    return TRUE;
}

/* A run of many records is read as if it were in one place. */
static void test_read_run(Logs *l, gconstpointer unused)
{
    enum { N = 700, STRIDE = 512 };
    g_autofree guint8 *want = g_malloc((gsize)N * STRIDE);
    g_autofree guint8 *got = g_malloc((gsize)N * STRIDE);
    StoreIndex *ix = store_index_new();
    const StoreRun *run;
    StoreReplay out;

    g_assert_cmpint(store_log_recycle(l->log, STORE_LOG_START), ==, 0);
    for (guint i = 0; i < N; i++) {
        StoreRecord r = {.kind = STORE_DATA,
                         .pos = l->log->end,
                         .off = i * STRIDE,
                         .len = STRIDE};

        memset(want + i * STRIDE, (int)(i * 7 + i / 256), STRIDE);
        g_assert_cmpint(store_log_write(l->log, &r, want + i * STRIDE), ==, 0);
        l->log->end += store_record_size(r.kind, r.len);
    }
    g_assert_cmpint(store_log_replay(l->log->fd, l->log->id, G_MAXUINT64, DISK,
                                     enter, ix, &out),
                    ==, 0);
    g_assert_cmpuint(store_index_runs(ix), ==, 1);
    run = store_index_find(ix, 0);
    for (int i = 0; i < 100; i++) {
        guint64 a = (guint64)g_test_rand_int_range(0, N * STRIDE);
        guint64 b = (guint64)g_test_rand_int_range((gint)a, N * STRIDE) + 1;
        StoreRun part = store_run_part(run, a, b);

        g_assert_cmpint(store_log_read(l->log, &part, got), ==, 0);
        g_assert_cmpmem(got, b - a, want + a, b - a);
    }
    store_index_free(ix);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/store/log/" name, Logs, NULL, set_up, func, tear_down)
    ADD("replay", test_replay);
    ADD("cut", test_cut);
    ADD("flip", test_flip);
    ADD("gap", test_gap);
    ADD("recycle", test_recycle);
    ADD("read-run", test_read_run);
    return g_test_run();
}
