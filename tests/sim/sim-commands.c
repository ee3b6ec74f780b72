/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim-qemu: what it says about itself, and the run state's commands. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#define CPU_PATH "/machine/unattached/device[0]"

const char *sim_arg(JsonObject *args, const char *name)
{
    JsonNode *n = json_object_get_member(args, name);

    return n && JSON_NODE_HOLDS_VALUE(n) &&
                   json_node_get_value_type(n) == G_TYPE_STRING
               ? json_node_get_string(n)
               : "";
}

char *sim_fail(GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error) {
        *error =
            g_error_new_valist(g_quark_from_static_string("sim"), 0, fmt, ap);
    }
    va_end(ap);
    return NULL;
}

static char *query_status(JsonObject *args, GError **error)
{
    return g_strdup_printf(
        "{\"status\":\"%s\",\"singlestep\":false,\"running\":%s}",
        sim_guest_status(), sim_guest_running() ? "true" : "false");
}

static char *do_stop(JsonObject *args, GError **error)
{
    sim_stop("paused");
    return g_strdup("{}");
}

static char *do_cont(JsonObject *args, GError **error)
{
    if (g_str_equal(sim_guest_status(), "guest-panicked") ||
        g_str_equal(sim_guest_status(), "shutdown")) {
        return sim_fail(error, "Resetting the Virtual Machine is required");
    }
    sim_cont();
    return g_strdup("{}");
}

static char *system_reset(JsonObject *args, GError **error)
{
    sim_reset(FALSE);
    return g_strdup("{}");
}

static char *do_quit(JsonObject *args, GError **error)
{
    sim_shutdown(FALSE, "host-qmp-quit");
    return g_strdup("{}");
}

static char *query_memdev(JsonObject *args, GError **error)
{
    return g_strdup_printf("[{\"share\":true,\"reserve\":true,"
                           "\"prealloc\":false,\"host-nodes\":[],"
                           "\"size\":%lld,\"merge\":true,\"dump\":true,"
                           "\"policy\":\"default\",\"id\":\"ram\"}]",
                           (long long)sim_options.ram_mib << 20);
}

static char *query_memory(JsonObject *args, GError **error)
{
    return g_strdup_printf("{\"base-memory\":%lld,\"plugged-memory\":%lld}",
                           (long long)sim_options.ram_mib << 20,
                           (long long)sim_options.plugged_bytes);
}

static char *query_migrate(JsonObject *args, GError **error)
{
    return g_strdup("{}");
}

static char *query_kvm(JsonObject *args, GError **error)
{
    return g_strdup("{\"enabled\":false,\"present\":true}");
}

static char *query_cpus(JsonObject *args, GError **error)
{
    return g_strdup_printf("[{\"thread-id\":%d,\"props\":{},"
                           "\"qom-path\":\"" CPU_PATH "\",\"cpu-index\":0,"
                           "\"target\":\"x86_64\"}]",
                           (int)sim_guest_thread());
}

static char *query_pci(JsonObject *args, GError **error)
{
    GString *s = g_string_new("[{\"bus\":0,\"devices\":[");

    for (int i = 0; i <= sim_options.extra_devices; i++) {
        g_string_append_printf(
            s,
            "%s{\"bus\":0,\"slot\":%d,\"function\":0,\"qdev_id\":\"\","
            "\"class_info\":{\"class\":1536,\"desc\":\"Host bridge\"},"
            "\"id\":{\"device\":4663,\"vendor\":32902,\"subsystem\":4352,"
            "\"subsystem-vendor\":6900},\"regions\":[]}",
            i ? "," : "", i);
    }
    g_string_append(s, "]}]");
    return g_string_free(s, FALSE);
}

