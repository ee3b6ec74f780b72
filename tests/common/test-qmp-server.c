/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP server: honest clients of ours, and raw sockets that are not. */
#include "colo/qmp-server.h"

#include "colo/common/qmp-wire.h"
#include "raw-peer.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND G_USEC_PER_SEC

/* A server on a thread of its own, as in the daemons. */
typedef struct Fixture {
    char *folder, *path;
    ColoQmpServer *server;
    GThread *thread;
    GMainLoop *loop;
    GMutex lock;
    GCond cond;
    gboolean up; /* under lock */
    GString *events;
} Fixture;

static JsonNode *do_echo(JsonObject *args, gpointer user_data, GError **error)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_set_object(node, args);
    return node;
}

static JsonNode *do_fail(JsonObject *args, gpointer user_data, GError **error)
{
    const char *class = colo_json_get_string(args, "class");

    if (class) {
        g_set_error(error, COLO_QMP_ERROR, (int)colo_qmp_error_from_class(class),
                    "as asked: %s", class);
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "not\xff UTF-8");
    }
    return NULL;
}

static JsonNode *do_nothing(JsonObject *args, gpointer user_data,
                            GError **error)
{
    return NULL;
}

static JsonNode *do_emit(JsonObject *args, gpointer user_data, GError **error)
{
    Fixture *f = user_data;
    g_autofree char *filler = NULL;
    gint64 n = 0, size = 0;

    colo_json_get_int(args, "n", &n);
    colo_json_get_int(args, "size", &size);
    filler = g_strnfill(size, 'x');
    for (gint64 i = 0; i < n; i++) {
        JsonObject *data = json_object_new();

        json_object_set_int_member(data, "i", i);
        json_object_set_string_member(data, "filler", filler);
        colo_qmp_server_emit(f->server, "COUNT", data);
    }
    return NULL;
}

static JsonNode *do_big(JsonObject *args, gpointer user_data, GError **error)
{
    g_autofree char *text = NULL;
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    gint64 size = 0;

    colo_json_get_int(args, "size", &size);
    text = g_strnfill(size, 'y');
    json_node_set_string(node, text);
    return node;
}

static JsonNode *do_quit(JsonObject *args, gpointer user_data, GError **error)
{
    Fixture *f = user_data;

    colo_qmp_server_emit(f->server, "LAST", NULL);
    g_main_loop_quit(f->loop);
    return NULL;
}

static const ColoQmpArg echo_args[] = {
    {"text", COLO_QMP_STR},
    {"int", COLO_QMP_INT, TRUE},
    {"bool", COLO_QMP_BOOL, TRUE},
    {"obj", COLO_QMP_OBJ, TRUE},
    {"list", COLO_QMP_LIST, TRUE},
    {NULL},
};
static const ColoQmpArg fail_args[] = {{"class", COLO_QMP_STR, TRUE}, {NULL}};
static const ColoQmpArg emit_args[] = {
    {"n", COLO_QMP_INT}, {"size", COLO_QMP_INT, TRUE}, {NULL}};
static const ColoQmpArg big_args[] = {{"size", COLO_QMP_INT}, {NULL}};

static const ColoQmpCommand commands[] = {
    {"big", big_args, do_big},
    {"echo", echo_args, do_echo},
    {"emit", emit_args, do_emit},
    {"fail", fail_args, do_fail},
    {"nothing", NULL, do_nothing},
    {"quit", NULL, do_quit},
    {NULL},
};

static gboolean say_up(gpointer data)
{
    Fixture *f = data;

    g_mutex_lock(&f->lock);
    f->up = TRUE;
    g_cond_signal(&f->cond);
    g_mutex_unlock(&f->lock);
    return G_SOURCE_REMOVE;
}

static gpointer serve(gpointer data)
{
    Fixture *f = data;
    GMainContext *context = g_main_context_new();
    g_autoptr(GSource) idle = g_idle_source_new();
    g_autoptr(GError) error = NULL;

    g_main_context_push_thread_default(context);
    f->loop = g_main_loop_new(context, FALSE);
    f->server = colo_qmp_server_new("colo", commands, f);
    g_assert_true(colo_qmp_server_listen(f->server, f->path, &error));
    g_assert_no_error(error);
    g_source_set_callback(idle, say_up, f, NULL);
    g_source_attach(idle, context);
    g_main_loop_run(f->loop);
    colo_qmp_server_free(f->server);
    g_main_loop_unref(f->loop);
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
    return NULL;
}

