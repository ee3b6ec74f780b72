/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The primary's session: how it begins, breaks, resumes and ends. */
#include "colo/engine/primary.h"
#include "colo/log.h"

#include <string.h>

#define END_US (200 * 1000) /* to tell the peer why we leave */

static void on_ft_event(const FtEvent *ev, gpointer data)
{
    Primary *p = data;
    ColoMsg *m = g_new0(ColoMsg, 1);

    /* generation changes only while no sender's thread runs */
    m->type = COLO_MSG_FT_EVENT;
    m->number = p->generation;
    m->ft = *ev;
    m->ft.error = NULL;
    m->text = g_strdup(ev->error ? ev->error->message : ev->note.text);
    colo_mailbox_post(p->e->mailbox, m);
}

/* A session that has to begin anew leaves its checkpoint with the peer. */
gboolean primary_has_peer(const Primary *p)
{
    return p->session || p->epoch;
}

static void go_offline(Primary *p)
{
    g_clear_pointer(&p->sender, ft_sender_free);
    p->generation++;
    p->phase = PHASE_OFFLINE;
    g_clear_pointer(&p->reason, g_free);
}

void primary_connect(Primary *p)
{
    const ColoConfig *c = p->e->config;
    FtHello h = {
        .version_min = FT_VERSION,
        .version_max = FT_VERSION,
        .name = c->name,
        .instance = p->e->instance,
        .periodic = c->periodic,
        .description = (char *)colo_vm_description(p->e->vm),
        .session = p->session,
    };

    for (FtCoding i = FT_CODING_NONE; i <= FT_CODING_ZSTD; i++) {
        h.codings |= ft_coding_supported(i) ? 1u << i : 0;
    }
    primary_offer_disks(p, &h);
    primary_link_connect(p->link, &h);
}

static void forget_session(Primary *p)
{
    g_clear_pointer(&p->session, g_free);
    colo_heartbeat_stop(p->e->heartbeat, COLO_STATE_ALONE);
    p->epoch = 0;
    p->open = p->inherit = FALSE;
    ft_log_reset(p->log);
    primary_stop_disks(p, FALSE);
}

/* The stream is gone; the peer may be as well. */
void primary_lose_link(Primary *p, const char *why)
{
    ColoEngine *e = p->e;
    gboolean dead = colo_heartbeat_is_lost(e->heartbeat);

    go_offline(p);
    colo_engine_step(e, dead ? COLO_ON_PEER_LOST : COLO_ON_LINK_LOST,
                     dead ? "%s; the heartbeat is lost too: the guest goes on "
                            "unprotected"
                          : "%s; waiting for the link to come back",
                     why);
    primary_connect(p);
}

static void start_full_copy(Primary *p, const FtHello *hello)
{
    ColoStatus *s = p->e->status;

    forget_session(p);
    /* What the peer had is gone: nobody goes on from it. */
    primary_output_begin(p, FALSE);
    colo_proxy_cancel(p->e->proxy);
    p->session = g_strdup(hello->session);
    primary_start_disks(p, TRUE);
    colo_status_lock(s);
    s->epoch = 0;
    s->copy_total = colo_vm_ram_bytes(p->e->vm);
    s->copy_done = 0;
    s->copy_start_us = g_get_monotonic_time();
    s->copy_end_us = 0;
    colo_status_unlock(s);
    colo_engine_step(p->e, COLO_ON_FULL_COPY, "copying the guest's RAM to %s",
                     s->peer);
}

/* Is the peer, which says that it goes on with a session, where we are? */
static gboolean can_resume(const Primary *p, const FtHello *hello)
{
    return p->session && !g_strcmp0(hello->session, p->session) &&
           (hello->epoch == p->epoch ||
            (hello->epoch == p->epoch + 1 && p->open));
}

static void resume(Primary *p, const FtHello *hello)
{
    ColoEngine *e = p->e;

    if (hello->epoch == p->epoch + 1) {
        p->epoch = hello->epoch; /* its ACK was lost with the link */
        primary_release(p, p->epoch);
        ft_log_reset(p->log);
        colo_status_lock(e->status);
        e->status->epoch = p->epoch;
        e->status->checkpoints++;
        colo_status_unlock(e->status);
    } else {
        colo_proxy_cancel(e->proxy);
        ft_log_lost(p->log,
                    hello->open && hello->open_id == p->id ? hello->open_good
                                                           : 0,
                    p->dirty);
    }
    p->open = FALSE;
    p->inherit = TRUE;
    primary_start_disks(p, FALSE);
    colo_engine_step(e, COLO_ON_RESUME,
                     "the link to %s is back: sending what changed",
                     e->status->peer);
}

