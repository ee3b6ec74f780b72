/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heartbeats between two of them in this process. */
#include "colo/engine/heartbeat.h"

#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

enum { INTERVAL_US = 20000, TIMEOUT_US = 2000000, SOON_US = 10000000 };

typedef struct End {
    ColoMailbox *mailbox;
    ColoStatus *status;
    ColoHeartbeat *heartbeat;
} End;

static void end_init(End *e, gboolean primary, const char *host, guint16 port)
{
    g_autofree char *text = g_strdup_printf("%s:%u", host, port);
    g_autoptr(GPtrArray) addrs =
        g_ptr_array_new_with_free_func((GDestroyNotify)colo_addr_free);
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(addrs, colo_addr_parse(text, NULL));
    e->mailbox = colo_mailbox_new();
    e->status = colo_status_new(primary, "test");
    e->heartbeat = colo_heartbeat_new(addrs, primary, INTERVAL_US, TIMEOUT_US,
                                      e->mailbox, e->status, &error);
    g_assert_no_error(error);
}

static void end_clear(End *e)
{
    colo_heartbeat_free(e->heartbeat);
    colo_status_free(e->status);
    colo_mailbox_unref(e->mailbox);
}

static guint64 count(End *e, const guint64 *what)
{
    guint64 n;

    colo_status_lock(e->status);
    n = *what;
    colo_status_unlock(e->status);
    return n;
}

static guint64 received(End *e)
{
    return count(e, &e->status->hb_received);
}

/* A port that is free at every address. */
static guint16 free_port(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
    g_autoptr(ColoAddr) any = colo_addr_parse(":0", NULL);
    g_autoptr(GError) error = NULL;
    int fd = colo_addr_udp(any, &error);
    socklen_t len = sizeof(sa);

    g_assert_no_error(error);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&sa, &len), ==, 0);
    close(fd);
    return ntohs(sa.sin6_port); /* where IPv4's is, too */
}

/*
 * The secondary has several addresses: it answers from 127.0.0.1 what was sent
 * to 127.0.0.2.
 */
static void test_other_address(gconstpointer to)
{
    guint16 port = free_port();
    gint64 end = g_get_monotonic_time() + SOON_US;
    End p, s;

    end_init(&s, FALSE, "", port);
    end_init(&p, TRUE, to, port);
    colo_heartbeat_start(s.heartbeat, 4711);
    colo_heartbeat_start(p.heartbeat, 4711);
    while (received(&p) < 3 || received(&s) < 3) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(INTERVAL_US);
    }
    g_assert_false(colo_heartbeat_is_lost(p.heartbeat));
    end_clear(&p);
    end_clear(&s);
}

/* Sockets that are made by this thread are in a network without anything. */
static gpointer without_network(gpointer unused)
{
    End p;

    if (unshare(CLONE_NEWNET) < 0) {
        g_test_skip("no permission for a network namespace");
        return NULL;
    }
    end_init(&p, TRUE, "192.0.2.1", 8888);
    colo_heartbeat_start(p.heartbeat, 4711);
    g_usleep(5 * INTERVAL_US);
    g_assert_cmpuint(count(&p, &p.status->hb_sent), ==, 0);
    end_clear(&p);
    return NULL;
}

/* A link that is not there yet is a link on which nothing is heard. */
static void test_no_network(void)
{
    g_thread_join(g_thread_new("no-network", without_network, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/heartbeat/same-address", "127.0.0.1",
                         test_other_address);
    g_test_add_data_func("/heartbeat/other-address", "127.0.0.2",
                         test_other_address);
    g_test_add_func("/heartbeat/no-network", test_no_network);
    return g_test_run();
}
