/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a connection comes from. */
#ifndef COLO_PLUGIN_PEER_H
#define COLO_PLUGIN_PEER_H

#include <glib.h>
#include <sys/socket.h>

/*
 * The host: its address without the port; an IPv4 address is one whether it
 * came mapped into IPv6 or not; "local" over a unix socket.  Free with
 * g_free().
 */
char *peer_host(const struct sockaddr *addr, socklen_t len);

/* This host itself: a unix socket, loopback, or an address of its own. */
gboolean peer_is_local(const struct sockaddr *addr, socklen_t len);

#endif
