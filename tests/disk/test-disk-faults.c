/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbdkit, the link and the room for the secondary's disk fail beside a guest
 * that writes: its clients go on, this is said, and when it is well again only
 * what changed is copied.  A takeover after all that finds what was
 * acknowledged.
 */
#include "tests/disk/disk.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#define SESSIONS   4
#define FOLDER_MIB 160 /* of which the store keeps 64 free */
/* A write of the guest waits for 0.7 of --qmp-timeout at most, and for us. */
#define GAP_MS (0.7 * 3000 + 3000)

static Rig *rig;
static RigClient *client;
static char *folder;

static guint events(RigSide *s)
{
    rig_qmp_pump(&s->ctl, 0);
    return s->ctl.events->len;
}

/* What the mirror has copied so far, with what the guest has written. */
static gint64 copied(void)
{
    g_autoptr(JsonNode) node = rig_qmp(&rig->pri.mon, "query-block-jobs", NULL);
    JsonArray *jobs = json_node_get_array(node);

    g_assert_cmpuint(json_array_get_length(jobs), ==, 1);
    return json_object_get_int_member(json_array_get_object_element(jobs, 0),
                                      "offset");
}

static void expect_state(guint from, const char *state)
{
    rig_qmp_wait(&rig->pri.ctl, from, "COLO_STATE", "state", state,
                 RIG_PATIENCE_S);
}

/* In sync; a checkpoint can be made. */
static void expect_back(void)
{
    load_wait_protected(rig);
    load_checkpoint(rig);
    disk_mark(client, &rig->pri);
}

/* The disk was not copied anew. */
static void expect_no_full_copy(gint64 before)
{
    g_test_message("%.1f MiB were copied or written",
                   (double)(copied() - before) / 1048576);
    g_assert_cmpint(copied() - before, <, DISK_MIB << 20 >> 1);
}

/* The guests' memory had no part in it. */
static void expect_no_resync(guint from)
{
    g_assert_null(rig_qmp_find(&rig->pri.ctl, from, "COLO_STATE", "state",
                               "syncing", NULL));
}

static void nbdkit_killed(void)
{
    for (int i = 0; i < 3; i++) {
        guint from = events(&rig->pri);
        gint64 before = copied();
        pid_t pid = disk_nbdkit(&rig->sec);

        kill(pid, SIGKILL);
        g_assert_cmpfloat(load_mark(client), <, GAP_MS);
        expect_back();
        expect_no_full_copy(before);
        expect_no_resync(from);
        g_assert_cmpint(disk_nbdkit(&rig->sec), !=, pid);
    }
}

/* It is there and does not answer. */
static void nbdkit_hung(void)
{
    guint from = events(&rig->pri);
    gint64 before = copied();
    pid_t pid = disk_nbdkit(&rig->sec);

    kill(pid, SIGSTOP);
    expect_state(from, "degraded");
    g_assert_cmpfloat(load_mark(client), <, GAP_MS);
    kill(pid, SIGCONT);
    expect_back();
    expect_no_full_copy(before);
    expect_no_resync(from);
}

static void link_cut(void)
{
    guint from = events(&rig->pri);
    gint64 before = copied();

    rig_link(rig, "repl", FALSE);
    expect_state(from, "paused");
    g_usleep(3 * G_USEC_PER_SEC);
    rig_link(rig, "repl", TRUE);
    expect_back();
    expect_no_full_copy(before);
}

static void disk_full(void)
{
    guint from = events(&rig->pri), at = events(&rig->sec);

    if (!rig_sh(-1, NULL, "fallocate -l %dM %s/ballast", FOLDER_MIB - 66,
                folder)) {
        rig_die("cannot fill %s", folder);
    }
    rig_type(&rig->pri, "fsync 4", "fsync 4 MiB", RIG_PATIENCE_S);
    rig_qmp_wait(&rig->sec.ctl, at, "COLO_DISK", "what", "enospc",
                 RIG_PATIENCE_S);
    expect_state(from, "degraded");
    disk_mark(client, &rig->pri);
    rig_type(&rig->pri, "fsync 0", "fsync 0 MiB", RIG_PATIENCE_S);
    if (!rig_sh(-1, NULL, "rm %s/ballast", folder)) {
        rig_die("cannot make room in %s", folder);
    }
    rig_qmp_wait(&rig->sec.ctl, at, "COLO_DISK", "what", "space",
                 RIG_PATIENCE_S);
    expect_back();
    expect_no_resync(from);
}

static void takeover_after_all(void)
{
    load_checkpoint(rig);
    load_take_over(rig);
    disk_mark(client, &rig->sec);
    disk_examine_survivor(rig, client, SESSIONS);
}

/* A small file system, gone with us. */
static void mount_folder(void)
{
    g_autofree char *size = g_strdup_printf("size=%dm", FOLDER_MIB);

    folder = g_dir_make_tmp("colo-disk-XXXXXX", NULL);
    if (unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", folder, "tmpfs", 0, size) < 0) {
        rig_die("cannot mount a small file system: %s", g_strerror(errno));
    }
}

int main(int argc, char **argv)
{
    RigOptions o = disk_options(FALSE, 400);
    int status;

    rig_test_init(&argc, &argv);
    mount_folder();
    o.failover = FALSE; /* a dead link is not a dead host */
    o.disk_folder = folder;
    rig = rig_new_protected(&o);
    client = rig_client_start(rig, "--record 4 --pace 10");
    g_test_add_func("/faults/nbdkit-killed", nbdkit_killed);
    g_test_add_func("/faults/nbdkit-hung", nbdkit_hung);
    g_test_add_func("/faults/link-cut", link_cut);
    g_test_add_func("/faults/disk-full", disk_full);
    g_test_add_func("/faults/takeover-after-all", takeover_after_all);
    status = g_test_run();
    rig_free(rig);
    umount(folder);
    rmdir(folder);
    g_free(folder);
    return status;
}
