/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP server: the listening socket, its clients and their queues.
 *
 * Theory of operation: everything but colo_qmp_server_emit() runs on the
 * thread that iterates the server's main context.  Each client is a GSource
 * that does a turn of bounded work when its socket is ready: one read, at
 * most TURN_LINES requests, one write.  While a client leaves replies
 * unread (more than HIGH_WATER bytes) its requests are left unread too, so
 * only events can fill its queue to COLO_QMP_MAX_QUEUE; then it is dropped.
 */
#include "colo/qmp-server.h"

#include "colo/common/qmp-dispatch.h"
#include "colo/common/qmp-wire.h"
#include "colo/common/unix-socket.h"
#include "colo/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TURN_LINES = 16,
    TURN_ACCEPTS = 8,
    HIGH_WATER = 64 * 1024,
    /* For a client that said its last word to take its replies. */
    CLOSING_US = 5 * G_USEC_PER_SEC,
    /* Before accept(2) is tried again when descriptors ran out. */
    ACCEPT_PAUSE_US = G_USEC_PER_SEC,
};

/* A GSource for one descriptor that calls func(owner) when it is ready. */
typedef struct FdSource {
    GSource source;
    gpointer tag; /* NULL: no descriptor, only a ready time */
    void (*func)(gpointer owner);
    gpointer owner;
} FdSource;

typedef struct Client {
    ColoQmpServer *server;
    guint64 number;
    int fd;
    FdSource *source;
    ColoQmpLines in;
    gboolean more_lines; /* in may hold whole lines */
    GString *out;
    gsize out_done; /* bytes of out already written */
    gboolean negotiated;
    gint64 closing;      /* to be closed when out is written, or then; 0: no */
    const char *dropped; /* to be closed at once, for this reason */
} Client;

struct ColoQmpServer {
    GMainContext *context;
    ColoQmpTable *table;
    GList *clients; /* of Client */
    guint n_clients;
    guint64 last_number; /* of a client */
    guint64 asking;      /* number of the client whose handler runs, or 0 */
    ColoQmpGoneFunc gone;
    gpointer user_data;

    int listen_fd;
    FdSource *listen_source;
    char *path;
    dev_t path_dev; /* of the socket that we made at path */
    ino_t path_ino;

    FdSource *events_source; /* woken by emit() */
    GMutex lock;             /* guards the rest */
    GQueue events;           /* text of each, free with g_free */
    gsize events_bytes;
    guint64 events_lost;
};

static gboolean fd_source_dispatch(GSource *source, GSourceFunc unused,
                                   gpointer unused_data)
{
    FdSource *f = (FdSource *)source;

    g_source_set_ready_time(source, -1);
    f->func(f->owner);
    return G_SOURCE_CONTINUE;
}

static FdSource *fd_source_new(ColoQmpServer *s, int fd, void (*func)(gpointer),
                               gpointer owner)
{
    static GSourceFuncs funcs = {.dispatch = fd_source_dispatch};
    FdSource *f = (FdSource *)g_source_new(&funcs, sizeof(FdSource));

    f->func = func;
    f->owner = owner;
    f->tag = fd < 0 ? NULL : g_source_add_unix_fd(&f->source, fd, G_IO_IN);
    g_source_attach(&f->source, s->context);
    return f;
}

static void fd_source_free(FdSource *f)
{
    if (f) {
        g_source_destroy(&f->source);
        g_source_unref(&f->source);
    }
}

static gsize pending(const Client *c)
{
    return c->out->len - c->out_done;
}

static void client_queue(Client *c, const char *text)
{
    gsize len = strlen(text);

    if (pending(c) + len + 2 > COLO_QMP_MAX_QUEUE) {
        c->dropped = "it does not read what is sent to it";
        return;
    }
    if (c->out_done > HIGH_WATER) {
        g_string_erase(c->out, 0, c->out_done);
        c->out_done = 0;
    }
    g_string_append_len(c->out, text, len);
    g_string_append(c->out, "\r\n");
}

static void client_write(Client *c)
{
    while (pending(c) && !c->dropped) {
        ssize_t n = send(c->fd, c->out->str + c->out_done, pending(c),
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                c->dropped = "it went away";
            }
            return;
        }
        c->out_done += n;
    }
    if (!pending(c)) {
        g_string_truncate(c->out, 0);
        c->out_done = 0;
    }
}

static void client_close_after_output(Client *c)
{
    if (!c->closing) {
        c->closing = g_get_monotonic_time() + CLOSING_US;
    }
}

