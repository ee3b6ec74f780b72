/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection to the other proxy: its turns in the main loop.
 *
 * Theory of operation.  A connection is one GSource with its socket.  A turn
 * reads and hands out at most TURN_BYTES or for TURN_US, writes as much, and
 * looks at the clock each TICK_US.  What the sender gives us goes to the
 * kernel straight from its own memory when it is large, and nothing waits
 * before it but what was gathered; only what the kernel does not take is
 * copied into the queue.  prepare() asks for a turn while there is something
 * gathered, so nothing is forgotten when nobody calls net_link_flush().
 */
#include "netcompare/link/link-priv.h"

#include <errno.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TURN_BYTES = 4 * 1024 * 1024,
    TURN_US = 1000,
    TURN_CHECK = 16, /* messages between two looks at the clock */
    /* At once from the kernel: stays in the cache until it is handed out. */
    READ_BYTES = 512 * 1024,
    /* Messages from here on are not copied, if the kernel takes them. */
    DIRECT = 8 * 1024,
    /* Smaller ones are written together when they are this much. */
    GATHER = 64 * 1024,
    SOCKET_BYTES = 4 * 1024 * 1024,
    HELLO_US = 2 * G_USEC_PER_SEC,
    SILENCE_US = NET_LINK_SILENCE_MS * 1000,
    PING_US = SILENCE_US / 4,
    TICK_US = SILENCE_US / 16,
    /* A turn that is later than this says nothing about the peer. */
    LATE_US = SILENCE_US / 8,
    MAX_PIECES = 3,
    MAX_IOV = 16,
};

typedef struct ConnSource {
    GSource source;
    NetConn *conn;
} ConnSource;

void net_conn_fail(NetConn *c, const char *why)
{
    if (!c->failed) {
        c->failed = g_strdup(why);
    }
}

/* --- Sending ------------------------------------------------------------ */

/* Returns the bytes that the kernel took, and notes when it is full. */
static gsize give_kernel(NetConn *c, struct iovec *iov, guint n, gsize total)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t done;

    do {
        done = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (done < 0 && errno == EINTR);
    if (done < 0) {
        if (errno != EAGAIN) {
            g_autofree char *why = g_strdup_printf(
                "sending to the other proxy failed: %s", g_strerror(errno));

            net_conn_fail(c, why);
        }
        done = 0;
    }
    c->blocked = (gsize)done < total;
    if (done) {
        c->sent_at = c->moved_at = g_get_monotonic_time();
        c->link->stats.sent += done;
    }
    return done;
}

/* What was gathered; leaves the rest of a long queue to the next turn. */
void net_conn_write(NetConn *c)
{
    gsize written = 0;

    while (c->out.bytes && !c->blocked && !c->failed && written < TURN_BYTES) {
        struct iovec iov[MAX_IOV];
        guint n = net_queue_peek(&c->out, iov, MAX_IOV);
        gsize total = 0, done;

        for (guint i = 0; i < n; i++) {
            total += iov[i].iov_len;
        }
        done = give_kernel(c, iov, n, total);
        net_queue_skip(&c->out, done);
        written += done;
    }
    c->link->stats.queued = c->out.bytes;
}

static void enqueue(NetConn *c, const struct iovec *iov, guint n, gsize skip)
{
    for (guint i = 0; i < n; i++) {
        gsize off = MIN(skip, iov[i].iov_len);

        skip -= off;
        net_queue_add(&c->out, (const guint8 *)iov[i].iov_base + off,
                      iov[i].iov_len - off);
    }
    c->link->stats.queued = c->out.bytes;
    c->link->stats.max_queued = MAX(c->link->stats.max_queued, c->out.bytes);
}