static void set_up(Fixture *f, gconstpointer unused)
{
    f->folder = raw_folder_new();
    f->path = g_build_filename(f->folder, "qmp", NULL);
    f->events = g_string_new(NULL);
    g_mutex_init(&f->lock);
    g_cond_init(&f->cond);
    f->thread = g_thread_new("server", serve, f);
    g_mutex_lock(&f->lock);
    while (!f->up) {
        g_cond_wait(&f->cond, &f->lock);
    }
    g_mutex_unlock(&f->lock);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    Fixture *f = user_data;
    gint64 i = -1;

    if (data) {
        colo_json_get_int(data, "i", &i);
    }
    g_string_append_printf(f->events, "%s%d ", event, (int)i);
    g_assert_cmpint(ABS(g_get_real_time() - time_us), <, 60 * SECOND);
}

static ColoQmpClient *must_connect(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    ColoQmpClient *c =
        colo_qmp_client_connect(f->path, 5 * SECOND, on_event, f, &error);

    g_assert_no_error(error);
    return c;
}

static gint64 in(gint64 us)
{
    return g_get_monotonic_time() + us;
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    if (f->thread) {
        g_autoptr(ColoQmpClient) c = must_connect(f);
        g_autoptr(JsonNode) v =
            colo_qmp_client_call(c, "quit", NULL, 5 * SECOND, NULL);

        g_assert_nonnull(v);
        g_thread_join(f->thread);
    }
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->cond);
    g_string_free(f->events, TRUE);
    g_free(f->path);
    raw_folder_free(f->folder);
}

/* A raw client past its negotiation. */
static int raw_negotiated(Fixture *f)
{
    int fd = raw_connect(f->path);
    g_autofree char *greeting = raw_read_line(fd);
    g_autofree char *reply = NULL;

    g_assert_true(g_str_has_prefix(greeting, "{\"QMP\":{\"version\":{\"colo\""));
    raw_write(fd, "{\"execute\":\"qmp_capabilities\"}", 30);
    raw_write(fd, "\r\n", 2);
    reply = raw_read_line(fd);
    g_assert_cmpstr(reply, ==, "{\"return\":{}}");
    return fd;
}

static void exchange(int fd, const char *request, const char *expected)
{
    g_autofree char *line = g_strconcat(request, "\n", NULL), *reply = NULL;

    raw_write(fd, line, strlen(line));
    reply = raw_read_line(fd);
    if (!reply || !strstr(reply, expected)) {
        g_error("%s: expected '%s', got '%s'", request, expected,
                reply ? reply : "the end");
    }
}

