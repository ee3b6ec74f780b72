/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP server's protocol: requests, answers, events, its socket. */
#include "colo/qmp-server.h"

#include "colo/common/qmp-wire.h"
#include "qmp-fixture.h"
#include "raw-peer.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* As QEMU's own tools read it. */
static void check_version(JsonObject *version)
{
    JsonObject *qemu = colo_json_get_object(version, "qemu");
    g_autofree char *package = NULL;
    gint64 part[3];

    g_assert_true(colo_json_get_int(qemu, "major", &part[0]) &&
                  colo_json_get_int(qemu, "minor", &part[1]) &&
                  colo_json_get_int(qemu, "micro", &part[2]));
    package = g_strdup_printf("colo %d.%d.%d", (int)part[0], (int)part[1],
                              (int)part[2]);
    g_assert_cmpstr(colo_json_get_string(version, "package"), ==, package);
}

static void test_client(QmpFixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) version = NULL, list = NULL;
    static const char *const classes[] = {"GenericError", "CommandNotFound",
                                          "DeviceNotActive", "DeviceNotFound",
                                          "KVMMissingCap"};

    version = colo_qmp_client_call(c, "query-version", NULL, SECOND, &error);
    g_assert_no_error(error);
    check_version(json_node_get_object(version));
    check_version(
        colo_json_get_object(colo_qmp_client_greeting(c), "version"));
    list = colo_qmp_client_call(c, "query-commands", NULL, SECOND, &error);
    g_assert_no_error(error);
    g_assert_cmpint(json_array_get_length(json_node_get_array(list)), ==,
                    QMP_FIXTURE_COMMANDS + 3);

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
static void test_requests(QmpFixture *f, gconstpointer unused)
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
    int fd = qmp_fixture_raw(f);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        qmp_fixture_exchange(fd, cases[i][0], cases[i][1]);
    }
    raw_write(fd, "\n \r\n\t\n", 6); /* nothing at all is no request */
    qmp_fixture_exchange(fd, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
    close(fd);
}

static void test_negotiation(QmpFixture *f, gconstpointer unused)
{
    int fd = raw_connect(f->path);
    g_autofree char *greeting = raw_read_line(fd);

    g_assert_nonnull(strstr(greeting, "\"capabilities\":[]"));
    qmp_fixture_exchange(
        fd, "{\"execute\":\"nothing\"}",
        "\"CommandNotFound\",\"desc\":\"Expecting capabilities");
    qmp_fixture_exchange(fd,
                         "{\"execute\":\"qmp_capabilities\",\"arguments\":"
                         "{\"enable\":[\"oob\"]}}",
                         "no capabilities to enable");
    qmp_fixture_exchange(fd,
                         "{\"execute\":\"qmp_capabilities\",\"arguments\":"
                         "{\"enable\":[]},\"id\":\"x\"}",
                         "{\"return\":{},\"id\":\"x\"}");
    qmp_fixture_exchange(fd, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
    close(fd);
}

static void test_depth(QmpFixture *f, gconstpointer unused)
{
    int fd = qmp_fixture_raw(f);

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
            qmp_fixture_exchange(fd, request->str,
                                 depth < COLO_QMP_MAX_DEPTH
                                     ? "\"return\":{}"
                                     : "nested more than 64 deep");
            g_string_free(request, TRUE);
        }
    }
    close(fd);
}

static void test_byte_by_byte(QmpFixture *f, gconstpointer unused)
{
    static const char text[] = "{\"execute\":\"nothing\",\"id\":1}\r\n"
                               "{\"execute\":\"nothing\",\"id\":2}\n";
    g_autofree char *one = NULL, *two = NULL;
    int fd = qmp_fixture_raw(f);

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
static void test_line_length(QmpFixture *f, gconstpointer unused)
{
    for (int over = 0; over < 2; over++) {
        static const char head[] = "{\"execute\":\"nothing\",\"id\":\"";
        int fd = qmp_fixture_raw(f);
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
            qmp_fixture_exchange(fd, "{\"execute\":\"nothing\"}",
                                 "{\"return\":{}}");
        }
        close(fd);
    }
}

static gpointer emit_from_thread(gpointer data)
{
    QmpFixture *f = data;

    for (int i = 0; i < 100; i++) {
        JsonObject *o = json_object_new();

        json_object_set_int_member(o, "i", i);
        colo_qmp_server_emit(f->server, "T", o);
    }
    return NULL;
}

