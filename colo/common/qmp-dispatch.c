/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP requests: checked, carried out, answered; the built-in commands. */
#include <config.h>

#include "colo/common/qmp-dispatch.h"
#include "colo/common/qmp-wire.h"

#include <stdio.h>
#include <string.h>

struct ColoQmpTable {
    char *product;
    const ColoQmpCommand *commands;
    gpointer user_data;
    GHashTable *by_name; /* const char * to const ColoQmpCommand * */
    JsonParser *parser;
};

/*
 * In the shape that QEMU's own tools read, as qemu-storage-daemon's is: the
 * numbers under "qemu" are ours; "package" says whose they are.
 */
static JsonObject *version_object(ColoQmpTable *t)
{
    JsonObject *version = json_object_new(), *triple = json_object_new();
    g_autofree char *package =
        g_strdup_printf("%s %s", t->product, PACKAGE_VERSION);
    int major = 0, minor = 0, micro = 0;

    sscanf(PACKAGE_VERSION, "%d.%d.%d", &major, &minor, &micro);
    json_object_set_int_member(triple, "micro", micro);
    json_object_set_int_member(triple, "minor", minor);
    json_object_set_int_member(triple, "major", major);
    json_object_set_object_member(version, "qemu", triple);
    json_object_set_string_member(version, "package", package);
    return version;
}

/*
 * The built-in commands are entries like all others, with the table itself
 * as their user data.
 */
static JsonNode *do_query_version(JsonObject *args, gpointer user_data,
                                  GError **error)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, version_object(user_data));
    return node;
}

static JsonNode *do_capabilities(JsonObject *args, gpointer user_data,
                                 GError **error)
{
    JsonArray *enable = colo_json_get_array(args, "enable");

    if (enable && json_array_get_length(enable)) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "this server has no capabilities to enable");
    }
    return NULL;
}

static JsonNode *do_query_commands(JsonObject *args, gpointer user_data,
                                   GError **error);

static const ColoQmpArg capabilities_args[] = {
    {"enable", COLO_QMP_LIST, TRUE},
    {NULL},
};

static const ColoQmpCommand built_in[] = {
    {"qmp_capabilities", capabilities_args, do_capabilities},
    {"query-commands", NULL, do_query_commands},
    {"query-version", NULL, do_query_version},
    {NULL},
};

static void append_names(JsonArray *list, const ColoQmpCommand *commands)
{
    for (; commands->name; commands++) {
        JsonObject *entry = json_object_new();

        json_object_set_string_member(entry, "name", commands->name);
        json_array_add_object_element(list, entry);
    }
}

static JsonNode *do_query_commands(JsonObject *args, gpointer user_data,
                                   GError **error)
{
    ColoQmpTable *t = user_data;
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    JsonArray *list = json_array_new();

    append_names(list, built_in);
    append_names(list, t->commands);
    json_node_take_array(node, list);
    return node;
}

static gboolean is_built_in(const ColoQmpCommand *command)
{
    return command >= built_in && command < built_in + G_N_ELEMENTS(built_in);
}

static void add_names(ColoQmpTable *t, const ColoQmpCommand *commands)
{
    for (; commands->name; commands++) {
        g_hash_table_insert(t->by_name, (gpointer)commands->name,
                            (gpointer)commands);
    }
}

ColoQmpTable *colo_qmp_table_new(const char *product,
                                 const ColoQmpCommand *commands,
                                 gpointer user_data)
{
    ColoQmpTable *t = g_new0(ColoQmpTable, 1);

    t->product = g_strdup(product);
    t->commands = commands;
    t->user_data = user_data;
    t->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    add_names(t, commands);
    add_names(t, built_in);
    t->parser = json_parser_new();
    return t;
}

void colo_qmp_table_free(ColoQmpTable *t)
{
    if (t) {
        g_free(t->product);
        g_hash_table_unref(t->by_name);
        g_object_unref(t->parser);
        g_free(t);
    }
}

