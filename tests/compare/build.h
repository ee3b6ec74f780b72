/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of guests for the comparator's tests: made in a buffer, fast enough
 * for millions of them.
 */
#ifndef COLO_TESTS_COMPARE_BUILD_H
#define COLO_TESTS_COMPARE_BUILD_H

#include "netcompare/packet/packet.h"

typedef struct Segment {
    guint flow; /* chooses the client's port */
    gboolean v6;
    guint8 flags;
    guint32 seq, ack;
    guint16 window;
    const guint8 *options; /* multiple of 4 */
    guint n_options;
    const guint8 *data;
    guint len;
    guint16 ip_id;
} Segment;

enum { BUILD_MAX = 66000 };

/* Into out, of BUILD_MAX bytes; returns the length. */
gsize build_segment(guint8 *out, const Segment *s);
/* proto: of IP; body: from the transport header on, checksums filled in. */
gsize build_ip(guint8 *out, gboolean v6, guint8 proto, guint16 id,
               const guint8 *body, gsize len);
gsize build_datagram(guint8 *out, gboolean v6, guint flow, guint16 id,
                     const guint8 *data, gsize len);
/* [at, at + len) of what the IP packet whole carries, as its fragment. */
gsize build_fragment(guint8 *out, const guint8 *whole, gsize whole_len,
                     gboolean v6, guint32 id, gsize at, gsize len);
void build_parse(NetPacket *p, const guint8 *data, gsize len, gboolean v6);

#endif
