/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of real taps, both ways: what they keep on their way from one to
 * another, and what happens when a tap is full, down or gone.
 */
#include "config.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "netcompare/capture/tap.h"
#include "netcompare/packet/checksum.h"
#include "tests/capture/taps.h"
#include "tests/packet/build.h"

#define IPV4        BUILD_IPV4
#define IPV6        BUILD_IPV6
#define RCVBUF      (16 << 20)
#define DEADLINE_MS 10000
#define QUIET_MS    100
#define N_CASES     13

static gboolean prepare(void)
{
    const char *missing = taps_missing();

    if (missing) {
        g_test_skip(missing);
        return FALSE;
    }
    taps_fresh_namespace();
    return TRUE;
}

/* What a guest with virtio-net's usual offloads, and its peers, send. */
static TapFrame make_case(guint i)
{
    switch (i) {
    case 0:
        return taps_udp(NULL, NULL, IPV4, 20);
    case 1:
        return taps_udp(NULL, NULL, IPV6, 1400);
    case 2:
        return taps_tcp_gso(IPV4, NULL, 65469, 1448); /* a frame of 65535 */
    case 3:
        return taps_tcp_gso(IPV6, NULL, 65000, 1428);
    case 4:
        return taps_udp_unfinished(IPV4, NULL, 1000);
    case 5:
        return taps_udp_unfinished(IPV6, NULL, 1001);
    case 6:
        return taps_udp(NULL, "81 00 00 07", IPV4, 100);
    case 7:
        return taps_tcp_gso(IPV4, "81 00 60 2a", 60000, 1448);
    case 8:
        return taps_udp_unfinished(IPV6, "88 a8 00 09", 500);
    case 9:
        return taps_udp("01 00 5e 01 02 03", NULL, IPV4, 60);
    case 10:
        return taps_udp("33 33 00 00 00 09", NULL, IPV6, 60);
    case 11:
        return taps_udp(NULL, NULL, IPV4, 8900);
    default:
        return taps_udp_gso(IPV4, 30000, 1400);
    }
}

static NetTap *open_tap(const char *name, NetTapDirection direction,
                        const char *filter)
{
    g_autoptr(GError) error = NULL;
    NetTap *t = net_tap_open(name, direction, filter, RCVBUF, &error);

    g_assert_no_error(error);
    return t;
}

typedef struct Got {
    TapFrame frames[64];
    guint n;
} Got;

static void keep(const NetFrame *f, gpointer user)
{
    Got *got = user;

    g_assert_cmpuint(got->n, <, G_N_ELEMENTS(got->frames));
    got->frames[got->n++] = (TapFrame){
        f->vnet,
        g_byte_array_append(g_byte_array_new(), f->data, (guint)f->len)};
}

/* Read until there are want frames; with 0, what comes in a while. */
static void take(NetTap *t, guint want, Got *got)
{
    const gint64 end = g_get_monotonic_time() +
                       (want ? DEADLINE_MS : QUIET_MS) * 1000;

    while ((got->n < want || want == 0) && g_get_monotonic_time() < end) {
        struct pollfd p = {.fd = net_tap_fd(t), .events = POLLIN};
        g_autoptr(GError) error = NULL;

        poll(&p, 1, 20);
        net_tap_read(t, want ? want - got->n : 64, keep, got, &error);
        g_assert_no_error(error);
    }
    g_assert_cmpuint(got->n, ==, want);
}

static void clear(Got *got)
{
    for (guint i = 0; i < got->n; i++)
        taps_frame_clear(&got->frames[i]);
    got->n = 0;
}

static void test_incoming(void)
{
    Got got = {.n = 0};
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    fd = taps_open("t0", 9000, TRUE);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    for (guint i = 0; i < N_CASES; i++) {
        TapFrame f = make_case(i);

        g_test_message("case %u", i);
        taps_write(fd, &f);
        take(t, 1, &got);
        taps_assert_same(&f, &got.frames[0].vnet, got.frames[0].bytes->data,
                         got.frames[0].bytes->len);
        clear(&got);
        taps_frame_clear(&f);
    }
    net_tap_close(t);
    close(fd);
}

/*
 * From a peer's tap over a bridge to the primary's: seen on the way, and put
 * into the secondary's tap.  Both guests must get the same.
 */
