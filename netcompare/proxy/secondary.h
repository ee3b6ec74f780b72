/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the secondary's role share. */
#ifndef COLO_PROXY_SECONDARY_H
#define COLO_PROXY_SECONDARY_H

#include "netcompare/host/announce.h"
#include "netcompare/proxy/backlog.h"
#include "netcompare/proxy/inbound.h"
#include "netcompare/proxy/nudge.h"
#include "netcompare/proxy/proxy.h"
#include "netcompare/proxy/recent.h"
#include "netcompare/proxy/unheard.h"
#include "netcompare/rewrite/rewrite.h"

/* A connection that was silent for longer need not be told of a takeover. */
#define NUDGE_IDLE_US (G_GINT64_CONSTANT(60) * 1000 * 1000)

/* One interface of the secondary's guest. */
typedef struct Standby {
    Proxy *proxy;
    guint iface;
    NetTap *tap;            /* reads what the guest sends, injects */
    guint source;           /* of tap */
    Inbound *inbound;
    Backlog backlog;
    NetAddresses *addresses;
    RecentFrames *recent;
    Nudges *nudges;
    Unheard *unheard;       /* NULL: taken over */
    guint64 given;          /* of them, to the guest */
    RecentFrames *digested; /* of which the primary has only digests */
    guint64 sent;           /* frames that the guest sent */
    guint64 stale;          /* of them, dropped at a load */
    guint64 fetched, gone;  /* asked for; of them, not there any more */
    guint64 unsent;         /* for which the link had no room, or no peer */
    NetTap *bridge;         /* after the takeover: to send on the bridge */
} Standby;

struct ProxySecondary {
    Proxy *proxy;
    Standby *standbys;
    NetRewrite *rewrite;
    GByteArray *scratch;    /* a packet that is being rewritten */
    gint64 now;
    guint64 epoch;          /* loaded last; 0: none */
    char *peer_instance;    /* of the primary's proxy */
    gint64 heard_us;        /* when its last message arrived */
    gboolean wanted;        /* it compares */
    gboolean digests;       /* of large segments it wants those, made with: */
    guint8 secret[NET_DIGEST_SECRET];
    gboolean loading;       /* between load and run */
    gboolean alone;         /* taken over */
    gboolean rules;         /* NET_RULES_REWRITE are in force */
    guint rewriting;        /* source of the queue that they fill */
    guint round;            /* of announcing */
    guint timer, ticks, announcing;
};

/*
 * Send a frame, translated if it is of a connection that needs it: inbound to
 * the guest, else on the bridge.  FALSE: it was refused, and counted there.
 */
gboolean secondary_send(Standby *b, const NetFrame *frame, gboolean inbound);

/* --- takeover.c ----------------------------------------------------------- */

/*
 * Make the rules for rewriting ahead of time, since that takes a while.  As
 * long as nobody listens to their queue packets pass it.
 */
gboolean takeover_prepare(ProxySecondary *s, GError **error);
/* Of what clients send, forget what is older than the primary's last word. */
void takeover_watch(ProxySecondary *s);
gboolean takeover_begin(ProxySecondary *s, GError **error);
/* Connections that need rewriting may have ended. */
void takeover_tick(ProxySecondary *s);
void takeover_end(ProxySecondary *s);

#endif
