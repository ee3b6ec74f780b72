/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From dirty pages to the ft stream's buffers. */
#include "colo/engine/primary.h"

#include <string.h>

#define CHUNK_PAGES (FT_CHUNK_DATA / COLO_PAGE_SIZE)
#define AHEAD_BUFS  12 /* in use while sending ahead: they stay warm */
#define LONG_RUN    16 /* pages: to ask for a hole there costs little */

/* Add n pages to the last run or to a new one; FALSE: no run is left. */
static gboolean add_run(FtBuf *b, gsize page, gsize n, gboolean zero)
{
    FtRun *last = b->n_runs ? &b->runs[b->n_runs - 1] : NULL;

    if (last && last->zero == (zero ? 1u : 0u) &&
        last->page + last->n_pages == page &&
        last->n_pages <= G_MAXUINT32 - n) {
        last->n_pages += (guint32)n;
        return TRUE;
    }
    if (b->n_runs == FT_CHUNK_RUNS) {
        return FALSE;
    }
    b->runs[b->n_runs++] = (FtRun){
        .page = page, .n_pages = (guint32)n, .zero = zero ? 1 : 0};
    return TRUE;
}

/*
 * Add what of the n pages from page on begins them and is a hole of the RAM's
 * file (never touched, or given back by a balloon): to read it would allocate
 * it, in the guest's name.  Returns its length, 0 also if no run is left.
 */
static gsize add_hole(Primary *p, FtBuf *b, gsize page, gsize n)
{
    gsize bytes = colo_vm_ram_zeros(p->e->vm, page * COLO_PAGE_SIZE);

    n = MIN(n, bytes / COLO_PAGE_SIZE);
    if (!n || !add_run(b, page, n, TRUE)) {
        return 0;
    }
    colo_tracker_copied_zero(p->e->tracker, page, n);
    p->zero_pages += n;
    return n;
}

gboolean primary_fill(Primary *p, FtBuf *b)
{
    const guint8 *ram = colo_vm_ram(p->e->vm);
    gboolean told = colo_tracker_wants_copies(p->e->tracker);
    gboolean running = colo_vm_running(p->e->vm);
    gboolean zero = TRUE; /* the last page; holes are near each other */
    gsize start, n;

    b->type = FT_CHUNK_PAGES;
    while (b->len < FT_CHUNK_DATA) {
        gsize i = 0;
        gboolean ask;

        n = colo_bitmap_next_run(p->dirty, p->cursor, CHUNK_PAGES, &start);
        if (!n) {
            if (!p->cursor || b->n_runs) {
                break; /* runs ascend within a buffer: wrap in the next */
            }
            p->cursor = 0;
            continue;
        }
        /* Does a hole begin here?  To ask takes half as long as to copy. */
        ask = zero || n >= LONG_RUN;
        while (i < n && b->len < FT_CHUNK_DATA) {
            guint8 *copy = b->data + b->len;
            gsize hole = ask ? add_hole(p, b, start + i, n - i) : 0;

            ask = FALSE;
            if (hole) {
                i += hole;
                zero = TRUE;
                continue;
            }
            /*
             * The copy decides, not the page: the guest may write to the
             * page at this moment, and is then dirty again.
             */
            memcpy(copy, ram + (start + i) * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
            zero = colo_is_zero(copy, COLO_PAGE_SIZE);
            if (!add_run(b, start + i, 1, zero)) {
                break;
            }
            if (told) {
                colo_tracker_copied(p->e->tracker, start + i, copy);
            }
            b->len += zero ? 0 : COLO_PAGE_SIZE;
            p->zero_pages += zero;
            /* It may have been a hole's first; the pause does not look. */
            ask = running && zero;
            i++;
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

/*
 * Memory that QEMU never touched is a hole of the RAM's file.  Reading it
 * would allocate it; it is known to be zero.  What is left when no buffer is
 * free primary_fill() comes upon.
 */
void primary_send_holes(Primary *p)
{
    gsize from = 0, start, end;
    FtBuf *b = NULL;

    while (colo_vm_ram_hole(p->e->vm, from, &start, &end)) {
        gsize page = (start + COLO_PAGE_SIZE - 1) / COLO_PAGE_SIZE;
        gsize n = end / COLO_PAGE_SIZE - MIN(page, end / COLO_PAGE_SIZE);

        from = end;
        if (!n) {
            continue;
        }
        if (b && b->n_runs == FT_CHUNK_RUNS) {
            primary_queue(p, b);
            b = NULL;
        }
        if (!b && !(b = ft_pool_get(p->pool))) {
            return;
        }
        add_run(b, page, n, TRUE);
        colo_bitmap_clear(p->dirty, page, n);
        colo_tracker_copied_zero(p->e->tracker, page, n);
        p->pages += n;
        p->zero_pages += n;
    }
    if (b) {
        primary_queue(p, b);
    }
}
