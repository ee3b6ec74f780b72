/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block set-up of QEMU's COLO, step by step, with colod in the place of
 * QEMU's block replication: a quorum on the primary, to which the operator adds
 * the NBD export of "colod --secondary --nbd :8889" as a child.
 */
#include "tests/disk/disk.h"

#include <string.h>

#define SESSIONS 4
#define DISK     "colo-disk0"

/* 1. Start both; equal images, and guests that do not run yet. */
static void add_disk(const RigSide *s, GPtrArray *argv)
{
    if (s->primary) {
        rig_add(argv,
                "-S -drive if=virtio,id=" DISK ",driver=quorum,"
                "read-pattern=fifo,vote-threshold=1,"
                "children.0.file.filename=%s,children.0.driver=raw",
                s->disk);
    } else {
        rig_add(argv, "-drive if=virtio,id=" DISK ",driver=nbd,"
                      "reconnect-delay=60,server.type=inet,"
                      "server.host=127.0.0.1,server.port=" RIG_NBD_PORT
                      ",export=" DISK "/secondary");
    }
}

/* 3. On the primary's monitor.  -n: a node, which is not a drive's already. */
static void add_child(RigSide *s)
{
    g_autofree char *command = g_strdup_printf(
        "{\"command-line\": \"drive_add -n buddy driver=nbd,host=10.77.1.2,"
        "port=" RIG_NBD_PORT ",export=" DISK ",node-name=node0\"}");

    rig_operator(s, "human-monitor-command", command);
    rig_operator(s, "x-blockdev-change",
                 "{\"parent\": \"" DISK "\", \"node\": \"node0\"}");
}

static void expect_left_alone(RigSide *s)
{
    g_autoptr(JsonNode) state = disk_member(s, "state");
    g_autoptr(JsonNode) jobs = rig_qmp(&s->mon, "query-block-jobs", NULL);

    g_assert_cmpstr(json_node_get_string(state), ==, "by-hand");
    g_assert_cmpuint(json_array_get_length(json_node_get_array(jobs)), ==, 0);
}

static void seed(gconstpointer periodic)
{
    RigOptions o = disk_options(periodic != NULL, periodic ? 50 : 400);
    RigClient *client;
    Rig *r;

    o.disk = DISK;
    o.add_disk = add_disk;
    o.configured = TRUE;
    o.failover = FALSE;
    r = rig_new(&o);
    g_assert_true(rig_sh(-1, NULL, "cp %s %s", r->pri.disk, r->sec.disk));
    rig_start_qemu(&r->sec); /* 2. its colod serves the disk before that */
    rig_start_qemu(&r->pri);
    add_child(&r->pri);
    rig_operator(&r->pri, "cont", NULL);
    rig_wait_boot(&r->pri);
    rig_protect(r);
    expect_left_alone(&r->pri);

    /* 4. What the primary's guest does, the secondary's has. */
    client = rig_client_start(r, "--record 4 --pace 5");
    rig_type(&r->pri, "fsync 2", "fsync 2 MiB", RIG_PATIENCE_S);
    load_checkpoint(r);
    load_mark(client);
    expect_left_alone(&r->pri);

    /* 5. Kill it, x-colo-lost-heartbeat on the secondary. */
    g_usleep((gulong)g_test_rand_int_range(0, 500 * 1000));
    load_take_over(r);
    disk_mark(client, &r->sec);
    disk_examine_survivor(r, client, SESSIONS);
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_data_func("/seed/colo", NULL, seed);
    g_test_add_data_func("/seed/periodic", (gpointer) "periodic", seed);
    return g_test_run();
}
