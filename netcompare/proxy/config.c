/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colo-proxy's options. */
#include "netcompare/proxy/config.h"
#include "colo/names.h"
#include "colo/options.h"
#include "netcompare/link/wire.h" /* NET_WIRE_MAX_IFACES */
#include "netcompare/proxy/awake.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BRIDGE  "br0"
#define MAX_CPU_LATENCY 1000000

static void set_defaults(ProxyConfig *c)
{
    c->compare_timeout_ms = 3000;
    c->expired_scan_cycle_ms = 3000;
    c->hold_limit_ms = 5000;
    c->max_queue_size = 1024;
    c->max_queue_mib = 256;
    c->max_flows = 65536;
    c->pcap_mib = 64;
}

static void check_taps(const ColoOptions *o, const ProxyConfig *c)
{
    if (c->n_taps > NET_WIRE_MAX_IFACES) {
        exit(colo_options_wrong(o, "at most %d interfaces",
                                NET_WIRE_MAX_IFACES));
    }
    for (guint i = 0; i < c->n_taps; i++) {
        if (strlen(c->taps[i]) >= IFNAMSIZ) {
            exit(colo_options_wrong(o, "%s is too long for an interface's name",
                                    c->taps[i]));
        }
        for (guint j = 0; j < i; j++) {
            if (!strcmp(c->taps[i], c->taps[j])) {
                exit(colo_options_wrong(o, "%s is given twice", c->taps[i]));
            }
        }
    }
}

/* One bridge for each tap; the last one named counts for the rest, too. */
static void fill_bridges(const ColoOptions *o, ProxyConfig *c)
{
    guint n = c->bridges ? g_strv_length(c->bridges) : 0;
    char **all = g_new0(char *, c->n_taps + 1);

    if (n > c->n_taps) {
        exit(colo_options_wrong(o, "more --bridge than --secondary-if"));
    }
    for (guint i = 0; i < c->n_taps; i++) {
        all[i] = g_strdup(n ? c->bridges[MIN(i, n - 1)] : DEFAULT_BRIDGE);
    }
    g_strfreev(c->bridges);
    c->bridges = all;
}

static gint64 cpu_latency(const ColoOptions *o, const char *text)
{
    gint64 us;

    if (!text || !strcmp(text, "auto")) {
        return awake_auto();
    }
    if (!strcmp(text, "off")) {
        return AWAKE_OFF;
    }
    if (!g_ascii_string_to_signed(text, 10, 0, MAX_CPU_LATENCY, &us, NULL)) {
        exit(colo_options_wrong(o, "--cpu-latency %s: auto, off or "
                                   "microseconds up to %d",
                                text, MAX_CPU_LATENCY));
    }
    return us;
}