static void test_client(Fixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) version = NULL, list = NULL;
    static const char *const classes[] = {"GenericError", "CommandNotFound",
                                          "DeviceNotActive", "DeviceNotFound",
                                          "KVMMissingCap"};

    version = colo_qmp_client_call(c, "query-version", NULL, SECOND, &error);
    g_assert_no_error(error);
    g_assert_nonnull(
        colo_json_get_object(json_node_get_object(version), "colo"));
    list = colo_qmp_client_call(c, "query-commands", NULL, SECOND, &error);
    g_assert_no_error(error);
    g_assert_cmpint(json_array_get_length(json_node_get_array(list)), ==,
                    G_N_ELEMENTS(commands) - 1 + 3);

    for (guint i = 0; i < G_N_ELEMENTS(classes); i++) {
        JsonObject *args = json_object_new();

        json_object_set_string_member(args, "class", classes[i]);
        g_assert_null(colo_qmp_client_call(c, "fail", args, SECOND, &error));
        g_assert_error(error, COLO_QMP_ERROR, (int)i);
        g_assert_true(g_str_has_suffix(error->message, classes[i]));
        g_clear_error(&error);
    }
    g_assert_null(colo_qmp_client_call(c, "fail", NULL, SECOND, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC);
    g_clear_error(&error);
    g_assert_null(colo_qmp_client_call(c, "none", NULL, SECOND, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_COMMAND_NOT_FOUND);
}

/* Requests, and a part of what the answer must hold. */
static void test_requests(Fixture *f, gconstpointer unused)
{
    static const char *const cases[][2] = {
        /* ids of every JSON type come back */
        {"{\"execute\":\"nothing\",\"id\":17}", "{\"return\":{},\"id\":17}"},
        {"{\"execute\":\"nothing\",\"id\":-9223372036854775808}",
         "\"id\":-9223372036854775808}"},
        {"{\"execute\":\"nothing\",\"id\":0.5}", "\"id\":0.5}"},
        {"{\"execute\":\"nothing\",\"id\":[1e22,-1e-99,\"\\\"1e+2.0\"]}",
         "\"id\":[1e+22,-1e-99,\"\\\"1e+2.0\"]}"},
        {"{\"execute\":\"nothing\",\"id\":null}", "\"id\":null}"},
        {"{\"execute\":\"nothing\",\"id\":true}", "\"id\":true}"},
        {"{\"execute\":\"nothing\",\"id\":\"a\\u001f\\\"\\ud83d\\ude00\"}",
         "\"id\":\"a\\u001f\\\"\xf0\x9f\x98\x80\"}"},
        {"{\"execute\":\"nothing\",\"id\":[1,[],\"x\"]}",
         "\"id\":[1,[],\"x\"]}"},
        {"{\"execute\":\"nothing\",\"id\":{\"a\":{\"b\":1}}}",
         "\"id\":{\"a\":{\"b\":1}}}"},
        {"{\"id\":5,\"execute\":\"no-such\"}", "\"id\":5}"},
        {"{\"id\":5}", "lacks member 'execute'\"},\"id\":5}"},
        /* numbers that cannot be held are refused, not changed */
        {"{\"execute\":\"nothing\",\"id\":9223372036854775808}",
         "number out of range at byte 26"},
        {"{\"execute\":\"nothing\",\"id\":1e999}", "number out of range"},
        /* the shape of a request */
        {"{\"execute\":1}", "'execute' must be a string"},
        {"{\"execute\":\"nothing\",\"arguments\":[]}",
         "'arguments' must be an object"},
        {"{\"execute\":\"nothing\",\"exec-oob\":1}",
         "'exec-oob' is unexpected"},
        {"{}", "lacks member 'execute'"},
        {"[]", "GenericError"},
        {"1", "GenericError"},
        {"hello", "JSON parse error"},
        {"{\"execute\":\"nothing\"} {}", "JSON parse error"},
        {"{\"execute\":\"nothing\"} x", "JSON parse error"},
        {"{\"execute\":\"nothing\"", "JSON parse error"},
        {"var x = {\"execute\":\"nothing\"};", "JSON parse error"},
        {"{/* \" */\"execute\":\"nothing\"}", "JSON parse error"},
        {"{\"execute\":\"no\xffthing\"}", "not UTF-8"},
        {"{\"execute\":\"no\\u0000thing\"}", "invalid string"},
        {"{\"execute\":\"no\\ud83dthing\"}", "invalid string"},
        {"{\"execute\":\"no\tthing\"}", "invalid string"},
        /* arguments */
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"t\",\"int\":1,"
         "\"bool\":false,\"obj\":{},\"list\":[]}}",
         "{\"return\":{\"text\":\"t\",\"int\":1,\"bool\":false,\"obj\":{},"
         "\"list\":[]}}"},
        {"{\"execute\":\"echo\"}", "Parameter 'text' is missing"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":1}}",
         "'text', expected: string"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"int\":\"1\"}}",
         "'int', expected: integer"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"int\":1.0}}",
         "'int', expected: integer"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"bool\":null}}",
         "'bool', expected: boolean"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"obj\":[]}}",
         "'obj', expected: object"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"list\":{}}}",
         "'list', expected: array"},
        {"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"z\":1}}",
         "Parameter 'z' is unexpected"},
        {"{\"execute\":\"nothing\",\"arguments\":{\"z\":1}}",
         "Parameter 'z' is unexpected"},
        {"{\"execute\":\"qmp_capabilities\"}", "already complete"},
        {"{\"execute\":\"fail\"}", "not\xef\xbf\xbd UTF-8"},
    };
    int fd = raw_negotiated(f);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        exchange(fd, cases[i][0], cases[i][1]);
    }
    raw_write(fd, "\n \r\n\t\n", 6); /* nothing at all is no request */
    exchange(fd, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
    close(fd);
}

