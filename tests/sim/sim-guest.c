/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu's guest.
 *
 * Theory of operation: a chain of steps.  Each takes a few pages at random
 * (its random numbers are part of its state), takes their content into the
 * chain's hash, and writes them anew: whole, a word of them, or zeroes.
 * The CPU keeps the sum of the hashes of all pages.  So one page from
 * another moment than the CPU's state, whole or torn, makes a sum that is
 * not the CPU's: all pages are summed up anew before the first step after
 * each load and reset, and each CHECK_STEPS steps.  With its disks it does the
 * same, a block in each step.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/sim/sim-disk.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    PAGES_A_STEP = 2,
    LOG_STEPS = 10,
    CHECK_STEPS = 1000,
    SCRIBBLED = 24,
};

/* All of it little endian and without padding, as it is in the stream. */
typedef struct SimCpu {
    guint64 boot; /* resets so far */
    guint64 step;
    guint64 hash;
    guint64 rng;
    guint64 sum; /* of all pages' hashes */
    guint64 disk_sums[SIM_MAX_DISKS]; /* of all blocks' */
} SimCpu;

/*
 * lock: cpu, running, verify, broken; held by the vCPU during a step, so
 * whoever has it sees the guest between two steps.  Status belongs to the
 * main thread.
 */
/* GLib's, for a pthread_cond_t loses wake-ups in glibc 2.36 (its bug 25847). */
static GMutex lock;
static GCond wake;
static SimCpu cpu;
static gboolean running, verify, broken;
static const char *status = "prelaunch";

static guint8 *ram;
static guint64 n_pages;
static int log_fd = -1;
static pid_t vcpu_tid;

static void write_line(const char *word, const char *detail)
{
    char line[256];
    struct timespec t;
    int n;

    clock_gettime(CLOCK_REALTIME, &t);
    n = snprintf(line, sizeof(line), "%lld.%06ld %s %llu %016llx %s\n",
                 (long long)t.tv_sec, t.tv_nsec / 1000, word,
                 (unsigned long long)cpu.step, (unsigned long long)cpu.hash,
                 detail);
    if (log_fd >= 0 && write(log_fd, line, n) != n) {
        abort();
    }
}

void sim_log(const char *word, const char *detail)
{
    g_mutex_lock(&lock);
    write_line(word, detail);
    g_mutex_unlock(&lock);
}

