/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients keep their connections when the primary's host loses power (I1,
 * I5).  The oracle are the clients: each knows every byte that it sent and
 * got, and what it gets next can only be right from a guest that knows the
 * same: offsets of downloads, hashes over all lines of a session, ids that
 * only one of the two guests can have made, a counter in memory.
 */
#include "tests/proxy/load.h"

/* What a machine that does nothing else keeps to, docs/ has the figures. */
#define GAP_MS (RIG_TIMEOUT_MS + 500)
/* Other tests may run beside this one. */
#define GAP_PATIENT_MS 5000

typedef struct Case {
    const char *name, *sessions;
    gboolean periodic;
    guint delay_ms;
    int times; /* takeovers, there and back */
} Case;

static void take_over(gconstpointer data)
{
    const Case *c = data;
    const RigOptions o = load_options(c->periodic, c->delay_ms);
    Rig *r = rig_new_protected(&o);
    RigClient *client = rig_client_start(r, c->sessions);
    double worst = 0;

    for (int i = 0; i < c->times; i++) {
        double gap;

        if (i) {
            load_swap(r);
        }
        load_wait_protected(r);
        /* All that is open now is in a checkpoint, some of it is not. */
        load_checkpoint(r);
        load_mark(client);
        load_take_over(r);
        gap = load_mark(client);
        worst = MAX(worst, gap);
    }
    g_test_message("%d takeovers, the longest gap was %.1f ms", c->times,
                   worst);
    g_assert_cmpfloat(worst, <, rig_long_tests() ? GAP_MS : GAP_PATIENT_MS);
    load_end(client);
    rig_free(r);
}

int main(int argc, char **argv)
{
    static const Case few[] = {
        {"colo/mixed", MIXED_LOAD, FALSE, 400, 1},
        {"periodic/mixed", MIXED_LOAD, TRUE, 50, 1},
        /* Nothing asks for a checkpoint: what matters is the comparison. */
        {"colo/compared", "--download 1 --echo 4 --size 4000000", FALSE, 20000,
         1},
    };
    static const Case more[] = {
        /* The same 50 connections through all; short ones leave traces. */
        {"colo/50",
         "--download 5 --upload 5 --tiny 15 --random 5 --counter 5 --echo 10 "
         "--dial 5 --udp 5 --ping 5 --size 60000 --pace 50",
         FALSE, 20000, 50},
        {"periodic/10", MIXED_LOAD, TRUE, 50, 10},
        {"colo/random", "--random 20 --pace 20", FALSE, 20000, 5},
    };

    rig_test_init(&argc, &argv);
    for (gsize i = 0; i < G_N_ELEMENTS(few); i++) {
        g_autofree char *path = g_strconcat("/takeover/", few[i].name, NULL);

        g_test_add_data_func(path, &few[i], take_over);
    }
    for (gsize i = 0; rig_long_tests() && i < G_N_ELEMENTS(more); i++) {
        g_autofree char *path = g_strconcat("/takeover/", more[i].name, NULL);

        g_test_add_data_func(path, &more[i], take_over);
    }
    return g_test_run();
}
