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
    gboolean master_filters_vlans;
    guint8 master_mac[6];
} NetDev;
gboolean net_host_get(NetHost *h, const char *name, NetDev *dev,
                      GError **error);

/*
 * How many frames the guest's QEMU has read from its tap so far, and how many
 * the tap dropped because it was full: the driver counts a frame as sent when
 * the process behind the tap reads it.  Takes some microseconds, and never
 * waits for whoever is changing interfaces: a guest may stand still meanwhile.
 */
gboolean net_host_consumed(NetHost *h, int index, guint64 *read,
                           guint64 *dropped, GError **error);

/*
 * The name of the bridge that cuts a tap off: "TAP-colo"; of a name that is
 * longer than ten bytes the first five and a checksum.
 */
void net_host_cut_name(const char *tap, char name[16]);

/*
 * Cut a tap off from the host: whatever the guest sends is seen by packet
 * sockets and then dropped, the host neither answers nor routes it, and sends
 * nothing of its own to the guest.  The tap becomes a port of a bridge of its
 * own that is down.  Done already: TRUE.  A tap that is on another bridge, or
 * has an address of the host, is refused.
 */
gboolean net_host_isolate(NetHost *h, const char *tap, GError **error);
/*
 * Put the tap back on no bridge, remove ours.  Nothing to do: TRUE, also if
 * the tap is gone, or on somebody else's bridge.
 */
gboolean net_host_unisolate(NetHost *h, const char *tap, GError **error);

/*
 * Can guests be taken over onto this bridge?  To be asked when there is time:
 * it must be there, be a bridge, be up, and run no STP.
 */
gboolean net_host_check_bridge(NetHost *h, const char *bridge, GError **error);

/*
 * The takeover: the tap becomes a port of this bridge and forwards at once;
 * the bridge is told that the guest's MAC addresses are there now.  The tap's
 * MTU is raised to the bridge's.  What the tap was kept from by
 * net_host_isolate() it does not need as a port, and gets not back: IPv6 of
 * the host's own.  With STP on the bridge its ports wait for twice its
 * forward delay, which nobody can change; a warning says so, TRUE.
 * Takes about a millisecond; the bridge that cut the tap off is removed by a
 * thread a second later.
 */
gboolean net_host_join(NetHost *h, const char *tap, const char *bridge,
                       const guint8 (*macs)[6], guint n_macs, GError **error);

#endif
