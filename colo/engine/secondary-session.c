/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's sessions: which primary is served, and how one begins. */
#include "colo/engine/secondary.h"
#include "colo/log.h"
#include "colo/names.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void secondary_end_conn(Secondary *s, FtCancel cancel, const char *text)
{
    if (s->conn) {
        secondary_conn_end(s->conn, cancel, text);
        g_clear_pointer(&s->conn, secondary_conn_free);
    }
}

void secondary_show_copy(Secondary *s)
{
    colo_status_lock(s->e->status);
    s->e->status->can_take_over = s->complete;
    s->e->status->stale = s->stale;
    colo_status_unlock(s->e->status);
}

void secondary_forget_session(Secondary *s)
{
    g_clear_pointer(&s->session, g_free);
    g_clear_pointer(&s->primary_instance, g_free);
    colo_heartbeat_stop(s->e->heartbeat, COLO_STATE_WAITING);
    if (s->hold) {
        ft_hold_reset(s->hold);
    }
    s->complete = s->stale = FALSE;
    secondary_show_copy(s);
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
    } else if (e->vm && !s->hold) {
        refuse(c, FT_TRANS_ERR_UNKNOWN,
               "the secondary did not finish a takeover: start its QEMU anew");
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

    secondary_forget_session(s);
    s->vm_died = FALSE;
    colo_vm_forget_clock(e->vm);
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

void secondary_offer(Secondary *s, ColoConn *c)
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
    /* An older connection of the same primary */
    secondary_end_conn(s, 0, NULL);
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
            secondary_forget_session(s);
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
