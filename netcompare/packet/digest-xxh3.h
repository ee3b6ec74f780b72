/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XXH3 for one kind of processor.  Included once by each file that is compiled
 * for one, which defines DIGEST_XXH3, the name of its table.
 */
#include "netcompare/packet/digest-impl.h"

/*
 * What is hashed was copied by the kernel some megabytes of packets ago: it has
 * to come from beyond the second cache, for which xxhash's own 384 bytes are
 * too near.
 */
#define XXH_PREFETCH_DIST 3072
#define XXH_INLINE_ALL
#include <xxhash.h>

static guint64 all(const void *bytes, gsize len, const guint8 *secret)
{
    return XXH3_64bits_withSecret(bytes, len, secret, NET_DIGEST_SECRET);
}

static void *new(void)
{
    return XXH3_createState();
}

static void free_state(void *state)
{
    XXH3_freeState(state);
}

static void begin(void *state, const guint8 *secret)
{
    G_STATIC_ASSERT(NET_DIGEST_SECRET >= XXH3_SECRET_SIZE_MIN);
    XXH3_64bits_reset_withSecret(state, secret, NET_DIGEST_SECRET);
}

static void add(void *state, const void *bytes, gsize len)
{
    XXH3_64bits_update(state, bytes, len);
}

static guint64 end(const void *state)
{
    return XXH3_64bits_digest(state);
}

const NetDigestImpl DIGEST_XXH3 = {
    .all = all,
    .new = new,
    .free = free_state,
    .begin = begin,
    .add = add,
    .end = end,
};
