/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proxies, their link and the secondary's guest fail beside living clients:
 * the service goes on through the primary, this is said, and protection comes
 * back without copying the guest again.
 */
#include "tests/proxy/load.h"

#include <signal.h>

#define SESSIONS                                                               \
    "--tiny 2 --short 1 --random 1 --echo 2 --dial 1 --udp 1 --pace 20"

static Rig *rig;
static RigClient *client;

static guint events(void)
{
    rig_qmp_pump(&rig->pri.ctl, 0);
    return rig->pri.ctl.events->len;
}

static void expect_state(guint from, const char *state)
{
    rig_qmp_wait(&rig->pri.ctl, from, "COLO_STATE", "state", state,
                 RIG_PATIENCE_S);
}

/* Without a new full copy. */
static void expect_back(guint from)
{
    load_wait_protected(rig);
    g_assert_null(rig_qmp_find(&rig->pri.ctl, from, "COLO_STATE", "state",
                               "syncing", NULL));
    load_mark(client);
}

static void primary_proxy_killed(void)
{
    guint from = events();

    rig_kill_proxy(&rig->pri, SIGKILL);
    expect_state(from, "degraded");
    load_mark(client); /* through a queue that nobody listens to */
    rig_start_proxy(&rig->pri);
    expect_back(from);
}

static void secondary_proxy_killed(void)
{
    guint from = events();

    rig_kill_proxy(&rig->sec, SIGKILL);
    expect_state(from, "degraded");
    load_mark(client);
    rig_start_proxy(&rig->sec);
    expect_back(from);
}

/* Ended in order: its rules go with it. */
static void proxies_restarted(void)
{
    guint from = events();

    rig_kill_proxy(&rig->pri, SIGTERM);
    expect_state(from, "degraded");
    rig_kill_proxy(&rig->sec, SIGTERM);
    load_mark(client);
    rig_start_proxy(&rig->sec);
    rig_start_proxy(&rig->pri);
    expect_back(from);
}

/* The proxies' own; colods have another one. */
static void link_cut(void)
{
    guint from = events();

    rig_link(rig, "hb", FALSE);
    expect_state(from, "degraded");
    load_mark(client);
    rig_link(rig, "hb", TRUE);
    expect_back(from);
}

/* A hung guest answers nothing: what it would have to confirm goes on. */
static void secondary_guest_stopped(void)
{
    guint from = events();

    kill(rig->sec.qemu, SIGSTOP);
    load_mark(client);
    expect_state(from, "unprotected");
    load_mark(client);
    kill(rig->sec.qemu, SIGCONT);
    load_wait_protected(rig);
    load_mark(client);
}

/*
 * What it would have let go passes after a while; unless it died while it had
 * stopped the guest, which only the next one lets run.
 */
static void primary_colod_killed(void)
{
    rig_kill_colod(&rig->pri, SIGKILL);
    rig_wait_state(&rig->sec, "paused", RIG_PATIENCE_S);
    if (rig_guest_runs(&rig->pri)) {
        load_mark(client);
    }
    rig_start_colod(&rig->pri);
    load_wait_protected(rig);
    load_mark(client);
}

static void secondary_colod_killed(void)
{
    guint from = events();

    rig_kill_colod(&rig->sec, SIGKILL);
    expect_state(from, "unprotected");
    load_mark(client);
    rig_start_colod(&rig->sec);
    load_wait_protected(rig);
    load_mark(client);
}

/* After all that, a takeover finds what it needs. */
static void takeover_after_all(void)
{
    load_checkpoint(rig);
    load_take_over(rig);
    load_mark(client);
}

int main(int argc, char **argv)
{
    RigOptions o = load_options(FALSE, 400);
    int status;

    rig_test_init(&argc, &argv);
    o.proxy = "--compare-timeout 500";
    o.failover = FALSE; /* a dead colod is not a dead host */
    rig = rig_new_protected(&o);
    client = rig_client_start(rig, SESSIONS);
    g_test_add_func("/faults/primary-proxy-killed", primary_proxy_killed);
    g_test_add_func("/faults/secondary-proxy-killed", secondary_proxy_killed);
    g_test_add_func("/faults/proxies-restarted", proxies_restarted);
    g_test_add_func("/faults/link-cut", link_cut);
    g_test_add_func("/faults/secondary-guest-stopped", secondary_guest_stopped);
    g_test_add_func("/faults/primary-colod-killed", primary_colod_killed);
    g_test_add_func("/faults/secondary-colod-killed", secondary_colod_killed);
    g_test_add_func("/faults/takeover-after-all", takeover_after_all);
    status = g_test_run();
    load_end(client);
    rig_free(rig);
    return status;
}
