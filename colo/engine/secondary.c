/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's engine: its loop, its VM, and the commits. */
#include "colo/engine/secondary.h"
#include "colo/log.h"

#define REOPEN_US (1000 * 1000)
/* For QEMU to bring the guest back while the primary does not answer. */
#define ALONE_US  (60 * G_USEC_PER_SEC)
/* When nobody else has the guest we wait, look this often, and say so then. */
#define LOOK_US   (500 * 1000)
#define SAY_US    (3 * G_USEC_PER_SEC)

/* --- The VM -------------------------------------------------------------- */

static void say_silent(Secondary *s, gint64 waited_us)
{
    g_autofree char *text = NULL;

    if (waited_us < s->said_silent_us) {
        s->said_silent_us = 0; /* it is another command's answer */
    }
    if (waited_us >= MAX(SAY_US, 2 * s->said_silent_us)) {
        s->said_silent_us = waited_us;
        text = g_strdup_printf("QEMU has not answered for %d s, and nobody "
                               "else has the guest: waiting for it",
                               (int)(waited_us / G_USEC_PER_SEC));
        colo_engine_note(s->e, text);
    }
}

/*
 * QEMU loads when its disks' caches are on disk: it has its time from when they
 * answer.  The primary's clients do not wait for that: its proxy passes what is
 * held for too long.
 */
static gint64 patience_with_disks(const ColoEngine *e, gint64 waited_us)
{
    gint64 silent_at = e->disks ? colo_disk_server_silent_at(e->disks) : 0;
    gint64 us = waited_us - (g_get_monotonic_time() - silent_at) +
                e->config->qmp_timeout_ms * 1000;

    return silent_at ? MIN(us, ALONE_US) : 0;
}

/*
 * A QEMU that is silent for --qmp-timeout is given up, so that the primary does
 * not wait for it.  When there is no primary, all would be lost with it: QEMU
 * brings its disks' caches to disk before it loads, and a disk that has much to
 * write just then takes seconds for that, one that hangs any time.  The primary
 * may be lost while we wait.
 */
static gint64 patience(gint64 waited_us, gpointer user)
{
    Secondary *s = user;
    gboolean needed =
        s->complete || (s->hold && ft_hold_is_committed(s->hold));

    if (!needed || !secondary_is_alone(s)) {
        return patience_with_disks(s->e, waited_us);
    }
    if (!secondary_is_last(s)) {
        return ALONE_US;
    }
    if (colo_mailbox_wants_quit(s->e->mailbox)) {
        return 0;
    }
    say_silent(s, waited_us);
    return waited_us + LOOK_US;
}

static gboolean open_vm(Secondary *s, gint64 timeout_us, GError **error)
{
    ColoEngine *e = s->e;
    gsize n;

    if (!colo_engine_open_vm(e, timeout_us, error)) {
        return FALSE;
    }
    if (colo_run_state_get(e->run, COLO_RUN_TAKEN_OVER)) {
        return TRUE; /* it is nobody's secondary any more */
    }
    colo_vm_set_patience(e->vm, patience, s);
    if (colo_vm_running(e->vm)) {
        colo_log_warn("the secondary's guest was running: stopping it");
    }
    if (!colo_vm_stop(e->vm, error) ||
        !colo_vm_restore_prepare(e->vm, error)) {
        colo_engine_close_vm(e);
        return FALSE;
    }
    n = colo_vm_ram_bytes(e->vm) / COLO_PAGE_SIZE;
    s->hold = ft_hold_new(n, colo_vm_state_room(e->vm), error);
    if (!s->hold) {
        colo_engine_close_vm(e);
        return FALSE;
    }
    s->touched = colo_bitmap_new(n);
    return TRUE;
}

static void close_vm(Secondary *s)
{
    colo_engine_close_vm(s->e);
    g_clear_pointer(&s->hold, ft_hold_free);
    g_clear_pointer(&s->touched, colo_bitmap_free);
}

void secondary_lose_vm(Secondary *s, const char *why)
{
    ColoEngine *e = s->e;
    gboolean died = colo_engine_vm_died(e, NULL);
    gboolean alone = e->state == COLO_STATE_ALONE;

    colo_proxy_end_takeover(e->proxy);
    secondary_end_conn(s, FT_CANCEL_FAILED,
                       died ? "the secondary's QEMU died"
                            : "the secondary's guest cannot be driven");
    secondary_forget_session(s);
    close_vm(s);
    s->reopen_at = g_get_monotonic_time() + REOPEN_US;
    if (alone && e->saw_shutdown) {
        colo_engine_step(e, COLO_ON_SHUTDOWN, "the guest shut down (%s)",
                         e->shutdown_reason);
    } else if (e->state != COLO_STATE_ENDED && e->state != COLO_STATE_FAILED) {
        if (alone || e->state == COLO_STATE_TAKEOVER) {
            colo_engine_emit_exit(e, "error");
        }
        colo_engine_step(e, COLO_ON_FAILURE, "%s%s",
                         died ? "QEMU died: " : "", why);
    }
}