static gboolean has_type(JsonNode *node, int type)
{
    switch (type) {
    case COLO_QMP_OBJ:
        return JSON_NODE_HOLDS_OBJECT(node);
    case COLO_QMP_LIST:
        return JSON_NODE_HOLDS_ARRAY(node);
    case COLO_QMP_STR:
        return JSON_NODE_HOLDS_VALUE(node) &&
               json_node_get_value_type(node) == G_TYPE_STRING;
    case COLO_QMP_INT:
        return JSON_NODE_HOLDS_VALUE(node) &&
               json_node_get_value_type(node) == G_TYPE_INT64;
    case COLO_QMP_BOOL:
        return JSON_NODE_HOLDS_VALUE(node) &&
               json_node_get_value_type(node) == G_TYPE_BOOLEAN;
    default:
        return FALSE;
    }
}

static const char *const type_names[] = {
    [COLO_QMP_STR] = "string",   [COLO_QMP_INT] = "integer",
    [COLO_QMP_BOOL] = "boolean", [COLO_QMP_OBJ] = "object",
    [COLO_QMP_LIST] = "array",
};

/* Exactly what the command's table entry lists. */
static gboolean check_args(const ColoQmpCommand *command, JsonObject *args,
                           GError **error)
{
    g_autoptr(GList) names = NULL;
    guint known = 0;

    for (const ColoQmpArg *a = command->args; a && a->name; a++) {
        JsonNode *node = json_object_get_member(args, a->name);

        if (!node && !a->optional) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                        "Parameter '%s' is missing", a->name);
            return FALSE;
        }
        if (node && !has_type(node, a->type)) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                        "Invalid parameter type for '%s', expected: %s",
                        a->name, type_names[a->type]);
            return FALSE;
        }
        known += node != NULL;
    }
    if (known == json_object_get_size(args)) {
        return TRUE;
    }
    names = json_object_get_members(args);
    for (GList *l = names; l; l = l->next) {
        const ColoQmpArg *a = command->args;

        while (a && a->name && !g_str_equal(a->name, l->data)) {
            a++;
        }
        if (!a || !a->name) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                        "Parameter '%s' is unexpected", (char *)l->data);
            break;
        }
    }
    return FALSE;
}

/* The members that a request may have. */
static gboolean check_members(JsonObject *request, GError **error)
{
    static const char *const known[] = {"execute", "arguments", "id", NULL};
    g_autoptr(GList) names = json_object_get_members(request);

    for (GList *l = names; l; l = l->next) {
        if (!g_strv_contains(known, l->data)) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                        "QMP input member '%s' is unexpected", (char *)l->data);
            return FALSE;
        }
    }
    if (!json_object_has_member(request, "execute")) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "QMP input lacks member 'execute'");
        return FALSE;
    }
    if (!colo_json_get_string(request, "execute")) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "QMP input member 'execute' must be a string");
        return FALSE;
    }
    if (json_object_has_member(request, "arguments") &&
        !colo_json_get_object(request, "arguments")) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "QMP input member 'arguments' must be an object");
        return FALSE;
    }
    return TRUE;
}

static const ColoQmpCommand *find_command(ColoQmpTable *t, const char *name,
                                          gboolean negotiated, GError **error)
{
    const ColoQmpCommand *command = g_hash_table_lookup(t->by_name, name);
    gboolean negotiation = g_str_equal(name, "qmp_capabilities");

    if (!negotiated && !negotiation) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_COMMAND_NOT_FOUND,
                    "Expecting capabilities negotiation with "
                    "'qmp_capabilities'");
    } else if (negotiated && negotiation) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_COMMAND_NOT_FOUND,
                    "Capabilities negotiation is already complete, command "
                    "ignored");
    } else if (!command) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_COMMAND_NOT_FOUND,
                    "The command %s has not been found", name);
    } else {
        return command;
    }
    return NULL;
}

