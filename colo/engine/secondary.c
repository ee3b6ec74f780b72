/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's engine: its loop, sessions, and the takeover. */
#include "colo/engine/secondary.h"
#include "colo/log.h"
#include "colo/names.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define REOPEN_US  (1000 * 1000)
#define STOPPED_US (1000 * 1000) /* for a primary to stop its guest */

/* --- The session -------------------------------------------------------- */

static void end_conn(Secondary *s, FtCancel cancel, const char *text)
{
    if (s->conn) {
        secondary_conn_end(s->conn, cancel, text);
        g_clear_pointer(&s->conn, secondary_conn_free);
    }
}

static void set_can_take_over(Secondary *s)
{
    colo_status_lock(s->e->status);
    s->e->status->can_take_over = s->complete;
    colo_status_unlock(s->e->status);
}

static void forget_session(Secondary *s)
{
    g_clear_pointer(&s->session, g_free);
    g_clear_pointer(&s->primary_instance, g_free);
    colo_heartbeat_stop(s->e->heartbeat, COLO_STATE_WAITING);
    if (s->hold) {
        ft_hold_reset(s->hold);
    }
    s->complete = s->stale = FALSE;
    set_can_take_over(s);
}

static void refuse(ColoConn *c, guint32 code, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static void refuse(ColoConn *c, guint32 code, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    secondary_conn_refuse(c, code, text);
}

/* Why this primary cannot be served; TRUE: it was refused. */
static gboolean refuse_offer(Secondary *s, ColoConn *c)
{
    ColoEngine *e = s->e;
    const FtHello *h = c->hello;
    g_autoptr(GError) error = NULL;
    g_autofree char *wrong = NULL;

    if (e->state == COLO_STATE_ALONE || e->state == COLO_STATE_TAKEOVER) {
        refuse(c, FT_TRANS_ERR_TAKEN_OVER,
               "the secondary has taken over \"%s\"", e->config->name);
    } else if (!e->vm || e->quit) {
        refuse(c, FT_TRANS_ERR_UNKNOWN, "the secondary has no QEMU at %s",
               e->config->qmp);
    } else if (h->version_min > FT_VERSION || h->version_max < FT_VERSION) {
        refuse(c, FT_TRANS_ERR_VERSION,
               "the primary speaks versions %u to %u of the ft protocol, the "
               "secondary version %d: install the same release on both",
               h->version_min, h->version_max, FT_VERSION);
    } else if (g_strcmp0(h->name, e->config->name)) {
        refuse(c, FT_TRANS_ERR_MISMATCH,
               "the primary's VM is \"%s\", the secondary's \"%s\": give both "
               "the same --name",
               h->name, e->config->name);
    } else if (!colo_vm_check_same(e->vm, h->description, &error)) {
        refuse(c, FT_TRANS_ERR_MISMATCH, "%s", error->message);
    } else if ((wrong = secondary_check_disks(s, h))) {
        refuse(c, FT_TRANS_ERR_MISMATCH, "%s", wrong);
    } else if (colo_proxy_is_alone(e->proxy)) {
        /* I3: its guest would still be heard. */
        refuse(c, FT_TRANS_ERR_MISMATCH,
               "the secondary's proxy has taken over for an earlier guest: "
               "start it anew");
    } else if (s->conn && g_strcmp0(h->instance, s->primary_instance) &&
               !colo_heartbeat_is_lost(e->heartbeat)) {
        refuse(c, FT_TRANS_ERR_BUSY,
               "the secondary serves the primary at %s", s->conn->from);
    } else {
        return FALSE;
    }
    return TRUE;
}

static void start_session(Secondary *s, const FtHello *h)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    forget_session(s);
    s->vm_died = FALSE;
    s->session = colo_new_id();
    s->primary_instance = g_strdup(h->instance);
    s->periodic = h->periodic;
    if (getrandom(&s->heartbeat_key, sizeof(s->heartbeat_key), 0) < 0) {
        g_error("no random numbers: %s", g_strerror(errno));
    }
    s->heartbeat_key &= G_MAXINT64; /* it travels as a JSON number */
    s->heartbeat_key |= 1;
    /* What our guest did so far has no meaning beside the new copy. */
    if (!colo_vm_stop(e->vm, &error)) {
        colo_log_warn("cannot stop the guest: %s", error->message);
    }
    colo_status_lock(e->status);
    e->status->periodic = s->periodic;
    e->status->epoch = 0;
    e->status->copy_total = colo_vm_ram_bytes(e->vm);
    e->status->copy_done = 0;
    e->status->copy_start_us = g_get_monotonic_time();
    e->status->copy_end_us = 0;
    colo_status_unlock(e->status);
}

