/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rule I2, all or nothing: the stream is cut after every frame and inside
 * frames, in both directions, and bits are flipped on the way.  After each
 * of them the secondary's state is one committed epoch, at least the last
 * acknowledged one, and the session goes on from there.
 *
 * COLO_TEST_CUTS: how many cuts each test makes.
 */
#include "sim.h"

#include <stdlib.h>

#define DEFAULT_CUTS 1500
#define FRAMES       17 /* cuts go round through so many of a link's frames */

/*
 * Inside a frame, and each in each frame, for 17 and 24 have no divisor in
 * common: around the header, the fixed part, somewhere, the end.
 */
static const guint32 places[] = {0,  1,  3,  7,   11,  12,  13,   20,
                                 35, 36, 37, 59,  60,  61,  75,   76,
                                 77, 92, 93, 500, 999, 4000, 4200, 9000};

static guint n_cuts(void)
{
    const char *text = g_getenv("COLO_TEST_CUTS");

    return text ? (guint)strtoul(text, NULL, 10) : DEFAULT_CUTS;
}

static void summary(Sim *sim)
{
    g_test_message("%u links, %u commits, %u ACKs lost, %u resumed with a "
                   "part, %u NACKs, %u lost, %u broken by a header, "
                   "%u cancelled, %u in one frame, %u pages sent again",
                   sim->links, sim->commits, sim->acks_lost, sim->resumed,
                   sim->nacks, sim->lost, sim->breaks, sim->cancels,
                   sim->atomics, sim->lost_pages);
}

/* One link that holds: the secondary becomes what the primary is. */
static void heal(Sim *sim)
{
    RelayPlan none = RELAY_PLAN_NONE;

    sim_connect(sim, &none);
    g_assert_cmpuint(sim_checkpoints(sim, 3), >=, 1);
    sim_disconnect(sim);
    g_assert_cmpuint(sim->s.loaded, ==, sim->p.epoch);
}

static void test_forward(gconstpointer data)
{
    Sim *sim = sim_new(1, GPOINTER_TO_INT(data));

    for (guint i = 0; i < n_cuts(); i++) {
        RelayPlan plan = RELAY_PLAN_NONE;

        plan.cut_frame = i % FRAMES;
        plan.cut_at = places[i % G_N_ELEMENTS(places)];
        if (i % 97 == 0) {
            sim_new_session(sim); /* cuts of the first copy */
        }
        sim_connect(sim, &plan);
        sim_checkpoints(sim, FRAMES + 1);
        sim_disconnect(sim);
        if (i % 13 == 0) {
            heal(sim);
        }
    }
    heal(sim);
    summary(sim);
    g_assert_cmpuint(sim->resumed, >, n_cuts() / 20);
    g_assert_cmpuint(sim->cancels, >, 0);
    g_assert_cmpuint(sim->atomics, >, 0);
    sim_free(sim);
}

/* The receiver's answers are lost, whole or in part. */
static void test_backward(gconstpointer data)
{
    Sim *sim = sim_new(2, GPOINTER_TO_INT(data));
    guint cuts = MAX(n_cuts() / 4, 60);

    for (guint i = 0; i < cuts; i++) {
        RelayPlan plan = RELAY_PLAN_NONE;

        plan.back_cut = i % 57;
        if (i % 41 == 0) {
            sim_new_session(sim);
        }
        sim_connect(sim, &plan);
        sim_checkpoints(sim, 4);
        sim_disconnect(sim);
    }
    heal(sim);
    summary(sim);
    g_assert_cmpuint(sim->acks_lost, >, cuts / 10);
    sim_free(sim);
}

/*
 * A bit flips anywhere on its way, and perhaps the link breaks a little
 * later.
 */
static void test_flip(gconstpointer data)
{
    Sim *sim = sim_new(3, GPOINTER_TO_INT(data));
    guint cuts = MAX(n_cuts() / 2, 100), noticed = 0;

    for (guint i = 0; i < cuts; i++) {
        RelayPlan plan = RELAY_PLAN_NONE;
        guint before = sim->nacks + sim->lost, cancels = sim->cancels;
        gboolean cut = i % 3 == 0 || i % 5 == 0;

        plan.flip_frame = i % FRAMES;
        plan.flip_at = places[i % G_N_ELEMENTS(places)];
        plan.flip_bit = i / G_N_ELEMENTS(places) % 8;
        if (i % 3 == 0) {
            plan.cut_frame = plan.flip_frame + (guint32)(i / 3 % 5);
            plan.cut_at = plan.flip_at + 1;
        }
        if (i % 5 == 0) {
            plan.back_cut = i / 5 % 90; /* a NACK is lost, too */
        }
        sim_connect(sim, &plan);
        sim_checkpoints(sim, 5);
        /*
         * Other compressed bytes may well mean the same data, and nobody
         * answers for a transaction that was given up.
         */
        if (!cut && sim->coding == FT_CODING_NONE && sim->cancels == cancels &&
            relay_flipped(sim->relay)) {
            g_assert_cmpuint(sim->nacks + sim->lost, ==, before + 1);
            noticed++;
        }
        sim_disconnect(sim);
    }
    heal(sim);
    summary(sim);
    g_assert_cmpuint(noticed, >, 0);
    sim_free(sim);
}

