/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's servers: one thread, epoll, nothing printed per request.
 * What they serve is in service.h.
 */
#define _GNU_SOURCE
#include "guest-service.h"
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS  8 /* of one connection, before it is another's turn */
#define BACKLOG 512

static int poller;
static unsigned char *pattern;
static char scratch[65536]; /* uploads and datagrams */

void conn_put(Conn *c, const char *format, ...)
{
    size_t room = CONN_OUT - c->out_len;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(c->out + c->out_len, room, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room)
        c->ends = true;
    else
        c->out_len += (size_t)n;
}

static void wait_for(Conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (c->events == events)
        return;
    if (epoll_ctl(poller, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd,
                  &ev) < 0)
        say("service: epoll: %m");
    c->events = events;
}

static Conn *new_conn(int fd, ConnKind kind)
{
    Conn *c = calloc(1, sizeof(*c));
    int one = 1;

    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->kind = kind;
    c->hash = SERVICE_HASH_START;
    if (kind == CONN_HTTP || kind == CONN_ECHO)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return c;
}

static void end(Conn *c)
{
    close(c->fd);
    free(c);
}

void conn_dial(const char *host, unsigned port, ConnKind kind)
{
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in a4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    bool v6 = inet_pton(AF_INET6, host, &a6.sin6_addr) == 1;
    int fd;
    Conn *c;

    if (!v6 && inet_pton(AF_INET, host, &a4.sin_addr) != 1)
        return;
    fd = socket(v6 ? AF_INET6 : AF_INET,
                SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    c = fd < 0 ? NULL : new_conn(fd, kind);
    if (c == NULL)
        return;
    if (connect(fd, v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4,
                v6 ? sizeof(a6) : sizeof(a4)) < 0 &&
        errno != EINPROGRESS) {
        end(c);
        return;
    }
    c->connecting = true;
    wait_for(c, EPOLLOUT);
}

/* 1: all is sent; 0: not now; -1: the connection is broken. */
static int flush(Conn *c)
{
    for (int i = 0; c->out_at < c->out_len || c->body_left; i++) {
        bool head = c->out_at < c->out_len;
        size_t len = head ? c->out_len - c->out_at
                          : service_piece(c->body_at, c->body_left);
        const void *data = head ? (void *)(c->out + c->out_at)
                                : pattern + c->body_at % SERVICE_PERIOD;
        /* Head and body leave together, however they are sent. */
        int more = head && c->body_left ? MSG_MORE : 0;
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | more);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (head) {
            c->out_at += (size_t)n;
        } else {
            c->body_at += (uint64_t)n;
            c->body_left -= (uint64_t)n;
        }
        if (i == ROUNDS)
            return 0;
    }
    c->out_at = c->out_len = 0;
    return 1;
}

/* All whole lines for whose answers there is room; false: there is none. */
static bool echo_lines(Conn *c)
{
    bool any = false;
    char *nl;

    while (CONN_OUT - c->out_len > 48 &&
           (nl = memchr(c->in, '\n', c->in_len)) != NULL) {
        size_t len = (size_t)(nl - c->in) + 1;

        c->hash = service_hash(c->hash, c->in, len);
        conn_put(c, "%llu %016llx\n", (unsigned long long)++c->lines,
                 (unsigned long long)c->hash);
        c->in_len -= len;
        memmove(c->in, c->in + len, c->in_len);
        any = true;
    }
    if (!any && c->in_len >= SERVICE_LINE_MAX)
        c->ends = any = true;
    return any;
}

/* Is the pattern there?  Bytes of an upload. */
static void check_upload(Conn *c, const char *data, size_t len)
{
    while (len) {
        size_t n = service_piece(c->upload_at, len);

        if (memcmp(data, pattern + c->upload_at % SERVICE_PERIOD, n) != 0)
            c->upload_wrong = true;
        c->upload_at += n;
        c->upload_left -= n;
        data += n;
        len -= n;
    }
    if (c->upload_left == 0)
        http_uploaded(c);
}

