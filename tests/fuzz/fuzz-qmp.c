/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP: a client's bytes to our server, and a server's bytes to our client.
 *
 * The first byte says which (modulo 3): 0 requests, 1 what follows a good
 * negotiation, 2 all that a server says.  The second is the size of the
 * pieces in which the bytes arrive (0: all at once).
 */
#include "fuzz.h"

#include "colo/common/qmp-dispatch.h"
#include "colo/common/qmp-wire.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char fuzz_corpus[] = "qmp";

enum { MAX_SIZE = 32 * 1024, COMMANDS = 4 };

static JsonNode *do_echo(JsonObject *args, gpointer user_data, GError **error)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_set_object(node, args);
    return node;
}

static const ColoQmpArg args[] = {
    {"s", COLO_QMP_STR, TRUE},  {"i", COLO_QMP_INT, TRUE},
    {"b", COLO_QMP_BOOL, TRUE}, {"o", COLO_QMP_OBJ, TRUE},
    {"l", COLO_QMP_LIST, TRUE}, {NULL},
};

static const ColoQmpCommand commands[] = {{"echo", args, do_echo}, {NULL}};

/* Whatever came in, what goes out must be a message that we would take. */
static void check_reply(const char *reply)
{
    static JsonParser *parser;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = NULL;

    if (!parser) {
        parser = json_parser_new();
    }
    root = colo_qmp_parse(parser, reply, strlen(reply),
                          COLO_QMP_MAX_REPLY_DEPTH, TRUE, &error);
    if (!root) {
        g_error("'%s' is no reply: %s", reply, error->message);
    }
}

static void fuzz_server(const uint8_t *data, size_t size, gsize piece)
{
    static ColoQmpTable *table;
    gboolean negotiated = FALSE, too_long = FALSE;
    ColoQmpLines in;

    if (!table) {
        table = colo_qmp_table_new("colo", commands, NULL);
    }
    colo_qmp_lines_init(&in, 4096); /* small: reached by small inputs */
    while (size && !too_long) {
        gsize room, n, len;
        char *space = colo_qmp_lines_space(&in, &room);
        const char *line;

        n = MIN(MIN(room, size), piece ? piece : size);
        memcpy(space, data, n);
        colo_qmp_lines_fed(&in, n);
        data += n;
        size -= n;
        while ((line = colo_qmp_lines_next(&in, &len, &too_long))) {
            g_autofree char *reply =
                colo_qmp_dispatch(table, line, len, &negotiated);

            g_assert_cmpuint(len, <=, 4096);
            if (reply) {
                check_reply(reply);
            }
        }
    }
    colo_qmp_lines_clear(&in);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    g_assert_nonnull(event);
    g_assert_cmpint(time_us, >=, 0);
    g_assert_true(!data || json_object_get_size(data) < MAX_SIZE);
}

static void on_reply(guint64 id, JsonNode *value, gpointer user_data)
{
    g_assert_cmpuint(id, >, 1); /* only what was asked */
    g_assert_cmpuint(id, <=, 1 + COMMANDS);
}

static void use_client(ColoQmpClient *c)
{
    gint64 deadline = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    guint64 ids[COMMANDS];

    colo_qmp_client_set_reply_func(c, on_reply);
    for (int i = 0; i < COMMANDS; i++) {
        ids[i] = colo_qmp_client_send(c, "x", NULL);
    }
    colo_qmp_client_ignore(c, ids[0]);
    for (int i = COMMANDS - 1; i >= 0; i--) {
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonNode) value =
            colo_qmp_client_wait(c, ids[i], deadline, &error);

        g_assert_true(!value != !error);
        /* The stream ends: nothing may wait for its deadline. */
        g_assert_false(
            g_error_matches(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT));
    }
    while (colo_qmp_client_wait_any(c, deadline, NULL)) {
    }
}

static void fuzz_client(const uint8_t *data, size_t size, gboolean greeted)
{
    static const char hello[] = "{\"QMP\": {\"version\": {}}}\r\n"
                                "{\"return\": {}, \"id\": 1}\r\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoQmpClient) c = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==,
                    0);
    if (greeted) {
        g_assert_cmpint(write(fds[1], hello, sizeof(hello) - 1), ==,
                        sizeof(hello) - 1);
    }
    /* Fits into the socket's buffer, so one thread will do. */
    g_assert_cmpint(send(fds[1], data, size, MSG_DONTWAIT), ==, size);
    shutdown(fds[1], SHUT_WR);
    c = colo_qmp_client_adopt(fds[0], "fuzz", 10 * G_USEC_PER_SEC, on_event,
                              NULL, &error);
    if (c) {
        use_client(c);
    } else {
        g_assert_nonnull(error);
    }
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > MAX_SIZE) {
        return 0;
    }
    if (data[0] % 3) {
        fuzz_client(data + 2, size - 2, data[0] % 3 == 1);
    } else {
        fuzz_server(data + 2, size - 2, data[1]);
    }
    return 0;
}
