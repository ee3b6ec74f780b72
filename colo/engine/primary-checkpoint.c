/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One checkpoint: the pause, and what its commit means. */
#include "colo/engine/primary.h"
#include "colo/log.h"

#include <sched.h>
#include <string.h>

/*
 * How long the guest may stand still because all buffers are in use.  After
 * that the capture is given up: the guest matters more.
 */
#define STALL_US 300000

/* Buffers filled during the pause, sent after it. */
typedef struct Captured {
    Primary *p;
    GQueue bufs;        /* FtBuf */
    gboolean state_sent;/* device state is among what was queued */
} Captured;

static void flush(Captured *c)
{
    FtBuf *b;

    while ((b = g_queue_pop_head(&c->bufs))) {
        c->state_sent |= b->type == FT_CHUNK_DEVICE;
        primary_queue(c->p, b);
    }
}

/*
 * A buffer, even if that means to send during the pause what was to be sent
 * after it.
 */
static FtBuf *get_buf(Captured *c, gint64 deadline, GError **error)
{
    FtBuf *b = ft_pool_get(c->p->pool);

    if (!b) {
        colo_status_lock(c->p->e->status);
        c->p->e->status->stalls++;
        colo_status_unlock(c->p->e->status);
        ft_sender_unhold(c->p->sender);
        flush(c);
    }
    while (!b && ft_pool_wait(c->p->pool, deadline)) {
        b = ft_pool_get(c->p->pool);
    }
    if (!b) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "the link is too slow: the guest would have been stopped "
                    "for more than %d ms",
                    STALL_US / 1000);
    }
    return b;
}

static gboolean copy_pages(Captured *c, gint64 deadline, GError **error)
{
    Primary *p = c->p;

    for (;;) {
        FtBuf *b = get_buf(c, deadline, error);

        if (!b) {
            return FALSE;
        }
        if (!primary_fill(p, b)) {
            ft_pool_put(p->pool, b);
            return TRUE;
        }
        g_queue_push_tail(&c->bufs, b);
    }
}

static gboolean copy_state(Captured *c, const guint8 *state, gsize len,
                           gint64 deadline, GError **error)
{
    gsize at = 0;

    while (at < len) {
        FtBuf *b = get_buf(c, deadline, error);

        if (!b) {
            return FALSE;
        }
        b->type = FT_CHUNK_DEVICE;
        b->offset = at;
        b->len = (guint32)MIN(len - at, (gsize)FT_CHUNK_DATA);
        memcpy(b->data, state + at, b->len);
        at += b->len;
        g_queue_push_tail(&c->bufs, b);
    }
    return TRUE;
}

/*
 * While the guest stands still nothing is more urgent than this thread and
 * QEMU's; a host full of busy guests would let each wait for the other.
 */
static void hurry(Primary *p, gboolean on)
{
    struct sched_param param = {.sched_priority = on ? 1 : 0};

    /* Without the right to it, it just takes longer. */
    (void)sched_setscheduler(0, on ? SCHED_FIFO | SCHED_RESET_ON_FORK
                                   : SCHED_OTHER, &param);
    colo_vm_hurry(p->e->vm, on);
}

void primary_cancel(Primary *p)
{
    if (p->open) {
        ft_sender_cancel(p->sender);
        ft_log_lost(p->log, 0, p->dirty);
        ft_log_reset(p->log);
        p->open = FALSE;
    }
}

/*
 * The pause.  FALSE: the capture has to be thrown away (error); what was
 * copied is in c->bufs all the same.
 */
static gboolean pause_and_copy(Captured *c, const guint8 **state, gsize *len,
                               GError **error)
{
    Primary *p = c->p;
    ColoEngine *e = p->e;
    gint64 begin = g_get_monotonic_time(), deadline = begin + STALL_US;
    gint64 stopped, collected, copied, saved;
    GError *local = NULL, *end_error = NULL;
    gboolean ok;

    colo_run_state_set(e->run, COLO_RUN_CAPTURING, TRUE);
    if (!colo_vm_capture_begin(e->vm, colo_tracker_wants_reads(e->tracker),
                               &local)) {
        /* A QEMU that did not answer may still take our stop, later. */
        if (!colo_engine_vm_lost(local)) {
            colo_run_state_set(e->run, COLO_RUN_CAPTURING, FALSE);
        }
        g_propagate_error(error, local);
        return FALSE;
    }
    stopped = g_get_monotonic_time();
    /* All that the guest wrote and sent until now; answered while we copy. */
    ok = primary_cut_begin(p, &local);
    if (ok && primary_output_is_captured(p)) {
        colo_proxy_capture_begin(e->proxy, p->epoch + 1, e->config->periodic);
    }
    colo_tracker_reads(e->tracker, colo_vm_capture_reads(e->vm));
    ok = ok && colo_tracker_collect(e->tracker, p->dirty, TRUE, &local);
    collected = g_get_monotonic_time();
    ok = ok && copy_pages(c, deadline, &local);
    copied = g_get_monotonic_time();
    ok = ok && colo_vm_capture_state(e->vm, state, len, &local);
    saved = g_get_monotonic_time();
    colo_proxy_capture_end(e->proxy);
    /* Before it writes on: what it writes then is of the next epoch. */
    ok = primary_cut_end(p, deadline, ok ? &local : NULL) && ok;
    if (!colo_vm_capture_end(e->vm, &p->paused_us, &end_error)) {
        ok = FALSE;
    }
    if (!end_error || g_error_matches(end_error, COLO_VM_ERROR,
                                      COLO_VM_ERROR_DISTURBED)) {
        colo_run_state_set(e->run, COLO_RUN_CAPTURING, FALSE);
    }
    p->resumed = g_get_monotonic_time();
    p->capture_us = p->resumed - begin;
    colo_log_debug("paused for %.2f ms; stop %.2f, collect %.2f, copy %.2f, "
                   "save %.2f more, cont %.2f; cut %.2f; %zu pages",
                   (double)p->paused_us / 1e3, (double)(stopped - begin) / 1e3,
                   (double)(collected - stopped) / 1e3,
                   (double)(copied - collected) / 1e3,
                   (double)(saved - copied) / 1e3,
                   (double)(p->resumed - saved) / 1e3,
                   (double)p->disks.cut_us / 1e3, p->pages);
    if (end_error) {
        g_clear_error(&local);
        g_propagate_error(error, end_error);
    } else if (local) {
        g_propagate_error(error, local);
    }
    return ok;
}

