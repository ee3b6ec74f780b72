/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A takeover's move onto the bridge: frames pass both ways at once. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "netcompare/host/netdev.h"
#include "tests/nethost/netns.h"

static const guint8 macs[][6] = {
    {0x52, 0x54, 0, 0, 0, 1},
    {0x52, 0x54, 0, 0, 0, 2},
};
static const guint8 client_mac[6] = {0x52, 0x54, 0, 0, 0, 9};

/* A bridge with a client, and the port behind which the guest was before */
typedef struct Host {
    NetHost *net;
    int guest;  /* tap0, not on the bridge yet */
    int client; /* a port of br0 */
    int uplink; /* another one */
} Host;

static void setup(Host *f, const char *bridge_options)
{
    g_autoptr(GError) error = NULL;

    netns_run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
              "net.ipv6.conf.default.disable_ipv6=1");
    netns_run("ip link add br0 type bridge mcast_snooping 0 %s",
              bridge_options);
    netns_run("ip link set br0 up");
    f->guest = netns_tap("tap0");
    f->client = netns_tap("client0");
    f->uplink = netns_tap("uplink0");
    netns_run("ip link set client0 master br0");
    netns_run("ip link set uplink0 master br0");
    netns_run(
        "bridge fdb replace 52:54:00:00:00:01 dev uplink0 master dynamic");
    f->net = net_host_new(&error);
    g_assert_no_error(error);
    net_host_isolate(f->net, "tap0", &error);
    g_assert_no_error(error);
}

static void teardown(Host *f)
{
    close(f->guest);
    close(f->client);
    close(f->uplink);
    net_host_free(f->net);
}

static void join(Host *f)
{
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    net_host_join(f->net, "tap0", "br0", macs, G_N_ELEMENTS(macs), &error);
    g_assert_no_error(error);
    g_test_message("joined in %d us", (int)(g_get_monotonic_time() - start));
}

static gboolean passes(int from, int to, const guint8 dst[6],
                       const guint8 src[6], int timeout_ms)
{
    static const char text[] = "from one port to another";
    guint8 frame[128];

    netns_drain(to);
    netns_send(from, frame, frame_udp4(frame, dst, src, 1, 2, 9, text));
    return netns_receive(to, text, strlen(text), frame, sizeof frame,
                         timeout_ms) != 0;
}

static NetDev get(Host *f, const char *name)
{
    g_autoptr(GError) error = NULL;
    NetDev dev;

    net_host_get(f->net, name, &dev, &error);
    g_assert_no_error(error);
    return dev;
}

static gboolean exists(Host *f, const char *name)
{
    NetDev dev;

    return net_host_get(f->net, name, &dev, NULL);
}

/* Its forward delay of 15 s holds nobody up. */
static void test_join(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0 forward_delay 1500");
    g_assert_true(passes(f.client, f.uplink, macs[0], client_mac, 1000));
    g_assert_false(passes(f.guest, f.client, client_mac, macs[0], 100));

    join(&f);
    g_assert_cmpstr(get(&f, "tap0").master_name, ==, "br0");
    /* The stale entry has moved, so nothing goes to the old place */
    g_assert_true(passes(f.client, f.guest, macs[0], client_mac, 1000));
    g_assert_false(passes(f.client, f.uplink, macs[0], client_mac, 100));
    g_assert_false(passes(f.client, f.uplink, macs[1], client_mac, 100));
    g_assert_true(passes(f.guest, f.client, client_mac, macs[0], 1000));

    join(&f);
    g_assert_true(passes(f.client, f.guest, macs[0], client_mac, 1000));

    /* The guest may move on: what the bridge sees later counts */
    g_assert_true(passes(f.uplink, f.client, client_mac, macs[0], 1000));
    g_assert_true(passes(f.client, f.uplink, macs[0], client_mac, 1000));
    teardown(&f);
}

static void test_vlan_filtering(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    if (!netns_try("ip link add br9 type bridge vlan_filtering 1")) {
        g_test_skip("this kernel's bridges do not filter VLANs");
        return;
    }
    setup(&f, "stp_state 0 vlan_filtering 1");
    join(&f);
    g_assert_true(passes(f.client, f.guest, macs[1], client_mac, 1000));
    g_assert_false(passes(f.client, f.uplink, macs[1], client_mac, 100));
    g_assert_true(passes(f.guest, f.client, client_mac, macs[0], 1000));
    teardown(&f);
}

