/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much the link of two processes carries, over TCP on the loopback: said,
 * not judged.  A tool to see what a change costs.
 */
#include "link-fixture.h"

#include "tests/common/raw-peer.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEND_US = 300 * 1000, BATCH = 64 };

/* The other process answers WANTED with LOADED and the number of messages. */
static int serve(const char *at)
{
    NetWireHead h = {.type = NET_WIRE_LOADED};
    End s;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    end_start(&s, FALSE, at, NULL, 0);
    for (;;) {
        turn();
        if (s.messages && s.last.type == NET_WIRE_WANTED) {
            h.number = s.messages - 1;
            s.messages = 0;
            s.last.type = 0;
            g_assert_true(net_link_send(s.link, &h, NULL, 0));
        }
    }
    return 0;
}

/* Frames of len bytes for a while; says the rate. */
static void measure(End *p, const char *kind, gsize len)
{
    g_autofree guint8 *bytes = g_malloc0(len);
    struct iovec iov[] = {{bytes, NET_WIRE_VNET},
                          {bytes + NET_WIRE_VNET, len - NET_WIRE_VNET}};
    NetWireHead h = {.len = (guint32)len, .type = NET_WIRE_FRAME};
    NetWireHead end = {.type = NET_WIRE_WANTED};
    NetLinkStats before, after;
    gint64 start = g_get_monotonic_time(), us;
    guint messages = p->messages;
    gboolean room = TRUE;

    net_link_stats(p->link, &before);
    while (g_get_monotonic_time() - start < SEND_US) {
        guint rooms = p->rooms;

        for (int i = 0; i < BATCH && room; i++) {
            room = net_link_send(p->link, &h, iov, 2);
            h.number += room;
        }
        net_link_flush(p->link);
        if (!room) {
            WAIT(p->rooms != rooms);
            room = TRUE;
        } else {
            g_main_context_iteration(NULL, FALSE);
        }
    }
    g_assert_true(net_link_send(p->link, &end, NULL, 0));
    WAIT(p->messages > messages);
    us = g_get_monotonic_time() - start;
    g_assert_cmpuint(p->last.type, ==, NET_WIRE_LOADED);
    g_assert_cmpuint(p->last.number, ==, h.number);
    net_link_stats(p->link, &after);
    g_test_message("%s, %zu bytes each: %.1f Gbit/s, %.0f messages/s, queue "
                   "up to %zu KiB",
                   kind, len, (after.sent - before.sent) * 8e-3 / us,
                   h.number * 1e6 / us, after.max_queued / 1024);
}

static void test_rate(gconstpointer tcp)
{
    char *folder = raw_folder_new();
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *at = NULL;
    g_autoptr(GError) error = NULL;
    char *argv[] = {self, (char *)"--secondary", NULL, NULL};
    const char *kind = tcp ? "TCP" : "unix socket";
    int status;
    GPid pid;
    End p;

    if (tcp) {
        at = free_at();
    } else {
        at = g_strdup_printf("unix:%s/link", folder);
    }
    argv[2] = at;
    g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                  &error);
    g_assert_no_error(error);
    end_start(&p, TRUE, at, NULL, 0);
    WAIT(p.ups == 1);
    measure(&p, kind, NET_WIRE_VNET + 14 + 65535);
    measure(&p, kind, NET_WIRE_VNET + 1514);
    measure(&p, kind, NET_WIRE_VNET + 64);
    g_assert_cmpuint(p.downs, ==, 0);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    end_stop(&p);
    raw_folder_free(folder);
}

int main(int argc, char **argv)
{
    if (argc == 3 && g_str_equal(argv[1], "--secondary")) {
        return serve(argv[2]);
    }
    link_test_init(&argc, &argv);
    g_test_add_data_func("/link-rate/tcp", "tcp", test_rate);
    g_test_add_data_func("/link-rate/unix", NULL, test_rate);
    return g_test_run();
}
