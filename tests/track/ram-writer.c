/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for QEMU in the tests of dirty tracking: maps "guest RAM" the
 * way QEMU does and changes it in every way that QEMU does, on command.
 *
 *   ram-writer memfd|anon|huge|PATH MIB
 *
 * says "ram ADDR FD" (FD -1: anonymous), then answers each line of stdin
 * with one line, "ok" or "error TEXT".  Commands are in the table at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE    4096u
#define THREADS 3
#define IO_MAX  64u /* pages of one read */

static uint8_t *ram;
static size_t n_pages;
static int ram_fd = -1;

/* The threads write while running; idle says how many do not. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool running, balloon;
static unsigned idle;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fill(void *to, uint64_t seed)
{
    uint64_t state = seed * 2654435761u + 1;

    for (unsigned i = 0; i < PAGE / 8; i++) {
        uint64_t v = next_random(&state);

        memcpy((uint8_t *)to + i * 8, &v, 8);
    }
}

/* As QEMU gives memory of a balloon back: ram_block_discard_range(). */
static int discard(size_t page, size_t n)
{
    void *addr = ram + page * PAGE;

    if (ram_fd < 0) {
        return madvise(addr, n * PAGE, MADV_REMOVE);
    }
    if (fallocate(ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(page * PAGE), (off_t)(n * PAGE)) < 0) {
        return -1;
    }
    return madvise(addr, n * PAGE, MADV_DONTNEED);
}

/* One change somewhere; half of them among few pages, as programs do. */
static void change(uint64_t *state)
{
    uint64_t r = next_random(state);
    size_t page = (r >> 32) % (r & 1 ? n_pages : n_pages / 64);
    volatile uint64_t *words = (volatile uint64_t *)(ram + page * PAGE);

    if (balloon && (r & 0xff) == 2) {
        if (discard(page, 1) < 0) {
            abort();
        }
    } else if ((r & 0x1e) == 0) {
        fill(ram + page * PAGE, r);
    } else {
        words[(r >> 8) % (PAGE / 8)] = r;
    }
}

static void *writer(void *seed)
{
    uint64_t state = (uintptr_t)seed;

    pthread_mutex_lock(&lock);
    for (;;) {
        while (!running) {
            idle++;
            pthread_cond_broadcast(&changed);
            while (!running) {
                pthread_cond_wait(&changed, &lock);
            }
            idle--;
        }
        pthread_mutex_unlock(&lock);
        for (int i = 0; i < 64; i++) {
            change(&state);
        }
        /* Not faster than what is tested can copy. */
        usleep(50);
        pthread_mutex_lock(&lock);
    }
    return NULL;
}

static int start_threads(void)
{
    pthread_t thread;

    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, writer, (void *)(i + 77)) != 0) {
            return -1;
        }
    }
    return 0;
}

static void set_running(bool on)
{
    pthread_mutex_lock(&lock);
    running = on;
    pthread_cond_broadcast(&changed);
    while (!on && idle < THREADS) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static int cmd_run(size_t with_balloon, size_t unused)
{
    balloon = with_balloon;
    set_running(true);
    return 0;
}

static int cmd_pause(size_t unused1, size_t unused2)
{
    set_running(false);
    return 0;
}

static int cmd_write(size_t page, size_t n)
{
    static uint64_t seed;

    for (size_t i = 0; i < n; i++) {
        fill(ram + (page + i) * PAGE, ++seed);
    }
    return 0;
}

static int cmd_touch(size_t page, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)*(volatile uint8_t *)(ram + (page + i) * PAGE);
    }
    return 0;
}

static int cmd_dontneed(size_t page, size_t n)
{
    return madvise(ram + page * PAGE, n * PAGE, MADV_DONTNEED);
}

static int cmd_remove(size_t page, size_t n)
{
    return madvise(ram + page * PAGE, n * PAGE, MADV_REMOVE);
}

static int cmd_zero_range(size_t page, size_t n)
{
    return fallocate(ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(page * PAGE), (off_t)(n * PAGE));
}

/* A disk read into guest RAM: preadv(2), with or without the page cache. */
static int read_disk(size_t page, size_t n, int flags)
{
    static uint64_t seed = UINT64_C(1) << 40;
    static _Alignas(PAGE) uint8_t content[IO_MAX * PAGE];
    char disk[] = "disk.XXXXXX";
    size_t bytes = n * PAGE;
    struct iovec iov[2];
    int made, fd, err;
    ssize_t done = -1;

    if (n > IO_MAX || (made = mkstemp(disk)) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        fill(content + i * PAGE, ++seed);
    }
    fd = open(disk, O_RDWR | flags);
    err = errno;
    unlink(disk);
    close(made);
    errno = err;
    if (fd < 0 || pwrite(fd, content, bytes, 0) != (ssize_t)bytes) {
        return -1;
    }
    iov[0] = (struct iovec){ram + page * PAGE, PAGE};
    iov[1] = (struct iovec){ram + (page + 1) * PAGE, bytes - PAGE};
    done = preadv(fd, iov, n > 1 ? 2 : 1, 0);
    /* With O_DIRECT it stays open, as a disk of QEMU's does. */
    if (!flags) {
        close(fd);
    }
    return done == (ssize_t)bytes ? 0 : -1;
}

