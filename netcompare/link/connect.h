/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connecting without waiting for it. */
#ifndef COLO_NET_CONNECT_H
#define COLO_NET_CONNECT_H

#include "colo/sockaddr.h"

typedef struct NetConnect NetConnect;

/*
 * fd: a non-blocking, close-on-exec descriptor, the receiver's from now on;
 * or -1 with error.  The attempt is over then, and freed.
 */
typedef void (*NetConnectFunc)(int fd, const GError *error, gpointer user);

/*
 * Try each address of a host in turn.  func is called from the thread-default
 * main context, at the latest after timeout_ms.
 */
NetConnect *net_connect_start(const ColoAddr *to, guint timeout_ms,
                              NetConnectFunc func, gpointer user);
/* func is not called any more. */
void net_connect_cancel(NetConnect *c);

#endif