static void test_negotiation(Fixture *f, gconstpointer unused)
{
    int fd = raw_connect(f->path);
    g_autofree char *greeting = raw_read_line(fd);

    g_assert_nonnull(strstr(greeting, "\"capabilities\":[]"));
    exchange(fd, "{\"execute\":\"nothing\"}",
             "\"CommandNotFound\",\"desc\":\"Expecting capabilities");
    exchange(fd,
             "{\"execute\":\"qmp_capabilities\",\"arguments\":"
             "{\"enable\":[\"oob\"]}}",
             "no capabilities to enable");
    exchange(fd,
             "{\"execute\":\"qmp_capabilities\",\"arguments\":"
             "{\"enable\":[]},\"id\":\"x\"}",
             "{\"return\":{},\"id\":\"x\"}");
    exchange(fd, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
    close(fd);
}

static void test_depth(Fixture *f, gconstpointer unused)
{
    int fd = raw_negotiated(f);

    for (int hidden = 0; hidden < 2; hidden++) {
        for (int depth = 50; depth <= 30000; depth *= 24) {
            GString *request = g_string_new("{\"execute\":\"nothing\",\"id\":");

            if (hidden) {
                /* quotes and brackets inside strings count for nothing */
                g_string_append(request, "[\"\\\"[[[[[{{\\\\\",");
            }
            for (int i = 0; i < depth; i++) {
                g_string_append_c(request, '[');
            }
            for (int i = 0; i < depth + hidden; i++) {
                g_string_append_c(request, ']');
            }
            g_string_append_c(request, '}');
            exchange(fd, request->str,
                     depth < COLO_QMP_MAX_DEPTH ? "\"return\":{}"
                                                : "nested more than 64 deep");
            g_string_free(request, TRUE);
        }
    }
    close(fd);
}

static void test_byte_by_byte(Fixture *f, gconstpointer unused)
{
    static const char text[] = "{\"execute\":\"nothing\",\"id\":1}\r\n"
                               "{\"execute\":\"nothing\",\"id\":2}\n";
    g_autofree char *one = NULL, *two = NULL;
    int fd = raw_negotiated(f);

    for (const char *p = text; *p; p++) {
        raw_write(fd, p, 1);
    }
    one = raw_read_line(fd);
    two = raw_read_line(fd);
    g_assert_cmpstr(one, ==, "{\"return\":{},\"id\":1}");
    g_assert_cmpstr(two, ==, "{\"return\":{},\"id\":2}");
    close(fd);
}

/* The longest line is taken; one byte more ends the connection. */
static void test_line_length(Fixture *f, gconstpointer unused)
{
    for (int over = 0; over < 2; over++) {
        static const char head[] = "{\"execute\":\"nothing\",\"id\":\"";
        int fd = raw_negotiated(f);
        gsize fill = COLO_QMP_MAX_REQUEST - strlen(head) - 2 + over;
        g_autofree char *filler = g_strnfill(fill, 'z');
        g_autofree char *line = g_strconcat(head, filler, "\"}\r\n", NULL);
        g_autofree char *reply = NULL, *end = NULL;

        raw_write(fd, line, strlen(line));
        reply = raw_read_line(fd);
        if (over) {
            g_assert_nonnull(strstr(reply, "more than 65536 bytes"));
            g_assert_null(end = raw_read_line(fd));
        } else {
            g_assert_true(g_str_has_prefix(reply, "{\"return\":{},\"id\":\"z"));
            exchange(fd, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
        }
        close(fd);
    }
}

/* A line without an end: refused as soon as it is too long. */
static void test_endless_line(Fixture *f, gconstpointer unused)
{
    int fd = raw_negotiated(f);
    g_autofree char *filler = g_strnfill(64 * 1024, '{');
    g_autofree char *reply = NULL, *end = NULL;

    for (int i = 0; i < 100 && raw_write(fd, filler, 64 * 1024); i++) {
    }
    reply = raw_read_line(fd);
    g_assert_nonnull(strstr(reply, "more than 65536 bytes"));
    g_assert_null(end = raw_read_line(fd));
    close(fd);
}

static void test_pipeline(Fixture *f, gconstpointer unused)
{
    enum { N = 500 };
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    guint64 ids[N];

    for (int i = 0; i < N; i++) {
        JsonObject *args = json_object_new();

        json_object_set_string_member(args, "text", "t");
        json_object_set_int_member(args, "int", i);
        ids[i] = colo_qmp_client_send(c, "echo", args);
    }
    for (int i = N - 1; i >= 0; i--) {
        g_autoptr(JsonNode) v =
            colo_qmp_client_wait(c, ids[i], in(5 * SECOND), &error);
        gint64 value;

        g_assert_no_error(error);
        g_assert_true(
            colo_json_get_int(json_node_get_object(v), "int", &value));
        g_assert_cmpint(value, ==, i);
    }
}

/*
 * More commands than both sockets' buffers hold: the server waits for its
 * replies to be taken, so the client must take them while it writes.
 */
static void test_deadlock(Fixture *f, gconstpointer unused)
{
    enum { N = 1000 };
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autofree char *text = g_strnfill(3000, 't');
    g_autoptr(GError) error = NULL;
    guint64 id = 0;

    for (int i = 0; i < N; i++) {
        JsonObject *args = json_object_new();
        guint64 previous = id;

        json_object_set_string_member(args, "text", text);
        id = colo_qmp_client_send(c, "echo", args);
        if (i) {
            colo_qmp_client_ignore(c, previous);
        }
    }
    g_assert_true(colo_qmp_client_flush(c, in(10 * SECOND), &error));
    g_assert_no_error(error);
    g_autoptr(JsonNode) v =
        colo_qmp_client_wait(c, id, in(10 * SECOND), &error);
    g_assert_no_error(error);
    g_assert_nonnull(v);
}

/* Replies of more than the socket and the queue hold, to a late reader. */
static void test_big_replies(Fixture *f, gconstpointer unused)
{
    enum { N = 40 };
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    guint64 ids[N];

    for (int i = 0; i < N; i++) {
        JsonObject *args = json_object_new();

        json_object_set_int_member(args, "size", 300 * 1024);
        ids[i] = colo_qmp_client_send(c, "big", args);
    }
    g_assert_true(colo_qmp_client_flush(c, in(5 * SECOND), &error));
    for (int i = 0; i < N; i++) {
        g_autoptr(JsonNode) v =
            colo_qmp_client_wait(c, ids[i], in(5 * SECOND), &error);

        g_assert_no_error(error);
        g_assert_cmpint(strlen(json_node_get_string(v)), ==, 300 * 1024);
    }
}

static gpointer emit_from_thread(gpointer data)
{
    Fixture *f = data;

    for (int i = 0; i < 100; i++) {
        JsonObject *o = json_object_new();

        json_object_set_int_member(o, "i", i);
        colo_qmp_server_emit(f->server, "T", o);
    }
    return NULL;
}

/* Events from other threads reach each client in their order. */
static void test_events(Fixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) a = must_connect(f), b = must_connect(f);
    ColoQmpClient *clients[] = {a, b};
    g_autoptr(GError) error = NULL;
    g_autofree char *unread = NULL;
    int fd = raw_connect(f->path);
    GThread *t = g_thread_new("emit", emit_from_thread, f);
    GString *expected = g_string_new(NULL);

    for (int i = 0; i < 100; i++) {
        g_string_append_printf(expected, "T%d ", i);
    }
    for (int i = 0; i < 2; i++) {
        g_string_truncate(f->events, 0);
        while (f->events->len < expected->len) {
            g_assert_true(
                colo_qmp_client_wait_any(clients[i], in(5 * SECOND), &error));
        }
        g_assert_cmpstr(f->events->str, ==, expected->str);
    }
    g_thread_join(t);
    g_string_free(expected, TRUE);

    /* None before the negotiation: the greeting, then the error. */
    unread = raw_read_line(fd);
    g_assert_nonnull(strstr(unread, "QMP"));
    exchange(fd, "{\"execute\":\"nothing\"}", "Expecting capabilities");
    close(fd);
}

/*
 * Calls while something else goes on: none may be kept waiting.  A machine
 * with more to do than it can may be late now and then.
 */
enum { CALLS = 100, MAY_BE_LATE = 10 };

static int call_is_late(ColoQmpClient *c, const char *command, JsonObject *args)
{
    gint64 start = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) v =
        colo_qmp_client_call(c, command, args, 5 * SECOND, &error);

    g_assert_no_error(error);
    g_assert_nonnull(v);
    return g_get_monotonic_time() - start > SECOND / 10;
}

