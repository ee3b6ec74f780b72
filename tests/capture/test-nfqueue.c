/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netfilter queue on a real bridge: which packets come, what verdicts do.
 */
#include "config.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>

#include "netcompare/packet/checksum.h"
#include "tests/capture/queue.h"
#include "tests/packet/build.h"

#define IPV4 BUILD_IPV4
#define IPV6 BUILD_IPV6

static void accept_held(TestQueue *t, guint i)
{
    net_nfqueue_accept(t->q, test_queue_held(t, i)->q.id, NULL, 0);
}

static NetNfqueueStats stats_of(TestQueue *t)
{
    NetNfqueueStats s;

    net_nfqueue_stats(t->q, &s);
    return s;
}

/* Held until the verdict; then as it was. */
static void test_accept(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < 2; i++) {
        const guint16 type = i == 0 ? IPV4 : IPV6;
        g_autoptr(GByteArray) sent = test_queue_datagram(type, i, 100);
        const TestPacket *p;

        test_queue_send(t, CLIENT, NULL, type,
                        g_byte_array_append(g_byte_array_new(), sent->data,
                                            sent->len));
        test_queue_take(t, 1);
        p = test_queue_held(t, i);
        g_assert_cmpuint(p->q.ethertype, ==, type);
        g_assert_cmpuint(p->q.physindev, ==,
                         test_net_ifindex(t->net, HOST, "gp"));
        g_assert_cmpuint(p->q.indev, ==,
                         test_net_ifindex(t->net, HOST, "br0"));
        g_assert_cmpuint(p->q.outdev, ==, 0);
        g_assert_cmpuint(p->q.vlan, ==, 0);
        g_assert_false(p->q.truncated);
        g_assert_false(p->q.gso);
        g_assert_false(p->q.unfinished);
        g_assert_cmpmem(p->q.data, p->q.len, sent->data, sent->len);
        test_queue_expect_none(t->rx);
        g_assert_cmpuint(stats_of(t).waiting, ==, 1);
        accept_held(t, i);
        test_queue_flush(t);
        test_queue_expect(t->rx, i);
        g_assert_cmpuint(stats_of(t).waiting, ==, 0);
    }
    g_assert_cmpuint(stats_of(t).kernel_dropped, ==, 0);
}

/* What is for the bridge's own host comes once, and goes up. */
static void test_to_host(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    int up;

    if (!t)
        return;
    up = test_net_frames(t->net, HOST, "br0");
    for (guint32 i = 0; i < 2; i++) {
        const guint16 type = i == 0 ? IPV4 : IPV6;

        test_queue_send(t, HOST, NULL, type, test_queue_datagram(type, i, 9));
        test_queue_take(t, 1);
        test_queue_expect_none(up);
        accept_held(t, i);
        test_queue_flush(t);
        test_queue_expect(up, i);
    }
    /* A third one would be the second coming of one of them */
    test_queue_send(t, CLIENT, NULL, IPV4, test_queue_datagram(IPV4, 2, 9));
    test_queue_take(t, 1);
    g_assert_cmpuint(test_queue_number(&test_queue_held(t, 2)->p), ==, 2);
    close(up);
}

static void test_drop(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < 4; i++)
        test_queue_send(t, CLIENT, NULL, IPV4,
                        test_queue_datagram(IPV4, i, 50));
    test_queue_take(t, 4);
    accept_held(t, 0);
    net_nfqueue_drop(t->q, test_queue_held(t, 1)->q.id);
    accept_held(t, 2);
    net_nfqueue_drop(t->q, test_queue_held(t, 3)->q.id);
    test_queue_flush(t);
    test_queue_expect(t->rx, 0);
    test_queue_expect(t->rx, 2);
    test_queue_expect_none(t->rx);
    g_assert_cmpuint(stats_of(t).accepted, ==, 2);
    g_assert_cmpuint(stats_of(t).dropped, ==, 2);
}

