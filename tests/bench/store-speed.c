/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast the epoch store is without NBD, against pread() and pwrite() on a
 * plain file of the same file system: prints one JSON object.
 *
 * Usage: store-speed [FOLDER [MIB [ROUNDS]]], by default the current folder,
 * 256 MiB and 5.  Both in turns, the median of all rounds counts; cpu_ratio is
 * of the processor's time, that others have no part in.  "new" is what nothing
 * was written to before: an image that is a hole, a log without blocks; "again"
 * is written over: the image, or a log of an epoch before.
 */
#include "blockrep/store/store-priv.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    SMALL = 4096,
    MAX_ROUNDS = 99,
    ALIGN = 4096,
    CHECKPOINTS = 200
};

typedef enum {
    WRITE_NEW_1M,
    WRITE_AGAIN_1M,
    WRITE_AGAIN_4K,
    READ_1M,
    READ_4K,
    READ_BASE_1M,
    READ_BASE_4K,
    WRITE_NEW_4K,
    OPS,
} Op;

static const char *const names[OPS] = {
    "write_new_1m", "write_again_1m", "write_again_4k", "read_1m",
    "read_4k",      "read_base_1m",   "read_base_4k",   "write_new_4k",
};

typedef struct Bench {
    const char *dir;
    guint32 mib;
    char *base, *folder, *plain;
    int fd; /* of plain; -1: the store's turn */
    ColoStore *s;
    guint8 *buf;
    guint32 *order; /* of the small blocks */
    guint round;
    guint64 epoch;
    double seal_ms[CHECKPOINTS], load_ms[CHECKPOINTS]; /* of the last round */
    double mb_s[2][OPS][MAX_ROUNDS];                   /* plain, store */
    double cpu[2][OPS][MAX_ROUNDS]; /* MB in a second of this thread's */
} Bench;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void one(Bench *b, gboolean writing, guint32 len, guint64 off)
{
    gssize n = len;

    if (b->fd >= 0) {
        n = writing ? pwrite(b->fd, b->buf, len, (off_t)off)
                    : pread(b->fd, b->buf, len, (off_t)off);
    } else if (writing ? colo_store_write(b->s, COLO_STORE_PRIMARY, b->buf, len,
                                          off, FALSE)
                       : colo_store_read(b->s, COLO_STORE_PRIMARY, b->buf, len,
                                         off)) {
        n = -1;
    }
    if (n != (gssize)len) {
        die(writing ? "write" : "read");
    }
}

static double used(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(Bench *b, Op op, gboolean writing, guint32 len)
{
    guint64 size = (guint64)b->mib * MIB;
    guint32 n = (guint32)(size / len);
    gint64 start;
    double s, cpu;

    sync(); /* what was written before is no load on this */
    cpu = used();
    start = g_get_monotonic_time();
    for (guint32 i = 0; i < n; i++) {
        one(b, writing, len, (guint64)(len == SMALL ? b->order[i] : i) * len);
    }
    s = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;
    b->mb_s[b->fd < 0][op][b->round] = (double)size / 1e6 / s;
    b->cpu[b->fd < 0][op][b->round] = (double)size / 1e6 / (used() - cpu);
}

static int create(const char *path, guint32 mib)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)mib * MIB) < 0) {
        die(path);
    }
    return fd;
}

static void plain_round(Bench *b)
{
    b->fd = create(b->plain, b->mib);
    run(b, WRITE_NEW_1M, TRUE, MIB);
    run(b, WRITE_AGAIN_1M, TRUE, MIB);
    run(b, WRITE_AGAIN_4K, TRUE, SMALL);
    run(b, READ_1M, FALSE, MIB);
    run(b, READ_4K, FALSE, SMALL);
    run(b, READ_BASE_1M, FALSE, MIB);
    run(b, READ_BASE_4K, FALSE, SMALL);
    if (ftruncate(b->fd, 0) < 0 || ftruncate(b->fd, (off_t)b->mib * MIB) < 0) {
        die("truncate");
    }
    run(b, WRITE_NEW_4K, TRUE, SMALL);
    close(b->fd);
    b->fd = -1;
    g_unlink(b->plain);
}

static void seal(Bench *b, guint64 epoch)
{
    if (colo_store_seal(b->s, epoch) || colo_store_load(b->s, epoch) ||
        colo_store_merge(b->s)) {
        die("seal");
    }
}

static double ms_since(gint64 start)
{
    return (double)(g_get_monotonic_time() - start) / 1e3;
}

/* Checkpoints while the ones before are brought to the disk and merged */
static void run_checkpoints(Bench *b)
{
    guint32 blocks = MIN(4096, b->mib * (MIB / SMALL)), at = 0;

    for (guint i = 0; i < CHECKPOINTS; i++) {
        gint64 start;

        for (guint32 n = 0; n < blocks / 2; n++, at++) {
            one(b, TRUE, SMALL, (guint64)b->order[at % blocks] * SMALL);
        }
        start = g_get_monotonic_time();
        if (colo_store_seal(b->s, ++b->epoch)) {
            die("seal");
        }
        b->seal_ms[i] = ms_since(start);
        start = g_get_monotonic_time();
        if (colo_store_load(b->s, b->epoch)) {
            die("load");
        }
        b->load_ms[i] = ms_since(start);
    }
}

