/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random deaths on real guests: QEMU, colod, host, links; either side, any
 * moment.  Each time the guest that should live does (I2), and alone (I3);
 * then protection is brought back, with the roles as they are now.
 *
 * COLO_KILLS says how many (at most 20 here); --seed repeats a run.
 */
#include "tests/rig/rig.h"

#include <signal.h>
#include <stdlib.h>

typedef enum {
    PRIMARY_QEMU,
    PRIMARY_COLOD,       /* and started again at once */
    PRIMARY_COLOD_STAYS, /* dead: the fence ends its guest */
    PRIMARY_HOST,
    SECONDARY_QEMU,
    SECONDARY_COLOD,
    SECONDARY_HOST,
    REPLICATION_LINK, /* for a while */
    ALL_LINKS,
    N_KILLS,
} Kill;

/* What comes out of it. */
typedef enum {
    TAKEOVER,
    UNPROTECTED, /* the primary goes on and says so */
    HEALS,       /* by itself */
    EITHER,      /* it heals if it is back within the heartbeat's timeout */
} Outcome;

static const struct {
    const char *name;
    Outcome outcome;
} kills[N_KILLS] = {
    [PRIMARY_QEMU] = {"the primary's QEMU", TAKEOVER},
    [PRIMARY_COLOD] = {"the primary's colod, started again", EITHER},
    [PRIMARY_COLOD_STAYS] = {"the primary's colod", TAKEOVER},
    [PRIMARY_HOST] = {"the primary's host", TAKEOVER},
    [SECONDARY_QEMU] = {"the secondary's QEMU", UNPROTECTED},
    [SECONDARY_COLOD] = {"the secondary's colod", UNPROTECTED},
    [SECONDARY_HOST] = {"the secondary's host", UNPROTECTED},
    [REPLICATION_LINK] = {"the replication link", HEALS},
    [ALL_LINKS] = {"all links", TAKEOVER}, /* as the fence decides */
};

typedef struct Pair {
    Rig *r;
    RigSide *primary, *secondary;
    gsize since; /* of the primary's console: from here on it has no seams */
} Pair;

static void strike(Pair *p, Kill kill_what)
{
    Rig *r = p->r;

    switch (kill_what) {
    case PRIMARY_QEMU:
        rig_kill_qemu(p->primary);
        break;
    case PRIMARY_COLOD:
        rig_kill_colod(p->primary, SIGKILL);
        rig_start_colod(p->primary);
        break;
    case PRIMARY_COLOD_STAYS:
        rig_kill_colod(p->primary, SIGKILL);
        break;
    case PRIMARY_HOST:
        rig_power_cut(p->primary);
        break;
    case SECONDARY_QEMU:
        rig_kill_qemu(p->secondary);
        break;
    case SECONDARY_COLOD:
        rig_kill_colod(p->secondary, SIGKILL);
        break;
    case SECONDARY_HOST:
        rig_power_cut(p->secondary);
        break;
    case REPLICATION_LINK:
        rig_link(r, "repl", FALSE);
        g_usleep((gulong)g_test_rand_int_range(0, 2000000));
        rig_link(r, "repl", TRUE);
        break;
    default:
        rig_link(r, "repl", FALSE);
        rig_link(r, "hb", FALSE);
        break;
    }
}

static gboolean is_in(RigSide *s, const char *state)
{
    g_autofree char *now = s->ctl.client ? rig_state(s) : NULL;

    return !g_strcmp0(now, state);
}

static gboolean qemu_is_dead(const RigSide *s)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)s->qemu);
    g_autofree char *stat = NULL;
    const char *end;

    if (!s->qemu || !g_file_get_contents(path, &stat, NULL, NULL)) {
        return TRUE;
    }
    end = g_strrstr(stat, ")");
    return end && end[1] && end[2] == 'Z';
}

/* TRUE: the secondary took over. FALSE: the primary goes on. */
static gboolean wait_outcome(Pair *p, Outcome o)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    for (;;) {
        gboolean alone = is_in(p->secondary, "alone");

        if (alone && (o == TAKEOVER || o == EITHER)) {
            return TRUE;
        }
        if (alone) {
            rig_die("the secondary took over from a primary that lives");
        }
        if (o == UNPROTECTED && is_in(p->primary, "unprotected")) {
            return FALSE;
        }
        if ((o == HEALS || o == EITHER) && is_in(p->primary, "active") &&
            is_in(p->secondary, "active")) {
            return FALSE;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("neither a takeover nor a primary that goes on");
        }
        g_usleep(10000);
    }
}

/* The secondary's guest is the only one, whole, and becomes the primary. */
static void follow_takeover(Pair *p)
{
    RigSide *fresh = p->primary;
    gsize since;

    g_assert_true(qemu_is_dead(p->primary)); /* I3 */
    since = rig_console_size(p->secondary);
    rig_wait_steps(p->secondary, 10, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(p->secondary, 0, RIG_SEAMS));
    rig_link(p->r, "repl", TRUE);
    rig_link(p->r, "hb", TRUE);
    rig_swap(p->r);
    p->primary = p->secondary;
    p->secondary = fresh;
    p->since = since;
}

static void bring_secondary_back(Pair *p)
{
    RigSide *s = p->secondary;

    rig_wait_steps(p->primary, 3, RIG_PATIENCE_S);
    rig_link(p->r, "repl", TRUE);
    rig_link(p->r, "hb", TRUE);
    if (s->ns < 0) {
        rig_power_on(s);
    }
    if (!s->qemu) {
        rig_start_qemu(s);
    }
    if (!s->colod) {
        rig_start_colod(s);
    }
}

static void kill_at_random(void)
{
    const char *env = g_getenv("COLO_KILLS");
    int n = env ? CLAMP(atoi(env), 1, 20) : rig_long_tests() ? 20 : 9;
    RigOptions o = {.delay_ms = 50,
                    .failover = TRUE,
                    .colod = "--ft-timeout 1000 --qmp-timeout 2000"};
    Pair p = {.r = rig_new_protected(&o)};
    int first = g_test_rand_int_range(0, N_KILLS);

    p.primary = &p.r->pri;
    p.secondary = &p.r->sec;
    for (int i = 0; i < n; i++) {
        /* Each kind in turn, from anywhere, so that few runs have all. */
        Kill k = (Kill)((first + i * 2) % N_KILLS);

        rig_type(p.primary, i % 3 ? "load 4 50" : "idle", NULL, 0);
        rig_wait_checkpoints(p.primary, 2, RIG_PATIENCE_S);
        g_usleep((gulong)g_test_rand_int_range(0, 100000));
        g_test_message("%d of %d: %s", i + 1, n, kills[k].name);
        strike(&p, k);
        if (wait_outcome(&p, kills[k].outcome)) {
            follow_takeover(&p);
        } else {
            bring_secondary_back(&p);
        }
        rig_wait_state(p.primary, "active", RIG_PATIENCE_S);
        rig_wait_state(p.secondary, "active", RIG_PATIENCE_S);
        g_assert_true(rig_chain_ok(p.primary, p.since, ""));
    }
    rig_free(p.r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_func("/kills/random", kill_at_random);
    return g_test_run();
}
