/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the hold into the secondary's guest. */
#include "colo/engine/secondary.h"
#include "colo/log.h"

#include <string.h>
#include <sys/mman.h>

/* Somebody's cont in each of so many loads in a row is no accident. */
#define LOAD_TRIES 10

/* Copy the pages in s->touched from the cache to the guest; clears them. */
static void copy_touched(Secondary *s)
{
    guint8 *ram = colo_vm_ram(s->e->vm);
    gboolean told = colo_tracker_wants_copies(s->e->tracker);
    gsize from = 0, start, n;

    while ((n = colo_bitmap_next_run(s->touched, from, G_MAXSIZE / 2,
                                     &start))) {
        memcpy(ram + start * COLO_PAGE_SIZE,
               s->hold->cache + start * COLO_PAGE_SIZE, n * COLO_PAGE_SIZE);
        for (gsize i = start; told && i < start + n; i++) {
            colo_tracker_copied(s->e->tracker, i,
                                s->hold->cache + i * COLO_PAGE_SIZE);
        }
        from = start + n;
    }
    colo_bitmap_clear_all(s->touched);
}

/*
 * Memory that neither side ever wrote stays a hole: pages that are zero
 * already are not copied, for a copy would allocate them.
 */
static void skip_holes(Secondary *s)
{
    gsize from = 0, start, end;

    while (colo_vm_ram_hole(s->e->vm, from, &start, &end)) {
        for (gsize i = (start + COLO_PAGE_SIZE - 1) / COLO_PAGE_SIZE;
             i < end / COLO_PAGE_SIZE; i++) {
            if (colo_bitmap_test(s->touched, i) &&
                colo_is_zero(s->hold->cache + i * COLO_PAGE_SIZE,
                             COLO_PAGE_SIZE)) {
                colo_bitmap_clear(s->touched, i, 1);
                colo_tracker_copied_zero(s->e->tracker, i, 1);
            }
        }
        from = end;
    }
}

static gboolean collect(Secondary *s, GError **error)
{
    return colo_tracker_collect(s->e->tracker, s->touched, TRUE, error);
}

/*
 * Load the kept device state over RAM that is already right.  The reset
 * inside snapshot-load writes to RAM (firmware, boot tables): those pages
 * are put right again from the cache.
 *
 * In lockstep both guests have to see the same time: what depends on it would
 * differ in what they send.
 */
static gboolean load_devices(Secondary *s, GError **error)
{
    gint64 since = s->periodic ? 0 : s->hold->resumed_us;

    for (int i = 1;; i++) {
        g_autoptr(GError) e = NULL;

        if (colo_vm_load_following(s->e->vm, s->state->data, s->state->len,
                                   since, &s->clock_us, &e) &&
            collect(s, &e)) {
            copy_touched(s);
            return TRUE;
        }
        if (i == LOAD_TRIES || !g_error_matches(e, COLO_VM_ERROR,
                                                COLO_VM_ERROR_DISTURBED)) {
            g_propagate_error(error, g_steal_pointer(&e));
            return FALSE;
        }
        /* Somebody let the half-loaded guest run: begin again. */
        colo_log_warn("%s: loading again", e->message);
        if (!colo_vm_stop(s->e->vm, error) || !collect(s, error)) {
            return FALSE;
        }
        copy_touched(s);
    }
}

static gboolean load_and_run(Secondary *s, GError **error)
{
    ColoEngine *e = s->e;

    colo_run_state_set(e->run, COLO_RUN_LOADING, TRUE);
    if (!load_devices(s, error)) {
        return FALSE;
    }
    s->with_proxy = colo_proxy_run(e->proxy, s->hold->epoch,
                                   secondary_is_alone(s));
    if (!colo_vm_cont(e->vm, error)) {
        return FALSE;
    }
    colo_run_state_set(e->run, COLO_RUN_LOADING, FALSE);
    return TRUE;
}

gboolean secondary_take_commit(Secondary *s, GError **error)
{
    FtHold *h = s->hold;
    gboolean first = !s->complete;

    if (!s->periodic && !colo_vm_stop(s->e->vm, error)) {
        return FALSE;
    }
    /*
     * In periodic mode it does not run before the takeover; but what clients
     * send from the capture on is what it needs then.
     */
    s->with_proxy = colo_proxy_load(s->e->proxy, h->epoch);
    colo_run_state_set(s->e->run, COLO_RUN_LOADING, TRUE);
    if (!secondary_load_disks(s, h->epoch, error)) {
        return FALSE;
    }
    /*
     * What our own guest wrote is undone, what the primary wrote is done.  In
     * periodic mode it does not run; the trial load before may have written.
     */
    if ((first || !s->periodic) && !collect(s, error)) {
        return FALSE;
    }
    colo_bitmap_or(s->touched, h->staged);
    if (first) {
        skip_holes(s);
    }
    copy_touched(s);
    g_byte_array_set_size(s->state, 0);
    g_byte_array_append(s->state, h->state, (guint)h->state_len);
    colo_bitmap_clear_all(h->staged);
    s->complete = TRUE;
    s->stale = FALSE;
    if (s->periodic) {
        colo_run_state_set(s->e->run, COLO_RUN_LOADING, FALSE);
    } else if (!load_and_run(s, error)) {
        return FALSE;
    }
    ft_hold_release(h);
    return TRUE;
}

gboolean secondary_run_guest(Secondary *s, GError **error)
{
    FtHold *h = s->hold;
    gsize from = 0, start, n;

    if (!s->periodic) {
        return colo_vm_cont(s->e->vm, error);
    }
    /*
     * Nobody wrote to the guest's RAM but us, unless somebody let it run:
     * what it wrote is undone, as long as the cache still has the page.
     */
    if (!colo_vm_stop(s->e->vm, error) || !collect(s, error)) {
        return FALSE;
    }
    if (colo_bitmap_overlap(s->touched, h->scratch)) {
        g_set_error_literal(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED,
                            "somebody let the secondary's guest run: its RAM "
                            "is not the last checkpoint's any more");
        return FALSE;
    }
    copy_touched(s);
    /* Pages of a transaction that was never committed leave the cache. */
    while ((n = colo_bitmap_next_run(h->scratch, from, G_MAXSIZE / 2,
                                     &start))) {
        memcpy(h->cache + start * COLO_PAGE_SIZE,
               colo_vm_ram(s->e->vm) + start * COLO_PAGE_SIZE,
               n * COLO_PAGE_SIZE);
        from = start + n;
    }
    return load_and_run(s, error);
}
