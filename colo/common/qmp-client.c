/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP client.
 *
 * Theory of operation: one non-blocking descriptor, one buffer each way.
 * Every blocking call is a loop around pump(), which polls until the
 * deadline and does what the socket is ready for.  It reads even while it
 * has something to write: a server that waits for us to take its replies
 * would otherwise never take our commands.  Nothing runs between calls.
 */
#include "colo/qmp-client.h"

#include "colo/common/qmp-wire.h"
#include "colo/common/unix-socket.h"
#include "colo/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads of one turn, so that no server can keep us reading. */
enum { MAX_READS = 64 };

struct ColoQmpClient {
    int fd;
    char *path; /* for messages */
    pid_t peer_pid;
    ColoQmpEventFunc on_event;
    ColoQmpReplyFunc on_reply;
    ColoQmpDeadlineFunc later;
    gpointer user_data;

    ColoQmpLines in;
    JsonParser *parser;
    GString *out;
    gsize out_done; /* bytes of out already written */
    int out_fd;     /* goes along with the next byte written, or -1 */

    guint64 last_id;
    /*
     * Commands without an answer yet or whose answer nobody took: the id
     * maps to NULL (awaited), &ignored, or the reply's JsonNode.  A reply
     * to any other id is dropped, so a server cannot make this grow.
     */
    GHashTable *commands;
    JsonObject *greeting;
    GError *broken;    /* the first fatal error, kept for every later call */
    guint64 processed; /* events and replies so far */
};

static JsonNode *const ignored = (JsonNode *)&ignored;

static void command_value_free(gpointer value)
{
    if (value && value != ignored) {
        json_node_unref(value);
    }
}

static void G_GNUC_PRINTF(3, 4)
    break_connection(ColoQmpClient *c, ColoQmpErrorCode code, const char *fmt,
                     ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (!c->broken) {
        va_start(ap, fmt);
        text = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        c->broken = g_error_new(COLO_QMP_ERROR, code, "QMP server %s: %s",
                                c->path, text);
    }
}

static gboolean usable(ColoQmpClient *c, GError **error)
{
    if (c->broken && error) {
        *error = g_error_copy(c->broken);
    }
    return !c->broken;
}

static void handle_event(ColoQmpClient *c, const char *name, JsonObject *o)
{
    JsonObject *time = colo_json_get_object(o, "timestamp");
    gint64 seconds = 0, micros = 0;

    if (time) {
        colo_json_get_int(time, "seconds", &seconds);
        colo_json_get_int(time, "microseconds", &micros);
    }
    /* QEMU writes -1 when its clock failed. */
    seconds = CLAMP(seconds, 0, G_MAXINT64 / G_USEC_PER_SEC - 1);
    micros = CLAMP(micros, 0, G_USEC_PER_SEC - 1);
    if (c->on_event) {
        c->on_event(name, colo_json_get_object(o, "data"),
                    seconds * G_USEC_PER_SEC + micros, c->user_data);
    }
}

static void handle_reply(ColoQmpClient *c, JsonNode *root, JsonObject *o)
{
    gpointer key, value;
    gint64 number;
    guint64 id;

    if (!colo_json_get_int(o, "id", &number)) {
        JsonObject *err = colo_json_get_object(o, "error");
        const char *desc = err ? colo_json_get_string(err, "desc") : NULL;

        /* Each command of ours has an id: it could not even be read. */
        break_connection(c, COLO_QMP_ERROR_PROTOCOL, "answer without an id: %s",
                         desc ? desc : "no error");
        return;
    }
    id = number;
    if (!g_hash_table_lookup_extended(c->commands, &id, &key, &value) ||
        (value && value != ignored)) {
        colo_log_debug("QMP server %s: answer to unknown id %" G_GINT64_FORMAT,
                       c->path, number);
        return;
    }
    if (c->on_reply) {
        c->on_reply(id, json_object_get_member(o, "return"), c->user_data);
    }
    if (value == ignored) {
        g_hash_table_remove(c->commands, &id);
    } else {
        g_hash_table_insert(c->commands, g_memdup2(&id, sizeof(id)),
                            json_node_ref(root));
    }
}

