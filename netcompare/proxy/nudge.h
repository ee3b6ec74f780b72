/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After a takeover: clients are told that the path was interrupted.
 *
 * Theory of operation.  What a client sends while no guest answers is lost,
 * and TCP waits twice as long before each repetition.  So it may be silent
 * for as long again as the takeover took.  RFC 6069 has the remedy: an ICMP
 * "host unreachable" (ICMPv6 "no route") that quotes the oldest segment which
 * was not acknowledged says that the path was interrupted, not congested,
 * and the sender undoes one doubling for each.  It is a soft error, which
 * breaks no connection (RFC 1122, 4.2.3.9; RFC 5461).
 *
 * Which segment is the oldest one only the client knows; one that quotes
 * another is ignored.  It can be: what the guest acknowledged last; where the
 * client was when it sent its last segment; in periodic mode, where output
 * waits for a commit, its first segment since one of the last two captures.
 */
#ifndef COLO_PROXY_NUDGE_H
#define COLO_PROXY_NUDGE_H

#include "netcompare/packet/packet.h"

typedef struct Nudges Nudges;

/* max_flows: those that come when there are so many are not nudged. */
Nudges *nudges_new(guint max_flows);
void nudges_free(Nudges *n);

/* Frames from clients, and from the guest. */
void nudges_inbound(Nudges *n, const guint8 *frame, gsize len, gint64 now_us);
void nudges_outbound(Nudges *n, const guint8 *frame, gsize len);

/* The primary's guest was captured: what came before may be acknowledged. */
void nudges_capture(Nudges *n);

/*
 * Calls emit with each frame, at most max; returns how many.  Connections
 * that were silent for idle_us are left out.
 */
guint nudges_emit(const Nudges *n, guint max, gint64 idle_us, gint64 now_us,
                  void (*emit)(const guint8 *frame, gsize len, gpointer user),
                  gpointer user);

/*
 * Is this frame one that the primary's network would have let through, as far
 * as can be told?  It is of a connection that is known, or a SYN from where
 * others to the same port came from.
 */
gboolean nudges_know(Nudges *n, const guint8 *frame, gsize len);

/* Forget what was silent for so long. */
void nudges_expire(Nudges *n, gint64 idle_us, gint64 now_us);

#endif
