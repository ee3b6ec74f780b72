/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash for every processor of the kind that this is built for. */
#define DIGEST_XXH3 net_digest_plain
#include "netcompare/packet/digest-xxh3.h"
