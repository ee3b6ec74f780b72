/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colo-proxy's configuration, as the command line and --config give it. */
#ifndef COLO_PROXY_CONFIG_H
#define COLO_PROXY_CONFIG_H

#include "colo/sockaddr.h"

#define PROXY_DEFAULT_PORT 8890

typedef struct ProxyConfig {
    gboolean primary;
    char *name;
    char *control;
    char **taps;              /* the protected interfaces, at least one */
    guint n_taps;
    char **bridges;           /* secondary: of the takeover, one for each tap */
    ColoAddr *peer;           /* primary; NULL: there is none (yet) */
    ColoAddr *listen;         /* secondary */
    gint64 queue_num;
    gint64 compare_timeout_ms, expired_scan_cycle_ms, hold_limit_ms;
    gint64 max_queue_size, max_queue_mib, max_flows;
    gint64 cpu_latency_us;    /* or AWAKE_OFF */
    gboolean fail_closed, no_rules, debug;
    char *pcap;               /* --divergence-pcap, or NULL */
    gint64 pcap_mib;
} ProxyConfig;

/*
 * From the command line.  Does not return for --help and --version (exit
 * 0) and for wrong options (usage on stderr, exit 2).
 */
ProxyConfig *proxy_config_parse(int argc, char **argv);
void proxy_config_free(ProxyConfig *c);

#endif
