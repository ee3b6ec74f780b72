/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One QMP command from a shell script:
 *   qmp-send [--timeout MS] [--event NAME] SOCKET [COMMAND [ARGUMENTS]]
 * Prints what the command returned, as one line of JSON.  With --event, waits
 * for that event too, which may come before the reply, and prints it.
 * Exit status: 0, 1 when the server refused or is silent, 2 wrong usage.
 */
#include "config.h"

#include "colo/qmp-client.h"

#include <stdlib.h>

static char *event_name;
static gboolean event_seen;

static void print_json(JsonNode *node)
{
    g_autofree char *text = json_to_string(node, FALSE);
    g_print("%s\n", text);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    if (event_seen || g_strcmp0(event, event_name) != 0)
        return;
    event_seen = TRUE;
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    if (data != NULL)
        json_node_set_object(node, data);
    else
        json_node_take_object(node, json_object_new());
    print_json(node);
}

static int fail(const GError *error)
{
    if (error->domain == COLO_QMP_ERROR)
        g_printerr("qmp-send: %s: %s\n", colo_qmp_error_class(error->code),
                   error->message);
    else
        g_printerr("qmp-send: %s\n", error->message);
    return 1;
}

int main(int argc, char **argv)
{
    int timeout_ms = 5000;
    const GOptionEntry entries[] = {
        {"timeout", 0, 0, G_OPTION_ARG_INT, &timeout_ms, "For all of it", "MS"},
        {"event", 0, 0, G_OPTION_ARG_STRING, &event_name, "Wait for this event",
         "NAME"},
        {0},
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context =
        g_option_context_new("SOCKET [COMMAND [ARGUMENTS]]");

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("qmp-send: %s\n", error->message);
        return 2;
    }
    if (argc < 2 || argc > 4 || (argc == 2 && event_name == NULL)) {
        g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
        g_printerr("%s", help);
        return 2;
    }
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    JsonObject *args = NULL;
    if (argc == 4) {
        g_autoptr(JsonNode) node = json_from_string(argv[3], &error);
        if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
            g_printerr("qmp-send: the arguments are not a JSON object: %s\n",
                       argv[3]);
            return 2;
        }
        args = json_node_dup_object(node);
    }

    g_autoptr(ColoQmpClient) client = colo_qmp_client_connect(
        argv[1], (gint64)timeout_ms * 1000, on_event, NULL, &error);
    if (client == NULL)
        return fail(error);
    if (argc > 2) {
        guint64 id = colo_qmp_client_send(client, argv[2], args);
        g_autoptr(JsonNode) result =
            colo_qmp_client_wait(client, id, deadline, &error);
        if (result == NULL)
            return fail(error);
        print_json(result);
    }
    while (event_name != NULL && !event_seen) {
        if (!colo_qmp_client_wait_any(client, deadline, &error))
            return fail(error);
    }
    return 0;
}
