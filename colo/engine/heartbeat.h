/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heartbeats over UDP, on one or more links.
 *
 * A thread of its own, at real-time priority where that is allowed, sends
 * one datagram an interval on every link and watches for the peer's.  The
 * peer counts as lost when no link has brought one for the timeout.  Each
 * datagram carries the key that the ft stream's INIT agreed on: others are
 * ignored and counted; the address that one comes from does not matter.  It
 * also says the sender's state, so that a death that a living colod saw is
 * known at once.
 */
#ifndef COLO_HEARTBEAT_H
#define COLO_HEARTBEAT_H

#include "colo/engine/mailbox.h"
#include "colo/engine/status.h"
#include "colo/sockaddr.h"

typedef struct ColoHeartbeat ColoHeartbeat;

/*
 * addrs: ColoAddr.  The primary sends to them; the secondary binds them
 * and answers whoever sent the last valid heartbeat.
 */
ColoHeartbeat *colo_heartbeat_new(GPtrArray *addrs, gboolean primary,
                                  gint64 interval_us, gint64 timeout_us,
                                  ColoMailbox *engine, ColoStatus *status,
                                  GError **error);
void colo_heartbeat_free(ColoHeartbeat *h);

/*
 * A session begins: the peer is alive now, and from now on its silence is
 * reported (HEARTBEAT_LOST, once), as is its return (HEARTBEAT_BACK).
 */
void colo_heartbeat_start(ColoHeartbeat *h, guint64 key);

/*
 * The session is over: silence means nothing any more.  A last heartbeat
 * tells the peer so, with our state from now on.
 */
void colo_heartbeat_stop(ColoHeartbeat *h, ColoState state);

/* What our heartbeats say from now on; one is sent at once. */
void colo_heartbeat_say(ColoHeartbeat *h, ColoState state, gboolean vm_died);

/* The peer's checkpoint grows old: no new ones are made. */
void colo_heartbeat_say_stale(ColoHeartbeat *h, gboolean stale);

gboolean colo_heartbeat_is_lost(ColoHeartbeat *h);

/* When the peer was last heard of, monotonic; G_MAXINT64: no session. */
gint64 colo_heartbeat_heard_at(ColoHeartbeat *h);

/* The state in the peer's last heartbeat. */
ColoState colo_heartbeat_peer_state(ColoHeartbeat *h);

/* Did that say that our checkpoint grows old? */
gboolean colo_heartbeat_peer_is_stale(ColoHeartbeat *h);

#endif
