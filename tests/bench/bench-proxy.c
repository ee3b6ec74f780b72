/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much passes through compare, against a bare accept of the same queue.
 *
 *   cli -- pri: br0 -- pvm             namespaces; pvm and svm have the same
 *               |  10.77.1.0/24        addresses, and programs that send the
 *          sec: +---------- svm        same when they are asked the same
 *
 * No QEMU: real TCP of the kernel in both.  This program is both colods.
 *
 * Each host has processors of its own, as it would; the client is with the
 * primary, of whose path it is in both measures.  With --share the second guest
 * and its proxy take from the first host what the reference has for itself.
 */
#include "tests/bench/bench.h"
#include "tests/bench/processors.h"
#include "tests/common/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUEST    "10.77.3.100"
#define CLIENT   "10.77.3.9"
#define SETTLE_S 20

static gboolean streams, packets, share;
static char *congestion;
static int seconds = 20, n_flows = 4, round_s = 2;

static const GOptionEntry entries[] = {
    {"stream", 0, 0, G_OPTION_ARG_NONE, &streams, "TCP from the guest", NULL},
    {"packets", 0, 0, G_OPTION_ARG_NONE, &packets, "small UDP packets", NULL},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "to measure (20)", "S"},
    {"flows", 0, 0, G_OPTION_ARG_INT, &n_flows, "at a time (4)", "N"},
    {"congestion", 0, 0, G_OPTION_ARG_STRING, &congestion,
     "of the guests' TCP (this host's)", "NAME"},
    {"round", 0, 0, G_OPTION_ARG_INT, &round_s,
     "one of the two, then the other (2)", "S"},
    {"share", 0, 0, G_OPTION_ARG_NONE, &share,
     "let both hosts take any processor", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

typedef struct Bed {
    int pri, sec, pvm, svm, cli;
    char *dir;
    pid_t servers[2];
    pid_t running[2]; /* proxies, or nfq-accept */
    RigQmp qmp[2];
    guint64 matched, released;
    guint checkpoints;
    /* Of nfq-accept; of both proxies */
    double reference_cpu, cpu[2], reference_units, units;
} Bed;

static char *in_dir(const Bed *b, const char *name)
{
    return g_build_filename(b->dir, name, NULL);
}

/* A veth with its other end in ns, which has this address and MAC. */
static void wire(GString *batch, const char *port, int ns)
{
    g_string_append_printf(batch,
                           "link add %s type veth peer name eth0 "
                           "netns /proc/%d/fd/%d\nlink set %s up\n",
                           port, (int)getpid(), ns, port);
}

static void end_of_wire(int ns, const char *mac, const char *address,
                        const char *peer_mac, const char *peer)
{
    g_autofree char *batch =
        g_strdup_printf("link set lo up\nlink set eth0 address %s up\n"
                        "addr add %s/24 dev eth0\n"
                        "neigh add %s lladdr %s dev eth0 nud permanent\n",
                        mac, address, peer, peer_mac);

    rig_ip(ns, batch);
}

static void lay_out(Bed *b)
{
    static const char guest_mac[] = "52:54:00:77:03:64";
    static const char client_mac[] = "02:77:00:00:02:09";
    g_autoptr(GString) pri = g_string_new("link set lo up\n");
    g_autoptr(GString) sec = g_string_new("link set lo up\n");

    b->pri = rig_new_ns();
    b->sec = rig_new_ns();
    b->pvm = rig_new_ns();
    b->svm = rig_new_ns();
    b->cli = rig_new_ns();
    g_string_append(pri, "link add br0 type bridge forward_delay 0 "
                         "stp_state 0 mcast_snooping 0\nlink set br0 up\n");
    wire(pri, "tap0", b->pvm);
    wire(pri, "lan0", b->cli);
    g_string_append_printf(pri,
                           "link set tap0 master br0\nlink set lan0 master "
                           "br0\nlink add link0 type veth peer name link0 "
                           "netns /proc/%d/fd/%d\n"
                           "addr add 10.77.1.1/24 dev link0\n"
                           "link set link0 up\n",
                           (int)getpid(), b->sec);
    rig_ip(b->pri, pri->str);
    wire(sec, "tap0", b->svm);
    g_string_append(sec, "addr add 10.77.1.2/24 dev link0\n"
                         "link set link0 up\n");
    rig_ip(b->sec, sec->str);
    end_of_wire(b->pvm, guest_mac, GUEST, client_mac, CLIENT);
    end_of_wire(b->svm, guest_mac, GUEST, client_mac, CLIENT);
    end_of_wire(b->cli, client_mac, CLIENT, guest_mac, GUEST);
}

static pid_t start(Bed *b, int ns, const char *log, const char *command)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = in_dir(b, log);
    pid_t pid;

    rig_add(argv, "%s", command);
    g_ptr_array_add(argv, NULL);
    processors_of(ns == b->sec || ns == b->svm);
    pid = rig_spawn(ns, path, (char **)argv->pdata);
    processors_all();
    return pid;
}

