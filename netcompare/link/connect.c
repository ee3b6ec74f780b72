/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connecting without waiting for it: GIO's client with a time limit. */
#include "netcompare/link/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The callback of GIO's operation comes even when it was cancelled, and frees
 * the attempt.
 */
struct NetConnect {
    char *to;
    guint timeout_ms;
    gboolean late;
    GCancellable *cancel;
    GSource *timer;
    NetConnectFunc func; /* NULL: nobody waits any more */
    gpointer user;
};

static GSocketConnectable *connectable(const ColoAddr *to)
{
    if (to->path) {
        struct sockaddr_un sa = {.sun_family = AF_UNIX};

        /* A path that does not fit is refused when listening there, too. */
        g_strlcpy(sa.sun_path, to->path, sizeof(sa.sun_path));
        return G_SOCKET_CONNECTABLE(
            g_socket_address_new_from_native(&sa, sizeof(sa)));
    }
    if (!to->host) {
        return g_network_address_new_loopback(to->port);
    }
    /* Takes numeric addresses as they are. */
    return g_network_address_new(to->host, to->port);
}

static void end_timer(NetConnect *c)
{
    if (c->timer) {
        g_source_destroy(c->timer);
        g_clear_pointer(&c->timer, g_source_unref);
    }
}

static void connected(GObject *client, GAsyncResult *result, gpointer data)
{
    NetConnect *c = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) said = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, &error);

    end_timer(c);
    if (c->func && connection) {
        GSocket *socket = g_socket_connection_get_socket(connection);
        /* GIO closes its own. */
        int fd = fcntl(g_socket_get_fd(socket), F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            g_set_error(&said, G_IO_ERROR, g_io_error_from_errno(errno),
                        "cannot connect to %s: %s", c->to, g_strerror(errno));
        }
        c->func(fd, said, c->user);
    } else if (c->func && c->late) {
        g_set_error(&said, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "cannot connect to %s: no answer within %u ms", c->to,
                    c->timeout_ms);
        c->func(-1, said, c->user);
    } else if (c->func) {
        g_set_error(&said, error->domain, error->code,
                    "cannot connect to %s: %s", c->to, error->message);
        c->func(-1, said, c->user);
    }
    g_object_unref(c->cancel);
    g_free(c->to);
    g_free(c);
}

static gboolean too_late(gpointer data)
{
    NetConnect *c = data;

    c->late = TRUE;
    g_cancellable_cancel(c->cancel);
    return G_SOURCE_REMOVE;
}

NetConnect *net_connect_start(const ColoAddr *to, guint timeout_ms,
                              NetConnectFunc func, gpointer user)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnectable) at = connectable(to);
    NetConnect *c = g_new0(NetConnect, 1);

    c->to = colo_addr_format(to);
    c->timeout_ms = timeout_ms;
    c->func = func;
    c->user = user;
    c->cancel = g_cancellable_new();
    c->timer = g_timeout_source_new(timeout_ms);
    g_source_set_callback(c->timer, too_late, c, NULL);
    g_source_attach(c->timer, g_main_context_get_thread_default());
    /* A proxy of the desktop's settings is none of ours. */
    g_socket_client_set_enable_proxy(client, FALSE);
    g_socket_client_connect_async(client, at, c->cancel, connected, c);
    return c;
}

void net_connect_cancel(NetConnect *c)
{
    c->func = NULL;
    end_timer(c);
    g_cancellable_cancel(c->cancel);
}
