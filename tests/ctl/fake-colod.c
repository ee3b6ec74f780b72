/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP server that answers coloctl as a test wants, and coloctl itself. */
#include "fake-colod.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEADLINE_MS 30000

static void note(FakeColod *f, const char *command, JsonObject *args)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;

    json_node_set_object(node, args);
    text = json_to_string(node, FALSE);
    g_string_append_printf(f->asked, "%s %s\n", command, text);
}

/* Runs after the handler's reply has been queued. */
static gboolean emit_events(gpointer data)
{
    FakeColod *f = data;

    for (gsize i = 0; f->events && f->events[i]; i++) {
        g_auto(GStrv) part = g_strsplit(f->events[i], " ", 2);
        g_autoptr(JsonNode) node = json_from_string(part[1], NULL);

        colo_qmp_server_emit(f->server, part[0], json_node_dup_object(node));
    }
    f->events = NULL;
    if (f->vanish) {
        g_clear_pointer(&f->server, colo_qmp_server_free);
    }
    return G_SOURCE_REMOVE;
}

static JsonNode *answer(FakeColod *f, const char *text, GError **error)
{
    g_idle_add(emit_events, f);
    if (!text) {
        g_set_error_literal(error, COLO_QMP_ERROR,
                            COLO_QMP_ERROR_DEVICE_NOT_ACTIVE, "not now");
        return NULL;
    }
    return json_from_string(text, NULL);
}

static JsonNode *on_status(JsonObject *args, gpointer data, GError **error)
{
    FakeColod *f = data;
    const char *text = f->status;

    note(f, "query-colo-status", args);
    if (f->queries && f->next_status) {
        text = f->next_status;
    }
    if (f->queries > 1 && f->last_status) {
        text = f->last_status;
    }
    f->queries++;
    return answer(f, text, error);
}

static JsonNode *on_stats(JsonObject *args, gpointer data, GError **error)
{
    FakeColod *f = data;

    note(f, "query-colo-stats", args);
    return answer(f, f->stats, error);
}

/* As the proxy that this one may be instead. */
static JsonNode *on_proxy_stats(JsonObject *args, gpointer data, GError **error)
{
    FakeColod *f = data;

    note(f, "query-colo-proxy-stats", args);
    return answer(f, f->stats, error);
}

#define ASKED(function, command)                                              \
    static JsonNode *function(JsonObject *args, gpointer data,                \
                              GError **error)                                 \
    {                                                                         \
        FakeColod *f = data;                                                  \
                                                                              \
        note(f, command, args);                                               \
        return answer(f, f->status, error);                                   \
    }
ASKED(on_checkpoint, "colo-checkpoint")
ASKED(on_failover, "x-colo-lost-heartbeat")
ASKED(on_set, "migrate-set-parameters")
ASKED(on_quit, "quit")

static const ColoQmpArg checkpoint_args[] = {
    {.name = "reason", .type = COLO_QMP_STR, .optional = TRUE}, {NULL}};
static const ColoQmpArg set_args[] = {
    {.name = "x-checkpoint-delay", .type = COLO_QMP_INT, .optional = TRUE},
    {.name = "on", .type = COLO_QMP_BOOL, .optional = TRUE},
    {.name = "text", .type = COLO_QMP_STR, .optional = TRUE},
    {NULL}};
static const ColoQmpCommand commands[] = {
    {"query-colo-status", NULL, on_status},
    {"query-colo-stats", NULL, on_stats},
    {"query-colo-proxy-stats", NULL, on_proxy_stats},
    {"colo-checkpoint", checkpoint_args, on_checkpoint},
    {"x-colo-lost-heartbeat", NULL, on_failover},
    {"migrate-set-parameters", set_args, on_set},
    {"quit", NULL, on_quit},
    {NULL, NULL, NULL},
};

void fake_colod_start(FakeColod *f)
{
    g_autoptr(GError) error = NULL;

    f->folder = g_dir_make_tmp("coloctl-XXXXXX", &error);
    g_assert_no_error(error);
    f->path = g_build_filename(f->folder, "qmp", NULL);
    f->asked = g_string_new(NULL);
    f->server = colo_qmp_server_new("colo", commands, f);
    colo_qmp_server_listen(f->server, f->path, &error);
    g_assert_no_error(error);
}

