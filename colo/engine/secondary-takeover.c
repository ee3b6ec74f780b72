/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the primary is gone or leaves: who takes over, and how. */
#include "colo/engine/secondary.h"
#include "colo/log.h"

#define STOPPED_US (1000 * 1000) /* for a primary to stop its guest */

gboolean secondary_is_last(const Secondary *s)
{
    return s->e->state == COLO_STATE_TAKEOVER || s->vm_died ||
           colo_heartbeat_is_lost(s->e->heartbeat);
}

gboolean secondary_is_alone(const Secondary *s)
{
    return !s->conn || secondary_is_last(s);
}

/*
 * If the primary lives, it has to stop its guest before ours goes on (I3):
 * it does so when told, and closes the connection then.  A primary that is
 * dead or fenced does neither.
 */
static void leave_primary(Secondary *s)
{
    ColoEngine *e = s->e;
    gint64 end = g_get_monotonic_time() + STOPPED_US;

    if (!s->conn) {
        return;
    }
    secondary_conn_end(s->conn, FT_CANCEL_TAKEN_OVER,
                       "the secondary takes over");
    while (!s->vm_died && !colo_heartbeat_is_lost(e->heartbeat) &&
           g_get_monotonic_time() < end &&
           !secondary_conn_closed(s->conn, 10)) {
    }
    g_clear_pointer(&s->conn, secondary_conn_free);
}

void secondary_take_over(Secondary *s, const char *reason, const char *why)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    if (!s->complete && !(s->hold && ft_hold_is_committed(s->hold))) {
        colo_engine_note(e, "cannot take over: no checkpoint was committed");
        return;
    }
    colo_engine_step(e, COLO_ON_TAKE_OVER, "taking over: %s", why);
    if (e->state != COLO_STATE_TAKEOVER) {
        return;
    }
    leave_primary(s);
    /* What was acknowledged counts, loaded or not (I1, I2). */
    if (!secondary_catch_up(s)) {
        return;
    }
    /* In periodic mode the device state is loaded after this. */
    colo_run_state_set(e->run, COLO_RUN_LOADING, s->periodic);
    colo_run_state_set(e->run, COLO_RUN_TAKEN_OVER, TRUE);
    if (!secondary_promote_disks(s, &error) ||
        !secondary_run_guest(s, &error)) {
        secondary_lose_vm(s, error->message);
        return;
    }
    colo_proxy_takeover(e->proxy);
    colo_heartbeat_stop(e->heartbeat, e->state);
    colo_status_lock(e->status);
    e->status->guest_running = TRUE;
    e->status->can_take_over = e->status->stale = FALSE;
    colo_status_unlock(e->status);
    colo_engine_emit_exit(e, reason);
    colo_engine_step(e, COLO_ON_TAKEN_OVER,
                     "took over from checkpoint %" G_GUINT64_FORMAT
                     ": the guest runs here, alone", s->hold->epoch);
    colo_vm_set_patience(e->vm, NULL, NULL);
    /* Nothing is received any more: give the copy's memory back. */
    g_clear_pointer(&s->hold, ft_hold_free);
    s->complete = FALSE;
}

void secondary_watch_age(Secondary *s)
{
    ColoHeartbeat *h = s->e->heartbeat;

    if (s->complete && !s->stale &&
        (colo_heartbeat_peer_is_stale(h) ||
         colo_heartbeat_peer_state(h) == COLO_STATE_ALONE)) {
        colo_log_info("checkpoint %" G_GUINT64_FORMAT " grows old: the "
                      "primary's guest goes on without us",
                      s->hold->epoch);
        s->stale = TRUE;
        secondary_show_copy(s);
    }
}

void secondary_primary_gone(Secondary *s, const char *what)
{
    ColoEngine *e = s->e;

    if (e->state >= COLO_STATE_TAKEOVER || !s->session) {
        return;
    }
    secondary_watch_age(s);
    if (!s->complete) {
        secondary_end_conn(s, 0, NULL);
        secondary_forget_session(s);
        colo_engine_step(e, COLO_ON_END,
                         "%s before the first checkpoint: waiting for it",
                         what);
    } else if (!e->config->failover) {
        colo_engine_step(e, COLO_ON_PEER_LOST,
                         "%s: waiting for it, or for x-colo-lost-heartbeat",
                         what);
    } else if (s->stale) {
        colo_engine_step(e, COLO_ON_PEER_LOST,
                         "%s, but its guest had gone on without us: not "
                         "taking over by itself; x-colo-lost-heartbeat does, "
                         "from the last checkpoint",
                         what);
    } else {
        colo_engine_step(e, COLO_ON_PEER_LOST, "%s: fencing it", what);
        if (!s->fencing) {
            s->fencing = TRUE;
            colo_fence(e->config->fence, e->config->name, e->status->peer,
                       e->mailbox);
        }
    }
}

void secondary_primary_died(Secondary *s, const char *what)
{
    if (s->e->state >= COLO_STATE_TAKEOVER || !s->session) {
        return;
    }
    s->vm_died = TRUE;
    /* What was acknowledged comes first. */
    if (!secondary_catch_up(s)) {
        return;
    }
    secondary_watch_age(s);
    if (s->complete && !s->stale) {
        secondary_take_over(s, "error", what);
    } else {
        secondary_primary_gone(s, what);
    }
}

void secondary_fenced(Secondary *s, int status)
{
    ColoEngine *e = s->e;

    s->fencing = FALSE;
    if (e->state != COLO_STATE_PAUSED) {
        return; /* the operator was faster, or the primary came back */
    }
    secondary_watch_age(s);
    if (status != 0) {
        g_autofree char *text = g_strdup_printf(
            "the fence command failed (exit status %d): not taking over; "
            "x-colo-lost-heartbeat does",
            status);
        colo_engine_note(e, text);
    } else if (s->stale) {
        colo_engine_note(e, "the primary is fenced, but its guest had gone on "
                            "without us: not taking over by itself; "
                            "x-colo-lost-heartbeat does, from the last "
                            "checkpoint");
    } else if (!colo_heartbeat_is_lost(e->heartbeat)) {
        colo_engine_note(e, "the primary came back while it was fenced: not "
                            "taking over");
    } else {
        secondary_take_over(s, "error", "the primary is lost and fenced");
    }
}

void secondary_primary_left(Secondary *s, const FtNote *note)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    switch (note->code) {
    case FT_CANCEL_VM_DIED:
        secondary_primary_died(s, note->text);
        return;
    case FT_CANCEL_FAILED:
        if (!s->complete) {
            secondary_primary_gone(s, note->text);
            return;
        }
        colo_heartbeat_stop(e->heartbeat, e->state);
        s->stale = TRUE;
        secondary_show_copy(s);
        colo_engine_step(e, COLO_ON_PEER_LOST,
                         "%s: waiting for it, or for x-colo-lost-heartbeat",
                         note->text);
        return;
    case FT_CANCEL_GUEST_SHUTDOWN:
        if (!colo_vm_stop(e->vm, &error)) {
            colo_log_warn("cannot stop the guest: %s", error->message);
        }
        secondary_forget_session(s);
        colo_engine_step(e, COLO_ON_SHUTDOWN,
                         "the guest shut down (%s): protection has ended",
                         note->text);
        s->reopen_at = 0;
        return;
    default:
        if (!colo_vm_stop(e->vm, &error)) {
            colo_log_warn("cannot stop the guest: %s", error->message);
        }
        secondary_forget_session(s);
        colo_engine_emit_exit(e, "request");
        colo_engine_step(e, COLO_ON_END, "%s: waiting for a primary",
                         note->text);
        return;
    }
}
