/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's output at checkpoints, losses and takeovers: what the real
 * colods tell their proxies, and when.
 *
 * I1  Output is released by a commit, or when protection is no longer
 *     claimed, and not before the grace is over.
 * I3  The primary's proxy is blocked before the secondary's guest is heard.
 */
#include "tests/sim/output-check.h"

#include <stdio.h>
#include <string.h>

enum { HB_MS = 600, GRACE_MS = 2 * HB_MS };
/* Where the grace must not end, however busy the machine is. */
enum { LONG_HB_MS = 3000 };

/* --- Order --- */

/* The run state's last change before (or first after) this moment. */
static const SimLine *change(GArray *guest, gint64 at, gboolean after)
{
    const SimLine *found = NULL;

    for (guint i = 0; i < guest->len; i++) {
        const SimLine *l = &g_array_index(guest, SimLine, i);

        if (!g_str_equal(l->word, "stop") && !g_str_equal(l->word, "cont") &&
            !g_str_equal(l->word, "load")) {
            continue;
        }
        if (after && l->time_us > at) {
            return l;
        }
        if (!after && l->time_us <= at) {
            found = l;
        }
    }
    return found;
}

/* A proxy that is late is dropped: it reads the command, and then the end. */
static gboolean was_dropped(GArray *proxy, guint at)
{
    return at + 1 < proxy->len &&
           g_str_equal(g_array_index(proxy, SimLine, at + 1).word, "gone");
}

/*
 * Each of these commands came between those changes of the guest; the last
 * one may be going on just now.
 */
static void check_between(Rig *r, Side *s, const char *word, const char *before,
                          const char *after)
{
    g_autoptr(GArray) proxy = sim_log_read(s->proxy_log);
    g_autoptr(GArray) guest = sim_log_read(s->guest_log);
    const SimLine *last = sim_log_last(proxy, word, 0);

    g_assert_nonnull(last);
    for (guint i = 0; i < proxy->len; i++) {
        const SimLine *l = &g_array_index(proxy, SimLine, i), *b, *a;

        if (!g_str_equal(l->word, word)) {
            continue;
        }
        if (was_dropped(proxy, i)) {
            must(r, rig_output_has(s, "the proxy is lost", 0),
                 "%s's proxy was dropped without a word", s->name);
        } else {
            b = change(guest, l->time_us, FALSE);
            a = change(guest, l->time_us, TRUE);
            must(r, b && g_str_equal(b->word, before),
                 "%s %" G_GUINT64_FORMAT " came after %s", word, l->step,
                 b ? b->word : "nothing");
            must(r, a ? g_str_equal(a->word, after) : l == last,
                 "%s %" G_GUINT64_FORMAT " came before %s", word, l->step,
                 a ? a->word : "nothing");
        }
    }
}

static void test_order(void)
{
    for (int periodic = 0; periodic < 2; periodic++) {
        Rig *r = active_rig(periodic);
        guint n = said(&r->sec, "load");
        WatchEvent e;

        wait_said(r, &r->sec, "load", n + 5);
        check_between(r, &r->pri, "capture", "stop", "cont");
        if (periodic) {
            g_assert_cmpuint(said(&r->sec, "run"), ==, 0);
        } else {
            check_between(r, &r->sec, "run", "load", "cont");
            n = said(&r->sec, "run");
            g_assert_cmpuint(n, >=, 4);
            g_assert_cmpuint(said(&r->sec, "load"), >=, n);
        }
        g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
        take_over(r);
        check_between(r, &r->sec, "run", "load", "cont");
        g_assert_cmpint(time_of(r->sec.proxy_log, "takeover"), >,
                        time_of(r->sec.guest_log, "cont"));
        g_assert_true(watch_wait_event(r->sec.watch, "COLO_EXIT", SOON_MS, &e));
        end(r);
    }
}

