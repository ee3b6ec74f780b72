/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netfilter queue under load: streams in large packets, many small ones,
 * rewriting, and what is counted when there is no more room.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <glib-unix.h>

#include "netcompare/capture/tap.h"
#include "netcompare/packet/checksum.h"
#include "tests/capture/queue.h"
#include "tests/packet/build.h"

#define DEADLINE_US (60 * G_USEC_PER_SEC)
#define WINDOW      4321 /* as rewritten; the connection's scale is applied */

/* --- Streams ------------------------------------------------------------ */

typedef struct Stream {
    TestQueue *t;
    int from, to;     /* guest's and client's end */
    guint64 size, sent, received;
    gboolean rewrite;
    guint large, packets, rewritten;
} Stream;

static void set_nonblocking(int fd)
{
    g_assert_true(g_unix_set_fd_nonblocking(fd, TRUE, NULL));
}

/* The byte at any place of the stream. */
static guint8 byte_at(guint64 at)
{
    return (guint8)(at * 31 + at / 65521);
}

static void judge(const NetQueued *q, gpointer user)
{
    Stream *s = user;
    g_autofree guint8 *copy = NULL;
    NetPacket p;

    g_assert_false(q->truncated);
    if (net_packet_parse(&p, q->ethertype, q->data, q->len, 0, 0) !=
        NET_KIND_TCP) {
        net_nfqueue_accept(s->t->q, q->id, NULL, 0);
        return;
    }
    s->packets++;
    s->large += p.len > 1500;
    g_assert_true(q->gso || p.len <= 1500);
    g_assert_true(q->unfinished || !q->gso);
    if (!s->rewrite || (p.flags & NET_TCP_SYN)) {
        net_nfqueue_accept(s->t->q, q->id, NULL, 0);
        return;
    }
    copy = g_memdup2(q->data, q->len);
    net_put16(copy + p.l4 + 14, WINDOW);
    g_assert_true(net_checksum_fill(&p, copy));
    net_nfqueue_accept(s->t->q, q->id, copy, q->len);
    s->rewritten++;
}

static void pump_queue(Stream *s)
{
    g_autoptr(GError) error = NULL;

    net_nfqueue_read(s->t->q, 64, judge, s, &error);
    g_assert_no_error(error);
    test_queue_flush(s->t);
}

static void pump_sender(Stream *s)
{
    static guint8 chunk[65536];
    const gsize len = MIN(sizeof(chunk), s->size - s->sent);
    ssize_t n;

    for (gsize i = 0; i < len; i++)
        chunk[i] = byte_at(s->sent + i);
    n = send(s->from, chunk, len, MSG_NOSIGNAL);
    if (n > 0)
        s->sent += (guint64)n;
    else
        g_assert_true(len == 0 || errno == EAGAIN);
}

static void pump_receiver(Stream *s)
{
    static guint8 chunk[256 * 1024];
    ssize_t n = recv(s->to, chunk, sizeof(chunk), 0);

    for (ssize_t i = 0; i < n; i++)
        if (chunk[i] != byte_at(s->received + (guint64)i))
            g_error("byte %" G_GUINT64_FORMAT " of the stream is wrong",
                    s->received + (guint64)i);
    if (n > 0)
        s->received += (guint64)n;
    else
        g_assert_true(n < 0 && errno == EAGAIN);
}

/* The guest connects to the client; all in this thread. */
static void connect_ends(Stream *s, int domain)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons(TEST_PORT),
                             .sin_addr = {htonl(0x0a000002)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons(TEST_PORT),
                              .sin6_addr = {{{0xfd, [15] = 2}}}};
    const struct sockaddr *addr = domain == AF_INET
                                      ? (const struct sockaddr *)&v4
                                      : (const struct sockaddr *)&v6;
    const socklen_t len = domain == AF_INET ? sizeof(v4) : sizeof(v6);
    const gint64 end = g_get_monotonic_time() + DEADLINE_US;
    int listener = test_net_socket(s->t->net, CLIENT, domain, SOCK_STREAM);

    s->from = test_net_socket(s->t->net, GUEST, domain, SOCK_STREAM);
    set_nonblocking(listener);
    set_nonblocking(s->from);
    g_assert_cmpint(bind(listener, addr, len), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(connect(s->from, addr, len), ==, -1);
    g_assert_cmpint(errno, ==, EINPROGRESS);
    while ((s->to = accept(listener, NULL, NULL)) < 0) {
        struct pollfd p[] = {{net_nfqueue_fd(s->t->q), POLLIN, 0},
                             {listener, POLLIN, 0}};

        g_assert_cmpint(g_get_monotonic_time(), <, end);
        poll(p, 2, 1000);
        pump_queue(s);
    }
    set_nonblocking(s->to);
    close(listener);
}

