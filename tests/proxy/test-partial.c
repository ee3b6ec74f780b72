/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of segments on a real bridge: from its interface to a client's, read
 * there, large ones as they are and cut by the kernel.
 */
#include "config.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netcompare/capture/tap.h"
#include "netcompare/packet/checksum.h"
#include "netcompare/proxy/partial.h"
#include "tests/capture/net.h"
#include "tests/packet/build.h"

#define GUEST_MAC  "52 54 00 00 00 01"
#define CLIENT_MAC "52 54 00 00 00 02"
#define HOST_MAC   "52 54 00 00 00 03"
#define TIMESTAMP  "01 01 08 0a 00 00 00 07 00 00 00 09"

enum {
    MTU = 1500,
    WAIT_MS = 5000, /* for what comes */
    QUIET_MS = 100, /* for what does not */
    PORT = 80,
    CLIENT_PORT = 4000,
    SEQ = 0xffffe000, /* wraps on the way */
    LEN = 40000,
    MSS = 1400,
    ID = 0x1234,
    CWR = 0x80,
    FLAGS = NET_TCP_ACK | NET_TCP_PSH | NET_TCP_FIN | CWR,
};

typedef struct Bench {
    TestNet *net;
    NetTap *heard;   /* what goes to the guest */
    NetTap *client;  /* what comes to the client */
    int from_client; /* to send */
    Partial *partial;
    GByteArray *ip; /* the guest's segment */
    NetPacket segment;
    const char *tags;
    gint64 now;
} Bench;

static void set_ip(Bench *b, guint16 type, guint8 next, GByteArray *body)
{
    if (b->ip) {
        g_byte_array_unref(b->ip);
    }
    b->ip =
        type == BUILD_IPV4 ? build_ipv4(next, body) : build_ipv6(next, body);
    g_assert_cmpint(
        net_packet_parse(&b->segment, type, b->ip->data, b->ip->len, 0, 0), ==,
        NET_KIND_TCP);
}

static void set_segment(Bench *b, guint16 type, guint8 flags, guint len)
{
    GByteArray *payload = build_zeros(len);

    for (guint i = 0; i < len; i++) {
        payload->data[i] = (guint8)g_test_rand_int();
    }
    set_ip(b, type, 6,
           build_tcp(PORT, CLIENT_PORT, SEQ, 77, flags, TIMESTAMP, payload));
}

static NetTap *tap_in(TestNet *n, TestPlace where, const char *name,
                      NetTapDirection direction)
{
    g_autoptr(GError) error = NULL;
    NetTap *t;

    test_net_enter(n, where);
    t = net_tap_open(name, direction, "tcp or (vlan and tcp)", 8 << 20, &error);
    test_net_leave(n);
    g_assert_no_error(error);
    return t;
}

static Partial *partial_of(TestNet *n, gboolean filters_vlans)
{
    g_autoptr(GError) error = NULL;
    NetDev dev;
    NetHost *h;
    Partial *p;

    test_net_enter(n, HOST);
    h = net_host_new(&error);
    g_assert_no_error(error);
    net_host_get(h, "gp", &dev, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(dev.master_name, ==, "br0");
    g_assert_true(filters_vlans || !dev.master_filters_vlans);
    dev.master_filters_vlans = filters_vlans;
    p = partial_new(&dev, &error);
    g_assert_no_error(error);
    net_host_free(h);
    test_net_leave(n);
    return p;
}

static gboolean bench_init(Bench *b, guint16 type, const char *tags)
{
    const char *missing = test_net_missing();

    memset(b, 0, sizeof(*b));
    if (missing) {
        g_test_skip(missing);
        return FALSE;
    }
    b->net = test_net_new(MTU);
    /* Else their kernels reset the connection that they do not know. */
    g_assert_true(test_net_run(b->net, GUEST, NULL, "ip addr flush dev g0"));
    g_assert_true(test_net_run(b->net, CLIENT, NULL, "ip addr flush dev c0"));
    b->heard = tap_in(b->net, HOST, "gp", NET_TAP_OUTGOING);
    b->client = tap_in(b->net, CLIENT, "c0", NET_TAP_INCOMING);
    b->from_client = test_net_frames(b->net, CLIENT, "c0");
    b->partial = partial_of(b->net, FALSE);
    b->tags = tags;
    b->now = G_USEC_PER_SEC;
    set_segment(b, type, FLAGS, LEN);
    return TRUE;
}

static void bench_clear(Bench *b)
{
    partial_free(b->partial);
    net_tap_close(b->heard);
    net_tap_close(b->client);
    close(b->from_client);
    g_byte_array_unref(b->ip);
    test_net_free(b->net);
}

/* As with a card that neither cuts nor sums: the kernel has to. */
static void no_offloads(Bench *b, const char *name)
{
    static const guint32 commands[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO,
                                       ETHTOOL_SGSO};
    int fd = test_net_socket(b->net, HOST, AF_INET, SOCK_DGRAM);

    for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
        struct ethtool_value value = {.cmd = commands[i]};
        struct ifreq ifr = {.ifr_data = (char *)&value};

        g_strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
        g_assert_cmpint(ioctl(fd, SIOCETHTOOL, &ifr), ==, 0);
    }
    close(fd);
}

