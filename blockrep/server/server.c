/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of the secondary's disks. */
#include "blockrep/server/server-priv.h"

#include "blockrep/store/store.h"
#include "colo/common/qmp-wire.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define AGAIN_US (10 * 1000) /* between attempts, when a connection broke */
/* An answer that takes longer is late: nothing of the plugin's does. */
#define LATE_US  (500 * 1000)

/* What is a survivor's stays so, for nobody but its user throws it away. */
static gboolean check_survivor(const ColoDiskServerOptions *o,
                               const ColoDiskImage *d, GError **error)
{
    g_autofree char *folder =
        o->folder ? g_build_filename(o->folder, d->name, NULL) : NULL;
    g_autoptr(JsonNode) report = colo_store_look(d->path, folder, error);
    const char *state =
        report ? colo_json_get_string(json_node_get_object(report), "state")
               : NULL;

    if (!report) {
        g_prefix_error(error, "disk \"%s\" cannot be served: ", d->name);
        return FALSE;
    }
    if (g_strcmp0(state, colo_store_state_name(COLO_STORE_PROMOTED))) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "disk \"%s\" is not a survivor's: %s never was promoted "
                    "by a takeover, and a standby's is not served to a guest "
                    "beside the primary's",
                    d->name, d->path);
        return FALSE;
    }
    return TRUE;
}

ColoDiskServer *colo_disk_server_new(const ColoDiskServerOptions *o,
                                     GError **error)
{
    char **argv;
    ColoDiskServer *s;

    for (guint i = 0; o->survivor && i < o->n_disks; i++) {
        if (!check_survivor(o, &o->disks[i], error)) {
            return NULL;
        }
    }
    argv = nbdkit_argv(o, error);
    if (!argv) {
        return NULL;
    }
    s = g_new0(ColoDiskServer, 1);
    s->argv = argv;
    s->control = g_strdup(o->control);
    s->listener.addr = colo_addr_copy(o->listen);
    s->listener.fd = -1;
    s->event = o->event;
    s->news = o->news;
    s->user_data = o->user_data;
    s->promoted = o->survivor;
    s->nbdkit.pidfd = s->nbdkit.words = -1;
    s->why = g_strdup("nbdkit is starting");
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(s->wake >= 0);
    g_mutex_init(&s->lock);
    g_cond_init(&s->changed);
    return s;
}

void colo_disk_server_start(ColoDiskServer *s)
{
    s->thread = g_thread_new("disks", disk_server_thread, s);
}

void colo_disk_server_free(ColoDiskServer *s)
{
    guint64 one = 1;

    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->quit = TRUE;
    g_cond_broadcast(&s->changed);
    g_mutex_unlock(&s->lock);
    if (write(s->wake, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN);
    }
    if (s->thread) {
        g_thread_join(s->thread);
    }
    colo_qmp_client_free(s->engine.client);
    colo_qmp_client_free(s->conn.client);
    close(s->wake);
    g_free(s->nbdkit.complaint);
    g_strfreev(s->argv);
    g_free(s->control);
    colo_addr_free(s->listener.addr);
    g_free(s->why);
    g_free(s->session);
    g_clear_pointer(&s->disks, json_node_unref);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->changed);
    g_free(s);
}

gboolean colo_disk_server_is_up(ColoDiskServer *s)
{
    gboolean up;

    g_mutex_lock(&s->lock);
    up = s->up;
    g_mutex_unlock(&s->lock);
    return up;
}

char *colo_disk_server_why(ColoDiskServer *s)
{
    char *why;

    g_mutex_lock(&s->lock);
    why = g_strdup(s->why);
    g_mutex_unlock(&s->lock);
    return why;
}

void disk_server_note_silence(ColoDiskServer *s)
{
    gint64 now = g_get_monotonic_time();

    if (!s->up || (s->asked && now - s->asked_at > LATE_US)) {
        s->silent_at = now;
    }
}

gint64 colo_disk_server_silent_at(ColoDiskServer *s)
{
    gint64 at;

    g_mutex_lock(&s->lock);
    disk_server_note_silence(s);
    at = s->silent_at;
    g_mutex_unlock(&s->lock);
    return at;
}

JsonNode *colo_disk_server_query(ColoDiskServer *s)
{
    JsonNode *disks = NULL;

    g_mutex_lock(&s->lock);
    if (s->disks) {
        disks = json_node_ref(s->disks); /* it is never changed */
    }
    g_mutex_unlock(&s->lock);
    return disks;
}

gboolean colo_disk_server_size(ColoDiskServer *s, const char *name,
                               guint64 *bytes)
{
    g_autoptr(JsonNode) disks = colo_disk_server_query(s);
    JsonArray *a = disks ? json_node_get_array(disks) : NULL;

    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = json_array_get_object_element(a, i);
        gint64 size;

        if (!g_strcmp0(colo_json_get_string(o, "name"), name) &&
            colo_json_get_int(o, "size", &size) && size >= 0) {
            *bytes = (guint64)size;
            return TRUE;
        }
    }
    return FALSE;
}

