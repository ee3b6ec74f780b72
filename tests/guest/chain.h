/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of the test guest's hash chain, shared by the guest, which
 * runs it over real memory, and by chain-check, which recomputes it.
 *
 * The chain has a hash h and one value per page.  A step picks pages by h,
 * replaces each one's value by one that depends on the old value and on h,
 * and folds both into h.  So HASH(N) depends on every page value read in N
 * steps, and anybody who knows seed, size and picks can compute it.  In the
 * guest a page's value fills the whole page (chain_word()).
 */
#ifndef COLO_GUEST_CHAIN_H
#define COLO_GUEST_CHAIN_H

#include <stdint.h>

#define CHAIN_PAGE_SIZE    4096u
#define CHAIN_PAGE_WORDS   (CHAIN_PAGE_SIZE / 8u)
#define CHAIN_MIB_DEFAULT  8u
#define CHAIN_MIB_MAX      1024u
#define CHAIN_PICK_DEFAULT 16u
#define CHAIN_PICK_MAX     4096u
#define CHAIN_MS_DEFAULT   50u

#define CHAIN_GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/* The finalizer of splitmix64: every input bit reaches every output bit. */
static inline uint64_t chain_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t chain_first_hash(uint64_t seed)
{
    return chain_mix(seed ^ UINT64_C(0x636f6c6f636861));
}

static inline uint64_t chain_first_value(uint64_t seed, uint64_t page)
{
    return chain_mix(seed + (page + 1) * CHAIN_GOLDEN);
}

/* The page that pick number k of a step takes (without a 64 bit division) */
static inline uint32_t chain_pick(uint64_t h, uint64_t k, uint32_t n_pages)
{
    return (uint32_t)(((chain_mix(h + k) >> 32) * n_pages) >> 32);
}

static inline uint64_t chain_next_value(uint64_t h, uint64_t old, uint64_t n)
{
    return chain_mix(old ^ h) + n;
}

static inline uint64_t chain_fold(uint64_t h, uint64_t old, uint64_t new_value)
{
    return chain_mix(h ^ old) + new_value;
}

/* Word i of a page that holds value v; word 0 is v itself. */
static inline uint64_t chain_word(uint64_t v, uint64_t i)
{
    return v ^ (i * CHAIN_GOLDEN);
}

/*
 * Third field of a chain line: tells a line that was torn on its way to the
 * log (a load in the middle of a line joins two halves) from a wrong hash.
 */
static inline uint16_t chain_line_sum(uint64_t n, uint64_t h)
{
    return (uint16_t)chain_mix(n * CHAIN_GOLDEN ^ h);
}

#endif