/* Properties: a string, or JSON where it starts with one of {[0-9. */
static const struct {
    const char *path, *property, *value;
} properties[] = {
    {"/machine", "memory-backend", "/objects/ram"},
    {"/machine", "smp", "{\"cpus\":1,\"sockets\":1,\"cores\":1}"},
    {CPU_PATH, "type", "qemu64-x86_64-cpu"},
    {CPU_PATH, "feature-words",
     "[{\"cpuid-register\":\"EDX\",\"cpuid-input-eax\":1,"
     "\"features\":126614527}]"},
    {"/objects/ram", "type", "memory-backend-memfd"},
};

static char *qom_get(JsonObject *args, GError **error)
{
    const char *path = sim_arg(args, "path");
    const char *property = sim_arg(args, "property");

    if (g_str_equal(path, "/machine") && g_str_equal(property, "type")) {
        return g_strdup_printf("\"%s-machine\"", sim_options.machine);
    }
    if (g_str_equal(path, "/objects/ram") && g_str_equal(property, "size")) {
        return g_strdup_printf("%lld", (long long)sim_options.ram_mib << 20);
    }
    for (guint i = 0; i < G_N_ELEMENTS(properties); i++) {
        const char *v = properties[i].value;

        if (g_str_equal(path, properties[i].path) &&
            g_str_equal(property, properties[i].property)) {
            return strchr("{[", *v) ? g_strdup(v)
                                    : g_strdup_printf("\"%s\"", v);
        }
    }
    return sim_fail(error, "Property '%s.%s' not found", path, property);
}

static char *qom_list(JsonObject *args, GError **error)
{
    if (g_str_equal(sim_arg(args, "path"), "/machine/unattached")) {
        return g_strdup("[{\"name\":\"device[0]\","
                        "\"type\":\"child<qemu64-x86_64-cpu>\"}]");
    }
    return g_strdup("[{\"name\":\"type\",\"type\":\"string\"}]");
}

static char *quote(const char *text)
{
    g_autoptr(JsonNode) n = json_node_new(JSON_NODE_VALUE);

    json_node_set_string(n, text);
    return json_to_string(n, FALSE);
}

static char *human_monitor(JsonObject *args, GError **error)
{
    const char *line = sim_arg(args, "command-line");
    long long bytes = (long long)sim_options.ram_mib << 20;
    g_autofree char *text = NULL;

    if (g_str_equal(line, "gpa2hva 0")) {
        text = g_strdup_printf("Host virtual address for 0x0 (ram) is %p\r\n",
                               sim_guest_ram());
    } else if (g_str_equal(line, "info ramblock")) {
        text = g_strdup_printf(
            "              Block Name    PSize              Offset"
            "               Used              Total\r\n"
            "                     ram    4 KiB  0x0000000000000000"
            " 0x%016llx 0x%016llx\r\n"
            "                 pc.bios    4 KiB  0x%016llx"
            " 0x0000000000040000 0x0000000000040000\r\n",
            bytes, bytes, bytes);
    } else if (g_str_equal(line, "info mtree -f")) {
        text = g_strdup_printf(
            "FlatView #0\r\n AS \"memory\", root: system\r\n"
            " Root memory region: system\r\n"
            "  0000000000000000-%016llx (prio 0, ram): ram\r\n"
            "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\r\n",
            bytes - 1);
    } else if (g_str_equal(line, "info network")) {
        text = g_strdup("");
    } else {
        text = g_strdup_printf("unknown command: '%s'\r\n", line);
    }
    return quote(text);
}

const SimCommand sim_query_commands[] = {
    {"query-status", query_status},
    {"stop", do_stop},
    {"cont", do_cont},
    {"system_reset", system_reset},
    {"quit", do_quit},
    {"query-memdev", query_memdev},
    {"query-memory-size-summary", query_memory},
    {"query-migrate", query_migrate},
    {"query-kvm", query_kvm},
    {"query-cpus-fast", query_cpus},
    {"query-pci", query_pci},
    {"qom-get", qom_get},
    {"qom-list", qom_list},
    {"human-monitor-command", human_monitor},
    {"x-sim-inject", sim_cmd_inject},
    {NULL, NULL},
};