static void wait_ready(Bed *b, const char *log)
{
    gint64 end = g_get_monotonic_time() + SETTLE_S * G_USEC_PER_SEC;
    g_autofree char *path = in_dir(b, log);

    for (;;) {
        g_autofree char *text = NULL;

        if (g_file_get_contents(path, &text, NULL, NULL) &&
            strstr(text, "ready")) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("%s is not ready: %s", log, text ? text : "");
        }
        g_usleep(5000);
    }
}

/* --- The reference ---------------------------------------------------------
 */

static void rule(Bed *b, const char *what)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

    rig_add(argv,
            "iptables -w -t mangle %s PREROUTING -m physdev --physdev-in tap0 "
            "-j NFQUEUE --queue-num 0",
            what);
    g_ptr_array_add(argv, NULL);
    if (!rig_run(b->pri, (char **)argv->pdata, NULL)) {
        rig_die("iptables %s failed (Debian: iptables)", what);
    }
}

static void start_reference(Bed *b)
{
    char *sysctl[] = {"sh", "-c",
                      "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables",
                      NULL};
    g_autofree char *log = in_dir(b, "accept.log");
    g_autofree char *accept = g_strdup_printf("%s/tests/bench/nfq-accept 0",
                                              g_getenv("COLO_BUILDDIR"));

    if (!rig_run(b->pri, sysctl, NULL)) {
        rig_die("cannot switch bridge-nf-call-iptables on: is the module "
                "br_netfilter there?");
    }
    g_file_set_contents(log, "", 0, NULL);
    b->running[0] = start(b, b->pri, "accept.log", accept);
    wait_ready(b, "accept.log");
    rule(b, "-I");
}

static void stop_reference(Bed *b)
{
    rule(b, "-D");
    rig_end(&b->running[0], SIGTERM);
}

/* --- Compare ----------------------------------------------------------------
 */

static void call(RigQmp *q, const char *command, const char *args)
{
    json_node_unref(rig_qmp(q, command, args));
}

static void start_compare(Bed *b)
{
    static const char epoch[] = "{\"epoch\": 1}";
    g_autofree char *control[] = {in_dir(b, "pri.qmp"), in_dir(b, "sec.qmp")};
    g_autofree char *pri = g_strdup_printf(
        "colo-proxy --name bench --primary-if tap0 --peer 10.77.1.2:8890 "
        "--control %s",
        control[0]);
    g_autofree char *sec = g_strdup_printf(
        "colo-proxy --name bench --secondary-if tap0 --listen 10.77.1.2:8890 "
        "--control %s",
        control[1]);

    b->running[1] = start(b, b->sec, "sec.log", sec);
    rig_qmp_connect(&b->qmp[1], control[1], SETTLE_S);
    b->running[0] = start(b, b->pri, "pri.log", pri);
    rig_qmp_connect(&b->qmp[0], control[0], SETTLE_S);
    call(&b->qmp[1], "colo-proxy-attach", NULL);
    call(&b->qmp[0], "colo-proxy-attach", NULL);
    while (!json_object_get_boolean_member(
        rig_qmp_wait(&b->qmp[0], 0, "COLO_PROXY_PEER", NULL, NULL, SETTLE_S)
            ->data,
        "ready")) {
        rig_qmp_pump(&b->qmp[0], 10);
        g_ptr_array_set_size(b->qmp[0].events, 0);
    }
    call(&b->qmp[0], "colo-proxy-capture",
         "{\"epoch\": 1, \"periodic\": false}");
    call(&b->qmp[1], "colo-proxy-load", epoch);
    call(&b->qmp[1], "colo-proxy-run", epoch);
    call(&b->qmp[0], "colo-proxy-commit", epoch);
}

