/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link of two proxies that mean well. */
#include "link-fixture.h"

#include "tests/common/capture.h"
#include "tests/common/raw-peer.h"

#include <string.h>
#include <unistd.h>

static void send_word(End *e, NetWireType type, guint64 number)
{
    NetWireHead h = {.type = type, .number = number};

    g_assert_true(net_link_send(e->link, &h, NULL, 0));
}

/* Each type arrives as it was sent, over both kinds of sockets. */
static void test_types(gconstpointer tcp)
{
    char *folder = raw_folder_new();
    g_autofree char *at = NULL,
                    *socket = g_build_filename(folder, "link", NULL);
    guint8 marks[16] = {1, 2, 3}, offset[NET_WIRE_OFFSET_LEN] = {0};
    struct iovec two[] = {{marks, 10}, {marks + 10, 6}}, one = {offset, 56};
    NetWireHead h = {
        .len = 16, .type = NET_WIRE_CAPTURE, .flags = 1, .number = 3};
    NetLinkStats a, b;
    End p, s;

    pair_start(&p, &s, tcp ? NULL : folder, &at);
    g_assert_cmpstr(p.peer_instance, ==, ID_B);
    g_assert_cmpstr(s.peer_instance, ==, ID_A);
    g_assert_cmpstr(net_link_peer(p.link), ==, at);
    g_assert_cmpint(net_link_port(s.link) != 0, ==, tcp != NULL);

    g_assert_true(net_link_send(p.link, &h, two, 2));
    WAIT(s.messages == 1);
    g_assert_cmpuint(s.last.type, ==, NET_WIRE_CAPTURE);
    g_assert_cmpuint(s.last.number, ==, 3);
    g_assert_cmpuint(s.last.flags, ==, NET_WIRE_PERIODIC);
    h = (NetWireHead){.len = 56, .type = NET_WIRE_OFFSET, .iface = 1};
    g_assert_true(net_link_send(p.link, &h, &one, 1));
    send_word(&p, NET_WIRE_WANTED, 1);
    net_link_flush(p.link);
    WAIT(s.messages == 3);
    g_assert_cmpuint(s.last.type, ==, NET_WIRE_WANTED);
    send_word(&s, NET_WIRE_LOADED, 77);
    WAIT(p.messages == 1);
    g_assert_cmpuint(p.last.number, ==, 77);
    send_word(&s, NET_WIRE_TAKEOVER, 78);
    WAIT(p.messages == 2);
    g_assert_cmpuint(p.last.type, ==, NET_WIRE_TAKEOVER);

    p.check = s.check = TRUE;
    for (guint64 i = 1; i <= 100; i++) {
        g_assert_true(frame_send(&p, i, NET_WIRE_MAX));
        g_assert_true(frame_send(&s, i, NET_WIRE_MAX));
    }
    WAIT(p.expect == 101 && s.expect == 101);
    net_link_stats(p.link, &a);
    net_link_stats(s.link, &b);
    g_assert_cmpuint(a.sent, ==, b.received);
    g_assert_cmpuint(a.received, ==, b.sent);
    g_assert_cmpuint(a.sent_messages, ==, b.received_messages);
    g_assert_cmpuint(a.connections, ==, 1);
    g_assert_cmpuint(a.queued, ==, 0);
    end_stop(&p);
    WAIT(s.downs == 1);
    g_assert_nonnull(strstr(s.why, "closed"));
    end_stop(&s);
    g_assert_false(g_file_test(socket, G_FILE_TEST_EXISTS));
    raw_folder_free(folder);
}

/* Nothing but PING for longer than the silence that ends a link. */
static void test_idle(void)
{
    g_autofree char *at = NULL;
    NetLinkStats stats;
    End p, s;

    pair_start(&p, &s, NULL, &at);
    turns(NET_LINK_SILENCE_MS * 3 / 2);
    g_assert_cmpuint(p.downs + s.downs, ==, 0);
    g_assert_cmpuint(p.messages + s.messages, ==, 0);
    net_link_stats(p.link, &stats);
    g_assert_cmpuint(stats.sent_messages, >=, 4);
    g_assert_cmpuint(stats.sent_messages, <=, 9);
    end_stop(&p);
    end_stop(&s);
}

static void test_attached(void)
{
    g_autofree char *at = NULL;
    End p, s;

    pair_start(&p, &s, NULL, &at);
    g_assert_false(p.peer_attached);
    net_link_set_attached(s.link, TRUE);
    WAIT(p.peer_attached);
    net_link_set_attached(s.link, TRUE); /* nothing new */
    net_link_set_attached(p.link, TRUE);
    WAIT(s.peer_attached);
    g_assert_cmpuint(p.messages, ==, 1);
    net_link_set_attached(s.link, FALSE);
    WAIT(!p.peer_attached);
    net_link_set_attached(s.link, TRUE);
    net_link_drop(p.link, "to be told by the hello");
    WAIT(p.ups == 2 && s.ups == 2);
    g_assert_true(p.peer_attached);
    g_assert_true(s.peer_attached);
    end_stop(&p);
    end_stop(&s);
}

