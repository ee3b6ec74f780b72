/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is cut off from its host: seen and reached by packet sockets,
 * and by nothing else.  Each case first shows that the host would answer.
 */
#include "config.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netcompare/host/netdev.h"
#include "tests/nethost/netns.h"

#define HOST_IP  IP4(10, 9, 0, 1)
#define GUEST_IP IP4(10, 9, 0, 2)
#define LAN_IP   IP4(10, 8, 0, 5)
#define QUIET_MS 300

static const guint8 guest_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const guint8 lan_mac[6] = {0x52, 0x54, 0, 0, 0, 5};

/*
 * A host that would do everything for its guest: it has an address, routes
 * to a network behind lan0 (played by a second tap), and has a service.
 */
typedef struct Host {
    NetHost *net;
    int guest; /* its end of tap0 */
    int lan;   /* the other end of lan0 */
    int sock;  /* the proxy's packet socket */
    int service;
    guint8 mac[6]; /* of tap0 */
} Host;

static void setup(Host *f)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7777)};
    g_autoptr(GError) error = NULL;
    NetDev dev;

    netns_run("ip link set lo up");
    netns_run("sysctl -qw net.ipv4.conf.all.rp_filter=0 "
              "net.ipv4.conf.default.rp_filter=0 net.ipv4.ip_forward=1 "
              "net.ipv6.conf.all.forwarding=1 "
              "net.ipv6.conf.default.accept_dad=0");
    f->guest = netns_tap("tap0");
    f->lan = netns_tap("lan0");
    netns_run("ip addr add 10.9.0.1/32 dev lo");
    netns_run("ip route add 10.9.0.0/24 dev tap0");
    netns_run("ip addr add 10.8.0.1/24 dev lan0");
    netns_run("ip addr add fd08::1/64 dev lan0 nodad");
    netns_run("ip neigh add 10.8.0.5 lladdr 52:54:00:00:00:05 dev lan0");
    netns_run("ip neigh add fd08::5 lladdr 52:54:00:00:00:05 dev lan0");
    f->sock = netns_packet_socket("tap0");
    f->service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(f->service, (struct sockaddr *)&any, sizeof any), ==,
                    0);
    f->net = net_host_new(&error);
    g_assert_no_error(error);
    net_host_get(f->net, "tap0", &dev, &error);
    g_assert_no_error(error);
    memcpy(f->mac, dev.mac, 6);
}

static void teardown(Host *f)
{
    close(f->guest);
    close(f->lan);
    close(f->sock);
    close(f->service);
    net_host_free(f->net);
}

static void isolate(Host *f)
{
    g_autoptr(GError) error = NULL;

    net_host_isolate(f->net, "tap0", &error);
    g_assert_no_error(error);
}

static void unisolate(Host *f)
{
    g_autoptr(GError) error = NULL;

    net_host_unisolate(f->net, "tap0", &error);
    g_assert_no_error(error);
}

static int get_sysctl(const char *name)
{
    g_autofree char *value = netns_output("sysctl -n %s", name);

    return (int)g_ascii_strtoll(value, NULL, 10);
}

/* Does the guest get an answer to its ARP request? */
static gboolean answers_arp(Host *f)
{
    static const guint8 reply[] = {0, 1, 8, 0, 6, 4, 0, 2};
    guint8 frame[128];

    netns_drain(f->guest);
    netns_send(f->guest, frame,
               frame_arp_request(frame, guest_mac, GUEST_IP, HOST_IP));
    return netns_receive(f->guest, reply, sizeof reply, frame, sizeof frame,
                         QUIET_MS) != 0;
}

/* Does the host route the guest's packet to the network behind lan0? */
static gboolean routes(Host *f, gboolean ipv6)
{
    const char *text = ipv6 ? "routed by IPv6" : "routed by IPv4";
    guint8 frame[128];
    gsize len = ipv6 ? frame_udp6(frame, f->mac, guest_mac, "fd09::2",
                                  "fd08::5", 7777, text)
                     : frame_udp4(frame, f->mac, guest_mac, GUEST_IP, LAN_IP,
                                  7777, text);

    netns_drain(f->lan);
    netns_send(f->guest, frame, len);
    return netns_receive(f->lan, text, strlen(text), frame, sizeof frame,
                         QUIET_MS) != 0;
}

/* Does the host's service get what the guest sends to this MAC address? */
static gboolean delivers(Host *f, const guint8 mac[6])
{
    guint8 frame[128];

    netns_drain(f->service);
    netns_send(f->guest, frame,
               frame_udp4(frame, mac, guest_mac, GUEST_IP, HOST_IP, 7777,
                          "to the host"));
    return netns_any(f->service, frame, sizeof frame, QUIET_MS) != 0;
}

