/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands for a large TCP segment's bytes: a hash of each piece of them.
 *
 * XXH3 of 64 bits with a secret that only the two proxies know: no guest can
 * prepare two pieces with the same hash, and by chance two that differ have it
 * once in 2^64 pieces.
 */
#ifndef COLO_NET_DIGEST_H
#define COLO_NET_DIGEST_H

#include <glib.h>

#define NET_DIGEST_SECRET 192
/* Pieces of one segment, and the least bytes of one that is not the last. */
#define NET_DIGEST_MAX       128
#define NET_DIGEST_MIN_PIECE 512

/* A segment's bytes, in pieces of the same size; the last may be shorter. */
typedef struct NetDigests {
    guint64 number; /* of the frame that has them */
    guint32 len;    /* bytes, not 0 */
    guint32 piece;  /* bytes of each */
    guint64 hash[NET_DIGEST_MAX];
} NetDigests;

static inline guint net_digest_count(guint32 len, guint32 piece)
{
    return len / piece + !!(len % piece);
}

void net_digest_new_secret(guint8 secret[NET_DIGEST_SECRET]);
guint64 net_digest(const guint8 secret[NET_DIGEST_SECRET], const guint8 *bytes,
                   gsize len);
/* Bytes that lie in several places. */
typedef struct NetDigestParts NetDigestParts;
NetDigestParts *net_digest_parts_new(void);
void net_digest_parts_free(NetDigestParts *p);
/* secret: has to live until the end. */
void net_digest_begin(NetDigestParts *p,
                      const guint8 secret[NET_DIGEST_SECRET]);
void net_digest_add(NetDigestParts *p, const guint8 *bytes, gsize len);
guint64 net_digest_end(const NetDigestParts *p);

/*
 * piece: at least NET_DIGEST_MIN_PIECE; len: not 0, of no more than
 * NET_DIGEST_MAX pieces.
 */
void net_digests_make(NetDigests *d, guint64 number,
                      const guint8 secret[NET_DIGEST_SECRET],
                      const guint8 *bytes, guint32 len, guint32 piece);

#endif