/* Until the secondary has it, a capture releases nothing. */
static void test_ack(void)
{
    for (int periodic = 0; periodic < 2; periodic++) {
        Rig *r = active_rig(periodic);
        guint n;

        wait_said(r, &r->pri, "commit", 0);
        relay_cut(r->link, TRUE, FALSE);
        n = said(&r->pri, "capture");
        g_usleep(200 * 1000);
        /* What was acknowledged before may be committed still. */
        for (int i = 0; !g_str_equal(last_said(&r->pri), "capture"); i++) {
            must(r, i < SOON_MS / 2, "captures do not go on");
            g_usleep(2000);
        }
        g_usleep(50 * 1000);
        g_assert_cmpstr(last_said(&r->pri), ==, "capture");
        /* The one under way, and perhaps one that began just before. */
        must(r, said(&r->pri, "capture") <= n + 1, "captures go on");
        relay_mend(r->link);
        n = said(&r->pri, "commit");
        wait_said(r, &r->pri, "commit", n);
        take_over(r);
        end(r);
    }
}

/* A living primary: silent first, then stopped, then the other is heard. */
static void test_block(void)
{
    RigOptions o = {.heartbeat_timeout_ms = LONG_HB_MS};
    Rig *r = start_rig(&o);
    g_autoptr(JsonNode) node = NULL;
    guint n;

    node = rig_colod(&r->sec, "x-colo-lost-heartbeat", NULL, NULL);
    g_assert_nonnull(node);
    check_state(r, &r->pri, "failed", SOON_MS);
    check_state(r, &r->sec, "alone", SOON_MS);
    wait_said(r, &r->pri, "block", 0);
    wait_said(r, &r->sec, "takeover", 0);
    g_assert_cmpuint(said(&r->pri, "block"), ==, 1);
    g_assert_cmpuint(said(&r->sec, "takeover"), ==, 1);
    g_assert_cmpint(time_of(r->pri.proxy_log, "block"), <,
                    time_of(r->pri.guest_log, "stop"));
    g_assert_cmpint(time_of(r->pri.guest_log, "stop"), <,
                    time_of(r->sec.proxy_log, "takeover"));

    /* Both are told again, by the same colod and by another one. */
    rig_start_proxy(r, &r->pri);
    wait_said(r, &r->pri, "block", 1);
    rig_start_proxy(r, &r->sec);
    wait_said(r, &r->sec, "takeover", 1);
    n = said(&r->sec, "takeover");
    proc_kill(r->sec.colod);
    rig_start_colod(r, &r->sec);
    wait_said(r, &r->sec, "takeover", n);
    check_state(r, &r->sec, "alone", SOON_MS);
    proc_kill(r->pri.colod);
    n = said(&r->pri, "block");
    rig_start_colod(r, &r->pri);
    wait_said(r, &r->pri, "block", n);
    g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
    check_guest(r, &r->sec);
    end(r);
}

/* Its QEMU dies: what it sent last must not be heard. */
static void test_vm_died(void)
{
    Rig *r = active_rig(FALSE);

    take_over(r);
    check_state(r, &r->pri, "failed", SOON_MS);
    wait_said(r, &r->pri, "block", 0);
    g_assert_cmpuint(said(&r->pri, "block"), ==, 1);
    g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
    end(r);
}

/* A capture that comes to nothing is taken back. */
static void test_cancel(void)
{
    RigOptions o = {.heartbeat_timeout_ms = LONG_HB_MS};
    Rig *r = start_rig(&o);

    rig_inject(&r->pri, "before", "xen-save-devices-state", "fail", 0);
    wait_said(r, &r->pri, "cancel", 0);
    rig_inject(&r->pri, "before", "xen-save-devices-state", "cont", 0);
    wait_said(r, &r->pri, "cancel", 1);
    check_healed(r);
    g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
    take_over(r);
    end(r);
}

/* --- The proxy asks --- */

static gint64 count_of(Side *s, const char *table, const char *name)
{
    g_autoptr(JsonNode) node = rig_colod(s, "query-colo-stats", NULL, NULL);
    JsonObject *o = json_object_get_object_member(json_node_get_object(node),
                                                  table);

    return json_object_get_int_member_with_default(o, name, 0);
}

static void event(Side *s, const char *name, const char *json)
{
    JsonObject *args = json_object_new();
    g_autoptr(JsonNode) data = json_from_string(json, NULL);

    json_object_set_string_member(args, "name", name);
    json_object_set_member(args, "data", g_steal_pointer(&data));
    rig_proxy(s, "x-sim-event", args);
}

