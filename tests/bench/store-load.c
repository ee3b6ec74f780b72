/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests at a depth, from one thread with libnbd. */
#include "tests/bench/store-load.h"

#include <string.h>
#include <time.h>

enum { MAX_DEPTH = 64 };

Server *bench_server(const char *dir, guint64 size, guint threads,
                     gboolean reference)
{
    Server *s = server_new_in(dir, 1, size);

    if (!s) {
        g_printerr("nbdkit was not found: install Debian's package nbdkit\n");
        exit(1);
    }
    s->threads = threads ? threads : SERVER_THREADS_DEFAULT;
    s->reference = reference;
    server_start(s);
    return s;
}

void bench_server_free(Server *s)
{
    server_kill(s);
    server_free(s);
}

gint64 bench_server_cpu(const Server *s)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(s->pid, &clock) || clock_gettime(clock, &t) < 0) {
        g_error("cannot read the time that process %d took", (int)s->pid);
    }
    return (gint64)t.tv_sec * 1000000000 + t.tv_nsec;
}

static char *new_data(guint size)
{
    char *data = g_malloc(size);
    GRand *rand = g_rand_new_with_seed(size);

    for (guint i = 0; i < size; i += 4) {
        guint32 n = g_rand_int(rand);

        memcpy(data + i, &n, 4);
    }
    g_rand_free(rand);
    return data;
}

void load_fill(Nbd *h, guint64 offset, guint64 len)
{
    g_autofree char *data = new_data(MIB);

    for (guint64 done = 0; done < len; done += MIB) {
        memcpy(data, &done, sizeof(done));
        if (nbd_pwrite(h, data, MIN(len - done, MIB), offset + done, 0) < 0) {
            g_error("cannot fill: %s", nbd_get_error());
        }
    }
}

typedef struct Load {
    Nbd *h;
    const LoadShape *shape;
    GRand *rand;
    guint64 next; /* of a sequence */
    char *data[MAX_DEPTH];
    guint under_way;
} Load;

static int on_done(void *user, int *error)
{
    Load *l = user;

    if (*error) {
        g_error("a request failed: %s", g_strerror(*error));
    }
    l->under_way--;
    return 1;
}

/* The buffers go round: requests end about in the order of their begin. */
static void issue(Load *l, guint64 n)
{
    const LoadShape *s = l->shape;
    nbd_completion_callback cb = {.callback = on_done, .user_data = l};
    guint64 blocks = s->disk / s->size;
    guint64 at = (s->random ? (guint64)(g_rand_double(l->rand) * (double)blocks)
                            : l->next++ % blocks) *
                 s->size;
    char *data = l->data[n % s->depth];
    gint64 r = s->write ? nbd_aio_pwrite(l->h, data, s->size, at, cb, 0)
                        : nbd_aio_pread(l->h, data, s->size, at, cb, 0);

    if (r < 0) {
        g_error("cannot send a request: %s", nbd_get_error());
    }
    l->under_way++;
}

double load_run(Nbd *h, const LoadShape *shape, guint seed)
{
    Load l = {.h = h, .shape = shape, .rand = g_rand_new_with_seed(seed)};
    guint64 n = shape->bytes / shape->size;
    gint64 begin;
    double us;

    for (guint i = 0; i < shape->depth; i++) {
        l.data[i] = new_data(shape->size);
    }
    begin = g_get_monotonic_time();
    for (guint64 i = 0; i < n || l.under_way;) {
        while (i < n && l.under_way < shape->depth) {
            issue(&l, i++);
        }
        if (l.under_way && nbd_poll(h, 30000) <= 0) {
            g_error("no answer: %s", nbd_get_error());
        }
        while (nbd_aio_peek_command_completed(h) > 0) {
            nbd_aio_command_completed(
                h, (guint64)nbd_aio_peek_command_completed(h));
        }
    }
    us = (double)(g_get_monotonic_time() - begin);
    for (guint i = 0; i < shape->depth; i++) {
        g_free(l.data[i]);
    }
    g_rand_free(l.rand);
    return (double)(n * shape->size) / us * 1e6;
}