static void offer(Secondary *s, ColoConn *c)
{
    ColoEngine *e = s->e;
    const FtHello *h = c->hello;
    g_autoptr(GError) error = NULL;
    FtHello *answer;
    gboolean resumed;

    if (refuse_offer(s, c)) {
        return;
    }
    if (e->state == COLO_STATE_ENDED) {
        colo_engine_step(e, COLO_ON_START, "the primary is there again");
    }
    end_conn(s, 0, NULL); /* an older connection of the same primary */
    resumed = h->session && !g_strcmp0(h->session, s->session) &&
              !g_strcmp0(h->instance, s->primary_instance) &&
              h->periodic == s->periodic;
    if (!resumed) {
        start_session(s, h);
    }
    if (!secondary_begin_disks(s, !resumed, &error)) {
        refuse(c, FT_TRANS_ERR_UNKNOWN, "the secondary's disks: %s",
               error->message);
        if (!resumed) {
            forget_session(s);
            /* What was there before is gone, too. */
            if (e->state != COLO_STATE_WAITING) {
                colo_engine_step(e, COLO_ON_END, "waiting for a primary: %s",
                                 error->message);
            }
        }
        return;
    }
    colo_status_lock(e->status);
    g_free(e->status->peer);
    e->status->peer = g_strdup(c->from);
    colo_status_unlock(e->status);

    answer = g_new0(FtHello, 1);
    answer->version_min = answer->version_max = FT_VERSION;
    answer->name = g_strdup(e->config->name);
    answer->instance = g_strdup(e->instance);
    for (FtCoding i = FT_CODING_NONE; i <= FT_CODING_ZSTD; i++) {
        answer->codings |= ft_coding_supported(i) ? 1u << i : 0;
    }
    answer->codings &= h->codings | 1u << FT_CODING_NONE;
    answer->periodic = s->periodic;
    answer->description = g_strdup(colo_vm_description(e->vm));
    answer->n_disks = h->n_disks;
    memcpy(answer->disks, h->disks, sizeof(answer->disks));
    answer->session = g_strdup(s->session);
    answer->resumed = resumed;
    answer->heartbeat_key = s->heartbeat_key;
    answer->epoch = s->hold->epoch;
    answer->open = s->hold->open_epoch != 0;
    answer->open_id = s->hold->open_id;
    answer->open_good = s->hold->good;

    s->conn = c;
    colo_heartbeat_start(e->heartbeat, s->heartbeat_key);
    colo_engine_step(e, resumed && s->complete ? COLO_ON_RESUME
                                               : COLO_ON_FULL_COPY,
                     resumed ? "the link to the primary at %s is back"
                             : "receiving the RAM of the primary at %s",
                     c->from);
    secondary_conn_accept(c, answer, s->hold);
}

/* --- The VM -------------------------------------------------------------- */

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

static void lose_vm(Secondary *s, const char *why)
{
    ColoEngine *e = s->e;
    gboolean died = colo_engine_vm_died(e, NULL);
    gboolean alone = e->state == COLO_STATE_ALONE;

    colo_proxy_end_takeover(e->proxy);
    end_conn(s, FT_CANCEL_FAILED, died ? "the secondary's QEMU died"
                                       : "the secondary's guest cannot be "
                                         "driven");
    forget_session(s);
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

static void reopen_vm(Secondary *s)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    if (!open_vm(s, REOPEN_US, &error)) {
        colo_log_debug("%s", error->message);
        s->reopen_at = g_get_monotonic_time() + REOPEN_US;
        return;
    }
    s->reopen_at = 0;
    colo_engine_step(e, COLO_ON_START,
                     "QEMU is there again: waiting for the primary");
}

