/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's disks in the checkpoints.
 *
 * A checkpoint needs each disk in sync and the way to the secondary's seal
 * open, and is not begun otherwise.  In the pause both are looked at again:
 * only then it is certain.  While that is not so the pair is degraded, since
 * what the guest sends cannot be covered; once it is, a checkpoint heals it.
 */
#include "colo/engine/primary.h"
#include "colo/log.h"

#include <string.h>

#define SHOW_US    (200 * 1000)            /* between looks at progress */
#define DETACH_US  (5 * G_USEC_PER_SEC)
#define REFUSED_US (10 * G_USEC_PER_SEC)   /* then only a new copy helps */
#define PAUSE_US   (100 * 1000)            /* between cuts that failed, */
#define PAUSES     4                       /* doubled so often at most */

gboolean primary_open_disks(Primary *p, GError **error)
{
    ColoEngine *e = p->e;
    const ColoConfig *c = e->config;
    ColoDiskSpec specs[COLO_MAX_DISKS];
    /* QEMU's monitor may be blocked for as long as both. */
    ColoDiskPeer peer = {
        .addr = c->disks.nbd,
        .tls_certificates = c->disks.tls_certificates,
        .tls_psk = c->disks.tls_psk,
        .hang_us = c->qmp_timeout_ms * 300,
        .reconnect_us = c->qmp_timeout_ms * 400,
    };

    if (!c->disks.list->len) {
        return TRUE;
    }
    for (guint i = 0; i < c->disks.list->len; i++) {
        const ColoDiskName *n = g_ptr_array_index(c->disks.list, i);

        specs[i].name = n->name;
        specs[i].node = n->what;
        p->disks.shown[i] = COLO_DISK_DETACHED;
    }
    e->attach = colo_disk_attach_new(e->vm, &peer, specs, c->disks.list->len,
                                     error);
    if (!e->attach) {
        return FALSE;
    }
    e->cut = colo_disk_cut_new(&peer);
    p->disks.started = FALSE;
    return TRUE;
}

void primary_offer_disks(Primary *p, FtHello *h)
{
    guint n = p->e->attach ? colo_disk_attach_count(p->e->attach) : 0;

    for (h->n_disks = 0; h->n_disks < n; h->n_disks++) {
        FtDisk *d = &h->disks[h->n_disks];
        ColoDiskInfo info;

        colo_disk_attach_info(p->e->attach, h->n_disks, &info);
        g_strlcpy(d->name, info.name, sizeof(d->name));
        d->size = info.size;
    }
}

void primary_start_disks(Primary *p, gboolean whole)
{
    p->disks.refused_since = p->disks.refusals = 0;
    if (p->e->attach) {
        p->disks.started = TRUE;
        colo_disk_attach_start(p->e->attach, whole);
    }
}

void primary_stop_disks(Primary *p, gboolean all)
{
    p->disks.lost = p->disks.noted = FALSE;
    p->disks.refusals = 0;
    if (p->e->attach && (all || p->disks.started)) {
        colo_disk_attach_stop(p->e->attach);
    }
    p->disks.started = FALSE;
}

void primary_detach_disks(Primary *p)
{
    g_autoptr(GError) error = NULL;

    if (p->e->attach &&
        !colo_disk_attach_detach(p->e->attach,
                                 g_get_monotonic_time() + DETACH_US, &error)) {
        colo_log_warn("%s", error->message);
    }
}

gboolean primary_disks_are_ready(const Primary *p)
{
    return !p->e->attach || (colo_disk_attach_is_synced(p->e->attach) &&
                             colo_disk_cut_is_ready(p->e->cut));
}

gboolean primary_disks_are_well(const Primary *p)
{
    return primary_disks_are_ready(p) && !p->disks.refusals;
}

static const char *why(const Primary *p)
{
    return colo_disk_attach_is_synced(p->e->attach)
               ? colo_disk_cut_why(p->e->cut)
               : colo_disk_attach_why(p->e->attach);
}

void primary_wait_for_disks(Primary *p)
{
    ColoEngine *e = p->e;

    if (e->state == COLO_STATE_SYNCING && !p->disks.noted) {
        g_autofree char *text =
            g_strdup_printf("the guest's RAM is copied, its disks are not in "
                            "sync yet: %s", why(p));

        p->disks.noted = TRUE;
        colo_engine_note(e, text);
    }
}

/* --- The cut ------------------------------------------------------------ */

gboolean primary_cut_begin(Primary *p, GError **error)
{
    ColoEngine *e = p->e;
    gint64 begin = g_get_monotonic_time();

    if (!e->attach) {
        return TRUE;
    }
    /* QEMU has told of a write that failed before it said that it stopped. */
    if (!colo_disk_attach_is_synced(e->attach)) {
        g_set_error_literal(error, COLO_DISK_ERROR, COLO_DISK_ERROR_GONE,
                            colo_disk_attach_why(e->attach));
        return FALSE;
    }
    colo_disk_cut_begin(e->cut, p->epoch + 1, p->session);
    p->disks.cutting = TRUE;
    p->disks.cut_us = g_get_monotonic_time() - begin;
    return TRUE;
}

