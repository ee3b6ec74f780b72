/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ports of a bridge, as they come and go.
 *
 * The kernel tells of changes (rtnetlink(7), RTNLGRP_LINK), so nobody has to
 * ask again, and wait for whoever is changing interfaces.  The bridge may come
 * later, or go and come back under its name.
 */
#ifndef COLO_NET_PORTS_H
#define COLO_NET_PORTS_H

#include <gio/gio.h>

typedef struct NetPorts NetPorts; /* one netlink socket; one thread's */

/* index: of the interface, which is all that is known of one that is gone. */
typedef void (*NetPortFunc)(int index, const char *name, gboolean there,
                            gpointer user);

/* on_port is called by net_ports_read() only, for those there are, too. */
NetPorts *net_ports_new(const char *bridge, NetPortFunc on_port, gpointer user,
                        GError **error);
void net_ports_free(NetPorts *p);

/* Readable when there is something to read. */
int net_ports_fd(const NetPorts *p);
/* Takes in what the kernel has told; does not wait. */
gboolean net_ports_read(NetPorts *p, GError **error);

#endif
