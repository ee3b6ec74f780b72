/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the test guest's program share. */
#ifndef COLO_GUEST_GUEST_H
#define COLO_GUEST_GUEST_H

#include <stdbool.h>
#include <stdint.h>

/* One line to the console, whole, whatever other threads print. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sleep on the guest's own clock, which stands still while it is stopped. */
void sleep_ms(unsigned ms);

typedef struct ChainOptions {
    unsigned mib;
    unsigned picks; /* pages modified in each step */
    unsigned ms;    /* between steps */
    uint64_t seed;
} ChainOptions;

/* Runs the chain until it breaks; returns then, having said so. */
void chain_run(const ChainOptions *options);
void chain_set_pace(unsigned ms);

/* Rewrite mib MiB every ms milliseconds, in a thread; mib 0 ends it. */
void load_set(unsigned mib, unsigned ms);

/* Fill most of the free memory with random bytes, and keep it. */
void fill_random(void);
void fill_free(void);

/* insmod every file of /modules/NAME.list, in order. */
void load_modules(const char *name);

typedef struct NetOptions {
    /* "" for none; addresses as ADDRESS/BITS */
    char ip[64], ip6[64], gw[64];
} NetOptions;

/* Bring the first card up; says what went wrong. */
bool net_configure(const NetOptions *options);

/* Serve what service.h says, in a thread; says "service ready". */
void service_start(void);

/* The first disk, ext4, at /disk; says "disk ready". */
void disk_mount(void);
/* Serve what service.h says about it, in threads of its own. */
bool disk_serve(void);
/* Write and sync mib MiB in a loop, in a thread; 0 ends it. */
void disk_set_load(unsigned mib);
/* All that was acknowledged is there already; says "disk off". */
void disk_umount(void);

#endif
