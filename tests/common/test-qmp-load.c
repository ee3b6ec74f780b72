/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP server with clients that send too much or read too little. */
#include "colo/qmp-server.h"

#include "colo/common/qmp-wire.h"
#include "qmp-fixture.h"
#include "raw-peer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A line without an end: refused as soon as it is too long. */
static void test_endless_line(QmpFixture *f, gconstpointer unused)
{
    int fd = qmp_fixture_raw(f);
    g_autofree char *filler = g_strnfill(64 * 1024, '{');
    g_autofree char *reply = NULL, *end = NULL;

    for (int i = 0; i < 100 && raw_write(fd, filler, 64 * 1024); i++) {
    }
    reply = raw_read_line(fd);
    g_assert_nonnull(strstr(reply, "more than 65536 bytes"));
    g_assert_null(end = raw_read_line(fd));
    close(fd);
}

static void test_pipeline(QmpFixture *f, gconstpointer unused)
{
    enum { N = 500 };
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
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
static void test_deadlock(QmpFixture *f, gconstpointer unused)
{
    enum { N = 1000 };
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
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
static void test_big_replies(QmpFixture *f, gconstpointer unused)
{
    enum { N = 40 };
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
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

/*
 * Calls while something else goes on: none may be kept waiting.  A machine
 * with more to do than it can, or valgrind, is late at times (16 of 100 were
 * seen); a server that waits for the wrong client is late each time.
 */
enum { CALLS = 100, MAY_BE_LATE = 50 };

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
static void test_slow_reader(QmpFixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
    int slow = qmp_fixture_raw(f), lines = 0, late = 0;
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
static void test_hog(QmpFixture *f, gconstpointer unused)
{
    g_autoptr(ColoQmpClient) c = qmp_fixture_connect(f);
    static const char request[] = "{\"execute\":\"query-commands\"}\n";
    int hog = qmp_fixture_raw(f), late = 0;
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
static void test_half_close(QmpFixture *f, gconstpointer unused)
{
    enum { N = 4, SIZE = 60000 };
    static const char request[] =
        "{\"execute\":\"big\",\"arguments\":{\"size\":60000}}\n";
    g_autoptr(ColoQmpClient) other = qmp_fixture_connect(f);
    int fd = qmp_fixture_raw(f), n = 0;
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
        g_assert_cmpuint(strlen(line), ==, SIZE + strlen("{\"return\":\"\"}"));
        g_free(line);
        n++;
    }
    g_assert_cmpint(n, ==, N);
    close(fd);
}

static void test_too_many(QmpFixture *f, gconstpointer unused)
{
    int fds[COLO_QMP_MAX_CLIENTS + 1];
    g_autofree char *refusal = NULL, *end = NULL;

    for (int i = 0; i < COLO_QMP_MAX_CLIENTS; i++) {
        fds[i] = qmp_fixture_raw(f);
    }
    fds[COLO_QMP_MAX_CLIENTS] = raw_connect(f->path);
    refusal = raw_read_line(fds[COLO_QMP_MAX_CLIENTS]);
    g_assert_nonnull(strstr(refusal, "too many clients (32)"));
    g_assert_null(end = raw_read_line(fds[COLO_QMP_MAX_CLIENTS]));

    /* Each that leaves makes room. */
    for (int i = 0; i < COLO_QMP_MAX_CLIENTS; i++) {
        qmp_fixture_exchange(fds[i], "{\"execute\":\"nothing\"}",
                             "{\"return\":{}}");
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    QMP_FIXTURE_ADD("/qmp-load/endless-line", test_endless_line);
    QMP_FIXTURE_ADD("/qmp-load/pipeline", test_pipeline);
    QMP_FIXTURE_ADD("/qmp-load/deadlock", test_deadlock);
    QMP_FIXTURE_ADD("/qmp-load/big-replies", test_big_replies);
    QMP_FIXTURE_ADD("/qmp-load/slow-reader", test_slow_reader);
    QMP_FIXTURE_ADD("/qmp-load/hog", test_hog);
    QMP_FIXTURE_ADD("/qmp-load/half-close", test_half_close);
    QMP_FIXTURE_ADD("/qmp-load/too-many", test_too_many);
    return g_test_run();
}
