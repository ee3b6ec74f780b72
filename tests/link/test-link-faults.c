/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link of two proxies when something fails, or somebody means ill. */
#include "link-fixture.h"

#include "netcompare/link/reader.h"
#include "tests/common/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a silence may last before it is noticed, by the clock's steps. */
enum { LEAST_MS = NET_LINK_SILENCE_MS - 200, MOST_MS = 5000 };

static gint64 now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* A secondary, and a primary that the test plays by hand. */
static int by_hand(End *s, gsize max_queue)
{
    g_autoptr(NetHello) hello = hello_of(TRUE);
    g_autofree char *at = NULL;
    int fd;

    end_start(s, FALSE, "127.0.0.1:0", NULL, max_queue);
    at = g_strdup_printf("127.0.0.1:%u", net_link_port(s->link));
    fd = raw_join(at);
    raw_say_hello(fd, hello);
    WAIT(s->ups == 1);
    return fd;
}

static void test_silent(void)
{
    gint64 since;
    End s;
    int fd = by_hand(&s, 0);

    since = now_ms();
    WAIT(s.downs == 1);
    g_assert_cmpint(now_ms() - since, >=, LEAST_MS);
    g_assert_cmpint(now_ms() - since, <=, MOST_MS);
    g_assert_cmpstr(s.why, ==, "the other proxy is silent");
    raw_expect(fd, NET_WIRE_PING); /* we were not */
    close(fd);
    end_stop(&s);
}

/* One that pings but reads nothing. */
static void test_takes_nothing(void)
{
    NetWireHead ping = {.type = NET_WIRE_PING};
    NetLinkStats stats;
    gint64 began, since;
    End s;
    int fd = by_hand(&s, 1024 * 1024);
    guint64 sent = 0;

    began = now_ms(); /* what it does not take waits since then at most */
    while (frame_send(&s, sent + 1, NET_WIRE_MAX)) {
        sent++;
    }
    net_link_stats(s.link, &stats);
    g_assert_cmpuint(stats.refused, ==, 1);
    g_assert_cmpuint(stats.queued, >, 1024 * 1024 - 2 * NET_WIRE_MAX);
    g_assert_cmpuint(stats.queued, <=, 1024 * 1024);
    since = now_ms();
    while (s.downs == 0) {
        guint8 head[NET_WIRE_HEADER];

        net_wire_put_head(head, &ping);
        if (send(fd, head, sizeof(head), MSG_NOSIGNAL) < 0) {
            break;
        }
        turns(100);
        g_assert_cmpint(now_ms() - since, <=, MOST_MS);
    }
    WAIT(s.downs == 1);
    g_assert_cmpint(now_ms() - began, >=, LEAST_MS);
    /* Ours, or the kernel's with TCP_USER_TIMEOUT. */
    if (!strstr(s.why, "takes nothing") && !strstr(s.why, "timed out")) {
        g_error("%s", s.why);
    }
    g_assert_cmpuint(s.rooms, ==, 0);
    net_link_stats(s.link, &stats);
    g_assert_cmpuint(stats.queued, ==, 0);
    close(fd);
    end_stop(&s);
}

static void no_up(gpointer user, const NetHello *hello)
{
}

static void no_down(gpointer user, const char *why)
{
}

static gboolean no_message(gpointer user, const NetWireHead *h,
                           const guint8 *data, NetBuf *buf, GError **error)
{
    return TRUE;
}

/*
 * A queue that is full refuses frames, not words; what was taken arrives
 * whole and in order, and room is told when it has left.
 */
