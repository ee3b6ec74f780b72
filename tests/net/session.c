/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: their connections, and how long they wait. */
#include "tests/net/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RETRY_US    (100 * 1000) /* a datagram without an answer */
#define LOOK_US     (10 * 1000)  /* at what an upload's kernel has sent */
#define AGAIN_US    (50 * 1000)  /* a connection that was lost */
#define MARK_BYTES  (8u << 20)   /* more than can have been on its way */
#define ERRORS_KEPT 8

const char *const kind_names[KIND_N] = {
    [KIND_DOWNLOAD] = "download", [KIND_UPLOAD] = "upload",
    [KIND_TINY] = "tiny",         [KIND_SHORT] = "short",
    [KIND_RANDOM] = "random",     [KIND_COUNTER] = "counter",
    [KIND_ECHO] = "echo",         [KIND_DIAL] = "dial",
    [KIND_UDP] = "udp",           [KIND_PING] = "ping",
    [KIND_RECORD] = "record",     [KIND_FSYNC] = "fsync",
    [KIND_WRITE] = "write",
};

static gboolean is_datagram(const Session *s)
{
    return s->kind == KIND_UDP || s->kind == KIND_PING;
}

Session *session_new(Load *l, Kind kind, guint index)
{
    Session *s = g_new0(Session, 1);

    s->load = l;
    s->kind = kind;
    s->index = index;
    s->v6 = l->o.v6 && (!l->o.v4 || index % 2);
    s->fd = s->listener = -1;
    s->out = g_byte_array_new();
    s->in = g_string_new(NULL);
    s->hash = SERVICE_HASH_START;
    return s;
}

static void close_connection(Session *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
    s->events = 0;
    s->connected = FALSE;
    g_byte_array_set_size(s->out, 0);
    g_string_truncate(s->in, 0);
    s->out_at = 0;
    s->body_left = 0;
    s->in_body = FALSE;
}

void session_free(gpointer data)
{
    Session *s = data;

    close_connection(s);
    if (s->listener >= 0) {
        close(s->listener);
    }
    g_byte_array_unref(s->out);
    g_string_free(s->in, TRUE);
    g_free(s);
}

void session_wait(Session *s, guint32 events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};
    int fd = s->state == STATE_LISTENING ? s->listener : s->fd;

    if (s->events == events) {
        return;
    }
    if (epoll_ctl(s->load->epoll, s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                  &ev) < 0) {
        g_error("epoll: %s", g_strerror(errno));
    }
    s->events = events;
}

gsize session_address(const Session *s, gboolean client, guint16 port,
                      struct sockaddr_storage *a)
{
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)a;
    struct sockaddr_in *a4 = (struct sockaddr_in *)a;

    memset(a, 0, sizeof(*a));
    if (s->v6) {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = htons(port);
        if (!client) {
            inet_pton(AF_INET6, s->load->o.target6, &a6->sin6_addr);
        }
        return sizeof(*a6);
    }
    a4->sin_family = AF_INET;
    a4->sin_port = htons(port);
    if (!client) {
        inet_pton(AF_INET, s->load->o.target, &a4->sin_addr);
    }
    return sizeof(*a4);
}

/* --- What happened ------------------------------------------------------ */

static void note(Session *s, const char *fmt, va_list ap)
{
    GPtrArray *errors = s->load->errors;
    g_autofree char *text = NULL;

    if (errors->len < ERRORS_KEPT) {
        text = g_strdup_vprintf(fmt, ap);
        g_ptr_array_add(errors, g_strdup_printf("%s %u (IPv%d): %s",
                                                kind_names[s->kind], s->index,
                                                s->v6 ? 6 : 4, text));
    }
}

static void count_gap(Session *s, gint64 now)
{
    gint64 gap = now - s->since_us;

    if (s->state == STATE_WAITING) {
        s->gap_us = MAX(s->gap_us, gap);
    } else if (s->state != STATE_IDLE && s->state != STATE_OVER) {
        s->connect_gap_us = MAX(s->connect_gap_us, gap);
    }
}

void session_progress(Session *s)
{
    gint64 now = g_get_monotonic_time();

    count_gap(s, now);
    s->since_us = now;
}

