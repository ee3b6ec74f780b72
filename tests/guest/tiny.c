/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiny guest: the Linux guest's chain, console and main commands without
 * an operating system.  It boots in a blink and runs in 32 MiB, where Debian's
 * kernel needs 80.  RAM above 3 GiB is left alone.
 *
 * Command line: colo.mib= colo.picks= colo.ms= colo.seed=, as in colo-guest.c.
 * Commands: load MIB MS | fill random | idle | pace MS | reboot.
 */
#include "chain-step.h"
#include "tiny.h"

#define MIB       (1048576u)
#define CHAIN_AT  (4 * MIB)
#define RAM_LIMIT (3072 * MIB)

typedef struct MultibootInfo {
    uint32_t flags, mem_lower, mem_upper_kib, boot_device, cmdline;
} MultibootInfo;

typedef struct Load {
    uint64_t *at;
    uint32_t bytes;
    uint32_t ticks; /* between two rounds */
    uint32_t due;
    uint32_t round;
} Load;

static Chain chain;
static Load load;
static uint32_t ram_end, free_at;
static uint32_t pace_ticks;

static bool starts_with(const char *s, const char *prefix)
{
    while (*prefix) {
        if (*s++ != *prefix++)
            return false;
    }
    return true;
}

/* Reads a decimal number and moves *s behind it and one blank. */
static uint32_t take_number(const char **s)
{
    uint32_t v = 0;
    while (**s >= '0' && **s <= '9' && v < 100000000)
        v = v * 10 + (uint32_t)(*(*s)++ - '0');
    if (**s == ' ')
        (*s)++;
    return v;
}

static uint32_t option(const char *cmdline, const char *key, uint32_t dflt,
                       uint32_t max)
{
    for (const char *p = cmdline; *p; p++) {
        if (!starts_with(p, key))
            continue;
        while (*p != '=')
            p++;
        p++;
        dflt = take_number(&p);
        break;
    }
    return dflt < 1 ? 1 : dflt > max ? max : dflt;
}

static uint32_t to_ticks(uint32_t ms)
{
    return ms < TICK_MS ? 1 : ms / TICK_MS;
}

static void fill_random(void)
{
    uint64_t x = CHAIN_GOLDEN;
    uint64_t *p = (uint64_t *)(free_at + load.bytes);
    for (; (uint32_t)p < ram_end; p++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *p = x;
    }
    puts_raw("filled ");
    put_decimal((ram_end - free_at - load.bytes) / MIB);
    puts_raw("\n");
}

static void set_load(uint32_t mib, uint32_t ms)
{
    if (mib > (ram_end - free_at) / MIB)
        mib = (ram_end - free_at) / MIB;
    load = (Load){(uint64_t *)free_at, mib * MIB, to_ticks(ms), ticks, 0};
    puts_raw("load ");
    put_decimal(mib);
    puts_raw(" MiB each ");
    put_decimal(load.ticks * TICK_MS);
    puts_raw(" ms\n");
}

/* What the round before left must be there, then it is rewritten. */
static bool load_round(void)
{
    uint64_t old = load.round * CHAIN_GOLDEN, v = old + CHAIN_GOLDEN;
    for (uint32_t i = 0; i < load.bytes / 8; i++) {
        volatile uint64_t *w = load.at + i;
        if (load.round != 0 && i % 64 == 0 && *w != old + i) {
            puts_raw("CHAIN BROKEN load word ");
            put_decimal(i);
            puts_raw("\n");
            return false;
        }
        *w = v + i;
    }
    load.round++;
    load.due += load.ticks;
    if ((int32_t)(ticks - load.due) > 0)
        load.due = ticks;
    return true;
}

static void command(const char *line)
{
    if (starts_with(line, "load ")) {
        line += 5;
        uint32_t mib = take_number(&line);
        set_load(mib, take_number(&line));
    } else if (starts_with(line, "fill random")) {
        fill_random();
    } else if (starts_with(line, "idle")) {
        puts_raw("idle\n");
        set_load(0, 1);
    } else if (starts_with(line, "pace ")) {
        line += 5;
        pace_ticks = to_ticks(take_number(&line));
        puts_raw("pace ");
        put_decimal(pace_ticks * TICK_MS);
        puts_raw("\n");
    } else if (starts_with(line, "reboot")) {
        puts_raw("reboot\n");
        machine_reset();
    } else if (*line) {
        puts_raw("unknown command: ");
        puts_raw(line);
        puts_raw("\n");
    }
}

