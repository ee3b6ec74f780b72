/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of a transaction's payloads against a plain model of it. */
#include "colo/ft/ft-log.h"

#define PAGES    100000
#define PAYLOADS 200

typedef struct Model {
    GArray *runs[PAYLOADS];     /* FtRun; NULL: no page in this payload */
} Model;

static void model_clear(Model *m)
{
    for (guint i = 0; i < PAYLOADS; i++) {
        g_clear_pointer(&m->runs[i], g_array_unref);
    }
}

/* Random ascending runs for about two payloads of three. */
static void fill(FtLog *log, Model *m)
{
    for (guint32 p = 1; p < PAYLOADS; p++) {
        guint64 at = (guint64)g_test_rand_int_range(0, PAGES / 2);

        if (g_test_rand_int_range(0, 3) == 0) {
            continue; /* device state */
        }
        m->runs[p] = g_array_new(FALSE, FALSE, sizeof(FtRun));
        while (m->runs[p]->len < FT_CHUNK_RUNS) {
            FtRun r = {.zero = g_test_rand_bit()};

            r.page = at + (guint64)g_test_rand_int_range(0, 300);
            r.n_pages = (guint32)g_test_rand_int_range(1, 300);
            if (r.page + r.n_pages > PAGES) {
                break;
            }
            g_array_append_val(m->runs[p], r);
            at = r.page + r.n_pages;
        }
        ft_log_add(log, p, (FtRun *)m->runs[p]->data, m->runs[p]->len);
    }
}

static void test_lost(void)
{
    g_autoptr(FtLog) log = ft_log_new();
    Model m = {{NULL}};

    for (guint round = 0; round < 5; round++) {
        fill(log, &m);
        for (guint32 good = 0; good <= PAYLOADS + 1; good++) {
            g_autoptr(ColoBitmap) got = colo_bitmap_new(PAGES);
            g_autoptr(ColoBitmap) want = colo_bitmap_new(PAGES);

            ft_log_lost(log, good, got);
            for (guint32 p = good; p < PAYLOADS; p++) {
                for (guint i = 0; m.runs[p] && i < m.runs[p]->len; i++) {
                    FtRun *r = &g_array_index(m.runs[p], FtRun, i);

                    colo_bitmap_set(want, r->page, r->n_pages);
                }
            }
            g_assert_cmpmem(got->words, (PAGES + 63) / 64 * 8, want->words,
                            (PAGES + 63) / 64 * 8);
        }
        ft_log_reset(log);
        g_assert_cmpuint(ft_log_size(log), ==, 0);
        model_clear(&m);
    }
}

/* What was dirty before stays so. */
static void test_adds_to_dirty(void)
{
    g_autoptr(FtLog) log = ft_log_new();
    g_autoptr(ColoBitmap) dirty = colo_bitmap_new(100);
    FtRun runs[] = {{.page = 10, .n_pages = 2}, {.page = 12, .n_pages = 1}};

    colo_bitmap_set(dirty, 5, 1);
    ft_log_add(log, 1, runs, 2);
    ft_log_lost(log, 2, dirty);
    g_assert_cmpuint(colo_bitmap_count(dirty), ==, 1);
    ft_log_lost(log, 1, dirty);
    g_assert_cmpuint(colo_bitmap_count(dirty), ==, 4);
}

/* A full copy of 64 GiB, and a million scattered pages: a few MiB. */
static void test_compact(void)
{
    g_autoptr(FtLog) log = ft_log_new();
    guint64 pages = (G_GUINT64_CONSTANT(64) << 30) / 4096;
    guint32 payload = 1;
    FtRun runs[FT_CHUNK_RUNS];

    for (guint64 p = 0; p < pages; p += 128) {
        FtRun run = {.page = p, .n_pages = 128};
        ft_log_add(log, payload++, &run, 1);
    }
    g_assert_cmpuint(ft_log_size(log), <, 4 << 20);
    ft_log_reset(log);

    for (guint64 p = 0; p < pages; p += 16 * 128) {
        for (guint i = 0; i < 128; i++) {
            runs[i] = (FtRun){.page = p + i * 16, .n_pages = 1};
        }
        ft_log_add(log, payload++, runs, 128);
    }
    g_assert_cmpuint(ft_log_size(log), <, 4 << 20);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/log/lost", test_lost);
    g_test_add_func("/ft/log/adds-to-dirty", test_adds_to_dirty);
    g_test_add_func("/ft/log/compact", test_compact);
    return g_test_run();
}
