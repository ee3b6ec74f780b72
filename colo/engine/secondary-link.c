/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secondary's connections.
 *
 * A listener thread accepts; each connection gets a thread that reads INIT,
 * offers itself to the engine, and, if it is taken, receives.  However many
 * strangers connect, at most MAX_CONNS threads exist, and one that has not
 * sent all of INIT is gone after INIT_US.
 */
#include "colo/engine/secondary.h"
#include "colo/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNS 8
#define INIT_US   (5 * G_USEC_PER_SEC)
#define TELL_US   (200 * 1000)  /* for a refusal to be written */
#define PAUSE_MS  1000          /* until the next try without descriptors */

struct SecondaryLink {
    const ColoConfig *config;
    ColoMailbox *engine;
    ColoDiskServer *disks;  /* or NULL */
    int fd, wake;
    GThread *thread;
    GMutex lock;        /* guards conns and ids */
    GCond conn_ended;
    guint conns;        /* connection threads alive */
    guint64 ids;
};

typedef struct Served {
    SecondaryLink *link;
    ColoConn *conn;
} Served;

static gboolean put_frame(ColoConn *c, FtCmd cmd, const void *payload,
                          gsize len, GError **error)
{
    FtHeader h = {.cmd = cmd, .payload_len = (guint32)len};
    FtIo io = {.fd = c->fd, .stop_fd = -1, .stall_us = TELL_US};
    guint8 raw[FT_HEADER_LEN];

    ft_header_put(&h, raw);
    return ft_io_write(&io, raw, sizeof(raw), error) &&
           ft_io_write(&io, payload, len, error);
}

static void put_nack(ColoConn *c, const FtNote *note)
{
    FtHeader h = {.cmd = FT_CMD_NACK};
    guint8 out[FT_NOTE_LEN + FT_MAX_TEXT];

    ft_note_put(&h, note, out);
    put_frame(c, FT_CMD_NACK, out, h.payload_len, NULL);
}

/* Read INIT; NULL: it was none (the peer has been told, if it can listen). */
static FtHello *read_hello(SecondaryLink *l, ColoConn *c, GError **error)
{
    FtIo io = {.fd = c->fd,
               .stop_fd = l->wake,
               .stall_us = INIT_US,
               .end_us = g_get_monotonic_time() + INIT_US};
    FtNote note = {.code = FT_TRANS_ERR_RECV_HDR, .text = "INIT is expected"};
    guint8 raw[FT_HEADER_LEN];
    g_autofree char *payload = NULL;
    FtHello *hello;
    FtHeader h;

    if (!ft_io_read(&io, raw, sizeof(raw), error)) {
        return NULL;
    }
    if (ft_header_get(raw, &h) || h.cmd != FT_CMD_INIT || !h.payload_len) {
        put_nack(c, &note);
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "it does not speak the ft protocol");
        return NULL;
    }
    payload = g_malloc(h.payload_len);
    if (!ft_io_read(&io, payload, h.payload_len, error)) {
        return NULL;
    }
    hello = ft_hello_get(payload, h.payload_len, error);
    if (!hello) {
        note.code = FT_TRANS_ERR_RECV_PAYLOAD;
        g_strlcpy(note.text, "INIT cannot be read", sizeof(note.text));
        put_nack(c, &note);
    }
    return hello;
}

/* Offer the connection to the engine and wait for its answer. */
static gboolean wait_verdict(Served *v)
{
    ColoConn *c = v->conn;
    gboolean accepted;

    colo_mailbox_tell(v->link->engine, COLO_MSG_OFFER, 0, NULL, c);
    g_mutex_lock(&c->lock);
    while (!c->verdict) {
        g_cond_wait(&c->decided, &c->lock);
    }
    /* Accepted, it is the engine's, even if that has ended it already. */
    accepted = c->accept != NULL;
    g_mutex_unlock(&c->lock);
    return accepted;
}

static void committed(guint64 epoch, gpointer data)
{
    Served *v = data;

    colo_mailbox_tell(v->link->engine, COLO_MSG_COMMITTED, (gint64)epoch, NULL,
                      NULL);
}