/*
 * The guest took over before: it goes on alone, with nobody's help.  FALSE: it
 * cannot, so far (error).
 */
static gboolean go_on_alone(Secondary *s, GError **error)
{
    ColoEngine *e = s->e;

    if (colo_run_state_get(e->run, COLO_RUN_LOADING)) {
        g_set_error_literal(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                            "a takeover was not finished: this guest's state "
                            "is not whole; start QEMU anew");
        return FALSE;
    }
    if (!secondary_promote_disks(s, error) || !colo_vm_cont(e->vm, error)) {
        close_vm(s); /* and try again */
        s->reopen_at = g_get_monotonic_time() + REOPEN_US;
        return FALSE;
    }
    colo_proxy_takeover(e->proxy);
    colo_engine_step(e, COLO_ON_TAKEN_OVER,
                     "this guest had taken over: it runs here, alone");
    return TRUE;
}

static void reopen_vm(Secondary *s)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    s->reopen_at = 0;
    if (!open_vm(s, REOPEN_US, &error)) {
        s->reopen_at = g_get_monotonic_time() + REOPEN_US;
    } else if (!colo_run_state_get(e->run, COLO_RUN_TAKEN_OVER)) {
        colo_engine_step(e, COLO_ON_START,
                         "QEMU is there again: waiting for the primary");
    } else {
        go_on_alone(s, &error);
    }
    colo_engine_note_reopen(e, error);
}

/* --- Commits -------------------------------------------------------------- */

static void emit_checkpoint(Secondary *s, gint64 load_us)
{
    JsonObject *data = json_object_new();

    json_object_set_int_member(data, "epoch", (gint64)s->hold->epoch);
    json_object_set_int_member(data, "pages",
                               (gint64)s->hold->committed_pages);
    json_object_set_double_member(data, "load-ms", (double)load_us / 1e3);
    colo_qmp_server_emit(s->e->control, "COLO_CHECKPOINT", data);
}

gboolean secondary_catch_up(Secondary *s)
{
    ColoEngine *e = s->e;
    ColoStatus *st = e->status;
    gint64 begin = g_get_monotonic_time(), load_us;
    guint64 epoch, pages;
    gboolean first = !s->complete;
    g_autoptr(GError) error = NULL;

    if (!s->hold || !ft_hold_is_committed(s->hold)) {
        return TRUE;
    }
    epoch = s->hold->epoch;
    pages = s->hold->committed_pages;
    if (!secondary_take_commit(s, &error)) {
        colo_log_error("cannot load checkpoint %" G_GUINT64_FORMAT ": %s",
                       epoch, error->message);
        secondary_lose_vm(s, error->message);
        return FALSE;
    }
    load_us = g_get_monotonic_time() - begin;
    colo_status_lock(st);
    st->epoch = epoch;
    st->checkpoints++;
    st->cuts += e->disks != NULL;
    st->guest_running = colo_vm_running(e->vm);
    if (first) {
        st->copy_done = st->copy_total;
        st->copy_end_us = begin;
    } else {
        colo_histogram_add(st->load, (guint64)load_us);
        if (s->clock_us) {
            colo_histogram_add(st->clock_lag, (guint64)s->clock_us);
        }
        colo_histogram_add(st->pages, pages);
    }
    colo_status_unlock(st);
    secondary_show_copy(s);
    emit_checkpoint(s, load_us);
    /* What was on its way when the primary fell silent protects no more. */
    if (e->state == COLO_STATE_SYNCING ||
        (s->conn && e->state != COLO_STATE_TAKEOVER &&
         !colo_heartbeat_is_lost(e->heartbeat))) {
        colo_engine_commit(e, epoch,
                           s->with_proxy && colo_proxy_is_ready(e->proxy));
    }
    return TRUE;
}

/* --- What happens to the primary ------------------------------------------ */

static void conn_ended(Secondary *s, guint64 id)
{
    ColoEngine *e = s->e;
    ColoConn *c = s->conn;

    if (!c || c->id != id) {
        return; /* ended by us, and freed */
    }
    g_thread_join(c->thread);
    c->thread = NULL;
    s->conn = NULL;
    if (c->cancelled) {
        /* A commit that was acknowledged comes first. */
        if (secondary_catch_up(s)) {
            secondary_primary_left(s, &c->note);
        }
    } else if (e->state < COLO_STATE_TAKEOVER) {
        colo_engine_step(e, COLO_ON_LINK_LOST, "%s", c->error);
        if (colo_heartbeat_is_lost(e->heartbeat)) {
            secondary_primary_gone(s, "the primary's heartbeat is lost");
        }
    }
    secondary_conn_free(c);
}

/*
 * Somebody let a guest run that has to wait.  Without a copy to lose it is
 * just stopped again; else what it wrote has spoilt the copy.
 */
