/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash of digest.h, compiled for several kinds of processors. */
#ifndef COLO_NET_DIGEST_IMPL_H
#define COLO_NET_DIGEST_IMPL_H

#include "netcompare/packet/digest.h"

typedef struct NetDigestImpl {
    guint64 (*all)(const void *bytes, gsize len, const guint8 *secret);
    void *(*new)(void); /* a state; NULL: no memory */
    void (*free)(void *state);
    void (*begin)(void *state, const guint8 *secret);
    void (*add)(void *state, const void *bytes, gsize len);
    guint64 (*end)(const void *state);
} NetDigestImpl;

extern const NetDigestImpl net_digest_plain;
#ifdef __x86_64__
extern const NetDigestImpl net_digest_avx2;
#endif

#endif