/* Events from other threads reach each client in their order. */
static void test_events(QmpFixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) a = qmp_fixture_connect(f),
                             b = qmp_fixture_connect(f);
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
    qmp_fixture_exchange(fd, "{\"execute\":\"nothing\"}",
                         "Expecting capabilities");
    close(fd);
}

/* The reply to quit and the events before it still arrive. */
static void test_quit(QmpFixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
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

static guint who(int fd)
{
    g_autofree char *reply = NULL;
    guint number = 0;

    raw_write(fd, "{\"execute\":\"who\"}\n", 18);
    reply = raw_read_line(fd);
    g_assert_cmpint(sscanf(reply, "{\"return\":%u}", &number), ==, 1);
    return number;
}

static guint next_gone(QmpFixture *f)
{
    return GPOINTER_TO_UINT(g_async_queue_timeout_pop(f->gone, 5 * SECOND));
}

/* A handler knows who asks; whose connection ended is said, once. */
static void test_clients(QmpFixture *f, gconstpointer unused)
{
    int a = qmp_fixture_raw(f), b = qmp_fixture_raw(f), c;
    guint number_a = who(a), number_b = who(b), number_c;
    g_autofree char *end = NULL;

    g_assert_cmpuint(number_a, !=, 0);
    g_assert_cmpuint(number_b, !=, 0);
    g_assert_cmpuint(number_a, !=, number_b);
    g_assert_cmpuint(who(a), ==, number_a);
    g_assert_cmpuint(who(b), ==, number_b);
    g_assert_null(g_async_queue_try_pop(f->gone));

    close(a);
    g_assert_cmpuint(next_gone(f), ==, number_a);
    c = qmp_fixture_raw(f);
    number_c = who(c);
    g_assert_cmpuint(number_c, !=, number_a);
    g_assert_cmpuint(number_c, !=, number_b);
    g_assert_cmpuint(who(b), ==, number_b);

    /* The last word is answered first. */
    raw_write(c, "{\"execute\":\"nothing\"}\n", 22);
    g_assert_cmpint(shutdown(c, SHUT_WR), ==, 0);
    end = raw_read_line(c);
    g_assert_cmpstr(end, ==, "{\"return\":{}}");
    g_assert_cmpuint(next_gone(f), ==, number_c);
    close(c);

    /* One that never spoke. */
    a = raw_connect(f->path);
    close(a);
    g_assert_cmpuint(next_gone(f), >, number_c);
    g_assert_cmpuint(who(b), ==, number_b);
    g_assert_null(g_async_queue_try_pop(f->gone));
    close(b);
    g_assert_cmpuint(next_gone(f), ==, number_b);
}

/* One that is dropped for not reading is gone, too. */
static void test_dropped(QmpFixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
    g_autoptr(GError) error = NULL;
    int lazy = qmp_fixture_raw(f);
    guint number = who(lazy);
    gboolean gone = FALSE;

    for (int i = 0; i < 64 && !gone; i++) {
        g_autoptr(JsonNode) v = NULL;
        JsonObject *args = json_object_new();

        json_object_set_int_member(args, "n", 1);
        json_object_set_int_member(args, "size", 256 * 1024);
        v = colo_qmp_client_call(c, "emit", args, 5 * SECOND, &error);
        g_assert_no_error(error);
        gone = g_async_queue_length(f->gone) > 0;
    }
    g_assert_cmpuint(next_gone(f), ==, number);
    close(lazy);
}

/* Who may listen where. */
static void test_listen(void)
{
    g_autoptr(ColoQmpServer) a =
        colo_qmp_server_new("colo", qmp_fixture_commands, NULL);
    g_autoptr(ColoQmpServer) b =
        colo_qmp_server_new("colo", qmp_fixture_commands, NULL);
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
    QMP_FIXTURE_ADD("/qmp-server/client", test_client);
    QMP_FIXTURE_ADD("/qmp-server/requests", test_requests);
    QMP_FIXTURE_ADD("/qmp-server/negotiation", test_negotiation);
    QMP_FIXTURE_ADD("/qmp-server/depth", test_depth);
    QMP_FIXTURE_ADD("/qmp-server/byte-by-byte", test_byte_by_byte);
    QMP_FIXTURE_ADD("/qmp-server/line-length", test_line_length);
    QMP_FIXTURE_ADD("/qmp-server/events", test_events);
    QMP_FIXTURE_ADD("/qmp-server/clients", test_clients);
    QMP_FIXTURE_ADD("/qmp-server/dropped", test_dropped);
    QMP_FIXTURE_ADD("/qmp-server/quit", test_quit);
    g_test_add_func("/qmp-server/listen", test_listen);
    return g_test_run();
}
