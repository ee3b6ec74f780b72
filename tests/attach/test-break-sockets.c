/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Breaking connections: the right ones, with what they have not sent. */
#include "blockrep/attach/break-sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Pair {
    struct sockaddr_storage addr; /* of the server */
    socklen_t len;
    int client, server;
} Pair;

static void listen_on(int family, int *fd, Pair *p)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr *a = family == AF_INET    ? (struct sockaddr *)&in
                         : family == AF_INET6 ? (struct sockaddr *)&in6
                                              : (struct sockaddr *)&un;
    socklen_t len = family == AF_INET    ? sizeof(in)
                    : family == AF_INET6 ? sizeof(in6)
                                         : sizeof(sa_family_t); /* autobind */

    *fd = socket(family, SOCK_STREAM, 0);
    g_assert_cmpint(bind(*fd, a, len), ==, 0);
    g_assert_cmpint(listen(*fd, 4), ==, 0);
    p->len = sizeof(p->addr);
    g_assert_cmpint(getsockname(*fd, (struct sockaddr *)&p->addr, &p->len), ==,
                    0);
}

static Pair pair_of(int family)
{
    Pair p = {0};
    int fd;

    listen_on(family, &fd, &p);
    p.client = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(p.client, (struct sockaddr *)&p.addr, p.len) < 0) {
        g_assert_cmpint(errno, ==, EINPROGRESS);
    }
    p.server = accept(fd, NULL, NULL);
    g_assert_cmpint(p.server, >=, 0);
    close(fd);
    return p;
}

static void pair_close(Pair *p)
{
    close(p->client);
    close(p->server);
}

static int break_own(const Pair *p)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int n = colo_break_sockets(getpid(), pidfd, (struct sockaddr *)&p->addr,
                               p->len);

    close(pidfd);
    if (n == -EPERM || n == -ENOSYS) {
        g_test_skip("pidfd_getfd(2) is not allowed here");
        return -1;
    }
    return n;
}

static gboolean is_open(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void test_which(gconstpointer family)
{
    Pair p = pair_of(GPOINTER_TO_INT(family));
    Pair other = pair_of(GPOINTER_TO_INT(family));
    int n = break_own(&p);

    if (n >= 0) {
        g_assert_cmpint(n, ==, 1);
        g_assert_false(is_open(p.client));
        g_assert_true(is_open(other.client));
    }
    pair_close(&p);
    pair_close(&other);
}

/* A client of [::] is one of 127.0.0.1. */
static void test_mapped(void)
{
    Pair p = pair_of(AF_INET);
    struct sockaddr_in in;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    int n;

    memcpy(&in, &p.addr, sizeof(in));
    in6.sin6_port = in.sin_port;
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(in6.sin6_addr.s6_addr + 12, &in.sin_addr, 4);
    memcpy(&p.addr, &in6, sizeof(in6));
    p.len = sizeof(in6);
    n = break_own(&p);
    g_assert_true(n == 1 || n == -1);
    pair_close(&p);
}

static void test_unsent(void)
{
    Pair p = pair_of(AF_INET);
    static char buf[1 << 16];
    gsize sent = 0, got = 0;
    ssize_t n;

    while ((n = write(p.client, buf, sizeof(buf))) > 0) {
        sent += n;
    }
    g_assert_cmpint(errno, ==, EAGAIN);
    if (break_own(&p) >= 0) {
        while ((n = read(p.server, buf, sizeof(buf))) > 0) {
            got += n;
        }
        g_test_message("%zu of %zu bytes arrived", got, sent);
        g_assert_cmpint(n, ==, -1);
        g_assert_cmpint(errno, ==, ECONNRESET);
        g_assert_cmpuint(got, <, sent);
    }
    pair_close(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/break/inet", GINT_TO_POINTER(AF_INET), test_which);
    g_test_add_data_func("/break/inet6", GINT_TO_POINTER(AF_INET6), test_which);
    g_test_add_data_func("/break/unix", GINT_TO_POINTER(AF_UNIX), test_which);
    g_test_add_func("/break/mapped", test_mapped);
    g_test_add_func("/break/unsent", test_unsent);
    return g_test_run();
}