static void add_released(Bed *b)
{
    g_autoptr(JsonNode) node =
        rig_qmp(&b->qmp[0], "query-colo-proxy-stats", NULL);
    JsonObject *released =
        json_object_get_object_member(json_node_get_object(node), "released");
    g_autoptr(GList) names = json_object_get_members(released);

    for (GList *l = names; l; l = l->next) {
        gint64 n = json_object_get_int_member(
            json_object_get_object_member(released, l->data), "packets");

        b->released += (guint64)n;
        b->matched += strcmp(l->data, "match") ? 0 : (guint64)n;
    }
}

static void stop_compare(Bed *b)
{
    guint at = 0;

    rig_qmp_pump(&b->qmp[0], 1);
    while (rig_qmp_find(&b->qmp[0], at, "COLO_PROXY_CHECKPOINT", NULL, NULL,
                        &at)) {
        b->checkpoints++;
    }
    add_released(b);
    for (int i = 0; i < 2; i++) {
        kill(b->running[i], SIGTERM);
        if (rig_wait_exit(&b->running[i], SETTLE_S) != 0) {
            rig_die("a colo-proxy has failed: see %s", b->dir);
        }
        rig_qmp_close(&b->qmp[i]);
    }
}

/* --- Rounds ------------------------------------------------------------------
 */

/*
 * A difference, which only the loss of a packet can make here.  UDP's servers
 * keep no state: they are equal again at any moment.
 */
static void checkpoint(Bed *b)
{
    static guint64 epoch = 1;
    g_autofree char *e =
        g_strdup_printf("{\"epoch\": %" G_GUINT64_FORMAT "}", ++epoch);
    g_autofree char *c = g_strdup_printf(
        "{\"epoch\": %" G_GUINT64_FORMAT ", \"periodic\": false}", epoch);

    call(&b->qmp[0], "colo-proxy-capture", c);
    call(&b->qmp[1], "colo-proxy-load", e);
    call(&b->qmp[1], "colo-proxy-run", e);
    call(&b->qmp[0], "colo-proxy-commit", e);
}

/* Until the clients have ended; what the proxies ask for meanwhile. */
static void attend(Bed *b, pid_t *clients)
{
    gint64 end = g_get_monotonic_time() + (round_s + SETTLE_S) * G_USEC_PER_SEC;
    const RigEvent *event;
    guint seen = 0;
    int status;

    while (waitpid(*clients, &status, WNOHANG) == 0) {
        if (g_get_monotonic_time() > end) {
            rig_die("net-traffic does not end");
        }
        if (!b->qmp[0].client) {
            g_usleep(20000);
            continue;
        }
        rig_qmp_pump(&b->qmp[0], 20);
        event = rig_qmp_find(&b->qmp[0], seen, "COLO_PROXY_CHECKPOINT", NULL,
                             NULL, &seen);
        if (event) {
            if (streams) {
                rig_die("the streams differ: %s",
                        json_object_get_string_member(event->data, "cause"));
            }
            checkpoint(b);
        }
    }
    *clients = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        rig_die("net-traffic failed");
    }
}