/*
 * A bit flips where the next frame's place is not in doubt: the transaction
 * is refused, the link holds, and what was sent wrong is sent again on it.
 */
static void test_flip_payload(gconstpointer data)
{
    Sim *sim = sim_new(5, GPOINTER_TO_INT(data));
    guint flips = MAX(n_cuts() / 5, 48);

    sim->steadfast = TRUE;
    for (guint i = 0; i < flips; i++) {
        RelayPlan plan = RELAY_PLAN_NONE;

        plan.flip_payload = TRUE;
        plan.flip_frame = i % 3; /* three checkpoints have as many */
        plan.flip_bit = i % 8;
        sim_connect(sim, &plan);
        g_assert_cmpuint(sim_checkpoints(sim, 3), >=, 2);
        g_assert_true(relay_flipped(sim->relay));
        g_assert_cmpuint(sim->nacks, ==, i + 1);
        sim_disconnect(sim);
    }
    g_assert_cmpuint(sim->lost, ==, 0);
    heal(sim);
    summary(sim);
    sim_free(sim);
}

/*
 * A bit flips in the header of BEGIN, a CONTINUE or an ATOMIC: what follows
 * it cannot be trusted to be a frame, so the link ends, and the session goes
 * on over the next one.
 */
static void test_flip_header(gconstpointer data)
{
    Sim *sim = sim_new(6, GPOINTER_TO_INT(data));
    guint bits = FT_HEADER_LEN * 8, links = 0;
    guint every = n_cuts() < DEFAULT_CUTS ? 5 : 1;

    for (guint i = 0; i < 2 * bits; i += every) {
        RelayPlan plan = RELAY_PLAN_NONE;

        plan.flip_frame = i / bits;
        plan.flip_at = i % bits / 8;
        plan.flip_bit = i % 8;
        sim_connect(sim, &plan);
        g_assert_cmpuint(sim_checkpoints(sim, 3), <=, plan.flip_frame);
        g_assert_true(relay_flipped(sim->relay));
        g_assert_cmpuint(sim->lost, ==, ++links);
        sim_disconnect(sim);
        heal(sim);
    }
    g_assert_cmpuint(sim->nacks, ==, 0);
    summary(sim);
    sim_free(sim);
}

/* The disk cannot be sealed: that checkpoint never was, on either side. */
static void test_refused(void)
{
    RelayPlan none = RELAY_PLAN_NONE;
    Sim *sim = sim_new(4, FALSE);

    sim_connect(sim, &none);
    g_assert_cmpuint(sim_checkpoints(sim, 1), ==, 1);
    for (guint i = 0; i < 50; i++) {
        g_atomic_int_set(&sim->s.refuse_next, TRUE);
        g_assert_cmpuint(sim_checkpoints(sim, 1), ==, 0);
        g_assert_cmpuint(sim->s.sealed, ==, sim->p.epoch);
        g_assert_cmpuint(sim_checkpoints(sim, 1), ==, 1);
    }
    sim_disconnect(sim);
    g_assert_cmpuint(sim->nacks, ==, 50);
    sim_free(sim);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ft/I2/cut/periodic", GINT_TO_POINTER(FALSE),
                         test_forward);
    g_test_add_data_func("/ft/I2/cut/colo", GINT_TO_POINTER(TRUE),
                         test_forward);
    g_test_add_data_func("/ft/I2/answers-lost/periodic",
                         GINT_TO_POINTER(FALSE), test_backward);
    g_test_add_data_func("/ft/I2/answers-lost/colo", GINT_TO_POINTER(TRUE),
                         test_backward);
    g_test_add_data_func("/ft/I2/flip/periodic", GINT_TO_POINTER(FALSE),
                         test_flip);
    g_test_add_data_func("/ft/I2/flip/colo", GINT_TO_POINTER(TRUE),
                         test_flip);
    g_test_add_data_func("/ft/I2/flip-payload/periodic", GINT_TO_POINTER(FALSE),
                         test_flip_payload);
    g_test_add_data_func("/ft/I2/flip-payload/colo", GINT_TO_POINTER(TRUE),
                         test_flip_payload);
    g_test_add_data_func("/ft/I2/flip-header/periodic", GINT_TO_POINTER(FALSE),
                         test_flip_header);
    g_test_add_data_func("/ft/I2/flip-header/colo", GINT_TO_POINTER(TRUE),
                         test_flip_header);
    g_test_add_func("/ft/I4/refused", test_refused);
    return g_test_run();
}
