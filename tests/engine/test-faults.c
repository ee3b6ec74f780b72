/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What breaks beside a real guest: links, colods, QEMUs; dead or hung.  The
 * primary's guest goes on, protection returns by itself, and a takeover in
 * the middle of anything finds a whole checkpoint (I2).
 */
#include "tests/rig/rig.h"

#include <signal.h>
#include <string.h>

/* Soon noticed; the tests do not wait for defaults made for the field. */
#define QUICK "--ft-timeout 1000 --qmp-timeout 1000"

static void load(Rig *r, const char *command)
{
    rig_type(&r->pri, command, "load ", RIG_PATIENCE_S);
    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
}

static void wait_protected(Rig *r)
{
    rig_wait_state(&r->pri, "active", RIG_PATIENCE_S);
    rig_wait_state(&r->sec, "active", RIG_PATIENCE_S);
    rig_wait_checkpoints(&r->pri, 2, RIG_PATIENCE_S);
}

/* Everything that the survivor has printed, and what it prints now. */
static void expect_takeover(Rig *r)
{
    gint64 acknowledged = rig_epoch(&r->pri);
    gsize since;

    rig_power_cut(&r->pri);
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    since = rig_console_size(&r->sec);
    g_assert_cmpint(rig_int(&r->sec, "query-colo-status", "epoch"), >=,
                    acknowledged);
    rig_wait_steps(&r->sec, 40, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->sec, since, ""));
    g_assert_true(rig_chain_ok(&r->sec, 0, RIG_SEAMS));
}

/* QEMU's word would not do: it may be in a capture at this moment. */
static void expect_primary_runs(Rig *r)
{
    rig_wait_steps(&r->pri, 3, RIG_PATIENCE_S);
}

/* The control socket answers whatever the engine waits for. */
static void expect_answers(RigSide *s, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * 1000, worst = 0;
    guint calls = 0, late = 0;

    while (g_get_monotonic_time() < end) {
        gint64 begin = g_get_monotonic_time(), took;

        json_node_unref(rig_qmp(&s->ctl, "query-colo-status", NULL));
        took = g_get_monotonic_time() - begin;
        worst = MAX(worst, took);
        late += took > 100 * 1000;
        calls++;
        rig_qmp_pump(&s->ctl, 10);
    }
    g_test_message("%u calls, %u above 100 ms, the longest took %.1f ms", calls,
                   late, (double)worst / 1e3);
    /* A busy machine is late now and then; an engine that waits, always. */
    g_assert_cmpuint(late * 10, <=, calls);
    g_assert_cmpint(worst, <, 1000 * 1000);
}

/* --- Links -------------------------------------------------------------- */

/* I2: in the middle of a transfer, for the heartbeat lives elsewhere. */
static void stream_cut(gconstpointer periodic)
{
    RigOptions o = {.delay_ms = 60,
                    .periodic = periodic != NULL,
                    .failover = TRUE,
                    .colod = QUICK};
    Rig *r = rig_new_protected(&o);

    load(r, "load 8 50");
    for (int i = 0; i < (rig_long_tests() ? 10 : 2); i++) {
        guint at = r->pri.ctl.events->len;

        g_usleep((gulong)g_test_rand_int_range(0, 120000));
        rig_link(r, "repl", FALSE);
        rig_qmp_wait(&r->pri.ctl, at, "COLO_STATE", "state", "paused",
                     RIG_PATIENCE_S);
        expect_primary_runs(r);
        rig_link(r, "repl", TRUE);
        wait_protected(r);
    }
    g_usleep((gulong)g_test_rand_int_range(0, 120000));
    rig_link(r, "repl", FALSE);
    g_usleep((gulong)g_test_rand_int_range(0, 20000));
    expect_takeover(r);
    rig_free(r);
}