static int cmd_read(size_t page, size_t n)
{
    return read_disk(page, n, 0);
}

static int cmd_direct_read(size_t page, size_t n)
{
    return read_disk(page, n, O_DIRECT);
}

/* Run a program, as QEMU runs helper scripts; its exit code must be 0. */
static int cmd_helper(size_t unused1, size_t unused2)
{
    int status = system("case \"$LD_PRELOAD\" in *colotrack*) exit 3;; esac; "
                        "! ls -l /proc/self/fd | "
                        "grep -e userfaultfd -e colotrack >&2");

    errno = ECHILD;
    return status == 0 ? 0 : -1;
}

/* A child that lives on without exec, while we go on writing. */
static int cmd_fork(size_t unused1, size_t unused2)
{
    pid_t pid = fork();

    if (pid == 0) {
        void *p = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        /* Its own "RAM" is its own; ending must not hurt the parent. */
        if (p == MAP_FAILED) {
            _exit(1);
        }
        memset(p, 1, 32 << 20);
        munmap(p, 32 << 20);
        _exit(0);
    }
    int status = 0;

    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        errno = ECHILD;
        return -1;
    }
    return 0;
}

/* Replace a part of the RAM by the same memory: qemu_ram_remap(). */
static int cmd_remap(size_t page, size_t n)
{
    return mmap(ram + page * PAGE, n * PAGE, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_FIXED, ram_fd,
                (off_t)(page * PAGE)) == MAP_FAILED
               ? -1
               : 0;
}

static int cmd_unmap(size_t unused1, size_t unused2)
{
    return munmap(ram, n_pages * PAGE);
}

static const struct Command {
    const char *name;
    int (*run)(size_t page, size_t n);
} commands[] = {
    {"run", cmd_run},           {"pause", cmd_pause},
    {"write", cmd_write},       {"touch", cmd_touch},
    {"discard", discard},       {"dontneed", cmd_dontneed},
    {"remove", cmd_remove},     {"punch", cmd_zero_range},
    {"read", cmd_read},         {"direct-read", cmd_direct_read},
    {"helper", cmd_helper},     {"fork", cmd_fork},
    {"remap", cmd_remap},       {"unmap", cmd_unmap},
};

static int make_ram(const char *kind, size_t bytes)
{
    int flags = MAP_SHARED | MAP_FIXED;
    uint8_t *reserved;

    if (!strcmp(kind, "anon")) {
        flags |= MAP_ANONYMOUS;
    } else if (!strcmp(kind, "memfd")) {
        ram_fd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);
    } else if (!strcmp(kind, "huge")) {
        ram_fd = memfd_create("memory-backend-memfd",
                              MFD_CLOEXEC | MFD_HUGETLB);
    } else {
        ram_fd = open(kind, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (!(flags & MAP_ANONYMOUS) &&
        (ram_fd < 0 || ftruncate(ram_fd, (off_t)bytes) < 0)) {
        return -1;
    }
    /* QEMU's way: reserve, aligned to 2 MiB, then map over it. */
    reserved = mmap(NULL, bytes + (2 << 20), PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return -1;
    }
    ram = (uint8_t *)(((uintptr_t)reserved + (2 << 20) - 1) &
                      ~(uintptr_t)((2 << 20) - 1));
    return mmap(ram, bytes, PROT_READ | PROT_WRITE, flags, ram_fd, 0) == ram
               ? 0
               : -1;
}

static void obey(const char *line)
{
    char name[32];
    size_t page = 0, n = 1;

    if (sscanf(line, "%31s %zu %zu", name, &page, &n) < 1 || page > n_pages ||
        n > n_pages - page) {
        printf("error bad command\n");
        return;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(name, commands[i].name)) {
            if (commands[i].run(page, n) < 0) {
                printf("error %s: %s\n", name, strerror(errno));
            } else {
                printf("ok\n");
            }
            return;
        }
    }
    printf("error no such command\n");
}

int main(int argc, char **argv)
{
    char line[256];
    size_t mib = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

    if (mib < 1 || mib > 4096) {
        fprintf(stderr, "usage: ram-writer memfd|anon|huge|PATH MIB\n");
        return 2;
    }
    n_pages = (mib << 20) / PAGE;
    if (make_ram(argv[1], mib << 20) < 0 || start_threads() < 0) {
        perror("ram-writer: cannot start");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ram %" PRIxPTR " %d\n", (uintptr_t)ram, ram_fd);
    while (fgets(line, sizeof(line), stdin)) {
        obey(line);
    }
    return 0;
}