static void handle_line(ColoQmpClient *c, const char *line, gsize len)
{
    g_autoptr(JsonNode) root = NULL;
    g_autoptr(GError) err = NULL;
    JsonObject *o;
    const char *event;

    if (strspn(line, " \t") == len) {
        return;
    }
    root = colo_qmp_parse(c->parser, line, len, COLO_QMP_MAX_REPLY_DEPTH, FALSE,
                          &err);
    if (!root) {
        break_connection(c, COLO_QMP_ERROR_PROTOCOL, "%s", err->message);
        return;
    }
    o = json_node_get_object(root);
    c->processed++;
    event = colo_json_get_string(o, "event");
    if (event) {
        handle_event(c, event, o);
    } else if (json_object_has_member(o, "return") ||
               json_object_has_member(o, "error")) {
        handle_reply(c, root, o);
    } else if (!c->greeting && colo_json_get_object(o, "QMP")) {
        c->greeting = json_object_ref(colo_json_get_object(o, "QMP"));
    } else {
        break_connection(c, COLO_QMP_ERROR_PROTOCOL,
                         "a message that is no greeting, answer or event");
    }
}

static void handle_lines(ColoQmpClient *c)
{
    gboolean too_long = FALSE;
    const char *line;
    gsize len;

    while (!c->broken &&
           (line = colo_qmp_lines_next(&c->in, &len, &too_long))) {
        handle_line(c, line, len);
    }
    if (too_long) {
        break_connection(c, COLO_QMP_ERROR_PROTOCOL,
                         "a message of more than %d bytes", COLO_QMP_MAX_REPLY);
    }
}

/* One read and what it brought; FALSE when there was nothing to read. */
static gboolean read_some(ColoQmpClient *c)
{
    gsize room;
    char *space = colo_qmp_lines_space(&c->in, &room);
    ssize_t n = recv(c->fd, space, room, MSG_DONTWAIT);

    if (n > 0) {
        colo_qmp_lines_fed(&c->in, n);
        handle_lines(c);
        return (gsize)n == room;
    }
    if (n == 0) {
        break_connection(c, COLO_QMP_ERROR_CLOSED, "it closed the connection");
    } else if (errno != EAGAIN && errno != EINTR) {
        break_connection(c, COLO_QMP_ERROR_CLOSED, "cannot read: %s",
                         g_strerror(errno));
    }
    return FALSE;
}

static gboolean has_output(ColoQmpClient *c)
{
    return c->out->len > c->out_done;
}

static void read_all(ColoQmpClient *c)
{
    for (int i = 0; i < MAX_READS && !c->broken && read_some(c); i++) {
    }
}

/* Write what the socket takes. */
static void write_some(ColoQmpClient *c)
{
    struct iovec iov = {
        .iov_base = c->out->str + c->out_done,
        .iov_len = c->out->len - c->out_done,
    };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (c->out_fd >= 0) {
        struct cmsghdr *cmsg;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &c->out_fd, sizeof(int));
    }
    n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
        c->out_fd = -1;
        c->out_done += n;
        if (!has_output(c)) {
            g_string_truncate(c->out, 0);
            c->out_done = 0;
        }
    } else if (errno != EAGAIN && errno != EINTR) {
        /* What it said before it went away may still be readable. */
        int err = errno;

        read_all(c);
        break_connection(c, COLO_QMP_ERROR_CLOSED, "cannot write: %s",
                         g_strerror(err));
    }
}

/*
 * Wait until the socket is ready, until deadline_us at most, and do the
 * I/O.  FALSE when the time is over, though something may have come even
 * then: the caller looks once more before it gives up.
 */
static gboolean pump(ColoQmpClient *c, gint64 deadline_us)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    gint64 left = deadline_us - g_get_monotonic_time();
    struct timespec ts;
    int n;

    left = CLAMP(left, 0, (gint64)G_MAXINT32 * G_USEC_PER_SEC);
    ts.tv_sec = left / G_USEC_PER_SEC;
    ts.tv_nsec = left % G_USEC_PER_SEC * 1000;
    if (has_output(c)) {
        p.events |= POLLOUT;
    }
    n = ppoll(&p, 1, &ts, NULL);
    if (n <= 0) {
        return n < 0 && left > 0; /* EINTR */
    }
    if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
        read_some(c);
    }
    if (!c->broken && (p.revents & POLLOUT)) {
        write_some(c);
    }
    return left > 0;
}

gboolean colo_qmp_client_flush(ColoQmpClient *c, gint64 deadline_us,
                               GError **error)
{
    gboolean in_time = TRUE;

    if (!c->broken && has_output(c)) {
        write_some(c);
    }
    while (!c->broken && has_output(c)) {
        if (!in_time) {
            break_connection(c, COLO_QMP_ERROR_TIMEOUT,
                             "it did not take a command in time");
            break;
        }
        in_time = pump(c, deadline_us);
    }
    return usable(c, error);
}