/* With one heartbeat link left nothing happens at all. */
static void heartbeat_cut(void)
{
    RigOptions o = {.delay_ms = 50, .failover = TRUE};
    Rig *r = rig_new_protected(&o);
    guint at = r->pri.ctl.events->len;

    rig_link(r, "hb", FALSE);
    rig_wait_checkpoints(&r->pri, 2 * RIG_TIMEOUT_MS / 50, RIG_PATIENCE_S);
    g_assert_null(
        rig_qmp_find(&r->pri.ctl, at, "COLO_STATE", NULL, NULL, NULL));
    rig_link(r, "hb", TRUE);
    expect_takeover(r);
    rig_free(r);
}

/* I3: both guests are cut off; the fence ends the primary's, then only. */
static void partition(void)
{
    RigOptions o = {.delay_ms = 50, .failover = TRUE, .colod = QUICK};
    Rig *r = rig_new_protected(&o);
    gsize since;

    load(r, "load 2 50");
    rig_link(r, "repl", FALSE);
    rig_link(r, "hb", FALSE);
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    /* Killed by the fence; its last threads may still be on their way. */
    g_assert_cmpint(rig_wait_exit(&r->pri.qemu, 2), ==, -1);
    since = rig_console_size(&r->sec);
    rig_wait_steps(&r->sec, 40, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->sec, since, ""));
    rig_free(r);
}

/* Without the policy nobody takes over by itself, and all heals. */
static void partition_waits(void)
{
    RigOptions o = {.delay_ms = 50, .colod = QUICK};
    Rig *r = rig_new_protected(&o);
    guint at = r->sec.ctl.events->len;

    load(r, "load 2 50");
    rig_link(r, "repl", FALSE);
    rig_link(r, "hb", FALSE);
    rig_wait_state(&r->pri, "unprotected", RIG_PATIENCE_S);
    rig_wait_state(&r->sec, "paused", RIG_PATIENCE_S);
    expect_primary_runs(r);
    rig_link(r, "hb", TRUE);
    rig_link(r, "repl", TRUE);
    wait_protected(r);
    g_assert_null(
        rig_qmp_find(&r->sec.ctl, at, "COLO_STATE", "state", "alone", NULL));
    g_assert_true(rig_chain_ok(&r->pri, 0, ""));
    rig_free(r);
}

/* --- Processes ---------------------------------------------------------- */

/* Killed at any moment, and each other time just when it stops the guest. */
static void primary_colod_killed(void)
{
    RigOptions o = {.delay_ms = 20};
    Rig *r = rig_new_protected(&o);
    int stopped = 0, n = rig_long_tests() ? 40 : 20;

    load(r, "load 2 50");
    for (int i = 0; i < n; i++) {
        guint at;

        g_usleep((gulong)g_test_rand_int_range(0, 40000));
        rig_qmp_pump(&r->pri.mon, 0);
        at = r->pri.mon.events->len;
        if (i % 2) {
            rig_qmp_wait(&r->pri.mon, at, "STOP", NULL, NULL, RIG_PATIENCE_S);
        }
        rig_kill_colod(&r->pri, SIGKILL);
        stopped += !rig_guest_runs(&r->pri);
        rig_start_colod(&r->pri);
        rig_wait_state(&r->pri, "active", RIG_PATIENCE_S);
        rig_wait_steps(&r->pri, 1, RIG_PATIENCE_S);
    }
    g_test_message("%d of %d killed in a capture", stopped, n);
    wait_protected(r);
    expect_primary_runs(r);
    g_assert_true(rig_chain_ok(&r->pri, 0, ""));
    json_node_unref(rig_qmp(&r->sec.ctl, "x-colo-lost-heartbeat", NULL));
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    rig_wait_steps(&r->sec, 40, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->sec, 0, RIG_SEAMS));
    rig_free(r);
}

static void secondary_colod_killed(void)
{
    RigOptions o = {.delay_ms = 20, .failover = TRUE, .colod = QUICK};
    Rig *r = rig_new_protected(&o);

    load(r, "load 2 50");
    for (int i = 0; i < 3; i++) {
        guint at = r->pri.ctl.events->len;

        g_usleep((gulong)g_test_rand_int_range(0, 40000));
        rig_kill_colod(&r->sec, SIGKILL);
        rig_qmp_wait(&r->pri.ctl, at, "COLO_STATE", "state", "unprotected",
                     RIG_PATIENCE_S);
        expect_primary_runs(r);
        rig_start_colod(&r->sec);
        wait_protected(r);
    }
    expect_takeover(r);
    rig_free(r);
}