static void take_input(void)
{
    static char line[128];
    static uint32_t len;
    char c;
    while (serial_getc(&c)) {
        if (c != '\n') {
            if (len < sizeof(line) - 1)
                line[len++] = c;
            continue;
        }
        line[len] = '\0';
        len = 0;
        command(line);
    }
}

static void say_step(void)
{
    puts_raw("chain ");
    put_decimal((uint32_t)chain.n);
    puts_raw(" ");
    put_hex(chain.h, 16);
    puts_raw(" ");
    put_hex(chain_line_sum(chain.n, chain.h), 4);
    puts_raw("\n");
}

static void say_broken(const ChainFault *f)
{
    puts_raw("CHAIN BROKEN step ");
    put_decimal((uint32_t)chain.n);
    if (f->device) {
        puts_raw(" device state: ");
    } else {
        puts_raw(" page ");
        put_decimal(f->page);
        puts_raw(" word ");
        put_decimal(f->word);
        puts_raw(": ");
    }
    put_hex(f->found, 16);
    puts_raw(", expected ");
    put_hex(f->expected, 16);
    puts_raw("\n");
}

static void run_chain(uint32_t picks)
{
    ChainFault fault;
    uint32_t due = ticks;
    for (;;) {
        if ((int32_t)(ticks - due) >= 0) {
            if (!chain_step(&chain, picks, &fault)) {
                say_broken(&fault);
                return;
            }
            say_step();
            due = ticks + pace_ticks;
        }
        take_input();
        if (load.bytes != 0 && (int32_t)(ticks - load.due) >= 0 &&
            !load_round())
            return;
        machine_idle();
    }
}

void tiny_main(const void *multiboot)
{
    const MultibootInfo *info = multiboot;
    /* Flags: 1 memory sizes, 4 command line */
    const char *cmdline = info->flags & 4 ? (const char *)info->cmdline : "";
    uint32_t upper = info->flags & 1 ? info->mem_upper_kib / 1024 : 0;

    serial_start();
    puts_raw("boot ok\n");
    machine_start();
    ram_end = upper >= RAM_LIMIT / MIB ? RAM_LIMIT : (upper + 1) * MIB;

    uint32_t room = ram_end > 8 * MIB ? (ram_end - 8 * MIB) / MIB : 1;
    uint32_t mib = option(cmdline, "colo.mib=", CHAIN_MIB_DEFAULT,
                          room < CHAIN_MIB_MAX ? room : CHAIN_MIB_MAX);
    uint32_t picks =
        option(cmdline, "colo.picks=", CHAIN_PICK_DEFAULT, CHAIN_PICK_MAX);
    uint32_t seed = option(cmdline, "colo.seed=", 1, 0xffffffff);
    pace_ticks = to_ticks(option(cmdline, "colo.ms=", CHAIN_MS_DEFAULT, 60000));

    chain.ram = (uint64_t *)CHAIN_AT;
    chain.n_pages = mib * (MIB / CHAIN_PAGE_SIZE);
    chain.values = (uint64_t *)(CHAIN_AT + mib * MIB);
    chain.use_cmos = true;
    /* 2 KiB of values for each MiB: the next MiB holds those of 512 */
    free_at = CHAIN_AT + (mib + 1 + mib / 512) * MIB;
    if (free_at > ram_end)
        free_at = ram_end;
    chain_start(&chain, seed);

    puts_raw("chain start mib ");
    put_decimal(mib);
    puts_raw(" picks ");
    put_decimal(picks);
    puts_raw(" seed ");
    put_decimal(seed);
    puts_raw(" cpus 1 device cmos\n");
    run_chain(picks);
    for (;;)
        machine_idle();
}
