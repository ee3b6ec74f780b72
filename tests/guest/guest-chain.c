/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash chain in the Linux guest.  With several CPUs it moves to the next
 * one at each step.
 */
#define _GNU_SOURCE
#include "chain-step.h"
#include "guest.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_uint pace_ms;

void chain_set_pace(unsigned ms)
{
    pace_ms = ms;
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

static void say_broken(const Chain *c, const ChainFault *f)
{
    char what[48] = "device state";
    if (!f->device)
        snprintf(what, sizeof(what), "page %u word %u", f->page, f->word);
    say("CHAIN BROKEN step %llu %s: %016llx, expected %016llx",
        (unsigned long long)c->n, what, (unsigned long long)f->found,
        (unsigned long long)f->expected);
}

void chain_run(const ChainOptions *o)
{
    Chain c = {.n_pages = o->mib * (1048576 / CHAIN_PAGE_SIZE)};
    ChainFault fault;
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);

    c.ram = mmap(NULL, (size_t)c.n_pages * CHAIN_PAGE_SIZE,
                 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    c.values = calloc(c.n_pages, sizeof(*c.values));
    if (c.ram == MAP_FAILED || c.values == NULL) {
        say("chain: no memory for %u MiB: %m", o->mib);
        return;
    }
    c.use_cmos = ioperm(CMOS_PORT, 2, 1) == 0;
    chain_start(&c, o->seed);
    say("chain start mib %u picks %u seed %llu cpus %ld device %s", o->mib,
        o->picks, (unsigned long long)o->seed, n_cpus,
        c.use_cmos ? "cmos" : "none");
    while (chain_step(&c, o->picks, &fault)) {
        say("chain %llu %016llx %04x", (unsigned long long)c.n,
            (unsigned long long)c.h, chain_line_sum(c.n, c.h));
        sleep_ms(pace_ms);
        move_to_cpu(c.n, n_cpus);
    }
    say_broken(&c, &fault);
}
