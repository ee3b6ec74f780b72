/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of the guest, of QEMU and of people at its monitor: each ends in a
 * clear message and a defined state; no guest is left stopped or half
 * loaded.
 */
#include "tests/sim/rig-check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Both modes unless a test says otherwise. */
/* A --qmp-timeout that no busy machine makes run out */
enum { TIMEOUT_MS = 1000 };

/* qmp_timeout_ms: 0: the rig's own */
static Rig *active_rig(gboolean periodic, int qmp_timeout_ms)
{
    RigOptions o = {.periodic = periodic, .qmp_timeout_ms = qmp_timeout_ms};
    Rig *r = rig_new(&o);

    rig_start(r);
    check_active(r);
    return r;
}

/* The number of the next event on this side. */
static guint from_now(Side *s)
{
    return watch_events(s->watch);
}

/*
 * Wait until a checkpoint is committed for this reason (NULL: any), with an
 * event of number since or later.
 */
static void wait_checkpoint(Rig *r, guint since, const char *reason)
{
    for (int i = 0; i < SOON_MS / 5; i++) {
        for (guint k = since; k < watch_events(r->pri.watch); k++) {
            WatchEvent e = watch_event(r->pri.watch, k);

            if (g_str_equal(e.name, "COLO_CHECKPOINT") &&
                (!reason || g_str_equal(e.reason, reason))) {
                return;
            }
        }
        g_usleep(5000);
    }
    rig_dump(r);
    g_error("no checkpoint%s%s", reason ? " for " : "", reason ? reason : "");
}

static void next_checkpoint(Rig *r, guint since)
{
    wait_checkpoint(r, since, NULL);
}

static void lose_primary_host(Rig *r)
{
    relay_cut(r->link, TRUE, TRUE);
    rig_kill_host(&r->pri);
}

/* The secondary takes over, from a whole state. */
static void take_over(Rig *r)
{
    proc_kill(r->pri.qemu);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
}

/* --- QEMU --- */

#define MEMORY "query-memory-size-summary" /* asked all the time */

