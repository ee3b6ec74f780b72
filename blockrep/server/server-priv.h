/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of blockrep/server/ share; nobody else includes this. */
#ifndef COLO_DISK_SERVER_PRIV_H
#define COLO_DISK_SERVER_PRIV_H

#include "blockrep/server/server.h"
#include "colo/qmp-client.h"

#include <sys/types.h>

/* One thread's connection to the plugin. */
typedef struct Caller {
    ColoQmpClient *client;
    guint generation; /* of nbdkit that it is to */
} Caller;

/* A running nbdkit, its end and its words. */
typedef struct Nbdkit {
    pid_t pid;   /* 0: none */
    int pidfd;   /* -1: none */
    int words;   /* of its stdout and stderr; -1: none */
    GString *line;
    char *complaint; /* the last error that it said; stays after its end */
} Nbdkit;

/* Where clients connect to, whichever nbdkit serves them. */
typedef struct Listener {
    ColoAddr *addr;
    int fd; /* blocking; -1: none yet */
} Listener;

struct ColoDiskServer {
    char **argv; /* of nbdkit */
    char *control;
    void (*event)(const char *event, JsonObject *data, gpointer user_data);
    void (*news)(gpointer user_data);
    gpointer user_data;
    GThread *thread;
    int wake; /* eventfd: look at quit */

    /* The thread's own */
    Listener listener;
    Nbdkit nbdkit;
    ColoQmpClient *watch;
    gboolean answered;
    gboolean said_late;

    Caller engine; /* the engine's thread's */
    Caller conn;   /* the receiving thread's; of one after another */

    GMutex lock; /* guards all below */
    GCond changed;
    gboolean quit;
    gboolean up;
    guint generation; /* of nbdkit: the calls connect anew */
    char *why;
    char *session;     /* what a new nbdkit is told; NULL: none */
    guint64 committed; /* likewise; 0: none */
    gboolean promoted; /* the guest here must not see an error */
    JsonNode *disks;   /* last answer to query-disks */
    guint64 asked;     /* id of the query-disks that it owes, or 0 */
    gint64 asked_at;   /* the last one */
    gint64 silent_at;  /* it was last known to be silent; 0: never */
};

/* --- nbdkit.c ---------------------------------------------------------- */

/* The command line; NULL: there is no nbdkit. */
char **nbdkit_argv(const ColoDiskServerOptions *o, GError **error);

/*
 * Start it, to accept from listener.  It ends with the thread that calls
 * this.
 */
gboolean nbdkit_start(Nbdkit *n, char **argv, int listener, GError **error);
/* Take its words to the log.  FALSE: no more will come. */
gboolean nbdkit_read(Nbdkit *n);
/* It has ended, or does so in patience_us, or is killed; says how. */
char *nbdkit_end(Nbdkit *n, gint64 patience_us);

/* --- listener.c -------------------------------------------------------- */

/* TRUE: clients can connect, and wait until they are accepted. */
gboolean listener_open(Listener *l, GError **error);
/* Reset the one who waits longest; there is one. */
void listener_refuse(Listener *l);
void listener_close(Listener *l);

/* --- server.c ---------------------------------------------------------- */

/* If nobody serves, or an answer is late; with the lock. */
void disk_server_note_silence(ColoDiskServer *s);

/* --- watch.c ----------------------------------------------------------- */

gpointer disk_server_thread(gpointer server);

#endif
