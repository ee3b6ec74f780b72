/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP server on a unix socket, for the control sockets of all parts.
 *
 * Runs on the thread-default GMainContext of the thread that made it (the
 * control thread).  Handlers run there and must not block: work that takes
 * time is handed to its own thread and reported by an event.  Each client
 * has a bounded input line (COLO_QMP_MAX_REQUEST), a bounded output queue
 * (COLO_QMP_MAX_QUEUE) and a turn of bounded length, so that a slow or
 * hostile client never holds up the others; one that overflows its queue
 * is disconnected.
 *
 * Built in: qmp_capabilities, query-version, query-commands.  Requests may
 * carry an "id", which is echoed.  Unknown arguments are errors, as in QEMU.
 */
#ifndef COLO_QMP_SERVER_H
#define COLO_QMP_SERVER_H

#include <json-glib/json-glib.h>
#include "colo/qmp-client.h" /* COLO_QMP_ERROR */

#define COLO_QMP_MAX_REQUEST (64 * 1024)
#define COLO_QMP_MAX_QUEUE (1024 * 1024)
#define COLO_QMP_MAX_CLIENTS 32
#define COLO_QMP_MAX_DEPTH 64 /* nesting of a request's JSON */

typedef struct ColoQmpServer ColoQmpServer;

/*
 * One command.  args is never NULL and holds only names listed in the
 * command's table entry, mandatory ones present and of the right type.
 * Returns the value of "return" (transfer full; NULL without error is {}),
 * or NULL with error set (domain COLO_QMP_ERROR for a class other than
 * GenericError).
 */
typedef JsonNode *(*ColoQmpHandler)(JsonObject *args, gpointer user_data,
                                    GError **error);

typedef struct ColoQmpArg {
    const char *name;
    enum { COLO_QMP_STR, COLO_QMP_INT, COLO_QMP_BOOL, COLO_QMP_OBJ,
           COLO_QMP_LIST } type;
    gboolean optional;
} ColoQmpArg;

typedef struct ColoQmpCommand {
    const char *name;
    const ColoQmpArg *args;  /* ends with a NULL name; NULL: no arguments */
    ColoQmpHandler handler;
} ColoQmpCommand;

/*
 * commands: ends with a NULL name, must outlive the server.
 * product: who answers, in the version's "package", before our version.
 */
ColoQmpServer *colo_qmp_server_new(const char *product,
                                   const ColoQmpCommand *commands,
                                   gpointer user_data);
void colo_qmp_server_free(ColoQmpServer *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoQmpServer, colo_qmp_server_free)

/*
 * Inside a handler: the number of the client that asks, from 1 on, never
 * used twice by a server.  Elsewhere 0.
 */
guint64 colo_qmp_server_asking(ColoQmpServer *s);

/*
 * gone is called in the server's context, with the handlers' user_data, when
 * the connection of a client has ended: it closed (or shut down its sending
 * side), died, or was dropped.  Also for clients that never asked anything;
 * not for those that colo_qmp_server_free() disconnects.  It may emit events,
 * but must not free the server.  To be set before anybody can connect; NULL:
 * nobody is told.
 */
typedef void (*ColoQmpGoneFunc)(guint64 client, gpointer user_data);
void colo_qmp_server_set_gone_func(ColoQmpServer *s, ColoQmpGoneFunc gone);

/*
 * Listen at path, mode 0600; missing parent folders are made (0755).  A
 * stale socket is replaced; one where somebody answers is an error that
 * says so.  The socket is removed by colo_qmp_server_free().
 */
gboolean colo_qmp_server_listen(ColoQmpServer *s, const char *path,
                                GError **error);

/*
 * Send an event to every client past its capabilities negotiation, stamped
 * now.  data: transfer full, or NULL.  May be called from any thread;
 * events of one thread keep their order.
 */
void colo_qmp_server_emit(ColoQmpServer *s, const char *event,
                          JsonObject *data);

#endif
