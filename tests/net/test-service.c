/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's services and their clients, with nothing between them but
 * a bridge: what the tests of colo-proxy compare with.
 */
#include "tests/rig/rig.h"

#include <string.h>

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
    static const char *const kinds[] = {
        "download", "upload", "tiny", "short",  "random", "counter", "echo",
        "dial",     "udp",    "ping", "record", "fsync",  "write"};

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

/* The second time is after the client has seen the answer. */
static void wait_broken_twice(gsize since)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    for (;;) {
        g_autofree char *text = NULL;
        const char *at;

        g_file_get_contents(rig->pri.console, &text, NULL, NULL);
        at = strstr(text + since, "DISK BROKEN");
        if (at && strstr(at + 1, "DISK BROKEN")) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("the guest does not find its disk broken");
        }
        g_usleep(20000);
    }
}

/* The guest finds out about a disk that its memory does not fit to. */
static void damaged(void)
{
    static const char *const cases[] = {
        /* The file of a moment ago */
        "run cp /disk/records-0 /disk/x && sleep 1 && "
        "mv /disk/x /disk/records-0 && sync",
        /* Another byte */
        "run printf x | dd of=/disk/records-1 bs=1 seek=30 conv=notrunc && "
        "sync",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        gsize since = rig_console_size(&rig->pri);
        RigClient *c = rig_client_start(rig, "--record 2 --pace 5");
        g_autoptr(JsonObject) end = NULL;

        json_object_unref(rig_client_mark(c, RIG_PATIENCE_S));
        g_assert_true(rig_disk_ok(&rig->pri, since));
        rig_type(&rig->pri, cases[i], NULL, 0);
        wait_broken_twice(since);
        g_assert_false(rig_disk_ok(&rig->pri, since));
        end = rig_client_stop(c);
        g_assert_cmpint(json_object_get_int_member(end, "wrong_bytes"), >, 0);
        rig_client_free(c);
    }
}

/* What was acknowledged is in the image, where others find it. */
static void in_the_image(void)
{
    gsize since = rig_console_size(&rig->pri);
    g_autoptr(JsonObject) end = NULL;

    rig_type(&rig->pri, "fsync 2", "fsync 2 MiB", RIG_PATIENCE_S);
    end = rig_client_run(rig, "--record 3 --count 8 --limit 50",
                         RIG_PATIENCE_S);
    g_assert_cmpint(json_object_get_int_member(end, "wrong_bytes"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(end, "records"), ==, 3 * 7);
    rig_type(&rig->pri, "disk off", "disk off", RIG_PATIENCE_S);
    g_assert_true(rig_disk_ok(&rig->pri, since));
    rig_kill_qemu(&rig->pri);
    g_assert_true(rig_fsck(rig->pri.disk));
    g_assert_cmpuint(rig_count_records(rig->pri.disk, 3), ==, 3 * 7);
}

int main(int argc, char **argv)
{
    RigOptions o = {.linux_guest = TRUE, .net = TRUE, .disk_mib = 64};
    int status;

    rig_test_init(&argc, &argv);
    rig = rig_new(&o);
    rig_start_qemu(&rig->pri);
    rig_wait_boot(&rig->pri);
    g_test_add_func("/service/each-kind", each_kind);
    g_test_add_func("/service/gap", gap);
    g_test_add_func("/service/damaged", damaged);
    g_test_add_func("/service/lost", lost);
    g_test_add_func("/service/in-the-image", in_the_image);
    status = g_test_run();
    rig_free(rig);
    return status;
}
