/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks in the checkpoints: the real colods, nbdkit with the real plugin and
 * epoch store, simulated QEMUs.
 *
 * I4 is checked by the guests themselves: the CPU keeps the sums of all pages
 * and of all blocks of each disk, and looks at all of them when it was loaded.
 * A disk of another moment than the memory says so in the guest's log, which
 * check_guest() and check_end() read.
 */
#include "tests/sim/rig-check.h"

#include "colo/sockaddr.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static Rig *start(RigOptions *o)
{
    Rig *r;

    o->disks = o->disks ? o->disks : 2;
    r = rig_new(o);
    rig_start(r);
    check_active(r);
    return r;
}

/* n more checkpoints of the secondary */
static void more_checkpoints(Rig *r, guint n)
{
    WatchStatus before, now;
    gint64 end = g_get_monotonic_time() + SOON_MS * G_TIME_SPAN_MILLISECOND;

    watch_status(r->sec.watch, &before);
    do {
        g_usleep(2000);
        watch_status(r->sec.watch, &now);
    } while (now.epoch < before.epoch + n && g_get_monotonic_time() < end);
    if (now.epoch < before.epoch + n) {
        check_state(r, &r->sec, "no more checkpoints", 0);
    }
}

/* All of its memory and its disks are of one moment, now that it runs. */
static void check_whole(Rig *r, Side *s)
{
    guint before = rig_log_count(s, "resumed");
    gint64 end = g_get_monotonic_time() + SOON_MS * G_TIME_SPAN_MILLISECOND;

    rig_inject(s, NULL, NULL, "check", 0);
    while (rig_log_count(s, "resumed") == before &&
           g_get_monotonic_time() < end) {
        g_usleep(2000);
    }
    g_assert_cmpuint(rig_log_count(s, "resumed"), >, before);
    check_guest(r, s);
}

/* A command without a word back. */
static void tell(Side *s, const char *command)
{
    g_autoptr(JsonNode) node = rig_colod(s, command, NULL, NULL);
}

static char *disk_state(Side *s, guint i)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = rig_colod(s, "query-colo-status", NULL, &error);
    JsonArray *disks;

    g_assert_no_error(error);
    disks = json_object_get_array_member(json_node_get_object(node), "disks");
    g_assert_cmpuint(json_array_get_length(disks), >, i);
    return g_strdup(json_object_get_string_member(
        json_array_get_object_element(disks, i), "state"));
}

static void wait_disk(Rig *r, Side *s, guint i, const char *state)
{
    gint64 end = g_get_monotonic_time() + SOON_MS * G_TIME_SPAN_MILLISECOND;

    for (;;) {
        g_autofree char *now = disk_state(s, i);

        if (g_str_equal(now, state)) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_dump(r);
            g_error("disk %u of %s is %s, not %s", i, s->name, now, state);
        }
        g_usleep(5000);
    }
}

static void check_takeover(Rig *r)
{
    check_state(r, &r->sec, "alone", SOON_MS);
    wait_disk(r, &r->sec, 0, "promoted");
    check_whole(r, &r->sec);
}

/* The primary's QEMU dies; its colod says so. */
static void take_over(Rig *r)
{
    proc_kill(r->pri.qemu);
    check_takeover(r);
}

/* --- Checkpoints and takeovers -------------------------------------------- */

static void takeover(gboolean periodic, guint disks)
{
    RigOptions o = {.periodic = periodic, .disks = disks};
    Rig *r = start(&o);
    g_autofree char *state = NULL;

    wait_disk(r, &r->pri, disks - 1, "synced");
    wait_disk(r, &r->sec, disks - 1, "standby");
    more_checkpoints(r, 10);
    take_over(r);
    check_end(r);
}

static void test_takeover(void)
{
    takeover(FALSE, 1);
    takeover(FALSE, 3);
    takeover(TRUE, 2);
}

/* The whole host vanishes, at some moment between or in a checkpoint. */
static void test_host(void)
{
    for (int i = 0; i < 6; i++) {
        RigOptions o = {.failover = TRUE, .periodic = i % 2};
        Rig *r = start(&o);

        g_usleep(g_test_rand_int_range(0, 60000));
        relay_cut(r->nbd_link, TRUE, TRUE);
        relay_cut(r->link, TRUE, TRUE);
        rig_kill_host(&r->pri);
        check_takeover(r);
        check_end(r);
    }
}

