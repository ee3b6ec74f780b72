/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash by instructions that not all x86-64 processors have. */
#ifdef __x86_64__
#pragma GCC target("avx2")
#define DIGEST_XXH3 net_digest_avx2
#include "netcompare/packet/digest-xxh3.h"
#else
typedef int nothing_here;
#endif