/* --- Commits and the takeover -------------------------------------------- */

static void emit_checkpoint(Secondary *s, gint64 load_us)
{
    JsonObject *data = json_object_new();

    json_object_set_int_member(data, "epoch", (gint64)s->hold->epoch);
    json_object_set_int_member(data, "pages",
                               (gint64)s->hold->committed_pages);
    json_object_set_double_member(data, "load-ms", (double)load_us / 1e3);
    colo_qmp_server_emit(s->e->control, "COLO_CHECKPOINT", data);
}

static gboolean take_commit(Secondary *s)
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
        lose_vm(s, error->message);
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
        colo_histogram_add(st->pages, pages);
    }
    colo_status_unlock(st);
    set_can_take_over(s);
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

static void take_over(Secondary *s, const char *reason, const char *why)
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
    if (!take_commit(s)) {
        return;
    }
    /* In periodic mode the device state is loaded after this. */
    colo_run_state_set(e->run, COLO_RUN_LOADING, s->periodic);
    colo_run_state_set(e->run, COLO_RUN_TAKEN_OVER, TRUE);
    if (!secondary_promote_disks(s, &error) ||
        !secondary_run_guest(s, &error)) {
        lose_vm(s, error->message);
        return;
    }
    colo_proxy_takeover(e->proxy);
    colo_heartbeat_stop(e->heartbeat, e->state);
    colo_status_lock(e->status);
    e->status->guest_running = TRUE;
    e->status->can_take_over = FALSE;
    colo_status_unlock(e->status);
    colo_engine_emit_exit(e, reason);
    colo_engine_step(e, COLO_ON_TAKEN_OVER,
                     "took over from checkpoint %" G_GUINT64_FORMAT
                     ": the guest runs here, alone", s->hold->epoch);
    /* Nothing is received any more: give the copy's memory back. */
    g_clear_pointer(&s->hold, ft_hold_free);
    s->complete = FALSE;
}

/* --- What happens to the primary ------------------------------------------ */

static void primary_gone(Secondary *s, const char *what)
{
    ColoEngine *e = s->e;

    if (e->state >= COLO_STATE_TAKEOVER || !s->session) {
        return;
    }
    if (!s->complete) {
        end_conn(s, 0, NULL);
        forget_session(s);
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

static void fenced(Secondary *s, int status)
{
    ColoEngine *e = s->e;

    s->fencing = FALSE;
    if (e->state != COLO_STATE_PAUSED) {
        return; /* the operator was faster, or the primary came back */
    }
    if (status != 0) {
        g_autofree char *text = g_strdup_printf(
            "the fence command failed (exit status %d): not taking over; "
            "x-colo-lost-heartbeat does",
            status);
        colo_engine_note(e, text);
    } else if (!colo_heartbeat_is_lost(e->heartbeat)) {
        colo_engine_note(e, "the primary came back while it was fenced: not "
                            "taking over");
    } else {
        take_over(s, "error", "the primary is lost and fenced");
    }
}

/* The primary ended the ft mode and said why. */
static void primary_left(Secondary *s, const FtNote *note)
{
    ColoEngine *e = s->e;
    g_autoptr(GError) error = NULL;

    switch (note->code) {
    case FT_CANCEL_VM_DIED:
        if (s->complete) {
            take_over(s, "error", note->text);
        } else {
            primary_gone(s, note->text);
        }
        return;
    case FT_CANCEL_FAILED:
        if (!s->complete) {
            primary_gone(s, note->text);
            return;
        }
        colo_heartbeat_stop(e->heartbeat, e->state);
        s->stale = TRUE;
        colo_engine_step(e, COLO_ON_PEER_LOST,
                         "%s: waiting for it, or for x-colo-lost-heartbeat",
                         note->text);
        return;
    case FT_CANCEL_GUEST_SHUTDOWN:
        if (!colo_vm_stop(e->vm, &error)) {
            colo_log_warn("cannot stop the guest: %s", error->message);
        }
        forget_session(s);
        colo_engine_step(e, COLO_ON_SHUTDOWN,
                         "the guest shut down (%s): protection has ended",
                         note->text);
        s->reopen_at = 0;
        return;
    default:
        if (!colo_vm_stop(e->vm, &error)) {
            colo_log_warn("cannot stop the guest: %s", error->message);
        }
        forget_session(s);
        colo_engine_emit_exit(e, "request");
        colo_engine_step(e, COLO_ON_END, "%s: waiting for a primary",
                         note->text);
        return;
    }
}

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
        if (take_commit(s)) {
            primary_left(s, &c->note);
        }
    } else if (e->state < COLO_STATE_TAKEOVER) {
        colo_engine_step(e, COLO_ON_LINK_LOST, "%s", c->error);
        if (colo_heartbeat_is_lost(e->heartbeat)) {
            primary_gone(s, "the primary's heartbeat is lost");
        }
    }
    secondary_conn_free(c);
}