static void run_stream(Stream *s, int domain)
{
    const gint64 end = g_get_monotonic_time() + DEADLINE_US;

    connect_ends(s, domain);
    while (s->received < s->size) {
        struct pollfd p[] = {
            {net_nfqueue_fd(s->t->q), POLLIN, 0},
            {s->from, s->sent < s->size ? POLLOUT : 0, 0},
            {s->to, POLLIN, 0},
        };

        g_assert_cmpint(g_get_monotonic_time(), <, end);
        poll(p, 3, 1000);
        if (p[0].revents)
            pump_queue(s);
        if (p[1].revents & POLLOUT)
            pump_sender(s);
        if (p[2].revents)
            pump_receiver(s);
    }
    close(s->from);
    close(s->to);
}

static void test_stream(gconstpointer data)
{
    const int domain = GPOINTER_TO_INT(data);
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    Stream s = {.t = t, .size = 64 << 20};
    NetNfqueueStats stats;

    if (!t)
        return;
    run_stream(&s, domain);
    net_nfqueue_stats(t->q, &stats);
    g_assert_cmpuint(s.large, >, 100);
    g_assert_cmpuint(stats.bytes, >=, s.size);
    g_assert_cmpuint(stats.kernel_dropped + stats.lost_messages, ==, 0);
    g_assert_cmpuint(stats.truncated, ==, 0);
    g_test_message("%u packets, %u of them large", s.packets, s.large);
}

typedef struct Seen {
    guint packets, finished, large;
} Seen;

static void check_rewritten(const NetFrame *f, gpointer user)
{
    Seen *seen = user;
    NetPacket p;

    if (net_packet_parse_frame(&p, f->data, f->len, 0) != NET_KIND_TCP ||
        (p.flags & NET_TCP_SYN))
        return;
    g_assert_cmpuint(p.window, ==, WINDOW);
    seen->packets++;
    seen->large += p.len > 1500;
    /* The kernel starts anew with the checksum of a large packet */
    if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        return;
    g_assert_true(net_checksum_ok(&p));
    seen->finished++;
}

/* Another window in each packet, and the connection goes on. */
static void test_rewritten_stream(gconstpointer data)
{
    const int domain = GPOINTER_TO_INT(data);
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    Stream s = {.t = t, .size = 16 << 20, .rewrite = TRUE};
    Seen seen = {0};
    NetNfqueueStats stats;
    NetTap *client;

    if (!t)
        return;
    test_net_enter(t->net, CLIENT);
    client = net_tap_open("c0", NET_TAP_INCOMING, NULL, 64 << 20, NULL);
    test_net_leave(t->net);
    g_assert_nonnull(client);
    run_stream(&s, domain);
    net_nfqueue_stats(t->q, &stats);
    g_assert_cmpuint(s.large, >, 100);
    g_assert_cmpuint(stats.rewritten, ==, s.rewritten);
    while (net_tap_read(client, 1000, check_rewritten, &seen, NULL) > 0)
        continue;
    g_assert_cmpuint(seen.packets, >=, s.rewritten);
    g_assert_cmpuint(seen.finished, >, 0);
    g_assert_cmpuint(seen.large, >, 100); /* they stay whole */
    net_tap_close(client);
}

/* --- Small packets ------------------------------------------------------ */

/* Without offloads the kernel cuts, and each packet is a finished one. */
static void check_finished(const NetQueued *q, gpointer user)
{
    Stream *s = user;
    NetPacket p;

    if (net_packet_parse(&p, q->ethertype, q->data, q->len, 0, 0) ==
        NET_KIND_TCP) {
        g_assert_false(q->gso);
        g_assert_false(q->unfinished);
        g_assert_cmpuint(q->len, <=, 1500);
        g_assert_true(net_checksum_ok(&p));
        s->packets++;
    }
    net_nfqueue_accept(s->t->q, q->id, NULL, 0);
}

static void test_no_gso(void)
{
    const NetNfqueueConfig config = {
        .queue_num = TEST_QUEUE, .max_packets = 65536, .rcvbuf = 64 << 20};
    g_autoptr(TestQueue) t = test_queue_new(1500, &config);
    Stream s = {.t = t, .size = 1 << 20};

    if (!t)
        return;
    connect_ends(&s, AF_INET);
    for (const gint64 end = g_get_monotonic_time() + DEADLINE_US;
         s.received < s.size;) {
        struct pollfd p = {net_nfqueue_fd(t->q), POLLIN, 0};

        g_assert_cmpint(g_get_monotonic_time(), <, end);
        pump_sender(&s);
        net_nfqueue_read(t->q, 64, check_finished, &s, NULL);
        test_queue_flush(t);
        pump_receiver(&s);
        poll(&p, 1, 1);
    }
    g_assert_cmpuint(s.packets, >, 500);
    close(s.from);
    close(s.to);
}

static void accept_it(const NetQueued *q, gpointer user)
{
    net_nfqueue_accept(user, q->id, NULL, 0);
}

