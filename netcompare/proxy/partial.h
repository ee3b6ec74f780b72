/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of segments that are held.
 *
 * netfilter's queue lets a packet go, or not.  So a part of one is sent as a
 * frame of our own, out of the bridge's interface, which sends it to where the
 * bridge has learned the destination's address.  The queue does not tell that
 * address; see peers.h.
 */
#ifndef COLO_PROXY_PARTIAL_H
#define COLO_PROXY_PARTIAL_H

#include "netcompare/host/netdev.h"
#include "netcompare/packet/packet.h"

typedef struct Partial Partial;

/*
 * tap: the guest's, on a bridge.  If that filters VLANs our frames would be in
 * the one of its own interface: then nothing is ever sent.
 */
Partial *partial_new(const NetDev *tap, GError **error);
void partial_free(Partial *p);

/* Of every frame to the guest. */
void partial_learn(Partial *p, const guint8 *frame, gsize len, gint64 now_us);

/*
 * Send the bytes [at, at + len) of what segment carries, with this window.
 * FALSE: where the peer is was not heard, frames of ours do not get there, the
 * segment is of a kind that cannot be cut, or the bridge did not take it.
 */
gboolean partial_send(Partial *p, const NetPacket *segment, guint32 at,
                      guint32 len, guint16 window, guint mss, gint64 now_us);

/* Segments of which parts have left, left whole. */
void partial_whole(Partial *p);

#endif