gboolean net_conn_send(NetConn *c, const NetWireHead *h,
                       const struct iovec *iov, guint n, gsize limit)
{
    gsize total = NET_WIRE_HEADER + h->len;
    guint8 head[NET_WIRE_HEADER];
    struct iovec all[MAX_IOV];
    guint before = 0;

    if (c->out.bytes + total > limit) {
        net_conn_write(c);
        if (!c->failed && c->out.bytes + total > limit) {
            c->wants_room = TRUE;
            c->link->stats.refused++;
            return FALSE;
        }
    }
    if (c->failed) {
        return FALSE;
    }
    net_wire_put_head(head, h);
    if (!c->blocked && total >= DIRECT && c->out.bytes <= GATHER) {
        before = net_queue_peek(&c->out, all, MAX_IOV - 1 - MAX_PIECES);
    }
    all[before] = (struct iovec){head, sizeof(head)};
    for (guint i = 0; i < n; i++) {
        all[before + 1 + i] = iov[i];
    }
    if (!c->blocked && total >= DIRECT && c->out.bytes <= GATHER) {
        gsize queued = c->out.bytes;
        gsize done = give_kernel(c, all, before + 1 + n, queued + total);

        if (c->failed) {
            return FALSE;
        }
        net_queue_skip(&c->out, MIN(done, queued));
        enqueue(c, all + before, 1 + n, done - MIN(done, queued));
    } else {
        enqueue(c, all + before, 1 + n, 0);
        if (c->out.bytes >= GATHER) {
            net_conn_write(c);
        }
    }
    c->link->stats.sent_messages++;
    return TRUE;
}

static void send_ping(NetConn *c)
{
    net_conn_send(c, &(NetWireHead){.type = NET_WIRE_PING}, NULL, 0, G_MAXSIZE);
    net_conn_write(c);
}

/* --- Receiving ---------------------------------------------------------- */

static gboolean handle(NetConn *c, const NetWireHead *h, const guint8 *data,
                       NetBuf *buf, GError **error)
{
    NetLink *l = c->link;

    l->stats.received_messages++;
    if (!c->up && h->type == NET_WIRE_HELLO) {
        return net_link_take_hello(l, c, data, h->len, error);
    }
    if (!c->up || h->type == NET_WIRE_HELLO ||
        !net_wire_is_said_by(h->type, !l->hello->primary)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other proxy sent %s, which it may not%s",
                    net_wire_type_name(h->type),
                    c->up ? "" : " before its hello");
        return FALSE;
    }
    if (h->type == NET_WIRE_PING) {
        return TRUE;
    }
    l->handed_out = TRUE;
    return l->ops.message(l->user, h, data, buf, error);
}

/* Hand out what lies in the buffer; sets more when the time is over. */
static void hand_out(NetConn *c, gint64 until)
{
    g_autoptr(GError) error = NULL;

    for (guint n = 1; !c->failed; n++) {
        const guint8 *data;
        NetWireHead h;
        NetBuf *buf;

        switch (net_reader_next(&c->in, &h, &data, &buf, &error)) {
        case NET_READER_MORE:
            c->more = FALSE;
            return;
        case NET_READER_MESSAGE:
            if (!handle(c, &h, data, buf, &error)) {
                net_conn_fail(c, error->message);
            }
            break;
        case NET_READER_WRONG:
            net_conn_fail(c, error->message);
            break;
        }
        if (n % TURN_CHECK == 0 && g_get_monotonic_time() >= until) {
            c->more = TRUE;
            return;
        }
    }
}

static void receive(NetConn *c)
{
    gint64 until = g_get_monotonic_time() + TURN_US;
    gsize total = 0;

    c->link->handed_out = FALSE;
    hand_out(c, until);
    while (!c->failed && !c->more && total < TURN_BYTES) {
        gsize room;
        guint8 *space = net_reader_space(&c->in, &room);
        ssize_t n;

        room = MIN(room, READ_BYTES);
        n = recv(c->fd, space, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            g_autofree char *why = g_strdup_printf(
                "receiving from the other proxy failed: %s",
                n ? g_strerror(errno) : "it closed the connection");

            net_conn_fail(c, why);
            return;
        }
        net_reader_fed(&c->in, n);
        c->link->stats.received += n;
        total += n;
        c->received_at = g_get_monotonic_time();
        hand_out(c, until);
        if ((gsize)n < room || c->received_at >= until) {
            return; /* most likely there is no more, or not in this turn */
        }
    }
}

/* --- The clock ---------------------------------------------------------- */

static void tick(NetConn *c, gint64 now)
{
    gint64 late = now - c->due;

    c->due = now + TICK_US;
    if (late > LATE_US) {
        /* We stood still ourselves: that time does not count. */
        c->opened += late;
        c->received_at += late;
        c->moved_at += late;
    }
    if (!c->out.bytes) {
        c->moved_at = now;
    }
    if (!c->up && now - c->opened >= HELLO_US) {
        net_conn_fail(c, "no hello came in time: is it a colo-proxy?");
    } else if (now - c->received_at >= SILENCE_US) {
        net_conn_fail(c, "the other proxy is silent");
    } else if (now - c->moved_at >= SILENCE_US) {
        net_conn_fail(c, "the other proxy takes nothing");
    } else if (now - c->sent_at >= PING_US && !c->out.bytes) {
        send_ping(c);
    }
}