/* --- What the client says ----------------------------------------------- */

static void learn(const NetFrame *f, gpointer user)
{
    Bench *b = user;

    partial_learn(b->partial, f->data, f->len, b->now);
}

/* It goes over the bridge to the guest's port, where it is heard. */
static void client_says(Bench *b, const char *dst, guint32 ack)
{
    guint16 type = b->segment.key.ethertype;
    GByteArray *tcp =
        build_tcp(CLIENT_PORT, PORT, 77, ack, NET_TCP_ACK, NULL, NULL);
    GByteArray *ip =
        type == BUILD_IPV4 ? build_ipv4(6, tcp) : build_ipv6(6, tcp);
    g_autoptr(GByteArray) src = build_hex(CLIENT_MAC);
    struct pollfd p = {.fd = net_tap_fd(b->heard), .events = POLLIN};
    GByteArray *frame;

    build_turn(ip);
    build_checksums(ip, type);
    frame = build_ether(dst, b->tags, type, ip);
    memcpy(frame->data + 6, src->data, 6);
    test_net_send(b->from_client, frame);
    g_assert_cmpint(poll(&p, 1, WAIT_MS), ==, 1);
    g_assert_cmpint(net_tap_read(b->heard, 1, learn, b, NULL), ==, 1);
}

/* --- What it gets ------------------------------------------------------- */

typedef struct Got {
    Bench *b;
    guint bytes, frames, fins, pushes, cwrs, large;
    guint largest; /* payload that one packet carries on the wire */
    guint16 window;
} Got;

/* As the card would finish it, if that was left to it. */
static void finish(const struct virtio_net_hdr *vnet, guint8 *frame, gsize len)
{
    guint8 *at = frame + vnet->csum_start;

    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        net_put16(at + vnet->csum_offset,
                  net_sum_fold(net_sum(at, len - vnet->csum_start, 0)));
    }
}

static void check_frame(const NetFrame *f, gpointer user)
{
    Got *got = user;
    const Bench *b = got->b;
    g_autofree guint8 *bytes = g_memdup2(f->data, f->len);
    g_autoptr(GByteArray) head =
        build_ether(CLIENT_MAC, b->tags, b->segment.key.ethertype, NULL);
    gboolean last;
    NetPacket p;

    finish(&f->vnet, bytes, f->len);
    g_assert_cmpint(net_packet_parse_frame(&p, bytes, f->len, 0), ==,
                    NET_KIND_TCP);
    g_assert_cmpmem(bytes, (gsize)(p.data - bytes), head->data, head->len);
    /* IP's length is the frame's, too: it is too long to be padded. */
    g_assert_cmpuint(p.len, ==, f->len - head->len);
    g_assert_true(build_is_sound(&p, p.data));
    g_assert_cmpmem(p.key.src, 16, b->segment.key.src, 16);
    g_assert_cmpmem(p.key.dst, 16, b->segment.key.dst, 16);
    g_assert_cmpuint(p.key.sport, ==, PORT);
    g_assert_cmpuint(p.key.dport, ==, CLIENT_PORT);
    g_assert_cmpuint(p.seq, ==, (guint32)SEQ + got->bytes);
    g_assert_cmpuint(p.ack, ==, 77);
    g_assert_true(p.has_ts && p.tsval == 7 && p.tsecr == 9);
    g_assert_cmpuint(p.window, ==, got->window);
    g_assert_cmpuint(p.payload_len, <=, b->segment.payload_len - got->bytes);
    g_assert_cmpmem(p.data + p.payload, p.payload_len,
                    b->segment.data + b->segment.payload + got->bytes,
                    p.payload_len);
    if (p.key.ethertype == BUILD_IPV4) {
        /* No two have the same, unless a part ends within a packet. */
        g_assert_cmpuint(net_get16(p.data + 4), ==, ID + got->bytes / MSS);
    }
    last = got->bytes + p.payload_len == b->segment.payload_len;
    g_assert_cmpint((p.flags & NET_TCP_FIN) != 0, ==, last);
    g_assert_cmpint((p.flags & NET_TCP_PSH) != 0, ==, last);
    g_assert_cmpint((p.flags & CWR) != 0, ==, got->bytes == 0);
    if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        g_assert_cmpuint(f->vnet.gso_size, ==, MSS);
        g_assert_cmpint((f->vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0, ==,
                        got->bytes == 0);
        got->large++;
        got->largest = MAX(got->largest, MIN(MSS, p.payload_len));
    } else {
        got->largest = MAX(got->largest, p.payload_len);
    }
    got->bytes += p.payload_len;
    got->frames++;
}