static void test_slow_reader(void)
{
    enum { QUEUE = 512 * 1024, LARGE = 20000 };
    NetBufPool *pool = net_buf_pool_new(NET_READER_BUF, 2);
    g_autoptr(GError) error = NULL;
    NetReader r;
    NetLinkStats stats;
    NetWireHead word = {.type = NET_WIRE_LOADED};
    guint64 taken = 0, large, read = 0, words = 0, words_read = 0;
    End s;
    int fd = by_hand(&s, QUEUE);

    while (frame_send(&s, taken + 1, LARGE)) {
        taken++;
    }
    large = taken;
    /* The shortest ones fill up what is left. */
    while (frame_send(&s, taken + 1, NET_WIRE_FRAME_MIN)) {
        taken++;
    }
    net_link_stats(s.link, &stats);
    g_assert_cmpuint(stats.max_queued, <=, QUEUE);
    g_assert_cmpuint(stats.refused, ==, 2);
    while (net_link_send(s.link, &word, NULL, 0)) {
        words++;
    }
    g_assert_cmpuint(words, >=, NET_LINK_RESERVE / NET_WIRE_HEADER);
    net_link_stats(s.link, &stats);
    g_assert_cmpuint(stats.max_queued, <=, QUEUE + NET_LINK_RESERVE);
    g_assert_cmpuint(stats.refused, ==, 3);
    net_reader_init(&r, pool, 2);
    while (words_read < words) {
        gsize room;
        guint8 *space = net_reader_space(&r, &room);
        const guint8 *data;
        gsize most = g_test_rand_int_range(1, 30000);
        ssize_t n = 0;
        NetWireHead h;
        NetBuf *buf;

        room = MIN(room, most);
        WAIT((n = recv(fd, space, room, MSG_DONTWAIT)) > 0);
        net_reader_fed(&r, n);
        while (net_reader_next(&r, &h, &data, &buf, &error) ==
               NET_READER_MESSAGE) {
            if (h.type == NET_WIRE_FRAME) {
                g_autofree guint8 *expected = g_malloc(h.len);

                g_assert_cmpuint(h.number, ==, ++read);
                g_assert_cmpuint(h.len, ==,
                                 frame_len(read, read <= large
                                                     ? LARGE
                                                     : NET_WIRE_FRAME_MIN));
                frame_fill(expected, read, h.len);
                g_assert_cmpmem(data, h.len, expected, h.len);
            }
            words_read += h.type == NET_WIRE_LOADED;
        }
        g_assert_no_error(error);
    }
    g_assert_cmpuint(read, ==, taken);
    WAIT(s.rooms == 1);
    g_assert_true(frame_send(&s, taken + 1, 20000));
    g_assert_cmpuint(s.downs, ==, 0);
    net_reader_clear(&r);
    net_buf_pool_free(pool);
    close(fd);
    end_stop(&s);
}

/* One who does not care about room is not told. */
static void test_no_room_func(void)
{
    static const NetLinkOps ops = {no_up, no_down, no_message, NULL};
    NetLinkConfig config = {.max_queue = 1};
    g_autoptr(NetHello) ours = hello_of(FALSE), hello = hello_of(TRUE);
    g_autofree char *at = free_at();
    g_autoptr(ColoAddr) addr = colo_addr_parse(at, NULL);
    g_autofree guint8 *bytes = g_malloc0(NET_WIRE_MAX);
    struct iovec iov = {bytes, NET_WIRE_MAX};
    NetWireHead h = {.len = NET_WIRE_MAX, .type = NET_WIRE_FRAME};
    g_autoptr(GError) error = NULL;
    NetLinkStats stats;
    NetLink *l;
    int fd;

    config.listen = addr;
    l = net_link_new(&config, ours, &ops, NULL, &error);
    g_assert_no_error(error);
    fd = raw_join(at);
    raw_say_hello(fd, hello);
    WAIT(net_link_is_up(l));
    while (net_link_send(l, &h, &iov, 1)) {
    }
    do {
        raw_expect(fd, NET_WIRE_FRAME);
        net_link_stats(l, &stats);
    } while (stats.queued);
    turns(20);
    g_assert_true(net_link_is_up(l));
    close(fd);
    net_link_free(l);
}

/* Noise at the door does not disturb those inside, and is not logged twice. */
static void test_noise_at_the_door(void)
{
    g_autofree char *at = NULL, *log = NULL;
    guint lines = 0;
    End p, s;

    pair_start(&p, &s, NULL, &at);
    capture_start();
    for (int i = 0; i < 200; i++) {
        guint8 noise[64];
        int fd = raw_join(at);

        for (guint j = 0; j < sizeof(noise); j++) {
            noise[j] = g_test_rand_int();
        }
        raw_say(fd, noise, sizeof(noise));
        raw_expect_end(fd);
        close(fd);
    }
    log = capture_end();
    for (const char *c = log; *c; c++) {
        lines += *c == '\n';
    }
    g_assert_cmpuint(lines, >, 0);
    g_assert_cmpuint(lines, <=, 16);
    g_assert_nonnull(strstr(log, "no link with the other proxy (127.0.0.1): "
                                 "a message "));
    g_assert_cmpuint(p.downs + s.downs, ==, 0);
    end_stop(&p);
    end_stop(&s);
}

