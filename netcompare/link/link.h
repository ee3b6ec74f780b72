/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection between the two proxies: connecting or accepting, the
 * exchange of hellos, liveness, and a bounded queue to send from.
 *
 * Everything runs on the thread-default GMainContext of the thread that made
 * the link, in turns of bounded length, and never blocks (but net_link_new()
 * may, for a host name to listen at).  The primary connects, again and again
 * until it succeeds; the secondary listens and serves one peer (a newer
 * connection of the same or another run of the primary takes the place of an
 * older one). A peer that is silent for NET_LINK_SILENCE_MS is gone; each side
 * sends PING when it has sent nothing for a quarter of that.
 *
 * Received messages lie in large counted buffers (buf.h), so that a frame can
 * be kept without copying it.
 *
 * What cannot work (other versions, names, roles, numbers of interfaces) is
 * logged once on both sides, and tried again.
 */
#ifndef COLO_NET_LINK_H
#define COLO_NET_LINK_H

#include <sys/uio.h>

#include "colo/sockaddr.h"
#include "netcompare/link/wire.h"
#include "netcompare/packet/buf.h"

#define NET_LINK_SILENCE_MS 2000

typedef struct NetLink NetLink;

/*
 * They are called from the main loop, never from inside a function of the
 * link: what fails in net_link_send() or is ended by net_link_drop() is
 * reported by the next turn, though net_link_is_up() is FALSE at once.  Each
 * up has one down before the next up.  All may call the link's functions
 * except net_link_free().
 */
typedef struct NetLinkOps {
    /* hello: the peer's; belongs to the link. */
    void (*up)(gpointer user, const NetHello *hello);
    /* why: for the operator.  Only after up. */
    void (*down)(gpointer user, const char *why);
    /*
     * A message; data lies in buf, and is valid during the call unless buf
     * is kept.  FALSE with error set: the peer is wrong, end the connection.
     * HELLO and PING are the link's own; h was checked, and is one that the
     * peer's role may say.
     */
    gboolean (*message)(gpointer user, const NetWireHead *h, const guint8 *data,
                        NetBuf *buf, GError **error);
    /*
     * The queue is empty again after a send was refused for want of room.
     * May be NULL.
     */
    void (*room)(gpointer user);
    /* The end of a turn in which there were messages.  May be NULL. */
    void (*turn)(gpointer user);
} NetLinkOps;

typedef struct NetLinkConfig {
    const ColoAddr *connect; /* primary; else NULL */
    const ColoAddr *listen;  /* secondary; else NULL */
    gsize max_queue;         /* bytes not yet taken by the kernel; 0: 64 MiB */
} NetLinkConfig;

/* config, hello: copied, and ops; hello says what the next connection says. */
NetLink *net_link_new(const NetLinkConfig *config, const NetHello *hello,
                      const NetLinkOps *ops, gpointer user, GError **error);
void net_link_free(NetLink *l);
gboolean net_link_is_up(const NetLink *l);

/* What the next hello says; the present peer is told, too (ATTACHED). */
void net_link_set_attached(NetLink *l, gboolean attached);

/*
 * Send a message whose payload is in n pieces (at most 3; h->len is their
 * sum).  Copied into the queue unless the kernel takes it at once.  FALSE: no
 * peer, or the queue is full; nothing of it is sent then.  Small messages are
 * gathered: net_link_flush() writes them; the main loop does it, too, at its
 * next turn.  What is not a FRAME,
 * DIGEST or CONTENT may pass max_queue by NET_LINK_RESERVE, so
 * that a flood of frames does not keep it back.
 */
#define NET_LINK_RESERVE (1024 * 1024)
gboolean net_link_send(NetLink *l, const NetWireHead *h,
                       const struct iovec *iov, guint n);
/* Write what was gathered; called once after each batch of work. */
void net_link_flush(NetLink *l);

/* End the present connection, so that it begins anew. */
void net_link_drop(NetLink *l, const char *why);

typedef struct NetLinkStats {
    guint64 sent, received; /* bytes */
    guint64 sent_messages, received_messages;
    guint64 refused; /* sends, for want of room */
    guint64 connections;
    gsize queued, max_queued; /* bytes now, ever */
} NetLinkStats;
void net_link_stats(const NetLink *l, NetLinkStats *s);

/* Of the present peer, "192.0.2.1:40000"; NULL without one. */
const char *net_link_peer(const NetLink *l);
/* Where we listen (after listening at port 0), else 0. */
guint16 net_link_port(const NetLink *l);

#endif
