/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeovers on real guests, whatever ends the primary: the chain goes on
 * unbroken from a committed checkpoint, and one guest is left.
 */
#include "tests/rig/rig.h"

#include <signal.h>

typedef enum {
    KILL_QEMU,
    KILL_HOST,
    ASK_SECONDARY, /* x-colo-lost-heartbeat there */
    ASK_PRIMARY,   /* ends replication: the primary's guest goes on */
} End;

static const char *const ends[] = {"qemu", "host", "ask-secondary",
                                   "ask-primary"};

typedef struct Case {
    const char *machine;
    guint smp;
    gboolean periodic;
    End end;
    guint ram_mib;
} Case;

static void expect_exit(RigSide *s, const char *reason)
{
    RigEvent *ev =
        rig_qmp_wait(&s->ctl, 0, "COLO_EXIT", NULL, NULL, RIG_PATIENCE_S);

    g_assert_cmpstr(json_object_get_string_member(ev->data, "mode"), ==,
                    s->primary ? "primary" : "secondary");
    g_assert_cmpstr(json_object_get_string_member(ev->data, "reason"), ==,
                    reason);
}

/* The survivor's chain, from the takeover on and before. */
static void expect_unbroken(RigSide *s, gsize since, guint64 committed)
{
    guint64 first;

    rig_wait_steps(s, 40, RIG_PATIENCE_S); /* a whole sweep of the pages */
    g_assert_true(rig_guest_runs(s));
    first = rig_first_step(s, since);
    g_assert_cmpuint(first, >, committed);
    g_assert_true(rig_chain_ok(s, since, ""));
    g_assert_true(rig_chain_ok(s, 0, RIG_SEAMS));
}

/* I3: the primary's guest had stopped before the secondary's was alone. */
static void expect_stopped_before(RigSide *pri, const RigEvent *alone)
{
    RigEvent *stop = NULL;
    guint at = 0;

    rig_qmp_pump(&pri->mon, 50);
    g_assert_false(rig_guest_runs(pri));
    g_assert_true(rig_stands_still(pri, 300));
    for (RigEvent *ev;
         (ev = rig_qmp_find(&pri->mon, at, "STOP", NULL, NULL, &at));) {
        stop = ev;
    }
    g_assert_nonnull(stop);
    g_assert_cmpint(stop->time_us, <=, alone->time_us);
}

static void secondary_survives(Rig *r, const Case *c, guint64 committed,
                               gsize console)
{
    gboolean died = c->end == KILL_QEMU || c->end == KILL_HOST;
    gint64 acknowledged, epoch;
    RigEvent *alone;

    alone = rig_qmp_wait(&r->sec.ctl, 0, "COLO_STATE", "state", "alone",
                         RIG_PATIENCE_S);
    expect_exit(&r->sec, died ? "error" : "request");
    if (c->end != KILL_HOST) {
        expect_exit(&r->pri, "error");
        rig_wait_state(&r->pri, "failed", RIG_PATIENCE_S);
    }
    if (c->end == ASK_SECONDARY) {
        expect_stopped_before(&r->pri, alone);
    }

    /* I1, I4: what the primary was told to be held is what runs here. */
    acknowledged = rig_epoch(&r->pri);
    epoch = rig_int(&r->sec, "query-colo-status", "epoch");
    g_assert_cmpint(acknowledged, >, 0);
    g_assert_cmpint(epoch, >=, acknowledged);
    g_assert_cmpint(epoch, <=, acknowledged + 1);

    if (c->periodic) {
        /* It never ran before; it goes on where the primary was. */
        g_assert_cmpuint(console, ==, 0);
        expect_unbroken(&r->sec, 0, committed);
        g_assert_cmpuint(rig_first_step(&r->sec, 0), <=, rig_step(&r->pri) + 1);
    } else {
        expect_unbroken(&r->sec, rig_console_size(&r->sec), committed);
    }
}

static void primary_goes_on(Rig *r)
{
    rig_wait_state(&r->pri, "alone", RIG_PATIENCE_S);
    expect_exit(&r->pri, "request");
    expect_exit(&r->sec, "request");
    rig_wait_state(&r->sec, "waiting", RIG_PATIENCE_S);
    /* I3 */
    g_assert_false(rig_guest_runs(&r->sec));
    g_assert_true(rig_stands_still(&r->sec, 300));
    rig_wait_steps(&r->pri, 40, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->pri, 0, ""));
}

static RigOptions options(const Case *c)
{
    return (RigOptions){
        .machine = c->machine,
        .smp = c->smp,
        .linux_guest = c->smp > 1 || c->ram_mib,
        .ram_mib = c->ram_mib,
        .periodic = c->periodic,
        .delay_ms = 100,
        .failover = TRUE,
    };
}

