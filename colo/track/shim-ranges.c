/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcolotrack.so: the table of guest RAM ranges and their discard logs
 * (discard-log.h).
 */
#include "config.h"
#include "colo/track/discard-log.h"
#include "colo/track/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u
#define MAX_RANGES 256

typedef struct Range {
    uintptr_t addr;
    size_t len;
    bool has_file;
    dev_t dev; /* these three: only with has_file */
    ino_t ino;
    uint64_t offset;
    ColoDiscardHeader *log;
    int log_fd; /* open as long as the range: the tracker finds it there */
} Range;

/*
 * Guards all below; taken around fork, so that a child can go on.  Nothing
 * under it may use the wrapped calls: they would take it again.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Range ranges[MAX_RANGES];
static unsigned n_ranges; /* written under the lock, read without */
static bool fork_handlers;

static void lock_ranges(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_ranges(void)
{
    pthread_mutex_unlock(&lock);
}

bool shim_tracking(void)
{
    return __atomic_load_n(&n_ranges, __ATOMIC_ACQUIRE) != 0;
}

/* The part of r in [addr, addr + len), as an offset in r; 0: none. */
static size_t overlap(const Range *r, uintptr_t addr, size_t len, size_t *from)
{
    uintptr_t start = addr > r->addr ? addr : r->addr, end;

    if (addr > UINTPTR_MAX - len) {
        len = UINTPTR_MAX - addr;
    }
    end = addr + len < r->addr + r->len ? addr + len : r->addr + r->len;
    if (end <= start) {
        return 0;
    }
    *from = start - r->addr;
    return end - start;
}

/* Set the bits of all pages that this part touches. */
static void log_discard(Range *r, size_t from, size_t len)
{
    uint64_t *words = (uint64_t *)((char *)r->log + COLO_DISCARD_HEADER);
    size_t page = from / PAGE, end = (from + len + PAGE - 1) / PAGE;

    while (page < end) {
        size_t word = page / 64, n = 64 - page % 64;
        uint64_t mask = ~UINT64_C(0);

        if (n > end - page) {
            n = end - page;
        }
        mask = (mask >> (64 - n)) << (page % 64);
        __atomic_fetch_or(&words[word], mask, __ATOMIC_RELEASE);
        page += n;
    }
}

static int make_log(Range *r)
{
    size_t bytes = colo_discard_bytes(r->len / PAGE);
    int fd = memfd_create(COLO_DISCARD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *p;

    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        close(fd);
        return -1;
    }
    p = shim_sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        close(fd);
        return -1;
    }
    r->log = p;
    r->log_fd = fd;
    r->log->addr = r->addr;
    r->log->n_pages = r->len / PAGE;
    return 0;
}

static void drop_log(Range *r)
{
    (void)syscall(SYS_munmap, r->log, colo_discard_bytes(r->len / PAGE));
    close(r->log_fd);
}

