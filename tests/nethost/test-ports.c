/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bridge's ports come and go, and so does the bridge. */
#include "config.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "netcompare/host/ports.h"
#include "tests/nethost/netns.h"

#define DEADLINE_US (10 * G_USEC_PER_SEC)
#define MANY        400

typedef struct Watch {
    NetPorts *ports;
    GHashTable *there; /* index: name */
    guint came, went;
} Watch;

static void on_port(int index, const char *name, gboolean there, gpointer user)
{
    Watch *w = user;

    if (there) {
        w->came++;
        g_assert_true(g_hash_table_insert(w->there, GINT_TO_POINTER(index),
                                          g_strdup(name)));
    } else {
        w->went++;
        g_assert_true(g_hash_table_remove(w->there, GINT_TO_POINTER(index)));
    }
}

static void begin(Watch *w)
{
    g_autoptr(GError) error = NULL;

    *w = (Watch){.there = g_hash_table_new_full(NULL, NULL, NULL, g_free)};
    w->ports = net_ports_new("br0", on_port, w, &error);
    g_assert_no_error(error);
}

static void end(Watch *w)
{
    net_ports_free(w->ports);
    g_hash_table_unref(w->there);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

static char *names(const Watch *w)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    GHashTableIter i;
    gpointer name;

    g_hash_table_iter_init(&i, w->there);
    while (g_hash_table_iter_next(&i, NULL, &name)) {
        g_ptr_array_add(all, name);
    }
    g_ptr_array_sort(all, by_name);
    g_ptr_array_add(all, NULL);
    return g_strjoinv(" ", (char **)all->pdata);
}

/* Until they are these; told more than once is not told. */
static void expect(Watch *w, const char *ports)
{
    gint64 give_up = g_get_monotonic_time() + DEADLINE_US;
    g_autofree char *now = names(w);

    while (strcmp(now, ports)) {
        struct pollfd p = {.fd = net_ports_fd(w->ports), .events = POLLIN};
        int left = (int)((give_up - g_get_monotonic_time()) / 1000);
        g_autoptr(GError) error = NULL;

        if (left <= 0 || poll(&p, 1, left) <= 0) {
            g_error("the ports are \"%s\", not \"%s\"", now, ports);
        }
        net_ports_read(w->ports, &error);
        g_assert_no_error(error);
        g_free(now);
        now = names(w);
    }
    g_assert_cmpuint(w->came - w->went, ==, g_hash_table_size(w->there));
}

static void come_and_go(void)
{
    Watch w;

    if (!netns_enter()) {
        return;
    }
    netns_run("ip link add a0 type veth peer name a1");
    netns_run("ip link add b0 type veth peer name b1");
    netns_run("ip link add br0 type bridge");
    netns_run("ip link add br1 type bridge");
    netns_run("ip link set a0 master br0");
    begin(&w);
    expect(&w, "a0");
    netns_run("ip link set b0 master br0");
    expect(&w, "a0 b0");
    netns_run("ip link set a0 up"); /* is there already */
    netns_run("ip link set a0 master br1");
    expect(&w, "b0");
    netns_run("ip link set b0 nomaster");
    expect(&w, "");
    netns_run("ip link set a0 master br0");
    expect(&w, "a0");
    netns_run("ip link del a0");
    expect(&w, "");
    end(&w);
}

static void bridge_anew(void)
{
    Watch w;

    if (!netns_enter()) {
        return;
    }
    netns_run("ip link add a0 type veth peer name a1");
    begin(&w);
    netns_run("ip link add br0 type bridge");
    netns_run("ip link set a0 master br0");
    expect(&w, "a0");
    netns_run("ip link del br0");
    expect(&w, "");
    netns_run("ip link add br0 type bridge");
    netns_run("ip link set a0 master br0");
    expect(&w, "a0");
    end(&w);
}

/* More news than the socket has room for: all is asked for once more. */
static void overrun(void)
{
    Watch w;

    if (!netns_enter()) {
        return;
    }
    netns_run("ip link add a0 type veth peer name a1");
    netns_run("ip link add b0 type veth peer name b1");
    netns_run("ip link add br0 type bridge");
    netns_run("ip link set a0 master br0");
    begin(&w);
    expect(&w, "a0");
    netns_run("ip link set a0 nomaster");
    netns_run("sh -c 'for i in $(seq %d); do ip link set b0 mtu $((1000+i)); "
              "done'",
              MANY);
    netns_run("ip link set b0 master br0");
    expect(&w, "b0");
    end(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ports/come-and-go", come_and_go);
    g_test_add_func("/ports/bridge-anew", bridge_anew);
    g_test_add_func("/ports/overrun", overrun);
    return g_test_run();
}
