/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the link share. */
#ifndef COLO_NET_LINK_PRIV_H
#define COLO_NET_LINK_PRIV_H

#include "netcompare/link/connect.h"
#include "netcompare/link/link.h"
#include "netcompare/link/queue.h"
#include "netcompare/link/reader.h"

#include <sys/types.h>

/* One connection, from before the exchange of hellos. */
typedef struct NetConn {
    NetLink *link;
    int fd;
    char *peer;   /* its address */
    gboolean up;  /* hellos are exchanged and fit */
    char *failed; /* why it has to end; the next turn does it */
    GSource *source;
    GPollFD poll;
    gint64 due; /* of the next look at the times below */

    NetReader in;
    gboolean more; /* in may hold whole messages */
    NetQueue out;
    gboolean blocked;    /* the kernel did not take all, wait for it */
    gboolean wants_room; /* a send was refused */

    /* Monotonic times, in µs. */
    gint64 opened, received_at, sent_at;
    gint64 moved_at; /* the queue was empty, or became shorter */
} NetConn;

struct NetLink {
    GMainContext *context;
    NetLinkOps ops;
    gpointer user;
    NetHello *hello;
    gsize max_queue;
    NetBufPool *pool;

    NetConn *conn;  /* the one that is up, or NULL */
    GList *waiting; /* of NetConn, before their hello; newest first */

    /* The primary */
    ColoAddr *to; /* NULL: the secondary */
    char *to_text;
    NetConnect *attempt;
    GSource *retry;
    guint delay_ms;

    /* The secondary */
    int listen_fd;
    GSource *listen_source;
    char *path; /* of a unix socket that we made, else NULL */
    dev_t path_dev;
    ino_t path_ino;

    gboolean handed_out; /* a message, in this turn */
    GHashTable *said; /* sentences logged since a connection was up */
    NetLinkStats stats;
};

/* --- link-conn.c -------------------------------------------------------- */

/* fd: becomes the connection's; peer: transfer full.  Sends HELLO. */
NetConn *net_conn_new(NetLink *l, int fd, char *peer);
void net_conn_free(NetConn *c);
/* Only the first reason counts. */
void net_conn_fail(NetConn *c, const char *why);

/* As net_link_send(); limit: of the queue. */
gboolean net_conn_send(NetConn *c, const NetWireHead *h,
                       const struct iovec *iov, guint n, gsize limit);
void net_conn_write(NetConn *c);

/* --- link.c, called by a connection's turn ------------------------------ */

/* FALSE: end it. */
gboolean net_link_take_hello(NetLink *l, NetConn *c, const guint8 *json,
                             gsize len, GError **error);
/* c->failed: frees it. */
void net_link_ended(NetLink *l, NetConn *c);

/* --- link-listen.c ------------------------------------------------------ */

gboolean net_link_listen(NetLink *l, const ColoAddr *at, GError **error);
void net_link_unlisten(NetLink *l);
/* A connection that somebody made (transfer full). */
void net_link_accepted(NetLink *l, int fd, char *peer);

/* Log a sentence, if it was not since a connection was up. */
void net_link_say(NetLink *l, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