static void test_injected(void)
{
    int peer, primary, secondary;
    NetTap *seen, *in;

    if (!prepare())
        return;
    peer = taps_open("peer", 9000, TRUE);
    primary = taps_open("pri", 9000, TRUE);
    secondary = taps_open("sec", 9000, TRUE);
    taps_run("ip link add br0 mtu 9000 type bridge forward_delay 0 stp_state "
             "0 mcast_snooping 0");
    taps_run("ip link set dev peer master br0");
    taps_run("ip link set dev pri master br0");
    taps_run("ip link set dev br0 up");
    seen = open_tap("pri", NET_TAP_OUTGOING, NULL);
    in = open_tap("sec", NET_TAP_INCOMING, NULL);
    for (guint i = 0; i < N_CASES; i++) {
        TapFrame f = make_case(i), a, b;
        g_autoptr(GError) error = NULL;
        Got got = {.n = 0};

        g_test_message("case %u", i);
        taps_write(peer, &f);
        take(seen, 1, &got);
        taps_assert_same(&f, &got.frames[0].vnet, got.frames[0].bytes->data,
                         got.frames[0].bytes->len);
        net_tap_send(in, &got.frames[0].vnet, got.frames[0].bytes->data,
                     got.frames[0].bytes->len, &error);
        g_assert_no_error(error);
        g_assert_true(taps_read(primary, DEADLINE_MS, &a));
        g_assert_true(taps_read(secondary, DEADLINE_MS, &b));
        taps_assert_same(&a, &b.vnet, b.bytes->data, b.bytes->len);
        taps_assert_same(&f, &b.vnet, b.bytes->data, b.bytes->len);
        taps_frame_clear(&f);
        taps_frame_clear(&a);
        taps_frame_clear(&b);
        clear(&got);
    }
    net_tap_close(seen);
    net_tap_close(in);
    close(peer);
    close(primary);
    close(secondary);
}

/* Each socket sees its direction only, and never what it sends itself. */
static void test_directions(void)
{
    Got got = {.n = 0};
    NetTap *in, *out;
    TapFrame f;
    int fd;

    if (!prepare())
        return;
    f = taps_udp(NULL, NULL, IPV4, 33);
    fd = taps_open("t0", 1500, TRUE);
    in = open_tap("t0", NET_TAP_INCOMING, NULL);
    out = open_tap("t0", NET_TAP_OUTGOING, NULL);
    g_assert_true(
        net_tap_send(in, &f.vnet, f.bytes->data, f.bytes->len, NULL));
    g_assert_true(
        net_tap_send(out, &f.vnet, f.bytes->data, f.bytes->len, NULL));
    take(in, 0, &got);
    taps_write(fd, &f);
    take(in, 1, &got);
    take(out, 0, &(Got){.n = 0});
    clear(&got);
    taps_frame_clear(&f);
    net_tap_close(in);
    net_tap_close(out);
    close(fd);
}

/* What was there before the socket is not for it. */
static void test_not_before(void)
{
    TapFrame f;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_udp(NULL, NULL, IPV4, 33);
    fd = taps_open("t0", 1500, TRUE);
    taps_write(fd, &f);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    take(t, 0, &(Got){.n = 0});
    taps_frame_clear(&f);
    net_tap_close(t);
    close(fd);
}

/* The kernel does it, so tags are none of its business. */
static void test_only_to(void)
{
    static const char *const to[] = {"02 00 00 00 00 01", "02 00 00 00 00 02",
                                     "02 00 00 00 01 01", "02 00 00 01 00 01"};
    guint8 macs[NET_TAP_DESTINATIONS][6] = {{0}};
    g_autoptr(GError) error = NULL;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    fd = taps_open("t0", 1500, TRUE);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    memcpy(macs[0], "\x02\0\0\0\0\x02", 6);
    memcpy(macs[NET_TAP_DESTINATIONS - 1], "\x02\0\0\x01\0\x01", 6);
    for (guint n = 0; n <= NET_TAP_DESTINATIONS;
         n = n < 2 ? n + 1 : n + NET_TAP_DESTINATIONS - 2) {
        guint expected = n > 2 ? 2 : n ? 1 : 0;
        Got got = {.n = 0};

        net_tap_only_to(t, (const guint8(*)[6])macs, n, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < G_N_ELEMENTS(to); i++) {
            TapFrame f =
                taps_udp(to[i], n == 1 ? "81 00 00 07" : NULL, IPV4, 33);

            taps_write(fd, &f);
            taps_frame_clear(&f);
        }
        take(t, expected, &got);
        for (guint i = 0; i < expected; i++) {
            g_assert_cmpmem(got.frames[i].bytes->data, 6,
                            macs[i ? NET_TAP_DESTINATIONS - 1 : 0], 6);
        }
        clear(&got);
    }
    net_tap_close(t);
    close(fd);
}