void fake_colod_stop(FakeColod *f)
{
    g_clear_pointer(&f->server, colo_qmp_server_free);
    g_string_free(f->asked, TRUE);
    g_remove(f->path);
    g_rmdir(f->folder);
    g_free(f->path);
    g_free(f->folder);
}

typedef struct Run {
    Ran *ran;
    gboolean done;
} Run;

static void on_done(GObject *object, GAsyncResult *result, gpointer data)
{
    Run *run = data;
    g_autoptr(GError) error = NULL;

    g_subprocess_communicate_utf8_finish(G_SUBPROCESS(object), result,
                                         &run->ran->out, &run->ran->err,
                                         &error);
    g_assert_no_error(error);
    run->done = TRUE;
}

static gboolean on_late(gpointer data)
{
    g_test_message("coloctl does not end: killed");
    g_subprocess_force_exit(data);
    return G_SOURCE_CONTINUE;
}

/* All that a terminal was sent; EIO when its other end is closed. */
static char *drain(int fd)
{
    GString *text = g_string_new(NULL);
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        g_string_append_len(text, buf, n);
    }
    g_assert_true(n == 0 || errno == EIO);
    return g_string_free(text, FALSE);
}

static void run(FakeColod *f, Ran *r, int terminal, va_list ap)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *program =
        g_build_filename(g_getenv("COLO_BUILDDIR"), "coloctl", NULL);
    g_autoptr(GSubprocessLauncher) launcher = NULL;
    g_autoptr(GSubprocess) child = NULL;
    g_autoptr(GError) error = NULL;
    Run state = {.ran = r};
    char *word;
    guint late;

    g_ptr_array_add(argv, program);
    g_ptr_array_add(argv, (char *)"--control");
    g_ptr_array_add(argv, f->path);
    while ((word = va_arg(ap, char *))) {
        g_ptr_array_add(argv, word);
    }
    g_ptr_array_add(argv, NULL);
    memset(r, 0, sizeof(*r));
    f->queries = 0;
    launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDERR_PIPE |
        (terminal < 0 ? G_SUBPROCESS_FLAGS_STDOUT_PIPE
                      : G_SUBPROCESS_FLAGS_NONE));
    if (terminal >= 0) {
        g_subprocess_launcher_take_stdout_fd(launcher, terminal);
    }
    child = g_subprocess_launcher_spawnv(
        launcher, (const char *const *)argv->pdata, &error);
    g_assert_no_error(error);
    g_clear_object(&launcher); /* closes the terminal's end here */
    f->client = child;
    late = g_timeout_add(DEADLINE_MS, on_late, child);
    g_subprocess_communicate_utf8_async(child, NULL, NULL, on_done, &state);
    while (!state.done) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(late);
    f->client = NULL;
    /* What its last request caused is not the next one's. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    r->status = g_subprocess_get_if_exited(child)
                    ? g_subprocess_get_exit_status(child)
                    : 128 + g_subprocess_get_term_sig(child);
}

void run_coloctl(FakeColod *f, Ran *r, ...)
{
    va_list ap;

    va_start(ap, r);
    run(f, r, -1, ap);
    va_end(ap);
}

void run_coloctl_on_terminal(FakeColod *f, Ran *r, ...)
{
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    int outer = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), inner;
    va_list ap;

    g_assert_cmpint(outer, >=, 0);
    g_assert_cmpint(grantpt(outer) | unlockpt(outer), ==, 0);
    inner = open(ptsname(outer), O_RDWR | O_NOCTTY | O_CLOEXEC);
    g_assert_cmpint(inner, >=, 0);
    g_assert_cmpint(ioctl(inner, TIOCSWINSZ, &size), ==, 0);
    va_start(ap, r);
    run(f, r, inner, ap);
    va_end(ap);
    r->out = drain(outer); /* little: it fits into the terminal's buffer */
    close(outer);
}

void ran_clear(Ran *r)
{
    g_free(r->out);
    g_free(r->err);
}
