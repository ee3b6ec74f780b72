/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Internet checksum (RFC 1071), whole and as a difference (RFC 1624).
 */
#ifndef COLO_NET_CHECKSUM_H
#define COLO_NET_CHECKSUM_H

#include "netcompare/packet/packet.h"

/*
 * One's complement sum of data, added to sum (not folded, not inverted, in an
 * order of its own: numbers are added as bytes).  Of several pieces only the
 * last may have an odd length.
 */
guint64 net_sum(const void *data, gsize len, guint64 sum);
guint16 net_sum_fold(guint64 sum); /* folded and inverted, host's order */

/*
 * What a 16 or 32 bit field of a packet becomes, and its checksum with it.
 * check: offset-free pointer to the checksum; NULL: it is not to be touched
 * (unfinished, to be filled in by the card).  A UDP checksum of 0, "not
 * summed", is the caller's to leave alone.  Fields at odd offsets from the
 * header's start are summed right, too: odd says so.
 */
void net_replace32(guint8 *field, guint32 value, guint8 *check, gboolean odd);
void net_replace16(guint8 *field, guint16 value, guint8 *check, gboolean odd);

/*
 * Fill in the TCP, UDP, ICMP or ICMPv6 checksum of a whole packet (no
 * fragment) in data, which is p->data's bytes made writable; for IPv4 the
 * header's, too.  FALSE: it has none that we know.
 */
gboolean net_checksum_fill(const NetPacket *p, guint8 *data);
/* Are all of them right that can be told?  Not of NET_KIND_BAD. */
gboolean net_checksum_ok(const NetPacket *p);

#endif
