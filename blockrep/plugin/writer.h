/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may write to a disk's primary export: one host at a time.
 *
 * The host is that of the connection that wrote first, until all connections
 * that wrote are closed.  Its others may write, too: a client that lost its
 * connection comes back while the old one is still half open.
 */
#ifndef COLO_PLUGIN_WRITER_H
#define COLO_PLUGIN_WRITER_H

#include <glib.h>

typedef struct Writer {
    GMutex lock;
    char *host;        /* NULL: nobody wrote */
    guint connections; /* that wrote */
    guint serial;      /* of the one who may; never 0; also read without lock */
} Writer;

/* A connection's part; begins as zeroes. */
typedef struct WriterClaim {
    guint serial;     /* the writer's when it wrote; requests come in parallel,
                         so atomic access */
    gboolean refused; /* and that was said; lock of the writer */
} WriterClaim;

typedef enum {
    WRITER_OK,
    WRITER_NEW, /* and it is the first one of its host */
    WRITER_REFUSED,
    WRITER_REFUSED_NEW, /* for the first time */
} WriterAnswer;

void writer_init(Writer *w);
void writer_clear(Writer *w);
/* host: of the connection.  A refusal tells in *other who may. */
WriterAnswer writer_ask(Writer *w, WriterClaim *claim, const char *host,
                        char **other);
/* The connection is closed. */
void writer_leave(Writer *w, WriterClaim *claim);
/* Everybody has to ask again. */
void writer_forget(Writer *w);

#endif