static void test_divergence(void)
{
    RigOptions o = {.delay_ms = 20000};
    Rig *r = start_rig(&o);
    guint n = said(&r->pri, "commit");
    WatchEvent e;

    event(&r->pri, "COLO_PROXY_CHECKPOINT",
          "{\"cause\": \"payload\", \"interface\": \"tap0\", "
          "\"flow\": \"tcp 10.0.0.1:80 > 10.0.0.2:4000\"}");
    wait_said(r, &r->pri, "commit", n);
    for (int i = 0; !watch_last(r->pri.watch, "COLO_CHECKPOINT", 0, &e) ||
                    !g_str_has_prefix(e.reason, "divergence: payload");
         i++) {
        must(r, i < SOON_MS / 2, "no checkpoint says why");
        g_usleep(2000);
    }
    g_assert_cmpint(count_of(&r->pri, "causes", "payload"), ==, 1);
    g_assert_cmpint(count_of(&r->pri, "reasons", "divergence"), ==, 1);
    g_assert_cmpint(count_of(&r->pri, "reasons", "full-copy"), ==, 1);
    check_active(r);

    /* What makes no sense changes nothing. */
    event(&r->pri, "COLO_PROXY_CHECKPOINT", "{\"cause\": 5}");
    event(&r->pri, "COLO_PROXY_PEER", "{}");
    event(&r->pri, "COLO_PROXY_UNKNOWN", "{}");
    event(&r->pri, "COLO_PROXY_PEER", "{\"ready\": true, \"reason\": 3}");
    check_healed(r);
    take_over(r);
    end(r);
}

/* A checkpoint helps, or does not. */
static void test_stalled(void)
{
    RigOptions o = {.delay_ms = 20000};
    Rig *r = start_rig(&o);
    /* One, if the proxy came just after the full copy. */
    gint64 before = count_of(&r->pri, "reasons", "proxy");

    event(&r->pri, "COLO_PROXY_STALLED", "{\"held-ms\": 5000}");
    wait_said(r, &r->pri, "commit", 0);
    check_active(r);
    g_usleep(700 * 1000);
    g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
    g_assert_cmpint(count_of(&r->pri, "reasons", "stalled"), ==, 1);

    relay_cut(r->link, TRUE, FALSE);
    event(&r->pri, "COLO_PROXY_STALLED", "{\"held-ms\": 5000}");
    check_state(r, &r->pri, "degraded", SOON_MS);
    wait_said(r, &r->pri, "pass", 0);
    relay_mend(r->link);
    check_healed(r);
    g_assert_cmpint(count_of(&r->pri, "reasons", "proxy"), ==, before + 1);
    take_over(r);
    end(r);
}

/* --- Graces --- */

static Rig *impatient_rig(const char *more, int heartbeat_ms, gboolean failover)
{
    g_autofree char *pri = g_strconcat("--ft-timeout 200", more, NULL);
    RigOptions o = {.heartbeat_timeout_ms = heartbeat_ms,
                    .failover = failover,
                    .colod_pri = pri};
    Rig *r = start_rig(&o);

    r->o.colod_pri = NULL;
    return r;
}

static Rig *grace_rig(const char *more, int heartbeat_ms)
{
    return impatient_rig(more, heartbeat_ms, FALSE);
}

/* No pass was told for ms. */
static void check_held(Rig *r, int ms)
{
    gint64 until = g_get_monotonic_time() + ms * 1000;

    while (g_get_monotonic_time() < until) {
        must(r, !said(&r->pri, "pass"), "output passed too early");
        g_usleep(5000);
    }
}

/* When the primary came into this state, by its own clock. */
static gint64 state_since(Rig *r, const char *state)
{
    for (guint i = watch_events(r->pri.watch); i-- > 0;) {
        WatchEvent e = watch_event(r->pri.watch, i);

        if (g_str_equal(e.state, state)) {
            return e.time_us;
        }
    }
    must(r, FALSE, "it was never %s", state);
    return 0;
}

/*
 * In this state output is held for as long as the grace, and not much longer.
 */