/* A client that stops reading is dropped; the others are served at once. */
static void test_slow_reader(Fixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = must_connect(f);
    int slow = raw_negotiated(f), lines = 0, late = 0;
    char *line;

    for (int i = 0; i < CALLS; i++) {
        JsonObject *args = json_object_new();

        json_object_set_int_member(args, "n", 1);
        json_object_set_int_member(args, "size", 60000);
        late += call_is_late(c, "emit", args);
    }
    g_assert_cmpint(late, <=, MAY_BE_LATE);
    while ((line = raw_read_line(slow))) {
        lines++;
        g_free(line);
    }
    g_assert_cmpint(lines, >, 0);
    g_assert_cmpint(lines, <, CALLS);
    close(slow);
}

/* Requests without end from one that never reads: the others go on. */
static void test_hog(Fixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = must_connect(f);
    static const char request[] = "{\"execute\":\"query-commands\"}\n";
    int hog = raw_negotiated(f), late = 0;
    gsize sent = 0;
    ssize_t n;

    for (int i = 0; i < CALLS; i++) {
        while ((n = send(hog, request, sizeof(request) - 1,
                         MSG_DONTWAIT | MSG_NOSIGNAL)) > 0 &&
               sent < 64 * 1024 * 1024) {
            sent += n;
        }
        late += call_is_late(c, "nothing", NULL);
    }
    g_assert_cmpint(late, <=, MAY_BE_LATE);
    /* It was held back, not served into a queue without bound. */
    g_assert_cmpint(sent, <, 8 * 1024 * 1024);
    close(hog);
}

