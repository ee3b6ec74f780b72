/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest sends, in a queue of its host.  See queue.h. */
#include "config.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "netcompare/packet/checksum.h"
#include "tests/capture/queue.h"
#include "tests/packet/build.h"

#define DEADLINE_MS 10000
#define QUIET_MS    100 /* for what must not come */

static const NetNfqueueConfig usual = {.queue_num = TEST_QUEUE,
                                       .max_packets = 65536,
                                       .rcvbuf = 64 << 20,
                                       .gso = TRUE};

static void packet_free(gpointer data)
{
    TestPacket *p = data;

    g_byte_array_unref(p->bytes);
    g_free(p);
}

static NetNfqueue *open_queue(TestNet *net, const NetNfqueueConfig *config,
                              GError **error)
{
    NetNfqueue *q;

    test_net_enter(net, HOST);
    q = net_nfqueue_new(config, error);
    test_net_leave(net);
    return q;
}

const char *test_queue_missing(void)
{
    static char *why;
    const char *missing = test_net_missing();
    g_autoptr(GError) error = NULL;
    g_autoptr(TestNet) net = NULL;
    NetNfqueue *q;

    if (missing)
        return missing;
    net = test_net_new(1500);
    q = open_queue(net, &usual, &error);
    if (!q)
        return why = g_strdup(error->message);
    net_nfqueue_free(q);
    return test_net_queue(net, TEST_QUEUE, &why) ? NULL : why;
}

TestQueue *test_queue_new(guint mtu, const NetNfqueueConfig *config)
{
    static gboolean asked;
    static const char *missing;
    g_autoptr(GError) error = NULL;
    TestQueue *t;

    if (!asked)
        missing = test_queue_missing();
    asked = TRUE;
    if (missing) {
        g_test_skip(missing);
        return NULL;
    }
    t = g_new0(TestQueue, 1);
    t->net = test_net_new(mtu);
    t->held = g_ptr_array_new_with_free_func(packet_free);
    g_assert_true(test_net_queue(t->net, TEST_QUEUE, NULL));
    t->q = open_queue(t->net, config ? config : &usual, &error);
    g_assert_no_error(error);
    t->tx = test_net_frames(t->net, GUEST, "g0");
    t->rx = test_net_frames(t->net, CLIENT, "c0");
    return t;
}

void test_queue_free(TestQueue *t)
{
    net_nfqueue_free(t->q);
    g_ptr_array_unref(t->held);
    close(t->tx);
    close(t->rx);
    test_net_free(t->net);
    g_free(t);
}

GByteArray *test_queue_datagram(guint16 ethertype, guint32 n, gsize len)
{
    GByteArray *a = build_zeros((guint)MAX(len, 4)), *ip;

    for (guint i = 4; i < a->len; i++)
        a->data[i] = (guint8)(n + i);
    net_put32(a->data, n);
    a = build_udp(1111, TEST_PORT, a);
    ip = ethertype == BUILD_IPV4 ? build_ipv4(17, a) : build_ipv6(17, a);
    build_checksums(ip, ethertype);
    return ip;
}

void test_queue_send(TestQueue *t, TestPlace to, const char *tags,
                     guint16 ethertype, GByteArray *packet)
{
    test_net_send(t->tx, build_ether(to == HOST ? "52 54 00 00 00 03" : NULL,
                                     tags, ethertype, packet));
}

guint32 test_queue_number(const NetPacket *p)
{
    const guint8 *payload = p->data + p->payload;
    guint32 n;

    g_assert_cmpint(p->kind, ==, NET_KIND_DATAGRAM);
    g_assert_cmpuint(p->key.dport, ==, TEST_PORT);
    g_assert_cmpuint(p->payload_len, >=, 4);
    n = net_get32(payload);
    for (guint i = 4; i < p->payload_len; i++)
        g_assert_cmpuint(payload[i], ==, (guint8)(n + i));
    return n;
}

static void hold(const NetQueued *q, gpointer user)
{
    TestQueue *t = user;
    TestPacket *p = g_new0(TestPacket, 1);

    p->bytes = g_byte_array_append(g_byte_array_new(), q->data, (guint)q->len);
    p->q = *q;
    p->q.data = p->bytes->data;
    p->q.buf = NULL;
    net_packet_parse(&p->p, q->ethertype, p->bytes->data, q->len, q->vlan, 0);
    g_ptr_array_add(t->held, p);
}

void test_queue_take(TestQueue *t, guint want)
{
    const gint64 end = g_get_monotonic_time() + DEADLINE_MS * 1000;

    for (want += t->held->len; t->held->len < want;) {
        struct pollfd p = {.fd = net_nfqueue_fd(t->q), .events = POLLIN};
        g_autoptr(GError) error = NULL;

        net_nfqueue_read(t->q, want - t->held->len, hold, t, &error);
        g_assert_no_error(error);
        test_queue_flush(t);
        if (t->held->len < want) {
            g_assert_cmpint(g_get_monotonic_time(), <, end);
            poll(&p, 1, 100);
        }
    }
}

TestPacket *test_queue_held(TestQueue *t, guint i)
{
    g_assert_cmpuint(i, <, t->held->len);
    return g_ptr_array_index(t->held, i);
}

void test_queue_flush(TestQueue *t)
{
    g_autoptr(GError) error = NULL;

    net_nfqueue_flush(t->q, &error);
    g_assert_no_error(error);
}

GByteArray *test_queue_frame(int fd, guint ms, NetPacket *p)
{
    for (;;) {
        GByteArray *frame = test_net_recv(fd, ms);

        if (!frame ||
            net_packet_parse_frame(p, frame->data, frame->len, 0) !=
                NET_KIND_LINK)
            return frame;
        g_byte_array_unref(frame);
    }
}

void test_queue_expect(int fd, guint32 n)
{
    NetPacket p;
    GByteArray *frame = test_queue_frame(fd, DEADLINE_MS, &p);

    g_assert_nonnull(frame);
    g_assert_cmpuint(test_queue_number(&p), ==, n);
    g_assert_true(net_checksum_ok(&p));
    g_byte_array_unref(frame);
}

void test_queue_expect_none(int fd)
{
    NetPacket p;
    GByteArray *frame = test_queue_frame(fd, QUIET_MS, &p);

    g_assert_null(frame);
}