/* A change between our hello and theirs is not lost. */
static void test_attached_early(void)
{
    g_autofree char *at = NULL;
    g_autoptr(NetHello) hello = hello_of(FALSE);
    int listen_fd = raw_listen(&at), fd;
    End p;

    end_start(&p, TRUE, at, NULL, 0);
    fd = raw_accept(listen_fd);
    raw_expect(fd, NET_WIRE_HELLO);
    net_link_set_attached(p.link, TRUE);
    raw_say_hello(fd, hello);
    raw_expect(fd, NET_WIRE_ATTACHED);
    g_assert_cmpuint(p.ups, ==, 1);
    end_stop(&p);
    close(fd);
    close(listen_fd);
}

/* Ended from inside and outside of a callback, refused by a callback. */
static void test_drop(void)
{
    g_autofree char *at = NULL;
    End p, s;

    pair_start(&p, &s, NULL, &at);
    net_link_drop(p.link, "of old age");
    g_assert_false(net_link_is_up(p.link));
    g_assert_cmpuint(p.downs, ==, 0); /* never from inside */
    g_assert_false(frame_send(&p, 1, 100));
    WAIT(p.ups == 2 && s.ups == 2);
    g_assert_cmpstr(p.why, ==, "of old age");

    s.drop = TRUE;
    g_assert_true(frame_send(&p, 1, 100));
    g_assert_true(frame_send(&p, 2, 100));
    WAIT(p.ups == 3 && s.ups == 3);
    g_assert_cmpuint(s.messages, ==, 1);
    g_assert_cmpstr(s.why, ==, "because the test says so");

    s.refuse = TRUE;
    g_assert_true(frame_send(&p, 1, 100));
    g_assert_true(frame_send(&p, 2, 100));
    WAIT(p.ups == 4 && s.ups == 4);
    g_assert_cmpuint(s.messages, ==, 2);
    g_assert_cmpstr(s.why, ==, "this message makes no sense");
    end_stop(&p);
    end_stop(&s);
}

/* A peer that starts again is found soon, each time. */
static void test_reconnect(gconstpointer tcp)
{
    char *folder = raw_folder_new();
    g_autofree char *at = NULL;
    End p, s;

    pair_start(&p, &s, tcp ? NULL : folder, &at);
    for (guint i = 2; i < 5; i++) {
        gint64 since;

        end_stop(&s);
        WAIT(p.downs == i - 1);
        /* The last one as long as doubled delays without end would show. */
        turns(i == 4 ? 1300 : i * 200);
        g_assert_cmpuint(p.ups, ==, i - 1);
        end_start(&s, FALSE, at, NULL, 0);
        since = g_get_monotonic_time();
        WAIT(p.ups == i && s.ups == 1);
        g_assert_cmpint(g_get_monotonic_time() - since, <, 1100000);
    }
    end_stop(&p);
    end_stop(&s);
    raw_folder_free(folder);
}

/* A name is looked up without holding up the main loop. */
static void test_name(void)
{
    g_autofree char *at = NULL;
    End p, s;

    end_start(&s, FALSE, ":0", NULL, 0);
    at = g_strdup_printf("localhost:%u", net_link_port(s.link));
    end_start(&p, TRUE, at, NULL, 0);
    WAIT(p.ups == 1 && s.ups == 1);
    end_stop(&p);
    g_free(at);
    at = g_strdup_printf(":%u", net_link_port(s.link));
    end_start(&p, TRUE, at, NULL, 0);
    WAIT(p.ups == 1 && s.ups == 2);
    end_stop(&p);
    end_stop(&s);
}

/* The link goes away while GIO is at work. */
static void test_free_early(void)
{
    g_autofree char *at = NULL;
    int listen_fd = raw_listen(&at);
    g_autofree char *named = g_strdup_printf("localhost%s", strchr(at, ':'));
    End p;

    for (int i = 0; i < 20; i++) {
        end_start(&p, TRUE, i % 2 ? named : at, NULL, 0);
        for (int j = 0; j < i / 4; j++) {
            g_main_context_iteration(NULL, FALSE);
        }
        end_stop(&p);
    }
    turns(50); /* a lookup's thread */
    close(listen_fd);
}