/* What a peer may not say ends its connection, with a reason. */
static void test_wrong_words(void)
{
    static const struct {
        NetWireHead head;
        const char *why;
    } cases[] = {
        {{.type = NET_WIRE_HELLO, .len = 2}, "sent HELLO, which it may not"},
        {{.type = NET_WIRE_LOADED}, "sent LOADED, which it may not"},
        {{.type = NET_WIRE_TAKEOVER}, "sent TAKEOVER, which it may not"},
        {{.type = NET_WIRE_FRAME, .len = 3}, "wrong length: 3"},
        {{.type = NET_WIRE_FRAME, .len = 60, .iface = 2}, "wrong interface: 2"},
        {{.type = 77}, "wrong type: 77"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint8 payload[64] = {0};
        End s;
        int fd = by_hand(&s, 0);

        raw_say_head(fd, &cases[i].head);
        raw_say(fd, payload, cases[i].head.len);
        WAIT(s.downs == 1);
        if (!strstr(s.why, cases[i].why)) {
            g_error("case %u: %s", i, s.why);
        }
        raw_expect_end(fd);
        g_assert_cmpuint(s.messages, ==, 0);
        close(fd);
        end_stop(&s);
    }
}

/* Before the hello nothing else is listened to, and not for ever. */
static void test_no_hello(void)
{
    g_autofree char *at = NULL, *log = NULL;
    NetWireHead capture = {.type = NET_WIRE_CAPTURE, .len = 16};
    guint8 marks[16] = {0};
    gint64 since;
    int fd;
    End s;

    end_start(&s, FALSE, "127.0.0.1:0", NULL, 0);
    at = g_strdup_printf("127.0.0.1:%u", net_link_port(s.link));
    capture_start();
    fd = raw_join(at);
    raw_say_head(fd, &capture);
    raw_say(fd, marks, sizeof(marks));
    raw_expect_end(fd);
    close(fd);
    since = now_ms();
    fd = raw_join(at);
    raw_expect_end(fd);
    g_assert_cmpint(now_ms() - since, >=, LEAST_MS);
    g_assert_cmpint(now_ms() - since, <=, MOST_MS);
    close(fd);
    log = capture_end();
    g_assert_nonnull(
        strstr(log, "sent CAPTURE, which it may not before its hello"));
    g_assert_nonnull(strstr(log, "no hello came in time"));
    g_assert_cmpuint(s.ups + s.messages, ==, 0);
    end_stop(&s);
}

/* A primary's stream cut at each byte of hello and messages, then ended. */
static void test_cut_anywhere(void)
{
    g_autoptr(NetHello) hello = hello_of(TRUE);
    g_autoptr(GBytes) json = net_hello_format(hello);
    g_autoptr(GByteArray) stream = g_byte_array_new();
    NetWireHead heads[] = {
        {.type = NET_WIRE_HELLO, .len = g_bytes_get_size(json)},
        {.type = NET_WIRE_CAPTURE, .len = 16},
        {.type = NET_WIRE_PING},
        {.type = NET_WIRE_WANTED, .number = 1},
    };
    g_autofree char *at = NULL;
    guint whole = 0;
    End s;

    for (guint i = 0; i < G_N_ELEMENTS(heads); i++) {
        guint8 bytes[NET_WIRE_HEADER], marks[16] = {0};

        net_wire_put_head(bytes, &heads[i]);
        g_byte_array_append(stream, bytes, sizeof(bytes));
        g_byte_array_append(stream, i ? marks : g_bytes_get_data(json, NULL),
                            heads[i].len);
    }
    end_start(&s, FALSE, "127.0.0.1:0", NULL, 0);
    at = g_strdup_printf("127.0.0.1:%u", net_link_port(s.link));
    capture_start();
    for (guint cut = 1; cut <= stream->len; cut++) {
        int fd = raw_join(at);

        raw_say(fd, stream->data, cut);
        turn();
        if (cut < stream->len) {
            raw_say(fd, stream->data + cut, g_test_rand_bit());
        }
        shutdown(fd, SHUT_WR);
        raw_expect_end(fd);
        close(fd);
        WAIT(s.ups == s.downs);
        whole += s.last.type == NET_WIRE_WANTED;
        s.last.type = 0;
    }
    g_free(capture_end());
    g_assert_cmpuint(s.ups, >=, stream->len - (NET_WIRE_HEADER + heads[0].len));
    g_assert_cmpuint(whole, >=, 1);
    g_assert_cmpuint(whole, <=, 2);
    end_stop(&s);
}

static GPid spawn_secondary(const char *at)
{
    g_autofree char *parent = g_strdup_printf("%d", (int)getpid());
    char *argv[] = {(char *)"/proc/self/exe", (char *)"--secondary", (char *)at,
                    parent, NULL};
    g_autoptr(GError) error = NULL;
    GPid pid;

    /* The test itself, not the program that GLib runs in between. */
    g_autofree char *self = g_file_read_link(argv[0], &error);

    g_assert_no_error(error);
    argv[0] = self;
    g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                  &error);
    g_assert_no_error(error);
    return pid;
}

