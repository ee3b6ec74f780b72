/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP server on a thread of its own, as in the daemons. */
#include "qmp-fixture.h"

#include "colo/common/qmp-wire.h"
#include "raw-peer.h"

#include <string.h>

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
        g_set_error(error, COLO_QMP_ERROR,
                    (int)colo_qmp_error_from_class(class), "as asked: %s",
                    class);
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
    QmpFixture *f = user_data;
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
    QmpFixture *f = user_data;

    colo_qmp_server_emit(f->server, "LAST", NULL);
    g_main_loop_quit(f->loop);
    return NULL;
}

static JsonNode *do_who(JsonObject *args, gpointer user_data, GError **error)
{
    QmpFixture *f = user_data;
    JsonNode *node = json_node_new(JSON_NODE_VALUE);

    json_node_set_int(node, (gint64)colo_qmp_server_asking(f->server));
    return node;
}

/* Outside of handlers nobody asks. */
static void client_gone(guint64 client, gpointer user_data)
{
    QmpFixture *f = user_data;

    g_assert_cmpuint(colo_qmp_server_asking(f->server), ==, 0);
    g_async_queue_push(f->gone, GUINT_TO_POINTER((guint)client));
}

static const ColoQmpArg echo_args[] = {
    {"text", COLO_QMP_STR},        {"int", COLO_QMP_INT, TRUE},
    {"bool", COLO_QMP_BOOL, TRUE}, {"obj", COLO_QMP_OBJ, TRUE},
    {"list", COLO_QMP_LIST, TRUE}, {NULL},
};
static const ColoQmpArg fail_args[] = {{"class", COLO_QMP_STR, TRUE}, {NULL}};
static const ColoQmpArg emit_args[] = {
    {"n", COLO_QMP_INT}, {"size", COLO_QMP_INT, TRUE}, {NULL}};
static const ColoQmpArg big_args[] = {{"size", COLO_QMP_INT}, {NULL}};

const ColoQmpCommand qmp_fixture_commands[] = {
    {"big", big_args, do_big},     {"echo", echo_args, do_echo},
    {"emit", emit_args, do_emit},  {"fail", fail_args, do_fail},
    {"nothing", NULL, do_nothing}, {"quit", NULL, do_quit},
    {"who", NULL, do_who},         {NULL},
};

static gboolean say_up(gpointer data)
{
    QmpFixture *f = data;

    g_mutex_lock(&f->lock);
    f->up = TRUE;
    g_cond_signal(&f->cond);
    g_mutex_unlock(&f->lock);
    return G_SOURCE_REMOVE;
}

static gpointer serve(gpointer data)
{
    QmpFixture *f = data;
    GMainContext *context = g_main_context_new();
    g_autoptr(GSource) idle = g_idle_source_new();
    g_autoptr(GError) error = NULL;

    g_main_context_push_thread_default(context);
    f->loop = g_main_loop_new(context, FALSE);
    f->server = colo_qmp_server_new("colo", qmp_fixture_commands, f);
    colo_qmp_server_set_gone_func(f->server, client_gone);
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

void qmp_fixture_set_up(QmpFixture *f, gconstpointer unused)
{
    f->folder = raw_folder_new();
    f->path = g_build_filename(f->folder, "qmp", NULL);
    f->events = g_string_new(NULL);
    f->gone = g_async_queue_new();
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
    QmpFixture *f = user_data;
    gint64 i = -1;

    if (data) {
        colo_json_get_int(data, "i", &i);
    }
    g_string_append_printf(f->events, "%s%d ", event, (int)i);
    g_assert_cmpint(ABS(g_get_real_time() - time_us), <, 60 * SECOND);
}

ColoQmpClient *qmp_fixture_connect(QmpFixture *f)
{
    g_autoptr(GError) error = NULL;
    ColoQmpClient *c =
        colo_qmp_client_connect(f->path, 5 * SECOND, on_event, f, &error);

    g_assert_no_error(error);
    return c;
}

void qmp_fixture_tear_down(QmpFixture *f, gconstpointer unused)
{
    if (f->thread) {
        g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
        g_autoptr(JsonNode) v =
            colo_qmp_client_call(c, "quit", NULL, 5 * SECOND, NULL);

        g_assert_nonnull(v);
        g_thread_join(f->thread);
    }
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->cond);
    g_string_free(f->events, TRUE);
    g_async_queue_unref(f->gone);
    g_free(f->path);
    raw_folder_free(f->folder);
}

int qmp_fixture_raw(QmpFixture *f)
{
    int fd = raw_connect(f->path);
    g_autofree char *greeting = raw_read_line(fd);
    g_autofree char *reply = NULL;

    g_assert_true(
        g_str_has_prefix(greeting, "{\"QMP\":{\"version\":{\"qemu\""));
    raw_write(fd, "{\"execute\":\"qmp_capabilities\"}", 30);
    raw_write(fd, "\r\n", 2);
    reply = raw_read_line(fd);
    g_assert_cmpstr(reply, ==, "{\"return\":{}}");
    return fd;
}

void qmp_fixture_exchange(int fd, const char *request, const char *expected)
{
    g_autofree char *line = g_strconcat(request, "\n", NULL), *reply = NULL;

    raw_write(fd, line, strlen(line));
    reply = raw_read_line(fd);
    if (!reply || !strstr(reply, expected)) {
        g_error("%s: expected '%s', got '%s'", request, expected,
                reply ? reply : "the end");
    }
}