/* Packet sockets: what the guest sends, and what it is sent. */
static void check_packet_socket(Host *f)
{
    static const char out[] = "out of the guest", in[] = "into the guest";
    guint8 frame[128];
    gsize len;

    netns_drain(f->sock);
    len = frame_udp4(frame, f->mac, guest_mac, GUEST_IP, LAN_IP, 9, out);
    netns_send(f->guest, frame, len);
    g_assert_cmpuint(
        netns_receive(f->sock, out, strlen(out), frame, sizeof frame, 1000), ==,
        len);
    netns_drain(f->guest);
    len = frame_udp4(frame, guest_mac, lan_mac, LAN_IP, GUEST_IP, 9, in);
    netns_send(f->sock, frame, len);
    g_assert_cmpuint(
        netns_receive(f->guest, in, strlen(in), frame, sizeof frame, 1000), ==,
        len);
}

static void test_isolate(void)
{
    static const guint8 lldp[6] = {1, 0x80, 0xc2, 0, 0, 0x0e};
    static const guint8 group[6] = {1, 0x80, 0xc2, 0, 0, 0x05};
    static const guint8 stp[6] = {1, 0x80, 0xc2, 0, 0, 0x00};
    static const guint8 all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    g_assert_true(answers_arp(&f));
    g_assert_true(routes(&f, FALSE));
    g_assert_true(routes(&f, TRUE));
    g_assert_true(delivers(&f, f.mac));
    g_assert_true(delivers(&f, lldp));
    check_packet_socket(&f);

    isolate(&f);
    g_assert_false(answers_arp(&f));
    g_assert_false(routes(&f, FALSE));
    g_assert_false(routes(&f, TRUE));
    g_assert_false(delivers(&f, f.mac));
    g_assert_false(delivers(&f, lldp));
    g_assert_false(delivers(&f, group));
    g_assert_false(delivers(&f, stp));
    g_assert_false(delivers(&f, all));
    check_packet_socket(&f);

    /* As a proxy that starts again after a crash */
    isolate(&f);
    g_assert_false(answers_arp(&f));
    check_packet_socket(&f);

    unisolate(&f);
    g_assert_true(answers_arp(&f));
    g_assert_true(routes(&f, FALSE));
    unisolate(&f);
    teardown(&f);
}

/* Even when nothing is on its bridge, the host keeps what it could say back */
static void test_between_bridges(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    isolate(&f);
    netns_run("ip link set tap0 nomaster");
    g_assert_false(answers_arp(&f));
    g_assert_false(routes(&f, FALSE));
    g_assert_false(routes(&f, TRUE));
    teardown(&f);
}

/* Everything that comes out of a tap within the time of a few of its own */
static guint own_frames(Host *f, const char *how)
{
    guint8 frame[2048];
    guint n = 0;
    gint64 end;

    netns_run("ip link set tap0 down");
    netns_drain(f->guest);
    netns_run("%s", how);
    /* Router solicitations and reports come within the first second */
    end = g_get_monotonic_time() + 1200 * 1000;
    while (g_get_monotonic_time() < end) {
        n += netns_any(f->guest, frame, sizeof frame, 50) != 0;
    }
    return n;
}

static void test_silent(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    g_assert_cmpuint(own_frames(&f, "ip link set tap0 up"), >, 0);
    isolate(&f);
    g_assert_cmpuint(own_frames(&f, "ip link set tap0 up"), ==, 0);
    teardown(&f);
}

/* A tap that is still down is brought up, but says nothing even then. */
static void test_brought_up(void)
{
    guint8 frame[2048];
    g_autoptr(GError) error = NULL;
    NetDev dev;
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    netns_run("ip link set tap0 down");
    netns_drain(f.guest);
    isolate(&f);
    net_host_get(f.net, "tap0", &dev, &error);
    g_assert_no_error(error);
    g_assert_true(dev.up);
    g_assert_cmpuint(netns_any(f.guest, frame, sizeof frame, 1200), ==, 0);
    teardown(&f);
}

