/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What colod says of itself. */
#include "colo/engine/status.h"

#include <string.h>

#define MAX_COUNTS 32

ColoStatus *colo_status_new(gboolean primary, const char *name)
{
    ColoStatus *s = g_new0(ColoStatus, 1);

    g_mutex_init(&s->lock);
    s->primary = primary;
    s->name = g_strdup(name);
    s->detail = g_strdup("starting");
    s->reason = "none";
    s->heartbeat = "none";
    s->proxy_detail = g_strdup("");
    s->reasons = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s->causes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s->pause = colo_histogram_new();
    s->capture = colo_histogram_new();
    s->cut = colo_histogram_new();
    s->transfer = colo_histogram_new();
    s->commit = colo_histogram_new();
    s->load = colo_histogram_new();
    s->clock_lag = colo_histogram_new();
    s->pages = colo_histogram_new();
    s->bytes = colo_histogram_new();
    return s;
}

void colo_status_free(ColoStatus *s)
{
    if (s) {
        g_free(s->name);
        g_free(s->peer);
        g_free(s->tracker);
        g_free(s->qemu_version);
        g_free(s->detail);
        g_clear_pointer(&s->disks, json_node_unref);
        g_free(s->disks_detail);
        g_clear_pointer(&s->served, json_node_unref);
        g_free(s->proxy_path);
        g_free(s->proxy_detail);
        g_hash_table_unref(s->reasons);
        g_hash_table_unref(s->causes);
        colo_histogram_free(s->pause);
        colo_histogram_free(s->capture);
        colo_histogram_free(s->cut);
        colo_histogram_free(s->transfer);
        colo_histogram_free(s->commit);
        colo_histogram_free(s->load);
        colo_histogram_free(s->clock_lag);
        colo_histogram_free(s->pages);
        colo_histogram_free(s->bytes);
        g_mutex_clear(&s->lock);
        g_free(s);
    }
}

void colo_status_lock(ColoStatus *s)
{
    g_mutex_lock(&s->lock);
}

void colo_status_unlock(ColoStatus *s)
{
    g_mutex_unlock(&s->lock);
}

void colo_status_count(GHashTable *counts, const char *name)
{
    guint64 *n = g_hash_table_lookup(counts, name);

    /* Names may come from outside: they cannot make the table grow. */
    if (!n && g_hash_table_size(counts) >= MAX_COUNTS) {
        name = "other";
        n = g_hash_table_lookup(counts, name);
    }
    if (!n) {
        n = g_new0(guint64, 1);
        g_hash_table_insert(counts, g_strdup(name), n);
    }
    (*n)++;
}

static JsonObject *counts_object(GHashTable *counts)
{
    JsonObject *o = json_object_new();
    GList *names = g_list_sort(g_hash_table_get_keys(counts),
                               (GCompareFunc)strcmp);

    for (GList *l = names; l; l = l->next) {
        guint64 *n = g_hash_table_lookup(counts, l->data);

        json_object_set_int_member(o, l->data, (gint64)*n);
    }
    g_list_free(names);
    return o;
}

static JsonObject *proxy_object(const ColoStatus *s)
{
    JsonObject *o = json_object_new();

    json_object_set_boolean_member(o, "connected", s->proxy_connected);
    json_object_set_boolean_member(o, "ready", s->proxy_ready);
    json_object_set_string_member(o, "path",
                                  s->proxy_path ? s->proxy_path : "");
    json_object_set_string_member(o, "detail", s->proxy_detail);
    return o;
}

static JsonNode *disks_array(const ColoStatus *s)
{
    JsonNode *node;

    if (s->disks) {
        return json_node_copy(s->disks);
    }
    node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, json_array_new());
    return node;
}

static JsonObject *disk_server_object(const ColoStatus *s)
{
    JsonObject *o = json_object_new();

    json_object_set_boolean_member(o, "running", s->disks_served);
    json_object_set_string_member(o, "detail", s->disks_detail);
    if (s->served) {
        json_object_set_member(o, "disks", json_node_copy(s->served));
    }
    return o;
}

static double degraded_seconds(const ColoStatus *s)
{
    gint64 us = s->degraded_us;

    if (s->degraded_since) {
        us += g_get_monotonic_time() - s->degraded_since;
    }
    return (double)us / 1e6;
}

/* Is a pair at work (QEMU's notion of being in COLO mode)? */
static gboolean replicating(ColoState state)
{
    return state >= COLO_STATE_SYNCING && state <= COLO_STATE_TAKEOVER &&
           state != COLO_STATE_UNPROTECTED;
}

static double copy_seconds(const ColoStatus *s)
{
    gint64 end = s->copy_end_us ? s->copy_end_us : g_get_monotonic_time();

    return s->copy_start_us ? (double)(end - s->copy_start_us) / 1e6 : 0;
}

static double copy_rate(const ColoStatus *s)
{
    double seconds = copy_seconds(s);

    return seconds > 0 ? (double)s->copy_done / 1e6 / seconds : 0;
}

