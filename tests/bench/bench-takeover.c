/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long after the primary's death the secondary's guest runs alone: from
 * the kill to the timestamp of the secondary's COLO_STATE "alone", which is
 * raised after QEMU has let the guest run.  One machine, one clock.
 */
#include "tests/bench/bench.h"

#include <signal.h>
#include <string.h>

static char *kill_what, *mode;
static gboolean no_flood;
static int runs = 5, ram = 128, interval, n_clients;

static const GOptionEntry entries[] = {
    {"kill", 0, 0, G_OPTION_ARG_STRING, &kill_what,
     "QEMU's process, or the whole host (qemu)", "qemu|host"},
    {"runs", 0, 0, G_OPTION_ARG_INT, &runs, "how often (5)", "N"},
    {"ram", 0, 0, G_OPTION_ARG_INT, &ram, "the guest's RAM (128)", "MIB"},
    {"interval", 0, 0, G_OPTION_ARG_INT, &interval,
     "between checkpoints (100; with clients 50, or colo 20000)", "MS"},
    {"clients", 0, 0, G_OPTION_ARG_INT, &n_clients,
     "sessions of all kinds, through colo-proxy (none)", "N"},
    {"no-flood", 0, 0, G_OPTION_ARG_NONE, &no_flood,
     "the network sends nothing for the lost host to the other one", NULL},
    {"mode", 0, 0, G_OPTION_ARG_STRING, &mode, "colo or periodic (colo)",
     "MODE"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

/* What the clients have seen, of all runs. */
static double client_gap, connect_gap;
static gint64 lost, wrong;

/* Kinds in turn, so that the first ten are one of each. */
static RigClient *start_clients(Rig *r)
{
    static const char *const kinds[] = {
        "tiny",    "echo",   "dial",  "download", "random",
        "counter", "upload", "short", "udp",      "ping"};
    g_autoptr(GString) options = g_string_new("--size 60000 --pace 50");

    for (int i = 0; i < (int)G_N_ELEMENTS(kinds); i++) {
        int n = (n_clients + (int)G_N_ELEMENTS(kinds) - 1 - i) /
                (int)G_N_ELEMENTS(kinds);

        g_string_append_printf(options, " --%s %d", kinds[i], n);
    }
    return rig_client_start(r, options->str);
}

/* Which kind of client waited longest: the first that did as long as all. */
static const char *slowest(JsonObject *mark)
{
    double gap = json_object_get_double_member(mark, "client_gap_ms");
    JsonObject *kinds = json_object_get_object_member(mark, "kinds");
    JsonObjectIter iter;
    const char *kind;
    JsonNode *node;

    json_object_iter_init(&iter, kinds);
    while (json_object_iter_next(&iter, &kind, &node)) {
        JsonObject *o = json_node_get_object(node);

        if (json_object_get_double_member(o, "gap_ms") >= gap) {
            return kind;
        }
    }
    return "?";
}

/* After the takeover: every session was answered by the survivor. */
static void count_clients(RigClient *c)
{
    g_autoptr(JsonObject) o = rig_client_mark(c, RIG_PATIENCE_S);
    JsonArray *errors = json_object_get_array_member(o, "errors");

    client_gap =
        MAX(client_gap, json_object_get_double_member(o, "client_gap_ms"));
    connect_gap =
        MAX(connect_gap, json_object_get_double_member(o, "connect_gap_ms"));
    lost += json_object_get_int_member(o, "connections_lost");
    wrong += json_object_get_int_member(o, "wrong_bytes");
    g_printerr("clients: %.1f ms (%s), connecting %.1f ms\n",
               json_object_get_double_member(o, "client_gap_ms"), slowest(o),
               json_object_get_double_member(o, "connect_gap_ms"));
    for (guint i = 0; i < json_array_get_length(errors); i++) {
        g_printerr("clients: %s\n", json_array_get_string_element(errors, i));
    }
}

static double take_over_once(const RigOptions *o, gboolean host)
{
    Rig *r = rig_new_protected(o);
    RigClient *clients = n_clients ? start_clients(r) : NULL;
    RigEvent *alone;
    gint64 killed;
    gsize offset;
    double gap;

    /* At any moment between two checkpoints */
    if (clients) {
        json_object_unref(rig_client_mark(clients, RIG_PATIENCE_S));
        g_usleep((gulong)g_random_int_range(0, 1000 * 1000));
    } else {
        rig_wait_checkpoints(&r->pri, 5, RIG_PATIENCE_S);
        g_usleep((gulong)g_random_int_range(0, interval * 1000));
    }
    killed = g_get_real_time();
    if (host) {
        rig_power_cut(&r->pri);
    } else {
        kill(r->pri.qemu, SIGKILL);
    }
    alone = rig_qmp_wait(&r->sec.ctl, 0, "COLO_STATE", "state", "alone",
                         RIG_PATIENCE_S);
    gap = (double)(alone->time_us - killed) / 1e3;
    if (clients) {
        count_clients(clients);
        json_object_unref(rig_client_stop(clients));
        rig_client_free(clients);
    }

    /* A gap counts only if the guest is whole. */
    offset = rig_console_size(&r->sec);
    rig_wait_steps(&r->sec, 10, RIG_PATIENCE_S);
    if (!rig_guest_runs(&r->sec) || !rig_chain_ok(&r->sec, 0, RIG_SEAMS) ||
        !rig_first_step(&r->sec, offset)) {
        rig_die("the guest is not whole after the takeover");
    }
    rig_free(r);
    return gap;
}

int main(int argc, char **argv)
{
    RigOptions options = {.linux_guest = TRUE};
    g_autoptr(GString) o = g_string_new(NULL);
    Samples *gap = samples_new();
    gboolean host;

    bench_start("The gap between the primary's death and the secondary's "
                "guest running alone.",
                entries, argc, argv);
    host = bench_choice("kill", kill_what, "qemu", "host");
    bench_range("runs", runs, 1, 10000);
    bench_range("ram", ram, 80, 1 << 20);
    bench_range("clients", n_clients, 0, 4096);
    options.periodic = bench_choice("mode", mode, "colo", "periodic");
    if (!interval) {
        interval = !n_clients ? 100 : options.periodic ? 50 : 20000;
    }
    bench_range("interval", interval, 10, 3600000);
    options.net = n_clients > 0;
    options.no_flood = no_flood;
    options.ram_mib = (guint)ram;
    options.delay_ms = (guint)interval;
    options.failover = TRUE;

    for (int i = 0; i < runs; i++) {
        double ms = take_over_once(&options, host);

        samples_add(gap, ms);
        g_printerr("run %d of %d: %.1f ms\n", i + 1, runs, ms);
    }
    bench_put_string(o, "bench", "takeover");
    bench_put_string(o, "kill", host ? "host" : "qemu");
    bench_put_string(o, "mode", options.periodic ? "periodic" : "colo");
    bench_put_int(o, "runs", runs);
    bench_put_int(o, "timeout_ms", RIG_TIMEOUT_MS);
    bench_put_samples(o, "gap_ms", gap, TRUE);
    if (n_clients) {
        bench_put_int(o, "clients", n_clients);
        bench_put_string(o, "flood", no_flood ? "off" : "on");
        bench_put_number(o, "client_gap_ms", client_gap);
        bench_put_number(o, "connect_gap_ms", connect_gap);
        bench_put_int(o, "connections_lost", lost);
        bench_put_int(o, "wrong_bytes", wrong);
    }
    bench_print(o);
    samples_free(gap);
    return 0;
}
