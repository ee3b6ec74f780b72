/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of colo-proxy's QMP socket. */
#include "netcompare/proxy/proxy.h"
#include "colo/log.h"

static JsonNode *take(JsonObject *o)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, o);
    return node;
}

static gboolean check_role(const Proxy *p, gboolean primary, GError **error)
{
    if (p->config->primary != primary) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "this is the %s's proxy: the command is the %s's",
                    p->config->primary ? "primary" : "secondary",
                    primary ? "primary" : "secondary");
        return FALSE;
    }
    return TRUE;
}

static gboolean get_epoch(JsonObject *args, guint64 *epoch, GError **error)
{
    gint64 n = json_object_get_int_member(args, "epoch");

    if (n < 1) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "Parameter 'epoch' expects a number from 1");
        return FALSE;
    }
    *epoch = (guint64)n;
    return TRUE;
}

/* --- colod's ------------------------------------------------------------ */

static JsonArray *interfaces(const Proxy *p)
{
    JsonArray *list = json_array_new();

    for (guint i = 0; i < p->config->n_taps; i++) {
        json_array_add_string_element(list, p->config->taps[i]);
    }
    return list;
}

static const char *mode(const Proxy *p)
{
    return p->primary ? proxy_primary_mode(p) : proxy_secondary_mode(p);
}

static JsonNode *attach(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    JsonObject *o;

    if (!p->colod) {
        colo_log_info("colod is attached");
    }
    p->colod = colo_qmp_server_asking(p->control); /* the newest one counts */
    if (p->link) {
        net_link_set_attached(p->link, TRUE);
    }
    if (p->primary) {
        proxy_primary_colod(p, TRUE);
    }
    o = json_object_new();
    json_object_set_string_member(o, "role",
                                  p->config->primary ? "primary" : "secondary");
    json_object_set_array_member(o, "interfaces", interfaces(p));
    json_object_set_string_member(o, "mode", mode(p));
    json_object_set_boolean_member(o, "ready", p->ready);
    return take(o);
}

void proxy_client_gone(guint64 client, gpointer data)
{
    Proxy *p = data;

    if (client != p->colod) {
        return;
    }
    p->colod = 0;
    p->colod_left_us = g_get_monotonic_time();
    colo_log_warn("colod is gone");
    if (p->link) {
        net_link_set_attached(p->link, FALSE);
    }
    if (p->primary) {
        proxy_primary_colod(p, FALSE);
    }
}

static JsonNode *capture(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    guint64 epoch;

    if (check_role(p, TRUE, error) && get_epoch(args, &epoch, error)) {
        proxy_primary_capture(p, epoch,
                              json_object_get_boolean_member(args, "periodic"));
    }
    return NULL;
}

static JsonNode *commit(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    guint64 epoch;

    if (check_role(p, TRUE, error) && get_epoch(args, &epoch, error)) {
        proxy_primary_commit(p, epoch);
    }
    return NULL;
}

static JsonNode *cancel(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;

    if (check_role(p, TRUE, error)) {
        proxy_primary_cancel(p);
    }
    return NULL;
}

static JsonNode *pass(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;

    if (check_role(p, TRUE, error)) {
        proxy_primary_pass(p);
    }
    return NULL;
}

static JsonNode *block(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;

    if (check_role(p, TRUE, error)) {
        proxy_primary_block(p);
    }
    return NULL;
}

static JsonNode *load(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    guint64 epoch;

    if (check_role(p, FALSE, error) && get_epoch(args, &epoch, error)) {
        proxy_secondary_load(p, epoch, error);
    }
    return NULL;
}

static JsonNode *run(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    guint64 epoch;

    if (check_role(p, FALSE, error) && get_epoch(args, &epoch, error)) {
        proxy_secondary_run(p, epoch, error);
    }
    return NULL;
}

static JsonNode *takeover(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;

    if (check_role(p, FALSE, error)) {
        proxy_secondary_takeover(p, error);
    }
    return NULL;
}

/* --- Everybody's -------------------------------------------------------- */

static JsonNode *query(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    JsonObject *o = json_object_new();
    gboolean up = p->link && net_link_is_up(p->link);

    json_object_set_string_member(o, "name", p->config->name);
    json_object_set_string_member(o, "role",
                                  p->config->primary ? "primary" : "secondary");
    json_object_set_string_member(o, "mode", mode(p));
    json_object_set_array_member(o, "interfaces", interfaces(p));
    json_object_set_boolean_member(o, "connected", up);
    json_object_set_boolean_member(o, "colod", p->colod != 0);
    json_object_set_boolean_member(o, "ready", p->ready);
    return take(o);
}

static JsonObject *link_stats(const Proxy *p)
{
    JsonObject *o = json_object_new();
    NetLinkStats s;

    net_link_stats(p->link, &s);
    json_object_set_int_member(o, "sent-bytes", (gint64)s.sent);
    json_object_set_int_member(o, "received-bytes", (gint64)s.received);
    json_object_set_int_member(o, "sent-messages", (gint64)s.sent_messages);
    json_object_set_int_member(o, "received-messages",
                               (gint64)s.received_messages);
    json_object_set_int_member(o, "refused", (gint64)s.refused);
    json_object_set_int_member(o, "connections", (gint64)s.connections);
    json_object_set_int_member(o, "queued-bytes", (gint64)s.queued);
    json_object_set_int_member(o, "max-queued-bytes", (gint64)s.max_queued);
    return o;
}

static JsonNode *query_stats(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;
    JsonObject *o = json_object_new();

    if (p->primary) {
        proxy_primary_stats(p, o);
    } else {
        proxy_secondary_stats(p, o);
    }
    if (p->link) {
        json_object_set_object_member(o, "link", link_stats(p));
    }
    return take(o);
}

static JsonNode *quit(JsonObject *args, gpointer data, GError **error)
{
    Proxy *p = data;

    g_main_loop_quit(p->loop);
    return NULL;
}

static const ColoQmpArg epoch_args[] = {
    {.name = "epoch", .type = COLO_QMP_INT}, {NULL}};
static const ColoQmpArg capture_args[] = {
    {.name = "epoch", .type = COLO_QMP_INT},
    {.name = "periodic", .type = COLO_QMP_BOOL}, {NULL}};

const ColoQmpCommand proxy_commands[] = {
    {"query-colo-proxy", NULL, query},
    {"query-colo-proxy-stats", NULL, query_stats},
    {"colo-proxy-attach", NULL, attach},
    {"colo-proxy-capture", capture_args, capture},
    {"colo-proxy-commit", epoch_args, commit},
    {"colo-proxy-cancel", NULL, cancel},
    {"colo-proxy-pass", NULL, pass},
    {"colo-proxy-block", NULL, block},
    {"colo-proxy-load", epoch_args, load},
    {"colo-proxy-run", epoch_args, run},
    {"colo-proxy-takeover", NULL, takeover},
    {"quit", NULL, quit},
    {NULL, NULL, NULL},
};
