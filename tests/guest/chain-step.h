/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash chain over real memory, for guests with and without an operating
 * system (nothing here needs a library).
 *
 * A checkpoint that was put together wrongly shows in one of these ways:
 * - a page from another moment: it does not match the table of values, which
 *   lies in other pages (checked when the page is picked, and by a sweep over
 *   all pages that takes CHAIN_SWEEP_PARTS steps);
 * - pages and table both from another moment: the hash printed afterwards is
 *   not HASH(N), which chain-check sees;
 * - RAM and device state from different moments: the hash is also kept in the
 *   clock chip's CMOS memory, which is device state, and compared each step.
 */
#ifndef COLO_GUEST_CHAIN_STEP_H
#define COLO_GUEST_CHAIN_STEP_H

#include "chain.h"

#include <stdbool.h>

#define CHAIN_SWEEP_PARTS 32u

/* Bytes of CMOS memory that neither QEMU nor SeaBIOS uses */
#define CMOS_PORT  0x70u
#define CMOS_FIRST 0x60u

typedef struct Chain {
    uint64_t *ram;    /* n_pages pages */
    uint64_t *values; /* n_pages values */
    uint32_t n_pages;
    bool use_cmos; /* the program may use the CMOS ports */
    uint64_t n;
    uint64_t h;
} Chain;

/* What was not as expected; a device fault has no page and no word. */
typedef struct ChainFault {
    bool device;
    uint32_t page, word;
    uint64_t found, expected;
} ChainFault;

static inline void port_out(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t port_in(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}

static inline uint64_t chain_device_read(void)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        port_out(CMOS_PORT, (uint8_t)(CMOS_FIRST + i));
        v |= (uint64_t)port_in(CMOS_PORT + 1) << (8 * i);
    }
    return v;
}

static inline void chain_device_write(uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        port_out(CMOS_PORT, (uint8_t)(CMOS_FIRST + i));
        port_out(CMOS_PORT + 1, (uint8_t)(v >> (8 * i)));
    }
}

static inline void chain_write_page(Chain *c, uint32_t page, uint64_t v)
{
    uint64_t *w = c->ram + (uintptr_t)page * CHAIN_PAGE_WORDS;
    for (uint32_t i = 0; i < CHAIN_PAGE_WORDS; i++)
        w[i] = chain_word(v, i);
    c->values[page] = v;
}

static inline bool chain_check_page(const Chain *c, uint32_t page,
                                    ChainFault *fault)
{
    const volatile uint64_t *w = c->ram + (uintptr_t)page * CHAIN_PAGE_WORDS;
    uint64_t v = c->values[page];
    for (uint32_t i = 0; i < CHAIN_PAGE_WORDS; i++) {
        uint64_t found = w[i];
        if (found == chain_word(v, i))
            continue;
        *fault = (ChainFault){.page = page,
                              .word = i,
                              .found = found,
                              .expected = chain_word(v, i)};
        return false;
    }
    return true;
}

/* ram, values, n_pages and use_cmos are set. */
static inline void chain_start(Chain *c, uint64_t seed)
{
    c->n = 0;
    c->h = chain_first_hash(seed);
    for (uint32_t p = 0; p < c->n_pages; p++)
        chain_write_page(c, p, chain_first_value(seed, p));
    if (c->use_cmos)
        chain_device_write(c->h);
}

/* One step; false with fault set when the state is not what it must be. */
static inline bool chain_step(Chain *c, unsigned picks, ChainFault *fault)
{
    uint64_t n = c->n + 1, h = c->h;
    if (c->use_cmos) {
        uint64_t found = chain_device_read();
        if (found != h) {
            *fault =
                (ChainFault){.device = true, .found = found, .expected = h};
            return false;
        }
    }
    for (unsigned k = 0; k < picks; k++) {
        uint32_t page = chain_pick(h, k, c->n_pages);
        if (!chain_check_page(c, page, fault))
            return false;
        uint64_t old = c->ram[(uintptr_t)page * CHAIN_PAGE_WORDS];
        uint64_t v = chain_next_value(h, old, n);
        chain_write_page(c, page, v);
        h = chain_fold(h, old, v);
    }
    c->n = n;
    c->h = h;
    if (c->use_cmos)
        chain_device_write(h);
    for (uint32_t p = (uint32_t)n % CHAIN_SWEEP_PARTS; p < c->n_pages;
         p += CHAIN_SWEEP_PARTS) {
        if (!chain_check_page(c, p, fault))
            return false;
    }
    return true;
}

#endif
