/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may write to a disk's primary export: one host at a time.
 *
 * The host is that of the connection that wrote first, until all connections
 * that wrote are closed.  Its others may write, too: a client that lost its
 * connection comes back while the old one is still half open.  What the old one
 * had sent must then not come after what the new one sends, or an old version
 * of a block would take the place of a newer.  So a connection that was opened
 * when another had written already supersedes that by its first write: it waits
 * for what is under way there, and nothing more is taken from it.  (A client
 * with several connections opens them all before it writes.)
 *
 * A connection's requests come from several threads.
 */
#ifndef COLO_PLUGIN_WRITER_H
#define COLO_PLUGIN_WRITER_H

#include <glib.h>

typedef struct Writer {
    GMutex lock;
    GCond idle;        /* a superseded connection has nothing under way */
    char *host;        /* NULL: nobody wrote */
    GPtrArray *claims; /* WriterClaim: open connections that wrote */
    guint serial;      /* of the one who may; never 0; also read without lock */
    guint64 stamp;     /* grows with each connection and each first write */
} Writer;

/* A connection's part */
typedef struct WriterClaim {
    gint serial;     /* atomic: the writer's when it wrote */
    gint under_way;  /* atomic: writes */
    gint superseded; /* atomic */
    guint64 opened, claimed; /* stamps; lock of the writer, as what follows */
    gboolean refused;        /* and that was said */
} WriterClaim;

typedef enum {
    WRITER_OK,
    WRITER_NEW, /* and it is the first one of its host */
    WRITER_REFUSED,
    WRITER_REFUSED_NEW, /* for the first time */
    WRITER_SUPERSEDED,
} WriterAnswer;

void writer_init(Writer *w);
void writer_clear(Writer *w);
/* A connection is opened, and closed; nothing of it is under way then. */
void writer_open(Writer *w, WriterClaim *claim);
void writer_close(Writer *w, WriterClaim *claim);
/*
 * A write begins; host: of the connection.  After OK and NEW writer_end() has
 * to follow.  A refusal tells in *other who may.
 */
WriterAnswer writer_begin(Writer *w, WriterClaim *claim, const char *host,
                          char **other);
void writer_end(Writer *w, WriterClaim *claim);
/* Everybody has to ask again. */
void writer_forget(Writer *w);

#endif