ProxyConfig *proxy_config_parse(int argc, char **argv)
{
    ProxyConfig *c = g_new0(ProxyConfig, 1);
    g_auto(GStrv) primary = NULL;
    char **secondary = NULL;
    g_autofree char *latency = NULL;
    const ColoOption list[] = {
        {.name = "primary-if", .type = COLO_OPT_LIST, .value = &primary,
         .arg = "IF",
         .help = "protect the guest behind this tap; may be repeated"},
        {.name = "secondary-if", .type = COLO_OPT_LIST, .value = &secondary,
         .arg = "IF",
         .help = "stand by with the guest behind this tap; may be repeated"},
        {.name = "name", .type = COLO_OPT_STRING, .value = &c->name,
         .arg = "NAME", .help = "the VM's name (vm0)"},
        {.name = "peer", .type = COLO_OPT_ADDR, .value = &c->peer,
         .arg = "ADDR", .help = "primary: where the secondary's proxy listens"},
        {.name = "listen", .type = COLO_OPT_ADDR, .value = &c->listen,
         .arg = "ADDR", .help = "secondary: where to listen (:8890)"},
        {.name = "bridge", .type = COLO_OPT_LIST, .value = &c->bridges,
         .arg = "BR",
         .help = "secondary: the tap's bridge after a takeover; may be "
                 "repeated (" DEFAULT_BRIDGE ")"},
        {.name = "control", .type = COLO_OPT_STRING, .value = &c->control,
         .arg = "PATH", .help = "our QMP socket (" RUNDIR "/NAME-proxy.qmp)"},
        {.name = "queue-num", .type = COLO_OPT_INT, .value = &c->queue_num,
         .arg = "N", .min = 0, .max = 65535,
         .help = "number of the netfilter queue (0)"},
        {.name = "no-rules", .type = COLO_OPT_FLAG, .value = &c->no_rules,
         .help = "leave the netfilter rules to the operator"},
        {.name = "fail-closed", .type = COLO_OPT_FLAG, .value = &c->fail_closed,
         .help = "hold output rather than let it pass unprotected"},
        {.name = "compare-timeout", .type = COLO_OPT_INT,
         .value = &c->compare_timeout_ms, .arg = "MS", .min = 10, .max = 600000,
         .unit = "ms",
         .help = "a packet unmatched so long asks for a checkpoint (3000)"},
        {.name = "expired-scan-cycle", .type = COLO_OPT_INT,
         .value = &c->expired_scan_cycle_ms, .arg = "MS", .min = 10,
         .max = 600000, .unit = "ms",
         .help = "time between looks for expired flows (3000)"},
        {.name = "hold-limit", .type = COLO_OPT_INT, .value = &c->hold_limit_ms,
         .arg = "MS", .min = 100, .max = 3600000, .unit = "ms",
         .help = "a packet held so long ends protection (5000)"},
        {.name = "max-queue-size", .type = COLO_OPT_INT,
         .value = &c->max_queue_size, .arg = "N", .min = 16, .max = 1000000,
         .help = "packets of one flow that may wait (1024)"},
        {.name = "max-queue-bytes", .type = COLO_OPT_INT,
         .value = &c->max_queue_mib, .arg = "MIB", .min = 1, .max = 65536,
         .unit = "MiB", .help = "bytes of all flows that may wait, MiB (256)"},
        {.name = "max-flows", .type = COLO_OPT_INT, .value = &c->max_flows,
         .arg = "N", .min = 16, .max = 16777216,
         .help = "flows that are known at a time (65536)"},
        {.name = "cpu-latency", .type = COLO_OPT_STRING, .value = &latency,
         .arg = "US",
         .help = "processors wake within US microseconds while packets are "
                 "compared; auto or off (auto)"},
        {.name = "divergence-pcap", .type = COLO_OPT_STRING, .value = &c->pcap,
         .arg = "FILE", .help = "write the packets of each divergence there"},
        {.name = "divergence-pcap-size", .type = COLO_OPT_INT,
         .value = &c->pcap_mib, .arg = "MIB", .min = 1, .max = 65536,
         .unit = "MiB", .help = "how large that file may become, MiB (64)"},
        {.name = "debug", .type = COLO_OPT_FLAG, .value = &c->debug,
         .help = "log more"},
        {.name = NULL},
    };
    const ColoOptions options = {
        .program = "colo-proxy",
        .summary = "Compares what both guests of a pair send: identical output "
                   "is released, a difference makes a checkpoint.",
        .list = list,
        .own_file = TRUE,
    };
    int status;

    set_defaults(c);
    status = colo_options_parse(&options, &argc, &argv);
    if (status >= 0) {
        exit(status);
    }
    if ((primary != NULL) == (secondary != NULL)) {
        exit(colo_options_wrong(&options,
                                "give either --primary-if or --secondary-if"));
    }
    if (primary && (c->listen || c->bridges)) {
        exit(colo_options_wrong(&options,
                                "--listen and --bridge are the secondary's"));
    }
    if (secondary && (c->peer || c->pcap)) {
        exit(colo_options_wrong(&options,
                                "--peer and --divergence-pcap are the "
                                "primary's"));
    }
    if (c->peer && !c->peer->path && !c->peer->port) {
        exit(colo_options_wrong(&options, "--peer needs a port to connect to, "
                                          "0 is none"));
    }
    if (c->listen && !c->listen->path && !c->listen->port) {
        exit(colo_options_wrong(&options, "--listen needs a port, 0 is none"));
    }
    if (c->name && !colo_name_is_valid(c->name)) {
        exit(colo_options_wrong(&options, "--name %s: letters, digits and "
                                          "._- only, at most 64",
                                c->name));
    }
    c->cpu_latency_us = cpu_latency(&options, latency);
    c->primary = primary != NULL;
    c->taps = c->primary ? g_steal_pointer(&primary) : secondary;
    c->n_taps = g_strv_length(c->taps);
    check_taps(&options, c);
    if (!c->primary) {
        fill_bridges(&options, c);
    }
    if (!c->name) {
        c->name = g_strdup("vm0");
    }
    if (!c->control) {
        c->control = g_strdup_printf(RUNDIR "/%s-proxy.qmp", c->name);
    }
    if (!c->primary && !c->listen) {
        c->listen = g_new0(ColoAddr, 1);
        c->listen->port = PROXY_DEFAULT_PORT;
    }
    return c;
}

void proxy_config_free(ProxyConfig *c)
{
    if (c) {
        g_free(c->name);
        g_free(c->control);
        g_strfreev(c->taps);
        g_strfreev(c->bridges);
        colo_addr_free(c->peer);
        colo_addr_free(c->listen);
        g_free(c->pcap);
        g_free(c);
    }
}
