/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colod's configuration, as the command line and --config give it. */
#ifndef COLO_CONFIG_H
#define COLO_CONFIG_H

#include "colo/engine/config-disks.h"
#include "colo/ft/ft-coding.h"
#include "colo/sockaddr.h"
#include "colo/track/tracker.h"

#define COLO_DEFAULT_FT_PORT 8888
#define COLO_MIN_DELAY_MS    10
#define COLO_MAX_DELAY_MS    3600000

typedef struct ColoConfig {
    gboolean primary;
    char *name;
    char *qmp;              /* QEMU's monitor */
    char *control;          /* our own */
    char *proxy;            /* colo-proxy's socket; NULL: none */
    gboolean proxy_required;/* --proxy PATH: without it, degraded */
    gboolean fail_closed;   /* hold output rather than go on unprotected */
    char *state_dir;
    ColoAddr *peer;         /* primary: where the secondary listens */
    ColoAddr *listen;       /* secondary */
    gboolean periodic;      /* --mode periodic */
    gint64 delay_ms;        /* --checkpoint-delay */
    ColoTrackerKind tracker;
    FtCoding coding;        /* --compress */
    GPtrArray *heartbeats;  /* ColoAddr; never empty */
    gint64 hb_interval_ms, hb_timeout_ms;
    gboolean failover;      /* --on-heartbeat-loss failover */
    char *fence;            /* shell command or NULL */
    gint64 qmp_timeout_ms;
    gint64 ft_timeout_ms;   /* how long the ft stream may stand still */
    pid_t qemu_pid;         /* 0: found by itself */
    ColoDiskConfig disks;
    gboolean debug;
} ColoConfig;

/*
 * From the command line.  Does not return for --help and --version (exit
 * 0) and for wrong options (usage on stderr, exit 2).
 */
ColoConfig *colo_config_parse(int argc, char **argv);
void colo_config_free(ColoConfig *c);

#endif