static void watch_guest(Secondary *s)
{
    ColoEngine *e = s->e;
    gboolean resumed = e->saw_resume;
    g_autoptr(GError) error = NULL;

    e->saw_resume = e->saw_stop = FALSE;
    if (!resumed || !e->vm || e->state >= COLO_STATE_TAKEOVER ||
        (s->complete && !s->periodic)) {
        return;
    }
    if (!colo_vm_stop(e->vm, &error)) {
        secondary_lose_vm(s, error->message);
        return;
    }
    if (s->complete) {
        secondary_end_conn(s, FT_CANCEL_FAILED,
                           "somebody let the secondary's guest run");
        secondary_forget_session(s);
        colo_engine_step(e, COLO_ON_END, "somebody let this guest run: what it "
                         "held of the primary is spoilt, waiting for a new "
                         "copy");
    }
}

static void watch_proxy(Secondary *s)
{
    ColoEngine *e = s->e;
    ColoProxy *proxy = e->proxy;
    gboolean lost = colo_proxy_take_lost(proxy);

    if (e->state == COLO_STATE_ACTIVE && colo_proxy_is_wanted(proxy) &&
        (lost || !colo_proxy_is_ready(proxy))) {
        colo_engine_degrade(e,
                            "checkpoints go on, but clients' connections are "
                            "not protected: %s",
                            colo_proxy_why(proxy));
    }
}

static void take(Secondary *s, ColoMsg *m)
{
    switch (m->type) {
    case COLO_MSG_OFFER:
        secondary_offer(s, m->data);
        break;
    case COLO_MSG_COMMITTED:
        secondary_catch_up(s);
        break;
    case COLO_MSG_CONN_ENDED:
        conn_ended(s, (guint64)m->number);
        break;
    case COLO_MSG_HEARTBEAT_LOST:
        /* It may be back: a load can take long, and messages wait for it. */
        if (secondary_catch_up(s) &&
            colo_heartbeat_is_lost(s->e->heartbeat)) {
            secondary_primary_gone(s, "the primary's heartbeat is lost");
        }
        break;
    case COLO_MSG_HEARTBEAT_BACK:
        colo_log_info("the primary's heartbeat is back");
        break;
    case COLO_MSG_PEER_VM_DIED:
        secondary_primary_died(s, "the primary's QEMU died");
        break;
    case COLO_MSG_FENCED:
        secondary_fenced(s, (int)m->number);
        break;
    case COLO_MSG_LOST_HEARTBEAT:
        if (s->e->state < COLO_STATE_TAKEOVER) {
            secondary_take_over(s, "request", "x-colo-lost-heartbeat");
        }
        break;
    case COLO_MSG_QUIT:
        s->e->quit = TRUE;
        break;
    default:
        break;
    }
}

static void begin(Secondary *s)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    if (!colo_run_state_get(e->run, COLO_RUN_TAKEN_OVER)) {
        colo_engine_step(e, COLO_ON_START, "waiting for a primary");
    } else if (!go_on_alone(s, &error)) {
        colo_engine_step(e, COLO_ON_FAILURE, "%s", error->message);
    }
}

gboolean colo_secondary_open(ColoEngine *e, gint64 timeout_us, GError **error)
{
    Secondary *s = e->role;

    if (!s) {
        e->role = s = g_new0(Secondary, 1);
        s->e = e;
        s->state = g_byte_array_new();
    }
    return open_vm(s, timeout_us, error);
}

gboolean colo_secondary_listen(ColoEngine *e, GError **error)
{
    Secondary *s = e->role;

    s->link = secondary_link_new(e->config, e->mailbox, e->disks, error);
    return s->link != NULL;
}

void colo_secondary_run(ColoEngine *e)
{
    Secondary *s = e->role;
    ColoMsg *m;

    begin(s);
    while (!e->quit) {
        g_autoptr(GError) error = NULL;

        if (!colo_engine_wait(e, s->reopen_at ? s->reopen_at : -1, &error)) {
            secondary_lose_vm(s, error->message);
        }
        secondary_watch_age(s);
        watch_guest(s);
        while ((m = colo_mailbox_take(e->mailbox))) {
            take(s, m);
            colo_msg_free(m);
        }
        watch_proxy(s);
        if (s->reopen_at && g_get_monotonic_time() >= s->reopen_at) {
            reopen_vm(s);
        }
    }
    colo_engine_say_end(e, s->session != NULL);
    secondary_end_conn(s, FT_CANCEL_REQUEST,
                       "the secondary's colod was stopped");
}

void colo_secondary_close(ColoEngine *e)
{
    Secondary *s = e->role;
    ColoMsg *m;

    if (!s) {
        return;
    }
    /* It asks the heartbeat, which is gone by now. */
    if (e->vm) {
        colo_vm_set_patience(e->vm, NULL, NULL);
    }
    /* Connections that wait for an answer get one; none is left after. */
    secondary_link_stop(s->link);
    do {
        while ((m = colo_mailbox_take(e->mailbox))) {
            if (m->type == COLO_MSG_OFFER) {
                secondary_conn_refuse(m->data, FT_TRANS_ERR_UNKNOWN,
                                      "the secondary's colod is stopping");
            }
            colo_msg_free(m);
        }
    } while (!secondary_link_free(s->link));
    close_vm(s);
    g_byte_array_unref(s->state);
    g_free(s->session);
    g_free(s->primary_instance);
    g_clear_pointer(&e->role, g_free);
}
