/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes in place of bytes.  See digest.h. */
#include "netcompare/packet/digest-impl.h"

#include <sys/random.h>
#include <unistd.h>

struct NetDigestParts {
    const NetDigestImpl *impl;
    void *state;
};

static const NetDigestImpl *impl(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        return &net_digest_avx2;
    }
#endif
    return &net_digest_plain;
}

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
    return impl()->all(bytes, len, secret);
}

NetDigestParts *net_digest_parts_new(void)
{
    NetDigestParts *p = g_new(NetDigestParts, 1);

    p->impl = impl();
    p->state = p->impl->new();
    if (!p->state) {
        g_error("no memory for a hash");
    }
    return p;
}

void net_digest_parts_free(NetDigestParts *p)
{
    if (p) {
        p->impl->free(p->state);
        g_free(p);
    }
}

void net_digest_begin(NetDigestParts *p, const guint8 secret[NET_DIGEST_SECRET])
{
    p->impl->begin(p->state, secret);
}

void net_digest_add(NetDigestParts *p, const guint8 *bytes, gsize len)
{
    p->impl->add(p->state, bytes, len);
}

guint64 net_digest_end(const NetDigestParts *p)
{
    return p->impl->end(p->state);
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
