/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colod's options. */
#include "colo/engine/config.h"
#include "colo/names.h"
#include "colo/options.h"

#include <stdlib.h>
#include <string.h>

static const char *const modes[] = {"colo", "periodic", NULL};
static const char *const trackers[] = {"auto", "uffd", "soft-dirty", "compare",
                                       NULL};
static const char *const codings[] = {"none", "lz4", "zstd", NULL};
static const char *const policies[] = {"wait", "failover", NULL};
static const char *const durabilities[] = {"epoch", "flush", NULL};

static gboolean has_port(const ColoAddr *a)
{
    return !a || a->path || a->port;
}

ColoConfig *colo_config_parse(int argc, char **argv)
{
    ColoConfig *c = g_new0(ColoConfig, 1);
    gboolean primary = FALSE, secondary = FALSE;
    int mode = 0, tracker = 0, coding = 0, policy = 0, durability = 0, status;
    g_autofree char *nbd_socket = NULL;
    g_auto(GStrv) disks = NULL, serve = NULL;
    g_autoptr(GError) error = NULL;
    gint64 pid = 0;
    const ColoOption list[] = {
        {.name = "primary", .type = COLO_OPT_FLAG, .value = &primary,
         .help = "protect the guest that runs here"},
        {.name = "secondary", .type = COLO_OPT_FLAG, .value = &secondary,
         .help = "stand by for a guest that runs elsewhere"},
        {.name = "name", .type = COLO_OPT_STRING, .value = &c->name,
         .arg = "NAME", .help = "the VM's name (vm0)"},
        {.name = "qmp", .type = COLO_OPT_STRING, .value = &c->qmp,
         .arg = "PATH",
         .help = "QEMU's QMP socket (" RUNDIR "/NAME-qemu.qmp)"},
        {.name = "peer", .type = COLO_OPT_ADDR, .value = &c->peer,
         .arg = "ADDR", .help = "primary: where the secondary listens"},
        {.name = "listen", .type = COLO_OPT_ADDR, .value = &c->listen,
         .arg = "ADDR", .help = "secondary: where to listen (:8888)"},
        {.name = "mode", .type = COLO_OPT_CHOICE, .value = &mode,
         .choices = modes, .arg = "MODE",
         .help = "primary: colo or periodic (colo)"},
        {.name = "checkpoint-delay", .type = COLO_OPT_INT,
         .value = &c->delay_ms, .arg = "MS", .min = COLO_MIN_DELAY_MS,
         .max = COLO_MAX_DELAY_MS, .unit = "ms",
         .help = "primary: time between checkpoints (20000)"},
        {.name = "compress", .type = COLO_OPT_CHOICE, .value = &coding,
         .choices = codings, .arg = "HOW",
         .help = "primary: none, lz4 or zstd (none)"},
        {.name = "tracker", .type = COLO_OPT_CHOICE, .value = &tracker,
         .choices = trackers, .arg = "KIND",
         .help = "auto, uffd, soft-dirty or compare (auto)"},
        {.name = "heartbeat", .type = COLO_OPT_ADDR_LIST,
         .value = &c->heartbeats, .arg = "ADDR",
         .help = "a heartbeat link; may be repeated (the ft address)"},
        {.name = "heartbeat-interval", .type = COLO_OPT_INT,
         .value = &c->hb_interval_ms, .arg = "MS", .min = 5, .max = 60000,
         .unit = "ms", .help = "time between heartbeats (50)"},
        {.name = "heartbeat-timeout", .type = COLO_OPT_INT,
         .value = &c->hb_timeout_ms, .arg = "MS", .min = 20, .max = 600000,
         .unit = "ms", .help = "silence that counts as loss (500)"},
        {.name = "on-heartbeat-loss", .type = COLO_OPT_CHOICE,
         .value = &policy, .choices = policies, .arg = "WHAT",
         .help = "secondary: wait or failover (wait)"},
        {.name = "fence", .type = COLO_OPT_STRING, .value = &c->fence,
         .arg = "CMD",
         .help = "secondary: must exit 0 before an automatic failover"},
        {.name = "disk", .type = COLO_OPT_LIST, .value = &disks,
         .arg = "NAME=WHAT",
         .help = "a replicated disk; secondary: NAME=PATH, its image; primary: "
                 "NAME[=NODE], in QEMU; may be repeated"},
        {.name = "nbd", .type = COLO_OPT_ADDR, .value = &c->disks.nbd,
         .arg = "ADDR",
         .help = "secondary: where to serve the disks (:8889); primary: where "
                 "that is (the peer's host, 8889)"},
        {.name = "nbd-socket", .type = COLO_OPT_STRING, .value = &nbd_socket,
         .arg = "PATH", .help = "the same, a unix socket"},
        {.name = "disk-folder", .type = COLO_OPT_STRING,
         .value = &c->disks.folder, .arg = "DIR",
         .help = "where the epochs of the disks served here are kept (beside "
                 "each image)"},
        {.name = "durability", .type = COLO_OPT_CHOICE, .value = &durability,
         .choices = durabilities, .arg = "WHEN",
         .help = "secondary: a flush waits for the disk from the takeover on "
                 "(epoch) or always (flush)"},
        {.name = "serve-disk", .type = COLO_OPT_LIST, .value = &serve,
         .arg = "NAME=PATH",
         .help = "primary: a disk of the guest here, which survived a "
                 "takeover; may be repeated"},
        {.name = "serve-nbd", .type = COLO_OPT_ADDR,
         .value = &c->disks.serve_nbd, .arg = "ADDR",
         .help = "primary: where to serve these (:8889)"},
        {.name = "tls-certificates", .type = COLO_OPT_STRING,
         .value = &c->disks.tls_certificates, .arg = "DIR",
         .help = "disks travel encrypted, with the certificates in DIR"},
        {.name = "tls-psk", .type = COLO_OPT_STRING,
         .value = &c->disks.tls_psk, .arg = "FILE",
         .help = "disks travel encrypted, with the keys in FILE"},
        {.name = "control", .type = COLO_OPT_STRING, .value = &c->control,
         .arg = "PATH", .help = "our own QMP socket (" RUNDIR "/NAME.qmp)"},
        {.name = "proxy", .type = COLO_OPT_STRING, .value = &c->proxy,
         .arg = "PATH",
         .help = "colo-proxy's QMP socket, or none (NAME-proxy.qmp beside "
                 "our own, if it is there)"},
        {.name = "fail-closed", .type = COLO_OPT_FLAG,
         .value = &c->fail_closed,
         .help = "primary: hold output rather than go on unprotected"},
        {.name = "state-dir", .type = COLO_OPT_STRING, .value = &c->state_dir,
         .arg = "DIR", .help = "where state is kept (" RUNDIR ")"},
        {.name = "qmp-timeout", .type = COLO_OPT_INT,
         .value = &c->qmp_timeout_ms, .arg = "MS", .min = 100, .max = 600000,
         .unit = "ms", .help = "silence of QEMU that counts as hung (5000)"},
        {.name = "ft-timeout", .type = COLO_OPT_INT,
         .value = &c->ft_timeout_ms, .arg = "MS", .min = 100, .max = 600000,
         .unit = "ms", .help = "stand-still that breaks the ft stream (10000)"},
        {.name = "qemu-pid", .type = COLO_OPT_INT, .value = &pid,
         .arg = "PID", .min = 1, .max = G_MAXINT,
         .help = "QEMU's process (found by itself)"},
        {.name = "debug", .type = COLO_OPT_FLAG, .value = &c->debug,
         .help = "log more"},
        {.name = NULL},
    };
    const ColoOptions options = {
        .program = "colod",
        .summary = "Fault tolerance for a running QEMU: keeps a second VM an "
                   "exact copy of it.",
        .list = list,
        .own_file = TRUE,
    };

    c->delay_ms = 20000;
    c->hb_interval_ms = 50;
    c->hb_timeout_ms = 500;
    c->qmp_timeout_ms = 5000;
    c->ft_timeout_ms = 10000;

    status = colo_options_parse(&options, &argc, &argv);
    if (status >= 0) {
        exit(status);
    }
    if (primary == secondary) {
        exit(colo_options_wrong(&options,
                                "give either --primary or --secondary"));
    }
    if (primary && !c->peer) {
        exit(colo_options_wrong(&options, "--primary needs --peer, the "
                                          "secondary's address"));
    }
    if (!has_port(c->peer)) {
        exit(colo_options_wrong(&options, "--peer needs a port to connect to, "
                                          "0 is none"));
    }
    if (!has_port(c->listen)) {
        exit(colo_options_wrong(&options, "--listen needs a port, 0 is none"));
    }
    for (guint i = 0; c->heartbeats && i < c->heartbeats->len; i++) {
        if (!has_port(c->heartbeats->pdata[i])) {
            exit(colo_options_wrong(&options, "--heartbeat needs a port, 0 is "
                                              "none"));
        }
    }
    if (primary && (c->listen || c->fence || policy)) {
        exit(colo_options_wrong(&options, "--listen, --fence and "
                                          "--on-heartbeat-loss are the "
                                          "secondary's"));
    }
    if (secondary && c->peer) {
        exit(colo_options_wrong(&options, "--peer is the primary's"));
    }
    if (secondary && c->fail_closed) {
        exit(colo_options_wrong(&options, "--fail-closed is the primary's"));
    }
    if (c->fail_closed && !g_strcmp0(c->proxy, "none")) {
        exit(colo_options_wrong(&options, "--fail-closed needs a proxy, which "
                                          "holds the output"));
    }
    if (policy && !c->fence) {
        exit(colo_options_wrong(&options,
                                "--on-heartbeat-loss failover needs --fence: "
                                "without it both guests could run"));
    }
    if (c->fence && !policy) {
        exit(colo_options_wrong(&options,
                                "--fence is only used with "
                                "--on-heartbeat-loss failover"));
    }
    if (c->hb_timeout_ms < 2 * c->hb_interval_ms) {
        exit(colo_options_wrong(&options, "--heartbeat-timeout must be at "
                                          "least twice --heartbeat-interval"));
    }
    if (!ft_coding_supported((FtCoding)coding)) {
        exit(colo_options_wrong(&options, "this colod was built without %s",
                                codings[coding]));
    }
    if (c->name && !colo_name_is_valid(c->name)) {
        exit(colo_options_wrong(&options, "--name %s: letters, digits and "
                                          "._- only, at most 64",
                                c->name));
    }

    c->disks.flush = durability == 1;
    if (!colo_config_disks(&c->disks, disks, serve, nbd_socket, c->peer,
                           &error)) {
        exit(colo_options_wrong(&options, "%s", error->message));
    }

    c->primary = primary;
    c->periodic = mode == 1;
    c->tracker = (ColoTrackerKind)tracker;
    c->coding = (FtCoding)coding;
    c->failover = policy == 1;
    c->qemu_pid = (pid_t)pid;
    if (!c->name) {
        c->name = g_strdup("vm0");
    }
    if (!c->state_dir) {
        c->state_dir = g_strdup(RUNDIR);
    }
    if (!c->control) {
        c->control = g_strdup_printf("%s/%s.qmp", c->state_dir, c->name);
    }
    if (!c->proxy) {
        g_autofree char *folder = g_path_get_dirname(c->control);

        c->proxy = g_strdup_printf("%s/%s-proxy.qmp", folder, c->name);
        c->proxy_required = c->fail_closed;
    } else if (!strcmp(c->proxy, "none")) {
        g_clear_pointer(&c->proxy, g_free);
    } else {
        c->proxy_required = TRUE;
    }
    if (!c->qmp) {
        c->qmp = g_strdup_printf("%s/%s-qemu.qmp", c->state_dir, c->name);
    }
    if (secondary && !c->listen) {
        c->listen = g_new0(ColoAddr, 1);
        c->listen->port = COLO_DEFAULT_FT_PORT;
    }
    if (!c->heartbeats || !c->heartbeats->len) {
        const ColoAddr *ft = primary ? c->peer : c->listen;
        ColoAddr *a;

        if (ft->path) {
            exit(colo_options_wrong(&options, "with a unix socket for the ft "
                                              "stream give --heartbeat"));
        }
        a = g_new0(ColoAddr, 1);
        a->host = g_strdup(ft->host);
        a->port = ft->port;
        if (!c->heartbeats) {
            c->heartbeats =
                g_ptr_array_new_with_free_func((GDestroyNotify)colo_addr_free);
        }
        g_ptr_array_add(c->heartbeats, a);
    }
    return c;
}

void colo_config_free(ColoConfig *c)
{
    if (c) {
        g_free(c->name);
        g_free(c->qmp);
        g_free(c->control);
        g_free(c->proxy);
        g_free(c->state_dir);
        g_free(c->fence);
        colo_addr_free(c->peer);
        colo_addr_free(c->listen);
        g_ptr_array_unref(c->heartbeats);
        colo_config_disks_clear(&c->disks);
        g_free(c);
    }
}