/* Seconds of the processor that it has used. */
static double cpu_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    unsigned long user, kernel;
    const char *p;

    if (!pid || !g_file_get_contents(path, &text, NULL, NULL) ||
        !(p = strrchr(text, ')')) ||
        sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &kernel) != 2) {
        return 0;
    }
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double traffic(Bed *b, gint64 *lost)
{
    g_autofree char *command =
        g_strdup_printf("net-traffic %s " GUEST " %d %d",
                        packets ? "packets" : "stream", round_s, n_flows);
    g_autofree char *path = in_dir(b, "traffic.out");
    g_autofree char *out = NULL;
    g_autoptr(JsonNode) node = NULL;
    JsonObject *o;
    pid_t clients;

    g_file_set_contents(path, "", 0, NULL);
    clients = start(b, b->cli, "traffic.out", command);
    attend(b, &clients);
    if (!g_file_get_contents(path, &out, NULL, NULL) ||
        !(node = json_from_string(out, NULL))) {
        rig_die("net-traffic failed: %s", out);
    }
    o = json_node_get_object(node);
    *lost += json_object_get_int_member(o, "lost");
    return json_object_get_double_member(o, "rate") * (packets ? 1 : 8e-9);
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void print(const Bed *b, const Samples *rate, const Samples *reference,
                  gint64 lost, int disturbed)
{
    g_autoptr(GString) o = g_string_new(NULL);
    double r = samples_quantile(rate, 0.5);
    double bare = samples_quantile(reference, 0.5);
    double each = packets ? 1e6 : 1;

    bench_put_string(o, "bench", "proxy");
    bench_put_string(o, "traffic", packets ? "packets" : "stream");
    bench_put_int(o, "flows", n_flows);
    if (streams) {
        bench_put_string(o, "congestion", congestion);
    }
    bench_put_string(o, "processors", share ? "shared" : "own");
    bench_put_int(o, "seconds", seconds);
    bench_put_string(o, "unit", packets ? "packets/s" : "Gbit/s");
    bench_put_number(o, "rate", r);
    bench_put_number(o, "reference", bare);
    bench_put_number(o, "ratio", ratio(r, bare));
    /* Seconds of the processor for each Gbit, or million packets */
    bench_put_number(o, "reference_cpu",
                     ratio(b->reference_cpu * each, b->reference_units));
    bench_put_number(o, "primary_cpu", ratio(b->cpu[0] * each, b->units));
    bench_put_number(o, "secondary_cpu", ratio(b->cpu[1] * each, b->units));
    bench_put_number(o, "matched",
                     ratio((double)b->matched, (double)b->released));
    bench_put_int(o, "checkpoints", b->checkpoints);
    bench_put_int(o, "packets_lost", lost);
    bench_put_int(o, "rounds_disturbed", disturbed);
    bench_print(o);
}

/* Pacing (BBR) leaves processors idle: the ratio depends on it. */
static char *host_congestion(void)
{
    char *name = NULL;

    if (!g_file_get_contents("/proc/sys/net/ipv4/tcp_congestion_control", &name,
                             NULL, NULL)) {
        rig_die("cannot read this host's tcp_congestion_control");
    }
    return g_strchomp(name);
}

int main(int argc, char **argv)
{
    Bed b = {0};
    Samples *rate = samples_new(), *reference = samples_new();
    gint64 lost = 0, reference_lost = 0;
    int rounds, disturbed = 0;
    guint checkpoints = 0;
    g_autofree char *serve = NULL;

    bench_start("Throughput through compare and through a bare accept.",
                entries, argc, argv);
    if (streams == packets) {
        g_printerr("give either --stream or --packets\n");
        return 2;
    }
    bench_range("seconds", seconds, 2, 86400);
    bench_range("flows", n_flows, 1, 64);
    bench_range("round", round_s, 1, 3600);
    rounds = MAX(seconds / (2 * round_s), 1);
    if (!share && !processors_split()) {
        g_printerr("there is one processor: both hosts share it\n");
        share = TRUE;
    }

    if (!congestion) {
        congestion = host_congestion();
    }
    serve = g_strdup_printf("net-traffic serve %s", congestion);
    b.dir = g_dir_make_tmp("colo-bench-XXXXXX", NULL);
    lay_out(&b);
    b.servers[0] = start(&b, b.pvm, "pvm.log", serve);
    b.servers[1] = start(&b, b.svm, "svm.log", serve);
    wait_ready(&b, "pvm.log");
    wait_ready(&b, "svm.log");
    for (int i = 0; i < rounds; i++) {
        double bare, compared;

        start_reference(&b);
        bare = traffic(&b, &reference_lost);
        b.reference_cpu += cpu_of(b.running[0]);
        b.reference_units += bare * round_s;
        stop_reference(&b);
        start_compare(&b);
        compared = traffic(&b, &lost);
        b.cpu[0] += cpu_of(b.running[0]);
        b.cpu[1] += cpu_of(b.running[1]);
        b.units += compared * round_s;
        stop_compare(&b);
        /* After a loss both run apart: that measures something else. */
        if (b.checkpoints > checkpoints) {
            disturbed++;
        }
        if (b.checkpoints == checkpoints || disturbed == rounds) {
            samples_add(reference, bare);
            samples_add(rate, compared);
        }
        checkpoints = b.checkpoints;
        g_printerr("round %d of %d: %.3g, bare accept %.3g\n", i + 1, rounds,
                   compared, bare);
    }
    print(&b, rate, reference, lost, disturbed);
    for (int i = 0; i < 2; i++) {
        rig_end(&b.servers[i], SIGKILL);
    }
    scratch_remove(b.dir);
    g_free(b.dir);
    samples_free(rate);
    samples_free(reference);
    return 0;
}
