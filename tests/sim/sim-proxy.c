/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-proxy: a process that is to colod what colo-proxy is, without packets.
 *
 * It logs each command in sim-qemu's form (word, epoch), and a line BAD for
 * each that colo-proxy would not make sense of at that point.  Two of them
 * are connected by a unix socket, on which each says whether it has its
 * colod ('A') or not ('D').  What goes wrong, and when, is arranged by
 * x-sim-arm; events are made by x-sim-event.
 */
#include "colo/common/unix-socket.h"
#include "colo/qmp-server.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RETRY_MS = 20, PROBE_US = 1000 };

static char *control, *log_path, *link_path;
static gboolean primary;
static const GOptionEntry entries[] = {
    {"control", 0, 0, G_OPTION_ARG_FILENAME, &control, "Its QMP socket",
     "PATH"},
    {"log", 0, 0, G_OPTION_ARG_FILENAME, &log_path, "Lines", "FILE"},
    {"link", 0, 0, G_OPTION_ARG_FILENAME, &link_path,
     "Where the secondary's listens for the primary's", "PATH"},
    {"primary", 0, 0, G_OPTION_ARG_NONE, &primary, "Else the secondary's",
     NULL},
    {NULL},
};

static ColoQmpServer *server;
static guint64 client;      /* colod; 0: none */
static guint64 refused;     /* whose attach was arranged to fail */
static int link_fd = -1;    /* to the other proxy */
static gboolean peer_attached, ready;
static const char *mode;
static gint64 captured, loaded; /* epochs; 0: none */

/* Armed: what happens to the next of a command. */
static char *armed_what, *armed_do;
static gint64 armed_ms;

/* --- The log -------------------------------------------------------------- */

static void note(const char *word, gint64 epoch, const char *detail)
{
    gint64 now = g_get_real_time();
    FILE *f = fopen(log_path, "a");

    g_assert_nonnull(f);
    fprintf(f, "%lld.%06lld %s %lld - %s\n", (long long)(now / 1000000),
            (long long)(now % 1000000), word, (long long)epoch, detail);
    fclose(f);
}

static void expect(gboolean ok, const char *what, gint64 epoch)
{
    if (!ok) {
        note("BAD", epoch, what);
    }
}

/* --- The other proxy ------------------------------------------------------ */

static void tell_ready(const char *reason)
{
    JsonObject *data = json_object_new();

    json_object_set_boolean_member(data, "ready", ready);
    json_object_set_string_member(data, "reason", reason);
    colo_qmp_server_emit(server, "COLO_PROXY_PEER", data);
}

static gboolean tell_ready_later(gpointer unused)
{
    tell_ready("asked");
    return G_SOURCE_REMOVE;
}

static void judge(const char *reason)
{
    gboolean now = client && link_fd >= 0 && peer_attached;

    if (now != ready) {
        ready = now;
        note(ready ? "ready" : "unready", 0, reason);
        tell_ready(reason);
    }
}

