/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a guest's peers are, and whether frames of our own get there.
 *
 * Theory of operation.  A peer is where its last frame to the same address of
 * the guest's came from.  Frames that are only passing (to groups, or flooded)
 * name other addresses, and teach nothing.
 *
 * Whether what we send gets there cannot be told from here: a host may route
 * or translate what its guests send, filter it by a state that has not seen
 * our frames, or be the peer itself.  So the first is a trial: until its ACK
 * is back nothing else is sent there, and if that takes too long nothing more
 * for a while.  What was found counts for a minute.  When several peers in a
 * row were not reached, none is tried for as long.
 */
#ifndef COLO_PROXY_PEERS_H
#define COLO_PROXY_PEERS_H

#include "netcompare/packet/packet.h"

/* Less than a guest waits until it sends again by itself (Linux: 200 ms). */
#define PEERS_TRIAL_US (150 * 1000)
#define PEERS_VALID_US (60 * G_USEC_PER_SEC)
#define PEERS_IN_A_ROW 3

typedef struct Peers Peers;

Peers *peers_new(void);
void peers_free(Peers *p);

/* Of every frame to the guest.  Times are those of a monotonic clock. */
void peers_learn(Peers *p, const guint8 *frame, gsize len, gint64 now_us);

/*
 * The Ethernet header, tag included, of a frame with this packet of the
 * guest's, and its length.  NULL: its peer was not heard.
 */
const guint8 *peers_head(Peers *p, const NetPacket *packet, gsize *len);

/* May a frame with bytes of this TCP segment be sent? */
gboolean peers_may_send(Peers *p, const NetPacket *segment, gint64 now_us);
/* It was; seq: what is behind its last byte. */
void peers_sent(Peers *p, const NetPacket *segment, guint32 seq, gint64 now_us);

/* The same bytes left in another way, too: ACKs of them prove nothing. */
void peers_void_trials(Peers *p);

#endif