static void take_over(gconstpointer data)
{
    const Case *c = data;
    RigOptions o = options(c);
    Rig *r = rig_new_protected(&o);
    guint64 committed;
    gsize console;

    rig_type(&r->pri, c->ram_mib ? "load 64 500" : "load 2 100", "load ",
             RIG_PATIENCE_S);
    rig_wait_checkpoints(&r->pri, 6, RIG_PATIENCE_S);
    committed = rig_step(&r->pri);
    /* Of these at least one was captured after that step. */
    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    console = rig_console_size(&r->sec);

    switch (c->end) {
    case KILL_QEMU:
        kill(r->pri.qemu, SIGKILL);
        break;
    case KILL_HOST:
        rig_power_cut(&r->pri);
        break;
    case ASK_SECONDARY:
        json_node_unref(rig_qmp(&r->sec.ctl, "x-colo-lost-heartbeat", NULL));
        break;
    case ASK_PRIMARY:
        json_node_unref(rig_qmp(&r->pri.ctl, "x-colo-lost-heartbeat", NULL));
        break;
    }
    if (c->end == ASK_PRIMARY) {
        primary_goes_on(r);
    } else {
        secondary_survives(r, c, committed, console);
    }
    rig_free(r);
}

/* The survivor is protected again, and taken over from, too. */
static void there_and_back(gconstpointer data)
{
    RigOptions o = {.delay_ms = 100, .failover = TRUE};
    Rig *r = rig_new_protected(&o);
    RigSide *primary = &r->pri, *secondary = &r->sec;

    for (int i = 0; i < 2; i++) {
        gsize since;

        rig_wait_checkpoints(primary, 5, RIG_PATIENCE_S);
        rig_power_cut(primary);
        rig_wait_state(secondary, "alone", RIG_PATIENCE_S);
        since = rig_console_size(secondary);
        rig_wait_steps(secondary, 10, RIG_PATIENCE_S);
        rig_swap(r);
        primary = i ? &r->pri : &r->sec;
        secondary = i ? &r->sec : &r->pri;
        rig_wait_state(primary, "active", RIG_PATIENCE_S);
        rig_wait_state(secondary, "active", RIG_PATIENCE_S);
        g_assert_true(rig_chain_ok(primary, since, ""));
    }
    rig_free(r);
}

static void add(const Case *c)
{
    g_autofree char *path = g_strdup_printf(
        "/takeover/%s/%s-%u%s/%s", ends[c->end], c->machine, c->smp,
        c->ram_mib ? "-large" : "", c->periodic ? "periodic" : "colo");

    g_test_add_data_func(path, c, take_over);
}

int main(int argc, char **argv)
{
    static const Case few[] = {
        {"pc", 1, FALSE, KILL_QEMU, 0},     {"pc", 1, FALSE, KILL_HOST, 0},
        {"pc", 1, FALSE, ASK_SECONDARY, 0}, {"pc", 1, FALSE, ASK_PRIMARY, 0},
        {"q35", 1, TRUE, KILL_QEMU, 0},     {"q35", 1, TRUE, KILL_HOST, 0},
        {"q35", 1, TRUE, ASK_SECONDARY, 0}, {"q35", 1, TRUE, ASK_PRIMARY, 0},
        {"q35", 2, FALSE, KILL_HOST, 0},    {"pc", 2, TRUE, KILL_QEMU, 0},
    };
    /* The rest; and RAM on both sides of the hole below 4 GiB */
    static const Case more[] = {
        {"q35", 1, FALSE, KILL_QEMU, 0},    {"q35", 1, FALSE, KILL_HOST, 0},
        {"pc", 1, TRUE, KILL_QEMU, 0},      {"pc", 1, TRUE, KILL_HOST, 0},
        {"pc", 2, FALSE, KILL_HOST, 0},     {"pc", 2, FALSE, ASK_SECONDARY, 0},
        {"q35", 2, FALSE, KILL_QEMU, 0},    {"q35", 2, TRUE, KILL_HOST, 0},
        {"q35", 2, TRUE, ASK_SECONDARY, 0}, {"q35", 1, FALSE, KILL_HOST, 4608},
        {"pc", 1, TRUE, KILL_QEMU, 4608},
    };

    rig_test_init(&argc, &argv);
    for (gsize i = 0; i < G_N_ELEMENTS(few); i++) {
        add(&few[i]);
    }
    for (gsize i = 0; rig_long_tests() && i < G_N_ELEMENTS(more); i++) {
        add(&more[i]);
    }
    g_test_add_data_func("/takeover/there-and-back", NULL, there_and_back);
    return g_test_run();
}
