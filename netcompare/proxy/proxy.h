/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both roles of colo-proxy share.
 *
 * One thread, one GMainContext: the netfilter queue, the packet sockets, the
 * link to the other proxy, timers and the QMP server are its sources.  Nothing
 * here is locked.  Each source does a bounded turn of work and then writes
 * what was gathered (proxy_flush()).
 */
#ifndef COLO_PROXY_H
#define COLO_PROXY_H

#include "colo/histogram.h"
#include "colo/qmp-server.h"
#include "netcompare/capture/nfqueue.h"
#include "netcompare/capture/tap.h"
#include "netcompare/compare/compare.h"
#include "netcompare/host/netdev.h"
#include "netcompare/host/rules.h"
#include "netcompare/link/link.h"
#include "netcompare/proxy/config.h"

#define PROXY_TURN 256 /* packets or frames of one source before the others */
/* In keys: a netfilter queue does not tell the tag that a frame has. */
#define PROXY_NO_VLAN 0

typedef struct ProxyPrimary ProxyPrimary;
typedef struct ProxySecondary ProxySecondary;

typedef struct Proxy {
    const ProxyConfig *config;
    GMainLoop *loop;
    ColoQmpServer *control;
    NetHost *host;
    NetLink *link;          /* NULL: a primary without --peer */
    NetNfqueue *queue;
    NetDev *devs;           /* of the taps, in the order of the options */
    char *instance;         /* 32 hex digits */

    guint64 colod;          /* its client number; 0: it is not attached */
    gint64 colod_left_us;   /* when it went */
    gboolean peer_attached; /* the other proxy's colod is there */
    gboolean ready;         /* as last told by COLO_PROXY_PEER */
    gboolean failed;        /* exit status */

    ProxyPrimary *primary;  /* one of them */
    ProxySecondary *secondary;
} Proxy;

/* --- proxy.c ------------------------------------------------------------ */

/* Read a source's descriptor until it is empty or its turn is over. */
typedef gboolean (*ProxyReadFunc)(gpointer user, GError **error);
/*
 * Call read whenever fd is readable; a failure ends the program.  Returns the
 * source's id.
 */
guint proxy_add_fd(Proxy *p, int fd, ProxyReadFunc read, gpointer user);

/* Write verdicts and messages that were gathered. */
void proxy_flush(Proxy *p);

/* Something that ends the program: said, and the loop is left. */
void proxy_fail(Proxy *p, const GError *error);

/* Tell colod if both proxies are ready now, when that has changed. */
void proxy_update_ready(Proxy *p, const char *why);

/* Number of the protected interface with this index; -1: none. */
int proxy_iface(const Proxy *p, guint32 ifindex);

/* The link's message carries a frame: its vnet header and the rest, checked. */
gboolean proxy_get_frame(const NetWireHead *h, const guint8 *data,
                         struct virtio_net_hdr *vnet, const guint8 **frame,
                         gsize *len, GError **error);
/* Send one, as FRAME or CONTENT; FALSE: there is no room, or no peer. */
gboolean proxy_send_frame(Proxy *p, NetWireType type, guint iface,
                          guint64 number, const NetFrame *frame);
/*
 * A message that must not be lost: if there is no room for it, the connection
 * ends.  iov: its payload, or NULL.
 */
void proxy_send(Proxy *p, const NetWireHead *h, const struct iovec *iov);
/* The same without payload. */
void proxy_send_word(Proxy *p, NetWireType type, guint64 number);

/* --- control.c ---------------------------------------------------------- */

extern const ColoQmpCommand proxy_commands[]; /* user_data: Proxy */
void proxy_client_gone(guint64 client, gpointer proxy);

/* --- primary.c ---------------------------------------------------------- */

gboolean proxy_primary_start(Proxy *p, GError **error);
void proxy_primary_stop(Proxy *p);
void proxy_primary_capture(Proxy *p, guint64 epoch, gboolean periodic);
void proxy_primary_commit(Proxy *p, guint64 epoch);
void proxy_primary_cancel(Proxy *p);
void proxy_primary_pass(Proxy *p);
void proxy_primary_block(Proxy *p);
/* colod comes or goes. */
void proxy_primary_colod(Proxy *p, gboolean there);
/* Members of query-colo-proxy-stats. */
void proxy_primary_stats(Proxy *p, JsonObject *o);
const char *proxy_primary_mode(const Proxy *p);

/* --- secondary.c -------------------------------------------------------- */

gboolean proxy_secondary_start(Proxy *p, GError **error);
void proxy_secondary_stop(Proxy *p);
gboolean proxy_secondary_load(Proxy *p, guint64 epoch, GError **error);
gboolean proxy_secondary_run(Proxy *p, guint64 epoch, GError **error);
gboolean proxy_secondary_takeover(Proxy *p, GError **error);
void proxy_secondary_stats(Proxy *p, JsonObject *o);
const char *proxy_secondary_mode(const Proxy *p);

#endif