/* All 100000 come out again; hardly any verdict is one of its own. */
static void test_small(void)
{
    enum { MANY = 100000, AT_ONCE = 200 };
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    g_autoptr(GByteArray) frame = NULL;
    const gint64 end = g_get_monotonic_time() + DEADLINE_US;
    guint sent = 0, got = 0;
    NetNfqueueStats stats;
    gint64 start = g_get_monotonic_time();

    if (!t)
        return;
    frame = build_ether(NULL, NULL, BUILD_IPV4,
                        test_queue_datagram(BUILD_IPV4, 0, 18));
    while (got < MANY) {
        char scrap[128];

        g_assert_cmpint(g_get_monotonic_time(), <, end);
        for (guint i = 0; i < AT_ONCE && sent < MANY; i++, sent++)
            g_assert_cmpint(send(t->tx, frame->data, frame->len, 0), ==,
                            frame->len);
        while (net_nfqueue_read(t->q, 256, accept_it, t->q, NULL) > 0)
            test_queue_flush(t);
        while (recv(t->rx, scrap, sizeof(scrap), MSG_DONTWAIT) > 0)
            got += (guint8)scrap[12] == 8 && scrap[13] == 0;
    }
    net_nfqueue_stats(t->q, &stats);
    g_assert_cmpuint(got, ==, MANY);
    g_assert_cmpuint(stats.packets, >=, MANY);
    g_assert_cmpuint(stats.waiting, ==, 0);
    g_assert_cmpuint(stats.kernel_dropped + stats.lost_messages, ==, 0);
    g_assert_cmpuint(stats.batches, >=, MANY / AT_ONCE / 2);
    g_test_message("%.0f packets/s",
                   MANY * 1e6 / (double)(g_get_monotonic_time() - start));
}

/* --- No more room ------------------------------------------------------- */

static void send_many(TestQueue *t, guint32 n, gsize len)
{
    for (guint32 i = 0; i < n; i++)
        test_queue_send(t, CLIENT, NULL, BUILD_IPV4,
                        test_queue_datagram(BUILD_IPV4, i, len));
}

/* The queue is full: newer packets are dropped and counted. */
static void test_overflow(void)
{
    const NetNfqueueConfig config = {.queue_num = TEST_QUEUE,
                                     .max_packets = 64,
                                     .rcvbuf = 16 << 20,
                                     .gso = TRUE};
    g_autoptr(TestQueue) t = test_queue_new(1500, &config);
    NetNfqueueStats stats;

    if (!t)
        return;
    send_many(t, 200, 100);
    test_queue_take(t, 64);
    net_nfqueue_stats(t->q, &stats);
    g_assert_cmpuint(stats.kernel_dropped, ==, 200 - 64);
    g_assert_cmpuint(stats.lost_messages, ==, 0);
    for (guint i = 0; i < 64; i++)
        net_nfqueue_accept(t->q, test_queue_held(t, i)->q.id, NULL, 0);
    test_queue_flush(t);
    for (guint32 i = 0; i < 64; i++)
        test_queue_expect(t->rx, i);
    test_queue_expect_none(t->rx);
    /* There is room again */
    send_many(t, 1, 100);
    test_queue_take(t, 1);
}

/* The socket's buffer is full: what was lost waits for nobody. */
static void test_socket_full(void)
{
    const NetNfqueueConfig config = {.queue_num = TEST_QUEUE,
                                     .max_packets = 65536,
                                     .rcvbuf = 8192,
                                     .gso = TRUE};
    g_autoptr(TestQueue) t = test_queue_new(1500, &config);
    g_autoptr(GError) error = NULL;
    NetNfqueueStats stats;
    int n, all = 0;

    if (!t)
        return;
    send_many(t, 200, 1000);
    while ((n = net_nfqueue_read(t->q, 64, accept_it, t->q, &error)) > 0)
        all += n;
    g_assert_no_error(error);
    test_queue_flush(t);
    net_nfqueue_stats(t->q, &stats);
    g_assert_cmpint(all, >, 0);
    g_assert_cmpint(all, <, 200);
    g_assert_cmpuint(stats.lost_messages, ==, 200 - (guint)all);
    g_assert_cmpuint(stats.kernel_dropped, ==, 0);
    g_assert_cmpuint(stats.waiting, ==, 0);
    for (int i = 0; i < all; i++)
        test_queue_expect(t->rx, (guint32)i);
    /* It goes on */
    send_many(t, 1, 100);
    test_queue_take(t, 1);
    net_nfqueue_accept(t->q, test_queue_held(t, 0)->q.id, NULL, 0);
    test_queue_flush(t);
    test_queue_expect(t->rx, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/nfqueue-load/stream/ipv4",
                         GINT_TO_POINTER(AF_INET), test_stream);
    g_test_add_data_func("/nfqueue-load/stream/ipv6",
                         GINT_TO_POINTER(AF_INET6), test_stream);
    g_test_add_data_func("/nfqueue-load/rewritten/ipv4",
                         GINT_TO_POINTER(AF_INET), test_rewritten_stream);
    g_test_add_data_func("/nfqueue-load/rewritten/ipv6",
                         GINT_TO_POINTER(AF_INET6), test_rewritten_stream);
    g_test_add_func("/nfqueue-load/no-gso", test_no_gso);
    g_test_add_func("/nfqueue-load/small", test_small);
    g_test_add_func("/nfqueue-load/overflow", test_overflow);
    g_test_add_func("/nfqueue-load/socket-full", test_socket_full);
    return g_test_run();
}