/* What the tap had before comes back, also after a crash in between. */
static void test_settings(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    netns_run("sysctl -qw net.ipv4.conf.tap0.arp_ignore=2 "
              "net.ipv4.conf.tap0.forwarding=1 "
              "net.ipv6.conf.tap0.disable_ipv6=0");
    isolate(&f);
    g_assert_cmpint(get_sysctl("net.ipv4.conf.tap0.arp_ignore"), ==, 8);
    g_assert_cmpint(get_sysctl("net.ipv6.conf.tap0.disable_ipv6"), ==, 1);
    net_host_free(f.net);
    f.net = net_host_new(NULL);
    isolate(&f);
    unisolate(&f);
    g_assert_cmpint(get_sysctl("net.ipv4.conf.tap0.arp_ignore"), ==, 2);
    g_assert_cmpint(get_sysctl("net.ipv4.conf.tap0.forwarding"), ==, 1);
    g_assert_cmpint(get_sysctl("net.ipv6.conf.tap0.disable_ipv6"), ==, 0);

    netns_run("sysctl -qw net.ipv6.conf.tap0.disable_ipv6=1");
    isolate(&f);
    unisolate(&f);
    g_assert_cmpint(get_sysctl("net.ipv6.conf.tap0.disable_ipv6"), ==, 1);
    teardown(&f);
}

static void check_refused(Host *f, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(net_host_isolate(f->net, "tap0", &error));
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "tap0"));
    g_assert_nonnull(strstr(error->message, words));
}

/* Whether the interface is there */
static gboolean exists(Host *f, const char *name)
{
    NetDev dev;

    return net_host_get(f->net, name, &dev, NULL);
}

static void test_refused(void)
{
    g_autoptr(GError) error = NULL;
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    netns_run("ip link add br0 type bridge");
    netns_run("ip link set tap0 master br0");
    check_refused(&f, "it is on br0");
    netns_run("ip link set tap0 nomaster");

    netns_run("ip addr add 10.9.0.3/24 dev tap0");
    check_refused(&f, "10.9.0.3");
    netns_run("ip addr del 10.9.0.3/24 dev tap0");
    netns_run("ip addr add fd09::3/64 dev tap0");
    check_refused(&f, "fd09::3");
    netns_run("ip addr del fd09::3/64 dev tap0");

    /* Somebody else's with our name; it also survives unisolate */
    netns_run("ip link add tap0-colo type bridge");
    netns_run("ip link set tap0-colo up");
    check_refused(&f, "tap0-colo");
    unisolate(&f);
    g_assert_true(exists(&f, "tap0-colo"));
    netns_run("ip link del tap0-colo");
    netns_run("ip link add tap0-colo type veth peer name other");
    check_refused(&f, "tap0-colo");
    netns_run("ip link del tap0-colo");
    isolate(&f);

    g_assert_false(net_host_isolate(f.net, "tap9", &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
    teardown(&f);
}

/* What a crash can leave: a bridge without our mark, or without a tap. */
static void test_leftovers(void)
{
    Host f;

    if (!netns_enter()) {
        return;
    }
    setup(&f);
    netns_run("ip link add tap0-colo type bridge");
    isolate(&f);
    g_assert_false(answers_arp(&f));

    netns_run("ip link set tap0-colo up");
    isolate(&f);
    g_assert_false(answers_arp(&f));
    g_assert_false(delivers(&f, f.mac));

    close(f.guest);
    close(f.sock);
    g_assert_false(exists(&f, "tap0"));
    g_assert_true(exists(&f, "tap0-colo"));
    f.guest = netns_tap("tap0");
    f.sock = netns_packet_socket("tap0");
    isolate(&f);
    check_packet_socket(&f);

    close(f.guest);
    unisolate(&f);
    g_assert_false(exists(&f, "tap0-colo"));
    f.guest = netns_tap("tap0");
    teardown(&f);
}

static void test_names(void)
{
    char a[16], b[16];

    net_host_cut_name("t", a);
    g_assert_cmpstr(a, ==, "t-colo");
    net_host_cut_name("tenletters", a);
    g_assert_cmpstr(a, ==, "tenletters-colo");
    net_host_cut_name("secondary-tap-a", a);
    net_host_cut_name("secondary-tap-b", b);
    g_assert_cmpstr(a, !=, b);
    g_assert_cmpuint(strlen(a), ==, 15);
    g_assert_true(g_str_has_prefix(a, "secon"));
    g_assert_true(g_str_has_suffix(a, "-colo"));
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cut/names", test_names);
    g_test_add_func("/cut/isolate", test_isolate);
    g_test_add_func("/cut/between-bridges", test_between_bridges);
    g_test_add_func("/cut/silent", test_silent);
    g_test_add_func("/cut/brought-up", test_brought_up);
    g_test_add_func("/cut/settings", test_settings);
    g_test_add_func("/cut/refused", test_refused);
    g_test_add_func("/cut/leftovers", test_leftovers);
    return g_test_run();
}