/* The value of "return"; NULL with error set. */
static JsonNode *execute(ColoQmpTable *t, JsonObject *request,
                         gboolean *negotiated, GError **error)
{
    g_autoptr(JsonObject) args = NULL;
    const ColoQmpCommand *command;
    GError *err = NULL;
    JsonNode *value;

    if (!check_members(request, error)) {
        return NULL;
    }
    command = find_command(t, colo_json_get_string(request, "execute"),
                           *negotiated, error);
    if (!command) {
        return NULL;
    }
    args = colo_json_get_object(request, "arguments");
    args = args ? json_object_ref(args) : json_object_new();
    if (!check_args(command, args, error)) {
        return NULL;
    }
    value =
        command->handler(args, is_built_in(command) ? t : t->user_data, &err);
    if (err) {
        g_clear_pointer(&value, json_node_unref);
        g_propagate_error(error, err);
        return NULL;
    }
    *negotiated = TRUE; /* was, or this was qmp_capabilities */
    return value ? value : colo_json_empty();
}

static JsonObject *error_object(const GError *err)
{
    JsonObject *o = json_object_new();
    g_autofree char *desc = g_utf8_make_valid(err->message, -1);

    json_object_set_string_member(
        o, "class",
        colo_qmp_error_class(err->domain == COLO_QMP_ERROR
                                 ? (ColoQmpErrorCode)err->code
                                 : COLO_QMP_ERROR_GENERIC));
    json_object_set_string_member(o, "desc", desc);
    return o;
}

char *colo_qmp_dispatch(ColoQmpTable *t, const char *line, gsize len,
                        gboolean *negotiated)
{
    g_autoptr(JsonObject) reply = NULL;
    g_autoptr(JsonNode) root = NULL;
    g_autoptr(GError) err = NULL;
    JsonNode *value = NULL, *id = NULL;

    if (strspn(line, " \t\r") == len) {
        return NULL;
    }
    reply = json_object_new();
    root = colo_qmp_parse(t->parser, line, len, COLO_QMP_MAX_DEPTH, TRUE, &err);
    if (root) {
        id = json_object_get_member(json_node_get_object(root), "id");
        value = execute(t, json_node_get_object(root), negotiated, &err);
    }
    if (value) {
        json_object_set_member(reply, "return", value);
    } else {
        json_object_set_object_member(reply, "error", error_object(err));
    }
    if (id) {
        json_object_set_member(reply, "id", json_node_copy(id));
    }
    return colo_qmp_print(reply);
}

char *colo_qmp_format_greeting(ColoQmpTable *t)
{
    g_autoptr(JsonObject) greeting = json_object_new();
    JsonObject *qmp = json_object_new();

    json_object_set_object_member(qmp, "version", version_object(t));
    json_object_set_array_member(qmp, "capabilities", json_array_new());
    json_object_set_object_member(greeting, "QMP", qmp);
    return colo_qmp_print(greeting);
}

char *colo_qmp_format_event(const char *event, JsonObject *data)
{
    g_autoptr(JsonObject) o = json_object_new();
    JsonObject *time = json_object_new();
    gint64 now = g_get_real_time();

    json_object_set_int_member(time, "seconds", now / G_USEC_PER_SEC);
    json_object_set_int_member(time, "microseconds", now % G_USEC_PER_SEC);
    json_object_set_object_member(o, "timestamp", time);
    json_object_set_string_member(o, "event", event);
    if (data) {
        json_object_set_object_member(o, "data", json_object_ref(data));
    }
    return colo_qmp_print(o);
}

char *colo_qmp_format_error(ColoQmpErrorCode code, const char *desc)
{
    g_autoptr(JsonObject) o = json_object_new();
    g_autoptr(GError) err = g_error_new_literal(COLO_QMP_ERROR, code, desc);

    json_object_set_object_member(o, "error", error_object(err));
    return colo_qmp_print(o);
}