void primary_link_up(Primary *p, ColoLinkUp *up)
{
    ColoEngine *e = p->e;
    const FtHello *hello = up->hello;
    g_autoptr(GError) error = NULL;
    FtCoding coding = e->config->coding;

    /* Replication may have ended while INIT was on its way. */
    if (!e->vm || p->sender || e->state >= COLO_STATE_TAKEOVER) {
        return;
    }
    if (hello->version_min != FT_VERSION || !hello->session) {
        colo_engine_note(e, "the secondary's answer to INIT makes no sense");
        primary_connect(p);
        return;
    }
    if (!colo_vm_check_same(e->vm, hello->description, &error)) {
        colo_engine_note(e, error->message);
        primary_connect(p);
        return;
    }
    if (e->attach && hello->n_disks != colo_disk_attach_count(e->attach)) {
        colo_engine_note(e, "the secondary's release knows nothing of disks: "
                            "install the same one on both");
        primary_connect(p);
        return;
    }
    if (hello->resumed && !can_resume(p, hello)) {
        /* It answers an INIT of before: of a guest that is gone, say. */
        colo_log_debug("the secondary goes on with another session: asking for "
                       "a new one");
        forget_session(p);
        primary_connect(p);
        return;
    }
    if (!(hello->codings & (1u << coding))) {
        colo_log_warn("the secondary was built without %s: sending without "
                      "compression",
                      ft_coding_name(coding));
        coding = FT_CODING_NONE;
    }
    p->generation++;
    p->sender = ft_sender_new(up->fd, p->pool, coding,
                              e->config->ft_timeout_ms * 1000, on_ft_event, p);
    up->fd = -1;
    p->bytes_before = 0;
    p->pages = p->zero_pages = 0;
    if (hello->resumed) {
        resume(p, hello);
    } else {
        start_full_copy(p, hello);
        primary_all_dirty(p);
        primary_send_holes(p);
    }
    colo_heartbeat_start(e->heartbeat, hello->heartbeat_key);
    p->phase = PHASE_CLOSING;
    p->rounds = 0;
    p->last_round = G_MAXSIZE;
    p->nacks = 0;
    g_free(p->reason);
    p->reason_kind = p->epoch ? "resume" : "full-copy";
    p->reason = g_strdup(p->reason_kind);
    p->grid = g_get_monotonic_time();
}

/* Leave the ft mode in order. */
void primary_end_session(Primary *p, FtCancel code, const char *text)
{
    if (p->sender) {
        ft_sender_end(p->sender, code, text, END_US);
    }
    go_offline(p);
    primary_link_stop(p->link);
    forget_session(p);
}

/* I3: the survivor is decided, and it is not this guest. */
static void yield_to_survivor(Primary *p)
{
    ColoEngine *e = p->e;
    g_autoptr(GError) error = NULL;

    colo_proxy_block(e->proxy); /* what it sent in vain, and what comes */
    primary_link_stop(p->link);
    p->yielded = TRUE;
    p->stop_owed = !e->vm || !colo_vm_stop(e->vm, &error);
    if (p->stop_owed) {
        colo_log_error("cannot stop the guest: %s",
                       error ? error->message : "QEMU does not answer");
    }
    /* It is not this one any more, whatever colod comes next. */
    colo_run_state_set(e->run, COLO_RUN_TAKEN_OVER, FALSE);
    colo_run_state_set(e->run, COLO_RUN_CAPTURING, FALSE);
    go_offline(p); /* tells the survivor that we have stopped */
    forget_session(p);
    colo_engine_emit_exit(e, "error");
    colo_engine_step(e, COLO_ON_FAILURE,
                     p->stop_owed
                         ? "the secondary has taken over: this guest has to "
                           "stop, and QEMU does not answer; trying again"
                         : "the secondary has taken over: this guest is "
                           "stopped and must not run again");
    if (p->stop_owed) {
        colo_engine_close_vm(e);
        p->reopen_at = g_get_monotonic_time();
    }
}

void primary_link_failed(Primary *p, guint32 code, const char *text)
{
    ColoEngine *e = p->e;
    g_autofree char *note = NULL;

    if (p->sender || e->state >= COLO_STATE_TAKEOVER) {
        return;
    }
    if (code == FT_TRANS_ERR_TAKEN_OVER) {
        yield_to_survivor(p);
        return;
    }
    note = g_strdup_printf("cannot start protection with %s: %s",
                           e->status->peer, text);
    colo_engine_note(e, note);
}

void primary_peer_left(Primary *p, const ColoMsg *m)
{
    if (m->ft.note.code == FT_CANCEL_TAKEN_OVER) {
        yield_to_survivor(p);
        return;
    }
    go_offline(p);
    forget_session(p);
    colo_engine_step(p->e, COLO_ON_PEER_LOST,
                     "the secondary left (%s): the guest goes on unprotected",
                     m->text);
    primary_output_pass(p, FALSE);
    primary_connect(p);
}

void primary_heartbeat_lost(Primary *p)
{
    ColoEngine *e = p->e;

    if (!primary_has_peer(p) || e->state == COLO_STATE_UNPROTECTED) {
        return;
    }
    go_offline(p);
    primary_output_restart_grace(p);
    colo_engine_step(e, COLO_ON_PEER_LOST,
                     "the secondary's heartbeat is lost: the guest goes on "
                     "unprotected");
    primary_connect(p);
}

void primary_end_replication(Primary *p)
{
    ColoEngine *e = p->e;

    if (e->state >= COLO_STATE_TAKEOVER) {
        return;
    }
    primary_end_session(p, FT_CANCEL_REQUEST,
                        "replication was ended on the primary");
    primary_stop_disks(p, TRUE);
    colo_engine_emit_exit(e, "request");
    colo_engine_step(e, COLO_ON_END,
                     "replication was ended by request: the "
                     "guest goes on alone");
    primary_output_begin(p, TRUE);
}
