/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each dirty tracker with a real guest that writes all the time: after
 * several dozen checkpoints a takeover finds no page missing.
 */
#include "tests/rig/rig.h"

#include <string.h>

static char *tracker_in_use(RigSide *s)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-status", NULL);

    return g_strdup(
        json_object_get_string_member(json_node_get_object(node), "tracker"));
}

static void expect_tracker(RigSide *s, const char *name)
{
    g_autofree char *now = tracker_in_use(s);

    g_assert_cmpstr(now, ==, name);
}

static gboolean kernel_has_soft_dirty(void)
{
    g_autofree char *smaps = NULL;

    /* VmFlags tell "sd" for every mapping that is new since the last clear. */
    return g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL) &&
           g_regex_match_simple("^VmFlags:.* sd", smaps, G_REGEX_MULTILINE, 0);
}

static void protect_and_take_over(Rig *r, guint checkpoints)
{
    guint64 committed;
    gsize since;

    rig_type(&r->pri, "load 4 100", "load ", RIG_PATIENCE_S);
    rig_wait_checkpoints(&r->pri, checkpoints, 2 * RIG_PATIENCE_S);
    committed = rig_step(&r->pri);
    rig_wait_checkpoints(&r->pri, 3, RIG_PATIENCE_S);
    g_assert_cmpint(rig_int(&r->pri, "query-colo-stats", "pages-sent"), >,
                    checkpoints * 100);
    rig_power_cut(&r->pri);
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    since = rig_console_size(&r->sec);
    rig_wait_steps(&r->sec, 40, RIG_PATIENCE_S);
    g_assert_cmpuint(rig_first_step(&r->sec, since), >, committed);
    g_assert_true(rig_chain_ok(&r->sec, since, ""));
    g_assert_true(rig_chain_ok(&r->sec, 0, RIG_SEAMS));
}

static void track(gconstpointer name)
{
    RigOptions o = {.tracker = name, .delay_ms = 100, .failover = TRUE};
    Rig *r;

    if (g_str_equal(name, "soft-dirty") && !kernel_has_soft_dirty()) {
        g_test_skip("this kernel has no soft-dirty bits");
        return;
    }
    r = rig_new_protected(&o);
    expect_tracker(&r->pri, name);
    expect_tracker(&r->sec, name);
    protect_and_take_over(r, 36);
    rig_free(r);
}

/* Without colo-qemu another way is found by itself. */
static void plain_qemu(void)
{
    RigOptions o = {.plain = TRUE, .delay_ms = 100, .failover = TRUE};
    Rig *r = rig_new_protected(&o);

    expect_tracker(&r->pri, kernel_has_soft_dirty() ? "soft-dirty" : "compare");
    protect_and_take_over(r, 5);
    rig_free(r);
}

/* A tracker that cannot work is no reason to run without one. */
static void refused(void)
{
    RigOptions o = {.plain = TRUE, .tracker = "uffd"};
    Rig *r = rig_new(&o);
    g_autofree char *log = NULL;

    rig_start_qemu(&r->pri);
    rig_wait_boot(&r->pri);
    rig_spawn_colod(&r->pri);
    g_assert_cmpint(rig_wait_exit(&r->pri.colod, RIG_PATIENCE_S), ==, 1);
    g_assert_true(g_file_get_contents(r->pri.log, &log, NULL, NULL));
    g_assert_nonnull(strstr(log, "colo-qemu"));
    g_assert_true(rig_guest_runs(&r->pri));
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_data_func("/trackers/uffd", "uffd", track);
    g_test_add_data_func("/trackers/compare", "compare", track);
    g_test_add_data_func("/trackers/soft-dirty", "soft-dirty", track);
    g_test_add_func("/trackers/plain-qemu", plain_qemu);
    g_test_add_func("/trackers/refused", refused);
    return g_test_run();
}