/*
 * A client may send all it has and shut its side: it gets its answers, also
 * those that wait in the server when it reads the end of the requests (four
 * of 60000 bytes are just more than a socket holds).
 */
static void test_half_close(Fixture *f, gconstpointer unused)
{
    enum { N = 4, SIZE = 60000 };
    static const char request[] =
        "{\"execute\":\"big\",\"arguments\":{\"size\":60000}}\n";
    g_autoptr(ColoQmpClient) other = must_connect(f);
    int fd = raw_negotiated(f), n = 0;
    char *line;

    for (int i = 0; i < N; i++) {
        raw_write(fd, request, strlen(request));
    }
    shutdown(fd, SHUT_WR);
    /* Served in turns: after some of these the server has seen the end. */
    for (int i = 0; i < 50; i++) {
        call_is_late(other, "nothing", NULL);
    }
    while ((line = raw_read_line(fd))) {
        g_assert_cmpuint(strlen(line), ==,
                         SIZE + strlen("{\"return\":\"\"}"));
        g_free(line);
        n++;
    }
    g_assert_cmpint(n, ==, N);
    close(fd);
}

static void test_too_many(Fixture *f, gconstpointer unused)
{
    int fds[COLO_QMP_MAX_CLIENTS + 1];
    g_autofree char *refusal = NULL, *end = NULL;

    for (int i = 0; i < COLO_QMP_MAX_CLIENTS; i++) {
        fds[i] = raw_negotiated(f);
    }
    fds[COLO_QMP_MAX_CLIENTS] = raw_connect(f->path);
    refusal = raw_read_line(fds[COLO_QMP_MAX_CLIENTS]);
    g_assert_nonnull(strstr(refusal, "too many clients (32)"));
    g_assert_null(end = raw_read_line(fds[COLO_QMP_MAX_CLIENTS]));

    /* Each that leaves makes room. */
    for (int i = 0; i < COLO_QMP_MAX_CLIENTS; i++) {
        exchange(fds[i], "{\"execute\":\"nothing\"}", "{\"return\":{}}");
        close(fds[i]);
    }
    close(fds[COLO_QMP_MAX_CLIENTS]);
    for (int tries = 0;; tries++) {
        int fd = raw_connect(f->path);
        g_autofree char *line = raw_read_line(fd);

        close(fd);
        if (strstr(line, "QMP")) {
            break;
        }
        g_assert_cmpint(tries, <, 1000);
    }
}