static gboolean seal(guint64 epoch, gpointer data, GError **error)
{
    Served *v = data;

    return secondary_seal_disks(epoch, v->link->disks, error);
}

static void receive(Served *v)
{
    ColoConn *c = v->conn;
    FtReceiverOps ops = {.seal = v->link->disks ? seal : NULL,
                         .committed = committed,
                         .user_data = v};
    gint64 stall = v->link->config->ft_timeout_ms * 1000;
    g_autofree char *answer = NULL;
    g_autoptr(GError) error = NULL;
    FtReceiver *r;
    gsize len;

    answer = ft_hello_put(c->accept, &len);
    if (!put_frame(c, FT_CMD_INIT, answer, len, &error)) {
        c->error = g_strdup(error->message);
        return;
    }
    r = ft_receiver_new(c->fd, c->hold, c->accept->codings, stall, &ops);
    g_mutex_lock(&c->lock);
    c->receiver = r;
    if (c->stop) {
        ft_receiver_stop(r);
    }
    g_mutex_unlock(&c->lock);

    c->cancelled = ft_receiver_run(r, &c->note, &error);
    if (!c->cancelled) {
        c->error = g_strdup(error->message);
    }

    g_mutex_lock(&c->lock);
    c->receiver = NULL;
    g_mutex_unlock(&c->lock);
    ft_receiver_free(r);
}

static gpointer conn_thread(gpointer data)
{
    Served *v = data;
    ColoConn *c = v->conn;
    SecondaryLink *l = v->link;
    g_autoptr(GError) error = NULL;
    guint64 id = c->id;
    gboolean known = FALSE;

    c->hello = read_hello(l, c, &error);
    if (!c->hello) {
        colo_log_warn("connection from %s: %s", c->from, error->message);
    } else if (wait_verdict(v)) {
        known = TRUE;
        receive(v);
    } else {
        put_nack(c, &c->nack);
        colo_log_warn("connection from %s refused: %s", c->from, c->nack.text);
    }
    if (known) {
        /* The engine has it, joins this thread and frees it. */
        colo_mailbox_tell(l->engine, COLO_MSG_CONN_ENDED, (gint64)id, NULL,
                          NULL);
    } else {
        g_mutex_lock(&c->lock); /* accept_one() may be storing it just now */
        g_thread_unref(g_steal_pointer(&c->thread));
        g_mutex_unlock(&c->lock);
        secondary_conn_free(c);
    }
    g_free(v);
    g_mutex_lock(&l->lock);
    l->conns--;
    g_cond_signal(&l->conn_ended);
    g_mutex_unlock(&l->lock);
    return NULL;
}

static char *peer_name(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    g_autoptr(GSocketAddress) a = NULL;

    if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0) {
        a = g_socket_address_new_from_native(&ss, len);
    }
    return a && G_IS_INET_SOCKET_ADDRESS(a)
               ? g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(a))
               : g_strdup("a local process");
}

/* FALSE: nothing can be accepted, and poll would not wait. */
static gboolean accept_one(SecondaryLink *l)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    gboolean full;
    ColoConn *c;
    Served *v;

    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                   errno == ENOBUFS)) {
        colo_log_warn("cannot accept a connection: %m");
        return FALSE;
    }
    if (fd < 0) {
        return TRUE; /* gone again: poll tells the next */
    }
    c = g_new0(ColoConn, 1);
    g_mutex_lock(&l->lock);
    full = l->conns == MAX_CONNS;
    l->conns += !full;
    c->id = ++l->ids;
    g_mutex_unlock(&l->lock);
    if (full) {
        close(fd);
        g_free(c);
        return TRUE;
    }
    c->fd = fd;
    c->from = peer_name(fd);
    g_mutex_init(&c->lock);
    g_cond_init(&c->decided);
    v = g_new0(Served, 1);
    v->link = l;
    v->conn = c;
    g_mutex_lock(&c->lock);
    c->thread = g_thread_new("ft-conn", conn_thread, v);
    g_mutex_unlock(&c->lock);
    return TRUE;
}

