/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's host vanishes while its guest writes and syncs: no record that
 * a client has an acknowledgement for is lost, memory and disk agree (I4, the
 * guest checks), and the file system is clean.
 */
#include "tests/disk/disk.h"

#define SESSIONS 4

typedef struct Case {
    const char *name;
    gboolean periodic;
    guint delay_ms;
    guint load_mib;  /* written and synced in a loop */
    guint random_ms; /* the kill comes after so much at most */
    int times;
} Case;

static void take_over_once(const Case *c)
{
    RigOptions o = disk_options(c->periodic, c->delay_ms);
    Rig *r = rig_new_protected(&o);
    RigClient *client = rig_client_start(r, "--record 4 --pace 5");
    g_autofree char *load = g_strdup_printf("fsync %u", c->load_mib);

    if (c->load_mib) {
        rig_type(&r->pri, load, load, RIG_PATIENCE_S);
    }
    /* All connections are in it. */
    load_checkpoint(r);
    load_mark(client);
    g_usleep((gulong)g_test_rand_int_range(0, (gint32)c->random_ms * 1000));
    load_take_over(r);
    disk_mark(client, &r->sec);
    disk_examine_survivor(r, client, SESSIONS);
    rig_free(r);
}

static void take_over(gconstpointer data)
{
    const Case *c = data;

    for (int i = 0; i < c->times; i++) {
        g_test_message("%d of %d", i + 1, c->times);
        take_over_once(c);
    }
}

int main(int argc, char **argv)
{
    static const Case few[] = {
        {"colo", FALSE, 400, 2, 500, 1},
        {"periodic", TRUE, 50, 2, 500, 1},
    };
    static const Case more[] = {
        {"colo/25", FALSE, 300, 4, 1000, 25},
        {"periodic/25", TRUE, 50, 4, 1000, 25},
        /* Nothing but a timer asks for checkpoints: a long run of its own */
        {"colo/compared", FALSE, 20000, 0, 3000, 3},
    };

    rig_test_init(&argc, &argv);
    for (gsize i = 0; i < G_N_ELEMENTS(few); i++) {
        g_autofree char *path = g_strconcat("/disk/", few[i].name, NULL);

        g_test_add_data_func(path, &few[i], take_over);
    }
    for (gsize i = 0; rig_long_tests() && i < G_N_ELEMENTS(more); i++) {
        g_autofree char *path = g_strconcat("/disk/", more[i].name, NULL);

        g_test_add_data_func(path, &more[i], take_over);
    }
    return g_test_run();
}