/* Packets go out in the order of the verdicts, not of the queue. */
static void test_reorder(void)
{
    static const guint order[] = {7, 0, 1, 2, 9, 5, 3, 4, 6, 8};
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < G_N_ELEMENTS(order); i++)
        test_queue_send(t, CLIENT, NULL, IPV4,
                        test_queue_datagram(IPV4, i, 50));
    test_queue_take(t, G_N_ELEMENTS(order));
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        accept_held(t, order[i]);
    /* A second verdict changes nothing */
    net_nfqueue_drop(t->q, test_queue_held(t, 5)->q.id);
    test_queue_flush(t);
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        test_queue_expect(t->rx, order[i]);
    /* 0 to 2; 3 and 4 */
    g_assert_cmpuint(stats_of(t).batches, ==, 2);
    g_assert_cmpuint(stats_of(t).waiting, ==, 0);
}

/* A run of accepted packets never takes a held one along. */
static void test_run_spares_held(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < 30; i++)
        test_queue_send(t, CLIENT, NULL, IPV4,
                        test_queue_datagram(IPV4, i, 50));
    test_queue_take(t, 30);
    for (guint i = 0; i < 30; i++)
        if (i % 10 != 5)
            accept_held(t, i);
    test_queue_flush(t);
    for (guint32 i = 0; i < 30; i++)
        if (i % 10 != 5)
            test_queue_expect(t->rx, i);
    test_queue_expect_none(t->rx);
    g_assert_cmpuint(stats_of(t).waiting, ==, 3);
    for (guint i = 5; i < 30; i += 10)
        accept_held(t, i);
    test_queue_flush(t);
    for (guint32 i = 5; i < 30; i += 10)
        test_queue_expect(t->rx, i);
}

/* What the guest tagged is held, too, and keeps its tag; it is not told. */
static void test_vlan(void)
{
    static const char *const cases[] = {"81 00 00 07", "81 00 60 00",
                                        "88 a8 00 09"};
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    test_net_sysctl(t->net, HOST, "bridge/bridge-nf-filter-vlan-tagged", "1");
    for (guint32 i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        const char *tags = cases[i / 2];
        const guint16 type = i % 2 ? IPV6 : IPV4;
        g_autoptr(GByteArray) tag = build_hex(tags);
        g_autoptr(GByteArray) frame = NULL;
        NetPacket p;

        test_queue_send(t, CLIENT, tags, type,
                        test_queue_datagram(type, i, 50));
        test_queue_take(t, 1);
        g_assert_cmpuint(test_queue_number(&test_queue_held(t, i)->p), ==, i);
        g_assert_cmpuint(test_queue_held(t, i)->q.vlan, ==, 0);
        accept_held(t, i);
        test_queue_flush(t);
        frame = test_queue_frame(t->rx, 10000, &p);
        g_assert_nonnull(frame);
        g_assert_cmpmem(frame->data + 12, 4, tag->data, tag->len);
        g_assert_cmpuint(test_queue_number(&p), ==, i);
    }
}

/* Not for iptables: two tags, and whatever is not IP.  They just pass. */
static void test_not_queued(void)
{
    static const struct {
        const char *tags;
        guint16 type;
    } cases[] = {{"88 a8 00 09 81 00 00 07", IPV4},
                 {"81 00 00 09 81 00 00 07", IPV6},
                 {NULL, 0x88b5}};
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    test_net_sysctl(t->net, HOST, "bridge/bridge-nf-filter-vlan-tagged", "1");
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) frame = NULL;
        NetPacket p;

        test_queue_send(
            t, CLIENT, cases[i].tags, cases[i].type,
            test_queue_datagram(cases[i].type == IPV6 ? IPV6 : IPV4, i, 50));
        frame = test_queue_frame(t->rx, 10000, &p);
        g_assert_nonnull(frame);
    }
    g_assert_cmpint(net_nfqueue_read(t->q, 1, NULL, NULL, NULL), ==, 0);
}

