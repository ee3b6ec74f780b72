/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose guest may run (I3), from what state (I1), and what becomes of the
 * other one: takeovers that fail or come too late, hosts that change roles,
 * QEMUs that hang just then.
 */
#include "tests/sim/rig-check.h"

#include <signal.h>

enum { LONG_MS = 60000 };

static void ask(Side *s, const char *command)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = rig_colod(s, command, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(node);
}

static void at_qemu(Side *s, const char *command)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = rig_qemu(s, command, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(node);
}

static Rig *active_rig(const RigOptions *o)
{
    Rig *r = rig_new(o);

    rig_start(r);
    check_active(r);
    return r;
}

static void check_heartbeat(Rig *r, Side *s, const char *state)
{
    WatchStatus now;

    for (int i = 0; i < SOON_MS / 5; i++) {
        watch_status(s->watch, &now);
        if (g_str_equal(now.heartbeat, state)) {
            return;
        }
        g_usleep(5000);
    }
    rig_dump(r);
    g_error("the heartbeat at %s is \"%s\", not \"%s\"", s->name,
            now.heartbeat, state);
}

/* Both colods end in order and begin with the other's role; QEMUs go on. */
static void change_roles(Rig *r)
{
    Side *const sides[] = {&r->pri, &r->sec};

    for (guint i = 0; i < G_N_ELEMENTS(sides); i++) {
        ask(sides[i], "quit");
        g_assert_true(proc_wait(sides[i]->colod, SOON_MS));
    }
    r->swapped = !r->swapped;
    rig_start_colod(r, r->swapped ? &r->pri : &r->sec);
    rig_start_colod(r, r->swapped ? &r->sec : &r->pri);
}

/* What a host was before says nothing once the other one has the guest. */
static void test_there_and_back(void)
{
    RigOptions o = {0};
    Rig *r = active_rig(&o);

    r->strayed = TRUE; /* both guests ran alone for a while */
    ask(&r->sec, "x-colo-lost-heartbeat");
    check_state(r, &r->sec, "alone", SOON_MS);
    check_state(r, &r->pri, "failed", SOON_MS);
    change_roles(r);
    check_active(r);
    ask(&r->pri, "x-colo-lost-heartbeat");
    check_state(r, &r->pri, "alone", SOON_MS);
    check_state(r, &r->sec, "failed", SOON_MS);
    check_guest_stopped(r, &r->sec);

    /* sec had taken over once, with this very QEMU */
    change_roles(r);
    check_active(r);
    check_guest(r, &r->pri);
    check_end(r);
}

/* A guest that cannot be resumed just then is all there is of it. */
static void test_takeover_fails(void)
{
    RigOptions o = {.failover = TRUE, .delay_ms = LONG_MS};
    Rig *r = active_rig(&o);
    guint before = rig_log_count(&r->sec, "inject");

    rig_inject(&r->sec, "before", "cont", "fail", 0);
    relay_cut(r->link, TRUE, TRUE);
    rig_kill_host(&r->pri);
    check_injected(r, &r->sec, before);
    check_said(r, &r->sec, "failed: ", SOON_MS);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
    check_end(r);
}

/*
 * colod is killed while it loads the state that the guest would go on from:
 * nobody has that guest any more, and no primary may think otherwise.
 */
static void test_killed_in_takeover(void)
{
    RigOptions o = {.periodic = TRUE, .failover = TRUE};
    Rig *r = active_rig(&o);
    guint before = rig_log_count(&r->sec, "inject");

    rig_inject(&r->sec, "before", "job-snapshot-load", "hang", 300);
    relay_cut(r->link, TRUE, TRUE);
    rig_kill_host(&r->pri);
    check_injected(r, &r->sec, before);
    proc_kill(r->sec.colod);
    rig_start_colod(r, &r->sec);
    check_state(r, &r->sec, "failed", SOON_MS);
    check_detail(r, &r->sec, "a takeover was not finished", SOON_MS);
    relay_mend(r->link);
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_said(r, &r->pri, "did not finish a takeover", SOON_MS);
    check_state(r, &r->pri, "waiting", 0);
    check_state(r, &r->sec, "failed", 0);
    check_guest(r, &r->pri);

    /* As it says */
    proc_kill(r->sec.qemu);
    rig_start_qemu(r, &r->sec);
    check_active(r);
    check_end(r);
}