static void test_filter(void)
{
    static const char *const tags[] = {NULL, "81 00 00 07", "81 00 00 08"};
    g_autoptr(GError) error = NULL;
    Got got = {.n = 0};
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    fd = taps_open("t0", 1500, TRUE);
    g_assert_null(
        net_tap_open("t0", NET_TAP_INCOMING, "vlan nonsense", 0, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    t = open_tap("t0", NET_TAP_INCOMING, "vlan 7 and udp dst port 2222");
    for (guint i = 0; i < G_N_ELEMENTS(tags); i++) {
        TapFrame f = taps_udp(NULL, tags[i], IPV4, 33);

        taps_write(fd, &f);
        taps_frame_clear(&f);
    }
    take(t, 1, &got);
    g_assert_cmpuint(got.frames[0].bytes->data[15], ==, 7);
    clear(&got);
    take(t, 0, &got);
    net_tap_close(t);
    close(fd);
}

/* A buffer that is full is counted. */
static void test_lost(void)
{
    enum { SENT = 500 };
    NetTapStats s;
    Got got = {.n = 0};
    TapFrame f;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_udp(NULL, NULL, IPV4, 1000);
    fd = taps_open("t0", 1500, TRUE);
    t = net_tap_open("t0", NET_TAP_INCOMING, NULL, 4096, NULL);
    g_assert_nonnull(t);
    for (guint i = 0; i < SENT; i++)
        taps_write(fd, &f);
    while (net_tap_read(t, 64, keep, &got, NULL) > 0)
        clear(&got);
    net_tap_stats(t, &s);
    g_assert_cmpuint(s.read, >, 0);
    g_assert_cmpuint(s.lost, >, 0);
    g_assert_cmpuint(s.read + s.lost, ==, SENT);
    net_tap_stats(t, &s); /* asked again, it is the same */
    g_assert_cmpuint(s.read + s.lost, ==, SENT);
    taps_frame_clear(&f);
    net_tap_close(t);
    close(fd);
}

/* A full tap refuses; what it took is all there. */
static void test_full(void)
{
    enum { LENGTH = 100, SENT = 150 };
    g_autoptr(GError) error = NULL;
    NetTapStats s;
    TapFrame f, got;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_tcp_gso(IPV4, NULL, 20000, 1448);
    fd = taps_open("t0", 1500, TRUE);
    taps_run("ip link set dev t0 txqueuelen %d", LENGTH);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    for (guint i = 0; i < SENT; i++) {
        gboolean ok =
            net_tap_send(t, &f.vnet, f.bytes->data, f.bytes->len, NULL);

        g_assert_cmpint(ok, ==, i < LENGTH);
    }
    g_assert_false(
        net_tap_send(t, &f.vnet, f.bytes->data, f.bytes->len, &error));
    g_assert_nonnull(strstr(error->message, "full"));
    net_tap_stats(t, &s);
    g_assert_cmpuint(s.sent, ==, LENGTH);
    g_assert_cmpuint(s.refused, ==, SENT - LENGTH + 1);
    for (guint i = 0; i < LENGTH; i++) {
        g_assert_true(taps_read(fd, DEADLINE_MS, &got));
        taps_assert_same(&f, &got.vnet, got.bytes->data, got.bytes->len);
        taps_frame_clear(&got);
    }
    g_assert_false(taps_read(fd, QUIET_MS, &got));
    taps_frame_clear(&f);
    net_tap_close(t);
    close(fd);
}

/* The counters by which frames that wait in a tap are told (internals.md). */
static void test_counters(void)
{
    enum { LENGTH = 50, SENT = 70 };
    TapCounters before, c;
    TapFrame f, got;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_udp(NULL, NULL, IPV4, 100);
    fd = taps_open("t0", 1500, TRUE);
    taps_run("ip link set dev t0 txqueuelen %d", LENGTH);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    before = taps_counters("t0");
    for (guint i = 0; i < SENT; i++)
        net_tap_send(t, &f.vnet, f.bytes->data, f.bytes->len, NULL);
    /* The tap has them, nobody read them */
    c = taps_counters("t0");
    g_assert_cmpuint(c.tx_packets - before.tx_packets, ==, 0);
    g_assert_cmpuint(c.tx_dropped - before.tx_dropped, ==, SENT - LENGTH);
    for (guint i = 1; i <= LENGTH; i++) {
        g_assert_true(taps_read(fd, DEADLINE_MS, &got));
        taps_frame_clear(&got);
        g_assert_cmpuint(taps_counters("t0").tx_packets - before.tx_packets,
                         ==, i);
    }
    taps_frame_clear(&f);
    net_tap_close(t);
    close(fd);
}

/* For a guest without offloads the kernel cuts and finishes. */
static void test_no_offloads(void)
{
    g_autoptr(GError) error = NULL;
    guint payload = 0;
    NetTapStats s;
    TapFrame f, got;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_tcp_gso(IPV4, NULL, 20000, 1448);
    fd = taps_open("t0", 1500, FALSE);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    net_tap_send(t, &f.vnet, f.bytes->data, f.bytes->len, &error);
    g_assert_no_error(error);
    while (payload < 20000) {
        NetPacket p;

        g_assert_true(taps_read(fd, DEADLINE_MS, &got));
        g_assert_cmpuint(got.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, ==, 0);
        net_packet_parse_frame(&p, got.bytes->data, got.bytes->len, 0);
        g_assert_cmpint(p.kind, ==, NET_KIND_TCP);
        g_assert_cmpuint(p.seq, ==, 1000 + payload);
        g_assert_cmpuint(p.payload_len, <=, 1448);
        g_assert_true(net_checksum_ok(&p));
        payload += p.payload_len;
        taps_frame_clear(&got);
    }
    g_assert_cmpuint(payload, ==, 20000);
    net_tap_stats(t, &s);
    g_assert_cmpuint(s.sent, ==, 1);
    g_assert_cmpuint(s.refused, ==, 0);
    taps_frame_clear(&f);
    net_tap_close(t);
    close(fd);
}

/* A hostile header is refused here, and does not reach the kernel. */
static void test_hostile(void)
{
    static const struct virtio_net_hdr bad[] = {
        {VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 0xfff0, 6},
        {0, VIRTIO_NET_HDR_GSO_TCPV4, 0, 0, 0, 0},
        {0, 0x55, 0, 1, 0, 0},
    };
    TapFrame f, got;
    NetTapStats s;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_udp(NULL, NULL, IPV4, 100);
    fd = taps_open("t0", 1500, TRUE);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(net_tap_send(t, &bad[i], f.bytes->data, f.bytes->len,
                                    &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    }
    g_assert_false(taps_read(fd, QUIET_MS, &got));
    net_tap_stats(t, &s);
    g_assert_cmpuint(s.refused, ==, G_N_ELEMENTS(bad));
    taps_frame_clear(&f);
    net_tap_close(t);
    close(fd);
}

/* Down is no error, and reading goes on when it is up again; gone is one. */
static void test_gone(void)
{
    g_autoptr(GError) error = NULL;
    struct pollfd p = {.events = POLLIN};
    Got got = {.n = 0};
    TapFrame f;
    NetTap *t;
    int fd;

    if (!prepare())
        return;
    f = taps_udp(NULL, NULL, IPV4, 100);
    fd = taps_open("t0", 1500, TRUE);
    t = open_tap("t0", NET_TAP_INCOMING, NULL);
    taps_run("ip link set dev t0 down");
    take(t, 0, &got);
    g_assert_false(
        net_tap_send(t, &f.vnet, f.bytes->data, f.bytes->len, NULL));
    taps_run("ip link set dev t0 up");
    taps_write(fd, &f);
    take(t, 1, &got);
    clear(&got);
    close(fd); /* the tap goes with its process */
    p.fd = net_tap_fd(t);
    g_assert_cmpint(poll(&p, 1, DEADLINE_MS), ==, 1);
    for (guint i = 0; i < 2; i++) {
        g_assert_cmpint(net_tap_read(t, 1, keep, &got, &error), ==, -1);
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
        g_clear_error(&error);
    }
    g_assert_false(
        net_tap_send(t, &f.vnet, f.bytes->data, f.bytes->len, NULL));
    net_tap_close(t);
    g_assert_null(net_tap_open("t0", NET_TAP_INCOMING, NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "interface t0"));
    taps_frame_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tap/incoming", test_incoming);
    g_test_add_func("/tap/injected", test_injected);
    g_test_add_func("/tap/directions", test_directions);
    g_test_add_func("/tap/not-before", test_not_before);
    g_test_add_func("/tap/only-to", test_only_to);
    g_test_add_func("/tap/filter", test_filter);
    g_test_add_func("/tap/lost", test_lost);
    g_test_add_func("/tap/full", test_full);
    g_test_add_func("/tap/counter-grows-when-read", test_counters);
    g_test_add_func("/tap/no-offloads", test_no_offloads);
    g_test_add_func("/tap/hostile", test_hostile);
    g_test_add_func("/tap/gone", test_gone);
    return g_test_run();
}
