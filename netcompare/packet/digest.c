/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes in place of bytes.  See digest.h. */
#include "netcompare/packet/digest.h"

#include <sys/random.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

G_STATIC_ASSERT(NET_DIGEST_SECRET >= XXH3_SECRET_SIZE_MIN);

struct NetDigestParts {
    XXH3_state_t *state;
};

void net_digest_new_secret(guint8 secret[NET_DIGEST_SECRET])
{
    G_STATIC_ASSERT(NET_DIGEST_SECRET <= 256); /* as much comes at once */
    if (getentropy(secret, NET_DIGEST_SECRET) < 0) {
        g_error("the kernel has no random numbers: getentropy failed");
    }
}

guint64 net_digest(const guint8 secret[NET_DIGEST_SECRET], const guint8 *bytes,
                   gsize len)
{
    return XXH3_64bits_withSecret(bytes, len, secret, NET_DIGEST_SECRET);
}

NetDigestParts *net_digest_parts_new(void)
{
    NetDigestParts *p = g_new(NetDigestParts, 1);

    p->state = XXH3_createState();
    if (!p->state) {
        g_error("no memory for a hash");
    }
    return p;
}

void net_digest_parts_free(NetDigestParts *p)
{
    if (p) {
        XXH3_freeState(p->state);
        g_free(p);
    }
}

void net_digest_begin(NetDigestParts *p, const guint8 secret[NET_DIGEST_SECRET])
{
    XXH3_64bits_reset_withSecret(p->state, secret, NET_DIGEST_SECRET);
}

void net_digest_add(NetDigestParts *p, const guint8 *bytes, gsize len)
{
    XXH3_64bits_update(p->state, bytes, len);
}

guint64 net_digest_end(const NetDigestParts *p)
{
    return XXH3_64bits_digest(p->state);
}

void net_digests_make(NetDigests *d, guint64 number,
                      const guint8 secret[NET_DIGEST_SECRET],
                      const guint8 *bytes, guint32 len, guint32 piece)
{
    guint32 at = 0;

    g_assert(len && piece && net_digest_count(len, piece) <= NET_DIGEST_MAX);
    d->number = number;
    d->len = len;
    d->piece = piece;
    for (guint i = 0; at < len; i++) {
        guint32 n = MIN(piece, len - at);

        d->hash[i] = net_digest(secret, bytes + at, n);
        at += n;
    }
}
