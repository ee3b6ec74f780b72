/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket addresses as QEMU's command line writes them:
 *   :8888   host:8888   192.0.2.1:8888   [::1]:8888   unix:/path
 */
#ifndef COLO_SOCKADDR_H
#define COLO_SOCKADDR_H

#include <gio/gio.h>
#include <sys/socket.h>

typedef struct ColoAddr {
    char *host;     /* NULL: every address (listening) or localhost */
    guint16 port;
    char *path;     /* not NULL: a unix socket, host and port unused */
} ColoAddr;

/* Parse text; errors are G_IO_ERROR_INVALID_ARGUMENT and quote the text. */
ColoAddr *colo_addr_parse(const char *text, GError **error);
ColoAddr *colo_addr_copy(const ColoAddr *a);
void colo_addr_free(ColoAddr *a);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoAddr, colo_addr_free)

/* The address in the form that colo_addr_parse() reads; free with g_free. */
char *colo_addr_format(const ColoAddr *a);

/*
 * Connect a stream socket, trying each address of the host in turn until
 * timeout_us has passed in all.  Returns a blocking, close-on-exec file
 * descriptor (TCP_NODELAY set on TCP) or -1.
 */
int colo_addr_connect(const ColoAddr *a, gint64 timeout_us, GError **error);

/*
 * Listen for stream connections; a host of NULL is [::] with IPv4 mapped
 * in, or 0.0.0.0 where there is no IPv6.  A stale unix socket (nobody
 * answers there) is replaced, a live one is an error.  Returns a
 * non-blocking, close-on-exec file descriptor or -1.
 */
int colo_addr_listen(const ColoAddr *a, GError **error);

/*
 * A datagram socket bound to a, a host of NULL being what it is above.
 * Returns a non-blocking, close-on-exec file descriptor or -1.
 */
int colo_addr_udp(const ColoAddr *a, GError **error);

/*
 * A datagram socket for sending to a; not connected, so that an answer from
 * another of the host's addresses is received as well.  *to, of *to_len bytes,
 * is where to send: the first of the host's addresses that there is a route to
 * now, or simply the first: there may be one later.
 * Returns a non-blocking, close-on-exec file descriptor or -1.
 */
int colo_addr_udp_to(const ColoAddr *a, struct sockaddr_storage *to,
                     socklen_t *to_len, GError **error);

#endif
