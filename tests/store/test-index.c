/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The index against an array that says for each byte where it is. */
#include "blockrep/store/index.h"

enum { SIZE = 4096, OPS = 20000 };

typedef struct Byte {
    guint64 pos; /* of the record; 0: none */
    guint64 at;  /* in the log; 0: zeroes */
    StoreKind kind;
} Byte;

static void check(const StoreIndex *ix, const Byte *bytes)
{
    guint64 off = 0;

    while (off < SIZE) {
        const StoreRun *run = store_index_find(ix, off);
        guint64 to = run ? MIN(run->off, SIZE) : SIZE;

        for (; off < to; off++) {
            g_assert_cmpuint(bytes[off].pos, ==, 0);
        }
        while (run && off < run->end) {
            StoreRun part = store_run_part(run, off, run->end);
            guint64 n = 1, at = 0;

            if (run->kind == STORE_DATA) {
                at = store_run_pos(&part, &n);
            }
            for (guint64 i = 0; i < n; i++, off++) {
                g_assert_cmpuint(bytes[off].kind, ==, run->kind);
                g_assert_cmpuint(bytes[off].at, ==, at ? at + i : 0);
            }
        }
    }
}

static void insert(StoreIndex *ix, Byte *bytes, const StoreRecord *r)
{
    store_index_insert(ix, r);
    for (guint64 i = 0; i < r->len; i++) {
        Byte *b = &bytes[r->off + i];

        if (b->pos < r->pos) {
            *b = (Byte){r->pos,
                        r->kind == STORE_DATA ? r->pos + STORE_HEADER + i : 0,
                        r->kind};
        }
    }
}

/* Records of all sizes, some entered late as by a slow writer. */
static void test_random(void)
{
    g_autofree Byte *bytes = g_new0(Byte, SIZE);
    StoreIndex *ix = store_index_new();
    StoreRecord late = {0};
    guint64 pos = STORE_LOG_START, off = 0;

    for (int i = 0; i < OPS; i++) {
        StoreRecord r = {.pos = pos};
        int shape = g_test_rand_int_range(0, 4);

        r.kind = (StoreKind)g_test_rand_int_range(STORE_DATA, STORE_PUNCH + 1);
        if (shape < 2) { /* goes on where the last one ended */
            r.kind = STORE_DATA;
            r.off = off % SIZE;
            r.len = shape ? 64 : 128;
            r.len = MIN(r.len, SIZE - r.off);
        } else {
            r.off = (guint64)g_test_rand_int_range(0, SIZE);
            r.len = (guint64)g_test_rand_int_range(1, 300);
            r.len = MIN(r.len, SIZE - r.off);
        }
        off = r.off + r.len;
        pos += store_record_size(r.kind, r.len);
        if (!late.pos && g_test_rand_int_range(0, 8) == 0) {
            late = r;
            continue;
        }
        insert(ix, bytes, &r);
        if (late.pos && g_test_rand_int_range(0, 3) == 0) {
            insert(ix, bytes, &late);
            late.pos = 0;
        }
        if (i % 50 == 0) {
            check(ix, bytes);
        }
    }
    check(ix, bytes);
    store_index_free(ix);
}

/* 1 GiB in pieces of 4 KiB is one run; then every second piece is another. */
static void test_coalescing(void)
{
    enum { PIECES = 4096 };
    StoreIndex *ix = store_index_new();
    StoreRecord r = {.kind = STORE_DATA, .pos = STORE_LOG_START, .len = 4096};

    for (guint i = 0; i < PIECES; i++) {
        store_index_insert(ix, &r);
        r.off += r.len;
        r.pos += store_record_size(r.kind, r.len);
    }
    g_assert_cmpuint(store_index_runs(ix), ==, 1);
    for (guint i = 0; i < PIECES; i += 2) {
        r.off = i * 4096;
        store_index_insert(ix, &r);
        r.pos += store_record_size(r.kind, r.len);
    }
    g_assert_cmpuint(store_index_runs(ix), ==, PIECES);
    r = (StoreRecord){
        .kind = STORE_PUNCH, .pos = r.pos, .len = (guint64)1 << 41};
    store_index_insert(ix, &r);
    g_assert_cmpuint(store_index_runs(ix), ==, 1);
    g_assert_cmpuint(store_index_bytes(ix), ==, STORE_LEAF_BYTES);
    store_index_free(ix);
}

/* Leaves are full enough, however runs come and go. */
static void test_leaves(void)
{
    enum { BLOCKS = 40000 };
    g_autofree guint32 *order = g_new(guint32, BLOCKS);
    StoreIndex *ix = store_index_new();
    StoreRecord r = {.kind = STORE_DATA, .pos = STORE_LOG_START, .len = 4096};

    for (guint32 i = 0; i < BLOCKS; i++) {
        guint32 j = (guint32)g_test_rand_int_range(0, (gint32)i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (guint32 i = 0; i < BLOCKS; i++) {
        r.off = order[i] * 8192ull;
        store_index_insert(ix, &r);
        r.pos += store_record_size(r.kind, r.len);
    }
    g_assert_cmpuint(store_index_runs(ix), ==, BLOCKS);
    g_assert_cmpuint(store_index_bytes(ix), <, BLOCKS * 96);
    /* Runs go: 30 of each 32 that lie together become one. */
    for (guint32 i = 0; i + 32 <= BLOCKS; i += 32) {
        r.kind = STORE_ZERO;
        r.off = i * 8192ull;
        r.len = 30 * 8192;
        store_index_insert(ix, &r);
        r.pos += store_record_size(r.kind, r.len);
    }
    g_assert_cmpuint(store_index_runs(ix), ==, BLOCKS / 32 * 3);
    g_assert_cmpuint(store_index_bytes(ix), <, BLOCKS / 32 * 3 * 180);
    for (guint64 off = 0; off < BLOCKS * 8192ull; off += 4096) {
        const StoreRun *run = store_index_find(ix, off);
        gboolean gap = off / 8192 % 32 >= 30 && off % 8192;

        g_assert_cmpint(run && run->off <= off, ==, !gap);
        g_assert_true(!run || run->end > off);
    }
    store_index_free(ix);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/index/random", test_random);
    g_test_add_func("/store/index/coalescing", test_coalescing);
    g_test_add_func("/store/index/leaves", test_leaves);
    return g_test_run();
}
