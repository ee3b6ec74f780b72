/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP connections that remember every event. */
#include "tests/rig/rig.h"

#include <string.h>

#define CALL_US (20 * G_USEC_PER_SEC)

static void free_event(gpointer data)
{
    RigEvent *ev = data;

    g_free(ev->name);
    g_clear_pointer(&ev->data, json_object_unref);
    g_free(ev);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    RigQmp *q = user_data;
    RigEvent *ev = g_new0(RigEvent, 1);

    ev->name = g_strdup(event);
    ev->data = data ? json_object_ref(data) : NULL;
    ev->time_us = time_us;
    g_ptr_array_add(q->events, ev);
}

void rig_qmp_connect(RigQmp *q, const char *path, int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    rig_qmp_close(q);
    q->events = g_ptr_array_new_with_free_func(free_event);
    for (;;) {
        g_autoptr(GError) error = NULL;

        q->client = colo_qmp_client_connect(path, CALL_US, on_event, q, &error);
        if (q->client) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("%s", error->message);
        }
        g_usleep(5000);
    }
}

void rig_qmp_close(RigQmp *q)
{
    g_clear_pointer(&q->client, colo_qmp_client_free);
    g_clear_pointer(&q->events, g_ptr_array_unref);
}

/* Until something arrived, or end; FALSE: the connection broke. */
static gboolean take_some(RigQmp *q, gint64 end)
{
    g_autoptr(GError) error = NULL;

    if (q->client && !colo_qmp_client_wait_any(q->client, end, &error) &&
        !g_error_matches(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT)) {
        g_clear_pointer(&q->client, colo_qmp_client_free);
    }
    return q->client != NULL;
}

gboolean rig_qmp_pump(RigQmp *q, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * 1000;

    do {
        if (!take_some(q, end)) {
            return FALSE;
        }
    } while (g_get_monotonic_time() < end);
    return TRUE;
}

JsonNode *rig_qmp_try(RigQmp *q, const char *command, const char *args,
                      GError **error)
{
    g_autoptr(JsonNode) node = args ? json_from_string(args, error) : NULL;

    if (args && !node) {
        return NULL;
    }
    if (!q->client) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_CLOSED,
                    "the connection is closed");
        return NULL;
    }
    return colo_qmp_client_call(q->client, command,
                                node ? json_node_dup_object(node) : NULL,
                                CALL_US, error);
}

JsonNode *rig_qmp(RigQmp *q, const char *command, const char *args)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = rig_qmp_try(q, command, args, &error);

    if (!node) {
        rig_die("%s failed: %s", command, error->message);
    }
    return node;
}

RigEvent *rig_qmp_find(RigQmp *q, guint from, const char *name, const char *key,
                       const char *value, guint *next)
{
    for (guint i = from; q->events && i < q->events->len; i++) {
        RigEvent *ev = q->events->pdata[i];

        if (!strcmp(ev->name, name) &&
            (!key || (ev->data && json_object_has_member(ev->data, key) &&
                      !g_strcmp0(json_object_get_string_member(ev->data, key),
                                 value)))) {
            if (next) {
                *next = i + 1;
            }
            return ev;
        }
    }
    return NULL;
}

RigEvent *rig_qmp_wait(RigQmp *q, guint from, const char *name, const char *key,
                       const char *value, int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    RigEvent *ev;

    while (!(ev = rig_qmp_find(q, from, name, key, value, NULL))) {
        if (!take_some(q, end)) {
            rig_die("the connection closed before event %s %s", name,
                    value ? value : "");
        }
        if (g_get_monotonic_time() > end) {
            rig_die("no event %s %s within %d s", name, value ? value : "",
                    seconds);
        }
    }
    return ev;
}
