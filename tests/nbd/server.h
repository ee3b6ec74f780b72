/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real nbdkit with our plugin, its clients (libnbd) and its owner (QMP).
 * All that must succeed is asserted here.
 */
#ifndef COLO_TESTS_NBD_SERVER_H
#define COLO_TESTS_NBD_SERVER_H

#include "colo/qmp-client.h"

#include <libnbd.h>

#define SESSION       "0123456789abcdef0123456789abcdef"
#define OTHER_SESSION "fedcba9876543210fedcba9876543210"
#define MIB           ((guint64)1 << 20)

typedef struct nbd_handle Nbd;

typedef struct Server {
    char *dir, *folder; /* folder: the plugin's parameter; NULL: none */
    GPtrArray *args;    /* of the plugin, further ones */
    guint disks;        /* vda, vdb... */
    guint first;        /* those before are left out */
    guint16 port;
    GPid pid; /* 0: it does not run */
    ColoQmpClient *control;
    GPtrArray *events;  /* "EVENT {data}" */
    guint threads;      /* of nbdkit; 0: 1 */
    gboolean reference; /* nbdkit's file plugin; there is no control */
} Server;

#define SERVER_THREADS_DEFAULT 16 /* nbdkit's own */

/* Skips the test (returns NULL) where nbdkit is missing. */
Server *server_new(guint disks, guint64 size);
Server *server_new_in(const char *where, guint disks, guint64 size);
void server_free(Server *s); /* stops it cleanly */
void server_start(Server *s);
void server_kill(Server *s); /* -9 */
void server_stop(Server *s); /* "quit", and its exit status is 0 */
char *server_image(Server *s, guint disk);

/* --- The owner -------------------------------------------------------------
 */

/* The answer; args: as printf's, JSON or NULL. */
JsonNode *server_ask(Server *s, const char *command, const char *args, ...)
    G_GNUC_PRINTF(3, 4);
void server_do(Server *s, const char *command, const char *args, ...)
    G_GNUC_PRINTF(3, 4);
/* It is refused with a message that has this in it. */
void server_refuses(Server *s, const char *pattern, const char *command,
                    const char *args, ...) G_GNUC_PRINTF(4, 5);
/* Of disk i in query-disks */
gint64 server_number(Server *s, guint disk, const char *member);
char *server_string(Server *s, guint disk, const char *member);
/* Until an event came that has both in it. */
void server_wait_event(Server *s, const char *event, const char *with);
gboolean server_had_event(Server *s, const char *event, const char *with);
void server_begin(Server *s); /* disk-reset SESSION */

/* --- Clients ---------------------------------------------------------------
 */

/* from: the client's address; NULL: 127.0.0.1.  NULL: it was refused. */
Nbd *client_try(Server *s, const char *from, const char *export_name);
Nbd *client_new(Server *s, const char *export_name);
Nbd *client_new_from(Server *s, const char *from, const char *export_name);
void client_free(Nbd *h);
/* len bytes of this value, at most a MiB */
void client_fill(Nbd *h, guint64 offset, guint64 len, int value);
void client_check(Nbd *h, guint64 offset, guint64 len, int value);
/* It is refused so. */
void client_fill_fails(Nbd *h, guint64 offset, guint64 len, int err);
/* A request to "checkpoint".  0 or errno. */
int client_request(Nbd *h, const char *what, guint64 epoch,
                   const char *session);
int client_request_text(Nbd *h, const char *text, gsize len);
/* "seal" with the number of the cut */
int client_cut(Nbd *h, guint64 epoch, const char *session, int cut);
void client_seal(Nbd *h, guint64 epoch);

#endif
