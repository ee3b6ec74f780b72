/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * There and back: the survivor is protected again, its own disk served by its
 * colod, which is a primary's now, and its host vanishes as well.  No record
 * that a client has an acknowledgement for is lost on the way, not even when
 * nbdkit dies under the guest that is protected.
 */
#include "tests/disk/disk.h"

#include <signal.h>

#define SESSIONS 4

typedef struct Case {
    const char *name;
    gboolean periodic;
    guint delay_ms;
    int times; /* takeovers */
} Case;

/* It is of the survivor's disk, and beside what is replicated. */
static void assert_served(RigSide *s)
{
    g_autoptr(JsonNode) node = NULL, replicated = NULL;
    JsonObject *server, *disk;

    rig_wait_disk_served(s);
    node = rig_qmp(&s->ctl, "query-colo-status", NULL);
    server = json_object_get_object_member(json_node_get_object(node),
                                           "disk-server");
    disk = json_array_get_object_element(
        json_object_get_array_member(server, "disks"), 0);
    g_assert_cmpstr(json_object_get_string_member(disk, "state"), ==,
                    "promoted");
    replicated = disk_member(s, "node");
    g_assert_cmpstr(json_node_get_string(replicated), ==, s->rig->o.disk);
}

static void again(gconstpointer data)
{
    const Case *c = data;
    RigOptions o = disk_options(c->periodic, c->delay_ms);
    Rig *r = rig_new_protected(&o);
    RigClient *client = rig_client_start(r, "--record 4 --pace 5");

    for (int i = 0; i < c->times; i++) {
        RigSide *survivor = load_secondary(r);
        guint from;

        if (i) {
            load_swap(r);
            survivor = load_secondary(r);
            assert_served(load_primary(r));
            load_wait_protected(r);
            kill(disk_nbdkit(load_primary(r)), SIGKILL);
            load_mark(client);
            load_wait_protected(r);
        }
        load_checkpoint(r);
        load_mark(client);
        from = survivor->ctl.events->len;
        g_usleep((gulong)g_test_rand_int_range(0, 500 * 1000));
        load_take_over(r);
        disk_mark(client, survivor);
        rig_qmp_wait(&survivor->ctl, from, "COLO_DISK_PROMOTED", NULL, NULL,
                     RIG_PATIENCE_S);
    }
    disk_examine_survivor(r, client, SESSIONS);
    rig_free(r);
}

int main(int argc, char **argv)
{
    static const Case few[] = {
        {"colo", FALSE, 400, 2},
    };
    static const Case more[] = {
        {"colo/10", FALSE, 400, 10},
        {"periodic/10", TRUE, 50, 10},
    };

    rig_test_init(&argc, &argv);
    for (gsize i = 0; i < G_N_ELEMENTS(few); i++) {
        g_autofree char *path = g_strconcat("/again/", few[i].name, NULL);

        g_test_add_data_func(path, &few[i], again);
    }
    for (gsize i = 0; rig_long_tests() && i < G_N_ELEMENTS(more); i++) {
        g_autofree char *path = g_strconcat("/again/", more[i].name, NULL);

        g_test_add_data_func(path, &more[i], again);
    }
    return g_test_run();
}
