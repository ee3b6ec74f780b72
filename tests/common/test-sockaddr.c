/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Socket addresses: their text, and sockets on loopback made from them. */
#include "colo/sockaddr.h"

#include "raw-peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND G_USEC_PER_SEC

static void test_good(void)
{
    static const struct {
        const char *text, *host, *path;
        int port;
    } cases[] = {
        {":8888", NULL, NULL, 8888},
        {"sec:8888", "sec", NULL, 8888},
        {"a-b.example.org:1", "a-b.example.org", NULL, 1},
        {"192.0.2.1:65535", "192.0.2.1", NULL, 65535},
        {"[::1]:8888", "::1", NULL, 8888},
        {"[2001:db8::5]:0", "2001:db8::5", NULL, 0},
        {"unix:/run/a:b", NULL, "/run/a:b", 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ColoAddr) a = colo_addr_parse(cases[i].text, &error);
        g_autofree char *text = NULL;

        g_assert_no_error(error);
        g_assert_cmpstr(a->host, ==, cases[i].host);
        g_assert_cmpstr(a->path, ==, cases[i].path);
        g_assert_cmpint(a->port, ==, cases[i].port);
        text = colo_addr_format(a);
        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

static void test_bad(void)
{
    static const char *const cases[][2] = {
        {"", "no port"},
        {"host", "no port"},
        {"8888", "no port"},
        {":", "0 to 65535"},
        {"host:", "0 to 65535"},
        {"host:65536", "0 to 65535"},
        {"host:-1", "0 to 65535"},
        {"host: 1", "0 to 65535"},
        {"host:http", "0 to 65535"},
        {"host:99999999999999999999", "0 to 65535"},
        {"::1:8888", "[ and ]"},
        {"[::1]", "0 to 65535"},
        {"[::1:8888", "no ] before"},
        {"[]:8888", "no IPv6"},
        {"[:8888", "no ] before"},
        {"]:8888", "no host name"},
        {"[host]:8888", "no IPv6"},
        {"[127.0.0.1]:8888", "no IPv6"},
        {"my host:8888", "no host name"},
        {"a/b:8888", "no host name"},
        {"h\n:8888", "no host name"},
        {"unix:", "start with /"},
        {"unix:run", "start with /"},
    };
    g_autofree char *filler = g_strnfill(256, 'h');
    g_autofree char *too_long = g_strconcat(filler, ":1", NULL);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_null(colo_addr_parse(cases[i][0], &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
        if (!strstr(error->message, cases[i][1]) ||
            !strstr(error->message, cases[i][0])) {
            g_error("\"%s\" gave: %s", cases[i][0], error->message);
        }
        g_clear_error(&error);
    }
    g_assert_null(colo_addr_parse(too_long, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

static ColoAddr *parse(const char *host, int port)
{
    g_autofree char *text = g_strdup_printf("%s%d", host, port);
    g_autoptr(GError) error = NULL;
    ColoAddr *a = colo_addr_parse(text, &error);

    g_assert_no_error(error);
    return a;
}

static int port_of(int fd)
{
    struct sockaddr_in6 sa;
    socklen_t len = sizeof(sa);

    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&sa, &len), ==, 0);
    return ntohs(sa.sin6_port); /* where sockaddr_in has it too */
}

static int accept_soon(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int peer;

    g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
    peer = accept(fd, NULL, NULL);
    g_assert_cmpint(peer, >=, 0);
    return peer;
}

static gboolean have_ipv6(void)
{
    g_autoptr(ColoAddr) a = parse("[::1]:", 0);
    int fd = colo_addr_listen(a, NULL);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void check_stream(const ColoAddr *at, const char *const *to)
{
    g_autoptr(GError) error = NULL;
    int fd = colo_addr_listen(at, &error), port;

    g_assert_no_error(error);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    port = at->path ? 0 : port_of(fd);
    for (; *to; to++) {
        g_autoptr(ColoAddr) a =
            at->path ? colo_addr_parse(*to, NULL) : parse(*to, port);
        int c = colo_addr_connect(a, 5 * SECOND, &error), s, on = 0;
        socklen_t len = sizeof(on);

        g_assert_no_error(error);
        g_assert_cmpint(fcntl(c, F_GETFL) & O_NONBLOCK, ==, 0);
        g_assert_cmpint(fcntl(c, F_GETFD) & FD_CLOEXEC, !=, 0);
        if (!at->path) {
            getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, &len);
            g_assert_cmpint(on, !=, 0);
        }
        s = accept_soon(fd);
        close(c);
        close(s);
    }
    close(fd);
}

static void test_stream(void)
{
    static const char *const v4[] = {"127.0.0.1:", "localhost:", ":", NULL};
    static const char *const every[] = {"127.0.0.1:", "[::1]:", ":", NULL};
    g_autoptr(ColoAddr) one = parse("127.0.0.1:", 0);
    g_autoptr(ColoAddr) all = parse(":", 0);

    check_stream(one, v4);
    if (have_ipv6()) {
        check_stream(all, every);
    } else {
        check_stream(all, v4);
    }
}

static void test_unix(void)
{
    char *folder = raw_folder_new();
    g_autofree char *text = g_strdup_printf("unix:%s/s", folder);
    const char *const to[] = {text, text, NULL};
    g_autoptr(ColoAddr) a = colo_addr_parse(text, NULL);
    g_autoptr(GError) error = NULL;
    int fd;

    check_stream(a, to);
    check_stream(a, to); /* over the stale one */
    g_assert_cmpint(colo_addr_udp(a, &error), ==, -1);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_cmpint(colo_addr_udp_to(a, NULL, NULL, &error), ==, -1);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);

    g_assert_cmpint(colo_addr_connect(a, SECOND, &error), ==, -1);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
    g_clear_error(&error);

    fd = colo_addr_listen(a, &error);
    g_assert_no_error(error);
    g_assert_cmpint(colo_addr_listen(a, &error), ==, -1);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    close(fd);
    raw_folder_free(folder);
}

static void test_refused(void)
{
    g_autoptr(ColoAddr) any = parse("127.0.0.1:", 0);
    g_autoptr(ColoAddr) taken = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    int fd = colo_addr_listen(any, &error);

    g_assert_no_error(error);
    taken = parse("127.0.0.1:", port_of(fd));
    text = colo_addr_format(taken);
    g_assert_cmpint(colo_addr_listen(taken, &error), ==, -1);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    g_assert_nonnull(strstr(error->message, text));
    g_clear_error(&error);
    close(fd);

    g_assert_cmpint(colo_addr_connect(taken, SECOND, &error), ==, -1);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
    g_assert_nonnull(strstr(error->message, text));
}

/* A listener whose backlog is full answers nothing. */
static void test_timeout(void)
{
    g_autoptr(ColoAddr) a = NULL;
    g_autoptr(GError) error = NULL;
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fds[8], n = 0;
    gint64 start;

    g_assert_cmpint(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
    g_assert_cmpint(listen(fd, 0), ==, 0);
    a = parse("127.0.0.1:", port_of(fd));
    do {
        start = g_get_monotonic_time();
        fds[n] = colo_addr_connect(a, SECOND / 5, &error);
    } while (fds[n] >= 0 && ++n < 8);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, SECOND / 5);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * SECOND);
    while (n--) {
        close(fds[n]);
    }
    close(fd);
}

static void test_unknown_host(void)
{
    g_autoptr(ColoAddr) a = parse("no-such-host.invalid:", 1);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    g_assert_cmpint(colo_addr_connect(a, SECOND / 2, &error), ==, -1);
    g_assert_true(
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT));
    g_assert_nonnull(strstr(error->message, "no-such-host.invalid"));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * SECOND);
}

