/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From dirty pages to the ft stream's buffers. */
#include "colo/engine/primary.h"

#include <string.h>

#define CHUNK_PAGES (FT_CHUNK_DATA / COLO_PAGE_SIZE)
#define AHEAD_BUFS  12 /* in use while sending ahead: they stay warm */

/* Add a page to the last run or to a new one; FALSE: no run is left. */
static gboolean add_page(FtBuf *b, guint64 page, gboolean zero)
{
    FtRun *last = b->n_runs ? &b->runs[b->n_runs - 1] : NULL;

    if (last && last->zero == (zero ? 1u : 0u) &&
        last->page + last->n_pages == page) {
        last->n_pages++;
        return TRUE;
    }
    if (b->n_runs == FT_CHUNK_RUNS) {
        return FALSE;
    }
    b->runs[b->n_runs++] =
        (FtRun){.page = page, .n_pages = 1, .zero = zero ? 1 : 0};
    return TRUE;
}

gboolean primary_fill(Primary *p, FtBuf *b)
{
    const guint8 *ram = colo_vm_ram(p->e->vm);
    gboolean told = colo_tracker_wants_copies(p->e->tracker);
    gsize start, n;

    b->type = FT_CHUNK_PAGES;
    while (b->len < FT_CHUNK_DATA) {
        gsize i = 0;

        n = colo_bitmap_next_run(p->dirty, p->cursor, CHUNK_PAGES, &start);
        if (!n) {
            if (!p->cursor || b->n_runs) {
                break; /* runs ascend within a buffer: wrap in the next */
            }
            p->cursor = 0;
            continue;
        }
        for (; i < n && b->len < FT_CHUNK_DATA; i++) {
            guint8 *copy = b->data + b->len;
            gboolean zero;

            /*
             * The copy decides, not the page: the guest may write to the
             * page at this moment, and is then dirty again.
             */
            memcpy(copy, ram + (start + i) * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
            zero = colo_is_zero(copy, COLO_PAGE_SIZE);
            if (!add_page(b, start + i, zero)) {
                break;
            }
            if (told) {
                colo_tracker_copied(p->e->tracker, start + i, copy);
            }
            b->len += zero ? 0 : COLO_PAGE_SIZE;
            p->zero_pages += zero;
        }
        colo_bitmap_clear(p->dirty, start, i);
        p->pages += i;
        p->cursor = start + i;
        if (i < n) {
            break;
        }
    }
    return b->n_runs > 0;
}

void primary_begin(Primary *p)
{
    if (!p->open) {
        p->open = TRUE;
        p->id++;
        ft_log_reset(p->log);
        ft_sender_begin(p->sender, p->id, p->epoch + 1,
                        (p->epoch ? 0 : FT_BEGIN_INIT) |
                            (p->inherit ? FT_BEGIN_INHERIT : 0));
        p->inherit = TRUE;
    }
}

void primary_queue(Primary *p, FtBuf *b)
{
    guint n_runs = b->n_runs;
    FtRun runs[FT_CHUNK_RUNS];
    guint32 payload;

    primary_begin(p);
    memcpy(runs, b->runs, n_runs * sizeof(runs[0]));
    payload = ft_sender_chunk(p->sender, b);
    ft_log_add(p->log, payload, runs, n_runs);
}

void primary_drop(Primary *p, FtBuf *b)
{
    for (guint i = 0; i < b->n_runs; i++) {
        colo_bitmap_set(p->dirty, b->runs[i].page, b->runs[i].n_pages);
    }
    ft_pool_put(p->pool, b);
}

gboolean primary_send_ahead(Primary *p)
{
    FtBuf *b;

    while ((b = ft_pool_get_below(p->pool, AHEAD_BUFS))) {
        if (!primary_fill(p, b)) {
            ft_pool_put(p->pool, b);
            return TRUE;
        }
        /* The copy is in this core's cache; the sender has enough to do. */
        b->sum = ft_sum(b->data, b->len);
        b->summed = TRUE;
        primary_queue(p, b);
    }
    return FALSE;
}

void primary_all_dirty(Primary *p)
{
    colo_bitmap_set(p->dirty, 0, p->dirty->n_bits);
    p->cursor = 0;
}

/* Send [start, end) as zero pages; FALSE: no buffer is free. */
static gboolean send_zero(Primary *p, gsize start, gsize end)
{
    FtBuf *b = ft_pool_get(p->pool);

    if (!b) {
        return FALSE;
    }
    b->type = FT_CHUNK_PAGES;
    while (start < end && b->n_runs < FT_CHUNK_RUNS) {
        gsize n = MIN(end - start, (gsize)G_MAXUINT32);

        b->runs[b->n_runs++] =
            (FtRun){.page = start, .n_pages = (guint32)n, .zero = 1};
        colo_bitmap_clear(p->dirty, start, n);
        colo_tracker_copied_zero(p->e->tracker, start, n);
        p->pages += n;
        p->zero_pages += n;
        start += n;
    }
    primary_queue(p, b);
    return TRUE;
}

/*
 * Memory that QEMU never touched is a hole of the RAM's file.  Reading it
 * would allocate it; it is known to be zero.
 */
void primary_send_holes(Primary *p)
{
    gsize from = 0, start, end;

    while (colo_vm_ram_hole(p->e->vm, from, &start, &end) &&
           send_zero(p, (start + COLO_PAGE_SIZE - 1) / COLO_PAGE_SIZE,
                     end / COLO_PAGE_SIZE)) {
        from = end;
    }
}