void shim_range_mapped(uintptr_t addr, size_t len, int fd, uint64_t offset)
{
    const char *why = "";
    Range r = {.addr = addr, .offset = offset};
    struct stat st;

    /* The kernel maps whole pages. */
    r.len = (len + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        r.has_file = true;
        r.dev = st.st_dev;
        r.ino = st.st_ino;
    }
    if (sysconf(_SC_PAGESIZE) != PAGE) {
        shim_log("pages of this host are not 4 KiB: QEMU runs on untracked");
        return;
    }
    lock_ranges();
    if (n_ranges == MAX_RANGES) {
        unlock_ranges();
        shim_log("more than %d mappings: the one of %zu MiB at %#lx is not "
                 "tracked", MAX_RANGES, len >> 20, (unsigned long)addr);
        return;
    }
    if (!fork_handlers) {
        fork_handlers = true;
        pthread_atfork(lock_ranges, unlock_ranges, unlock_ranges);
    }
    if (make_log(&r) < 0) {
        int err = errno;

        unlock_ranges();
        shim_log("no discard log for %zu MiB at %#lx (%s): QEMU runs on "
                 "untracked", len >> 20, (unsigned long)addr, strerror(err));
        return;
    }
    if (shim_uffd_register(r.addr, r.len, &why) == 0) {
        r.log->armable = 1;
        /* See madvise() in shim.c.  Not every file can have huge pages. */
        (void)syscall(SYS_madvise, r.addr, r.len, MADV_NOHUGEPAGE);
        shim_debug("%zu MiB at %#lx registered", len >> 20,
                   (unsigned long)addr);
    } else {
        snprintf(r.log->reason, sizeof(r.log->reason), "%s", why);
        shim_log("cannot track writes to %zu MiB at %#lx: %s; QEMU runs on",
                 len >> 20, (unsigned long)addr, why);
    }
    /* Last: a log with its magic is complete. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(r.log->magic, COLO_DISCARD_MAGIC, sizeof(r.log->magic));
    ranges[n_ranges] = r;
    __atomic_store_n(&n_ranges, n_ranges + 1, __ATOMIC_RELEASE);
    unlock_ranges();
}

bool shim_is_tracked(uintptr_t addr, size_t len)
{
    bool found = false;
    size_t from;

    lock_ranges();
    for (unsigned i = 0; i < n_ranges && !found; i++) {
        found = ranges[i].log->armable &&
                overlap(&ranges[i], addr, len, &from) != 0;
    }
    unlock_ranges();
    return found;
}

void shim_range_gone(uintptr_t addr, size_t len)
{
    if (!shim_tracking()) {
        return;
    }
    lock_ranges();
    for (unsigned i = 0; i < n_ranges;) {
        size_t from, n = overlap(&ranges[i], addr, len, &from);

        if (n == ranges[i].len) {
            shim_debug("%zu MiB at %#lx gone", n >> 20,
                       (unsigned long)ranges[i].addr);
            drop_log(&ranges[i]);
            ranges[i] = ranges[n_ranges - 1];
            __atomic_store_n(&n_ranges, n_ranges - 1, __ATOMIC_RELEASE);
            continue;
        }
        if (n) {
            log_discard(&ranges[i], from, n);
        }
        i++;
    }
    unlock_ranges();
}

void shim_range_replaced(uintptr_t addr, size_t len)
{
    lock_ranges();
    for (unsigned i = 0; i < n_ranges; i++) {
        const char *why = "";
        Range *r = &ranges[i];
        size_t from, n = overlap(r, addr, len, &from);

        if (!n) {
            continue;
        }
        if (r->log->armable &&
            shim_uffd_register(r->addr + from, n, &why) < 0) {
            shim_log("cannot track writes to %zu KiB mapped anew at %#lx: %s",
                     n >> 10, (unsigned long)(r->addr + from), why);
        }
        log_discard(r, from, n);
    }
    unlock_ranges();
}

void shim_discarded(uintptr_t addr, size_t len)
{
    lock_ranges();
    for (unsigned i = 0; i < n_ranges; i++) {
        size_t from, n = overlap(&ranges[i], addr, len, &from);

        if (n) {
            log_discard(&ranges[i], from, n);
        }
    }
    unlock_ranges();
}

void shim_file_discarded(int fd, uint64_t offset, uint64_t len)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return;
    }
    lock_ranges();
    for (unsigned i = 0; i < n_ranges; i++) {
        Range *r = &ranges[i];
        uint64_t start, end;

        if (!r->has_file || r->dev != st.st_dev || r->ino != st.st_ino) {
            continue;
        }
        start = offset > r->offset ? offset - r->offset : 0;
        end = offset + len > r->offset ? offset + len - r->offset : 0;
        if (end > r->len) {
            end = r->len;
        }
        if (start < end) {
            log_discard(r, start, end - start);
        }
    }
    unlock_ranges();
}
