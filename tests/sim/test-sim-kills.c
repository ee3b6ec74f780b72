/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random kills of a pair: the real colods, simulated QEMUs and, each in about
 * every second pair, simulated proxies and disks (real nbdkit and plugin).
 *
 * Theory of operation.  Each round takes a protected pair, waits a random
 * time, kills something on a random side, and checks what must hold:
 *
 * I1  No output was released by a checkpoint that the survivor does not have,
 *     and none at all after the primary's proxy was blocked.
 * I2  A guest that takes over goes on exactly from a checkpoint that the
 *     primary captured, and none that the primary was told to be committed
 *     is lost: what was loaded has the step and hash of a line that the
 *     primary's guest wrote when it was saved, not older than the last
 *     COLO_CHECKPOINT; sim-guest.c checks each byte of RAM against it.
 * I3  When the secondary says that it has taken over, the primary's QEMU is
 *     dead; nothing takes over under --on-heartbeat-loss wait but by
 *     request or because QEMU is known to be dead.
 * I4  The guests' disks are of the same moment as their memory: sim-guest.c
 * checks each block.
 * And no guest is lost that should live: the primary's runs on whatever
 * happens to the secondary, the link or its own colod, and is protected
 * again when all is back, without a full copy when both colods lived.
 *
 * COLO_KILLS=N rounds (40), COLO_SEED=N repeats a run, COLO_VICTIM=N kills
 * that one only; COLO_SIM_PAGES=1 has a broken chain name the pages.
 */
#include "tests/sim/rig-check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_KILLS = 40,
    ROUNDS_A_PAIR = 6,
    MAX_MOMENT_MS = 100,
};

typedef enum {
    PRI_QEMU,
    PRI_COLOD,
    PRI_HOST,
    SEC_QEMU,
    SEC_COLOD,
    SEC_HOST,
    LINK,
    FT_LINK,
    PRI_PROXY, /* these two: only where there are proxies */
    SEC_PROXY,
    NBDKIT, /* and these: only where there are disks */
    NBD_LINK,
    N_VICTIMS,
} Victim;

static const char *const victims[N_VICTIMS] = {
    "primary's QEMU",
    "primary's colod",
    "primary's host",
    "secondary's QEMU",
    "secondary's colod",
    "secondary's host",
    "link",
    "ft link",
    "primary's proxy",
    "secondary's proxy",
    "nbdkit",
    "link of the disks",
};

static GRand *rnd;
static char failure[512];

