/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What protection costs a service: a real guest's clients first without it,
 * then with it.  Downloads one after the other; the time of tiny requests one
 * after the other; as many of them as eight clients get.
 *
 * The server is BusyBox's httpd, a common one: a process and a connection for
 * each request, downloads of 16 MiB.  Or our own (--server own), a loop in one
 * process with connections that stay, for which a request is next to nothing:
 * so what is measured is the network's part, and the worst case.
 */
#include "tests/bench/service-disk.h"

#include <math.h>

#define HTTPD_PORT "8080"
#define HTTPD_SIZE "16777216"
#define HTTPD      "--port " HTTPD_PORT " --fresh "

static int seconds = 20, interval, ram = 128;
static gboolean diverge, httpd, disk;
static char *mode, *server;

static const GOptionEntry entries[] = {
    {"mode", 0, 0, G_OPTION_ARG_STRING, &mode, "colo or periodic (colo)",
     "MODE"},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds,
     "to measure, each of both (20)", "S"},
    {"interval", 0, 0, G_OPTION_ARG_INT, &interval,
     "between checkpoints (20000; periodic 50)", "MS"},
    {"ram", 0, 0, G_OPTION_ARG_INT, &ram, "the guest's RAM (128)", "MIB"},
    {"server", 0, 0, G_OPTION_ARG_STRING, &server,
     "httpd or own (httpd; with --diverge own)", "NAME"},
    {"diverge", 0, 0, G_OPTION_ARG_NONE, &diverge,
     "request what differs in each guest", NULL},
    {"disk", 0, 0, G_OPTION_ARG_NONE, &disk,
     "measure the guest's disk instead of its network", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

typedef struct Figures {
    double download, p50, p99, rate;
    Samples *pause;
    guint checkpoints;
} Figures;

static JsonObject *run(Rig *r, const char *what, double s)
{
    g_autofree char *options =
        g_strdup_printf("%s --seconds %.0f", what, ceil(s));
    JsonObject *o = rig_client_run(r, options, (int)s + RIG_PATIENCE_S);

    if (json_object_get_int_member(o, "wrong_bytes") ||
        json_object_get_int_member(o, "connections_lost")) {
        g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
        g_autofree char *text = NULL;

        json_node_set_object(node, o);
        text = json_to_string(node, FALSE);
        rig_die("the clients got something wrong: %s", text);
    }
    return o;
}

/* What our own server has, served by BusyBox's. */
static void start_httpd(Rig *r)
{
    rig_type(&r->pri,
             "run ip link set lo up && cd /tmp && "
             "for f in tiny " HTTPD_SIZE "; do "
             "wget -q -O $f http://127.0.0.1/$f || exit 1; done; "
             "httpd -p " HTTPD_PORT " -h /tmp",
             "run ended 0", RIG_PATIENCE_S);
}

static JsonObject *kind(JsonObject *o, const char *name)
{
    return json_object_get_object_member(
        json_object_get_object_member(o, "kinds"), name);
}

static void measure(Rig *r, Figures *f)
{
    const char *request = diverge ? "random" : "tiny";
    const char *how = httpd ? HTTPD : "";
    g_autofree char *get =
        g_strdup_printf("%s --download 1 --size %s --family 4", how,
                        httpd ? HTTPD_SIZE : "100000000");
    g_autofree char *one =
        g_strdup_printf("%s --%s 1 --family 4", how, request);
    g_autofree char *eight =
        g_strdup_printf("%s --%s 8 --family 4", how, request);
    g_autoptr(JsonObject) load = NULL, single = NULL, many = NULL;
    guint at = 0;
    RigEvent *ev;

    if (r->pri.colod) {
        rig_qmp_pump(&r->pri.ctl, 10);
        at = r->pri.ctl.events->len;
    }
    load = run(r, get, seconds * 0.5);
    single = run(r, one, seconds * 0.25);
    many = run(r, eight, seconds * 0.25);
    f->download =
        json_object_get_double_member(kind(load, "download"), "bytes") / 1e6 /
        json_object_get_double_member(load, "seconds");
    f->p50 = json_object_get_double_member(kind(single, request), "p50_ms");
    f->p99 = json_object_get_double_member(kind(single, request), "p99_ms");
    f->rate = json_object_get_double_member(many, "exchanges") /
              json_object_get_double_member(many, "seconds");
    f->pause = samples_new();
    if (!r->pri.colod) {
        return;
    }
    rig_qmp_pump(&r->pri.ctl, 10);
    while ((ev = rig_qmp_find(&r->pri.ctl, at, "COLO_CHECKPOINT", NULL, NULL,
                              &at))) {
        samples_add(f->pause, rig_event_number(ev, "pause-ms"));
        f->checkpoints++;
    }
}

static void print(const char *name, const Figures *f, const Figures *bare)
{
    g_autoptr(GString) o = g_string_new(NULL);

    bench_put_string(o, "bench", "service");
    bench_put_string(o, "mode", name);
    bench_put_string(o, "server", httpd ? "httpd" : "own");
    bench_put_string(o, "request", diverge ? "random" : "tiny");
    bench_put_int(o, "seconds", seconds);
    bench_put_number(o, "download_mb_s", f->download);
    g_string_append_printf(o, ",\"request_ms\":{\"p50\":%.3f,\"p99\":%.3f}",
                           f->p50, f->p99);
    bench_put_number(o, "requests_per_s", f->rate);
    bench_put_int(o, "checkpoints", f->checkpoints);
    bench_put_samples(o, "pause_ms", f->pause, FALSE);
    if (bare) {
        bench_put_number(o, "download_ratio", f->download / bare->download);
        bench_put_number(o, "request_ratio", f->p50 / bare->p50);
    }
    bench_print(o);
}

int main(int argc, char **argv)
{
    RigOptions o = {.linux_guest = TRUE, .net = TRUE, .append = "colo.chain=0"};
    Figures bare = {0}, protected = {0};
    Rig *r;

    bench_start("What protection costs a service.", entries, argc, argv);
    bench_range("seconds", seconds, 4, 86400);
    bench_range("interval", interval, 0, 3600000);
    bench_range("ram", ram, 96, 1 << 20);
    o.periodic = bench_choice("mode", mode, "colo", "periodic");
    httpd = bench_choice("server", server ? server : diverge ? "own" : "httpd",
                         "own", "httpd");
    if (httpd && diverge) {
        rig_die("--diverge needs --server own");
    }
    o.delay_ms = interval ? (guint)interval : o.periodic ? 50 : 20000;
    o.ram_mib = (guint)ram;

    if (disk) {
        service_disk(&o, seconds);
        return 0;
    }
    r = rig_new(&o);
    rig_start_qemu(&r->pri);
    rig_wait_boot(&r->pri);
    if (httpd) {
        start_httpd(r);
    }
    measure(r, &bare);
    print("none", &bare, NULL);
    rig_start_qemu(&r->sec);
    rig_protect(r);
    measure(r, &protected);
    print(o.periodic ? "periodic" : "colo", &protected, &bare);
    rig_free(r);
    samples_free(bare.pause);
    samples_free(protected.pause);
    return 0;
}
