/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast the live full copy is beside one plain TCP stream over the same
 * link, measured just before and just after it.
 */
#include "tests/bench/bench.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STREAM_S 3

static int ram = 1024;
static char *compress;

static const GOptionEntry entries[] = {
    {"ram", 0, 0, G_OPTION_ARG_INT, &ram, "the guest's RAM (1024)", "MIB"},
    {"compress", 0, 0, G_OPTION_ARG_STRING, &compress, "as colod's (none)",
     "HOW"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static double received_rate(const char *report)
{
    g_autoptr(JsonNode) node = json_from_string(report, NULL);
    JsonObject *end;

    if (!node || !JSON_NODE_HOLDS_OBJECT(node) ||
        !json_object_has_member(json_node_get_object(node), "end")) {
        rig_die("iperf3 says: %s", report);
    }
    end = json_object_get_object_member(json_node_get_object(node), "end");
    if (!json_object_has_member(end, "sum_received")) {
        rig_die("iperf3 says: %s", report);
    }
    end = json_object_get_object_member(end, "sum_received");
    return json_object_get_double_member(end, "bits_per_second") / 8e6;
}

static double plain_stream(Rig *r)
{
    g_autofree char *log = g_build_filename(r->dir, "iperf3.log", NULL);
    g_autofree char *to = rig_address(&r->sec, "repl");
    g_autofree char *time = g_strdup_printf("%d", STREAM_S);
    char *server[] = {"iperf3", "-s", "-1", "--forceflush", NULL};
    char *client[] = {"iperf3", "-J", "-c", to, "-t", time, NULL};
    g_autofree char *report = NULL;
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;
    pid_t pid;

    unlink(log);
    pid = rig_spawn(r->sec.ns, log, server);
    for (;;) {
        g_autofree char *said = NULL;

        if (g_file_get_contents(log, &said, NULL, NULL) &&
            strstr(said, "listening")) {
            break;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("iperf3 does not start: %s", said);
        }
        g_usleep(5000);
    }
    rig_run(r->pri.ns, client, &report);
    rig_end(&pid, SIGTERM);
    return received_rate(report);
}

static int fill(Rig *r)
{
    g_autofree char *text = NULL;
    char *at;

    rig_type(&r->pri, "fill random", "filled ", 600);
    if (!g_file_get_contents(r->pri.console, &text, NULL, NULL) ||
        !(at = g_strrstr(text, "filled "))) {
        rig_die("the guest has not filled its RAM");
    }
    return (int)g_ascii_strtoll(at + 7, NULL, 10);
}

int main(int argc, char **argv)
{
    RigOptions options = {.linux_guest = TRUE};
    g_autoptr(GString) o = g_string_new(NULL);
    JsonObject *copy;
    g_autoptr(JsonNode) stats = NULL;
    Samples *reference = samples_new();
    double rate, plain;
    int filled;
    Rig *r;

    bench_start("The live full copy beside one plain TCP stream.", entries,
                argc, argv);
    bench_range("ram", ram, 80, 1 << 20);
    options.ram_mib = (guint)ram;
    options.compress = compress;
    r = rig_new(&options);
    rig_start_qemu(&r->pri);
    rig_start_qemu(&r->sec);
    rig_wait_boot(&r->pri);
    filled = fill(r);
    rig_start_colod(&r->sec);

    samples_add(reference, plain_stream(r));
    rig_start_colod(&r->pri);
    rig_wait_state(&r->pri, "active", 600);
    stats = rig_qmp(&r->pri.ctl, "query-colo-stats", NULL);
    samples_add(reference, plain_stream(r));

    copy =
        json_object_get_object_member(json_node_get_object(stats), "full-copy");
    /* What crossed the link, for that is what the plain stream does. */
    rate = (double)json_object_get_int_member(json_node_get_object(stats),
                                              "bytes-sent") /
           1e6 / json_object_get_double_member(copy, "seconds");
    /* Of two: their middle */
    plain =
        (samples_quantile(reference, 0.5) + samples_quantile(reference, 1)) / 2;
    bench_put_string(o, "bench", "fullcopy");
    bench_put_int(o, "ram_mib", ram);
    bench_put_int(o, "filled_mib", filled);
    bench_put_string(o, "compress", compress ? compress : "none");
    bench_put_number(o, "ram_mb_s",
                     json_object_get_double_member(copy, "mb-s"));
    bench_put_number(o, "mb_s", rate);
    bench_put_number(o, "reference_mb_s", plain);
    bench_put_number(o, "ratio", plain > 0 ? rate / plain : 0);
    bench_print(o);
    samples_free(reference);
    rig_free(r);
    return 0;
}
