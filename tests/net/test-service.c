/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's services and their clients, with nothing between them but
 * a bridge: what the tests of colo-proxy compare with.
 */
#include "tests/rig/rig.h"

static Rig *rig;

static gint64 figure(JsonObject *o, const char *kind, const char *name)
{
    JsonObject *kinds = json_object_get_object_member(o, "kinds");

    return json_object_get_int_member(
        json_object_get_object_member(kinds, kind), name);
}

/* Each kind of session, some exchanges of each, both families. */
static void each_kind(void)
{
    static const char *const kinds[] = {"download", "upload",  "tiny", "short",
                                        "random",   "counter", "echo", "dial",
                                        "udp",      "ping"};

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *options = g_strdup_printf(
            "--%s 4 --count 5 --size 3000000 --limit 50", kinds[i]);
        g_autoptr(JsonObject) o = rig_client_run(rig, options, RIG_PATIENCE_S);

        g_assert_cmpint(figure(o, kinds[i], "exchanges"), ==, 20);
        g_assert_cmpint(figure(o, kinds[i], "wrong_bytes"), ==, 0);
        g_assert_cmpint(json_object_get_int_member(o, "connections_lost"), ==,
                        0);
    }
}

/* What stands still is seen as a gap, and sessions survive it. */
static void gap(void)
{
    RigClient *c = rig_client_start(
        rig, "--download 2 --tiny 2 --echo 2 --udp 2 --pace 5");
    g_autoptr(JsonObject) before = NULL, o = NULL, end = NULL;

    before = rig_client_mark(c, RIG_PATIENCE_S);
    rig_operator(&rig->pri, "stop", NULL);
    g_usleep(700000);
    rig_operator(&rig->pri, "cont", NULL);
    o = rig_client_mark(c, RIG_PATIENCE_S);
    g_assert_cmpfloat(json_object_get_double_member(o, "client_gap_ms"), >=,
                      600);
    g_assert_cmpint(json_object_get_int_member(o, "connections"), ==, 6);
    end = rig_client_stop(c);
    g_assert_cmpint(json_object_get_int_member(end, "connections_lost"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(end, "wrong_bytes"), ==, 0);
    rig_client_free(c);
}

/* A guest that begins anew: every connection is lost, and that is said. */
static void lost(void)
{
    RigClient *c = rig_client_start(rig, "--echo 4 --random 4 --pace 5");
    g_autoptr(JsonObject) end = NULL;

    rig_kill_qemu(&rig->pri);
    rig_start_qemu(&rig->pri);
    rig_wait_boot(&rig->pri);
    json_object_unref(rig_client_mark(c, RIG_PATIENCE_S));
    end = rig_client_stop(c);
    g_assert_cmpint(json_object_get_int_member(end, "connections_lost"), >=, 8);
    rig_client_free(c);
}

int main(int argc, char **argv)
{
    RigOptions o = {.linux_guest = TRUE, .net = TRUE};
    int status;

    rig_test_init(&argc, &argv);
    rig = rig_new(&o);
    rig_start_qemu(&rig->pri);
    rig_wait_boot(&rig->pri);
    g_test_add_func("/service/each-kind", each_kind);
    g_test_add_func("/service/gap", gap);
    g_test_add_func("/service/lost", lost);
    status = g_test_run();
    rig_free(rig);
    return status;
}