/* The newer connection takes the older one's place, but only with a hello. */
static void test_replaced(void)
{
    g_autofree char *at = NULL;
    g_autoptr(NetHello) hello = hello_of(TRUE);
    int silent[6], fd;
    End p, s;

    pair_start(&p, &s, NULL, &at);
    for (guint i = 0; i < G_N_ELEMENTS(silent); i++) {
        silent[i] = raw_join(at);
        turns(20);
    }
    raw_expect_end(silent[0]); /* too many of them */
    g_assert_cmpuint(s.downs + p.downs, ==, 0);

    g_free(hello->instance);
    hello->instance = g_strdup("0123456789abcdef0123456789abcdef");
    fd = raw_join(at);
    raw_say_hello(fd, hello);
    WAIT(s.ups == 2);
    g_assert_cmpstr(s.peer_instance, ==, hello->instance);
    g_assert_nonnull(strstr(s.why, "newer connection"));
    g_assert_true(g_str_has_prefix(net_link_peer(s.link), "127.0.0.1:"));
    /* The first one is back: it is the newest now. */
    WAIT(s.ups == 3);
    g_assert_cmpstr(s.peer_instance, ==, ID_A);
    raw_expect_end(fd);
    for (guint i = 0; i < G_N_ELEMENTS(silent); i++) {
        close(silent[i]);
    }
    close(fd);
    end_stop(&p);
    end_stop(&s);
}

static guint count(const char *text, const char *what)
{
    guint n = 0;

    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what)) {
        n++;
    }
    return n;
}

/* What does not fit is said once by each side, and tried again. */
static void test_refused(void)
{
    g_autofree char *at = NULL, *log = NULL;
    g_autoptr(NetHello) other = hello_of(TRUE);
    End p, s;

    g_free(other->name);
    other->name = g_strdup("vm1");
    end_start(&s, FALSE, "127.0.0.1:0", NULL, 0);
    at = g_strdup_printf("127.0.0.1:%u", net_link_port(s.link));
    capture_start();
    end_start(&p, TRUE, at, other, 0);
    turns(1500);
    log = capture_end();
    g_assert_cmpuint(p.ups + s.ups + p.downs + s.downs, ==, 0);
    g_assert_cmpuint(count(log, "virtual machine is \"vm1\", ours is \"vm0\""),
                     ==, 1);
    g_assert_cmpuint(count(log, "virtual machine is \"vm0\", ours is \"vm1\""),
                     ==, 1);
    g_assert_cmpuint(count(log, "\n"), ==, 2);
    end_stop(&p);
    end_start(&p, TRUE, at, NULL, 0);
    WAIT(p.ups == 1 && s.ups == 1);
    end_stop(&p);
    end_stop(&s);
}

/* Nobody there: said once. */
static void test_nobody(void)
{
    g_autofree char *at = free_at(), *log = NULL;
    End p;

    capture_start();
    end_start(&p, TRUE, at, NULL, 0);
    turns(700);
    log = capture_end();
    g_assert_cmpuint(count(log, "cannot connect to 127.0.0.1:"), ==, 1);
    g_assert_cmpuint(count(log, "\n"), ==, 1);
    end_stop(&p);
}

/* What cannot be listened or connected to is said at once. */
static void test_addresses(void)
{
    g_autofree char *filler = g_strnfill(200, 'p');
    g_autofree char *path = g_strdup_printf("unix:/tmp/%s", filler);
    g_autoptr(NetHello) hello = hello_of(TRUE);
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoAddr) addr = colo_addr_parse(path, &error);
    NetLinkConfig config = {.connect = addr};
    NetLinkOps ops = {NULL};

    g_assert_no_error(error);
    g_assert_null(net_link_new(&config, hello, &ops, NULL, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    hello->primary = FALSE;
    config = (NetLinkConfig){.listen = addr};
    g_assert_null(net_link_new(&config, hello, &ops, NULL, &error));
    g_assert_nonnull(error);
}

int main(int argc, char **argv)
{
    link_test_init(&argc, &argv);
    g_test_add_data_func("/link/types/unix", NULL, test_types);
    g_test_add_data_func("/link/types/tcp", "tcp", test_types);
    g_test_add_func("/link/idle", test_idle);
    g_test_add_func("/link/attached", test_attached);
    g_test_add_func("/link/attached-early", test_attached_early);
    g_test_add_func("/link/drop", test_drop);
    g_test_add_data_func("/link/reconnect/unix", NULL, test_reconnect);
    g_test_add_data_func("/link/reconnect/tcp", "tcp", test_reconnect);
    g_test_add_func("/link/name", test_name);
    g_test_add_func("/link/free-early", test_free_early);
    g_test_add_func("/link/replaced", test_replaced);
    g_test_add_func("/link/refused", test_refused);
    g_test_add_func("/link/nobody", test_nobody);
    g_test_add_func("/link/addresses", test_addresses);
    return g_test_run();
}