static void test_udp(void)
{
    static const char *const binds[] = {"127.0.0.1:", ":"};

    for (guint i = 0; i < G_N_ELEMENTS(binds); i++) {
        g_autoptr(ColoAddr) at = parse(binds[i], 0), to = NULL;
        g_autoptr(GError) error = NULL;
        int r = colo_addr_udp(at, &error), s;
        struct sockaddr_storage sa;
        socklen_t len;
        struct pollfd p = {.fd = r, .events = POLLIN};
        char text[8] = "";

        g_assert_no_error(error);
        to = parse("127.0.0.1:", port_of(r));
        s = colo_addr_udp_to(to, &sa, &len, &error);
        g_assert_no_error(error);
        g_assert_cmpint(fcntl(s, F_GETFL) & O_NONBLOCK, !=, 0);
        g_assert_cmpint(
            sendto(s, "beat", 4, 0, (struct sockaddr *)&sa, len), ==, 4);
        g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
        g_assert_cmpint(recv(r, text, sizeof(text), 0), ==, 4);
        g_assert_cmpstr(text, ==, "beat");

        /* Two of the same VM must not share an address by accident. */
        g_assert_cmpint(colo_addr_udp(to, &error), ==, -1);
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
        close(s);
        close(r);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sockaddr/good", test_good);
    g_test_add_func("/sockaddr/bad", test_bad);
    g_test_add_func("/sockaddr/stream", test_stream);
    g_test_add_func("/sockaddr/unix", test_unix);
    g_test_add_func("/sockaddr/refused", test_refused);
    g_test_add_func("/sockaddr/timeout", test_timeout);
    g_test_add_func("/sockaddr/unknown-host", test_unknown_host);
    g_test_add_func("/sockaddr/udp", test_udp);
    return g_test_run();
}