/* Our bridge goes away, not if the tap is cut off again meanwhile. */
static void test_tidy(void)
{
    g_autoptr(GError) error = NULL;
    gint64 end;
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0");
    join(&f);
    end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (exists(&f, "tap0-colo")) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20 * 1000);
    }
    netns_run("ip link set tap0 nomaster");
    net_host_isolate(f.net, "tap0", &error);
    g_assert_no_error(error);

    join(&f);
    netns_run("ip link set tap0 nomaster");
    net_host_isolate(f.net, "tap0", &error);
    g_assert_no_error(error);
    end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
    while (g_get_monotonic_time() < end) {
        g_assert_cmpstr(get(&f, "tap0").master_name, ==, "tap0-colo");
        g_usleep(50 * 1000);
    }
    teardown(&f);
}

/* A bridge never shrinks because of us. */
static void test_mtu(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0");
    netns_run("ip link set client0 mtu 9000");
    netns_run("ip link set uplink0 mtu 9000");
    g_assert_cmpuint(get(&f, "br0").mtu, ==, 9000);
    join(&f);
    g_assert_cmpuint(get(&f, "br0").mtu, ==, 9000);
    g_assert_cmpuint(get(&f, "tap0").mtu, ==, 9000);
    teardown(&f);
}

static void test_stp(void)
{
    g_autoptr(GError) error = NULL;
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0 forward_delay 200");
    net_host_check_bridge(f.net, "br0", &error);
    g_assert_no_error(error);
    netns_run("ip link set br0 type bridge stp_state 1");
    g_assert_false(net_host_check_bridge(f.net, "br0", &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "stp_state 0"));
    g_assert_nonnull(strstr(error->message, " 4 s"));
    /* Late, but there */
    join(&f);
    g_assert_false(passes(f.guest, f.client, client_mac, macs[0], 100));
    g_assert_cmpstr(get(&f, "tap0").master_name, ==, "br0");
    teardown(&f);
}

/* A tap that no QEMU has open */
static void test_no_carrier(void)
{
    g_autoptr(GError) error = NULL;
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0");
    netns_run("ip tuntap add tap1 mode tap");
    g_assert_false(net_host_join(f.net, "tap1", "br0", NULL, 0, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "tap1"));
    g_assert_nonnull(strstr(error->message, "no carrier"));
    teardown(&f);
}

/* The host's own addresses are not given to a guest that says it has them. */
static void test_host_addresses(void)
{
    static const guint8 host_mac[][6] = {{2, 0, 0, 0, 0, 0x77}};
    static const char text[] = "for the host itself";
    g_autoptr(GError) error = NULL;
    guint8 frame[128];
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0");
    netns_run("ip link set br0 address 02:00:00:00:00:77");
    int sock = netns_packet_socket("br0");
    net_host_join(f.net, "tap0", "br0", host_mac, 1, &error);
    g_assert_no_error(error);
    netns_send(f.client, frame,
               frame_udp4(frame, host_mac[0], client_mac, 1, 2, 9, text));
    g_assert_cmpuint(
        netns_receive(sock, text, strlen(text), frame, sizeof frame, 1000), >,
        0);
    g_assert_cmpuint(
        netns_receive(f.guest, text, strlen(text), frame, sizeof frame, 100),
        ==, 0);
    close(sock);
    teardown(&f);
}

static void check_refused(Host *f, const char *tap, const char *bridge,
                          const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(net_host_join(f->net, tap, bridge, NULL, 0, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
}

static void test_refused(void)
{
    g_autoptr(GError) error = NULL;
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f, "stp_state 0");
    check_refused(&f, "tap9", "br0", "no interface tap9");
    check_refused(&f, "tap0", "br9", "no interface br9");
    check_refused(&f, "tap0", "client0", "client0 is no bridge");
    netns_run("ip link add br1 type bridge");
    netns_run("ip link set tap0 master br1");
    check_refused(&f, "tap0", "br0", "onto br1");
    netns_run("ip link set tap0 nomaster");

    /* Everything is done that can be: the operator's command is enough */
    netns_run("ip link set br0 down");
    check_refused(&f, "tap0", "br0", "ip link set br0 up");
    g_assert_false(net_host_check_bridge(f.net, "br0", &error));
    g_assert_nonnull(strstr(error->message, "is down"));
    netns_run("ip link set br0 up");
    g_assert_true(passes(f.guest, f.client, client_mac, macs[0], 20000));
    teardown(&f);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/join/join", test_join);
    g_test_add_func("/join/tidy", test_tidy);
    g_test_add_func("/join/vlan-filtering", test_vlan_filtering);
    g_test_add_func("/join/mtu", test_mtu);
    g_test_add_func("/join/stp", test_stp);
    g_test_add_func("/join/no-carrier", test_no_carrier);
    g_test_add_func("/join/host-addresses", test_host_addresses);
    g_test_add_func("/join/refused", test_refused);
    return g_test_run();
}
