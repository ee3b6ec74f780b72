/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's side of the link: its listening socket. */
#include "netcompare/link/link-priv.h"

#include "colo/log.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TURN_ACCEPTS = 8,
    /* Before accept(2) is tried again when descriptors ran out. */
    PAUSE_MS = 500,
};

static gboolean accept_some(int fd, GIOCondition cond, gpointer data);

static void watch(NetLink *l)
{
    l->listen_source = g_unix_fd_source_new(l->listen_fd, G_IO_IN);
    g_source_set_callback(l->listen_source, G_SOURCE_FUNC(accept_some), l,
                          NULL);
    g_source_attach(l->listen_source, l->context);
}

static gboolean watch_again(gpointer data)
{
    NetLink *l = data;

    g_source_unref(l->listen_source);
    watch(l);
    return G_SOURCE_REMOVE;
}

/* The address of a connection's other end, as an operator reads it. */
static char *peer_text(const NetLink *l, struct sockaddr_storage *sa,
                       socklen_t len)
{
    g_autoptr(GSocketAddress) address =
        g_socket_address_new_from_native(sa, len);
    ColoAddr a = {.path = NULL};
    g_autofree char *host = NULL;
    GInetAddress *inet;

    if (!address || !G_IS_INET_SOCKET_ADDRESS(address)) {
        return g_strdup_printf("a client of %s", l->path ? l->path : "ours");
    }
    inet = g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address));
    host = g_inet_address_to_string(inet);
    /* IPv4 that came in by an IPv6 socket */
    a.host = g_str_has_prefix(host, "::ffff:") ? host + 7 : host;
    a.port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(address));
    return colo_addr_format(&a);
}

static gboolean accept_some(int unused_fd, GIOCondition cond, gpointer data)
{
    NetLink *l = data;

    for (int i = 0; i < TURN_ACCEPTS; i++) {
        struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(sa);
        int fd = accept4(l->listen_fd, (struct sockaddr *)&sa, &len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            net_link_accepted(l, fd, peer_text(l, &sa, len));
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                   errno == ENOBUFS) {
            net_link_say(l, "cannot accept the other proxy: %s",
                         g_strerror(errno));
            g_source_unref(l->listen_source);
            l->listen_source = g_timeout_source_new(PAUSE_MS);
            g_source_set_callback(l->listen_source, watch_again, l, NULL);
            g_source_attach(l->listen_source, l->context);
            return G_SOURCE_REMOVE;
        } else {
            break;
        }
    }
    return G_SOURCE_CONTINUE;
}

gboolean net_link_listen(NetLink *l, const ColoAddr *at, GError **error)
{
    struct stat st;

    l->listen_fd = colo_addr_listen(at, error);
    if (l->listen_fd < 0) {
        return FALSE;
    }
    if (at->path && stat(at->path, &st) == 0) {
        l->path = g_strdup(at->path);
        l->path_dev = st.st_dev;
        l->path_ino = st.st_ino;
    }
    watch(l);
    return TRUE;
}

void net_link_unlisten(NetLink *l)
{
    struct stat st;

    if (l->listen_source) {
        g_source_destroy(l->listen_source);
        g_source_unref(l->listen_source);
    }
    if (l->listen_fd >= 0) {
        close(l->listen_fd);
    }
    /* Unless somebody took the path over. */
    if (l->path && stat(l->path, &st) == 0 && st.st_dev == l->path_dev &&
        st.st_ino == l->path_ino) {
        unlink(l->path);
    }
    g_free(l->path);
}

guint16 net_link_port(const NetLink *l)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    g_autoptr(GSocketAddress) address = NULL;

    if (l->listen_fd < 0 ||
        getsockname(l->listen_fd, (struct sockaddr *)&sa, &len) < 0) {
        return 0;
    }
    address = g_socket_address_new_from_native(&sa, len);
    return address && G_IS_INET_SOCKET_ADDRESS(address)
               ? g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(address))
               : 0;
}
