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
/* A lost SYN is sent again after a second (RFC 6298). */
#define SYN_MS 1000
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

/*
 * What clients send while no guest is there is not lost: those who connect
 * meanwhile need not try again.
 */
static void unheard(void)
{
    const RigOptions o = load_options(FALSE, 20000);
    Rig *r = rig_new_protected(&o);
    RigClient *before =
        rig_client_start(r, "--short 4 --upload 2 --size 200000 --pace 50");
    RigClient *meanwhile;
    g_autoptr(JsonObject) figures = NULL;
    RigEvent *alone;
    gint64 killed;
    double took, gap;

    load_checkpoint(r);
    load_mark(before);
    killed = g_get_real_time();
    rig_power_cut(&r->pri);
    meanwhile = rig_client_spawn(r, "--short 8 --count 1");
    alone = rig_qmp_wait(&r->sec.ctl, 0, "COLO_STATE", "state", "alone",
                         RIG_PATIENCE_S);
    took = (double)(alone->time_us - killed) / 1e3;
    figures = rig_client_wait(meanwhile, RIG_PATIENCE_S);
    load_good(figures);
    gap = json_object_get_double_member(figures, "connect_gap_ms");
    g_test_message("taken over after %.1f ms", took);
    g_assert_cmpint(json_object_get_int_member(figures, "exchanges"), ==, 8);
    g_assert_cmpint(rig_proxy_int(&r->sec, "standby.tap0.unheard"), >=, 8);
    g_assert_cmpfloat(gap, <, MAX(SYN_MS, took + SYN_MS / 2.0));
    load_mark(before);
    rig_client_free(meanwhile);
    load_end(before);
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
    g_test_add_func("/takeover/unheard", unheard);
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
