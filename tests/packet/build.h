/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets for tests, put together from the inside out.  Each function takes
 * the bytes of what it wraps; checksums are filled in by build_checksums().
 */
#ifndef COLO_TESTS_BUILD_H
#define COLO_TESTS_BUILD_H

#include "netcompare/packet/packet.h"

#define BUILD_IPV4 0x0800
#define BUILD_IPV6 0x86dd

/* "08 00, 1f": pairs of hex digits, anything between them. */
GByteArray *build_hex(const char *hex);
GByteArray *build_text(const char *text);
GByteArray *build_zeros(guint n);

/* options: hex, padded with end-of-options to a multiple of 4; or NULL. */
GByteArray *build_tcp(guint16 sport, guint16 dport, guint32 seq, guint32 ack,
                      guint8 flags, const char *options, GByteArray *payload);
GByteArray *build_udp(guint16 sport, guint16 dport, GByteArray *payload);
/* Echo: type 8 or 0 (IPv4), 128 or 129 (IPv6). */
GByteArray *build_icmp(guint8 type, guint8 code, guint16 id, guint16 seq,
                       GByteArray *payload);

/* 10.0.0.1 > 10.0.0.2 and fd00::1 > fd00::2. */
GByteArray *build_ipv4(guint8 proto, GByteArray *body);
GByteArray *build_ipv6(guint8 next, GByteArray *body);
/* The same the other way round. */
void build_turn(GByteArray *ip);

/* dst: hex, or NULL; tags: hex of what lies between addresses and type. */
GByteArray *build_ether(const char *dst, const char *tags, guint16 type,
                        GByteArray *body);

void build_checksums(GByteArray *ip, guint16 ethertype);

/* RFC 1071 as simply as it can be written; not folded. */
guint64 build_sum(const guint8 *data, gsize len);
/* Are transport's and IP header's checksums right?  By that alone. */
gboolean build_is_sound(const NetPacket *p, const guint8 *data);

#endif
