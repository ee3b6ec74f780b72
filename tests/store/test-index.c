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
    g_assert_cmpuint(store_index_bytes(ix), ==, STORE_RUN_BYTES);
    for (guint i = 0; i < PIECES; i += 2) {
        r.off = i * 4096;
        store_index_insert(ix, &r);
        r.pos += store_record_size(r.kind, r.len);
    }
    g_assert_cmpuint(store_index_bytes(ix), ==, PIECES * STORE_RUN_BYTES);
    r = (StoreRecord){
        .kind = STORE_PUNCH, .pos = r.pos, .len = (guint64)1 << 41};
    store_index_insert(ix, &r);
    g_assert_cmpuint(store_index_bytes(ix), ==, STORE_RUN_BYTES);
    store_index_free(ix);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/index/random", test_random);
    g_test_add_func("/store/index/coalescing", test_coalescing);
    return g_test_run();
}