static void check_grace(Rig *r, const char *state)
{
    int ms;

    check_state(r, &r->pri, state, SOON_MS);
    wait_said(r, &r->pri, "pass", 0);
    ms = (int)((time_of(r->pri.proxy_log, "pass") - state_since(r, state)) /
               1000);
    must(r, ms > GRACE_MS - 150 && ms < GRACE_MS + 1500,
         "output passed after %d ms", ms);
}

/* Only the stream: back within the grace, nothing was released. */
static void test_back(void)
{
    Rig *r = grace_rig("", LONG_HB_MS);

    relay_cut(r->link, TRUE, FALSE);
    check_state(r, &r->pri, "paused", SOON_MS);
    check_held(r, 400);
    relay_mend(r->link);
    check_healed(r);
    g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
    take_over(r);
    end(r);
}

static void test_grace_link(void)
{
    Rig *r = grace_rig("", HB_MS);

    relay_cut(r->link, TRUE, FALSE);
    check_grace(r, "paused");
    relay_mend(r->link);
    check_healed(r);
    take_over(r);
    end(r);
}

static void test_grace_heartbeat(void)
{
    Rig *r = grace_rig("", HB_MS);

    relay_cut(r->link, TRUE, TRUE);
    check_grace(r, "unprotected");
    relay_mend(r->link);
    check_healed(r);
    take_over(r);
    end(r);
}

/* All proxies of the peer's host, then the host: the heartbeat decides. */
static void test_grace_host(void)
{
    Rig *r = grace_rig("", HB_MS);

    /* As it is with hosts: the last heartbeat is before the proxy's end. */
    relay_cut(r->link, TRUE, TRUE);
    g_usleep(HB_MS / 4 * 1000);
    proc_kill(r->sec.proxy);
    check_grace(r, "unprotected");
    end(r);
}

/* Its proxy went first, when the heartbeat still came. */
static void test_grace_proxy_first(void)
{
    Rig *r = grace_rig("", HB_MS);

    proc_kill(r->sec.proxy);
    g_usleep(HB_MS / 4 * 1000);
    relay_cut(r->link, TRUE, TRUE);
    check_grace(r, "unprotected");
    end(r);
}

static Rig *failover_rig(const char *more, int heartbeat_ms)
{
    return impatient_rig(more, heartbeat_ms, TRUE);
}

static void kill_primary(Rig *r, gboolean host)
{
    if (host) {
        rig_kill_host(&r->pri);
    } else {
        proc_kill(r->pri.qemu);
    }
}

/*
 * A guest that was heard without a checkpoint is not taken over by itself,
 * whatever its end is.  The secondary knows before anybody hears the guest.
 */
static void test_old(void)
{
    for (int host = 0; host < 2; host++) {
        Rig *r = failover_rig("", HB_MS);
        g_autoptr(JsonNode) node = NULL;

        relay_cut(r->link, TRUE, FALSE);
        check_said(r, &r->sec, "grows old", SOON_MS);
        wait_said(r, &r->pri, "pass", 0);
        kill_primary(r, host);
        check_detail(r, &r->sec, "had gone on without us", SOON_MS);
        g_usleep(HB_MS * 1000);
        check_state(r, &r->sec, "paused", 0);
        node = rig_colod(&r->sec, "x-colo-lost-heartbeat", NULL, NULL);
        g_assert_nonnull(node);
        check_state(r, &r->sec, "alone", SOON_MS);
        check_guest(r, &r->sec);
        end(r);
    }
}

/* Held for as long as it takes, it is not heard: nor is a checkpoint old. */
static void test_closed_host(void)
{
    Rig *r = failover_rig(" --fail-closed", HB_MS);

    relay_cut(r->link, TRUE, FALSE);
    check_said(r, &r->pri, "(--fail-closed)", SOON_MS);
    check_held(r, 200);
    kill_primary(r, TRUE);
    check_state(r, &r->sec, "alone", SOON_MS);
    wait_said(r, &r->sec, "takeover", 0);
    end(r);
}

/* One that was not is, though the link was lost first. */
static void test_link_first(void)
{
    for (int host = 0; host < 2; host++) {
        Rig *r = failover_rig("", LONG_HB_MS);

        relay_cut(r->link, TRUE, FALSE);
        check_state(r, &r->pri, "paused", SOON_MS);
        g_usleep(100000); /* some heartbeats */
        kill_primary(r, host);
        check_state(r, &r->sec, "alone", LONG_HB_MS + SOON_MS);
        wait_said(r, &r->sec, "takeover", 0);
        g_assert_cmpuint(said(&r->pri, "pass"), ==, 0);
        end(r);
    }
}