static void receive(Bench *b, Got *got, guint until)
{
    struct pollfd p = {.fd = net_tap_fd(b->client), .events = POLLIN};

    got->b = b;
    while (got->bytes < until) {
        g_assert_cmpint(poll(&p, 1, WAIT_MS), ==, 1);
        g_assert_cmpint(net_tap_read(b->client, 64, check_frame, got, NULL), >=,
                        0);
    }
    g_assert_cmpuint(got->bytes, ==, until);
}

static void nothing(const NetFrame *f, gpointer user)
{
    g_error("a frame of %zu bytes came", f->len);
}

static void assert_quiet(Bench *b)
{
    struct pollfd p = {.fd = net_tap_fd(b->client), .events = POLLIN};

    poll(&p, 1, QUIET_MS);
    net_tap_read(b->client, 64, nothing, NULL, NULL);
}

static gboolean send_part(Bench *b, guint at, guint len, guint16 window)
{
    return partial_send(b->partial, &b->segment, at, len, window, MSS, b->now);
}

static void send_all(Bench *b)
{
    /* Ends of parts within packets, at their ends, and of one byte. */
    static const guint ends[] = {500, 500 + 3 * MSS, 10000, 10001, LEN};
    Got got = {.b = b};
    guint at = 0;

    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        got.window = (guint16)(1000 + i);
        g_assert_true(send_part(b, at, ends[i] - at, got.window));
        receive(b, &got, ends[i]);
        at = ends[i];
    }
    assert_quiet(b);
    g_assert_cmpuint(got.largest, ==, MSS);
    g_test_message("%u frames, %u of them large", got.frames, got.large);
}

static void run(guint16 type, const char *tags, const char *ip_options)
{
    Bench b;

    if (!bench_init(&b, type, tags)) {
        return;
    }
    if (ip_options) {
        GByteArray *o = build_hex(ip_options);

        g_byte_array_set_size(b.ip, b.ip->len + o->len);
        memmove(b.ip->data + 20 + o->len, b.ip->data + 20,
                b.ip->len - 20 - o->len);
        memcpy(b.ip->data + 20, o->data, o->len);
        b.ip->data[0] = (guint8)(0x45 + o->len / 4);
        net_put16(b.ip->data + 2, (guint16)b.ip->len);
        g_assert_cmpint(
            net_packet_parse(&b.segment, type, b.ip->data, b.ip->len, 0, 0), ==,
            NET_KIND_TCP);
        g_byte_array_unref(o);
    }
    g_assert_false(send_part(&b, 0, 500, 1000));
    assert_quiet(&b); /* nobody was heard */
    client_says(&b, GUEST_MAC, SEQ);
    send_all(&b);
    no_offloads(&b, "cp");
    send_all(&b);
    bench_clear(&b);
}

static void test_ipv4(void)
{
    run(BUILD_IPV4, NULL, NULL);
}

static void test_ipv4_options(void)
{
    run(BUILD_IPV4, NULL, "94 04 00 00 01 01 01 01");
}

static void test_ipv6(void)
{
    run(BUILD_IPV6, NULL, NULL);
}

static void test_vlan(void)
{
    run(BUILD_IPV4, "8100 0007", NULL);
    run(BUILD_IPV6, "8100 0007", NULL);
}

/* What cannot be cut, or sent there, is not. */
static void test_refused(void)
{
    guint8 destination[8] = {6, 0, 1, 4};
    GByteArray *body;
    Bench b;

    if (!bench_init(&b, BUILD_IPV6, NULL)) {
        return;
    }
    client_says(&b, GUEST_MAC, SEQ);
    g_assert_false(send_part(&b, LEN, 1, 1000));
    g_assert_false(send_part(&b, 1, LEN, 1000));
    g_assert_false(send_part(&b, 0, 0, 1000));
    g_assert_false(send_part(&b, 1, G_MAXUINT32, 1000));
    g_assert_false(partial_send(b.partial, &b.segment, 0, 100, 1000, 0, b.now));
    body = g_byte_array_new();
    g_byte_array_append(body, destination, sizeof(destination));
    g_byte_array_append(body, b.ip->data + 40, b.ip->len - 40);
    set_ip(&b, BUILD_IPV6, 60, body);
    g_assert_false(send_part(&b, 0, 500, 1000));
    set_segment(&b, BUILD_IPV6, NET_TCP_ACK | NET_TCP_URG, 2000);
    g_assert_false(send_part(&b, 0, 500, 1000));
    /* A packet larger than the bridge takes. */
    set_segment(&b, BUILD_IPV6, NET_TCP_ACK, 5000);
    g_assert_false(
        partial_send(b.partial, &b.segment, 0, 4000, 1000, 65000, b.now));
    assert_quiet(&b);
    bench_clear(&b);
}

