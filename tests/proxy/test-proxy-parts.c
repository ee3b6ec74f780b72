/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of large segments leave before the rest (two guests' congestion
 * windows differ, or one of them is slower), and the clients, who know every
 * byte, find nothing wrong: neither with that nor over a takeover.
 */
#include "tests/proxy/load.h"

#define ROUNDS 30

/* Congestion windows are small when a connection is young. */
#define DOWNLOADS "--download 2 --fresh --size 1000000 --seconds 2"

static void download_in_parts(Rig *r)
{
    gint64 parts = 0, counted;

    for (int i = 0; i < ROUNDS && !parts; i++) {
        g_autoptr(JsonObject) figures =
            rig_client_run(r, DOWNLOADS, RIG_PATIENCE_S);

        load_good(figures);
        g_assert_cmpint(json_object_get_int_member(figures, "exchanges"), >, 0);
        parts = rig_proxy_int(&r->pri, "mirrored.tap0.parts-sent");
    }
    counted = rig_proxy_int(&r->pri, "parts");
    g_test_message("%" G_GINT64_FORMAT " parts were sent", parts);
    if (!parts || counted < parts) {
        rig_die("%" G_GINT64_FORMAT " parts were sent, and %" G_GINT64_FORMAT
                " counted",
                parts, counted);
    }
}

/* And the proxies end in order. */
static void downloads(void)
{
    const RigOptions o = load_options(FALSE, 20000);
    Rig *r = rig_new_protected(&o);

    download_in_parts(r);
    rig_free(r);
}

static void take_over(void)
{
    const RigOptions o = load_options(FALSE, 20000);
    Rig *r = rig_new_protected(&o);
    RigClient *c;

    download_in_parts(r);
    c = rig_client_start(r, "--download 2 --fresh --size 1000000 --echo 2");
    load_checkpoint(r);
    load_mark(c);
    load_take_over(r);
    load_mark(c);
    load_end(c);
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_func("/parts/downloads", downloads);
    g_test_add_func("/parts/takeover", take_over);
    return g_test_run();
}
