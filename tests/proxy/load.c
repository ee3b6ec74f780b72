/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients and takeovers, as the tests of colo-proxy want them. */
#include "tests/proxy/load.h"

RigOptions load_options(gboolean periodic, guint delay_ms)
{
    return (RigOptions){
        .linux_guest = TRUE,
        .net = TRUE,
        .ram_mib = 128,
        .periodic = periodic,
        .delay_ms = delay_ms,
        .failover = TRUE,
        .colod = "--ft-timeout 2000 --qmp-timeout 3000",
    };
}

RigSide *load_primary(Rig *r)
{
    return r->pri.primary ? &r->pri : &r->sec;
}

RigSide *load_secondary(Rig *r)
{
    return r->pri.primary ? &r->sec : &r->pri;
}

static const char *worst_kind(JsonObject *figures)
{
    JsonObject *kinds = json_object_get_object_member(figures, "kinds");
    g_autoptr(GList) names = json_object_get_members(kinds);
    const char *worst = "none";
    double gap = -1;

    for (GList *l = names; l; l = l->next) {
        double g = json_object_get_double_member(
            json_object_get_object_member(kinds, l->data), "gap_ms");

        if (g > gap) {
            gap = g;
            worst = l->data;
        }
    }
    return worst;
}

double load_good(JsonObject *figures)
{
    JsonArray *errors = json_object_get_array_member(figures, "errors");
    double gap = json_object_get_double_member(figures, "client_gap_ms");

    for (guint i = 0; i < json_array_get_length(errors); i++) {
        g_test_message("%s", json_array_get_string_element(errors, i));
    }
    g_test_message("the longest gap was %.1f ms (%s), connecting %.1f ms", gap,
                   worst_kind(figures),
                   json_object_get_double_member(figures, "connect_gap_ms"));
    /* With the logs' last lines */
    if (json_object_get_int_member(figures, "wrong_bytes") ||
        json_object_get_int_member(figures, "connections_lost")) {
        rig_die("%" G_GINT64_FORMAT " bytes were wrong, %" G_GINT64_FORMAT
                " connections were lost",
                json_object_get_int_member(figures, "wrong_bytes"),
                json_object_get_int_member(figures, "connections_lost"));
    }
    return gap;
}

double load_mark(RigClient *c)
{
    g_autoptr(JsonObject) o = rig_client_mark(c, RIG_PATIENCE_S);

    return load_good(o);
}

void load_end(RigClient *c)
{
    g_autoptr(JsonObject) o = rig_client_stop(c);

    load_good(o);
    rig_client_free(c);
}

void load_wait_protected(Rig *r)
{
    rig_wait_state(load_primary(r), "active", RIG_PATIENCE_S);
    rig_wait_state(load_secondary(r), "active", RIG_PATIENCE_S);
}

void load_checkpoint(Rig *r)
{
    RigSide *s = load_primary(r);

    /* The first may have begun before. */
    for (int i = 0; i < 2; i++) {
        json_node_unref(rig_qmp(&s->ctl, "colo-checkpoint", NULL));
        rig_wait_checkpoints(s, 1, RIG_PATIENCE_S);
    }
}

void load_take_over(Rig *r)
{
    RigSide *survivor = load_secondary(r);
    gsize since;

    rig_power_cut(load_primary(r));
    if (!r->o.failover) {
        rig_wait_state(survivor, "paused", RIG_PATIENCE_S);
        json_node_unref(rig_qmp(&survivor->ctl, "x-colo-lost-heartbeat", NULL));
    }
    rig_wait_state(survivor, "alone", RIG_PATIENCE_S);
    since = rig_console_size(survivor);
    rig_wait_steps(survivor, 40, RIG_PATIENCE_S);
    g_assert_true(rig_guest_runs(survivor));
    g_assert_true(rig_chain_ok(survivor, since, ""));
    g_assert_true(rig_chain_ok(survivor, 0, RIG_SEAMS));
}

/* The survivor's rewritten connections end before its proxy does. */
static void wait_not_rewritten(RigSide *s)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    while (rig_proxy_int(s, "rewrite.flows")) {
        if (g_get_monotonic_time() > end) {
            rig_die("connections are rewritten without end");
        }
        rig_qmp_pump(&s->px, 20);
    }
}

void load_swap(Rig *r)
{
    wait_not_rewritten(load_secondary(r));
    rig_swap(r);
}