/* The primary goes on, says so, and accepts the secondary again. */
static void secondary_qemu_killed(void)
{
    RigOptions o = {.delay_ms = 50, .failover = TRUE, .colod = QUICK};
    Rig *r = rig_new_protected(&o);
    guint at = r->pri.ctl.events->len;
    g_autofree char *detail = NULL;
    RigEvent *ev;

    load(r, "load 2 50");
    rig_kill_qemu(&r->sec);
    ev = rig_qmp_wait(&r->pri.ctl, at, "COLO_STATE", "state", "unprotected",
                      RIG_PATIENCE_S);
    g_assert_nonnull(strstr(json_object_get_string_member(ev->data, "detail"),
                            "unprotected"));
    rig_wait_state(&r->sec, "failed", RIG_PATIENCE_S);
    expect_primary_runs(r);
    expect_answers(&r->pri, 300);
    rig_start_qemu(&r->sec);
    wait_protected(r);
    expect_takeover(r);
    rig_free(r);
}

static void primary_qemu_hangs(void)
{
    RigOptions o = {.delay_ms = 50, .colod = QUICK};
    Rig *r = rig_new_protected(&o);

    load(r, "load 2 50");
    kill(r->pri.qemu, SIGSTOP);
    expect_answers(&r->pri, 1500);
    rig_wait_state(&r->pri, "unprotected", RIG_PATIENCE_S);
    /* Hung is not dead: nobody takes over by itself. */
    rig_wait_state(&r->sec, "paused", RIG_PATIENCE_S);
    kill(r->pri.qemu, SIGCONT);
    wait_protected(r);
    expect_primary_runs(r);
    g_assert_true(rig_chain_ok(&r->pri, 0, ""));
    rig_free(r);
}

static void secondary_qemu_hangs(void)
{
    RigOptions o = {.delay_ms = 50, .failover = TRUE, .colod = QUICK};
    Rig *r = rig_new_protected(&o);

    load(r, "load 2 50");
    kill(r->sec.qemu, SIGSTOP);
    expect_answers(&r->sec, 1500);
    rig_wait_state(&r->pri, "unprotected", RIG_PATIENCE_S);
    expect_primary_runs(r);
    kill(r->sec.qemu, SIGCONT);
    wait_protected(r);
    expect_takeover(r);
    rig_free(r);
}

/* A colod that hangs: its silence is noticed on both sides. */
static void colod_hangs(void)
{
    RigOptions o = {.delay_ms = 50, .colod = QUICK};
    Rig *r = rig_new_protected(&o);

    load(r, "load 2 50");
    kill(r->sec.colod, SIGSTOP);
    rig_wait_state(&r->pri, "unprotected", RIG_PATIENCE_S);
    expect_primary_runs(r);
    kill(r->sec.colod, SIGCONT);
    wait_protected(r);
    g_assert_true(rig_chain_ok(&r->pri, 0, ""));
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_data_func("/faults/stream-cut/colo", NULL, stream_cut);
    g_test_add_data_func("/faults/stream-cut/periodic", "", stream_cut);
    g_test_add_func("/faults/heartbeat-cut", heartbeat_cut);
    g_test_add_func("/faults/partition", partition);
    g_test_add_func("/faults/partition-waits", partition_waits);
    g_test_add_func("/faults/primary-colod-killed", primary_colod_killed);
    g_test_add_func("/faults/secondary-colod-killed", secondary_colod_killed);
    g_test_add_func("/faults/secondary-qemu-killed", secondary_qemu_killed);
    g_test_add_func("/faults/primary-qemu-hangs", primary_qemu_hangs);
    g_test_add_func("/faults/secondary-qemu-hangs", secondary_qemu_hangs);
    g_test_add_func("/faults/colod-hangs", colod_hangs);
    return g_test_run();
}
