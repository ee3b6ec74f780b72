/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash chain over the guest's memory.
 *
 * A checkpoint that was put together wrongly shows in one of these ways:
 * - a page from another moment: it does not match the table of values, which
 *   lies in other pages (checked when the page is picked, and by a sweep over
 *   all pages that takes about 1.6 s);
 * - pages and table both from another moment: the hash printed afterwards is
 *   not HASH(N), which chain-check sees;
 * - RAM and device state from different moments: the hash is also kept in the
 *   clock chip's CMOS memory, which is device state, and compared each step.
 * With several CPUs the chain moves to the next one at each step.
 */
#define _GNU_SOURCE
#include "chain.h"
#include "guest.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#define SWEEP_PARTS 32u

/* Bytes of CMOS memory that neither QEMU nor SeaBIOS uses. */
#define CMOS_PORT  0x70
#define CMOS_FIRST 0x60

typedef struct Chain {
    uint64_t *ram;
    uint64_t *values;
    uint64_t n_pages;
    uint64_t n;
    uint64_t h;
} Chain;

static atomic_uint pace_ms;
static bool have_cmos;

void chain_set_pace(unsigned ms)
{
    pace_ms = ms;
}

static uint64_t device_read(void)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        outb((unsigned char)(CMOS_FIRST + i), CMOS_PORT);
        v |= (uint64_t)inb(CMOS_PORT + 1) << (8 * i);
    }
    return v;
}

static void device_write(uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        outb((unsigned char)(CMOS_FIRST + i), CMOS_PORT);
        outb((unsigned char)(v >> (8 * i)), CMOS_PORT + 1);
    }
}

static void write_page(Chain *c, uint64_t page, uint64_t v)
{
    uint64_t *w = c->ram + page * CHAIN_PAGE_WORDS;
    for (uint64_t i = 0; i < CHAIN_PAGE_WORDS; i++)
        w[i] = chain_word(v, i);
    c->values[page] = v;
}

static bool check_page(const Chain *c, uint64_t page)
{
    const volatile uint64_t *w = c->ram + page * CHAIN_PAGE_WORDS;
    uint64_t v = c->values[page];
    for (uint64_t i = 0; i < CHAIN_PAGE_WORDS; i++) {
        uint64_t found = w[i];
        if (found == chain_word(v, i))
            continue;
        say("CHAIN BROKEN step %llu page %llu word %llu: %016llx, "
            "expected %016llx",
            (unsigned long long)c->n, (unsigned long long)page,
            (unsigned long long)i, (unsigned long long)found,
            (unsigned long long)chain_word(v, i));
        return false;
    }
    return true;
}

static bool check_device(const Chain *c)
{
    uint64_t found = have_cmos ? device_read() : c->h;
    if (found == c->h)
        return true;
    say("CHAIN BROKEN step %llu device state: %016llx, expected %016llx",
        (unsigned long long)c->n, (unsigned long long)found,
        (unsigned long long)c->h);
    return false;
}

static bool step(Chain *c, unsigned picks)
{
    if (!check_device(c))
        return false;
    uint64_t n = c->n + 1, h = c->h;
    for (unsigned k = 0; k < picks; k++) {
        uint64_t page = chain_pick(h, k, c->n_pages);
        if (!check_page(c, page))
            return false;
        uint64_t old = c->ram[page * CHAIN_PAGE_WORDS];
        uint64_t v = chain_next_value(h, old, n);
        write_page(c, page, v);
        h = chain_fold(h, old, v);
    }
    c->n = n;
    c->h = h;
    if (have_cmos)
        device_write(h);

    uint64_t part = n % SWEEP_PARTS;
    for (uint64_t p = part; p < c->n_pages; p += SWEEP_PARTS) {
        if (!check_page(c, p))
            return false;
    }
    return true;
}

static void move_to_cpu(uint64_t n, long n_cpus)
{
    cpu_set_t set;
    if (n_cpus < 2)
        return;
    CPU_ZERO(&set);
    CPU_SET((int)(n % (uint64_t)n_cpus), &set);
    sched_setaffinity(0, sizeof(set), &set);
}

void chain_run(const ChainOptions *o)
{
    Chain c = {.n_pages = (uint64_t)o->mib * 1048576 / CHAIN_PAGE_SIZE,
               .h = chain_first_hash(o->seed)};
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);

    c.ram = mmap(NULL, c.n_pages * CHAIN_PAGE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    c.values = calloc(c.n_pages, sizeof(*c.values));
    if (c.ram == MAP_FAILED || c.values == NULL) {
        say("chain: no memory for %u MiB: %m", o->mib);
        return;
    }
    for (uint64_t p = 0; p < c.n_pages; p++)
        write_page(&c, p, chain_first_value(o->seed, p));
    have_cmos = ioperm(CMOS_PORT, 2, 1) == 0;
    if (have_cmos)
        device_write(c.h);

    say("chain start mib %u picks %u seed %llu cpus %ld device %s", o->mib,
        o->picks, (unsigned long long)o->seed, n_cpus,
        have_cmos ? "cmos" : "none");
    while (step(&c, o->picks)) {
        say("chain %llu %016llx %04x", (unsigned long long)c.n,
            (unsigned long long)c.h, chain_line_sum(c.n, c.h));
        sleep_ms(pace_ms);
        move_to_cpu(c.n, n_cpus);
    }
}