/* --- Calls -------------------------------------------------------------- */

/* The generation of the nbdkit that serves; 0: none until the deadline. */
static guint wait_up(ColoDiskServer *s, gint64 deadline_us, GError **error)
{
    guint generation = 0;

    g_mutex_lock(&s->lock);
    while (!s->up && !s->quit &&
           g_cond_wait_until(&s->changed, &s->lock, deadline_us)) {
    }
    if (s->up) {
        generation = s->generation;
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "the disks are not served: %s", s->why);
    }
    g_mutex_unlock(&s->lock);
    return generation;
}

/* Until there is news, for a moment. */
static void rest(ColoDiskServer *s)
{
    g_mutex_lock(&s->lock);
    g_cond_wait_until(&s->changed, &s->lock,
                      g_get_monotonic_time() + AGAIN_US);
    g_mutex_unlock(&s->lock);
}

static JsonNode *call_once(ColoDiskServer *s, Caller *c, guint generation,
                           const char *command, JsonObject *args,
                           gint64 deadline_us, GError **error)
{
    gint64 left = deadline_us - g_get_monotonic_time();
    JsonNode *node = NULL;

    if (c->generation != generation) {
        g_clear_pointer(&c->client, colo_qmp_client_free);
        c->generation = generation;
    }
    if (!c->client) {
        c->client =
            colo_qmp_client_connect(s->control, left, NULL, NULL, error);
    }
    if (c->client) {
        node = colo_qmp_client_call(c->client, command,
                                    args ? json_object_ref(args) : NULL, left,
                                    error);
    }
    return node;
}

/* TRUE: done.  Goes on at the next nbdkit when one dies. */
static gboolean call(ColoDiskServer *s, Caller *c, const char *command,
                     JsonObject *args, gint64 deadline_us, GError **error)
{
    for (;;) {
        g_autoptr(GError) e = NULL;
        guint generation = wait_up(s, deadline_us, error);
        g_autoptr(JsonNode) node = NULL;

        if (!generation) {
            return FALSE;
        }
        node = call_once(s, c, generation, command, args, deadline_us, &e);
        if (node) {
            return TRUE;
        }
        if (!c->client || e->code >= COLO_QMP_ERROR_TIMEOUT) {
            g_clear_pointer(&c->client, colo_qmp_client_free);
            if (g_get_monotonic_time() < deadline_us) {
                rest(s);
                continue;
            }
        }
        g_propagate_prefixed_error(error, g_steal_pointer(&e), "%s: ",
                                   command);
        return FALSE;
    }
}

static JsonObject *of_epoch(guint64 epoch)
{
    JsonObject *args = json_object_new();

    json_object_set_int_member(args, "epoch", (gint64)epoch);
    return args;
}

gboolean colo_disk_server_session(ColoDiskServer *s, const char *session,
                                  gboolean reset, gint64 deadline_us,
                                  GError **error)
{
    g_autoptr(JsonObject) args = json_object_new();

    /* First: an nbdkit that starts meanwhile is told the new one, too. */
    g_mutex_lock(&s->lock);
    g_free(s->session);
    s->session = g_strdup(session);
    s->committed = reset ? 0 : s->committed;
    g_mutex_unlock(&s->lock);
    json_object_set_string_member(args, "session", session);
    return call(s, &s->engine, reset ? "disk-reset" : "disk-session", args,
                deadline_us, error);
}

static gboolean commit(ColoDiskServer *s, Caller *c, guint64 epoch,
                       gint64 deadline_us, GError **error)
{
    g_autoptr(JsonObject) args = of_epoch(epoch);

    if (!call(s, c, "disk-commit", args, deadline_us, error)) {
        return FALSE;
    }
    g_mutex_lock(&s->lock);
    s->committed = MAX(s->committed, epoch);
    g_mutex_unlock(&s->lock);
    return TRUE;
}

gboolean colo_disk_server_commit(ColoDiskServer *s, guint64 epoch,
                                 gint64 deadline_us, GError **error)
{
    return commit(s, &s->conn, epoch, deadline_us, error);
}

gboolean colo_disk_server_load(ColoDiskServer *s, guint64 epoch,
                               gint64 deadline_us, GError **error)
{
    g_autoptr(JsonObject) args = of_epoch(epoch);
    g_autoptr(GError) e = NULL;

    if (call(s, &s->engine, "disk-load", args, deadline_us, &e)) {
        return TRUE;
    }
    /*
     * An nbdkit that died between its answer to disk-commit and our note of
     * that has a successor which was not told.
     */
    return commit(s, &s->engine, epoch, deadline_us, error) &&
           call(s, &s->engine, "disk-load", args, deadline_us, error);
}

gboolean colo_disk_server_promote(ColoDiskServer *s, gint64 deadline_us,
                                  GError **error)
{
    if (!call(s, &s->engine, "disk-promote", NULL, deadline_us, error)) {
        return FALSE;
    }
    g_mutex_lock(&s->lock);
    s->promoted = TRUE;
    g_mutex_unlock(&s->lock);
    return TRUE;
}
