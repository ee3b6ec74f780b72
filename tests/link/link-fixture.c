/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends of a link on one main context, and raw sockets as a third. */
#include "link-fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_up(gpointer user, const NetHello *hello)
{
    End *e = user;

    g_assert_cmpuint(e->ups, ==, e->downs);
    e->ups++;
    g_free(e->peer_instance);
    e->peer_instance = g_strdup(hello->instance);
    e->peer_attached = hello->attached;
    g_assert_true(net_link_is_up(e->link));
    g_assert_nonnull(net_link_peer(e->link));
}

static void on_down(gpointer user, const char *why)
{
    End *e = user;

    e->downs++;
    g_assert_cmpuint(e->ups, ==, e->downs);
    g_free(e->why);
    e->why = g_strdup(why);
    g_assert_false(net_link_is_up(e->link));
}

static void check_frame(const NetWireHead *h, const guint8 *data)
{
    g_autofree guint8 *expected = g_malloc(h->len);

    frame_fill(expected, h->number, h->len);
    g_assert_cmpmem(data, h->len, expected, h->len);
}

static void release(End *e)
{
    Held *held = g_queue_pop_head(&e->held);

    check_frame(&held->head, held->data);
    net_buf_unref(held->buf);
    g_free(held);
}

static gboolean on_message(gpointer user, const NetWireHead *h,
                           const guint8 *data, NetBuf *buf, GError **error)
{
    End *e = user;

    g_assert_cmpuint(e->ups, ==, e->downs + 1);
    e->messages++;
    e->last = *h;
    if (e->drop) {
        e->drop = FALSE;
        net_link_drop(e->link, "because the test says so");
        g_assert_false(net_link_is_up(e->link));
        return TRUE;
    }
    if (e->refuse) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "this message makes no sense");
        return FALSE;
    }
    g_assert_true(data >= buf->data);
    g_assert_true(data + h->len <= buf->data + buf->size);
    if (h->type == NET_WIRE_ATTACHED) {
        e->peer_attached = h->number != 0;
    }
    if (h->type == NET_WIRE_FRAME && e->check) {
        g_assert_cmpuint(h->number, ==, e->expect);
        e->expect++;
        check_frame(h, data);
        if (e->hold) {
            Held *held = g_new(Held, 1);

            *held = (Held){net_buf_ref(buf), data, *h};
            g_queue_push_tail(&e->held, held);
        }
        while (g_queue_get_length(&e->held) > e->hold) {
            release(e);
        }
    }
    return TRUE;
}

static void on_room(gpointer user)
{
    End *e = user;
    NetLinkStats stats;

    e->rooms++;
    net_link_stats(e->link, &stats);
    g_assert_cmpuint(stats.queued, ==, 0);
}

static void no_log(const char *domain, GLogLevelFlags level,
                   const char *message, gpointer unused)
{
}

void link_test_init(int *argc, char ***argv)
{
    g_test_init(argc, argv, NULL);
    /* Each attempt to connect is six lines of the test's log. */
    g_log_set_handler("GLib-GIO", G_LOG_LEVEL_DEBUG, no_log, NULL);
}

NetHello *hello_of(gboolean primary)
{
    NetHello *h = g_new0(NetHello, 1);

    h->version_min = h->version_max = NET_WIRE_VERSION;
    h->name = g_strdup("vm0");
    h->primary = primary;
    h->ifaces = 2;
    h->instance = g_strdup(primary ? ID_A : ID_B);
    return h;
}

void end_start(End *e, gboolean primary, const char *at, const NetHello *hello,
               gsize max_queue)
{
    static const NetLinkOps ops = {on_up, on_down, on_message, on_room};
    g_autoptr(NetHello) usual = hello_of(primary);
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoAddr) addr = colo_addr_parse(at, &error);
    NetLinkConfig config = {.connect = primary ? addr : NULL,
                            .listen = primary ? NULL : addr,
                            .max_queue = max_queue};

    g_assert_no_error(error);
    memset(e, 0, sizeof(*e));
    e->expect = 1;
    e->link = net_link_new(&config, hello ? hello : usual, &ops, e, &error);
    g_assert_no_error(error);
}