JsonNode *colo_status_query(ColoStatus *s)
{
    JsonObject *o = json_object_new();
    const char *role = s->primary ? "primary" : "secondary";
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    g_mutex_lock(&s->lock);
    json_object_set_string_member(o, "mode",
                                  replicating(s->state) ? role : "none");
    json_object_set_string_member(
        o, "last-mode",
        s->was_active && !replicating(s->state) ? role : "none");
    json_object_set_string_member(o, "reason",
                                  s->state == COLO_STATE_TAKEOVER ? "processing"
                                                                  : s->reason);
    json_object_set_string_member(o, "name", s->name);
    json_object_set_string_member(o, "role", role);
    json_object_set_string_member(o, "state", colo_state_name(s->state));
    json_object_set_string_member(o, "detail", s->detail);
    json_object_set_string_member(o, "replication-mode",
                                  s->periodic ? "periodic" : "colo");
    json_object_set_int_member(o, "epoch", (gint64)s->epoch);
    if (!s->primary) {
        json_object_set_boolean_member(o, "stale", s->stale);
    }
    json_object_set_string_member(o, "tracker", s->tracker ? s->tracker : "");
    json_object_set_string_member(o, "peer", s->peer ? s->peer : "");
    json_object_set_string_member(o, "heartbeat", s->heartbeat);
    json_object_set_object_member(o, "proxy", proxy_object(s));
    json_object_set_member(o, "disks", disks_array(s));
    if (s->disks_detail) {
        json_object_set_object_member(o, "disk-server", disk_server_object(s));
    }
    json_object_set_boolean_member(o, "guest-running", s->guest_running);
    json_object_set_string_member(o, "qemu-version",
                                  s->qemu_version ? s->qemu_version : "");
    if (s->state == COLO_STATE_SYNCING && s->copy_start_us) {
        JsonObject *copy = json_object_new();

        json_object_set_int_member(copy, "total-bytes", (gint64)s->copy_total);
        json_object_set_int_member(copy, "done-bytes", (gint64)s->copy_done);
        json_object_set_double_member(copy, "mb-s", copy_rate(s));
        json_object_set_object_member(o, "full-copy", copy);
    }
    g_mutex_unlock(&s->lock);
    json_node_take_object(node, o);
    return node;
}

/* What both guests wrote that no checkpoint holds yet, or is not merged. */
static gint64 sum_of(const ColoStatus *s, const char *member)
{
    JsonArray *a = s->disks ? json_node_get_array(s->disks) : NULL;
    gint64 sum = 0;

    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = json_array_get_object_element(a, i);
        JsonNode *n = json_object_get_member(o, member);

        sum += n && JSON_NODE_HOLDS_VALUE(n) ? json_node_get_int(n) : 0;
    }
    return sum;
}

static JsonObject *disk_stats(const ColoStatus *s)
{
    JsonObject *o = json_object_new();

    json_object_set_int_member(o, "sealed", (gint64)s->cuts);
    json_object_set_int_member(o, "pending-bytes", sum_of(s, "pending-bytes"));
    json_object_set_int_member(o, "active-bytes", sum_of(s, "active-bytes"));
    json_object_set_int_member(o, "sealed-bytes", sum_of(s, "sealed-bytes"));
    return o;
}

JsonNode *colo_status_stats(ColoStatus *s)
{
    JsonObject *o = json_object_new(), *copy = json_object_new(),
               *hb = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    g_mutex_lock(&s->lock);
    json_object_set_int_member(o, "checkpoints", (gint64)s->checkpoints);
    json_object_set_int_member(o, "cancelled", (gint64)s->cancelled);
    json_object_set_int_member(o, "failed", (gint64)s->failed);
    json_object_set_int_member(o, "stalls", (gint64)s->stalls);
    json_object_set_object_member(o, "reasons", counts_object(s->reasons));
    json_object_set_object_member(o, "causes", counts_object(s->causes));
    json_object_set_double_member(o, "degraded-seconds", degraded_seconds(s));
    json_object_set_int_member(o, "bytes-sent", (gint64)s->bytes_sent);
    json_object_set_int_member(o, "pages-sent", (gint64)s->pages_sent);
    json_object_set_int_member(o, "zero-pages", (gint64)s->zero_pages);
    json_object_set_member(o, "pause-ms",
                           colo_histogram_to_json(s->pause, 1e3));
    json_object_set_member(o, "capture-ms",
                           colo_histogram_to_json(s->capture, 1e3));
    json_object_set_member(o, "cut-ms", colo_histogram_to_json(s->cut, 1e3));
    json_object_set_object_member(o, "disks", disk_stats(s));
    json_object_set_member(o, "transfer-ms",
                           colo_histogram_to_json(s->transfer, 1e3));
    json_object_set_member(o, "commit-ms",
                           colo_histogram_to_json(s->commit, 1e3));
    json_object_set_member(o, "load-ms", colo_histogram_to_json(s->load, 1e3));
    json_object_set_member(o, "clock-lag-ms",
                           colo_histogram_to_json(s->clock_lag, 1e3));
    json_object_set_member(o, "pages", colo_histogram_to_json(s->pages, 1));
    json_object_set_member(o, "bytes", colo_histogram_to_json(s->bytes, 1));
    json_object_set_int_member(copy, "bytes", (gint64)s->copy_done);
    json_object_set_double_member(copy, "seconds", copy_seconds(s));
    json_object_set_double_member(copy, "mb-s", copy_rate(s));
    json_object_set_object_member(o, "full-copy", copy);
    json_object_set_int_member(hb, "sent", (gint64)s->hb_sent);
    json_object_set_int_member(hb, "received", (gint64)s->hb_received);
    json_object_set_int_member(hb, "ignored", (gint64)s->hb_ignored);
    json_object_set_object_member(o, "heartbeats", hb);
    g_mutex_unlock(&s->lock);
    json_node_take_object(node, o);
    return node;
}
