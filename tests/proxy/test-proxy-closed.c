/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --fail-closed: nothing leaves that is not protected. */
#include "tests/proxy/load.h"

#include <signal.h>

#define DEAD_MS 700

static void proxy_killed(gconstpointer primary)
{
    RigOptions o = load_options(FALSE, 400);
    Rig *r;
    RigClient *c;
    RigSide *s;
    double gap;

    o.fail_closed = TRUE;
    r = rig_new_protected(&o);
    s = primary ? &r->pri : &r->sec;
    c = rig_client_start(r, "--tiny 2 --echo 2 --pace 20");
    load_mark(c);
    rig_kill_proxy(s, SIGKILL);
    g_usleep(DEAD_MS * 1000);
    rig_start_proxy(s);
    load_wait_protected(r);
    gap = load_mark(c);
    g_assert_cmpfloat(gap, >=, DEAD_MS * 0.9); /* nobody was answered */
    load_take_over(r);
    load_mark(c);
    load_end(c);
    rig_free(r);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_data_func("/closed/primary-proxy-killed", "", proxy_killed);
    if (rig_long_tests()) {
        g_test_add_data_func("/closed/secondary-proxy-killed", NULL,
                             proxy_killed);
    }
    return g_test_run();
}