static void kill_it(GPid pid)
{
    int status;

    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
}

/* A peer that is killed is missed at once; the next one is found soon. */
static void test_killed(void)
{
    g_autofree char *at = free_at();
    GPid pid;
    End p;

    pid = spawn_secondary(at);
    capture_start();
    end_start(&p, TRUE, at, NULL, 0);
    for (guint i = 1; i <= 3; i++) {
        gint64 since;

        WAIT(p.ups == i);
        for (guint64 n = 1; n < 50; n++) {
            frame_send(&p, n, 20000);
        }
        turns(i * 50);
        since = now_ms();
        kill_it(pid);
        WAIT(p.downs == i);
        g_assert_cmpint(now_ms() - since, <, 1000);
        pid = spawn_secondary(at);
    }
    WAIT(p.ups == 4);
    g_free(capture_end());
    kill_it(pid);
    end_stop(&p);
}

static gboolean set_loopback(gboolean up)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    gboolean good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;

    close(fd);
    return good;
}

/*
 * A network that swallows everything, in a namespace of its own: nothing
 * says that the peer is gone.  With and without data on their way.
 */
static void test_vanished(gconstpointer busy)
{
    g_autofree char *at = NULL;
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    gint64 since;
    End p, s;

    if (home < 0 || unshare(CLONE_NEWNET) < 0) {
        g_test_skip("a network namespace cannot be made here");
        return;
    }
    g_assert_true(set_loopback(TRUE));
    pair_start(&p, &s, NULL, &at);
    capture_start();
    turns(100);
    g_assert_true(set_loopback(FALSE));
    since = now_ms();
    while (p.downs + s.downs < 2) {
        if (busy && net_link_is_up(p.link)) {
            frame_send(&p, 1, NET_WIRE_MAX);
        }
        turn();
        g_assert_cmpint(now_ms() - since, <=, MOST_MS);
    }
    g_assert_cmpint(now_ms() - since, >=, LEAST_MS - 500);
    g_assert_true(set_loopback(TRUE));
    since = now_ms();
    WAIT(p.ups == 2 && s.ups == 2);
    g_assert_cmpint(now_ms() - since, <=, MOST_MS);
    g_free(capture_end());
    end_stop(&p);
    end_stop(&s);
    g_assert_cmpint(setns(home, CLONE_NEWNET), ==, 0);
    close(home);
}

/* A process that stood still does not blame the peer. */
static void test_stood_still(void)
{
    g_autofree char *at = NULL;
    End p, s;

    pair_start(&p, &s, NULL, &at);
    turns(50);
    g_usleep((NET_LINK_SILENCE_MS + 500) * 1000); /* this is the fault */
    turns(700);
    g_assert_cmpuint(p.downs + s.downs, ==, 0);
    end_stop(&p);
    end_stop(&s);
}

/* The other process: a secondary until it is killed, or left alone. */
static int serve(const char *at, int parent)
{
    gint64 end = now_ms() + PATIENCE_MS;
    End s;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    end_start(&s, FALSE, at, NULL, 0);
    while (getppid() == parent && now_ms() < end) {
        turn();
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && g_str_equal(argv[1], "--secondary")) {
        return serve(argv[2], atoi(argv[3]));
    }
    link_test_init(&argc, &argv);
    g_test_add_func("/link-faults/silent", test_silent);
    g_test_add_func("/link-faults/takes-nothing", test_takes_nothing);
    g_test_add_func("/link-faults/slow-reader", test_slow_reader);
    g_test_add_func("/link-faults/no-room-func", test_no_room_func);
    g_test_add_func("/link-faults/noise-at-the-door", test_noise_at_the_door);
    g_test_add_func("/link-faults/wrong-words", test_wrong_words);
    g_test_add_func("/link-faults/no-hello", test_no_hello);
    g_test_add_func("/link-faults/cut-anywhere", test_cut_anywhere);
    g_test_add_func("/link-faults/killed", test_killed);
    g_test_add_data_func("/link-faults/vanished/idle", NULL, test_vanished);
    g_test_add_data_func("/link-faults/vanished/busy", "busy", test_vanished);
    g_test_add_func("/link-faults/stood-still", test_stood_still);
    return g_test_run();
}
