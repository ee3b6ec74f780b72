/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After one round of announcements a client that knew the guest's old MAC,
 * and a switch that knew its old port, send to the right place.
 */
#include "config.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netcompare/host/announce.h"
#include "tests/nethost/netns.h"

static const guint8 guest[6] = {0x52, 0x54, 0, 0, 0, 1};
static const guint8 other[6] = {0x52, 0x54, 0, 0, 0, 9};
static const char text[] = "to the guest, wherever it is";

/* A switch with two ports for the guest, and a client on a third */
typedef struct Network {
    int old_port, new_port;
    int client4, client6;
} Network;

static gboolean setup(Network *n)
{
    struct sockaddr_in to4 = {.sin_family = AF_INET,
                              .sin_port = htons(9),
                              .sin_addr.s_addr = htonl(IP4(10, 9, 0, 2))};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};

    if (!netns_enter()) {
        return FALSE;
    }
    netns_run("sysctl -qw net.ipv6.conf.default.accept_dad=0");
    netns_run("ip link add sw0 type bridge mcast_snooping 0");
    netns_run("ip link set sw0 up");
    n->old_port = netns_tap("old0");
    n->new_port = netns_tap("new0");
    netns_run("ip link add c0 type veth peer name c0-sw");
    netns_run("ip link set old0 master sw0");
    netns_run("ip link set new0 master sw0");
    netns_run("ip link set c0-sw master sw0 up");
    netns_run("ip link set c0 up");
    netns_run("ip addr add 10.9.0.9/24 dev c0");
    netns_run("ip addr add fd09::9/64 dev c0 nodad");
    n->client4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    n->client6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET6, "fd09::2", &to6.sin6_addr);
    g_assert_cmpint(connect(n->client4, (void *)&to4, sizeof to4), ==, 0);
    g_assert_cmpint(connect(n->client6, (void *)&to6, sizeof to6), ==, 0);
    return TRUE;
}

static void teardown(Network *n)
{
    close(n->old_port);
    close(n->new_port);
    close(n->client4);
    close(n->client6);
}

/* Does what the client sends come out of this port, for the guest's MAC? */
static gboolean reaches(int client, int port, int timeout_ms)
{
    guint8 frame[2048];

    netns_drain(port);
    g_assert_cmpint(write(client, text, sizeof text), ==, sizeof text);
    return netns_receive(port, text, sizeof text, frame, sizeof frame,
                         timeout_ms) != 0 &&
           memcmp(frame, guest, 6) == 0;
}

static void emit(const guint8 *frame, gsize len, gpointer user)
{
    netns_send(*(int *)user, frame, len);
}

static void test_addresses(void)
{
    guint8 frame[128];
    Network n;

    if (!setup(&n)) {
        return;
    }
    /* Somebody else's MAC, at the old port, as both the guest's */
    netns_run("ip neigh add 10.9.0.2 lladdr 52:54:00:00:00:99 "
              "nud reachable dev c0");
    netns_run("ip neigh add fd09::2 lladdr 52:54:00:00:00:99 "
              "nud reachable dev c0");
    netns_run("bridge fdb add 52:54:00:00:00:99 dev old0 master dynamic");
    netns_run("bridge fdb add 52:54:00:00:00:01 dev old0 master dynamic");
    g_assert_false(reaches(n.client4, n.new_port, 100));
    g_assert_false(reaches(n.client6, n.new_port, 100));

    NetAddresses *a = net_addresses_new();
    net_addresses_learn(
        a, frame, frame_arp_request(frame, guest, IP4(10, 9, 0, 2), 0), TRUE);
    net_addresses_learn(
        a, frame, frame_udp6(frame, other, guest, "fd09::2", "fd09::9", 9, "x"),
        TRUE);
    net_addresses_announce(a, emit, &n.new_port);
    g_assert_true(reaches(n.client4, n.new_port, 1000));
    g_assert_true(reaches(n.client6, n.new_port, 1000));
    g_assert_false(reaches(n.client4, n.old_port, 100));
    net_addresses_free(a);
    teardown(&n);
}

/* A guest of which only the MAC is known: the switch learns. */
static void test_mac_only(void)
{
    const guint8 unknown[16] = {0x52, 0x54, 0, 0, 0, 9,    0x52,
                                0x54, 0,    0, 0, 1, 0x88, 0xb5};
    Network n;

    if (!setup(&n)) {
        return;
    }
    netns_run("ip neigh add 10.9.0.2 lladdr 52:54:00:00:00:01 "
              "nud permanent dev c0");
    netns_run("bridge fdb add 52:54:00:00:00:01 dev old0 master dynamic");
    g_assert_true(reaches(n.client4, n.old_port, 1000));

    NetAddresses *a = net_addresses_new();
    net_addresses_learn(a, unknown, sizeof unknown, TRUE);
    net_addresses_announce(a, emit, &n.new_port);
    g_assert_true(reaches(n.client4, n.new_port, 1000));
    net_addresses_free(a);
    teardown(&n);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/announce-net/addresses", test_addresses);
    g_test_add_func("/announce-net/mac-only", test_mac_only);
    return g_test_run();
}
