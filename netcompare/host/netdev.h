/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's interfaces by libnl-route: which bridge a tap is on, counters,
 * and moving a tap onto a bridge or out of everybody's sight.
 */
#ifndef COLO_NET_NETDEV_H
#define COLO_NET_NETDEV_H

#include <gio/gio.h>

typedef struct NetHost NetHost; /* one netlink socket; one thread's */

NetHost *net_host_new(GError **error);
void net_host_free(NetHost *h);

typedef struct NetDev {
    int index;
    char name[16];
    guint8 mac[6];
    guint mtu;
    gboolean up;
    int master;             /* ifindex; 0: none */
    char master_name[16];   /* "" if none */
    gboolean master_is_bridge;
} NetDev;
gboolean net_host_get(NetHost *h, const char *name, NetDev *dev, GError **error);

/*
 * How many frames the guest's QEMU has read from its tap so far, and how many
 * the tap dropped because it was full: the driver counts a frame as sent when
 * the process behind the tap reads it.
 */
gboolean net_host_consumed(NetHost *h, int index, guint64 *read,
                           guint64 *dropped, GError **error);

/*
 * Cut a tap off from the host: whatever the guest sends is seen by packet
 * sockets and then dropped, the host neither answers nor routes it.  The tap
 * becomes a port of a bridge of its own (named after it, "TAP-colo", cut to 15 bytes) that is down.
 * Done already: TRUE.
 */
gboolean net_host_isolate(NetHost *h, const char *tap, GError **error);
/* Put the tap back on no bridge, remove ours. */
gboolean net_host_unisolate(NetHost *h, const char *tap, GError **error);

/*
 * The takeover: the tap becomes a port of this bridge and forwards at once;
 * the bridge is told that the guest's MAC addresses are there now.
 */
gboolean net_host_join(NetHost *h, const char *tap, const char *bridge,
                       const guint8 (*macs)[6], guint n_macs, GError **error);

#endif