/* The reply to quit and the events before it still arrive. */
static void test_quit(Fixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) v = NULL;

    v = colo_qmp_client_call(c, "quit", NULL, 5 * SECOND, &error);
    g_assert_no_error(error);
    g_assert_nonnull(v);
    while (colo_qmp_client_wait_any(c, in(5 * SECOND), &error)) {
    }
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_CLOSED);
    g_assert_cmpstr(f->events->str, ==, "LAST-1 ");
    g_thread_join(g_steal_pointer(&f->thread));
}

/* Who may listen where. */
static void test_listen(void)
{
    g_autoptr(ColoQmpServer) a = colo_qmp_server_new("colo", commands, NULL);
    g_autoptr(ColoQmpServer) b = colo_qmp_server_new("colo", commands, NULL);
    char *folder = raw_folder_new();
    g_autofree char *sub = g_build_filename(folder, "run", NULL);
    g_autofree char *path = g_build_filename(sub, "qmp", NULL);
    g_autofree char *stale = g_build_filename(folder, "stale", NULL);
    g_autofree char *file = g_build_filename(folder, "file", NULL);
    g_autofree char *filler = g_strnfill(200, 'p');
    g_autofree char *long_path = g_build_filename(folder, filler, NULL);
    g_autoptr(GError) error = NULL;
    struct stat st;
    RawServer *dead;
    static const RawStep none[] = {{RAW_END}};
    int fd;

    g_assert_true(colo_qmp_server_listen(a, path, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    g_assert_cmpint(stat(sub, &st), ==, 0);

    g_assert_false(colo_qmp_server_listen(b, path, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    g_assert_nonnull(strstr(error->message, "another process"));
    g_clear_error(&error);

    g_assert_true(g_file_set_contents(file, "x", 1, NULL));
    g_assert_false(colo_qmp_server_listen(b, file, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));

    g_assert_false(colo_qmp_server_listen(b, long_path, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);

    dead = raw_server_start(stale, none);
    fd = raw_connect(stale);
    close(fd);
    raw_server_join(dead);
    g_assert_true(g_file_test(stale, G_FILE_TEST_EXISTS));
    g_assert_true(colo_qmp_server_listen(b, stale, &error));
    g_assert_no_error(error);

    /* A path that now belongs to somebody else is left alone. */
    g_assert_cmpint(g_unlink(stale), ==, 0);
    g_assert_true(g_file_set_contents(stale, "x", 1, NULL));
    colo_qmp_server_free(g_steal_pointer(&b));
    g_assert_true(g_file_test(stale, G_FILE_TEST_EXISTS));
    colo_qmp_server_free(g_steal_pointer(&a));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_rmdir(sub);
    raw_folder_free(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/qmp-server/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("client", test_client);
    ADD("requests", test_requests);
    ADD("negotiation", test_negotiation);
    ADD("depth", test_depth);
    ADD("byte-by-byte", test_byte_by_byte);
    ADD("line-length", test_line_length);
    ADD("endless-line", test_endless_line);
    ADD("pipeline", test_pipeline);
    ADD("deadlock", test_deadlock);
    ADD("big-replies", test_big_replies);
    ADD("events", test_events);
    ADD("slow-reader", test_slow_reader);
    ADD("hog", test_hog);
    ADD("half-close", test_half_close);
    ADD("too-many", test_too_many);
    ADD("quit", test_quit);
    g_test_add_func("/qmp-server/listen", test_listen);
    return g_test_run();
}