gboolean primary_capture(Primary *p, GError **error)
{
    Captured c = {.p = p, .bufs = G_QUEUE_INIT};
    const guint8 *state = NULL;
    gsize len = 0;
    gboolean ok;
    FtBuf *b;

    /*
     * The parts of this transaction go out after the pause, in one piece;
     * what is queued already leaves the processor to QEMU so long.
     */
    ft_sender_hold(p->sender);
    hurry(p, TRUE);
    ok = pause_and_copy(&c, &state, &len, error);
    hurry(p, FALSE);
    ok = ok && copy_state(&c, state, len, p->resumed + STALL_US, error);
    if (ok) {
        flush(&c);
        ft_sender_commit(p->sender, colo_vm_running(p->e->vm)
                                        ? colo_vm_resumed_us(p->e->vm)
                                        : 0);
    } else {
        colo_proxy_cancel(p->e->proxy);
    }
    ft_sender_unhold(p->sender);
    while ((b = g_queue_pop_head(&c.bufs))) {
        primary_drop(p, b);
    }
    if (!ok && c.state_sent) {
        primary_cancel(p); /* one transaction holds one device state */
    }
    return ok;
}

static void emit(Primary *p, guint64 epoch, gint64 commit_us, guint64 bytes)
{
    JsonObject *data = json_object_new();

    json_object_set_int_member(data, "epoch", (gint64)epoch);
    json_object_set_string_member(data, "reason", p->reason ? p->reason : "");
    json_object_set_double_member(data, "pause-ms", (double)p->paused_us / 1e3);
    json_object_set_double_member(data, "capture-ms",
                                  (double)p->capture_us / 1e3);
    json_object_set_double_member(data, "transfer-ms",
                                  (double)(commit_us - p->capture_us) / 1e3);
    json_object_set_double_member(data, "commit-ms", (double)commit_us / 1e3);
    json_object_set_int_member(data, "pages", (gint64)p->pages);
    json_object_set_int_member(data, "bytes", (gint64)bytes);
    colo_qmp_server_emit(p->e->control, "COLO_CHECKPOINT", data);
}

gboolean primary_release(Primary *p, guint64 epoch)
{
    ColoProxy *proxy = p->e->proxy;
    gboolean covered = colo_proxy_captured(proxy) == epoch;

    if (covered) {
        colo_proxy_commit(proxy);
        p->stalled_at = 0;
    }
    return covered && colo_proxy_is_ready(proxy);
}

void primary_committed(Primary *p, guint64 epoch)
{
    /* Clients wait for this: before everything else. */
    gboolean with_proxy = primary_release(p, epoch);
    ColoStatus *s = p->e->status;
    gint64 now = g_get_monotonic_time();
    guint64 bytes = ft_sender_bytes(p->sender) - p->bytes_before;
    gint64 commit_us = now - (p->resumed - p->capture_us);
    gboolean first = p->e->state == COLO_STATE_SYNCING;

    colo_status_lock(s);
    s->epoch = epoch;
    s->bytes_sent += bytes;
    s->pages_sent += p->pages;
    s->zero_pages += p->zero_pages;
    s->checkpoints++;
    colo_status_count(s->reasons, p->reason_kind);
    if (first) {
        s->copy_end_us = s->copy_end_us ? s->copy_end_us : now;
    } else {
        /* The full copy has figures of its own. */
        colo_histogram_add(s->pause, (guint64)p->paused_us);
        colo_histogram_add(s->capture, (guint64)p->capture_us);
        colo_histogram_add(s->transfer, (guint64)(now - p->resumed));
        colo_histogram_add(s->commit, (guint64)commit_us);
        colo_histogram_add(s->pages, p->pages);
        colo_histogram_add(s->bytes, bytes);
    }
    colo_status_unlock(s);

    p->epoch = epoch;
    p->open = FALSE;
    /* From now on another host can have this guest, too (I3). */
    colo_run_state_set(p->e->run, COLO_RUN_TAKEN_OVER, FALSE);
    p->nacks = p->failures = 0;
    ft_log_reset(p->log);
    emit(p, epoch, commit_us, bytes);
    colo_engine_commit(p->e, epoch, with_proxy);
    p->last_pages = p->pages;
    p->pages = p->zero_pages = 0;
    p->bytes_before = ft_sender_bytes(p->sender);
}