/* --- The source --------------------------------------------------------- */

static gboolean has_work(const NetConn *c)
{
    return c->failed || c->more || (c->out.bytes && !c->blocked);
}

static gboolean conn_prepare(GSource *source, int *timeout)
{
    NetConn *c = ((ConnSource *)source)->conn;

    /* Read by GLib after this; g_source_modify_unix_fd() would wake it. */
    c->poll.events = G_IO_IN | (c->blocked ? G_IO_OUT : 0);
    *timeout = -1;
    return has_work(c);
}

static gboolean conn_check(GSource *source)
{
    NetConn *c = ((ConnSource *)source)->conn;

    return c->poll.revents || has_work(c);
}

static gboolean conn_dispatch(GSource *source, GSourceFunc unused,
                              gpointer unused_data)
{
    NetConn *c = ((ConnSource *)source)->conn;
    gushort ready = c->poll.revents;

    if (c->more || (ready & (G_IO_IN | G_IO_HUP | G_IO_ERR))) {
        NetLink *l = c->link;

        receive(c);
        if (l->handed_out && l->ops.turn) {
            l->ops.turn(l->user);
        }
    }
    if (ready & G_IO_OUT) {
        c->blocked = FALSE;
    }
    net_conn_write(c);
    if (!c->failed && g_get_monotonic_time() >= c->due) {
        tick(c, g_get_monotonic_time());
    }
    if (!c->failed && c->wants_room && !c->out.bytes) {
        c->wants_room = FALSE;
        if (c->link->ops.room) {
            c->link->ops.room(c->link->user);
        }
    }
    if (c->failed) {
        net_link_ended(c->link, c);
        return G_SOURCE_REMOVE;
    }
    g_source_set_ready_time(source, c->due);
    return G_SOURCE_CONTINUE;
}

static void set_option(int fd, int level, int name, int value)
{
    /* One that is not there makes the link slower, not wrong. */
    (void)!setsockopt(fd, level, name, &value, sizeof(value));
}

static void prepare_socket(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
        sa.ss_family == AF_UNIX) {
        set_option(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BYTES);
        set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES);
        return;
    }
    /* TCP finds the sizes of its buffers better itself. */
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, NET_LINK_SILENCE_MS);
}

NetConn *net_conn_new(NetLink *l, int fd, char *peer)
{
    static GSourceFuncs funcs = {.prepare = conn_prepare,
                                 .check = conn_check,
                                 .dispatch = conn_dispatch};
    g_autoptr(GBytes) hello = net_hello_format(l->hello);
    NetWireHead h = {.len = g_bytes_get_size(hello), .type = NET_WIRE_HELLO};
    struct iovec iov = {(void *)g_bytes_get_data(hello, NULL), h.len};
    NetConn *c = g_new0(NetConn, 1);

    prepare_socket(fd);
    c->link = l;
    c->fd = fd;
    c->peer = peer;
    c->opened = c->received_at = c->sent_at = c->moved_at =
        g_get_monotonic_time();
    c->due = c->opened + TICK_US;
    net_reader_init(&c->in, l->pool, l->hello->ifaces);
    net_queue_init(&c->out);

    c->source = g_source_new(&funcs, sizeof(ConnSource));
    ((ConnSource *)c->source)->conn = c;
    c->poll.fd = fd;
    g_source_add_poll(c->source, &c->poll);
    g_source_set_ready_time(c->source, c->due);
    /* Else GLib takes fd out of the poll for each turn, and wakes itself. */
    g_source_set_can_recurse(c->source, TRUE);
    g_source_attach(c->source, l->context);

    net_conn_send(c, &h, &iov, 1, G_MAXSIZE);
    net_conn_write(c);
    return c;
}

void net_conn_free(NetConn *c)
{
    g_source_destroy(c->source);
    g_source_unref(c->source);
    close(c->fd);
    net_reader_clear(&c->in);
    net_queue_clear(&c->out);
    g_free(c->peer);
    g_free(c->failed);
    g_free(c);
}