void session_wrong(Session *s, guint64 bytes, const char *fmt, ...)
{
    Load *l = s->load;
    va_list ap;

    l->total[s->kind].wrong_bytes += bytes;
    l->mark[s->kind].wrong_bytes += bytes;
    va_start(ap, fmt);
    note(s, fmt, ap);
    va_end(ap);
}

void session_lost(Session *s, const char *fmt, ...)
{
    Load *l = s->load;
    va_list ap;

    session_progress(s);
    l->total[s->kind].lost++;
    l->mark[s->kind].lost++;
    va_start(ap, fmt);
    note(s, fmt, ap);
    va_end(ap);
    if (s->listener >= 0) {
        close(s->listener);
        s->listener = -1;
    }
    close_connection(s);
    s->state = STATE_IDLE;
    s->next_us = g_get_monotonic_time() + AGAIN_US;
}

static void sample(Figures *f, double ms)
{
    if (!f->ms) {
        f->ms = g_array_new(FALSE, FALSE, sizeof(double));
    }
    f->exchanges++;
    g_array_append_val(f->ms, ms);
}

void session_done(Session *s)
{
    Load *l = s->load;
    gint64 now = g_get_monotonic_time();
    double ms = (double)(now - s->begun_us) / 1e3;

    session_progress(s);
    sample(&l->total[s->kind], ms);
    sample(&l->mark[s->kind], ms);
    s->exchanges++;
    if (s->begun_us >= l->mark_us) {
        s->marked = TRUE;
    }
    if (s->kind == KIND_SHORT || l->o.fresh) {
        close_connection(s);
    }
    s->state = STATE_IDLE;
    s->next_us = now + l->o.pace_ms * 1000;
    if (l->o.exchanges && s->exchanges >= (guint64)l->o.exchanges) {
        s->state = STATE_OVER;
        l->over++;
        close_connection(s);
    }
}

/* --- Connections -------------------------------------------------------- */

static guint16 port_of(const Session *s)
{
    switch (s->kind) {
    case KIND_ECHO:
        return SERVICE_ECHO_PORT;
    case KIND_RECORD:
    case KIND_FSYNC:
    case KIND_WRITE:
        return SERVICE_DISK_PORT;
    default:
        return (guint16)s->load->o.port;
    }
}

static void connect_to(Session *s, State state)
{
    struct sockaddr_storage a;
    gsize len = session_address(s, FALSE, port_of(s), &a);
    int one = 1;

    s->state = state;
    s->since_us = g_get_monotonic_time();
    s->anew = TRUE;
    if (s->kind != KIND_RECORD) { /* what is on a disk stays */
        gboolean line = s->kind == KIND_ECHO || s->kind == KIND_DIAL;

        s->number = 0;
        s->hash = line ? SERVICE_HASH_START : 0;
    }
    s->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0) {
        g_error("socket: %s", g_strerror(errno));
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(s->fd, (struct sockaddr *)&a, (socklen_t)len) < 0 &&
        errno != EINPROGRESS) {
        session_lost(s, "cannot connect: %s", g_strerror(errno));
        return;
    }
    session_wait(s, EPOLLOUT);
}

/* The guest is told to connect to a port of ours. */
static void listen_for_guest(Session *s)
{
    struct sockaddr_storage a;
    socklen_t len = (socklen_t)session_address(s, TRUE, 0, &a);

    s->listener =
        socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&a, len) < 0 ||
        listen(s->listener, 4) < 0) {
        g_error("cannot listen: %s", g_strerror(errno));
    }
}