static void test_multicast(void)
{
    static const char *const to[] = {"01 00 5e 01 02 03", "33 33 00 00 12 34",
                                     "ff ff ff ff ff ff"};
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < G_N_ELEMENTS(to); i++) {
        const guint16 type = i == 1 ? IPV6 : IPV4;
        GByteArray *packet = test_queue_datagram(type, i, 50);
        g_autoptr(GByteArray) group = build_hex(
            i == 0   ? "e0 01 02 03"
            : i == 1 ? "ff020000 00000000 00000000 00001234"
                     : "ff ff ff ff");

        memcpy(packet->data + (i == 1 ? 24 : 16), group->data, group->len);
        build_checksums(packet, type);
        test_net_send(t->tx, build_ether(to[i], NULL, type, packet));
        test_queue_take(t, 1);
        test_queue_expect_none(t->rx);
        accept_held(t, i);
        test_queue_flush(t);
        test_queue_expect(t->rx, i);
    }
}

/* Datagram 5 of 2000 bytes, in two. */
static void send_fragments(TestQueue *t)
{
    g_autoptr(GByteArray) whole = test_queue_datagram(IPV4, 5, 2000);

    for (guint i = 0; i < 2; i++) {
        const guint at = i * 1000, len = i ? whole->len - 1020 : 1000;
        GByteArray *f = g_byte_array_new();

        g_byte_array_append(f, whole->data, 20);
        g_byte_array_append(f, whole->data + 20 + at, len);
        net_put16(f->data + 2, (guint16)(20 + len));
        net_put16(f->data + 6, (guint16)((i ? 0 : 0x2000) | at / 8));
        net_put16(f->data + 10, 0);
        net_put16(f->data + 10, net_sum_fold(net_sum(f->data, 20, 0)));
        test_queue_send(t, CLIENT, NULL, IPV4, f);
    }
}

static void expect_fragments(TestQueue *t)
{
    for (guint i = 0; i < 2; i++) {
        NetPacket p;
        g_autoptr(GByteArray) frame = test_queue_frame(t->rx, 10000, &p);

        g_assert_nonnull(frame);
        g_assert_cmpint(p.kind, ==, NET_KIND_FRAGMENT);
        g_assert_cmpuint(p.fragment_at, ==, i * 1000);
    }
}

/* Fragments come one by one where nothing on the host reassembles them. */
static void test_fragments(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    send_fragments(t);
    test_queue_take(t, 2);
    for (guint i = 0; i < 2; i++) {
        g_assert_cmpint(test_queue_held(t, i)->p.kind, ==, NET_KIND_FRAGMENT);
        g_assert_cmpuint(test_queue_held(t, i)->p.fragment_at, ==, i * 1000);
        accept_held(t, i);
    }
    test_queue_flush(t);
    expect_fragments(t);
}

/* Where the host tracks connections they come whole, and leave as they were. */
static void test_fragments_tracked(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    g_autofree char *why = NULL;

    if (!t)
        return;
    if (!test_net_run(t->net, HOST, &why,
                      "iptables -w -A FORWARD -m conntrack --ctstate "
                      "ESTABLISHED -j ACCEPT")) {
        g_test_skip(why);
        return;
    }
    send_fragments(t);
    test_queue_take(t, 1);
    g_assert_cmpuint(test_queue_number(&test_queue_held(t, 0)->p), ==, 5);
    g_assert_cmpuint(test_queue_held(t, 0)->p.payload_len, ==, 2000);
    test_queue_expect_none(t->rx);
    accept_held(t, 0);
    test_queue_flush(t);
    expect_fragments(t);
}

static void test_jumbo(void)
{
    g_autoptr(TestQueue) t = test_queue_new(9000, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < 2; i++) {
        const guint16 type = i ? IPV6 : IPV4;

        test_queue_send(t, CLIENT, NULL, type,
                        test_queue_datagram(type, i, 8900));
        test_queue_take(t, 1);
        accept_held(t, i);
        test_queue_flush(t);
        test_queue_expect(t->rx, i);
    }
}