void end_stop(End *e)
{
    net_link_free(e->link);
    while (!g_queue_is_empty(&e->held)) {
        release(e);
    }
    g_free(e->why);
    g_free(e->peer_instance);
    memset(e, 0, sizeof(*e));
    /* What GIO had begun ends in the main context. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

void pair_start(End *primary, End *secondary, const char *folder, char **at)
{
    g_autofree char *unix_at = g_strdup_printf("unix:%s/link", folder);

    *at = folder ? g_strdup(unix_at) : free_at();
    end_start(secondary, FALSE, *at, NULL, 0);
    end_start(primary, TRUE, *at, NULL, 0);
    WAIT(primary->ups == 1 && secondary->ups == 1);
}

static gboolean nothing(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

void turn(void)
{
    static guint timer;

    if (!timer) {
        timer = g_timeout_add(5, nothing, NULL);
    }
    g_main_context_iteration(NULL, TRUE);
}

void turns(guint ms)
{
    gint64 until = g_get_monotonic_time() + ms * 1000LL;

    while (g_get_monotonic_time() < until) {
        turn();
    }
}

/* A number from another one: the same ones each time. */
static guint64 mix(guint64 x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

gsize frame_len(guint64 number, gsize max)
{
    guint64 r = mix(number);
    /* Mostly small, sometimes as large as they come. */
    gsize limit = r % 50 == 0 ? max : r % 5 == 0 ? 3000 : 200;

    return NET_WIRE_FRAME_MIN +
           (r >> 16) % (MIN(limit, max) - NET_WIRE_FRAME_MIN + 1);
}

void frame_fill(guint8 *out, guint64 number, gsize len)
{
    guint8 step = (guint8)(mix(number) | 1), at = (guint8)number;

    for (gsize i = 0; i < len; i++) {
        out[i] = at;
        at += step;
    }
}

gboolean frame_send(End *e, guint64 number, gsize max)
{
    gsize len = frame_len(number, max), cut = mix(number) % (len + 1);
    g_autofree guint8 *bytes = g_malloc(len);
    NetWireHead h = {.len = (guint32)len,
                     .type = NET_WIRE_FRAME,
                     .iface = number % 2,
                     .number = number};
    struct iovec iov[3] = {{bytes, cut / 2},
                           {bytes + cut / 2, cut - cut / 2},
                           {bytes + cut, len - cut}};

    frame_fill(bytes, number, len);
    return net_link_send(e->link, &h, iov, 3);
}

char *free_at(void)
{
    static guint16 next;

    if (!next) {
        next = 12000 + getpid() % 16000; /* other tests run, too */
    }
    for (;;) {
        g_autofree char *at = g_strdup_printf("127.0.0.1:%u", next++);
        g_autoptr(ColoAddr) addr = colo_addr_parse(at, NULL);
        int fd = colo_addr_listen(addr, NULL);

        g_assert_cmpint(next, <, 32000);
        if (fd >= 0) {
            close(fd);
            return g_steal_pointer(&at);
        }
    }
}

int raw_listen(char **at)
{
    ColoAddr any = {.host = (char *)"127.0.0.1"};
    g_autoptr(GError) error = NULL;
    int fd = colo_addr_listen(&any, &error);
    g_autoptr(GSocketAddress) address = NULL;
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    g_assert_no_error(error);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&sa, &len), ==, 0);
    address = g_socket_address_new_from_native(&sa, len);
    *at = g_strdup_printf("127.0.0.1:%u", g_inet_socket_address_get_port(
                                              G_INET_SOCKET_ADDRESS(address)));
    return fd;
}

int raw_accept(int listen_fd)
{
    int fd = -1;

    WAIT((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    return fd;
}

int raw_join(const char *at)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoAddr) addr = colo_addr_parse(at, &error);
    int fd = colo_addr_connect(addr, PATIENCE_MS * 1000, &error);

    g_assert_no_error(error);
    return fd;
}

void raw_say(int fd, const void *bytes, gsize n)
{
    g_assert_cmpint(send(fd, bytes, n, MSG_NOSIGNAL), ==, n);
}

void raw_say_head(int fd, const NetWireHead *h)
{
    guint8 head[NET_WIRE_HEADER];

    net_wire_put_head(head, h);
    raw_say(fd, head, sizeof(head));
}

void raw_say_hello(int fd, const NetHello *h)
{
    g_autoptr(GBytes) json = net_hello_format(h);
    NetWireHead head = {.len = (guint32)g_bytes_get_size(json),
                        .type = NET_WIRE_HELLO};

    raw_say_head(fd, &head);
    raw_say(fd, g_bytes_get_data(json, NULL), head.len);
}

/* FALSE: the other end has closed. */
static gboolean raw_read(int fd, guint8 *out, gsize n)
{
    while (n) {
        ssize_t got = 0;

        WAIT((got = recv(fd, out, n, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
        if (got <= 0) {
            return FALSE;
        }
        out += got;
        n -= got;
    }
    return TRUE;
}

void raw_expect(int fd, NetWireType type)
{
    NetWireHead h;

    do {
        guint8 head[NET_WIRE_HEADER];
        g_autoptr(GError) error = NULL;
        g_autofree guint8 *rest = NULL;

        g_assert_true(raw_read(fd, head, sizeof(head)));
        net_wire_get_head(head, NET_WIRE_MAX_IFACES, &h, &error);
        g_assert_no_error(error);
        rest = g_malloc(h.len + 1);
        g_assert_true(raw_read(fd, rest, h.len));
    } while (h.type != type);
}

void raw_expect_end(int fd)
{
    guint8 byte;

    while (raw_read(fd, &byte, 1)) {
    }
}