static void accept_guest(Session *s)
{
    int one = 1;

    s->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (s->fd < 0) {
        return;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(s->listener);
    s->listener = -1;
    s->events = 0;
    session_progress(s);
    s->connected = TRUE;
    protocol_ask(s);
}

/* --- Time --------------------------------------------------------------- */

static void begin(Session *s)
{
    if (is_datagram(s)) {
        if (s->fd < 0) {
            s->fd = datagram_open(s);
            session_wait(s, EPOLLIN);
        }
        s->state = STATE_WAITING;
        s->begun_us = s->since_us = g_get_monotonic_time();
        datagram_send(s, FALSE);
        s->next_us = s->begun_us + RETRY_US;
    } else if (s->connected) {
        protocol_ask(s);
    } else if (s->kind == KIND_DIAL) {
        s->begun_us = g_get_monotonic_time();
        listen_for_guest(s);
        connect_to(s, STATE_DIALING);
    } else {
        s->begun_us = g_get_monotonic_time();
        connect_to(s, STATE_CONNECTING);
    }
}

/* What the kernel sends for us is progress when it was acknowledged. */
static void look_at_upload(Session *s)
{
    int unacked = 0;

    if (ioctl(s->fd, SIOCOUTQ, &unacked) == 0 && unacked < s->unacked) {
        session_progress(s);
    }
    s->unacked = unacked;
}

gint64 session_tick(Session *s, gint64 now)
{
    gint64 stall = s->since_us + (gint64)s->load->o.stall_s * G_USEC_PER_SEC;

    if (s->state == STATE_OVER ||
        (s->state == STATE_IDLE && s->load->ending)) {
        return G_MAXINT64;
    }
    if (s->state == STATE_IDLE) {
        if (now < s->next_us) {
            return s->next_us;
        }
        begin(s);
        return now + RETRY_US;
    }
    if (now >= stall) {
        session_lost(s, "nothing for %d s", s->load->o.stall_s);
        return s->next_us;
    }
    if (is_datagram(s)) {
        if (now >= s->next_us) {
            datagram_send(s, TRUE);
            s->next_us = now + RETRY_US;
        }
        return s->next_us;
    }
    if (s->kind == KIND_UPLOAD && s->state == STATE_WAITING) {
        look_at_upload(s);
        return now + LOOK_US;
    }
    return stall;
}

/* --- Input and output --------------------------------------------------- */

static void count_bytes(Session *s, gsize n)
{
    Load *l = s->load;

    l->total[s->kind].bytes += n;
    l->mark[s->kind].bytes += n;
    s->mark_bytes += n;
    if (s->mark_bytes > MARK_BYTES) {
        s->marked = TRUE;
    }
}

/* FALSE: the session was lost. */
static gboolean flush(Session *s)
{
    while (s->out_at < s->out->len ||
           (s->kind == KIND_UPLOAD && s->body_left)) {
        gboolean head = s->out_at < s->out->len;
        gsize len = head ? s->out->len - s->out_at
                         : service_piece(s->body_at, s->body_left);
        const guint8 *data =
            head ? s->out->data + s->out_at
                 : s->load->pattern + s->body_at % SERVICE_PERIOD;
        gssize n = send(s->fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            session_wait(s, EPOLLIN | EPOLLOUT);
            return TRUE;
        }
        if (n < 0) {
            session_lost(s, "cannot send: %s", g_strerror(errno));
            return FALSE;
        }
        if (head) {
            s->out_at += (gsize)n;
        } else {
            session_progress(s);
            count_bytes(s, (gsize)n);
            s->body_at += (gsize)n;
            s->body_left -= (gsize)n;
        }
    }
    session_wait(s, EPOLLIN);
    return TRUE;
}

static void receive(Session *s)
{
    static guint8 data[256 * 1024];
    gssize n = recv(s->fd, data, sizeof(data), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n < 0) {
        session_lost(s, "cannot receive: %s", g_strerror(errno));
        return;
    }
    if (n == 0) {
        session_lost(s, "the guest has closed the connection");
        return;
    }
    if (s->state == STATE_IDLE) {
        session_wrong(s, (guint64)n, "%zd bytes that nobody asked for", n);
        return;
    }
    session_progress(s);
    count_bytes(s, (gsize)n);
    protocol_take(s, data, (gsize)n);
}

void session_ready(Session *s, guint32 events)
{
    if (s->state == STATE_LISTENING) {
        accept_guest(s);
        return;
    }
    if (s->fd < 0) {
        return;
    }
    if (is_datagram(s)) {
        datagram_receive(s);
        return;
    }
    if (!s->connected) {
        int error = 0;
        socklen_t len = sizeof(error);

        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            session_lost(s, "cannot connect: %s", g_strerror(error));
            return;
        }
        session_progress(s);
        s->connected = TRUE;
        protocol_ask(s);
    }
    if (s->fd >= 0 && flush(s) && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        receive(s);
    }
}
