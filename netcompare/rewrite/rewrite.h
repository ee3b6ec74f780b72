/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rewriter: lets the secondary's guest (SVM) speak in a connection whose
 * numbers the primary's guest (PVM) chose.
 *
 * Theory of operation.  Where both guests took part in a connection's SYN
 * since the last checkpoint, their initial sequence numbers and timestamps
 * differ.  The client knows only the PVM's.  So what comes from the client is
 * translated before the SVM sees it: ack, SACK blocks, echoed timestamp; and,
 * after a takeover, what the SVM sends: seq and timestamp.  (Until then that
 * is compared by the primary's proxy, which knows the difference.)  The
 * differences arrive from the comparator (net_compare's offset()), before the
 * client can answer.  A checkpoint makes both guests the same: none is left.
 * After a takeover each lives until its connection ends.
 *
 * Checksums are corrected by the difference (RFC 1624), unless unfinished.
 * No sockets, no clock, no threads.
 */
#ifndef COLO_NET_REWRITE_H
#define COLO_NET_REWRITE_H

#include "netcompare/packet/packet.h"

typedef struct NetRewrite NetRewrite;

/*
 * max_flows: beyond it, new ones take the place of those that have ended, or
 * are refused and counted.
 */
NetRewrite *net_rewrite_new(guint max_flows);
void net_rewrite_free(NetRewrite *r);

/*
 * flow: the guest's direction (from guest to client); PVM minus SVM, modulo
 * 2^32.  Takes the place of an older one; both 0: takes it away.  FALSE: no
 * room.
 */
gboolean net_rewrite_set(NetRewrite *r, const NetKey *flow, guint32 seq_delta,
                         guint32 ts_delta, gint64 now_us);
void net_rewrite_clear(NetRewrite *r);
guint net_rewrite_flows(const NetRewrite *r);

/*
 * Translate a packet in place, of whatever kind: those that are not TCP of a
 * known connection stay as they are.  data: p->data's bytes, writable.
 * unfinished: the checksum is to be filled in by the card, and is left alone.
 * p keeps what was parsed before.  TRUE: bytes were changed.
 *
 * inbound: from the client to the guest; also an ICMP error about a segment
 * that the guest sent (or its path's MTU would never be learnt).  outbound:
 * the guest's.  Both watch FIN and RST: a connection that has ended is
 * forgotten after 2 minutes without packets (one reset, 10 s), by
 * net_rewrite_tick(), or when a new one takes its place.
 */
gboolean net_rewrite_inbound(NetRewrite *r, const NetPacket *p, guint8 *data,
                             gboolean unfinished, gint64 now_us);
gboolean net_rewrite_outbound(NetRewrite *r, const NetPacket *p, guint8 *data,
                              gboolean unfinished, gint64 now_us);

/*
 * What the guest sends before a takeover is not translated, but watched: else
 * no end of a connection would be seen before the next checkpoint.
 */
void net_rewrite_watch(NetRewrite *r, const NetPacket *p, gint64 now_us);

/*
 * Forget what has ended, and what was idle for idle_us; once a second or so
 * is often enough.  Returns how many are left.
 */
guint net_rewrite_tick(NetRewrite *r, gint64 idle_us, gint64 now_us);

typedef struct NetRewriteStats {
    guint64 inbound, outbound; /* packets changed */
    guint64 errors;            /* of the inbound ones: ICMP errors */
    guint64 sack_blocks;
    guint64 refused;           /* no room */
    guint64 ended, expired;
} NetRewriteStats;
void net_rewrite_stats(const NetRewrite *r, NetRewriteStats *stats);

#endif