/* The primary's QEMU dies at each step of a capture: before and after the
 * cut, when COMMIT is on its way. */
static void test_points(void)
{
    static const struct {
        const char *when, *what;
    } points[] = {
        {"before", "stop"},
        {"after", "stop"},
        {"before", "xen-save-devices-state"},
        {"after", "xen-save-devices-state"},
        {"before", "cont"},
        {"after", "cont"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(points); i++) {
        RigOptions o = {.periodic = i % 2};
        Rig *r = start(&o);

        rig_inject(&r->pri, points[i].when, points[i].what, "die", 0);
        check_takeover(r);
        check_end(r);
    }
}

/* A capture that is thrown away after its cut leaves no trace. */
static void test_cancelled(void)
{
    RigOptions o = {.delay_ms = 40};
    Rig *r = start(&o);

    for (int i = 0; i < 5; i++) {
        gint64 before = check_stat(&r->pri, "cancelled");
        gint64 end = g_get_monotonic_time() + SOON_MS * 1000;

        rig_inject(&r->pri, "after", "xen-save-devices-state",
                   i % 2 ? "cont" : "fail", 0);
        while (check_stat(&r->pri, "cancelled") == before &&
               g_get_monotonic_time() < end) {
            g_usleep(2000);
        }
        g_assert_cmpint(check_stat(&r->pri, "cancelled"), >, before);
        if (i < 4) {
            more_checkpoints(r, 2);
        }
    }
    take_over(r);
    check_end(r);
}

/* --- Who dies ----------------------------------------------------------- */

static void kill_nbdkit(Rig *r)
{
    int pid = rig_nbdkit(r);

    g_assert_cmpint(pid, >, 0);
    kill(pid, SIGKILL);
}

/*
 * It is replaced; nothing is copied anew, and the guests go on.  A signal for
 * the group of its colod, as from a terminal, is not for it.
 */
static void test_nbdkit(void)
{
    RigOptions o = {.heartbeat_timeout_ms = 2000}; /* never lost here */
    Rig *r = start(&o);
    guint mirrored = rig_log_count(&r->pri, "mirrored");
    int pid = rig_nbdkit(r);

    g_assert_cmpint(getpgid(pid), ==, pid);
    for (int i = 0; i < 6; i++) {
        g_usleep(g_test_rand_int_range(0, 50000));
        kill_nbdkit(r);
        check_said(r, &r->sec, "killed by signal 9", SOON_MS);
        g_usleep(g_test_rand_int_range(0, 300000));
        check_state(r, &r->pri, "active", SOON_MS);
        more_checkpoints(r, 3);
        check_whole(r, &r->pri);
    }
    g_assert_cmpuint(rig_log_count(&r->pri, "mirrored"), ==, mirrored);
    g_assert_false(rig_output_has(&r->pri, "waiting for the link", 0));
    take_over(r);
    check_end(r);
}

/*
 * QEMU cannot load while its disks do not answer: it is not given up for that,
 * and what the secondary has stays good.
 */
static void test_nbdkit_hung(void)
{
    RigOptions o = {.qmp_timeout_ms = 2000, .heartbeat_timeout_ms = 2000};
    Rig *r = start(&o);
    int pid = rig_nbdkit(r);
    gint64 end;

    check_inject(r, &r->sec, "before", "job-snapshot-load", "hang", 5000);
    end = g_get_monotonic_time() + 3500 * G_TIME_SPAN_MILLISECOND;
    kill(pid, SIGSTOP);
    check_said(r, &r->sec, "nbdkit has not answered for 2 s", SOON_MS);
    g_usleep((gulong)MAX(end - g_get_monotonic_time(), 0));
    kill(pid, SIGCONT);
    more_checkpoints(r, 1);
    check_state(r, &r->pri, "active", SOON_MS);
    more_checkpoints(r, 3);
    g_assert_cmpint(rig_nbdkit(r), ==, pid);
    g_assert_cmpuint(rig_full_copies(r), ==, 1);
    take_over(r);
    check_end(r);
}

/* TRUE: who connects to the disks hears NBD's first word; FALSE: an end. */
static gboolean is_greeted(Rig *r)
{
    const ColoAddr at = {.host = (char *)"127.0.0.1", .port = r->nbd_port};
    g_autoptr(GError) error = NULL;
    int fd = colo_addr_connect(&at, SOON_MS * 1000, &error);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char word[8];
    ssize_t n;

    if (fd < 0) { /* refused is nobody; reset, who came while none starts */
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
        return FALSE;
    }
    if (poll(&p, 1, SOON_MS) != 1) {
        rig_dump(r);
        g_error("a client of the disks hears nothing");
    }
    n = recv(fd, word, sizeof(word), MSG_WAITALL);
    close(fd);
    g_assert_true(n <= 0 || !memcmp(word, "NBDMAGIC", sizeof(word)));
    return n > 0;
}

static void wait_greeted(Rig *r)
{
    gint64 end = g_get_monotonic_time() + SOON_MS * G_TIME_SPAN_MILLISECOND;

    while (!is_greeted(r)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

/* Clients find their way to whichever nbdkit there is, or are told. */
static void test_port(void)
{
    RigOptions o = {0};
    Rig *r = start(&o);

    for (int i = 0; i < 5; i++) {
        int old = rig_nbdkit(r);
        gint64 end = g_get_monotonic_time() + SOON_MS * G_TIME_SPAN_MILLISECOND;

        kill_nbdkit(r);
        while (rig_nbdkit(r) == old) {
            g_assert_cmpint(g_get_monotonic_time(), <, end);
            is_greeted(r);
        }
        wait_greeted(r);
    }
    rig_hold_nbdkit(r, TRUE);
    kill_nbdkit(r);
    check_said(r, &r->sec, "nbdkit has ended (exit status 1): error: held",
               SOON_MS);
    for (int i = 0; i < 5; i++) {
        g_assert_false(is_greeted(r));
    }
    rig_hold_nbdkit(r, FALSE);
    wait_greeted(r);
    check_state(r, &r->pri, "active", SOON_MS);
    more_checkpoints(r, 3);
    take_over(r);
    check_end(r);
}

/* Both at once: what was acknowledged is taken over all the same. */
static void test_nbdkit_and_host(void)
{
    for (int i = 0; i < 4; i++) {
        RigOptions o = {.failover = TRUE, .periodic = i % 2};
        Rig *r = start(&o);

        g_usleep(g_test_rand_int_range(0, 40000));
        kill_nbdkit(r);
        rig_kill_host(&r->pri);
        check_takeover(r);
        check_end(r);
    }
}

/*
 * A lost disk is the first sign of the lost host, and the primary's colod
 * lives long enough to hear of it: nothing has passed since, so what the
 * secondary has is not old.
 */
static void test_disk_then_host(void)
{
    RigOptions o = {.failover = TRUE, .heartbeat_timeout_ms = 2000};
    Rig *r = start(&o);

    relay_cut(r->nbd_link, TRUE, TRUE);
    check_said(r, &r->pri, "no checkpoint can be made", SOON_MS);
    g_usleep(100000); /* some heartbeats */
    rig_kill_host(&r->pri);
    check_takeover(r);
    check_end(r);
}

/* A new colod begins anew; the guests live. */
static void test_colods(void)
{
    RigOptions o = {0};
    Rig *r = start(&o);

    for (int i = 0; i < 4; i++) {
        Side *s = i % 2 ? &r->sec : &r->pri;

        proc_kill(s->colod);
        rig_start_colod(r, s);
        check_guest(r, &r->pri);
        check_active(r);
        more_checkpoints(r, 3);
    }
    check_whole(r, &r->pri);
    take_over(r);
    check_end(r);
}

/* After the takeover the disks have to stay, whoever serves them. */
static void test_survivor(void)
{
    RigOptions o = {0};
    Rig *r = start(&o);

    take_over(r);
    kill_nbdkit(r);
    check_whole(r, &r->sec);
    proc_kill(r->sec.colod);
    rig_start_colod(r, &r->sec);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_whole(r, &r->sec);
    check_end(r);
}

/* --- The link to the disks ---------------------------------------------- */

static gboolean is_stale(Side *s)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = rig_colod(s, "query-colo-status", NULL, &error);

    g_assert_no_error(error);
    return json_object_get_boolean_member(json_node_get_object(node), "stale");
}

static void wait_stale(Rig *r, Side *s)
{
    gint64 end = g_get_monotonic_time() + SOON_MS * G_TIME_SPAN_MILLISECOND;

    while (!is_stale(s) && g_get_monotonic_time() < end) {
        g_usleep(2000);
    }
    g_assert_true(is_stale(s));
    check_said(r, s, "grows old", 0);
}

static void test_link(void)
{
    RigOptions o = {.failover = TRUE, .qmp_timeout_ms = 5000};
    Rig *r = start(&o);
    guint mirrored = rig_log_count(&r->pri, "mirrored");

    relay_cut(r->nbd_link, TRUE, TRUE);
    check_state(r, &r->pri, "degraded", SOON_MS);
    check_detail(r, &r->pri, "no checkpoint can be made", SOON_MS);
    check_guest(r, &r->pri);
    check_state(r, &r->pri, "degraded", 0);
    wait_stale(r, &r->sec);
    relay_mend(r->nbd_link);
    check_state(r, &r->pri, "active", SOON_MS);
    more_checkpoints(r, 3);
    g_assert_cmpuint(rig_log_count(&r->pri, "mirrored"), ==, mirrored);
    g_assert_cmpuint(rig_full_copies(r), ==, 1);
    check_whole(r, &r->pri);

    /* What the secondary has is old then: nobody takes over by himself. */
    relay_cut(r->nbd_link, TRUE, TRUE);
    wait_stale(r, &r->sec);
    relay_cut(r->link, TRUE, TRUE);
    rig_kill_host(&r->pri);
    check_detail(r, &r->sec, "had gone on without us", SOON_MS);
    tell(&r->sec, "x-colo-lost-heartbeat");
    check_takeover(r);
    check_end(r);
}

/* --- Ends in order ------------------------------------------------------ */

static void test_quit(void)
{
    RigOptions o = {0};
    Rig *r = start(&o);

    tell(&r->pri, "quit");
    check_exit(r, &r->pri, 0, "");
    g_assert_cmpuint(rig_log_count(&r->pri, "unmirrored"), ==, 2);
    check_whole(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_active(r);
    tell(&r->pri, "x-colo-lost-heartbeat");
    check_state(r, &r->pri, "alone", SOON_MS);
    wait_disk(r, &r->pri, 1, "detached");
    g_assert_cmpuint(rig_log_count(&r->pri, "unmirrored"), ==, 4);
    check_whole(r, &r->pri);
    check_end(r);
}

/* --- Disks that do not fit ---------------------------------------------- */

static void refused(guint pri, guint sec, const char *why)
{
    RigOptions o = {.disks = pri};
    Rig *r = rig_new(&o);

    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    r->o.disks = sec;
    rig_start_qemu(r, &r->sec);
    rig_start_colod(r, &r->sec);
    check_detail(r, &r->pri, why, SOON_MS);
    check_guest(r, &r->pri);
    check_end(r);
}

static void test_refused(void)
{
    RigOptions o = {.disks = 1};
    Rig *r = rig_new(&o);
    g_autofree char *image = rig_disk_path(r, &r->sec, 0);

    g_assert_true(g_file_set_contents(image, "too small", -1, NULL));
    rig_start(r);
    check_detail(r, &r->pri, "as large as", SOON_MS);
    check_end(r);
    refused(2, 1, "give the secondary's colod --disk vdb=PATH");
    refused(1, 2, "which the primary does not replicate");

    o.colod_pri = "--disk nothere";
    r = rig_new(&o);
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_exit(r, &r->pri, 1, "--disk nothere=NODE");
    rig_free(r);
}

int main(int argc, char **argv)
{
    int status;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    rig_set_up();
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim/disks/takeover", test_takeover);
    g_test_add_func("/sim/disks/refused", test_refused);
    g_test_add_func("/sim/disks/host", test_host);
    g_test_add_func("/sim/disks/points", test_points);
    g_test_add_func("/sim/disks/cancelled", test_cancelled);
    g_test_add_func("/sim/disks/nbdkit", test_nbdkit);
    g_test_add_func("/sim/disks/nbdkit-hung", test_nbdkit_hung);
    g_test_add_func("/sim/disks/port", test_port);
    g_test_add_func("/sim/disks/nbdkit-and-host", test_nbdkit_and_host);
    g_test_add_func("/sim/disks/disk-then-host", test_disk_then_host);
    g_test_add_func("/sim/disks/colods", test_colods);
    g_test_add_func("/sim/disks/survivor", test_survivor);
    g_test_add_func("/sim/disks/link", test_link);
    g_test_add_func("/sim/disks/quit", test_quit);
    return g_test_run();
}
