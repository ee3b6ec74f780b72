/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to the kernel's rtnetlink about one interface at a time.  Used by
 * the files of this folder only.
 */
#ifndef COLO_NET_NETLINK_H
#define COLO_NET_NETLINK_H

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "netcompare/host/netdev.h"

struct NetHost {
    struct nl_sock *nl;
    int dev_fd;   /* /proc/net/dev of our network namespace */
    int ioctl_fd; /* any socket */
};

/* A fresh socket in h->nl, with a deadline for answers. */
gboolean net_host_connect(NetHost *h, GError **error);

/* What the kernel says of an interface, as far as we want to know. */
typedef struct NetLink {
    NetDev dev; /* without what is of its master */
    char kind[16];   /* "bridge", "tun"; "" for hardware */
    char alias[256]; /* what an operator reads in `ip link` */
    guint32 stp;          /* a bridge: 0 none, 1 the kernel's, 2 a program's */
    guint32 forward_delay; /* a bridge: in 1/100 s (USER_HZ) */
    gboolean vlan_filtering; /* a bridge */
    guint8 port_state;    /* a port of a bridge: BR_STATE_* */
} NetLink;

/*
 * By name, or by index if name is NULL.  G_IO_ERROR_NOT_FOUND if there is
 * none.
 */
gboolean net_link_get(NetHost *h, const char *name, int index, NetLink *link,
                      GError **error);

/*
 * Send a request (which is freed) and wait for the answer that it is done.
 * The error begins with `doing`, and has the errno as its code in GIOError.
 */
gboolean net_nl_talk(NetHost *h, struct nl_msg *msg, const char *doing,
                     GError **error);

gboolean net_link_add_bridge(NetHost *h, const char *name, GError **error);
gboolean net_link_del(NetHost *h, const NetLink *link, GError **error);
gboolean net_link_set_up(NetHost *h, const NetLink *link, gboolean up,
                         GError **error);
gboolean net_link_set_mtu(NetHost *h, const NetLink *link, guint mtu,
                          GError **error);
gboolean net_link_set_alias(NetHost *h, const NetLink *link,
                            const char *alias, GError **error);
gboolean net_link_set_master(NetHost *h, const NetLink *port,
                             const NetLink *master, GError **error);
/* Which of the frames 01:80:c2:00:00:0x are the bridge's business, by bit x */
gboolean net_port_set_group_fwd_mask(NetHost *h, const NetLink *port,
                                     guint16 mask, GError **error);
/*
 * A bridge is to find this address at this port, until it sees it elsewhere.
 * An entry that is the host's own or an operator's stays: FALSE with
 * G_IO_ERROR_EXISTS.
 */
gboolean net_port_move_fdb(NetHost *h, const NetLink *port,
                           const guint8 mac[6], GError **error);

/*
 * Remove the bridge that cut this tap off, if it is there and has lost the
 * tap to another one.
 */
gboolean net_host_drop_cut(NetHost *h, const char *tap, GError **error);

#endif