/* Said in order: at once, and not after a grace. */
static void test_orderly(void)
{
    for (int i = 0; i < 4; i++) {
        RigOptions o = {.heartbeat_timeout_ms = LONG_HB_MS};
        Rig *r = start_rig(&o);
        g_autoptr(JsonNode) node = NULL;
        gint64 start = g_get_real_time();

        switch (i) {
        case 0:
            node = rig_colod(&r->sec, "quit", NULL, NULL);
            break;
        case 1:
            node = rig_colod(&r->pri, "quit", NULL, NULL);
            break;
        case 2:
            node = rig_colod(&r->pri, "x-colo-lost-heartbeat", NULL, NULL);
            break;
        default:
            rig_inject(&r->pri, NULL, NULL, "guest-shutdown", 0);
        }
        wait_said(r, &r->pri, "pass", 0);
        must(r, time_of(r->pri.proxy_log, "pass") - start < LONG_HB_MS * 1000,
             "output was held on");
        if (i == 1) {
            check_exit(r, &r->pri, 0, "");
        }
        end(r);
    }
}

static void test_fail_closed(void)
{
    Rig *r = grace_rig(" --fail-closed", HB_MS);
    g_autoptr(JsonNode) node = NULL;
    guint n;

    /* Without the peer's proxy: by checkpoints, and only so. */
    proc_kill(r->sec.proxy);
    check_state(r, &r->pri, "degraded", SOON_MS);
    n = said(&r->pri, "commit");
    wait_said(r, &r->pri, "commit", n + 3);
    check_held(r, GRACE_MS + 200);
    rig_start_proxy(r, &r->sec);
    check_healed(r);

    relay_cut(r->link, TRUE, TRUE);
    check_state(r, &r->pri, "unprotected", SOON_MS);
    check_held(r, GRACE_MS + 400);
    check_said(r, &r->pri, "(--fail-closed)", SOON_MS);
    relay_mend(r->link);
    check_healed(r);

    node = rig_colod(&r->pri, "x-colo-lost-heartbeat", NULL, NULL);
    g_assert_nonnull(node);
    wait_said(r, &r->pri, "pass", 0);
    end(r);
}

/* QEMU is started anew where it died; the secondary had lost its copy. */
static void test_unblock(void)
{
    Rig *r = active_rig(FALSE);
    guint n;

    relay_cut(r->link, TRUE, TRUE);
    proc_kill(r->pri.qemu);
    wait_said(r, &r->pri, "block", 0);
    proc_kill(r->sec.colod);
    n = said(&r->pri, "pass");
    rig_start_qemu(r, &r->pri);
    check_state(r, &r->pri, "waiting", SOON_MS);
    g_usleep(700 * 1000); /* no grace ends here: who knows who is heard */
    g_assert_cmpuint(said(&r->pri, "pass"), ==, n);
    relay_mend(r->link);
    rig_start_colod(r, &r->sec);
    check_active(r);
    g_assert_cmpuint(said(&r->pri, "pass"), ==, n + 1);
    take_over(r);
    end(r);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        {"order", test_order},
        {"ack", test_ack},
        {"block", test_block},
        {"vm-died", test_vm_died},
        {"cancel", test_cancel},
        {"divergence", test_divergence},
        {"stalled", test_stalled},
        {"back", test_back},
        {"grace-link", test_grace_link},
        {"grace-heartbeat", test_grace_heartbeat},
        {"grace-host", test_grace_host},
        {"grace-proxy-first", test_grace_proxy_first},
        {"old", test_old},
        {"link-first", test_link_first},
        {"closed-host", test_closed_host},
        {"orderly", test_orderly},
        {"fail-closed", test_fail_closed},
        {"unblock", test_unblock},
    };
    int status;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    g_test_init(&argc, &argv, NULL);
    rig_set_up();
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path =
            g_strdup_printf("/sim/output/%s", tests[i].name);

        g_test_add_func(path, tests[i].func);
    }
    return g_test_run();
}
