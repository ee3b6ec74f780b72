/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the epoch store costs: reads and writes over NBD beside nbdkit's file
 * plugin, which has an image of the same size on the same file system; both in
 * turns, so that both see the same machine.  And how long a seal and a replay
 * take.
 *
 * Writes are those of the primary's guest between two checkpoints, into the
 * log; each round's are loaded and merged before the next one.  Reads are the
 * secondary's, from the image, and from the log that was not merged yet.
 * ratio and cpu_ratio are medians of the rounds'; the latter is of the server's
 * processor time, which others on the machine have little part in: 1 is as much
 * as the reference takes, less is more.
 */
#include "tests/bench/bench.h"
#include "tests/bench/store-load.h"

#include <string.h>

enum { MAX_ROUNDS = 99 };

static char *op, *dir;
static int disk = 512, rounds = 9, threads = -1;

static const GOptionEntry entries[] = {
    {"op", 0, 0, G_OPTION_ARG_STRING, &op,
     "read, write, seal, replay or all (all)", "OP"},
    {"disk", 0, 0, G_OPTION_ARG_INT, &disk, "the disk's size (512)", "MIB"},
    {"rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "of each of both (9)", "N"},
    {"threads", 0, 0, G_OPTION_ARG_INT, &threads,
     "of nbdkit; 0: its default (both 1 and 0)", "N"},
    {"dir", 0, 0, G_OPTION_ARG_FILENAME, &dir,
     "where the images are (the working folder)", "DIR"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

typedef struct Pair {
    Server *store, *file;
    guint64 epoch;
} Pair;

static void put_common(GString *o, const char *what)
{
    bench_put_string(o, "bench", "store");
    bench_put_string(o, "op", what);
}

static void seal(Pair *p)
{
    Nbd *cut = client_new(p->store, "checkpoint");

    client_seal(cut, ++p->epoch);
    client_free(cut);
}

/* What is pending becomes part of the image. */
static void merge(Pair *p)
{
    seal(p);
    server_do(p->store, "disk-commit", "{\"epoch\":%" G_GUINT64_FORMAT "}",
              p->epoch);
    server_do(p->store, "disk-load", "{\"epoch\":%" G_GUINT64_FORMAT "}",
              p->epoch);
    while (server_number(p->store, 0, "sealed")) {
        g_usleep(10000);
    }
}

static void pair_start(Pair *p, guint n)
{
    Nbd *h;

    *p = (Pair){.store = bench_server(dir, (guint64)disk * MIB, n, FALSE),
                .file = bench_server(dir, (guint64)disk * MIB, n, TRUE)};
    server_begin(p->store);
    /* The first copy: no image of both has holes. */
    h = client_new(p->store, "vda");
    load_fill(h, 0, (guint64)disk * MIB);
    client_free(h);
    h = client_new(p->file, "");
    load_fill(h, 0, (guint64)disk * MIB);
    client_free(h);
    merge(p);
}

static void pair_end(Pair *p)
{
    server_free(p->store);
    bench_server_free(p->file);
}

/* What both took in the rounds */
typedef struct Figures {
    Samples *ours, *reference; /* bytes per second */
    Samples *ratio, *cpu;      /* the same of their processor's time */
} Figures;

/* Whose turn it is */
static double turn(Server *s, Nbd *h, const LoadShape *shape, guint seed,
                   gint64 *cpu)
{
    gint64 before = bench_server_cpu(s);
    double rate = load_run(h, shape, seed);

    *cpu = bench_server_cpu(s) - before;
    return rate;
}

static void round_of_both(Pair *p, Nbd *a, Nbd *b, const LoadShape *shape,
                          guint i, Figures *f)
{
    gint64 cpu_a, cpu_b;
    double x, y = 0;

    if (shape->write) {
        /* Both begin with what they hold on the disk. */
        merge(p);
        if (nbd_flush(b, 0) < 0) {
            g_error("cannot flush: %s", nbd_get_error());
        }
    }
    if (i & 1) {
        y = turn(p->file, b, shape, i, &cpu_b);
    }
    x = turn(p->store, a, shape, i, &cpu_a);
    if (!(i & 1)) {
        y = turn(p->file, b, shape, i, &cpu_b);
    }
    samples_add(f->ours, x);
    samples_add(f->reference, y);
    samples_add(f->ratio, x / y);
    samples_add(f->cpu, (double)cpu_b / (double)cpu_a);
}

static double middle(Samples *s)
{
    double value = samples_quantile(s, 0.5);

    samples_free(s);
    return value;
}

/* One kind of load on both, in turns; from: where the store finds it */
static void compare(Pair *p, guint n, const LoadShape *shape, const char *from)
{
    const char *view = shape->write ? "vda/primary" : "vda/secondary";
    Figures f = {samples_new(), samples_new(), samples_new(), samples_new()};
    g_autoptr(GString) o = g_string_new(NULL);
    Nbd *a = client_new(p->store, view), *b = client_new(p->file, "");
    double rate;

    load_run(a, shape, 0); /* not counted */
    load_run(b, shape, 0);
    for (guint i = 1; i <= (guint)rounds; i++) {
        round_of_both(p, a, b, shape, i, &f);
    }
    client_free(a);
    client_free(b);
    rate = middle(f.ours);
    put_common(o, shape->write ? "write" : "read");
    bench_put_string(o, "pattern", shape->random ? "random" : "sequential");
    bench_put_int(o, "size", shape->size);
    bench_put_int(o, "depth", shape->depth);
    bench_put_int(o, "threads", n);
    bench_put_string(o, "from", from);
    bench_put_number(o, "mb_s", rate / 1e6);
    bench_put_number(o, "iops", rate / shape->size);
    bench_put_number(o, "reference_mb_s", middle(f.reference) / 1e6);
    bench_put_number(o, "ratio", middle(f.ratio));
    bench_put_number(o, "cpu_ratio", middle(f.cpu));
    bench_print(o);
}

static void compare_all(Pair *p, guint n, gboolean write, const char *from)
{
    static const LoadShape shapes[] = {
        {.size = 1 << 20, .depth = 1, .bytes = 128 * MIB},
        {.size = 1 << 20, .depth = 16, .bytes = 128 * MIB},
        {.size = 4096, .depth = 1, .bytes = 16 * MIB, .random = TRUE},
        {.size = 4096, .depth = 16, .bytes = 32 * MIB, .random = TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
        LoadShape shape = shapes[i];

        shape.write = write;
        shape.disk = (guint64)disk * MIB;
        compare(p, n, &shape, from);
    }
}

/* Into the log of the newest epoch, behind what the image holds */
static void fill_log(Pair *p, guint64 mib)
{
    Nbd *h = client_new(p->store, "vda/primary");

    for (guint64 done = 0; done < mib; done += (guint64)disk) {
        load_fill(h, 0, MIN(mib - done, (guint64)disk) * MIB);
    }
    client_free(h);
}

static void measure_rw(guint n, gboolean reads, gboolean writes)
{
    Pair p;

    pair_start(&p, n);
    if (writes) {
        compare_all(&p, n, TRUE, "log");
        merge(&p);
    }
    if (reads) {
        Nbd *h;

        compare_all(&p, n, FALSE, "image");
        h = client_new(p.store, "vda/secondary");
        load_fill(h, 0, (guint64)disk * MIB);
        client_free(h);
        compare_all(&p, n, FALSE, "log");
    }
    pair_end(&p);
}

static void measure_seals(void)
{
    static const guint sizes[] = {1, 64, 1024};
    static const int times[] = {30, 20, 6};
    Pair p = {.store = bench_server(dir, (guint64)disk * MIB, 1, FALSE)};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GString) o = g_string_new(NULL);
        Samples *ms = samples_new();

        for (int k = 0; k < times[i]; k++) {
            gint64 begin;
            Nbd *cut;

            server_begin(p.store);
            p.epoch = 0;
            seal(&p);
            fill_log(&p, sizes[i]);
            cut = client_new(p.store, "checkpoint");
            begin = g_get_monotonic_time();
            client_seal(cut, ++p.epoch);
            samples_add(ms, (double)(g_get_monotonic_time() - begin) / 1000);
            client_free(cut);
        }
        put_common(o, "seal");
        bench_put_int(o, "pending_mib", sizes[i]);
        bench_put_samples(o, "ms", ms, TRUE);
        bench_print(o);
        samples_free(ms);
    }
    server_free(p.store);
}

/* From the death of a server until another one has the disk open */
static void measure_replay(guint size)
{
    Pair p = {.store = bench_server(dir, (guint64)disk * MIB, 1, FALSE)};
    LoadShape shape = {.size = size,
                       .depth = 16,
                       .bytes = 1024 * MIB,
                       .write = TRUE,
                       .random = size < MIB,
                       .disk = (guint64)disk * MIB};
    g_autoptr(GString) o = g_string_new(NULL);
    Samples *ms = samples_new();
    Nbd *h;

    server_begin(p.store);
    seal(&p);
    h = client_new(p.store, "vda/primary");
    load_run(h, &shape, 1);
    client_free(h);
    for (int i = 0; i < 3; i++) {
        gint64 begin;

        server_kill(p.store);
        begin = g_get_monotonic_time();
        server_start(p.store);
        samples_add(ms, (double)(g_get_monotonic_time() - begin) / 1000);
    }
    put_common(o, "replay");
    bench_put_int(o, "mib", 1024);
    bench_put_int(o, "size", size);
    bench_put_samples(o, "ms", ms, TRUE);
    bench_print(o);
    samples_free(ms);
    server_free(p.store);
}

int main(int argc, char **argv)
{
    static const guint both[] = {1, 0};
    gboolean all;

    bench_parse("Reads and writes of the epoch store over NBD beside nbdkit's "
                "file plugin; seals; replays.",
                entries, argc, argv);
    op = op ? op : g_strdup("all");
    all = g_str_equal(op, "all");
    if (!all && !g_str_equal(op, "read") && !g_str_equal(op, "write") &&
        !g_str_equal(op, "seal") && !g_str_equal(op, "replay")) {
        bench_choice("op", op, "read", "write");
    }
    bench_range("disk", disk, 64, 1 << 20);
    bench_range("rounds", rounds, 1, MAX_ROUNDS);
    bench_range("threads", threads, -1, 64);
    dir = dir ? dir : g_get_current_dir();
    for (gsize i = 0; i < G_N_ELEMENTS(both); i++) {
        gboolean reads = all || g_str_equal(op, "read");
        gboolean writes = all || g_str_equal(op, "write");

        if ((reads || writes) && (threads < 0 || i == 0)) {
            measure_rw(threads < 0 ? both[i] : (guint)threads, reads, writes);
        }
    }
    if (all || g_str_equal(op, "seal")) {
        measure_seals();
    }
    if (all || g_str_equal(op, "replay")) {
        measure_replay(1 << 20);
        measure_replay(4096);
    }
    return 0;
}
