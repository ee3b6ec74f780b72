/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A link that can be cut. */
#include "tests/sim/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_PAIRS = 64, BUFFER = 1024 * 1024 };

/* Bytes on their way from one socket to another. */
typedef struct Way {
    int from, to;
    char *buf;
    gsize start, end;
    gboolean eof;    /* from will send no more */
    gboolean closed; /* and to was told */
} Way;

typedef struct Pair {
    Way out, back; /* to the other end, and from it */
    gboolean connecting;
} Pair;

struct Relay {
    GThread *thread;
    int wake;
    int tcp, udp, udp_out;
    guint16 tcp_port, udp_port, tcp_to;
    struct sockaddr_in udp_peer; /* who sent to us last */
    GPtrArray *pairs;            /* the thread's own */

    GMutex lock; /* guards all below; held while bytes pass */
    gboolean quit, cut_tcp, cut_udp;
    guint64 left; /* bytes until TCP is cut */
    guint64 passed;
};

static struct sockaddr_in loopback(guint16 port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* A socket at this port, 0: at any; -1: it is taken. */
static int bind_at(int type, guint16 port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_assert_cmpint(fd, >=, 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int bound(int type, guint16 *port)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    int fd = bind_at(type, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&a, &len), ==, 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void pair_free(gpointer data)
{
    Pair *p = data;

    close(p->out.from);
    close(p->out.to);
    g_free(p->out.buf);
    g_free(p->back.buf);
    g_free(p);
}

/*
 * Ethernet's.  Loopback's of 64 KiB meets delayed acknowledgements: 40 ms
 * whenever the window ends with an odd segment.
 */
static void set_segment_size(int fd)
{
    int bytes = 1448;

    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, sizeof(bytes));
}

static void accept_pair(Relay *r)
{
    struct sockaddr_in a = loopback(r->tcp_to);
    int fd = accept4(r->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
    Pair *p;

    if (fd < 0) {
        return;
    }
    if (r->pairs->len == MAX_PAIRS) {
        close(fd);
        return;
    }
    p = g_new0(Pair, 1);
    p->out.from = p->back.to = fd;
    p->out.to = p->back.from =
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(p->out.to, >=, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(p->out.to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    set_segment_size(p->out.to);
    p->out.buf = g_malloc(BUFFER);
    p->back.buf = g_malloc(BUFFER);
    p->connecting = connect(p->out.to, (struct sockaddr *)&a, sizeof(a)) < 0;
    g_ptr_array_add(r->pairs, p);
}

/* FALSE: the pair is over.  limit: bytes that may pass, counted down. */
static gboolean pass(Way *w, guint64 *limit, guint64 *passed)
{
    ssize_t n;

    if (!w->eof && w->start == w->end) {
        w->start = w->end = 0;
    }
    if (!w->eof && w->end < BUFFER) {
        n = read(w->from, w->buf + w->end, BUFFER - w->end);
        if (n == 0) {
            w->eof = TRUE;
        } else if (n > 0) {
            w->end += n;
        } else if (errno != EAGAIN && errno != EINTR) {
            return FALSE;
        }
    }
    if (w->start < w->end && (!limit || *limit)) {
        gsize max = w->end - w->start;

        if (limit) {
            max = MIN(max, *limit);
        }
        n = send(w->to, w->buf + w->start, max, MSG_NOSIGNAL);
        if (n > 0) {
            w->start += n;
            if (limit) {
                *limit -= n;
                *passed += n;
            }
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return FALSE;
        }
    }
    if (w->eof && w->start == w->end && !w->closed) {
        shutdown(w->to, SHUT_WR);
        w->closed = TRUE;
    }
    return TRUE;
}

/* A reset passes on as a reset. */
static void reset(int fd)
{
    struct linger l = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static gboolean service(Relay *r, Pair *p)
{
    if (p->connecting) {
        int err = 0;
        socklen_t len = sizeof(err);

        getsockopt(p->out.to, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err) {
            reset(p->out.from);
            return FALSE;
        }
        p->connecting = FALSE;
    }
    if (!pass(&p->out, &r->left, &r->passed) || !pass(&p->back, NULL, NULL)) {
        reset(p->out.from);
        reset(p->out.to);
        return FALSE;
    }
    return !(p->out.closed && p->back.closed);
}

static void pass_datagrams(Relay *r)
{
    char buf[2048];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(r->udp, buf, sizeof(buf), 0, (struct sockaddr *)&from,
                         &len)) >= 0) {
        r->udp_peer = from;
        if (!r->cut_udp && send(r->udp_out, buf, n, MSG_NOSIGNAL) < 0) {
            continue; /* as the net does: lost */
        }
        len = sizeof(from);
    }
    while ((n = recv(r->udp_out, buf, sizeof(buf), 0)) >= 0) {
        if (!r->cut_udp && r->udp_peer.sin_port) {
            (void)!sendto(r->udp, buf, n, MSG_NOSIGNAL,
                          (struct sockaddr *)&r->udp_peer, sizeof(r->udp_peer));
        }
    }
}

static short wanted(const Way *reads, const Way *writes)
{
    return (!reads->eof && reads->end < BUFFER ? POLLIN : 0) |
           (writes->start < writes->end ? POLLOUT : 0);
}

/* Called with the lock held. */
static nfds_t fill_poll(Relay *r, struct pollfd *p)
{
    nfds_t n = 0;

    p[n++] = (struct pollfd){.fd = r->wake, .events = POLLIN};
    p[n++] = (struct pollfd){.fd = r->udp, .events = POLLIN};
    p[n++] = (struct pollfd){.fd = r->udp_out, .events = POLLIN};
    if (r->cut_tcp) {
        return n;
    }
    p[n++] = (struct pollfd){.fd = r->tcp, .events = POLLIN};
    for (guint i = 0; i < r->pairs->len; i++) {
        Pair *pair = r->pairs->pdata[i];
        short out = wanted(&pair->back, &pair->out);

        p[n++] = (struct pollfd){
            .fd = pair->connecting ? -1 : pair->out.from,
            .events = wanted(&pair->out, &pair->back),
        };
        p[n++] = (struct pollfd){
            .fd = pair->out.to,
            .events = pair->connecting ? POLLOUT : out,
        };
    }
    return n;
}

static gpointer run(gpointer data)
{
    Relay *r = data;
    struct pollfd p[4 + 2 * MAX_PAIRS];
    struct sched_param prio = {.sched_priority = 1};
    guint64 count;

    /* A cable does not wait for a processor.  Without rights: it does. */
    pthread_setschedparam(pthread_self(), SCHED_RR, &prio);

    g_mutex_lock(&r->lock);
    while (!r->quit) {
        nfds_t n = fill_poll(r, p);

        g_mutex_unlock(&r->lock);
        if (poll(p, n, 1000) < 0) {
            g_assert_cmpint(errno, ==, EINTR);
        }
        g_mutex_lock(&r->lock);
        if (read(r->wake, &count, sizeof(count)) < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
        }
        pass_datagrams(r);
        if (r->cut_tcp) {
            continue;
        }
        accept_pair(r);
        for (guint i = 0; i < r->pairs->len; i++) {
            Pair *pair = r->pairs->pdata[i];

            if (!service(r, pair)) {
                g_ptr_array_remove_index(r->pairs, i--);
            }
        }
        if (!r->left) {
            r->cut_tcp = TRUE;
        }
    }
    g_mutex_unlock(&r->lock);
    return NULL;
}

Relay *relay_new(guint16 tcp_to, guint16 udp_to)
{
    struct sockaddr_in a = loopback(udp_to);
    Relay *r = g_new0(Relay, 1);
    guint16 unused;

    g_mutex_init(&r->lock);
    r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->tcp = bound(SOCK_STREAM, &r->tcp_port);
    set_segment_size(r->tcp);
    g_assert_cmpint(listen(r->tcp, 16), ==, 0);
    r->tcp_to = tcp_to;
    r->udp = bound(SOCK_DGRAM, &r->udp_port);
    r->udp_out = bound(SOCK_DGRAM, &unused);
    g_assert_cmpint(connect(r->udp_out, (struct sockaddr *)&a, sizeof(a)), ==,
                    0);
    r->left = G_MAXUINT64;
    r->pairs = g_ptr_array_new_with_free_func(pair_free);
    r->thread = g_thread_new("relay", run, r);
    return r;
}

static void wake(Relay *r)
{
    guint64 one = 1;

    g_assert_cmpint(write(r->wake, &one, sizeof(one)), ==, sizeof(one));
}

void relay_free(Relay *r)
{
    if (r) {
        g_mutex_lock(&r->lock);
        r->quit = TRUE;
        g_mutex_unlock(&r->lock);
        wake(r);
        g_thread_join(r->thread);
        g_ptr_array_unref(r->pairs);
        close(r->wake);
        close(r->tcp);
        close(r->udp);
        close(r->udp_out);
        g_mutex_clear(&r->lock);
        g_free(r);
    }
}

guint16 relay_tcp_port(const Relay *r)
{
    return r->tcp_port;
}

guint16 relay_udp_port(const Relay *r)
{
    return r->udp_port;
}

void relay_cut(Relay *r, gboolean tcp, gboolean udp)
{
    g_mutex_lock(&r->lock);
    r->cut_tcp |= tcp;
    r->cut_udp |= udp;
    g_mutex_unlock(&r->lock);
    wake(r);
}

void relay_mend(Relay *r)
{
    g_mutex_lock(&r->lock);
    r->cut_tcp = r->cut_udp = FALSE;
    r->left = G_MAXUINT64;
    g_mutex_unlock(&r->lock);
    wake(r);
}

void relay_mend_udp(Relay *r)
{
    g_mutex_lock(&r->lock);
    r->cut_udp = FALSE;
    g_mutex_unlock(&r->lock);
    wake(r);
}

void relay_cut_after(Relay *r, guint64 n)
{
    g_mutex_lock(&r->lock);
    r->left = n;
    g_mutex_unlock(&r->lock);
    wake(r);
}

guint64 relay_bytes(Relay *r)
{
    guint64 n;

    g_mutex_lock(&r->lock);
    n = r->passed;
    g_mutex_unlock(&r->lock);
    return n;
}