/* While the fence command runs the primary is heard: it went on without us. */
static void test_stale_while_fencing(void)
{
    RigOptions o = {.failover = TRUE};
    Rig *r = active_rig(&o);

    rig_hold_fence(r, TRUE);
    relay_cut(r->link, TRUE, TRUE);
    check_said(r, &r->sec, "fencing it", SOON_MS);
    check_state(r, &r->pri, "unprotected", SOON_MS);
    relay_mend_udp(r->link);
    check_heartbeat(r, &r->sec, "up");
    check_said(r, &r->sec, "grows old", SOON_MS);
    relay_cut(r->link, TRUE, TRUE);
    check_heartbeat(r, &r->sec, "lost");
    rig_hold_fence(r, FALSE);
    check_detail(r, &r->sec, "is fenced, but its guest had gone on", SOON_MS);
    check_state(r, &r->sec, "paused", 0);
    check_end(r);
}

/* A load takes longer than the heartbeat was away for: nobody is fenced. */
static void test_heard_again(void)
{
    RigOptions o = {.failover = TRUE, .delay_ms = LONG_MS};
    Rig *r = active_rig(&o);
    guint before = rig_log_count(&r->sec, "inject");

    rig_inject(&r->sec, "before", "job-snapshot-load", "hang", 3000);
    ask(&r->pri, "colo-checkpoint");
    check_injected(r, &r->sec, before);
    relay_cut(r->link, FALSE, TRUE);
    check_heartbeat(r, &r->sec, "lost");
    relay_mend(r->link);
    check_heartbeat(r, &r->sec, "up");
    check_active(r);
    /* It has looked at what it was told meanwhile. */
    ask(&r->pri, "colo-checkpoint");
    check_active(r);
    g_assert_cmpuint(rig_fences(r), ==, 0);
    check_guest(r, &r->pri);
    check_end(r);
}

/* It hangs when it has to stop for the survivor, and goes on some time. */
static void test_yields_late(void)
{
    RigOptions o = {.qmp_timeout_ms = 500, .delay_ms = LONG_MS};
    Rig *r = active_rig(&o);

    r->strayed = TRUE;
    proc_signal(r->pri.qemu, SIGSTOP);
    ask(&r->sec, "x-colo-lost-heartbeat");
    check_state(r, &r->sec, "alone", SOON_MS);
    check_state(r, &r->pri, "failed", SOON_MS);
    check_detail(r, &r->pri, "has to stop", SOON_MS);
    proc_signal(r->pri.qemu, SIGCONT);
    check_detail(r, &r->pri, "is stopped now", SOON_MS);
    check_guest_stopped(r, &r->pri);
    check_guest(r, &r->sec);
    check_end(r);
}

/* With -no-shutdown the same QEMU's guest is started again. */
static void test_shutdown_and_back(void)
{
    RigOptions o = {.sim_pri = "--no-shutdown"};
    Rig *r = active_rig(&o);
    guint before = rig_log_count(&r->pri, "inject");

    rig_inject(&r->pri, "after", "cont", "guest-shutdown", 0);
    check_injected(r, &r->pri, before);
    check_state(r, &r->pri, "ended", SOON_MS);
    check_state(r, &r->sec, "ended", SOON_MS);
    at_qemu(&r->pri, "system_reset");
    at_qemu(&r->pri, "cont");
    check_active(r);
    check_guest(r, &r->pri);
    proc_kill(r->pri.qemu);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
    check_end(r);
}

/* A QEMU that was started again has --qmp-timeout, as the first one had. */
static void test_patient_again(void)
{
    RigOptions o = {.qmp_timeout_ms = 8000};
    Rig *r = active_rig(&o);

    proc_kill(r->sec.qemu);
    check_state(r, &r->sec, "failed", SOON_MS);
    rig_start_qemu(r, &r->sec);
    check_active(r);
    check_inject(r, &r->sec, "before", "job-snapshot-load", "hang", 1500);
    check_active(r);

    ask(&r->sec, "quit");
    g_assert_true(proc_wait(r->sec.colod, SOON_MS));
    proc_kill(r->pri.qemu);
    check_state(r, &r->pri, "failed", SOON_MS);
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->sec);
    check_active(r);
    check_inject(r, &r->pri, "before", "xen-save-devices-state", "hang", 1500);
    check_active(r);
    g_assert_false(rig_output_has(&r->sec, "did not answer", 0));
    g_assert_false(rig_output_has(&r->pri, "did not answer", 0));
    check_guest(r, &r->pri);
    check_end(r);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        {"there-and-back", test_there_and_back},
        {"takeover-fails", test_takeover_fails},
        {"killed-in-takeover", test_killed_in_takeover},
        {"stale-while-fencing", test_stale_while_fencing},
        {"heard-again", test_heard_again},
        {"yields-late", test_yields_late},
        {"shutdown-and-back", test_shutdown_and_back},
        {"patient-again", test_patient_again},
    };
    int status;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    g_test_init(&argc, &argv, NULL);
    rig_set_up();
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/sim/roles/%s", tests[i].name);

        g_test_add_func(path, tests[i].func);
    }
    return g_test_run();
}