static void open_store(Bench *b)
{
    g_autoptr(GError) error = NULL;
    ColoStoreOptions o;

    close(create(b->base, b->mib));
    colo_store_options_default(&o);
    o.base = b->base;
    b->s = colo_store_open(&o, &error);
    if (!b->s) {
        g_printerr("%s\n", error->message);
        exit(1);
    }
    seal(b, 1);
}

static void close_store(Bench *b)
{
    static const char *const files[] = {"state", "lock"};
    g_autoptr(GDir) d = NULL;
    const char *name;

    colo_store_close(b->s);
    d = g_dir_open(b->folder, 0, NULL);
    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(b->folder, name, NULL);

        if (g_strv_contains(files, name) || store_log_number(name)) {
            g_unlink(path);
        }
    }
    g_rmdir(b->folder);
    g_unlink(b->base);
}

/* The log of the epoch before the last is the next one. */
static void use_again(Bench *b)
{
    gboolean dead = TRUE;

    while (dead) {
        g_usleep(10 * 1000);
        g_mutex_lock(&b->s->lock);
        dead = b->s->dead->len > 0;
        g_mutex_unlock(&b->s->lock);
    }
    one(b, TRUE, SMALL, 0);
    seal(b, ++b->epoch);
}

static void store_round(Bench *b)
{
    open_store(b);
    run(b, WRITE_NEW_1M, TRUE, MIB);
    run(b, READ_1M, FALSE, MIB);
    seal(b, b->epoch = 2);
    use_again(b);
    run(b, WRITE_AGAIN_1M, TRUE, MIB);
    seal(b, ++b->epoch);
    use_again(b);
    run(b, WRITE_AGAIN_4K, TRUE, SMALL);
    run(b, READ_4K, FALSE, SMALL);
    seal(b, ++b->epoch);
    run(b, READ_BASE_1M, FALSE, MIB);
    run(b, READ_BASE_4K, FALSE, SMALL);
    close_store(b);
    open_store(b);
    run(b, WRITE_NEW_4K, TRUE, SMALL);
    b->epoch = 1;
    run_checkpoints(b);
    close_store(b);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values, guint n)
{
    qsort(values, n, sizeof(*values), compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void report(Bench *b, guint rounds)
{
    printf("{\"mib\": %u, \"rounds\": %u", b->mib, rounds);
    for (Op op = 0; op < OPS; op++) {
        double plain = median(b->mb_s[0][op], rounds);
        double store = median(b->mb_s[1][op], rounds);
        double cpu =
            median(b->cpu[1][op], rounds) / median(b->cpu[0][op], rounds);

        printf(",\n \"%s\": {\"mb_s\": %.0f, \"reference_mb_s\": %.0f, "
               "\"ratio\": %.2f, \"cpu_ratio\": %.2f}",
               names[op], store, plain, store / plain, cpu);
    }
    printf(",\n \"seal_ms\": {\"p50\": %.3f", median(b->seal_ms, CHECKPOINTS));
    printf(", \"max\": %.3f}", b->seal_ms[CHECKPOINTS - 1]);
    printf(",\n \"load_ms\": {\"p50\": %.3f", median(b->load_ms, CHECKPOINTS));
    printf(", \"max\": %.3f}}\n", b->load_ms[CHECKPOINTS - 1]);
}

int main(int argc, char **argv)
{
    Bench *b = g_new0(Bench, 1);
    guint rounds = argc > 3 ? (guint)atoi(argv[3]) : 5;
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    guint32 n;

    b->dir = argc > 1 ? argv[1] : ".";
    b->mib = argc > 2 ? (guint32)atoi(argv[2]) : 256;
    if (!b->mib || b->mib > 65536 || !rounds || rounds > MAX_ROUNDS) {
        fprintf(stderr, "Usage: store-speed [FOLDER [MIB [ROUNDS]]]\n");
        return 2;
    }
    b->fd = -1;
    b->base = g_build_filename(b->dir, "store-speed.raw", NULL);
    b->plain = g_build_filename(b->dir, "store-speed.plain", NULL);
    b->folder = g_strconcat(b->base, ".colo", NULL);
    b->buf = aligned_alloc(ALIGN, MIB);
    n = b->mib * (MIB / SMALL);
    b->order = g_new(guint32, n);
    for (guint32 i = 0; i < n; i++) {
        b->order[i] = i;
    }
    for (guint32 i = n - 1; i > 0; i--) {
        guint32 j = (guint32)g_rand_int_range(rand, 0, (gint32)i + 1);
        guint32 other = b->order[j];

        b->order[j] = b->order[i];
        b->order[i] = other;
    }
    memset(b->buf, 'b', MIB);
    for (b->round = 0; b->round < rounds; b->round++) {
        plain_round(b);
        store_round(b);
    }
    report(b, rounds);
    g_free(b->base);
    g_free(b->plain);
    g_free(b->folder);
    g_free(b->order);
    free(b->buf);
    g_free(b);
    return 0;
}
