/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading QEMU's block graph.  Its command (x-debug-query-block-graph) is not
 * promised to stay; without it nothing is related to anything.
 */
#include "blockrep/attach/qemu-disk.h"

#include "colo/common/qmp-wire.h"

#include <string.h>

char *nbd_export_of(const char *filename)
{
    const char *p = strstr(filename, "://");
    const char *slash = p ? p + 3 + strcspn(p + 3, "/?") : NULL;

    if (g_str_has_prefix(filename, "json:")) {
        g_autoptr(JsonParser) parser = json_parser_new();
        const char *text = filename + strlen("json:");
        g_autoptr(JsonNode) node = colo_qmp_parse(
            parser, text, strlen(text), COLO_QMP_MAX_REPLY_DEPTH, FALSE, NULL);
        const char *export =
            node ? colo_json_get_string(json_node_get_object(node), "export")
                 : NULL;

        return g_strdup(export ? export : "");
    }
    if (!g_str_has_prefix(filename, "nbd") || !slash || *slash != '/') {
        return g_strdup("");
    }
    return g_strndup(slash + 1, strcspn(slash + 1, "?"));
}

static JsonObject *object_at(JsonArray *a, guint i)
{
    JsonNode *n = json_array_get_element(a, i);

    return JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

static guint length_of(JsonArray *a)
{
    return a ? json_array_get_length(a) : 0;
}

static gboolean id_of(JsonObject *graph, const char *name, gint64 *id)
{
    JsonArray *nodes = colo_json_get_array(graph, "nodes");

    for (guint i = 0; i < length_of(nodes); i++) {
        JsonObject *n = object_at(nodes, i);

        if (n && !g_strcmp0(colo_json_get_string(n, "name"), name) &&
            !g_strcmp0(colo_json_get_string(n, "type"), "block-driver")) {
            return colo_json_get_int(n, "id", id);
        }
    }
    return FALSE;
}

static const char *driver_name(JsonObject *graph, gint64 id)
{
    JsonArray *nodes = colo_json_get_array(graph, "nodes");

    for (guint i = 0; i < length_of(nodes); i++) {
        JsonObject *n = object_at(nodes, i);
        gint64 got;

        if (n && colo_json_get_int(n, "id", &got) && got == id &&
            !g_strcmp0(colo_json_get_string(n, "type"), "block-driver")) {
            return colo_json_get_string(n, "name");
        }
    }
    return NULL;
}

/* Members of an edge; FALSE: not one. */
static gboolean edge_of(JsonArray *edges, guint i, gint64 *parent,
                        gint64 *child)
{
    JsonObject *e = object_at(edges, i);

    return e && colo_json_get_int(e, "parent", parent) &&
           colo_json_get_int(e, "child", child);
}

const char *block_graph_below(JsonObject *graph, const char *name)
{
    JsonArray *edges = colo_json_get_array(graph, "edges");
    gint64 id, parent, child;

    if (!id_of(graph, name, &id)) {
        return NULL;
    }
    for (guint i = 0; i < length_of(edges); i++) {
        const char *below = edge_of(edges, i, &parent, &child) && parent == id
                                ? driver_name(graph, child)
                                : NULL;

        if (below) {
            return below;
        }
    }
    return NULL;
}

/* Add to set what its members use (down), or what uses them. */
static void grow(JsonObject *graph, GHashTable *set, gboolean down)
{
    JsonArray *edges = colo_json_get_array(graph, "edges");
    gboolean grown = TRUE;
    gint64 parent, child;

    while (grown) {
        grown = FALSE;
        for (guint i = 0; i < length_of(edges); i++) {
            if (edge_of(edges, i, &parent, &child)) {
                gint64 from = down ? parent : child;
                gint64 to = down ? child : parent;

                grown |= g_hash_table_contains(set, &from) &&
                         g_hash_table_add(set, g_memdup2(&to, sizeof(to)));
            }
        }
    }
}

gboolean block_graph_related(JsonObject *graph, const char *a, const char *b)
{
    g_autoptr(GHashTable) set =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    gint64 a_id, b_id;

    if (!id_of(graph, a, &a_id) || !id_of(graph, b, &b_id)) {
        return FALSE;
    }
    g_hash_table_add(set, g_memdup2(&a_id, sizeof(a_id)));
    grow(graph, set, FALSE);
    grow(graph, set, TRUE);
    return g_hash_table_contains(set, &b_id);
}