static void client_read(Client *c)
{
    gsize room;
    char *space = colo_qmp_lines_space(&c->in, &room);
    ssize_t n = recv(c->fd, space, room, MSG_DONTWAIT);

    if (n > 0) {
        colo_qmp_lines_fed(&c->in, n);
        c->more_lines = TRUE;
    } else if (n == 0) {
        /* It may have closed its sending side only. */
        client_close_after_output(c);
    } else if (errno != EAGAIN && errno != EINTR) {
        c->dropped = "it went away";
    }
}

static gboolean client_has_room(const Client *c)
{
    return !c->dropped && pending(c) <= HIGH_WATER;
}

static void client_requests(Client *c)
{
    for (int i = 0; i < TURN_LINES && c->more_lines && client_has_room(c);
         i++) {
        g_autofree char *reply = NULL;
        gboolean too_long;
        gsize len;
        const char *line = colo_qmp_lines_next(&c->in, &len, &too_long);

        if (line) {
            c->server->asking = c->number;
            reply =
                colo_qmp_dispatch(c->server->table, line, len, &c->negotiated);
            c->server->asking = 0;
        } else {
            c->more_lines = FALSE;
            if (too_long) {
                g_autofree char *desc = g_strdup_printf(
                    "a request of more than %d bytes", COLO_QMP_MAX_REQUEST);

                reply = colo_qmp_format_error(COLO_QMP_ERROR_GENERIC, desc);
                client_close_after_output(c);
            }
        }
        if (reply) {
            client_queue(c, reply);
        }
    }
}

static void client_free(Client *c)
{
    ColoQmpServer *s = c->server;

    if (c->dropped) {
        colo_log_debug("control socket %s: client dropped: %s", s->path,
                       c->dropped);
    }
    s->clients = g_list_remove(s->clients, c);
    s->n_clients--;
    fd_source_free(c->source);
    close(c->fd);
    colo_qmp_lines_clear(&c->in);
    g_string_free(c->out, TRUE);
    g_free(c);
}

/* The connection has ended by itself. */
static void client_gone(Client *c)
{
    ColoQmpServer *s = c->server;
    guint64 number = c->number;

    client_free(c);
    if (s->gone) {
        s->gone(number, s->user_data);
    }
}

/* After each piece of work: end the client, or say what it waits for. */
static void client_settle(Client *c)
{
    gint64 now = g_get_monotonic_time();
    GIOCondition wanted = 0;

    client_write(c);
    if (c->dropped || (c->closing && (now >= c->closing ||
                                      (!c->more_lines && !pending(c))))) {
        client_gone(c);
        return;
    }
    if (pending(c)) {
        wanted |= G_IO_OUT;
    }
    if (!c->closing && !c->more_lines && client_has_room(c)) {
        wanted |= G_IO_IN;
    }
    g_source_modify_unix_fd(&c->source->source, c->source->tag, wanted);
    if (c->more_lines && client_has_room(c)) {
        g_source_set_ready_time(&c->source->source, 0);
    } else if (c->closing) {
        g_source_set_ready_time(&c->source->source, c->closing);
    }
}

static void client_turn(gpointer owner)
{
    Client *c = owner;
    GIOCondition cond =
        g_source_query_unix_fd(&c->source->source, c->source->tag);

    client_write(c);
    if (!c->closing && !c->more_lines && client_has_room(c) &&
        (cond & (G_IO_IN | G_IO_HUP | G_IO_ERR))) {
        client_read(c);
    } else if (cond & (G_IO_HUP | G_IO_ERR)) {
        /* Both directions are shut: nobody is there for the replies. */
        c->dropped = "it went away";
    }
    client_requests(c);
    client_settle(c);
}

static void refuse(int fd)
{
    g_autofree char *desc =
        g_strdup_printf("too many clients (%d)", COLO_QMP_MAX_CLIENTS);
    g_autofree char *text = colo_qmp_format_error(COLO_QMP_ERROR_GENERIC, desc);
    g_autofree char *line = g_strconcat(text, "\r\n", NULL);

    /* Never blocks: the socket's buffer is empty. */
    if (send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        colo_log_debug("cannot tell a client that there are too many: %m");
    }
    close(fd);
}

