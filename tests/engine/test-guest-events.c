/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest or its operator does is no failure of the host: reset,
 * shutdown, panic, stop and cont on QEMU's own monitor.  And guests that
 * cannot be protected, which are told so before anything is touched.
 */
#include "tests/rig/rig.h"

#include <signal.h>
#include <string.h>

static void expect_takeover(Rig *r, const char *whole_log)
{
    gsize since;

    rig_power_cut(&r->pri);
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    since = rig_console_size(&r->sec);
    rig_wait_steps(&r->sec, 40, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->sec, since, ""));
    if (whole_log) {
        g_assert_true(rig_chain_ok(&r->sec, 0, whole_log));
    }
}

/* A reset is followed by a checkpoint, without waiting for the timer. */
static void reset(gconstpointer periodic)
{
    RigOptions o = {
        .delay_ms = 600000, .periodic = periodic != NULL, .failover = TRUE};
    Rig *r = rig_new_protected(&o);
    guint at = r->pri.ctl.events->len;
    gsize since = rig_console_size(&r->pri);

    rig_operator(&r->pri, "system_reset", NULL);
    rig_qmp_wait(&r->pri.ctl, at, "COLO_CHECKPOINT", "reason", "reset",
                 RIG_PATIENCE_S);
    /* What ran before may have had a word yet. */
    rig_wait_console(&r->pri, since, "chain 1 ", RIG_PATIENCE_S);
    rig_wait_steps(&r->pri, 5, RIG_PATIENCE_S);
    json_node_unref(rig_qmp(&r->pri.ctl, "colo-checkpoint", NULL));
    rig_qmp_wait(&r->pri.ctl, at, "COLO_CHECKPOINT", "reason", "request",
                 RIG_PATIENCE_S);
    expect_takeover(r, "--restarts " RIG_SEAMS);
    rig_free(r);
}

/* I3: nobody takes over from a guest that wanted to end. */
static void expect_ended(Rig *r)
{
    rig_wait_state(&r->pri, "ended", RIG_PATIENCE_S);
    rig_wait_state(&r->sec, "ended", RIG_PATIENCE_S);
    rig_qmp_pump(&r->sec.ctl, 3 * RIG_TIMEOUT_MS);
    rig_wait_state(&r->sec, "ended", 0);
    g_assert_false(rig_guest_runs(&r->sec));
    g_assert_null(
        rig_qmp_find(&r->sec.ctl, 0, "COLO_STATE", "state", "takeover", NULL));
}

static void shutdown_by_guest(void)
{
    RigOptions o = {.linux_guest = TRUE, .delay_ms = 50, .failover = TRUE};
    Rig *r = rig_new_protected(&o);

    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    rig_type(&r->pri, "poweroff", "poweroff", RIG_PATIENCE_S);
    expect_ended(r);
    g_assert_cmpint(rig_wait_exit(&r->pri.qemu, RIG_PATIENCE_S), ==, 0);
    rig_free(r);
}

/* Ended; and a QEMU that is started again is protected again. */
static void quit_by_operator(void)
{
    RigOptions o = {.delay_ms = 50, .failover = TRUE};
    Rig *r = rig_new_protected(&o);

    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    rig_operator(&r->pri, "quit", NULL);
    g_assert_cmpint(rig_wait_exit(&r->pri.qemu, RIG_PATIENCE_S), ==, 0);
    expect_ended(r);
    rig_start_qemu(&r->pri);
    rig_wait_state(&r->pri, "active", RIG_PATIENCE_S);
    rig_wait_state(&r->sec, "active", RIG_PATIENCE_S);
    rig_wait_boot(&r->pri);
    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    expect_takeover(r, "--restarts " RIG_SEAMS);
    rig_free(r);
}

/* Written to the pvpanic device, as a panicking Linux does. */
static void panic(gconstpointer action)
{
    g_autofree char *qemu = g_strdup_printf("-device pvpanic -action panic=%s",
                                            (const char *)action);
    RigOptions o = {.delay_ms = 50, .failover = TRUE, .qemu = qemu};
    Rig *r = rig_new_protected(&o);

    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    rig_operator(&r->pri, "human-monitor-command",
                 "{\"command-line\": \"o /b 0x505 1\"}");
    if (!strcmp(action, "shutdown")) {
        expect_ended(r);
    } else {
        /* Noted, and protected as before. */
        rig_wait_checkpoints(&r->pri, 5, RIG_PATIENCE_S);
        expect_takeover(r, RIG_SEAMS);
    }
    rig_free(r);
}

/* Let it run just when colod has stopped it, for a capture or a load. */
static void cont_at_stop(RigSide *s)
{
    guint at;

    rig_qmp_pump(&s->mon, 0);
    at = s->mon.events->len;
    rig_qmp_wait(&s->mon, at, "STOP", NULL, NULL, RIG_PATIENCE_S);
    rig_operator(s, "cont", NULL);
}

