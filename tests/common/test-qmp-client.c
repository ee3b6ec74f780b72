/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP client against servers that follow a script, honest or not. */
#include "colo/qmp-client.h"

#include "colo/common/qmp-wire.h"
#include "raw-peer.h"

#include <string.h>
#include <unistd.h>

#define SECOND G_USEC_PER_SEC

typedef struct Fixture {
    char *folder, *path;
    GString *events; /* "NAME@time " for each */
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->folder = raw_folder_new();
    f->path = g_build_filename(f->folder, "qmp", NULL);
    f->events = g_string_new(NULL);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    g_free(f->path);
    raw_folder_free(f->folder);
    g_string_free(f->events, TRUE);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    Fixture *f = user_data;

    g_string_append_printf(f->events, "%s@%" G_GINT64_FORMAT "%s ", event,
                           time_us, data ? "+" : "");
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

static void test_call(Fixture *f, gconstpointer unused)
{
    static const RawStep steps[] = {
        RAW_NEGOTIATE,
        {RAW_EXPECT, "{\"execute\":\"a\",\"id\":2}"},
        {RAW_TRICKLE, "{\"return\": {\"x\": [1, 2]}, \"id\": 2}\r\n"},
        {RAW_EXPECT, "\"arguments\":{\"k\":\"\\u001f\\\"\\n\"},\"id\":3}"},
        {RAW_SEND, "{\"id\": 3, \"error\": {\"class\": \"DeviceNotFound\", "
                   "\"desc\": \"no such\"}}\n"},
        {RAW_END},
    };
    RawServer *s = raw_server_start(f->path, steps);
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) value = NULL;
    JsonObject *args = json_object_new();
    gint64 major;

    g_assert_true(colo_json_get_int(
        colo_json_get_object(
            colo_json_get_object(colo_qmp_client_greeting(c), "version"),
            "qemu"),
        "major", &major));
    g_assert_cmpint(major, ==, 7);
    g_assert_cmpint(colo_qmp_client_peer_pid(c), ==, getpid());

    value = colo_qmp_client_call(c, "a", NULL, 5 * SECOND, &error);
    g_assert_no_error(error);
    g_assert_cmpint(json_array_get_length(
                        colo_json_get_array(json_node_get_object(value), "x")),
                    ==, 2);

    json_object_set_string_member(args, "k", "\x1f\"\n");
    g_assert_null(colo_qmp_client_call(c, "b", args, 5 * SECOND, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_DEVICE_NOT_FOUND);
    g_assert_cmpstr(error->message, ==, "no such");
    raw_server_join(s);
}

/* Answers in another order than the commands, with events between. */
static void test_pipeline(Fixture *f, gconstpointer unused)
{
    static const RawStep steps[] = {
        {RAW_SEND, RAW_GREETING "{\"event\": \"EARLY\"}\r\n"},
        {RAW_EXPECT, "qmp_capabilities"},
        {RAW_SEND, "{\"return\": {}, \"id\": 1}\n"},
        {RAW_EXPECT, "\"id\":2"},
        {RAW_EXPECT, "\"id\":3"},
        {RAW_EXPECT, "\"id\":4"},
        {RAW_EXPECT, "\"id\":5"},
        {RAW_SEND,
         "{\"timestamp\": {\"seconds\": 7, \"microseconds\": 8}, \"event\": "
         "\"STOP\", \"data\": {\"a\": 1}}\r\n"
         "{\"return\": 4, \"id\": 4}\r\n{\"return\": 99, \"id\": 99}\r\n"
         "{\"return\": 5, \"id\": 5}\r\n"
         "{\"timestamp\": {\"seconds\": -1, \"microseconds\": -1}, \"event\":"
         " \"RESUME\"}\r\n\r\n"
         "{\"return\": 3, \"id\": 3}\r\n{\"return\": 2, \"id\": 2}\r\n"
         "{\"return\": 22, \"id\": 2}\r\n"},
        {RAW_END},
    };
    RawServer *s = raw_server_start(f->path, steps);
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    guint64 ids[4];

    for (int i = 0; i < 4; i++) {
        ids[i] = colo_qmp_client_send(c, "x", NULL);
    }
    colo_qmp_client_ignore(c, ids[3]);
    for (int i = 0; i < 3; i++) {
        g_autoptr(JsonNode) v =
            colo_qmp_client_wait(c, ids[i], in(5 * SECOND), &error);

        g_assert_no_error(error);
        g_assert_cmpint(json_node_get_int(v), ==, i + 2);
    }
    g_assert_cmpstr(f->events->str, ==, "EARLY@0 STOP@7000008+ RESUME@0 ");

    /* Neither an answer twice nor an ignored one can be had. */
    g_assert_null(colo_qmp_client_wait(c, ids[0], in(SECOND), &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC);
    g_clear_error(&error);
    g_assert_null(colo_qmp_client_wait(c, ids[3], in(SECOND), &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC);
    raw_server_join(s);
}

/* It greets, and then it says nothing. */
static const RawStep silent[] = {
    RAW_NEGOTIATE,
    {RAW_HOLD},
    {RAW_END},
};

static void test_timeout(Fixture *f, gconstpointer unused)
{
    RawServer *s = raw_server_start(f->path, silent);
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    /* Waiting for events in vain breaks nothing. */
    g_assert_false(colo_qmp_client_wait_any(c, in(20000), &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_clear_error(&error);
    g_assert_true(colo_qmp_client_dispatch(c, &error));

    g_assert_null(colo_qmp_client_call(c, "x", NULL, 50000, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_clear_error(&error);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 70000);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * SECOND);

    /* A command without an answer does break it, for good. */
    g_assert_null(colo_qmp_client_call(c, "x", NULL, SECOND, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_clear_error(&error);
    g_assert_false(colo_qmp_client_dispatch(c, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    raw_server_release(s);
    raw_server_join(s);
}

/* What each kind of bad server does to the client. */
typedef struct BadServer {
    const char *name;
    RawStep steps[8];
    ColoQmpErrorCode code;
    const char *message;
} BadServer;

#define RAW_COMMAND                                                            \
    RAW_NEGOTIATE,                                                             \
    {                                                                          \
        RAW_EXPECT, "\"x\""                                                    \
    }

static const BadServer bad_servers[] = {
    {"garbage",
     {RAW_COMMAND, {RAW_SEND, "hello\n"}},
     COLO_QMP_ERROR_PROTOCOL,
     "JSON parse error"},
    {"not-an-object",
     {RAW_COMMAND, {RAW_SEND, "[1]\n"}},
     COLO_QMP_ERROR_PROTOCOL,
     "must be a JSON object"},
    {"no-id",
     {RAW_COMMAND,
      {RAW_SEND, "{\"error\": {\"class\": \"GenericError\", "
                 "\"desc\": \"bad text\"}}\n"}},
     COLO_QMP_ERROR_PROTOCOL,
     "bad text"},
    {"no-message",
     {RAW_COMMAND, {RAW_SEND, "{\"id\": 2}\n"}},
     COLO_QMP_ERROR_PROTOCOL,
     "no greeting, answer or event"},
    {"too-long",
     {RAW_COMMAND, {RAW_FILL, NULL, COLO_QMP_MAX_REPLY + 10}},
     COLO_QMP_ERROR_PROTOCOL,
     "more than 16777216 bytes"},
    {"closed",
     {RAW_COMMAND, {RAW_CLOSE}},
     COLO_QMP_ERROR_CLOSED,
     "closed the connection"},
    {"cut",
     {RAW_COMMAND, {RAW_SEND, "{\"return\": {}, \"id\": 2"}, {RAW_CLOSE}},
     COLO_QMP_ERROR_CLOSED,
     "closed the connection"},
    {"error-of-wrong-shape",
     {RAW_COMMAND, {RAW_SEND, "{\"error\": [], \"id\": 2}\n"}},
     COLO_QMP_ERROR_GENERIC,
     "without a description"},
};

static void test_bad(gconstpointer data)
{
    const BadServer *bad = data;
    Fixture f;
    RawServer *s;

    set_up(&f, NULL);
    s = raw_server_start(f.path, bad->steps);
    {
        g_autoptr(ColoQmpClient) c = must_connect(&f);
        g_autoptr(GError) error = NULL;

        g_assert_null(colo_qmp_client_call(c, "x", NULL, 8 * SECOND, &error));
        g_assert_error(error, COLO_QMP_ERROR, (int)bad->code);
        g_assert_nonnull(strstr(error->message, bad->message));
    }
    raw_server_join(s);
    tear_down(&f, NULL);
}

static gint64 later_us;
static guint asked_for_later;

static gint64 later(gpointer user_data)
{
    asked_for_later++;
    return later_us;
}

/* Whoever waits may get more time when the deadline has passed. */
static void test_later(Fixture *f, gconstpointer unused)
{
    RawServer *s = raw_server_start(f->path, silent);
    g_autoptr(ColoQmpClient) c = must_connect(f);
    g_autoptr(GError) error = NULL;

    colo_qmp_client_set_deadline_func(c, later);
    later_us = in(60000);
    g_assert_false(colo_qmp_client_wait_any(c, in(10000), &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_clear_error(&error);
    g_assert_cmpint(g_get_monotonic_time(), >=, later_us);
    g_assert_cmpuint(asked_for_later, ==, 2); /* the second time in vain */

    later_us = in(60000);
    g_assert_null(colo_qmp_client_call(c, "x", NULL, 10000, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time(), >=, later_us);
    g_assert_cmpuint(asked_for_later, ==, 4);
    raw_server_release(s);
    raw_server_join(s);
}

/* A stream of events does not carry a call past its deadline. */
static void test_flood(Fixture *f, gconstpointer unused)
{
    static const RawStep steps[] = {
        RAW_NEGOTIATE,
        {RAW_FLOOD, "{\"event\": \"E\"}\r\n"},
        {RAW_END},
    };
    RawServer *s = raw_server_start(f->path, steps);
    ColoQmpClient *c = must_connect(f);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    g_assert_null(colo_qmp_client_call(c, "x", NULL, 100000, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * SECOND);
    g_assert_cmpint(f->events->len, >, 0);
    colo_qmp_client_free(c); /* ends the flood */
    raw_server_join(s);
}

static void test_no_greeting(Fixture *f, gconstpointer unused)
{
    static const RawStep steps[] = {{RAW_HOLD}, {RAW_END}};
    RawServer *s = raw_server_start(f->path, steps);
    g_autoptr(GError) error = NULL;

    g_assert_null(colo_qmp_client_connect(f->path, 50000, NULL, NULL, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);
    g_assert_nonnull(strstr(error->message, "no greeting"));
    raw_server_release(s);
    raw_server_join(s);
}

static void test_nobody(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(colo_qmp_client_connect(f->path, SECOND, NULL, NULL, &error));
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_CLOSED);
    g_assert_nonnull(strstr(error->message, f->path));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func)                                                        \
    g_test_add("/qmp-client/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("call", test_call);
    ADD("pipeline", test_pipeline);
    ADD("timeout", test_timeout);
    ADD("later", test_later);
    ADD("flood", test_flood);
    ADD("no-greeting", test_no_greeting);
    ADD("nobody", test_nobody);
    for (guint i = 0; i < G_N_ELEMENTS(bad_servers); i++) {
        g_autofree char *name =
            g_strconcat("/qmp-client/bad/", bad_servers[i].name, NULL);

        g_test_add_data_func(name, &bad_servers[i], test_bad);
    }
    return g_test_run();
}
