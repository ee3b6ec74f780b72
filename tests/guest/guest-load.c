/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Load for the test guest: memory written at a given rate, memory filled. */
#define _GNU_SOURCE
#include "chain.h"
#include "guest.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MIB        1048576u
#define KEEP_BYTES (8 * MIB)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* Under lock: what the load thread shall do. */
static unsigned want_mib, want_ms;
static bool thread_started;

static uint64_t *filled;
static size_t filled_bytes;

/* Page by page: what the round before left must be there, then rewrite. */
static bool load_round(uint64_t *buf, size_t pages, uint64_t round)
{
    for (size_t p = 0; p < pages; p++) {
        volatile uint64_t *w = buf + p * CHAIN_PAGE_WORDS;
        uint64_t old = round ? (round - 1) * CHAIN_GOLDEN + p : 0;
        uint64_t v = round * CHAIN_GOLDEN + p;
        for (unsigned i = 0; i < CHAIN_PAGE_WORDS; i++) {
            if (round && i % 64 == 0 && w[i] != old + i) {
                say("CHAIN BROKEN load round %llu page %zu word %u",
                    (unsigned long long)round, p, i);
                return false;
            }
            w[i] = v + i;
        }
    }
    return true;
}

static void add_ms(struct timespec *t, unsigned ms)
{
    t->tv_sec += ms / 1000;
    t->tv_nsec += (long)(ms % 1000) * 1000000;
    if (t->tv_nsec >= 1000000000) {
        t->tv_sec++;
        t->tv_nsec -= 1000000000;
    }
}

static bool earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec
                                  : a->tv_nsec < b->tv_nsec;
}

static void *load_thread(void *unused)
{
    unsigned mib = 0, ms = 0;
    uint64_t *buf = NULL;
    uint64_t round = 0;
    struct timespec next = {0};

    for (;;) {
        pthread_mutex_lock(&lock);
        while (want_mib == 0 && mib == 0)
            pthread_cond_wait(&changed, &lock);
        bool resize = want_mib != mib;
        unsigned old_mib = mib;
        mib = want_mib;
        ms = want_ms;
        pthread_mutex_unlock(&lock);

        if (resize) {
            if (buf != NULL)
                munmap(buf, (size_t)old_mib * MIB);
            buf = NULL;
            round = 0;
            if (mib != 0) {
                buf = mmap(NULL, (size_t)mib * MIB, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
                if (buf == MAP_FAILED) {
                    say("load: no memory for %u MiB: %m", mib);
                    return NULL;
                }
                clock_gettime(CLOCK_MONOTONIC, &next);
            }
            say("load %u MiB each %u ms", mib, ms);
        }
        if (mib == 0)
            continue;
        if (!load_round(buf, (size_t)mib * MIB / CHAIN_PAGE_SIZE, round++))
            return NULL;
        /* A round that took too long is not made up for. */
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        add_ms(&next, ms);
        if (earlier(&next, &now))
            next = now;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}

void load_set(unsigned mib, unsigned ms)
{
    pthread_mutex_lock(&lock);
    want_mib = mib;
    want_ms = ms;
    if (!thread_started && mib != 0) {
        pthread_t t;
        thread_started = pthread_create(&t, NULL, load_thread, NULL) == 0;
        if (!thread_started)
            say("load: cannot start its thread");
    }
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static size_t available_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    }
    fclose(f);
    return (size_t)kib * 1024;
}

void fill_free(void)
{
    if (filled != NULL)
        munmap(filled, filled_bytes);
    filled = NULL;
}

void fill_random(void)
{
    fill_free();
    /* The rest is for the kernel, which panics when it has no memory. */
    size_t available = available_bytes();
    filled_bytes = available > KEEP_BYTES
                       ? (available - KEEP_BYTES) / 100 * 85 / MIB * MIB
                       : 0;
    if (filled_bytes == 0) {
        say("fill: no memory is free");
        return;
    }
    filled = mmap(NULL, filled_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (filled == MAP_FAILED) {
        filled = NULL;
        say("fill: no memory for %zu MiB: %m", filled_bytes / MIB);
        return;
    }
    uint64_t x = CHAIN_GOLDEN;
    for (size_t i = 0; i < filled_bytes / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        filled[i] = x;
    }
    say("filled %zu", filled_bytes / MIB);
}
