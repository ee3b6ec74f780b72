/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP client: one connection to a QMP server (QEMU or one of our parts).
 *
 * Protocol: QEMU's docs/interop/qmp-spec.  A client belongs to one thread;
 * no call blocks past its deadline.  Commands may be pipelined: send
 * several, flush them with one write, then wait for each by its id.
 *
 * The server is not trusted: a line longer than COLO_QMP_MAX_REPLY, or
 * text that is not a JSON object, breaks the connection with an error.
 */
#ifndef COLO_QMP_CLIENT_H
#define COLO_QMP_CLIENT_H

#include <json-glib/json-glib.h>
#include <sys/types.h>

#define COLO_QMP_MAX_REPLY (16 * 1024 * 1024)

/*
 * Errors.  GENERIC to DEVICE_NOT_FOUND are the classes of a server's
 * answer; the rest are the connection's own: after TIMEOUT, CLOSED or
 * PROTOCOL the client is broken and every further call fails the same way.
 */
#define COLO_QMP_ERROR (colo_qmp_error_quark())
GQuark colo_qmp_error_quark(void);
typedef enum {
    COLO_QMP_ERROR_GENERIC,           /* GenericError */
    COLO_QMP_ERROR_COMMAND_NOT_FOUND, /* CommandNotFound */
    COLO_QMP_ERROR_DEVICE_NOT_ACTIVE, /* DeviceNotActive */
    COLO_QMP_ERROR_DEVICE_NOT_FOUND,  /* DeviceNotFound */
    COLO_QMP_ERROR_KVM_MISSING_CAP,   /* KVMMissingCap */
    COLO_QMP_ERROR_TIMEOUT,
    COLO_QMP_ERROR_CLOSED,
    COLO_QMP_ERROR_PROTOCOL,
} ColoQmpErrorCode;

/* The class as QMP spells it ("GenericError"), and back. */
const char *colo_qmp_error_class(ColoQmpErrorCode code);
ColoQmpErrorCode colo_qmp_error_from_class(const char *text);

typedef struct ColoQmpClient ColoQmpClient;

/*
 * Called for each event, in the order of the stream, from inside the calls
 * below.  data may be NULL; time_us is the server's timestamp (UNIX epoch).
 * The callback must not call the client.
 */
typedef void (*ColoQmpEventFunc)(const char *event, JsonObject *data,
                                 gint64 time_us, gpointer user_data);

/*
 * Connect to the unix socket at path, read the greeting and leave the
 * capabilities mode, all within timeout_us.
 */
ColoQmpClient *colo_qmp_client_connect(const char *path, gint64 timeout_us,
                                       ColoQmpEventFunc on_event,
                                       gpointer user_data, GError **error);

/*
 * The same on a stream socket that is connected already; fd becomes the
 * client's, also on failure.  name stands for it in messages.
 */
ColoQmpClient *colo_qmp_client_adopt(int fd, const char *name,
                                     gint64 timeout_us,
                                     ColoQmpEventFunc on_event,
                                     gpointer user_data, GError **error);
void colo_qmp_client_free(ColoQmpClient *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoQmpClient, colo_qmp_client_free)

/* The greeting's "QMP" object; owned by the client. */
JsonObject *colo_qmp_client_greeting(ColoQmpClient *c);

/* The process that listens on the socket (SO_PEERCRED); 0 if unknown. */
pid_t colo_qmp_client_peer_pid(ColoQmpClient *c);

/*
 * Queue a command; nothing is written yet.  args: transfer full, or NULL.
 * Returns the id to wait for.
 */
guint64 colo_qmp_client_send(ColoQmpClient *c, const char *command,
                             JsonObject *args);

/*
 * As colo_qmp_client_send(), but written at once, carrying a descriptor
 * (SCM_RIGHTS) for add-fd or getfd.  The descriptor stays the caller's.
 * Returns 0 with error set when it cannot be written by deadline_us.
 */
guint64 colo_qmp_client_send_fd(ColoQmpClient *c, const char *command,
                                JsonObject *args, int fd, gint64 deadline_us,
                                GError **error);

/*
 * Write all that is queued (one write where the socket takes it) and wait
 * for the reply to id.  deadline_us is on g_get_monotonic_time()'s clock.
 * Replies to other ids that arrive are kept for their own wait.
 * Returns the value of "return" (transfer full) or NULL.
 */
JsonNode *colo_qmp_client_wait(ColoQmpClient *c, guint64 id,
                               gint64 deadline_us, GError **error);

/* Write what is queued without waiting for replies. */
gboolean colo_qmp_client_flush(ColoQmpClient *c, gint64 deadline_us,
                               GError **error);

/* send + wait, within timeout_us from now. */
JsonNode *colo_qmp_client_call(ColoQmpClient *c, const char *command,
                               JsonObject *args, gint64 timeout_us,
                               GError **error);

/* Forget a reply that nobody will wait for (dropped when it arrives). */
void colo_qmp_client_ignore(ColoQmpClient *c, guint64 id);

/*
 * Called for each reply in the order of the stream, between the events, with
 * the value of "return" or NULL for an error; also for those that are to be
 * ignored.  Same user_data and same rule as for events: must not call the
 * client.  Tells what happened before and what after a command of ours.
 */
typedef void (*ColoQmpReplyFunc)(guint64 id, JsonNode *value,
                                 gpointer user_data);
void colo_qmp_client_set_reply_func(ColoQmpClient *c,
                                    ColoQmpReplyFunc on_reply);

/* For poll(2): readable when colo_qmp_client_dispatch() has work. */
int colo_qmp_client_fd(ColoQmpClient *c);

/*
 * Read what is there without blocking and deliver events; TRUE unless the
 * connection is broken (COLO_QMP_ERROR_CLOSED when the server went away).
 */
gboolean colo_qmp_client_dispatch(ColoQmpClient *c, GError **error);

/*
 * A wait whose deadline has passed asks for a later one, in case something
 * has changed meanwhile; it ends if what is returned has passed, too.  Called
 * from inside the wait, with the data of the event function; must not call
 * back.
 */
typedef gint64 (*ColoQmpDeadlineFunc)(gpointer user_data);
void colo_qmp_client_set_deadline_func(ColoQmpClient *c,
                                       ColoQmpDeadlineFunc later);

/*
 * Block until at least one event or reply was processed, or deadline_us:
 * FALSE with COLO_QMP_ERROR_TIMEOUT does not break the connection here.
 */
gboolean colo_qmp_client_wait_any(ColoQmpClient *c, gint64 deadline_us,
                                  GError **error);

#endif
