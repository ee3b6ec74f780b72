/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secondary has no room to seal its disks: the guest and its clients go
 * on, nothing is copied anew, nobody takes over what has grown old, and when
 * there is room a checkpoint heals all.
 */
#include "tests/disk/disk.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define REFUSED "did not seal its disks: No space left on device"

/*
 * As long as the file is there nbdkit refuses what the primary writes, with
 * ENOSPC; the guest has let go of its disk, so that is the seal.
 */
static char *wrap_nbdkit(Rig *r)
{
    const char *nbdkit = g_getenv("COLO_NBDKIT");
    g_autofree char *path = g_build_filename(r->dir, "nbdkit", NULL);
    char *file = g_build_filename(r->dir, "no-room", NULL);
    g_autofree char *text = g_strdup_printf(
        "#!/bin/sh\n"
        "[ \"$1\" != --dump-config ] || exec %s \"$@\"\n"
        "exec %s --filter=error \"$@\" error-pwrite=ENOSPC "
        "error-pwrite-rate=100%% error-pwrite-file=%s\n",
        nbdkit ? nbdkit : "nbdkit", nbdkit ? nbdkit : "nbdkit", file);

    if (!g_file_set_contents(path, text, -1, NULL) || g_chmod(path, 0755) < 0) {
        rig_die("cannot write %s: %s", path, g_strerror(errno));
    }
    g_setenv("COLO_NBDKIT", path, TRUE);
    return file;
}

/* No checkpoint can be made; clients are answered all the same. */
static void fill(Rig *r, RigClient *c, const char *file)
{
    g_autofree char *detail = NULL;

    rig_qmp_pump(&r->pri.ctl, 0);
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    rig_wait_state(&r->pri, "degraded", RIG_PATIENCE_S);
    detail = rig_detail(&r->pri);
    g_assert_nonnull(strstr(detail, REFUSED));
    load_mark(c);
}

static gboolean is_stale(RigSide *s)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-status", NULL);

    return json_object_get_boolean_member(json_node_get_object(node), "stale");
}

static void wait_stale(RigSide *s)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    while (!is_stale(s)) {
        if (g_get_monotonic_time() > end) {
            rig_die("%s never called its checkpoint stale", s->name);
        }
        g_usleep(10000);
    }
}

/* A link that was lost for a moment, and went on, is no copy. */
static void expect_no_copy(Rig *r, guint from)
{
    RigEvent *e;

    while ((e = rig_qmp_find(&r->pri.ctl, from, "COLO_STATE", "state",
                             "syncing", &from))) {
        const char *why = json_object_get_string_member(e->data, "detail");

        g_test_message("syncing: %s", why);
        g_assert_true(g_str_has_prefix(why, "the link to "));
    }
}

static void no_room(void)
{
    RigOptions o = disk_options(FALSE, 400);
    Rig *r = rig_new(&o);
    g_autofree char *file = wrap_nbdkit(r);
    RigClient *client;
    guint from;

    rig_start_qemu(&r->pri);
    rig_start_qemu(&r->sec);
    rig_wait_boot(&r->pri);
    rig_protect(r);
    rig_type(&r->pri, "disk off", "disk off", RIG_PATIENCE_S);
    load_checkpoint(r);
    client = rig_client_start(r, "--echo 2 --counter 2 --pace 10");
    rig_qmp_pump(&r->pri.ctl, 0);
    from = r->pri.ctl.events->len;

    fill(r, client, file);
    /* It is tried again, and the output does not wait for that each time. */
    load_mark(client);
    g_assert_cmpfloat(load_mark(client), <, 1000);
    g_assert_cmpint(g_unlink(file), ==, 0);
    load_wait_protected(r);
    load_checkpoint(r);
    expect_no_copy(r, from);

    /* Its guest is heard without a checkpoint then. */
    fill(r, client, file);
    wait_stale(&r->sec);
    rig_power_cut(&r->pri);
    rig_wait_state(&r->sec, "paused", RIG_PATIENCE_S);
    g_usleep(4 * RIG_TIMEOUT_MS * 1000);
    rig_wait_state(&r->sec, "paused", 0);
    rig_client_free(client);
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_func("/room/seal", no_room);
    return g_test_run();
}