static void accept_clients(gpointer owner)
{
    ColoQmpServer *s = owner;

    g_source_modify_unix_fd(&s->listen_source->source, s->listen_source->tag,
                            G_IO_IN);
    for (int i = 0; i < TURN_ACCEPTS; i++) {
        int fd =
            accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        g_autofree char *greeting = NULL;
        Client *c;

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                       errno == ENOBUFS)) {
            colo_log_warn("control socket %s: cannot accept a client: %m",
                          s->path);
            g_source_modify_unix_fd(&s->listen_source->source,
                                    s->listen_source->tag, 0);
            g_source_set_ready_time(&s->listen_source->source,
                                    g_get_monotonic_time() + ACCEPT_PAUSE_US);
        }
        if (fd < 0) {
            return;
        }
        if (s->n_clients == COLO_QMP_MAX_CLIENTS) {
            colo_log_warn("control socket %s: too many clients (%d)", s->path,
                          COLO_QMP_MAX_CLIENTS);
            refuse(fd);
            continue;
        }
        c = g_new0(Client, 1);
        c->server = s;
        c->number = ++s->last_number;
        c->fd = fd;
        colo_qmp_lines_init(&c->in, COLO_QMP_MAX_REQUEST);
        c->out = g_string_new(NULL);
        c->source = fd_source_new(s, fd, client_turn, c);
        s->clients = g_list_prepend(s->clients, c);
        s->n_clients++;
        greeting = colo_qmp_format_greeting(s->table);
        client_queue(c, greeting);
        client_settle(c);
    }
}

static void deliver_events(gpointer owner)
{
    ColoQmpServer *s = owner;
    GQueue events = G_QUEUE_INIT;
    guint64 lost;
    char *text;

    g_mutex_lock(&s->lock);
    events = s->events;
    g_queue_init(&s->events);
    s->events_bytes = 0;
    lost = s->events_lost;
    s->events_lost = 0;
    g_mutex_unlock(&s->lock);

    if (lost) {
        colo_log_warn("control socket %s: %" G_GUINT64_FORMAT " events lost: "
                      "the control thread was busy",
                      s->path, lost);
    }
    while ((text = g_queue_pop_head(&events))) {
        for (GList *l = s->clients; l; l = l->next) {
            Client *c = l->data;

            if (c->negotiated && !c->closing && !c->dropped) {
                client_queue(c, text);
            }
        }
        g_free(text);
    }
    for (GList *l = s->clients, *next; l; l = next) {
        next = l->next;
        client_settle(l->data);
    }
}

void colo_qmp_server_emit(ColoQmpServer *s, const char *event, JsonObject *data)
{
    char *text = colo_qmp_format_event(event, data);
    gsize len = strlen(text);

    if (data) {
        json_object_unref(data);
    }
    g_mutex_lock(&s->lock);
    if (s->events_bytes + len > COLO_QMP_MAX_QUEUE) {
        s->events_lost++;
        g_free(text);
    } else {
        s->events_bytes += len;
        g_queue_push_tail(&s->events, text);
        g_source_set_ready_time(&s->events_source->source, 0);
    }
    g_mutex_unlock(&s->lock);
}

ColoQmpServer *colo_qmp_server_new(const char *product,
                                   const ColoQmpCommand *commands,
                                   gpointer user_data)
{
    ColoQmpServer *s = g_new0(ColoQmpServer, 1);

    s->context = g_main_context_ref_thread_default();
    s->table = colo_qmp_table_new(product, commands, user_data);
    s->user_data = user_data;
    s->listen_fd = -1;
    g_mutex_init(&s->lock);
    g_queue_init(&s->events);
    s->events_source = fd_source_new(s, -1, deliver_events, s);
    return s;
}

guint64 colo_qmp_server_asking(ColoQmpServer *s)
{
    return s->asking;
}

void colo_qmp_server_set_gone_func(ColoQmpServer *s, ColoQmpGoneFunc gone)
{
    s->gone = gone;
}

gboolean colo_qmp_server_listen(ColoQmpServer *s, const char *path,
                                GError **error)
{
    struct stat st;

    g_return_val_if_fail(s->listen_fd < 0, FALSE);
    s->listen_fd = colo_unix_listen(path, 0600, error);
    if (s->listen_fd < 0) {
        return FALSE;
    }
    s->path = g_strdup(path);
    if (stat(path, &st) == 0) {
        s->path_dev = st.st_dev;
        s->path_ino = st.st_ino;
    }
    s->listen_source = fd_source_new(s, s->listen_fd, accept_clients, s);
    return TRUE;
}

void colo_qmp_server_free(ColoQmpServer *s)
{
    struct stat st;

    if (!s) {
        return;
    }
    deliver_events(s); /* the last ones, as far as the sockets take them */
    while (s->clients) {
        client_free(s->clients->data);
    }
    fd_source_free(s->listen_source);
    fd_source_free(s->events_source);
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
        /* Unless somebody took the path over. */
        if (stat(s->path, &st) == 0 && st.st_dev == s->path_dev &&
            st.st_ino == s->path_ino) {
            unlink(s->path);
        }
    }
    g_free(s->path);
    colo_qmp_table_free(s->table);
    g_mutex_clear(&s->lock);
    g_main_context_unref(s->context);
    g_free(s);
}
