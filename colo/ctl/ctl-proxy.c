/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl stats: what the proxy says of the guest's output. */
#include "colo/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#define CONNECT_US (500 * 1000)

/* Where colod says that it is, or NULL. */
static char *proxy_path(Ctl *c)
{
    g_autoptr(JsonNode) answer = colo_qmp_client_call(
        c->client, "query-colo-status", NULL, c->timeout_us, NULL);
    JsonObject *proxy = answer && JSON_NODE_HOLDS_OBJECT(answer)
                            ? ctl_obj(json_node_get_object(answer), "proxy")
                            : NULL;

    return proxy && *ctl_str(proxy, "path") ? g_strdup(ctl_str(proxy, "path"))
                                            : NULL;
}

JsonNode *ctl_proxy_stats(Ctl *c)
{
    g_autofree char *path = proxy_path(c);
    g_autoptr(ColoQmpClient) client = NULL;
    g_autoptr(JsonNode) answer = NULL;

    if (!path) {
        return NULL;
    }
    client = colo_qmp_client_connect(path, MIN(CONNECT_US, c->timeout_us), NULL,
                                     NULL, NULL);
    if (!client) {
        return NULL;
    }
    answer = colo_qmp_client_call(client, "query-colo-proxy-stats", NULL,
                                  MIN(CONNECT_US, c->timeout_us), NULL);
    return answer && JSON_NODE_HOLDS_OBJECT(answer) ? g_steal_pointer(&answer)
                                                    : NULL;
}

static double part(JsonObject *released, const char *name, const char *what)
{
    JsonObject *o = ctl_obj(released, name);

    return o ? ctl_num(o, what) : 0;
}

static void print_released(JsonObject *released)
{
    static const char *const rest[] = {"link", "pass"};
    double match = part(released, "match", "packets");
    double checkpoint = part(released, "checkpoint", "packets");
    double bytes = part(released, "match", "bytes") +
                   part(released, "checkpoint", "bytes");
    double both = match + checkpoint;

    printf("released      %.0f packets, %.1f MB: %.1f %% by comparison, "
           "%.1f %% by checkpoint\n",
           both, bytes / 1e6, both > 0 ? 100 * match / both : 0,
           both > 0 ? 100 * checkpoint / both : 0);
    for (gsize i = 0; i < G_N_ELEMENTS(rest); i++) {
        double packets = part(released, rest[i], "packets");

        if (packets > 0) {
            printf("              %.0f packets, %.1f MB %s\n", packets,
                   part(released, rest[i], "bytes") / 1e6,
                   i ? "while not protected" : "not compared (link)");
        }
    }
}

char *ctl_counts(JsonObject *o)
{
    GString *out = g_string_new(NULL);
    GList *names = o ? json_object_get_members(o) : NULL;

    for (GList *l = names; l; l = l->next) {
        double n = ctl_num(o, l->data);

        if (n > 0) {
            g_autofree char *plain = ctl_plain(l->data);

            g_string_append_printf(out, "%s%.0f %s", out->len ? ", " : "", n,
                                   plain);
        }
    }
    g_list_free(names);
    return g_string_free(out, FALSE);
}

static void print_flows(JsonObject *o)
{
    JsonNode *n = json_object_get_member(o, "worst-flows");
    JsonArray *list = n && JSON_NODE_HOLDS_ARRAY(n) ? json_node_get_array(n)
                                                    : NULL;
    const char *label = "worst flows";

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *e = json_array_get_element(list, i);
        JsonObject *flow = JSON_NODE_HOLDS_OBJECT(e) ? json_node_get_object(e)
                                                     : NULL;

        if (flow && *ctl_str(flow, "flow")) {
            g_autofree char *name = ctl_plain(ctl_str(flow, "flow"));
            g_autofree char *causes = ctl_counts(ctl_obj(flow, "causes"));

            printf("%-14s%s: %s\n", label, name, causes);
            label = "";
        }
    }
}

void ctl_print_proxy(JsonObject *o)
{
    JsonObject *released = ctl_obj(o, "released"), *held = ctl_obj(o, "held");
    JsonObject *latency = ctl_obj(o, "release-latency-us");
    g_autofree char *causes = ctl_counts(ctl_obj(o, "causes"));
    g_autofree char *mode = ctl_plain(ctl_str(o, "mode"));

    printf("\nproxy         mode %s, %.0f flows\n", *mode ? mode : "-",
           ctl_num(o, "flows"));
    if (released) {
        print_released(released);
    }
    if (held) {
        printf("held          %.0f packets, %.1f MB for %.0f ms; at most "
               "%.1f MB\n",
               ctl_num(held, "packets"), ctl_num(held, "bytes") / 1e6,
               ctl_num(held, "oldest-ms"), ctl_num(held, "max-bytes") / 1e6);
    }
    if (latency && ctl_num(latency, "count") > 0) {
        printf("held for us   p50 %.0f, p90 %.0f, p99 %.0f, max %.0f, mean "
               "%.0f\n",
               ctl_num(latency, "p50"), ctl_num(latency, "p90"),
               ctl_num(latency, "p99"), ctl_num(latency, "max"),
               ctl_num(latency, "mean"));
    }
    if (*causes) {
        printf("divergences   %s\n", causes);
    }
    print_flows(o);
}