static guint64 next_random(void)
{
    /* SplitMix64 */
    guint64 z = cpu.rng += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static guint64 page_hash(guint64 page)
{
    return XXH3_64bits_withSeed(ram + page * PAGE, PAGE, page + 1);
}

static guint64 all_pages(void)
{
    guint64 sum = 0;

    for (guint64 i = 0; i < n_pages; i++) {
        sum += page_hash(i);
    }
    return sum;
}

/* --- For whoever has to find out why: which pages? --- */

static char *pages_file(void)
{
    return g_strdup_printf("%s/%llu-%016llx", sim_options.pages,
                           (unsigned long long)cpu.step,
                           (unsigned long long)cpu.hash);
}

static void keep_pages(void)
{
    g_autofree char *path = pages_file();
    g_autofree guint64 *hashes = g_new(guint64, n_pages);

    for (guint64 i = 0; i < n_pages; i++) {
        hashes[i] = page_hash(i);
    }
    g_file_set_contents(path, (char *)hashes, n_pages * sizeof(*hashes), NULL);
}

static void name_pages(void)
{
    g_autofree char *path = pages_file();
    g_autofree char *hashes = NULL;
    gsize len;

    if (!g_file_get_contents(path, &hashes, &len, NULL)) {
        return;
    }
    for (guint64 i = 0, n = 0; i < len / 8 && n < 32; i++) {
        if (((guint64 *)hashes)[i] != page_hash(i)) {
            char detail[32];

            snprintf(detail, sizeof(detail), "%llu", (unsigned long long)i);
            write_line("page", detail);
            n++;
        }
    }
}

/* --- Disks --- */

static guint64 block_hash(guint block, const guint8 *data)
{
    return XXH3_64bits_withSeed(data, SIM_BLOCK, block + 1);
}

static void disk_failed(void)
{
    if (!broken) {
        broken = TRUE;
        write_line("BROKEN", sim_disk_error);
    }
}

static guint64 all_blocks(SimDisk *d)
{
    guint8 data[SIM_BLOCK];
    guint64 sum = 0;

    for (guint i = 0; i < SIM_BLOCKS; i++) {
        if (!sim_disk_read(d, i, data)) {
            disk_failed();
            return 0;
        }
        sum += block_hash(i, data);
    }
    return sum;
}

static void check_disks(void)
{
    for (guint i = 0; i < sim_n_disks && !broken; i++) {
        if (all_blocks(&sim_disks[i]) != cpu.disk_sums[i] && !broken) {
            broken = TRUE;
            write_line("BROKEN", "DISK BROKEN: disk and CPU are not of one "
                                 "moment");
        }
    }
}

static void step_disk(void)
{
    guint64 r = next_random();
    guint i = (guint)(cpu.step % sim_n_disks);
    guint block = (guint)(r % SIM_BLOCKS);
    guint64 data[SIM_BLOCK / 8], old;

    if (!sim_disk_read(&sim_disks[i], block, (guint8 *)data)) {
        disk_failed();
        return;
    }
    old = block_hash(block, (guint8 *)data);
    cpu.hash = (cpu.hash ^ old) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    for (guint k = 0; k < SIM_BLOCK / 8; k++) {
        data[k] = cpu.hash + k * r;
    }
    if (!sim_disk_write(&sim_disks[i], block, (guint8 *)data)) {
        disk_failed();
        return;
    }
    cpu.disk_sums[i] += block_hash(block, (guint8 *)data) - old;
}

static void check(void)
{
    if (!broken) {
        check_disks();
    }
    if (!broken && all_pages() != cpu.sum) {
        broken = TRUE;
        write_line("BROKEN", "CHAIN BROKEN: RAM and CPU are not of one moment");
        if (sim_options.pages) {
            name_pages();
        }
    }
}

static void fill(guint64 page, guint64 value)
{
    guint64 *word = (guint64 *)(ram + page * PAGE);

    for (int i = 0; i < PAGE / 8; i++) {
        word[i] = value += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    }
}

static void step(void)
{
    for (int i = 0; i < PAGES_A_STEP; i++) {
        guint64 r = next_random(), page = (r >> 8) % n_pages;
        guint64 old = page_hash(page);

        cpu.hash = (cpu.hash ^ old) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
        cpu.hash ^= cpu.hash >> 29;
        switch (r % 8) {
        case 0:
            memset(ram + page * PAGE, 0, PAGE);
            break;
        case 1:
        case 2:
            *(guint64 *)(ram + page * PAGE + (r >> 56) * 16) = cpu.hash;
            break;
        default:
            fill(page, cpu.hash);
        }
        cpu.sum += page_hash(page) - old;
    }
    if (sim_n_disks) {
        step_disk();
    }
    cpu.rng ^= (guint64)sim_options.salt;
    cpu.step++;
    if (cpu.step % CHECK_STEPS == 0) {
        check();
    }
    if (cpu.step % LOG_STEPS == 0) {
        write_line(broken ? "astray" : "chain", "");
    }
}

static gpointer vcpu(gpointer arg)
{
    struct timespec pause = {0, sim_options.step_us * 1000L};

    g_mutex_lock(&lock);
    vcpu_tid = syscall(SYS_gettid);
    g_cond_broadcast(&wake);
    for (;;) {
        while (!running) {
            g_cond_wait(&wake, &lock);
        }
        if (verify) {
            verify = FALSE;
            check();
            write_line("resumed", broken ? "broken" : "");
            continue;
        }
        step();
        g_mutex_unlock(&lock);
        nanosleep(&pause, NULL);
        g_mutex_lock(&lock);
    }
    return NULL;
}

void sim_guest_boot(void)
{
    guint64 boot = cpu.boot + 1;
    SimCpu last = cpu;

    cpu = (SimCpu){.boot = boot, .rng = (guint64)sim_options.seed + boot};
    memcpy(cpu.disk_sums, last.disk_sums, sizeof(cpu.disk_sums));
    for (guint64 i = 0; i < n_pages; i++) {
        guint64 r = next_random();

        if (r % 4) {
            fill(i, r);
        } else {
            memset(ram + i * PAGE, 0, PAGE);
        }
    }
    cpu.sum = all_pages();
}

void sim_guest_start(void)
{
    gsize bytes = (gsize)sim_options.ram_mib << 20;
    int fd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, bytes) < 0 ||
        (ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) ==
            MAP_FAILED) {
        perror("sim-qemu: RAM");
        exit(1);
    }
    /* As QEMU does, the descriptor stays open. */
    n_pages = (bytes - ((gsize)sim_options.spare_mib << 20)) / PAGE;
    /* Guests with other input wrote others of them. */
    for (guint64 i = n_pages + (guint64)sim_options.salt % 2; i < bytes / PAGE;
         i += 2) {
        fill(i, i + (guint64)sim_options.seed);
    }
    if (sim_options.log) {
        log_fd = open(sim_options.log,
                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (log_fd < 0) {
            perror("sim-qemu: log");
            exit(1);
        }
    }
    /* What is behind NBD is loaded before it runs. */
    for (guint i = 0; i < sim_n_disks; i++) {
        cpu.disk_sums[i] = sim_disks[i].nbd ? 0 : all_blocks(&sim_disks[i]);
    }
    sim_guest_boot();
    write_line("boot", "");
    g_thread_unref(g_thread_new("CPU 0/TCG", vcpu, NULL));
    g_mutex_lock(&lock);
    while (!vcpu_tid) {
        g_cond_wait(&wake, &lock);
    }
    g_mutex_unlock(&lock);
}