/* Another payload goes out in place of the guest's, of any length. */
static void test_rewrite(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);

    if (!t)
        return;
    for (guint32 i = 0; i < 3; i++) {
        g_autoptr(GByteArray) other =
            test_queue_datagram(IPV4, 100 + i, 50 + i * 600);

        test_queue_send(t, CLIENT, NULL, IPV4,
                        test_queue_datagram(IPV4, i, 700));
        test_queue_take(t, 1);
        net_nfqueue_accept(t->q, test_queue_held(t, i)->q.id, other->data,
                           other->len);
        test_queue_flush(t);
        test_queue_expect(t->rx, 100 + i);
    }
    g_assert_cmpuint(stats_of(t).rewritten, ==, 3);
}

static void test_second_listener(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    const NetNfqueueConfig config = {.queue_num = TEST_QUEUE,
                                     .max_packets = 1024};
    g_autoptr(GError) error = NULL;

    if (!t)
        return;
    test_net_enter(t->net, HOST);
    g_assert_null(net_nfqueue_new(&config, &error));
    test_net_leave(t->net);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    g_assert_nonnull(strstr(error->message, "another process"));
}

static void test_no_root(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    const NetNfqueueConfig config = {.queue_num = TEST_QUEUE + 1,
                                     .max_packets = 1024};
    g_autoptr(GError) error = NULL;

    if (!t)
        return;
    g_assert_cmpint(seteuid(65534), ==, 0);
    g_assert_null(net_nfqueue_new(&config, &error));
    g_assert_cmpint(seteuid(0), ==, 0);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    g_assert_nonnull(strstr(error->message, "root"));
}

/*
 * The listener is killed: what it held is gone, and by --queue-bypass what
 * comes after passes.
 */
static void test_listener_killed(void)
{
    g_autoptr(TestQueue) t = test_queue_new(1500, NULL);
    const NetNfqueueConfig config = {.queue_num = TEST_QUEUE,
                                     .max_packets = 1024};
    pid_t child;
    int up[2];
    char c;

    if (!t)
        return;
    net_nfqueue_free(t->q);
    t->q = NULL;
    g_assert_cmpint(pipe(up), ==, 0);
    test_net_enter(t->net, HOST);
    child = fork();
    if (child == 0) {
        if (!net_nfqueue_new(&config, NULL) || write(up[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    test_net_leave(t->net);
    close(up[1]);
    g_assert_cmpint(child, >, 0);
    g_assert_cmpint(read(up[0], &c, 1), ==, 1);
    close(up[0]);
    test_queue_send(t, CLIENT, NULL, IPV4, test_queue_datagram(IPV4, 1, 50));
    test_queue_expect_none(t->rx);
    g_assert_cmpint(kill(child, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
    test_queue_send(t, CLIENT, NULL, IPV4, test_queue_datagram(IPV4, 2, 50));
    test_queue_expect(t->rx, 2);
    test_queue_expect_none(t->rx);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nfqueue/accept", test_accept);
    g_test_add_func("/nfqueue/to-host", test_to_host);
    g_test_add_func("/nfqueue/drop", test_drop);
    g_test_add_func("/nfqueue/reorder", test_reorder);
    g_test_add_func("/nfqueue/run-spares-held", test_run_spares_held);
    g_test_add_func("/nfqueue/vlan", test_vlan);
    g_test_add_func("/nfqueue/not-queued", test_not_queued);
    g_test_add_func("/nfqueue/multicast", test_multicast);
    g_test_add_func("/nfqueue/fragments", test_fragments);
    g_test_add_func("/nfqueue/fragments-tracked", test_fragments_tracked);
    g_test_add_func("/nfqueue/jumbo", test_jumbo);
    g_test_add_func("/nfqueue/rewrite", test_rewrite);
    g_test_add_func("/nfqueue/second-listener", test_second_listener);
    g_test_add_func("/nfqueue/no-root", test_no_root);
    g_test_add_func("/nfqueue/listener-killed", test_listener_killed);
    return g_test_run();
}
