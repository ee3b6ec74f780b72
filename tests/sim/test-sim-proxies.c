/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A proxy that does not do its part: dies, hangs, refuses, comes late.  No
 * guest is left stopped and no pause is long for that, the state says so, and
 * when it is back nothing is copied anew.
 */
#include "tests/sim/cpu-wait.h"
#include "tests/sim/output-check.h"

#include <signal.h>
#include <string.h>

enum { PAUSE_US = 400 * 1000 };

/* Of those that began after since_us. */
static gint64 longest_pause_us(Side *s, gint64 since_us)
{
    g_autoptr(GArray) all = sim_log_read(s->guest_log);
    gint64 stopped = 0, longest = 0;

    for (guint i = 0; i < all->len; i++) {
        const SimLine *l = &g_array_index(all, SimLine, i);

        if (g_str_equal(l->word, "stop")) {
            stopped = l->time_us > since_us ? l->time_us : 0;
        } else if (g_str_equal(l->word, "cont") && stopped) {
            longest = MAX(longest, l->time_us - stopped);
        }
    }
    return longest;
}

/*
 * No pause was long since since_us, but for what the threads of colod and
 * QEMU waited for a processor since then.
 */
static void check_pauses(Rig *r, gint64 since_us, const CpuWait *colod,
                         const CpuWait *qemu)
{
    gint64 us = longest_pause_us(&r->pri, since_us);

    if (us >= PAUSE_US) {
        us -= cpu_wait_us(colod) + cpu_wait_us(qemu);
    }
    must(r, us < PAUSE_US, "the primary's guest stood still for %d ms",
         (int)(us / 1000));
}

/* It was degraded since event number since, perhaps for a moment only. */
static void check_was_degraded(Rig *r, guint since)
{
    for (int i = 0; i < SOON_MS / 2; i++) {
        for (guint k = since; k < watch_events(r->pri.watch); k++) {
            WatchEvent e = watch_event(r->pri.watch, k);

            if (g_str_equal(e.state, "degraded")) {
                return;
            }
        }
        g_usleep(2000);
    }
    must(r, FALSE, "it was never degraded");
}

static void test_at_each_step(void)
{
    static const struct {
        gboolean primary;
        const char *what;
    } steps[] = {
        {TRUE, "capture"}, {TRUE, "commit"}, {TRUE, "attach"},
        {FALSE, "load"},   {FALSE, "run"},   {FALSE, "attach"},
    };
    static const char *const acts[] = {"error", "hang", "die"};

    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        Rig *r = active_rig(FALSE);
        Side *s = steps[i].primary ? &r->pri : &r->sec;

        for (guint k = 0; k < G_N_ELEMENTS(acts); k++) {
            guint n = said(s, "inject"), since = watch_events(r->pri.watch);
            CpuWait colod, qemu;
            gint64 since_us = g_get_real_time();

            rig_arm_proxy(s, steps[i].what, acts[k], 1500);
            if (g_str_equal(steps[i].what, "attach")) {
                /* A pause in which it is killed is ended by the next one. */
                proc_kill(s->colod);
                rig_start_colod(r, s);
                since_us = g_get_real_time();
            }
            cpu_wait_begin(&colod, r->pri.colod->pid);
            cpu_wait_begin(&qemu, r->pri.qemu->pid);
            wait_said(r, s, "inject", n);
            /* An error of the secondary's is not the primary's business. */
            if (!g_str_equal(steps[i].what, "attach") && (s == &r->pri || k)) {
                check_was_degraded(r, since);
            }
            check_guest(r, &r->pri);
            if (k == 2) {
                check_state(r, &r->pri, "degraded", SOON_MS);
                rig_start_proxy(r, s);
            }
            check_active(r);
            check_guest(r, &r->pri);
            check_pauses(r, since_us, &colod, &qemu);
        }
        if (!g_str_equal(steps[i].what, "attach")) {
            check_healed(r);
        }
        take_over(r);
        end(r);
    }
}

/* One that is killed, and one that hangs; with nothing to say to it. */
static void test_lost_in_peace(void)
{
    RigOptions o = {.delay_ms = 20000};

    for (int i = 0; i < 4; i++) {
        Rig *r = start_rig(&o);
        Side *s = i % 2 ? &r->sec : &r->pri;

        if (i < 2) {
            proc_kill(s->proxy);
        } else {
            proc_signal(s->proxy, SIGSTOP);
        }
        check_state(r, s, "degraded", SOON_MS);
        if (i < 2) { /* the other proxy sees it, too */
            check_state(r, &r->pri, "degraded", SOON_MS);
            check_state(r, &r->sec, "degraded", SOON_MS);
        }
        check_guest(r, &r->pri);
        if (i == 1) {
            wait_said(r, &r->pri, "pass", 0);
        }
        if (i < 2) {
            rig_start_proxy(r, s);
        } else {
            proc_signal(s->proxy, SIGCONT);
        }
        check_healed(r);
        take_over(r);
        end(r);
    }
}