gboolean primary_cut_end(Primary *p, gint64 deadline, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    gboolean ok;

    if (!p->disks.cutting) {
        return TRUE;
    }
    p->disks.cutting = FALSE;
    ok = colo_disk_cut_end(p->e->cut, deadline, error);
    p->disks.cut_us += g_get_monotonic_time() - begin;
    if (ok) {
        ColoStatus *s = p->e->status;

        p->disks.lost = p->disks.lost && !p->disks.refusals;
        p->disks.refused_since = p->disks.refusals = 0;
        colo_status_lock(s);
        s->cuts++;
        colo_histogram_add(s->cut, (guint64)p->disks.cut_us);
        colo_status_unlock(s);
    }
    return ok;
}

gboolean primary_cut_failed(Primary *p, const GError *error)
{
    gint64 now = g_get_monotonic_time();

    primary_degrade_disks(p, error->message);
    /* Where there is no room a new copy does not help, and costs a lot. */
    if (g_error_matches(error, COLO_DISK_ERROR, COLO_DISK_ERROR_FULL)) {
        p->disks.refused_since = 0;
        p->disks.refusals++;
        return TRUE;
    }
    if (!g_error_matches(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED)) {
        return TRUE;
    }
    p->disks.refusals++;
    if (!p->disks.refused_since) {
        p->disks.refused_since = now;
    }
    return now - p->disks.refused_since < REFUSED_US;
}

gint64 primary_cut_pause(const Primary *p)
{
    return PAUSE_US << MIN(p->disks.refusals, PAUSES);
}

/* --- What the disks say ------------------------------------------------- */

static JsonNode *list(ColoDiskAttach *a)
{
    JsonArray *list = json_array_new();
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);

    for (guint i = 0; i < colo_disk_attach_count(a); i++) {
        JsonObject *o = json_object_new();
        ColoDiskInfo d;

        colo_disk_attach_info(a, i, &d);
        json_object_set_string_member(o, "name", d.name);
        json_object_set_string_member(o, "node", d.node);
        json_object_set_int_member(o, "size", (gint64)d.size);
        json_object_set_string_member(o, "state",
                                      colo_disk_state_name(d.state));
        json_object_set_int_member(o, "done-bytes", (gint64)d.done);
        json_object_set_int_member(o, "total-bytes", (gint64)d.total);
        json_object_set_string_member(o, "detail", d.why);
        json_array_add_object_element(list, o);
    }
    json_node_take_array(node, list);
    return node;
}

static void show(Primary *p, gint64 now)
{
    ColoStatus *s = p->e->status;
    JsonNode *disks = list(p->e->attach);

    p->disks.shown_at = now;
    colo_status_lock(s);
    g_clear_pointer(&s->disks, json_node_unref);
    s->disks = disks;
    colo_status_unlock(s);
}

/* COLO_DISK for each that is in another state than last time. */
static gboolean tell(Primary *p)
{
    ColoDiskAttach *a = p->e->attach;
    gboolean news = FALSE;

    for (guint i = 0; i < colo_disk_attach_count(a); i++) {
        JsonObject *data;
        ColoDiskInfo d;

        colo_disk_attach_info(a, i, &d);
        if (d.state == p->disks.shown[i]) {
            continue;
        }
        p->disks.shown[i] = d.state;
        news = TRUE;
        data = json_object_new();
        json_object_set_string_member(data, "name", d.name);
        json_object_set_string_member(data, "what",
                                      colo_disk_state_name(d.state));
        json_object_set_string_member(data, "detail", d.why);
        colo_qmp_server_emit(p->e->control, "COLO_DISK", data);
    }
    return news;
}

void primary_degrade_disks(Primary *p, const char *reason)
{
    ColoEngine *e = p->e;

    if (e->state == COLO_STATE_ACTIVE ||
        (e->state == COLO_STATE_DEGRADED && !p->disks.lost)) {
        colo_engine_degrade(e, "no checkpoint can be made: %s", reason);
    }
    p->disks.lost |= e->state == COLO_STATE_DEGRADED;
}

void primary_watch_disks(Primary *p)
{
    ColoEngine *e = p->e;
    gint64 now = g_get_monotonic_time();
    gboolean protected = e->state == COLO_STATE_ACTIVE ||
                         e->state == COLO_STATE_DEGRADED;
    gboolean ready, well;

    if (!e->attach) {
        return;
    }
    colo_disk_attach_take_lost(e->attach); /* only how it is now counts */
    ready = primary_disks_are_ready(p);
    well = primary_disks_are_well(p);
    if (tell(p) || now - p->disks.shown_at >= SHOW_US) {
        show(p, now);
    }
    if (protected && !ready) {
        primary_degrade_disks(p, why(p));
    } else if (protected && well && p->disks.lost) {
        primary_ask_checkpoint(p, "disk", "the disks are in sync again");
        p->disks.lost = FALSE;
    }
}
