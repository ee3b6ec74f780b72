/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl events: a line for each thing that happens. */
#include "colo/ctl/ctl.h"

#include <stdio.h>

static void print_raw(const CtlEvent *ev)
{
    JsonObject *o = json_object_new(), *stamp = json_object_new();
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

    json_object_set_int_member(stamp, "seconds", ev->time_us / G_USEC_PER_SEC);
    json_object_set_int_member(stamp, "microseconds",
                               ev->time_us % G_USEC_PER_SEC);
    json_object_set_object_member(o, "timestamp", stamp);
    json_object_set_string_member(o, "event", ev->name);
    json_object_set_object_member(o, "data", json_object_ref(ev->data));
    json_node_take_object(node, o);
    ctl_print_json(node);
}

/* "epoch 5, reason timer, pause-ms 1.93" */
static char *describe(JsonObject *data)
{
    GString *out = g_string_new(NULL);
    GList *names = json_object_get_members(data);

    for (GList *l = names; l; l = l->next) {
        JsonNode *n = json_object_get_member(data, l->data);

        g_string_append_printf(out, "%s%s ", out->len ? ", " : "",
                               (char *)l->data);
        if (!JSON_NODE_HOLDS_VALUE(n)) {
            g_autofree char *text = json_to_string(n, FALSE);

            g_string_append(out, text);
        } else if (json_node_get_value_type(n) == G_TYPE_STRING) {
            g_string_append(out, json_node_get_string(n));
        } else if (json_node_get_value_type(n) == G_TYPE_DOUBLE) {
            g_string_append_printf(out, "%.2f", json_node_get_double(n));
        } else if (json_node_get_value_type(n) == G_TYPE_BOOLEAN) {
            g_string_append(out, json_node_get_boolean(n) ? "yes" : "no");
        } else {
            g_string_append_printf(out, "%" G_GINT64_FORMAT,
                                   json_node_get_int(n));
        }
    }
    g_list_free(names);
    return g_string_free(out, FALSE);
}

static void print_line(const CtlEvent *ev)
{
    g_autoptr(GDateTime) at =
        g_date_time_new_from_unix_local(ev->time_us / G_USEC_PER_SEC);
    g_autofree char *when =
        at ? g_date_time_format(at, "%Y-%m-%d %H:%M:%S") : g_strdup("-");
    g_autofree char *name = ctl_plain(ev->name);
    g_autofree char *text = describe(ev->data);
    g_autofree char *plain = ctl_plain(text);

    printf("%s.%03d %-16s %s\n", when,
           (int)(ev->time_us % G_USEC_PER_SEC / 1000), name, plain);
    fflush(stdout);
}

int ctl_events(Ctl *c)
{
    g_autoptr(GError) error = NULL;
    CtlEvent *ev;

    while ((ev = ctl_next_event(c, -1, &error))) {
        if (ev->name && c->json) {
            print_raw(ev);
        } else if (ev->name) {
            print_line(ev);
        }
        ctl_event_free(ev);
        if (ferror(stdout)) {
            return CTL_FAILED; /* main() says why */
        }
    }
    if (!g_error_matches(error, COLO_QMP_ERROR, COLO_QMP_ERROR_CLOSED)) {
        ctl_complain("%s", error->message);
        return CTL_FAILED;
    }
    return CTL_OK;
}
