/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hours of service under mixed load: one object a minute, with what would
 * grow if it leaked, and why checkpoints were made.
 */
#include "tests/bench/bench.h"

#include <stdlib.h>
#include <string.h>

#define SESSIONS                                                               \
    "--download 4 --upload 2 --tiny 10 --short 4 --random 2 --counter 4 "      \
    "--echo 10 --dial 10 --udp 2 --ping 2 --size 200000 --limit 90000"
#define MINUTE 60

static int seconds = 3600, interval, pace = 40;
static char *mode;

static const GOptionEntry entries[] = {
    {"mode", 0, 0, G_OPTION_ARG_STRING, &mode, "colo or periodic (colo)",
     "MODE"},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "to run (3600)", "S"},
    {"interval", 0, 0, G_OPTION_ARG_INT, &interval,
     "between checkpoints (20000; periodic 50)", "MS"},
    {"pace", 0, 0, G_OPTION_ARG_INT, &pace,
     "between a session's exchanges (40)", "MS"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

/* KiB of memory that the process has now. */
static gint64 resident(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        !(at = strstr(text, "VmRSS:"))) {
        rig_die("process %d is gone", (int)pid);
    }
    return atoll(at + 6);
}

static void put_memory(GString *o, const Rig *r)
{
    const struct {
        const char *name;
        pid_t pid;
    } list[] = {
        {"pri_colod_kib", r->pri.colod}, {"sec_colod_kib", r->sec.colod},
        {"pri_proxy_kib", r->pri.proxy}, {"sec_proxy_kib", r->sec.proxy},
        {"pri_qemu_kib", r->pri.qemu},   {"sec_qemu_kib", r->sec.qemu},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(list); i++) {
        bench_put_int(o, list[i].name, resident(list[i].pid));
    }
}

/* An object of query-colo-proxy-stats as it is. */
static void put_proxy(GString *o, RigSide *s, const char *member,
                      const char *name)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->px, "query-colo-proxy-stats", NULL);
    JsonNode *m = json_object_get_member(json_node_get_object(node), member);
    g_autofree char *text = m ? json_to_string(m, FALSE) : NULL;

    g_string_append_printf(o, ",\"%s\":%s", name, text ? text : "null");
}

static gint64 put_clients(GString *o, JsonObject *f)
{
    gint64 bad = json_object_get_int_member(f, "connections_lost") +
                 json_object_get_int_member(f, "wrong_bytes");

    bench_put_int(o, "exchanges", json_object_get_int_member(f, "exchanges"));
    bench_put_number(o, "client_gap_ms",
                     json_object_get_double_member(f, "client_gap_ms"));
    bench_put_int(o, "connections",
                  json_object_get_int_member(f, "connections"));
    bench_put_int(o, "connections_lost",
                  json_object_get_int_member(f, "connections_lost"));
    bench_put_int(o, "wrong_bytes",
                  json_object_get_int_member(f, "wrong_bytes"));
    return bad;
}

static void pump(Rig *r, int s)
{
    gint64 end = g_get_monotonic_time() + s * G_USEC_PER_SEC;

    while (g_get_monotonic_time() < end) {
        if (!rig_qmp_pump(&r->pri.ctl, 200) || !rig_qmp_pump(&r->sec.ctl, 1) ||
            !rig_qmp_pump(&r->pri.px, 1) || !rig_qmp_pump(&r->sec.px, 1) ||
            !rig_qmp_pump(&r->pri.mon, 1) || !rig_qmp_pump(&r->sec.mon, 1)) {
            rig_die("a process ended during the soak");
        }
    }
}

/* What was seen is counted, not kept: hours have many. */
static guint forget_events(Rig *r)
{
    guint checkpoints = 0, at = 0;

    while (rig_qmp_find(&r->pri.ctl, at, "COLO_CHECKPOINT", NULL, NULL, &at)) {
        checkpoints++;
    }
    g_ptr_array_set_size(r->pri.ctl.events, 0);
    g_ptr_array_set_size(r->sec.ctl.events, 0);
    g_ptr_array_set_size(r->pri.px.events, 0);
    g_ptr_array_set_size(r->sec.px.events, 0);
    g_ptr_array_set_size(r->pri.mon.events, 0);
    g_ptr_array_set_size(r->sec.mon.events, 0);
    return checkpoints;
}

int main(int argc, char **argv)
{
    RigOptions o = {.linux_guest = TRUE, .net = TRUE, .ram_mib = 128};
    g_autofree char *sessions = NULL;
    gint64 bad = 0;
    RigClient *c;
    gboolean whole;
    Rig *r;

    bench_start("Hours of service under load.", entries, argc, argv);
    bench_range("seconds", seconds, 10, 86400);
    bench_range("interval", interval, 0, 3600000);
    bench_range("pace", pace, 0, 60000);
    o.periodic = bench_choice("mode", mode, "colo", "periodic");
    o.delay_ms = interval ? (guint)interval : o.periodic ? 50 : 20000;
    r = rig_new_protected(&o);
    sessions = g_strdup_printf(SESSIONS " --pace %d", pace);
    c = rig_client_start(r, sessions);
    for (int done = 0; done < seconds; done += MINUTE) {
        g_autoptr(GString) line = g_string_new(NULL);
        g_autoptr(JsonObject) f = NULL;
        g_autofree char *state = NULL;

        pump(r, MIN(MINUTE, seconds - done));
        f = rig_client_mark(c, RIG_PATIENCE_S);
        state = rig_state(&r->pri);
        bench_put_string(line, "bench", "soak");
        bench_put_int(line, "second", MIN(done + MINUTE, seconds));
        bench_put_string(line, "state", state);
        bad += put_clients(line, f);
        bench_put_int(line, "checkpoints", forget_events(r));
        put_proxy(line, &r->pri, "causes", "causes");
        put_proxy(line, &r->pri, "released", "released");
        put_proxy(line, &r->pri, "worst-flows", "worst_flows");
        put_memory(line, r);
        bench_print(line);
    }
    json_object_unref(rig_client_stop(c));
    rig_client_free(c);
    whole = rig_chain_ok(&r->pri, 0, "");
    rig_free(r);
    return bad || !whole ? 1 : 0;
}