/* One piece of work with what was read; false: more has to be read. */
static bool work(Conn *c)
{
    if (c->kind == CONN_ECHO)
        return echo_lines(c);
    if (c->upload_left == 0)
        return http_request(c);
    if (c->in_len == 0)
        return false;
    size_t n = c->in_len < c->upload_left ? c->in_len : (size_t)c->upload_left;
    check_upload(c, c->in, n);
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
    return true;
}

/* 1: there was something; 0: not now; -1: it is over. */
static int take_in(Conn *c)
{
    bool direct = c->upload_left && c->in_len == 0;
    size_t room = direct ? sizeof(scratch) : CONN_IN - c->in_len;
    if (direct && room > c->upload_left)
        room = (size_t)c->upload_left;
    ssize_t n = recv(c->fd, direct ? scratch : c->in + c->in_len, room, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0)
        return -1;
    if (direct)
        check_upload(c, scratch, (size_t)n);
    else
        c->in_len += (size_t)n;
    return 1;
}

static void serve(Conn *c)
{
    if (c->connecting) {
        int error = 0;
        socklen_t len = sizeof(error);

        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            end(c);
            return;
        }
        c->connecting = false;
    }
    for (int i = 0; i < ROUNDS; i++) {
        int sent = flush(c), got;

        if (sent < 0 || (sent > 0 && c->ends)) {
            end(c);
            return;
        }
        if (sent == 0) {
            wait_for(c, EPOLLOUT);
            return;
        }
        if (work(c))
            continue;
        got = take_in(c);
        if (got < 0) {
            end(c);
            return;
        }
        if (got == 0) {
            wait_for(c, EPOLLIN);
            return;
        }
    }
    wait_for(c, EPOLLOUT); /* there is more to do: at once, in turn */
}

static void accept_some(const Conn *listener)
{
    for (int i = 0; i < ROUNDS; i++) {
        int fd =
            accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        Conn *c = fd < 0 ? NULL
                         : new_conn(fd, listener->kind == CONN_LISTEN_HTTP
                                            ? CONN_HTTP
                                            : CONN_ECHO);

        if (c == NULL)
            return;
        /* A request is often there already. */
        serve(c);
    }
}

static void answer_datagrams(const Conn *c)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(c->fd, scratch, sizeof(scratch), 0,
                             (struct sockaddr *)&from, &from_len);

        if (n < 0)
            return;
        sendto(c->fd, scratch, (size_t)n, MSG_NOSIGNAL,
               (struct sockaddr *)&from, from_len);
    }
}

static void *service_thread(void *unused)
{
    struct epoll_event events[64];

    for (;;) {
        int n = epoll_wait(poller, events, 64, -1);

        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;

            switch (c->kind) {
            case CONN_LISTEN_HTTP:
            case CONN_LISTEN_ECHO:
                accept_some(c);
                break;
            case CONN_UDP:
                answer_datagrams(c);
                break;
            default:
                serve(c);
            }
        }
    }
    return NULL;
}

/* IPv4 and IPv6 in one socket. */
static bool open_port(int type, uint16_t port, ConnKind kind)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int off = 0;
    Conn *c;

    if (fd < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        (type == SOCK_STREAM && listen(fd, BACKLOG) < 0) ||
        (c = new_conn(fd, kind)) == NULL) {
        say("service: cannot open port %u: %m", port);
        return false;
    }
    wait_for(c, EPOLLIN);
    return true;
}

void service_start(void)
{
    pthread_t t;

    poller = epoll_create1(EPOLL_CLOEXEC);
    pattern = malloc(SERVICE_PERIOD);
    if (poller < 0 || pattern == NULL) {
        say("service: cannot start: %m");
        return;
    }
    service_pattern(pattern);
    if (open_port(SOCK_STREAM, SERVICE_HTTP_PORT, CONN_LISTEN_HTTP) &&
        open_port(SOCK_STREAM, SERVICE_ECHO_PORT, CONN_LISTEN_ECHO) &&
        open_port(SOCK_DGRAM, SERVICE_ECHO_PORT, CONN_UDP) &&
        pthread_create(&t, NULL, service_thread, NULL) == 0)
        say("service ready");
}