/* Says once why this round failed. */
static gboolean expect(gboolean ok, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static gboolean expect(gboolean ok, const char *fmt, ...)
{
    va_list ap;

    if (!ok && !failure[0]) {
        va_start(ap, fmt);
        g_vsnprintf(failure, sizeof(failure), fmt, ap);
        va_end(ap);
    }
    return ok;
}

static gboolean in_state(Side *s, const char *states, int ms)
{
    WatchStatus now;

    if (watch_wait(s->watch, states, ms)) {
        return TRUE;
    }
    watch_status(s->watch, &now);
    return expect(FALSE, "%s is \"%s\" (%s), not %s, after %d ms", s->name,
                  now.state, now.detail, states, ms);
}

static gboolean whole(Side *s)
{
    g_autoptr(GArray) lines = sim_log_read(s->guest_log);

    return expect(!sim_log_count(lines, "BROKEN"), "%s: CHAIN BROKEN",
                  s->guest_log);
}

/* --- I2 --- */

/* Is this what a guest wrote when it was saved? */
static gboolean saved_by(GArray *pri, const SimLine *load)
{
    for (guint i = pri->len; i-- > 0;) {
        const SimLine *l = &g_array_index(pri, SimLine, i);

        if (g_str_equal(l->word, "save") && l->step == load->step &&
            g_str_equal(l->hash, load->hash) &&
            g_str_equal(l->detail, load->detail)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* since: number of the primary's events when this session was protected. */
static gboolean continues(Rig *r, guint since)
{
    g_autoptr(GArray) pri = sim_log_read(r->pri.guest_log);
    g_autoptr(GArray) sec = sim_log_read(r->sec.guest_log);
    const SimLine *load = sim_log_last(sec, "load", 0), *save;
    WatchEvent last;

    for (guint i = 0; i < sec->len; i++) {
        const SimLine *l = &g_array_index(sec, SimLine, i);

        /* A trial load when colod starts is of the guest's own state. */
        if (g_str_equal(l->word, "load") &&
            !expect(saved_by(pri, l) || (l != load && saved_by(sec, l)),
                    "the secondary loaded step %" G_GUINT64_FORMAT
                    " %s, which the primary never saved",
                    l->step, l->hash)) {
            return FALSE;
        }
    }
    if (!expect(load != NULL, "took over without a checkpoint")) {
        return FALSE;
    }
    if (!watch_last(r->pri.watch, "COLO_CHECKPOINT", since, &last)) {
        return TRUE;
    }
    save = sim_log_last(pri, "save", last.time_us);
    return expect(save && load->step >= save->step,
                  "took over from step %" G_GUINT64_FORMAT
                  ", but epoch %" G_GUINT64_FORMAT " of step %" G_GUINT64_FORMAT
                  " was committed",
                  load->step, last.epoch, save ? save->step : 0);
}

/* --- I3 --- */

static gboolean only_one(Rig *r)
{
    g_autoptr(GArray) pri = sim_log_read(r->pri.guest_log);
    const SimLine *chain = sim_log_last(pri, "chain", 0);
    WatchEvent last;

    /* Fenced: its threads are gone, the kernel may still be tidying up. */
    if (!expect(proc_wait(r->pri.qemu, 1000),
                "both guests live after the takeover") ||
        !expect(watch_wait_event(r->sec.watch, "COLO_EXIT", SOON_MS, &last),
                "no COLO_EXIT on the secondary")) {
        return FALSE;
    }
    return expect(!chain || chain->time_us < last.time_us,
                  "the primary's guest ran after the takeover");
}

/* --- I1 --- */

/* colod is alone when it has sent this; its proxy logs what it has read. */
static gboolean was_told_takeover(Side *s)
{
    gint64 end = g_get_monotonic_time() + SOON_MS * 1000;

    for (;;) {
        g_autoptr(GArray) lines = sim_log_read(s->proxy_log);
        gboolean told = sim_log_count(lines, "takeover") > 0;

        if (told || g_get_monotonic_time() > end) {
            return expect(told, "the proxy was not told of the takeover");
        }
        g_usleep(2000);
    }
}

/* since_us: when this session was protected. */
static gboolean released_right(Rig *r, gint64 since_us)
{
    g_autoptr(GArray) pri = sim_log_read(r->pri.proxy_log);
    gboolean blocked = FALSE;
    WatchStatus s;

    watch_status(r->sec.watch, &s);
    for (guint i = 0; i < pri->len; i++) {
        const SimLine *l = &g_array_index(pri, SimLine, i);
        gboolean commit = g_str_equal(l->word, "commit");

        blocked |= g_str_equal(l->word, "block");
        if (!expect(!blocked || (!commit && !g_str_equal(l->word, "pass")),
                    "output was released after the block") ||
            !expect(!commit || l->time_us < since_us || l->step <= s.epoch,
                    "output of epoch %" G_GUINT64_FORMAT " was released, "
                    "%" G_GUINT64_FORMAT " goes on",
                    l->step, s.epoch)) {
            return FALSE;
        }
    }
    return !r->sec.proxy || was_told_takeover(&r->sec);
}

/* Each command came where it makes sense. */
static gboolean sensible(Side *s)
{
    g_autoptr(GArray) lines = sim_log_read(s->proxy_log);

    return expect(!sim_log_count(lines, "BAD"), "%s: BAD", s->proxy_log);
}

static gboolean check_takeover(Rig *r, guint since, gint64 since_us)
{
    WatchStatus s;

    if (!in_state(&r->sec, "alone", SOON_MS) || !only_one(r) ||
        !continues(r, since) ||
        !expect(rig_guest_runs(&r->sec, SOON_MS),
                "the guest that took over does not run") ||
        !released_right(r, since_us) || !whole(&r->sec)) {
        return FALSE;
    }
    watch_status(r->sec.watch, &s);
    return expect(s.guest_running && !strcmp(s.mode, "none"),
                  "status after the takeover: mode %s, guest %s", s.mode,
                  s.guest_running ? "running" : "stopped");
}

/* The secondary stays what it is for as long as it could be tempted. */
static gboolean no_takeover(Rig *r)
{
    gint64 end = g_get_monotonic_time() +
                 (r->o.heartbeat_timeout_ms + 100) * G_TIME_SPAN_MILLISECOND;
    WatchStatus s;

    do {
        watch_status(r->sec.watch, &s);
        if (!expect(strcmp(s.state, "alone") && strcmp(s.state, "takeover"),
                    "the secondary took over by itself (%s)", s.detail)) {
            return FALSE;
        }
        g_usleep(5000);
    } while (g_get_monotonic_time() < end);
    return TRUE;
}

static gboolean primary_runs(Rig *r)
{
    return expect(proc_alive(r->pri.qemu), "the primary's QEMU is gone") &&
           expect(rig_guest_runs(&r->pri, SOON_MS),
                  "the primary's guest does not run") &&
           whole(&r->pri);
}

/* --- Rounds --- */

static void kill_proc(Proc *p)
{
    if (p) {
        proc_kill(p);
    }
}

static void cut_all(Rig *r)
{
    relay_cut(r->link, TRUE, TRUE);
    if (r->nbd_link) {
        relay_cut(r->nbd_link, TRUE, TRUE);
    }
}

static void mend_all(Rig *r)
{
    relay_mend(r->link);
    if (r->nbd_link) {
        relay_mend(r->nbd_link);
    }
}

static void kill_host(Rig *r, Side *s)
{
    cut_all(r);
    rig_kill_host(s);
    kill_proc(s->proxy);
}

static void pause_ms(int max)
{
    g_usleep(g_rand_int_range(rnd, 0, max * 1000 + 1));
}

/* The primary is dead or fenced: this pair ends with a takeover. */
static gboolean lose_primary(Rig *r, Victim v, guint since, gint64 since_us)
{
    g_autoptr(JsonNode) node = NULL;

    switch (v) {
    case PRI_QEMU:
        kill_proc(r->pri.qemu);
        break;
    case PRI_COLOD:
        kill_proc(r->pri.colod);
        break;
    case LINK:
        cut_all(r);
        break;
    default:
        kill_host(r, &r->pri);
        break;
    }
    if (v == PRI_HOST && !r->o.failover) {
        if (!no_takeover(r)) {
            return FALSE;
        }
        node = rig_colod(&r->sec, "x-colo-lost-heartbeat", NULL, NULL);
        if (!expect(node != NULL, "x-colo-lost-heartbeat failed")) {
            return FALSE;
        }
    }
    return check_takeover(r, since, since_us);
}

static gboolean lose_secondary(Rig *r, Victim v)
{
    if (v == SEC_HOST) {
        kill_host(r, &r->sec);
    } else {
        kill_proc(v == SEC_QEMU ? r->sec.qemu : r->sec.colod);
    }
    if (!primary_runs(r)) {
        return FALSE;
    }
    pause_ms(50);
    if (v != SEC_COLOD) {
        rig_start_qemu(r, &r->sec);
    }
    if (v != SEC_QEMU) {
        rig_start_colod(r, &r->sec);
    }
    if (v == SEC_HOST && r->o.proxy) {
        rig_start_proxy(r, &r->sec);
    }
    mend_all(r);
    return TRUE;
}

/* before: number of the primary's events */
static gboolean nothing_copied_anew(Rig *r, guint before)
{
    for (guint i = before; i < watch_events(r->pri.watch); i++) {
        WatchEvent e = watch_event(r->pri.watch, i);

        if (!expect(strcmp(e.reason, "full-copy") != 0,
                    "a full copy was made")) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean lose_link(Rig *r, Victim v)
{
    guint before = watch_events(r->pri.watch);

    if (v == LINK) {
        cut_all(r);
    } else {
        relay_cut(r->link, TRUE, FALSE);
    }
    if (g_rand_boolean(rnd)) {
        if (!no_takeover(r)) { /* long: both sides notice */
            return FALSE;
        }
    } else {
        pause_ms(r->o.heartbeat_timeout_ms * 3 / 4);
    }
    if (!primary_runs(r)) {
        return FALSE;
    }
    mend_all(r);
    return expect(rig_wait_active(r, SOON_MS), "not protected again") &&
           no_takeover(r) && nothing_copied_anew(r, before);
}

/* The guests go on, and only what was written meanwhile is copied. */
static gboolean lose_disks(Rig *r, Victim v)
{
    guint before = watch_events(r->pri.watch);
    int pid;

    if (v == NBDKIT) {
        pid = rig_nbdkit(r);
        if (!expect(pid > 0, "there is no nbdkit")) {
            return FALSE;
        }
        kill(pid, SIGKILL);
    } else {
        relay_cut(r->nbd_link, TRUE, TRUE);
        pause_ms(g_rand_boolean(rnd) ? 4000 : 300);
        relay_mend(r->nbd_link);
    }
    pause_ms(200);
    return primary_runs(r) &&
           expect(rig_wait_active(r, SOON_MS), "not protected again") &&
           no_takeover(r) && nothing_copied_anew(r, before);
}

static gboolean lose_primary_colod(Rig *r)
{
    kill_proc(r->pri.colod);
    if (g_rand_boolean(rnd) && !no_takeover(r)) {
        return FALSE;
    }
    rig_start_colod(r, &r->pri);
    return no_takeover(r);
}

/* Nobody takes over for that, and nothing is copied anew. */
static gboolean lose_proxy(Rig *r, Side *s)
{
    guint before = watch_events(r->pri.watch);

    kill_proc(s->proxy);
    if (!in_state(&r->pri, "degraded", SOON_MS) ||
        !in_state(&r->sec, "degraded", SOON_MS) || !primary_runs(r)) {
        return FALSE;
    }
    pause_ms(200);
    rig_start_proxy(r, s);
    if (!expect(rig_wait_active(r, SOON_MS), "not protected again")) {
        return FALSE;
    }
    return no_takeover(r) && nothing_copied_anew(r, before);
}

/* FALSE: failed.  *over: this pair ended with a takeover. */
static gboolean kill_round(Rig *r, Victim v, gboolean *over)
{
    gint64 since_us;
    guint since;

    if (!rig_wait_active(r, SOON_MS)) {
        return in_state(&r->pri, "active", 0) && in_state(&r->sec, "active", 0);
    }
    since = watch_events(r->pri.watch);
    since_us = g_get_real_time();
    pause_ms(MAX_MOMENT_MS);

    *over = v == PRI_QEMU || v == PRI_HOST ||
            (r->o.failover && (v == PRI_COLOD || v == LINK));
    if (*over) {
        return lose_primary(r, v, since, since_us);
    }
    if (v == PRI_PROXY || v == SEC_PROXY) {
        return lose_proxy(r, v == PRI_PROXY ? &r->pri : &r->sec) &&
               whole(&r->pri) && whole(&r->sec);
    }
    if (v == NBDKIT || v == NBD_LINK) {
        return lose_disks(r, v) && whole(&r->pri) && whole(&r->sec);
    }
    if (v == PRI_COLOD) {
        if (!lose_primary_colod(r)) {
            return FALSE;
        }
    } else if (v == LINK || v == FT_LINK) {
        return lose_link(r, v) && primary_runs(r) && whole(&r->sec);
    } else if (!lose_secondary(r, v)) {
        return FALSE;
    }
    return expect(rig_wait_active(r, SOON_MS), "not protected again") &&
           primary_runs(r) && whole(&r->sec);
}

static int number_from(const char *name, int otherwise)
{
    const char *text = g_getenv(name);

    return text && *text ? atoi(text) : otherwise;
}

/* Is there such a victim? */
static gboolean is_there(const Rig *r, Victim v)
{
    return v < PRI_PROXY || (v < NBDKIT ? r->o.proxy : r->o.disks > 0);
}

static Rig *new_pair(void)
{
    int victim = number_from("COLO_VICTIM", 0);
    static const char *const trackers[] = {"uffd", "compare", "auto"};
    RigOptions o = {
        .periodic = g_rand_boolean(rnd),
        .failover = g_rand_boolean(rnd),
        .proxy = g_rand_boolean(rnd) || victim == PRI_PROXY ||
                 victim == SEC_PROXY,
        .disks = g_rand_boolean(rnd) || victim >= NBDKIT ? 2 : 0,
        .tracker = trackers[g_rand_int_range(rnd, 0, 3)],
        .delay_ms = g_rand_boolean(rnd) ? 20 : 10,
    };
    Rig *r;

    if (o.disks) {
        o.qmp_timeout_ms = 4000; /* its disks may block QEMU for 0.7 of it */
    }
    o.preload = !g_str_equal(o.tracker, "compare");
    r = rig_new(&o);
    rig_start(r);
    return r;
}

static gboolean quick_answers(Side *s)
{
    int ms = check_slow_ms(s);

    return expect(!ms, "%s answered its control socket after %d ms", s->name,
                  ms);
}

int main(int argc, char **argv)
{
    int kills = number_from("COLO_KILLS", DEFAULT_KILLS), status, failed = 0;
    guint32 seed;
    Rig *r = NULL;
    int rounds = 0;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    seed = (guint32)number_from("COLO_SEED", (int)(g_random_int() >> 1));
    rnd = g_rand_new_with_seed(seed);
    rig_set_up();
    printf("# COLO_SEED=%u\n1..%d\n", seed, kills);
    for (int i = 1; i <= kills; i++) {
        Victim v;
        gint64 start = g_get_monotonic_time();
        gboolean over = FALSE, ok;

        failure[0] = '\0';
        if (!r) {
            r = new_pair();
            rounds = 0;
        }
        do {
            v = g_rand_int_range(rnd, 0, N_VICTIMS);
        } while (!is_there(r, v));
        v = number_from("COLO_VICTIM", v);
        ok = kill_round(r, v, &over) && sensible(&r->pri) &&
             sensible(&r->sec) && quick_answers(&r->pri) &&
             quick_answers(&r->sec);
        printf("%s %d - %s, %s%s%s, heartbeat loss: %s, tracker %s%s%s "
               "# %d ms\n",
               ok ? "ok" : "not ok", i, victims[v],
               r->o.periodic ? "periodic" : "colo",
               r->o.proxy ? " with proxies" : "",
               r->o.disks ? " with disks" : "",
               r->o.failover ? "failover" : "wait", r->o.tracker,
               ok ? "" : ": ", ok ? "" : failure,
               (int)((g_get_monotonic_time() - start) / 1000));
        if (!ok) {
            failed++;
            rig_dump(r);
            r->keep = TRUE;
            printf("# kept: %s\n", r->dir);
        }
        fflush(stdout);
        if (!ok || over || ++rounds == ROUNDS_A_PAIR) {
            g_clear_pointer(&r, rig_free);
        }
    }
    rig_free(r);
    g_rand_free(rnd);
    return failed ? 1 : 0;
}