/* Others plug memory into the running guest: it is in no checkpoint. */
static void test_plugged_memory(void)
{
    Rig *r = active_rig(FALSE, 0);

    check_inject(r, &r->pri, "before", MEMORY, "plug-memory", 134217728);
    check_state(r, &r->pri, "unprotected", SOON_MS);
    check_said(r, &r->pri, "memory was plugged into the running guest",
               SOON_MS);
    check_guest(r, &r->pri);
    check_inject(r, &r->pri, "before", MEMORY, "plug-memory", 0);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

/* Or a device: the secondary has to have it, too. */
static void test_plugged_device(void)
{
    Rig *r = active_rig(FALSE, 0);

    relay_cut(r->link, TRUE, TRUE);
    check_state(r, &r->pri, "unprotected", SOON_MS);
    check_inject(r, &r->pri, "before", MEMORY, "plug-device", 0);
    check_said(r, &r->pri, "the guest's devices have changed", SOON_MS);
    relay_mend(r->link);
    check_said(r, &r->pri, "cannot start protection", SOON_MS);
    check_said(r, &r->pri, "the two guests differ in", SOON_MS);
    check_guest(r, &r->pri);
    check_end(r);
}

static void test_primary_hangs(void)
{
    Rig *r = active_rig(FALSE, TIMEOUT_MS);

    proc_signal(r->pri.qemu, SIGSTOP);
    check_state(r, &r->pri, "unprotected|failed", SOON_MS);
    check_detail(r, &r->pri, "did not answer for", 0);
    check_state(r, &r->sec, "paused|waiting|active", SOON_MS);
    proc_signal(r->pri.qemu, SIGCONT);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

static void test_primary_hangs_and_dies(void)
{
    Rig *r = active_rig(FALSE, TIMEOUT_MS);

    proc_signal(r->pri.qemu, SIGSTOP);
    check_state(r, &r->pri, "unprotected", SOON_MS);
    proc_kill(r->pri.qemu);
    check_state(r, &r->pri, "failed", SOON_MS);
    check_detail(r, &r->pri, "QEMU died", 0);
    rig_start_qemu(r, &r->pri);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

/* What a large process does: its end takes a while after its last word. */
static void test_primary_dies_slowly(void)
{
    Rig *r = active_rig(FALSE, 0);

    rig_inject(&r->pri, "before", "xen-save-devices-state", "die", 400);
    check_state(r, &r->pri, "failed", SOON_MS);
    check_detail(r, &r->pri, "QEMU died", 0);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
    check_end(r);
}

/* Its RAM's file; not mapped, for that would allocate what is read. */
static int open_ram(Side *s)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", s->qemu->pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    int fd = -1;

    while (fd < 0 && (name = g_dir_read_name(dir))) {
        g_autofree char *entry = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(entry, NULL);

        if (target && strstr(target, "memory-backend-memfd")) {
            fd = open(entry, O_RDONLY | O_CLOEXEC);
        }
    }
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static gint64 used_blocks(Side *s)
{
    int fd = open_ram(s);
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    close(fd);
    return st.st_blocks;
}

/* Of these MiB on both hosts the guests never look at what is behind used. */
static void check_same_spare(Rig *r, int used, int mib)
{
    gsize bytes = (gsize)(mib - used) << 20;
    g_autofree char *a = g_malloc(bytes), *b = g_malloc(bytes);
    int pri = open_ram(&r->pri), sec = open_ram(&r->sec);

    g_assert_cmpint(pread(pri, a, bytes, (off_t)used << 20), ==, bytes);
    g_assert_cmpint(pread(sec, b, bytes, (off_t)used << 20), ==, bytes);
    g_assert_cmpint(memcmp(a, b, bytes), ==, 0);
    close(pri);
    close(sec);
}

/*
 * What QEMU never touched is not allocated by the full copy: 6144 holes, many
 * times the buffers there are.  Nor, but for a few pages, is what a balloon
 * gives back.
 */
static void test_sparse(void)
{
    RigOptions o = {.sim_pri = "--ram=64 --spare=48",
                    .sim_sec = "--ram=64 --spare=48"};
    Rig *r = rig_new(&o);

    rig_start(r);
    check_active(r);
    g_assert_cmpint(used_blocks(&r->pri), ==, ((16 + 48 / 2) << 20) / 512);
    check_same_spare(r, 16, 64);

    check_inject(r, &r->pri, NULL, NULL, "discard", 0);
    /* The first may have been under way, the last be still being loaded. */
    for (int i = 0; i < 3; i++) {
        next_checkpoint(r, from_now(&r->pri));
    }
    g_assert_cmpint(used_blocks(&r->pri), <, ((16 + 1) << 20) / 512);
    check_same_spare(r, 16, 64);
    take_over(r);
    check_end(r);
}

static void test_secondary_hangs(void)
{
    for (int periodic = 0; periodic < 2; periodic++) {
        Rig *r = active_rig(periodic, TIMEOUT_MS);

        proc_signal(r->sec.qemu, SIGSTOP);
        if (!periodic) {
            check_state(r, &r->sec, "failed", SOON_MS);
            check_detail(r, &r->sec, "did not answer for", 0);
            check_state(r, &r->pri, "unprotected", SOON_MS);
        }
        check_guest(r, &r->pri);
        proc_signal(r->sec.qemu, SIGCONT);
        check_active(r);
        check_guest(r, &r->pri);
        take_over(r);
        check_end(r);
    }
}

/*
 * Slower than --qmp-timeout when it takes over: there is no other guest, so it
 * is waited for.
 */
static void test_takeover_slow(void)
{
    gint64 begin;
    Rig *r = active_rig(TRUE, TIMEOUT_MS);

    rig_inject(&r->sec, "before", "job-snapshot-load", "hang", 2 * TIMEOUT_MS);
    begin = g_get_monotonic_time();
    take_over(r);
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, 2 * TIMEOUT_MS * 1000);
    check_end(r);
}

static void test_monitor_slow(void)
{
    Rig *r = active_rig(FALSE, 0);
    guint since;

    /* Within the timeout: only late. */
    since = from_now(&r->pri);
    check_inject(r, &r->pri, "before", "xen-save-devices-state", "hang", 300);
    next_checkpoint(r, since);
    check_active(r);
    check_inject(r, &r->sec, "before", "job-snapshot-load", "hang", 300);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

static void test_save_fails(void)
{
    Rig *r = active_rig(FALSE, 0);
    gint64 cancelled = check_stat(&r->pri, "cancelled");
    guint since;

    check_inject(r, &r->pri, "before", "xen-save-devices-state", "fail", 0);
    since = from_now(&r->pri);
    next_checkpoint(r, since);
    check_said(r, &r->pri, "refused xen-save-devices-state", SOON_MS);
    g_assert_cmpint(check_stat(&r->pri, "cancelled"), ==, cancelled + 1);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

static void test_load_fails(void)
{
    Rig *r = active_rig(FALSE, 0);

    check_inject(r, &r->sec, "after", "job-snapshot-load", "fail", 0);
    check_state(r, &r->sec, "failed", SOON_MS);
    check_detail(r, &r->sec, "arranged to fail", 0);
    check_state(r, &r->pri, "unprotected|paused", SOON_MS);
    check_guest(r, &r->pri);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

/* More device state than the secondary has room for. */
static void test_state_too_large(void)
{
    Rig *r = active_rig(FALSE, 0);

    check_inject(r, &r->pri, NULL, NULL, "grow", 5000000);
    check_state(r, &r->pri, "unprotected", SOON_MS);
    check_detail(r, &r->pri, "device state of 5000", SOON_MS);
    check_guest(r, &r->pri);
    check_inject(r, &r->pri, NULL, NULL, "grow", 59000);
    check_active(r);
    check_guest(r, &r->pri);
    take_over(r);
    check_end(r);
}

/* --- The guest --- */

static void test_reset(void)
{
    for (int periodic = 0; periodic < 2; periodic++) {
        Rig *r = active_rig(periodic, 0);
        guint since = from_now(&r->pri);
        g_autoptr(GArray) sec = NULL;
        const SimLine *load;

        check_inject(r, &r->pri, NULL, NULL, "guest-reset", 0);
        wait_checkpoint(r, since, "reset");
        check_active(r);
        take_over(r);
        sec = sim_log_read(r->sec.guest_log);
        load = sim_log_last(sec, "load", 0);
        g_assert_nonnull(load);
        g_assert_nonnull(strstr(load->detail, "boot=2"));
        check_end(r);
    }
}

static void test_shutdown(void)
{
    static const char *const ways[] = {"guest-shutdown", "panic", "quit"};

    for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
        Rig *r = active_rig(i % 2, 0);

        if (i == 2) {
            g_autoptr(JsonNode) node = rig_qemu(&r->pri, "quit", NULL, NULL);
        } else {
            rig_inject(&r->pri, NULL, NULL, ways[i], 0);
        }
        check_state(r, &r->pri, "ended", SOON_MS);
        check_detail(r, &r->pri, "shut down", 0);
        check_state(r, &r->sec, "ended", SOON_MS);
        check_guest_stopped(r, &r->sec);
        g_assert_true(proc_alive(r->pri.colod) && proc_alive(r->sec.colod));
        check_end(r);
    }
}

/* Paused by its panic: nothing to protect until somebody resets it. */
static void test_panic(void)
{
    Rig *r = active_rig(TRUE, 0);
    g_autoptr(JsonNode) reset = NULL, cont = NULL;
    WatchStatus s;

    check_inject(r, &r->pri, NULL, NULL, "panic-pause", 0);
    check_said(r, &r->pri, "panicked", SOON_MS);
    check_guest_stopped(r, &r->pri);
    watch_status(r->sec.watch, &s);
    g_assert_cmpstr(s.state, !=, "alone");
    reset = rig_qemu(&r->pri, "system_reset", NULL, NULL);
    g_assert_nonnull(reset);
    /* Reset makes it runnable again. */
    check_inject(r, &r->pri, NULL, NULL, "cont", 0);
    check_guest(r, &r->pri);
    check_active(r);
    take_over(r);
    check_end(r);
}

/* --- Others at the monitor --- */

static void test_others_in_capture(void)
{
    static const struct {
        const char *when, *what, *act;
        gboolean stopped; /* in the end, by them */
    } cases[] = {
        {"before", "stop", "stop-cont", FALSE},
        {"before", "xen-save-devices-state", "cont", FALSE},
        {"before", "xen-save-devices-state", "cont-stop", TRUE},
        {"after", "xen-save-devices-state", "cont", FALSE},
        {"after", "xen-save-devices-state", "cont-stop", TRUE},
        {"before", "cont", "cont", FALSE},
        {"after", "cont", "stop", TRUE},
        {"after", "cont", "stop-cont", FALSE},
    };

    for (int periodic = 0; periodic < 2; periodic++) {
        Rig *r = active_rig(periodic, 0);

        for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
            guint since;

            check_inject(r, &r->pri, cases[i].when, cases[i].what,
                         cases[i].act, 0);
            if (cases[i].stopped) {
                g_usleep(60 * 1000); /* three checkpoints would be due */
                check_guest_stopped(r, &r->pri);
                check_inject(r, &r->pri, NULL, NULL, "cont", 0);
            }
            since = from_now(&r->pri);
            next_checkpoint(r, since);
            check_guest(r, &r->pri);
            check_active(r);
        }
        take_over(r);
        check_end(r);
    }
}

static void test_others_in_load(void)
{
    static const struct {
        const char *when, *what, *act;
    } cases[] = {
        {"before", "job-snapshot-load", "cont"},
        {"after", "job-snapshot-load", "cont"},
        {"after", "job-snapshot-load", "cont-stop"},
        {"before", "snapshot-load", "cont"},
        {"after", "cont", "stop"},
        {"before", "cont", "cont"},
    };
    Rig *r = active_rig(FALSE, 0);

    r->strayed = TRUE; /* by them, while half loaded */
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint since;

        check_inject(r, &r->sec, cases[i].when, cases[i].what, cases[i].act, 0);
        check_active(r);
        since = from_now(&r->pri);
        next_checkpoint(r, since);
        check_active(r);
        check_guest(r, &r->pri);
    }
    take_over(r);
    check_end(r);
}

/* Somebody lets the secondary's waiting guest run, and it writes. */
static void test_others_on_secondary(void)
{
    for (int i = 0; i < 3; i++) {
        Rig *r = active_rig(TRUE, 0);
        guint since = from_now(&r->pri);

        r->strayed = TRUE;
        check_inject(r, &r->sec, NULL, NULL, i == 1 ? "cont-stop" : "cont", 0);
        if (i < 2) {
            check_said(r, &r->sec, "somebody let this guest run", SOON_MS);
            wait_checkpoint(r, since, "full-copy");
            check_active(r);
            check_guest_stopped(r, &r->sec);
            take_over(r);
        } else {
            /* Just before the takeover: from a whole state, or not at all. */
            proc_kill(r->pri.qemu);
            check_state(r, &r->sec, "alone|failed|waiting", SOON_MS);
            if (!watch_wait(r->sec.watch, "alone", 0)) {
                check_guest_stopped(r, &r->sec);
                rig_free(r);
                continue;
            }
            check_guest(r, &r->sec);
        }
        check_end(r);
    }
}

/* A stop of others, a long one, and a takeover out of it. */
static void test_stopped_by_others(void)
{
    Rig *r = active_rig(FALSE, 0);

    /* Not while colod's own stop is on its way, which would hide this one. */
    check_inject(r, &r->pri, "after", "cont", "stop", 0);
    check_guest_stopped(r, &r->pri);
    g_usleep(400 * 1000);
    check_active(r);
    check_guest_stopped(r, &r->pri);
    take_over(r);
    check_end(r);
}

/* --- colod --- */

/* Killed in the middle of a capture; the guest is not left stopped. */
static void test_killed_in_capture(void)
{
    static const struct {
        const char *when, *what;
    } points[] = {
        {"after", "stop"},
        {"before", "xen-save-devices-state"},
        {"after", "xen-save-devices-state"},
        {"before", "cont"},
    };
    Rig *r = active_rig(FALSE, 0);

    for (guint i = 0; i < G_N_ELEMENTS(points); i++) {
        guint before = rig_log_count(&r->pri, "inject");

        /* While QEMU is busy there, colod is killed. */
        rig_inject(&r->pri, points[i].when, points[i].what, "hang", 100);
        check_injected(r, &r->pri, before);
        proc_kill(r->pri.colod);
        rig_start_colod(r, &r->pri);
        check_guest(r, &r->pri);
        check_active(r);
    }
    take_over(r);
    check_end(r);
}

/* Those who watch are told, as its log is. */
static void check_asked_to_end(Rig *r, Side *s, const char *says)
{
    WatchEvent e;

    check_exit(r, s, 0, says);
    g_assert_true(watch_wait_event(s->watch, "COLO_EXIT", SOON_MS, &e));
    g_assert_cmpstr(e.reason, ==, "request");
}

static void test_quit(void)
{
    Rig *r = active_rig(FALSE, 0);
    g_autoptr(JsonNode) a = NULL, b = NULL;

    a = rig_colod(&r->sec, "quit", NULL, NULL);
    check_asked_to_end(r, &r->sec, "ending, as asked: nobody stands by");
    check_state(r, &r->pri, "unprotected", SOON_MS);
    check_guest(r, &r->pri);
    rig_start_colod(r, &r->sec);
    check_active(r);
    b = rig_colod(&r->pri, "quit", NULL, NULL);
    check_asked_to_end(r, &r->pri, "ending, as asked: the guest goes on");
    check_guest(r, &r->pri);
    check_state(r, &r->sec, "waiting|paused", SOON_MS);
    rig_start_colod(r, &r->pri);
    check_active(r);
    take_over(r);
    check_end(r);
}

/*
 * The host is lost while the secondary is busy with one checkpoint and has
 * the next one in its socket: that counts, but the loss is not forgotten.
 */
static void test_lost_while_loading(void)
{
    for (int fails = 0; fails < 2; fails++) {
        RigOptions o = {.failover = TRUE};
        Rig *r = rig_new(&o);
        g_autofree char *fail = g_build_filename(r->dir, "fence.fail", NULL);

        rig_start(r);
        check_active(r);
        g_assert_true(!fails || g_file_set_contents(fail, "", 0, NULL));
        check_inject(r, &r->sec, "before", "job-snapshot-load", "hang", 1000);
        g_usleep(200 * 1000); /* the next one is sent, and waits for its ACK */
        lose_primary_host(r);
        if (fails) {
            check_detail(r, &r->sec, "fence command failed", SOON_MS);
            check_state(r, &r->sec, "paused", 0);
        } else {
            check_state(r, &r->sec, "alone", SOON_MS);
            check_guest(r, &r->sec);
        }
        check_end(r);
    }
}

#define SILENT "QEMU has not answered for 3 s, and nobody else has the guest"

/* The primary is lost while the secondary's QEMU loads, for so long. */
static Rig *lost_while_loading(int ms)
{
    RigOptions o = {.failover = TRUE, .qmp_timeout_ms = 2000};
    Rig *r = rig_new(&o);

    rig_start(r);
    check_active(r);
    check_inject(r, &r->sec, "before", "job-snapshot-load", "hang", ms);
    lose_primary_host(r);
    return r;
}

/*
 * QEMU was given --qmp-timeout when the primary was there; it dies since.
 * COLO_LONG: and that takes longer than anything else waits.
 */
static void test_lost_while_loading_slowly(void)
{
    int ms = g_strcmp0(g_getenv("COLO_LONG"), "1") ? 4500 : 65000;
    gint64 begin = g_get_monotonic_time();
    Rig *r = lost_while_loading(ms);

    check_state(r, &r->sec, "alone", ms + SOON_MS);
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, ms * 1000ll);
    check_said(r, &r->sec, SILENT, 0);
    check_guest(r, &r->sec);
    check_end(r);
}

/* It waits for QEMU, but not against the operator's will. */
static void test_quit_while_loading_slowly(void)
{
    Rig *r = lost_while_loading(60000);
    g_autoptr(JsonNode) node = NULL;

    check_detail(r, &r->sec, SILENT, SOON_MS);
    node = rig_colod(&r->sec, "quit", NULL, NULL);
    g_assert_nonnull(node);
    g_assert_true(proc_wait(r->sec.colod, 5000));
    rig_free(r);
}

/* The fence says no: nobody takes over; the operator still can. */
static void test_fence_fails(void)
{
    RigOptions o = {.failover = TRUE};
    Rig *r = rig_new(&o);
    g_autofree char *fail = g_build_filename(r->dir, "fence.fail", NULL);
    g_autoptr(JsonNode) node = NULL;

    rig_start(r);
    check_active(r);
    g_assert_true(g_file_set_contents(fail, "", 0, NULL));
    lose_primary_host(r);
    check_detail(r, &r->sec, "fence command failed", SOON_MS);
    check_state(r, &r->sec, "paused", 0);
    node = rig_colod(&r->sec, "x-colo-lost-heartbeat", NULL, NULL);
    g_assert_nonnull(node);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
    check_end(r);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        {"plugged-memory", test_plugged_memory},
        {"plugged-device", test_plugged_device},
        {"primary-hangs", test_primary_hangs},
        {"primary-hangs-and-dies", test_primary_hangs_and_dies},
        {"primary-dies-slowly", test_primary_dies_slowly},
        {"sparse", test_sparse},
        {"secondary-hangs", test_secondary_hangs},
        {"takeover-slow", test_takeover_slow},
        {"monitor-slow", test_monitor_slow},
        {"save-fails", test_save_fails},
        {"load-fails", test_load_fails},
        {"state-too-large", test_state_too_large},
        {"reset", test_reset},
        {"shutdown", test_shutdown},
        {"panic", test_panic},
        {"others-in-capture", test_others_in_capture},
        {"others-in-load", test_others_in_load},
        {"others-on-secondary", test_others_on_secondary},
        {"stopped-by-others", test_stopped_by_others},
        {"killed-in-capture", test_killed_in_capture},
        {"quit", test_quit},
        {"quit-while-loading-slowly", test_quit_while_loading_slowly},
        {"lost-while-loading", test_lost_while_loading},
        {"lost-while-loading-slowly", test_lost_while_loading_slowly},
        {"fence-fails", test_fence_fails},
    };
    int status;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    g_test_init(&argc, &argv, NULL);
    rig_set_up();
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path =
            g_strdup_printf("/sim/faults/%s", tests[i].name);

        g_test_add_func(path, tests[i].func);
    }
    return g_test_run();
}