/*
 * A primary that runs on without the link, or ended protection in order,
 * leaves our checkpoint behind.
 */
static void watch_staleness(Secondary *s)
{
    ColoState peer = colo_heartbeat_peer_state(s->e->heartbeat);

    if (s->complete &&
        (colo_heartbeat_peer_is_stale(s->e->heartbeat) ||
         peer == COLO_STATE_PAUSED || peer == COLO_STATE_UNPROTECTED ||
         peer == COLO_STATE_ALONE)) {
        s->stale = TRUE;
    }
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
        lose_vm(s, error->message);
        return;
    }
    if (s->complete) {
        end_conn(s, FT_CANCEL_FAILED, "somebody let the secondary's guest run");
        forget_session(s);
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
        offer(s, m->data);
        break;
    case COLO_MSG_COMMITTED:
        take_commit(s);
        break;
    case COLO_MSG_CONN_ENDED:
        conn_ended(s, (guint64)m->number);
        break;
    case COLO_MSG_HEARTBEAT_LOST:
        if (take_commit(s)) {
            primary_gone(s, "the primary's heartbeat is lost");
        }
        break;
    case COLO_MSG_HEARTBEAT_BACK:
        colo_log_info("the primary's heartbeat is back");
        break;
    case COLO_MSG_PEER_VM_DIED:
        if (s->e->state < COLO_STATE_TAKEOVER && s->session) {
            s->vm_died = TRUE;
            take_over(s, "error", "the primary's QEMU died");
        }
        break;
    case COLO_MSG_FENCED:
        fenced(s, (int)m->number);
        break;
    case COLO_MSG_LOST_HEARTBEAT:
        if (s->e->state < COLO_STATE_TAKEOVER) {
            take_over(s, "request", "x-colo-lost-heartbeat");
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
        return;
    }
    if (!colo_run_state_get(e->run, COLO_RUN_LOADING) &&
        secondary_promote_disks(s, &error) && colo_vm_cont(e->vm, &error)) {
        colo_proxy_takeover(e->proxy);
        colo_engine_step(e, COLO_ON_TAKEN_OVER,
                         "this guest had taken over: it runs here, alone");
    } else {
        colo_engine_step(e, COLO_ON_FAILURE,
                         "%s",
                         error ? error->message
                               : "colod ended in the middle of a takeover: "
                                 "this guest's state is not whole");
    }
}

gboolean colo_secondary_open(ColoEngine *e, gint64 timeout_us, GError **error)
{
    Secondary *s = g_new0(Secondary, 1);

    s->e = e;
    s->state = g_byte_array_new();
    e->role = s;
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
            lose_vm(s, error->message);
        }
        watch_staleness(s);
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
    end_conn(s, FT_CANCEL_REQUEST, "the secondary's colod was stopped");
}

void colo_secondary_close(ColoEngine *e)
{
    Secondary *s = e->role;
    ColoMsg *m;

    if (!s) {
        return;
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