/* Somebody else's hands on the monitors, at any moment of a checkpoint. */
static void foreign_stop_and_cont(gconstpointer periodic)
{
    static const char *const commands[] = {"stop", "cont"};
    RigOptions o = {
        .delay_ms = 20, .periodic = periodic != NULL, .failover = TRUE};
    Rig *r = rig_new_protected(&o);

    rig_type(&r->pri, "load 2 50", "load ", RIG_PATIENCE_S);
    for (int i = 0; i < (rig_long_tests() ? 400 : 100); i++) {
        RigSide *s = g_test_rand_int_range(0, 3) ? &r->pri : &r->sec;

        rig_operator(s, commands[g_test_rand_int_range(0, 2)], NULL);
        g_usleep((gulong)g_test_rand_int_range(0, 15000));
        rig_qmp_pump(&r->pri.ctl, 0);
        rig_qmp_pump(&r->sec.ctl, 0);
    }
    rig_operator(&r->pri, "cont", NULL);
    for (int i = 0; i < 20; i++) {
        cont_at_stop(&r->pri);
        if (!periodic) {
            cont_at_stop(&r->sec);
        }
    }
    rig_wait_checkpoints(&r->pri, 5, RIG_PATIENCE_S);
    rig_wait_state(&r->sec, "active", RIG_PATIENCE_S);
    rig_wait_steps(&r->pri, 10, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->pri, 0, ""));
    rig_wait_checkpoints(&r->pri, 5, RIG_PATIENCE_S);
    /* A checkpoint is thrown away or loaded again: no reason to give up. */
    g_assert_null(
        rig_qmp_find(&r->pri.ctl, 0, "COLO_STATE", "state", "failed", NULL));
    g_assert_null(
        rig_qmp_find(&r->sec.ctl, 0, "COLO_STATE", "state", "failed", NULL));
    /* What a half-loaded guest printed that somebody let run is its own. */
    expect_takeover(r, NULL);
    rig_free(r);
}

/* A guest that its operator has stopped stays so. */
static void foreign_stop_lasts(void)
{
    RigOptions o = {.delay_ms = 50, .failover = TRUE};
    Rig *r = rig_new_protected(&o);
    guint at;

    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    /* Stopped between two checkpoints, and not in a capture: then it lasts. */
    do {
        rig_operator(&r->pri, "stop", NULL);
    } while (!rig_stands_still(&r->pri, 300));
    g_assert_true(rig_stands_still(&r->pri, 500));
    g_assert_false(rig_guest_runs(&r->pri));
    rig_wait_state(&r->pri, "active", 0);
    at = r->pri.ctl.events->len;
    rig_operator(&r->pri, "cont", NULL);
    rig_qmp_wait(&r->pri.ctl, at, "COLO_CHECKPOINT", NULL, NULL,
                 RIG_PATIENCE_S);
    expect_takeover(r, RIG_SEAMS);
    rig_free(r);
}

/* --- Guests that cannot be protected ------------------------------------ */

typedef struct Refusal {
    const char *qemu;
    gboolean private_ram;
    const char *expected; /* in the message */
} Refusal;

static void refused(gconstpointer data)
{
    const Refusal *f = data;
    RigOptions o = {.qemu = f->qemu, .private_ram = f->private_ram};
    Rig *r = rig_new(&o);
    g_autofree char *log = NULL;

    rig_start_qemu(&r->pri);
    rig_wait_boot(&r->pri);
    rig_spawn_colod(&r->pri);
    g_assert_cmpint(rig_wait_exit(&r->pri.colod, RIG_PATIENCE_S), ==, 3);
    g_assert_true(g_file_get_contents(r->pri.log, &log, NULL, NULL));
    if (!strstr(log, f->expected)) {
        rig_die("no \"%s\" in colod's message", f->expected);
    }
    /* Nothing was touched. */
    rig_qmp_pump(&r->pri.mon, 50);
    g_assert_null(rig_qmp_find(&r->pri.mon, 0, "STOP", NULL, NULL, NULL));
    rig_wait_steps(&r->pri, 3, RIG_PATIENCE_S);
    rig_free(r);
}

/* Two machines that are not the same: the primary says what differs. */
static void different_machines(void)
{
    RigOptions o = {0};
    Rig *r = rig_new(&o);
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    rig_start_qemu(&r->pri);
    r->o.qemu = "-device virtio-rng-pci";
    rig_start_qemu(&r->sec);
    rig_wait_boot(&r->pri);
    rig_start_colod(&r->sec);
    rig_start_colod(&r->pri);
    for (;;) {
        g_autofree char *detail = rig_detail(&r->pri);

        if (strstr(detail, "virtio-rng")) {
            break;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("the primary only says: %s", detail);
        }
        rig_qmp_pump(&r->pri.ctl, 20);
    }
    rig_wait_state(&r->pri, "waiting", 0);
    rig_wait_steps(&r->pri, 3, RIG_PATIENCE_S);
    rig_free(r);
}

int main(int argc, char **argv)
{
    static const Refusal private_ram = {NULL, TRUE, "share=on"};
    static const Refusal vga = {"-vga std", FALSE, "vga.vram"};

    rig_test_init(&argc, &argv);
    g_test_add_data_func("/guest/reset/colo", NULL, reset);
    g_test_add_data_func("/guest/reset/periodic", "", reset);
    g_test_add_func("/guest/shutdown", shutdown_by_guest);
    g_test_add_func("/guest/quit", quit_by_operator);
    g_test_add_data_func("/guest/panic/shutdown", "shutdown", panic);
    g_test_add_data_func("/guest/panic/none", "none", panic);
    g_test_add_data_func("/guest/stop-and-cont/colo", NULL,
                         foreign_stop_and_cont);
    g_test_add_data_func("/guest/stop-and-cont/periodic", "",
                         foreign_stop_and_cont);
    g_test_add_func("/guest/stop-lasts", foreign_stop_lasts);
    g_test_add_data_func("/guest/refused/private-ram", &private_ram, refused);
    g_test_add_data_func("/guest/refused/vga", &vga, refused);
    g_test_add_func("/guest/different-machines", different_machines);
    return g_test_run();
}