static void say_attached(void)
{
    if (link_fd >= 0) {
        (void)!send(link_fd, client ? "A" : "D", 1,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static gboolean reconnect(gpointer unused);

static gboolean on_link(gint fd, GIOCondition condition, gpointer unused)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

    if (n == 1) {
        peer_attached = c == 'A';
        judge(peer_attached ? "connected" : "the peer's colod is gone");
        return G_SOURCE_CONTINUE;
    }
    close(fd);
    link_fd = -1;
    peer_attached = FALSE;
    judge("the peer's proxy is gone");
    if (primary) {
        g_timeout_add(RETRY_MS, reconnect, NULL);
    }
    return G_SOURCE_REMOVE;
}

static void linked(int fd)
{
    link_fd = fd;
    g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_link, NULL);
    say_attached();
}

static gboolean reconnect(gpointer unused)
{
    int fd = colo_unix_connect(link_path, PROBE_US, NULL);

    if (fd >= 0) {
        linked(fd);
    }
    return fd >= 0 ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean on_listen(gint fd, GIOCondition condition, gpointer unused)
{
    int peer = accept(fd, NULL, NULL);

    if (peer >= 0 && link_fd < 0) {
        linked(peer);
    } else if (peer >= 0) {
        close(peer); /* the old one is just ending: it tries again */
    }
    return G_SOURCE_CONTINUE;
}

/* --- Commands ----------------------------------------------------------- */

/* FALSE: it was arranged to fail. */
static gboolean begin(const char *word, gint64 epoch, GError **error)
{
    gboolean fail = FALSE;

    note(word, epoch, "");
    if (armed_what && !strcmp(armed_what, word)) {
        g_autofree char *act = g_steal_pointer(&armed_do);

        g_clear_pointer(&armed_what, g_free);
        note("inject", epoch, act);
        if (!strcmp(act, "die")) {
            kill(getpid(), SIGKILL);
        } else if (!strcmp(act, "hang")) {
            g_usleep((gulong)armed_ms * 1000);
        } else {
            fail = TRUE;
        }
    }
    if (fail) {
        g_set_error_literal(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                            "arranged to fail");
    } else {
        guint64 asking = colo_qmp_server_asking(server);

        expect(client == asking || refused == asking ||
                   !strcmp(word, "attach"),
               "not attached", epoch);
    }
    return !fail;
}

static gint64 epoch_of(JsonObject *args)
{
    return json_object_get_int_member(args, "epoch");
}

static JsonNode *attach(JsonObject *args, gpointer unused, GError **error)
{
    JsonNode *node;
    JsonObject *o;

    if (!begin("attach", 0, error)) {
        /* What it sent behind that, before it knew, is no mistake. */
        refused = colo_qmp_server_asking(server);
        return NULL;
    }
    client = colo_qmp_server_asking(server);
    say_attached();
    judge("connected");
    g_idle_add(tell_ready_later, NULL);
    o = json_object_new();
    json_object_set_string_member(o, "role", primary ? "primary" : "secondary");
    json_object_set_string_member(o, "mode", mode);
    node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, o);
    return node;
}

static JsonNode *capture(JsonObject *args, gpointer unused, GError **error)
{
    gint64 epoch = epoch_of(args);

    if (begin("capture", epoch, error)) {
        expect(primary && epoch > 0 && strcmp(mode, "block"), "capture", epoch);
        captured = epoch;
        mode = json_object_get_boolean_member(args, "periodic") ? "periodic"
                                                                : "colo";
    }
    return NULL;
}

static JsonNode *commit(JsonObject *args, gpointer unused, GError **error)
{
    gint64 epoch = epoch_of(args);

    if (begin("commit", epoch, error)) {
        expect(primary && captured == epoch, "commit", epoch);
        captured = 0;
    }
    return NULL;
}

static JsonNode *cancel(JsonObject *args, gpointer unused, GError **error)
{
    if (begin("cancel", captured, error)) {
        expect(primary && captured, "cancel", 0);
        captured = 0;
    }
    return NULL;
}

static JsonNode *pass(JsonObject *args, gpointer unused, GError **error)
{
    if (begin("pass", 0, error)) {
        expect(primary, "pass", 0);
        captured = 0;
        mode = "pass";
    }
    return NULL;
}

static JsonNode *block(JsonObject *args, gpointer unused, GError **error)
{
    if (begin("block", 0, error)) {
        expect(primary, "block", 0);
        captured = 0;
        mode = "block";
    }
    return NULL;
}

static JsonNode *load(JsonObject *args, gpointer unused, GError **error)
{
    gint64 epoch = epoch_of(args);

    if (begin("load", epoch, error)) {
        expect(strcmp(mode, "alone"), "load after the takeover", epoch);
        expect(!primary && epoch > 0, "load", epoch);
        loaded = epoch;
    }
    return NULL;
}

static JsonNode *run(JsonObject *args, gpointer unused, GError **error)
{
    gint64 epoch = epoch_of(args);

    if (begin("run", epoch, error)) {
        expect(!primary && (loaded == epoch || !loaded), "run", epoch);
        loaded = 0;
    }
    return NULL;
}

static JsonNode *takeover(JsonObject *args, gpointer unused, GError **error)
{
    if (begin("takeover", 0, error)) {
        expect(!primary, "takeover", 0);
        mode = "alone";
    }
    return NULL;
}

static JsonNode *arm(JsonObject *args, gpointer unused, GError **error)
{
    g_free(armed_what);
    g_free(armed_do);
    armed_what = g_strdup(json_object_get_string_member(args, "what"));
    armed_do = g_strdup(json_object_get_string_member(args, "do"));
    armed_ms = json_object_get_int_member(args, "ms");
    return NULL;
}

static JsonNode *event(JsonObject *args, gpointer unused, GError **error)
{
    colo_qmp_server_emit(
        server, json_object_get_string_member(args, "name"),
        json_object_ref(json_object_get_object_member(args, "data")));
    return NULL;
}

static void gone(guint64 who, gpointer unused)
{
    if (who == client) {
        client = 0;
        note("gone", 0, "");
        say_attached();
        judge("our colod is gone");
    }
}

static const ColoQmpArg epoch_args[] = {{"epoch", COLO_QMP_INT, FALSE}, {NULL}};
static const ColoQmpArg capture_args[] = {
    {"epoch", COLO_QMP_INT, FALSE}, {"periodic", COLO_QMP_BOOL, FALSE}, {NULL}};
static const ColoQmpArg arm_args[] = {{"what", COLO_QMP_STR, FALSE},
                                      {"do", COLO_QMP_STR, FALSE},
                                      {"ms", COLO_QMP_INT, FALSE},
                                      {NULL}};
static const ColoQmpArg event_args[] = {
    {"name", COLO_QMP_STR, FALSE}, {"data", COLO_QMP_OBJ, FALSE}, {NULL}};

static const ColoQmpCommand commands[] = {
    {"colo-proxy-attach", NULL, attach},
    {"colo-proxy-capture", capture_args, capture},
    {"colo-proxy-commit", epoch_args, commit},
    {"colo-proxy-cancel", NULL, cancel},
    {"colo-proxy-pass", NULL, pass},
    {"colo-proxy-block", NULL, block},
    {"colo-proxy-load", epoch_args, load},
    {"colo-proxy-run", epoch_args, run},
    {"colo-proxy-takeover", NULL, takeover},
    {"x-sim-arm", arm_args, arm},
    {"x-sim-event", event_args, event},
    {NULL},
};

static int fail(const char *why)
{
    fprintf(stderr, "sim-proxy: %s\n", why);
    return 1;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        return fail(error->message);
    }
    if (argc > 1 || !control || !log_path || !link_path) {
        return fail("usage");
    }
    /* A test that dies leaves nothing behind. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    server = colo_qmp_server_new("sim", commands, NULL);
    colo_qmp_server_set_gone_func(server, gone);
    if (primary) {
        if (reconnect(NULL)) {
            g_timeout_add(RETRY_MS, reconnect, NULL);
        }
    } else {
        int fd = colo_unix_listen(link_path, 0600, &error);

        if (fd < 0) {
            return fail(error->message);
        }
        g_unix_fd_add(fd, G_IO_IN, on_listen, NULL);
    }
    mode = primary ? "pass" : "waiting";
    note("start", 0, "");
    if (!colo_qmp_server_listen(server, control, &error)) {
        return fail(error->message);
    }
    g_main_loop_run(loop);
    return 0;
}