guint64 colo_qmp_client_send(ColoQmpClient *c, const char *command,
                             JsonObject *args)
{
    guint64 id = ++c->last_id;

    if (!c->broken) {
        g_hash_table_insert(c->commands, g_memdup2(&id, sizeof(id)), NULL);
        g_string_append_printf(c->out, "{\"execute\":\"%s\",", command);
        if (args) {
            g_autofree char *text = colo_qmp_print(args);

            g_string_append_printf(c->out, "\"arguments\":%s,", text);
        }
        g_string_append_printf(c->out, "\"id\":%" G_GUINT64_FORMAT "}\n", id);
    }
    if (args) {
        json_object_unref(args);
    }
    return id;
}

guint64 colo_qmp_client_send_fd(ColoQmpClient *c, const char *command,
                                JsonObject *args, int fd, gint64 deadline_us,
                                GError **error)
{
    guint64 id;

    /* The descriptor belongs to the bytes that it comes with. */
    if (!colo_qmp_client_flush(c, deadline_us, error)) {
        if (args) {
            json_object_unref(args);
        }
        return 0;
    }
    c->out_fd = fd;
    id = colo_qmp_client_send(c, command, args);
    return colo_qmp_client_flush(c, deadline_us, error) ? id : 0;
}

/* Turns a kept reply into the caller's result. */
static JsonNode *reply_value(JsonNode *root, GError **error)
{
    JsonObject *o = json_node_get_object(root);
    JsonNode *value = json_object_get_member(o, "return");
    JsonObject *err;
    const char *desc;

    if (value) {
        return json_node_copy(value); /* shares what it holds */
    }
    err = colo_json_get_object(o, "error");
    desc = err ? colo_json_get_string(err, "desc") : NULL;
    g_set_error_literal(error, COLO_QMP_ERROR,
                        colo_qmp_error_from_class(
                            err ? colo_json_get_string(err, "class") : NULL),
                        desc ? desc : "an error without a description");
    return NULL;
}

/* As pump(); FALSE: the deadline has passed, and there is no later one. */
static gboolean pump_or_later(ColoQmpClient *c, gint64 *deadline_us)
{
    if (pump(c, *deadline_us)) {
        return TRUE;
    }
    if (c->later) {
        *deadline_us = c->later(c->user_data);
    }
    return g_get_monotonic_time() < *deadline_us;
}

JsonNode *colo_qmp_client_wait(ColoQmpClient *c, guint64 id, gint64 deadline_us,
                               GError **error)
{
    g_autoptr(JsonNode) root = NULL;
    gboolean in_time = TRUE;
    gpointer key, value = NULL;

    if (!c->broken && has_output(c)) {
        write_some(c);
    }
    while (g_hash_table_lookup_extended(c->commands, &id, NULL, &value) &&
           !value && !c->broken) {
        if (!in_time) {
            break_connection(c, COLO_QMP_ERROR_TIMEOUT,
                             "it did not answer a command in time");
            break;
        }
        in_time = pump_or_later(c, &deadline_us);
    }
    if (!value || value == ignored) {
        if (usable(c, error)) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                        "no command with id %" G_GUINT64_FORMAT
                        " awaits an answer",
                        id);
        }
        return NULL;
    }
    g_hash_table_steal_extended(c->commands, &id, &key, &value);
    g_free(key);
    root = value;
    return reply_value(root, error);
}

JsonNode *colo_qmp_client_call(ColoQmpClient *c, const char *command,
                               JsonObject *args, gint64 timeout_us,
                               GError **error)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;
    guint64 id = colo_qmp_client_send(c, command, args);

    return colo_qmp_client_wait(c, id, deadline, error);
}

void colo_qmp_client_ignore(ColoQmpClient *c, guint64 id)
{
    gpointer value;

    if (!g_hash_table_lookup_extended(c->commands, &id, NULL, &value)) {
        return;
    }
    if (value) {
        g_hash_table_remove(c->commands, &id);
    } else {
        g_hash_table_insert(c->commands, g_memdup2(&id, sizeof(id)), ignored);
    }
}

void colo_qmp_client_set_reply_func(ColoQmpClient *c, ColoQmpReplyFunc on_reply)
{
    c->on_reply = on_reply;
}

void colo_qmp_client_set_deadline_func(ColoQmpClient *c,
                                       ColoQmpDeadlineFunc later)
{
    c->later = later;
}

int colo_qmp_client_fd(ColoQmpClient *c)
{
    return c->fd;
}

gboolean colo_qmp_client_dispatch(ColoQmpClient *c, GError **error)
{
    read_all(c);
    return usable(c, error);
}