/* A takeover out of degraded, without a proxy; it comes later. */
static void test_degraded_takeover(void)
{
    Rig *r = active_rig(FALSE);
    guint n;

    proc_kill(r->sec.proxy);
    check_state(r, &r->pri, "degraded", SOON_MS);
    check_state(r, &r->sec, "degraded", SOON_MS);
    proc_kill(r->pri.qemu);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
    n = said(&r->sec, "takeover");
    rig_start_proxy(r, &r->sec);
    wait_said(r, &r->sec, "takeover", n);
    end(r);
}

/* Refused, it is asked again. */
static void test_takeover_refused(void)
{
    Rig *r = active_rig(FALSE);

    rig_arm_proxy(&r->sec, "takeover", "error", 0);
    take_over(r);
    wait_said(r, &r->sec, "takeover", 1);
    end(r);
}

/* Slow at a takeover, it is waited for: nobody hears the guest without it. */
static void test_takeover_slow(void)
{
    Rig *r = active_rig(TRUE);
    guint attached = said(&r->sec, "attach");

    rig_arm_proxy(&r->sec, "run", "hang", 300);
    take_over(r);
    g_assert_cmpuint(said(&r->sec, "run"), ==, 1);
    g_assert_cmpint(time_of(r->sec.guest_log, "cont") -
                        time_of(r->sec.proxy_log, "run"),
                    >=, 300 * G_TIME_SPAN_MILLISECOND);
    g_assert_cmpuint(said(&r->sec, "attach"), ==, attached);
    end(r);
}

/* Given, it has to be there; found, it is welcome. */
static void test_late(void)
{
    for (int given = 0; given < 2; given++) {
        RigOptions o = {.proxy = given};
        Rig *r = rig_new(&o);

        if (!given) {
            /* Where colod looks by itself; one place, so one side only. */
            r->o.colod_sec = "--proxy none";
            g_free(r->pri.proxy_path);
            r->pri.proxy_path = g_build_filename(r->dir, "vm0-proxy.qmp", NULL);
        }
        rig_start_qemu(r, &r->pri);
        rig_start_qemu(r, &r->sec);
        rig_start_colod(r, &r->sec);
        rig_start_colod(r, &r->pri);
        if (given) {
            check_state(r, &r->pri, "degraded", SOON_MS);
            check_state(r, &r->sec, "degraded", SOON_MS);
            rig_start_proxy(r, &r->sec);
            rig_start_proxy(r, &r->pri);
            check_healed(r);
            proc_kill(r->pri.qemu);
            check_state(r, &r->sec, "alone", SOON_MS);
        } else {
            check_active(r);
            rig_start_proxy(r, &r->pri);
            check_state(r, &r->pri, "degraded", SOON_MS);
            check_state(r, &r->sec, "active", 0);
        }
        end(r);
    }
}

/* One that has taken over stands by for nobody before it is started anew. */
static void test_standby_again(void)
{
    Rig *r = active_rig(FALSE);

    take_over(r);
    proc_kill(r->sec.qemu);
    check_state(r, &r->sec, "failed", SOON_MS);
    rig_start_qemu(r, &r->sec);
    check_state(r, &r->sec, "waiting", SOON_MS);
    rig_start_qemu(r, &r->pri);
    check_said(r, &r->pri, "for an earlier guest: start it anew", SOON_MS);
    check_state(r, &r->sec, "waiting", 0);
    g_assert_cmpstr(last_said(&r->pri), ==, "block");
    rig_start_proxy(r, &r->sec);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    end(r);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        {"at-each-step", test_at_each_step},
        {"lost-in-peace", test_lost_in_peace},
        {"degraded-takeover", test_degraded_takeover},
        {"takeover-refused", test_takeover_refused},
        {"takeover-slow", test_takeover_slow},
        {"late", test_late},
        {"standby-again", test_standby_again},
    };
    int status;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    g_test_init(&argc, &argv, NULL);
    rig_set_up();
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path =
            g_strdup_printf("/sim/proxies/%s", tests[i].name);

        g_test_add_func(path, tests[i].func);
    }
    return g_test_run();
}