void sim_guest_lock(void)
{
    g_mutex_lock(&lock);
}

void sim_guest_unlock(void)
{
    g_mutex_unlock(&lock);
}

void sim_guest_check(void)
{
    g_mutex_lock(&lock);
    verify = TRUE;
    g_mutex_unlock(&lock);
}

void sim_guest_discard(void)
{
    if (madvise(ram + n_pages * PAGE, (gsize)sim_options.spare_mib << 20,
                MADV_REMOVE) < 0) {
        abort();
    }
}

gboolean sim_guest_running(void)
{
    return g_str_equal(status, "running");
}

const char *sim_guest_status(void)
{
    return status;
}

void *sim_guest_ram(void)
{
    return ram;
}

pid_t sim_guest_thread(void)
{
    return vcpu_tid;
}

void sim_guest_stop(const char *why)
{
    g_mutex_lock(&lock);
    running = FALSE;
    g_mutex_unlock(&lock);
    status = why;
}

void sim_guest_cont(void)
{
    g_mutex_lock(&lock);
    running = TRUE;
    status = "running";
    g_cond_broadcast(&wake);
    g_mutex_unlock(&lock);
}

/* Firmware tables and option ROMs land here and there. */
void sim_guest_scribble(void)
{
    guint64 page = 0;

    g_mutex_lock(&lock);
    for (int i = 0; i < SCRIBBLED; i++) {
        page = (page + 1 + (guint64)random() % (n_pages / 16)) % n_pages;
        if (sim_options.pages) {
            char detail[32];

            snprintf(detail, sizeof(detail), "%llu", (unsigned long long)page);
            write_line("scribble", detail);
        }
        fill(page, (guint64)random() << 32 | (guint64)random());
    }
    g_mutex_unlock(&lock);
}

/* The rest of the device state: all of it follows from the CPU's. */
static void add_filler(GByteArray *out, const SimCpu *of, guint32 bytes)
{
    guint64 v = of->hash ^ of->step;
    gsize from = out->len;

    g_byte_array_set_size(out, from + bytes);
    for (guint32 i = 0; i < bytes; i++) {
        v = v * G_GUINT64_CONSTANT(6364136223846793005) + 1442695040888963407;
        out->data[from + i] = v >> 56;
    }
}

GByteArray *sim_guest_save(void)
{
    GByteArray *out = g_byte_array_new();
    guint32 filler = sim_options.device_bytes;
    char detail[64];
    guint64 digest;

    g_mutex_lock(&lock);
    g_byte_array_append(out, (guint8 *)&cpu, sizeof(cpu));
    g_byte_array_append(out, (guint8 *)&filler, sizeof(filler));
    add_filler(out, &cpu, filler);
    digest = XXH3_64bits(out->data, out->len);
    g_byte_array_append(out, (guint8 *)&digest, sizeof(digest));
    snprintf(detail, sizeof(detail), "sum=%016llx boot=%llu",
             (unsigned long long)cpu.sum, (unsigned long long)cpu.boot);
    write_line("save", detail);
    if (sim_options.pages) {
        keep_pages();
    }
    g_mutex_unlock(&lock);
    return out;
}

gboolean sim_guest_load(const guint8 *data, gsize len, const char **why)
{
    guint64 digest;
    char detail[64];

    if (len < sizeof(SimCpu) + sizeof(guint32) + sizeof(digest)) {
        *why = "the CPU's section is cut off";
        return FALSE;
    }
    memcpy(&digest, data + len - sizeof(digest), sizeof(digest));
    if (digest != XXH3_64bits(data, len - sizeof(digest))) {
        *why = "the CPU's section is mixed up";
        return FALSE;
    }
    g_mutex_lock(&lock);
    memcpy(&cpu, data, sizeof(cpu));
    verify = TRUE;
    broken = FALSE;
    snprintf(detail, sizeof(detail), "sum=%016llx boot=%llu",
             (unsigned long long)cpu.sum, (unsigned long long)cpu.boot);
    write_line("load", detail);
    g_mutex_unlock(&lock);
    return TRUE;
}