static gpointer listen_thread(gpointer data)
{
    SecondaryLink *l = data;
    struct pollfd p[2] = {
        {.fd = l->fd, .events = POLLIN},
        {.fd = l->wake, .events = POLLIN},
    };

    for (;;) {
        int n = poll(p, 2, p[0].fd < 0 ? PAUSE_MS : -1);

        if (n < 0 && errno != EINTR) {
            g_error("cannot poll the listening socket: %s", g_strerror(errno));
        }
        if (n > 0 && p[1].revents) {
            return NULL;
        }
        if (n > 0 && p[0].revents && !accept_one(l)) {
            p[0].fd = -1; /* only the end is waited for, for a while */
        } else {
            p[0].fd = l->fd;
        }
    }
}

SecondaryLink *secondary_link_new(const ColoConfig *config,
                                  ColoMailbox *engine, ColoDiskServer *disks,
                                  GError **error)
{
    SecondaryLink *l = g_new0(SecondaryLink, 1);

    g_mutex_init(&l->lock);
    g_cond_init(&l->conn_ended);
    l->config = config;
    l->engine = engine;
    l->disks = disks;
    l->fd = colo_addr_listen(config->listen, error);
    if (l->fd < 0) {
        g_free(l);
        return NULL;
    }
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(l->wake >= 0);
    l->thread = g_thread_new("listen", listen_thread, l);
    return l;
}

void secondary_link_stop(SecondaryLink *l)
{
    guint64 one = 1;

    if (l && l->thread) {
        if (write(l->wake, &one, sizeof(one)) < 0) {
            g_assert(errno == EAGAIN);
        }
        g_thread_join(l->thread);
        l->thread = NULL;
    }
}

gboolean secondary_link_free(SecondaryLink *l)
{
    gint64 end = g_get_monotonic_time() + 10 * 1000;
    gboolean empty;

    if (!l) {
        return TRUE;
    }
    g_mutex_lock(&l->lock);
    while (l->conns && g_cond_wait_until(&l->conn_ended, &l->lock, end)) {
    }
    empty = !l->conns;
    g_mutex_unlock(&l->lock);
    if (!empty) {
        return FALSE;
    }
    close(l->fd);
    close(l->wake);
    g_mutex_clear(&l->lock);
    g_cond_clear(&l->conn_ended);
    g_free(l);
    return TRUE;
}

static void decide(ColoConn *c)
{
    c->verdict = TRUE;
    g_cond_signal(&c->decided);
}

void secondary_conn_accept(ColoConn *c, FtHello *answer, FtHold *hold)
{
    g_mutex_lock(&c->lock);
    c->accept = answer;
    c->hold = hold;
    decide(c);
    g_mutex_unlock(&c->lock);
}

void secondary_conn_refuse(ColoConn *c, guint32 code, const char *text)
{
    g_mutex_lock(&c->lock);
    c->nack.code = code;
    g_strlcpy(c->nack.text, text, sizeof(c->nack.text));
    decide(c);
    g_mutex_unlock(&c->lock);
}

gboolean secondary_conn_closed(ColoConn *c, int ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    char rest[4096];
    ssize_t n;

    if (poll(&p, 1, ms) <= 0) {
        return FALSE;
    }
    n = recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void secondary_conn_end(ColoConn *c, FtCancel cancel, const char *text)
{
    g_mutex_lock(&c->lock);
    c->stop = TRUE;
    if (c->receiver && cancel) {
        ft_receiver_cancel(c->receiver, cancel, text);
    } else if (c->receiver) {
        ft_receiver_stop(c->receiver);
    }
    g_mutex_unlock(&c->lock);
    if (c->thread) {
        g_thread_join(c->thread);
        c->thread = NULL;
    }
}

void secondary_conn_free(ColoConn *c)
{
    if (c) {
        g_assert(!c->thread);
        close(c->fd);
        ft_hello_free(c->hello);
        ft_hello_free(c->accept);
        g_free(c->from);
        g_free(c->error);
        g_mutex_clear(&c->lock);
        g_cond_clear(&c->decided);
        g_free(c);
    }
}