gboolean colo_qmp_client_wait_any(ColoQmpClient *c, gint64 deadline_us,
                                  GError **error)
{
    guint64 before = c->processed;
    gboolean in_time = TRUE;

    while (!c->broken && c->processed == before) {
        if (!in_time) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT,
                        "QMP server %s: no event in time", c->path);
            return FALSE;
        }
        in_time = pump_or_later(c, &deadline_us);
    }
    return c->processed != before || usable(c, error);
}

/*
 * With "oob" QEMU takes in the next command while it carries out one.  Without
 * it, it reads only when it is done, by a thread that then has to get a
 * processor: on a busy host milliseconds lie between pipelined commands.
 */
static JsonObject *capabilities(ColoQmpClient *c)
{
    JsonNode *node = json_object_get_member(c->greeting, "capabilities");
    JsonArray *offered = node && JSON_NODE_HOLDS_ARRAY(node)
                             ? json_node_get_array(node)
                             : NULL;

    for (guint i = 0; offered && i < json_array_get_length(offered); i++) {
        JsonNode *name = json_array_get_element(offered, i);

        if (!g_strcmp0(json_node_get_value_type(name) == G_TYPE_STRING
                           ? json_node_get_string(name)
                           : NULL,
                       "oob")) {
            JsonObject *args = json_object_new();
            JsonArray *enable = json_array_new();

            json_array_add_string_element(enable, "oob");
            json_object_set_array_member(args, "enable", enable);
            return args;
        }
    }
    return NULL;
}

static void negotiate(ColoQmpClient *c, gint64 deadline_us)
{
    g_autoptr(JsonNode) done = NULL;
    g_autoptr(GError) err = NULL;
    gboolean in_time = TRUE;
    guint64 id;

    while (!c->broken && !c->greeting) {
        if (!in_time) {
            break_connection(c, COLO_QMP_ERROR_TIMEOUT,
                             "no greeting in time; it hangs, or serves one "
                             "client at a time and has one");
            break;
        }
        in_time = pump(c, deadline_us);
    }
    id = colo_qmp_client_send(c, "qmp_capabilities",
                              c->greeting ? capabilities(c) : NULL);
    done = colo_qmp_client_wait(c, id, deadline_us, &err);
    if (!done) {
        break_connection(c, COLO_QMP_ERROR_PROTOCOL,
                         "it refused qmp_capabilities: %s", err->message);
    }
}

ColoQmpClient *colo_qmp_client_adopt(int fd, const char *name,
                                     gint64 timeout_us,
                                     ColoQmpEventFunc on_event,
                                     gpointer user_data, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;
    g_autoptr(ColoQmpClient) c = g_new0(ColoQmpClient, 1);
    struct ucred cred;
    socklen_t len = sizeof(cred);

    c->fd = fd;
    c->out_fd = -1;
    c->path = g_strdup(name);
    c->on_event = on_event;
    c->user_data = user_data;
    colo_qmp_lines_init(&c->in, COLO_QMP_MAX_REPLY);
    c->parser = json_parser_new();
    c->out = g_string_new(NULL);
    c->commands = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        command_value_free);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
        c->peer_pid = cred.pid;
    }
    negotiate(c, deadline);
    return usable(c, error) ? g_steal_pointer(&c) : NULL;
}

ColoQmpClient *colo_qmp_client_connect(const char *path, gint64 timeout_us,
                                       ColoQmpEventFunc on_event,
                                       gpointer user_data, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;
    g_autoptr(GError) err = NULL;
    int fd = colo_unix_connect(path, timeout_us, &err);

    if (fd < 0) {
        g_set_error_literal(error, COLO_QMP_ERROR, COLO_QMP_ERROR_CLOSED,
                            err->message);
        return NULL;
    }
    return colo_qmp_client_adopt(fd, path, deadline - g_get_monotonic_time(),
                                 on_event, user_data, error);
}

void colo_qmp_client_free(ColoQmpClient *c)
{
    if (c) {
        close(c->fd);
        g_free(c->path);
        colo_qmp_lines_clear(&c->in);
        g_object_unref(c->parser);
        g_string_free(c->out, TRUE);
        g_hash_table_unref(c->commands);
        g_clear_pointer(&c->greeting, json_object_unref);
        g_clear_error(&c->broken);
        g_free(c);
    }
}

JsonObject *colo_qmp_client_greeting(ColoQmpClient *c)
{
    return c->greeting;
}

pid_t colo_qmp_client_peer_pid(ColoQmpClient *c)
{
    return c->peer_pid;
}
