/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secondary's disks, or those of a survivor: one nbdkit with our plugin, as
 * colod's child.
 *
 * Theory of operation.  A thread of its own starts nbdkit, watches it, puts
 * its words into our log, and starts it again when it dies: nobody else's work
 * may have to wait for that, for the guest's QEMU waits for its disk, and the
 * engine for the guest's QEMU.  A new nbdkit is told the session and which
 * epoch is committed, for that is not on the disk; then the rest may speak to
 * it.  Those calls connect for themselves, and go on at the next nbdkit when
 * theirs dies, until their time is over: each command is right when repeated.
 *
 * What is on the disks outlives nbdkit, and us.
 */
#ifndef COLO_DISK_SERVER_H
#define COLO_DISK_SERVER_H

#include "colo/sockaddr.h"

#include <json-glib/json-glib.h>

typedef struct ColoDiskServer ColoDiskServer;

typedef struct ColoDiskImage {
    const char *name;
    const char *path;
} ColoDiskImage;

/* All is copied. */
typedef struct ColoDiskServerOptions {
    const ColoDiskImage *disks;
    guint n_disks;
    const ColoAddr *listen;
    const char *folder;           /* of the stores; NULL: beside each image */
    gboolean flush;               /* durability */
    gboolean survivor;            /* all of them are, and stay, a survivor's */
    const char *tls_certificates; /* at most one of both; NULL: no TLS */
    const char *tls_psk;
    const char *control;          /* where the plugin's QMP socket is made */
    /*
     * From the server's thread.  event: the plugin raised one; data may be
     * NULL.  news: what colo_disk_server_query() returns is new, or whether
     * the disks are served.
     */
    void (*event)(const char *event, JsonObject *data, gpointer user_data);
    void (*news)(gpointer user_data);
    gpointer user_data;
} ColoDiskServerOptions;

/* Fails if there is no nbdkit, or a survivor's disk is none. */
ColoDiskServer *colo_disk_server_new(const ColoDiskServerOptions *o,
                                     GError **error);

/*
 * Begin to serve.  Whatever is wrong from now on is tried again, and told by
 * colo_disk_server_why().
 */
void colo_disk_server_start(ColoDiskServer *s);

/* Ends nbdkit, within some seconds. */
void colo_disk_server_free(ColoDiskServer *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoDiskServer, colo_disk_server_free)

/* --- From any thread, at once ------------------------------------------- */

gboolean colo_disk_server_is_up(ColoDiskServer *s);
/* Why it is not, for the operator; g_free() */
char *colo_disk_server_why(ColoDiskServer *s);
/*
 * When it last was not up, or did not answer (monotonic), which may be now: who
 * uses its disks could not go on then.  0: never.
 */
gint64 colo_disk_server_silent_at(ColoDiskServer *s);
/* The plugin's query-disks, at most about a second old; NULL: none yet. */
JsonNode *colo_disk_server_query(ColoDiskServer *s);
/* FALSE: there is no such disk, or nothing is known of it yet. */
gboolean colo_disk_server_size(ColoDiskServer *s, const char *name,
                               guint64 *bytes);

/*
 * --- The engine's thread ---------------------------------------------------
 * All of these wait for nbdkit, if it has to be started again, and for its
 * answer, until deadline_us (monotonic).
 */

/*
 * From now on this session has the disks.  reset: they begin anew, and a
 * primary of another session is refused.
 */
gboolean colo_disk_server_session(ColoDiskServer *s, const char *session,
                                  gboolean reset, gint64 deadline_us,
                                  GError **error);

/*
 * The guest, which stands still, sees this epoch from now on.  It was
 * committed.
 */
gboolean colo_disk_server_load(ColoDiskServer *s, guint64 epoch,
                               gint64 deadline_us, GError **error);

/*
 * The takeover: what was not loaded is gone, and the disks are the guest's.
 * Making them durable goes on in the background.  Also right when it was
 * done before.
 */
gboolean colo_disk_server_promote(ColoDiskServer *s, gint64 deadline_us,
                                  GError **error);

/*
 * --- The receiving thread's, one at a time ---------------------------------
 * Before the ACK: all disks have this epoch sealed, and it is not taken back
 * any more.
 */
gboolean colo_disk_server_commit(ColoDiskServer *s, guint64 epoch,
                                 gint64 deadline_us, GError **error);

#endif
