/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients are told the smaller window of both guests.  With the larger one
 * they send what the slower guest has no room for: it drops it, and the other
 * one's ACKs wait for its own until compare_timeout.
 */
#include "tests/proxy/load.h"

#define ROUNDS 10

/* Windows grow when a connection is young. */
#define UPLOADS "--upload 4 --fresh --size 400000 --seconds 2"

static void uploads(void)
{
    const RigOptions o = load_options(FALSE, 20000);
    Rig *r = rig_new_protected(&o);
    gint64 made_smaller = 0;

    for (int i = 0; i < ROUNDS && !made_smaller; i++) {
        g_autoptr(JsonObject) figures =
            rig_client_run(r, UPLOADS, RIG_PATIENCE_S);

        g_assert_cmpint(json_object_get_int_member(figures, "exchanges"), >, 0);
        load_good(figures);
        made_smaller = rig_proxy_int(&r->pri, "windows");
    }
    g_test_message("%" G_GINT64_FORMAT " windows were made smaller",
                   made_smaller);
    g_assert_cmpint(made_smaller, >, 0);
    /* ACKs are small packets, whose checksum the card would have finished. */
    g_assert_cmpint(rig_proxy_int(&r->pri, "windows-kept"), ==, 0);
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_func("/windows/uploads", uploads);
    return g_test_run();
}
