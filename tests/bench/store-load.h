/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Servers to compare, and requests at a depth. */
#ifndef COLO_TESTS_BENCH_STORE_LOAD_H
#define COLO_TESTS_BENCH_STORE_LOAD_H

#include "tests/nbd/server.h"

typedef struct LoadShape {
    guint size;    /* of a request */
    guint depth;   /* requests at a time */
    guint64 bytes; /* in all */
    guint64 disk;  /* within */
    gboolean write, random;
} LoadShape;

/*
 * nbdkit with our plugin, or with its own file plugin (reference), whose
 * export is ""; its image is in dir.  threads: 0: nbdkit's default
 */
Server *bench_server(const char *dir, guint64 size, guint threads,
                     gboolean reference);
void bench_server_free(Server *s);        /* of a reference */
gint64 bench_server_cpu(const Server *s); /* ns so far, of all threads */

/* Data that no two blocks have in common */
void load_fill(Nbd *h, guint64 offset, guint64 len);
/* Bytes per second.  seed: the order of random requests */
double load_run(Nbd *h, const LoadShape *shape, guint seed);

#endif