/* Longer than a length in IP's header can say: a jumbo frame's bytes. */
static void test_too_long(void)
{
    Bench b;

    if (!bench_init(&b, BUILD_IPV4, NULL)) {
        return;
    }
    client_says(&b, GUEST_MAC, SEQ);
    /* To be cut by the card: its length is 0, and the frame's counts. */
    g_byte_array_set_size(b.ip, 70000);
    memset(b.ip->data + 20 + 32, 0, 70000 - 20 - 32);
    net_put16(b.ip->data + 2, 0);
    g_assert_cmpint(
        net_packet_parse(&b.segment, BUILD_IPV4, b.ip->data, b.ip->len, 0, 0),
        ==, NET_KIND_TCP);
    g_assert_false(send_part(&b, 0, 65535 - 20 - 32 + 1, 1000));
    g_assert_false(send_part(&b, 0, 69000, 1000));
    assert_quiet(&b);
    g_assert_true(send_part(&b, 0, 65535 - 20 - 32, 1000));
    bench_clear(&b);
}

/* Behind the bridge's own address is the host, which would not get it. */
static void test_host(void)
{
    g_autoptr(GByteArray) host = build_hex(HOST_MAC);
    g_autoptr(GByteArray) frame = NULL;
    GByteArray *ip;
    Bench b;

    if (!bench_init(&b, BUILD_IPV4, NULL)) {
        return;
    }
    ip = build_ipv4(
        6, build_tcp(CLIENT_PORT, PORT, 77, SEQ, NET_TCP_ACK, NULL, NULL));
    build_turn(ip);
    frame = build_ether(GUEST_MAC, NULL, BUILD_IPV4, ip);
    memcpy(frame->data + 6, host->data, 6);
    partial_learn(b.partial, frame->data, frame->len, b.now);
    g_assert_false(send_part(&b, 0, 500, 1000));
    assert_quiet(&b);
    bench_clear(&b);
}

static void test_vlan_filtering(void)
{
    Bench b;

    if (!bench_init(&b, BUILD_IPV4, NULL)) {
        return;
    }
    partial_free(b.partial);
    b.partial = partial_of(b.net, TRUE);
    client_says(&b, GUEST_MAC, SEQ);
    g_assert_false(send_part(&b, 0, 500, 1000));
    assert_quiet(&b);
    bench_clear(&b);
}

/* The ACK comes over the bridge, or it does not: then nothing more is sent. */
static void test_trial(void)
{
    Bench b;
    Got got = {.window = 1000};

    if (!bench_init(&b, BUILD_IPV4, NULL)) {
        return;
    }
    client_says(&b, GUEST_MAC, SEQ);
    g_assert_true(send_part(&b, 0, 500, 1000));
    receive(&b, &got, 500);
    b.now += 100 * 1000;
    client_says(&b, GUEST_MAC, SEQ + 500);
    b.now += 100 * 1000;
    g_assert_true(send_part(&b, 500, 500, 1000));
    receive(&b, &got, 1000);
    b.now += 61 * G_USEC_PER_SEC;
    g_assert_true(send_part(&b, 1000, 500, 1000));
    receive(&b, &got, 1500);
    b.now += 200 * 1000;
    client_says(&b, GUEST_MAC, SEQ + 1500);
    g_assert_false(send_part(&b, 1500, 500, 1000));
    assert_quiet(&b);
    bench_clear(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/partial/ipv4", test_ipv4);
    g_test_add_func("/partial/ipv4-options", test_ipv4_options);
    g_test_add_func("/partial/ipv6", test_ipv6);
    g_test_add_func("/partial/vlan", test_vlan);
    g_test_add_func("/partial/refused", test_refused);
    g_test_add_func("/partial/too-long", test_too_long);
    g_test_add_func("/partial/host", test_host);
    g_test_add_func("/partial/vlan-filtering", test_vlan_filtering);
    g_test_add_func("/partial/trial", test_trial);
    return g_test_run();
}
