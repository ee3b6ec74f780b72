/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting and ending nbdkit, and talking to its QMP socket. */
#include "tests/nbd/server.h"
#include "tests/common/sanitizers.h"
#include "tests/common/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 30 };

static gint64 deadline(void)
{
    return g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
}

char *server_image(Server *s, guint disk)
{
    return g_strdup_printf("%s/vd%c.raw", s->dir, 'a' + (int)disk);
}

/* In memory where that can be: many restarts sync */
Server *server_new(guint disks, guint64 size)
{
    return server_new_in(g_access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                         : g_get_tmp_dir(),
                         disks, size);
}

Server *server_new_in(const char *where, guint disks, guint64 size)
{
    g_autofree char *nbdkit = g_find_program_in_path("nbdkit");
    Server *s;

    if (!nbdkit || !g_getenv("COLO_NBDKIT_PLUGIN")) {
        g_test_skip("nbdkit is missing (Debian: nbdkit), or this does not run "
                    "through ./run");
        return NULL;
    }
    s = g_new0(Server, 1);
    s->dir = g_build_filename(where, "colo-nbd-XXXXXX", NULL);
    g_assert_nonnull(g_mkdtemp(s->dir));
    s->disks = disks;
    s->args = g_ptr_array_new_with_free_func(g_free);
    s->events = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < disks; i++) {
        g_autofree char *image = server_image(s, i);
        int fd = open(image, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

        g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
        close(fd);
    }
    return s;
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user)
{
    Server *s = user;
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;

    json_node_set_object(node, data);
    text = data ? json_to_string(node, FALSE) : g_strdup("");
    g_ptr_array_add(s->events, g_strdup_printf("%s %s", event, text));
}

static void add(GPtrArray *argv, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static void add(GPtrArray *argv, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    g_ptr_array_add(argv, g_strdup_vprintf(fmt, args));
    va_end(args);
}

static void add_plugin(Server *s, GPtrArray *argv)
{
    add(argv, "%s", g_getenv("COLO_NBDKIT_PLUGIN"));
    add(argv, "control=%s/control", s->dir);
    if (s->folder) {
        add(argv, "folder=%s", s->folder);
    }
    for (guint i = 0; i < s->args->len; i++) {
        add(argv, "%s", (char *)s->args->pdata[i]);
    }
    for (guint i = s->first; i < s->disks; i++) {
        g_autofree char *image = server_image(s, i);

        add(argv, "disk=vd%c=%s", 'a' + (int)i, image);
    }
}

static void spawn(Server *s)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) env = sanitizers_environ();
    g_autoptr(GError) error = NULL;

    add(argv, "nbdkit");
    add(argv, "-f");
    add(argv, "--exit-with-parent");
    add(argv, "-i");
    add(argv, "127.0.0.1");
    add(argv, "-p");
    add(argv, "%u", s->port);
    add(argv, "--threads=%u", s->threads ? s->threads : 1);
    if (s->reference) {
        g_autofree char *image = server_image(s, 0);

        add(argv, "file");
        add(argv, "%s", image);
    } else {
        add_plugin(s, argv);
    }
    g_ptr_array_add(argv, NULL);
    g_spawn_async(NULL, (char **)argv->pdata, env,
                  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                  &s->pid, &error);
    g_assert_no_error(error);
}

static void wait_for_port(Server *s, gint64 end)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(s->port)};
    int fd = -1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    do {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (fd >= 0) {
            close(fd);
            g_usleep(2000);
        }
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    } while (connect(fd, (struct sockaddr *)&a, sizeof(a)));
    close(fd);
}

void server_start(Server *s)
{
    g_autofree char *path = g_build_filename(s->dir, "control", NULL);
    gint64 end = deadline();

    g_assert_cmpint(s->pid, ==, 0);
    s->port = scratch_port(SOCK_STREAM);
    spawn(s);
    if (s->reference) {
        wait_for_port(s, end);
        return;
    }
    /* It listens there when the disks are open. */
    while (!s->control) {
        g_autoptr(GError) error = NULL;
        int status;

        s->control = colo_qmp_client_connect(path, PATIENCE_S * G_USEC_PER_SEC,
                                             on_event, s, &error);
        if (!s->control) {
            g_assert_cmpint(waitpid(s->pid, &status, WNOHANG), ==, 0);
            g_assert_cmpint(g_get_monotonic_time(), <, end);
            g_usleep(2000);
        }
    }
}

static int reap(Server *s)
{
    gint64 end = deadline();
    int status;
    pid_t r;

    while ((r = waitpid(s->pid, &status, WNOHANG)) == 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    g_assert_cmpint(r, ==, s->pid);
    s->pid = 0;
    g_clear_pointer(&s->control, colo_qmp_client_free);
    return status;
}

void server_kill(Server *s)
{
    kill(s->pid, SIGKILL);
    g_assert_true(WIFSIGNALED(reap(s)));
}

void server_stop(Server *s)
{
    int status;

    server_do(s, "quit", NULL);
    status = reap(s);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

void server_free(Server *s)
{
    if (s->pid) {
        server_stop(s);
    }
    scratch_remove(s->dir);
    g_ptr_array_unref(s->args);
    g_ptr_array_unref(s->events);
    g_free(s->dir);
    g_free(s->folder);
    g_free(s);
}

/* --- The owner -------------------------------------------------------------
 */

static G_GNUC_PRINTF(3, 0) JsonNode *ask(Server *s, const char *command,
                                         const char *fmt, va_list ap,
                                         GError **error)
{
    g_autofree char *text = fmt ? g_strdup_vprintf(fmt, ap) : g_strdup("{}");
    g_autoptr(JsonNode) args = json_from_string(text, NULL);

    g_assert_nonnull(args);
    return colo_qmp_client_call(s->control, command, json_node_dup_object(args),
                                PATIENCE_S * G_USEC_PER_SEC, error);
}

JsonNode *server_ask(Server *s, const char *command, const char *args, ...)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node;
    va_list ap;

    va_start(ap, args);
    node = ask(s, command, args, ap, &error);
    va_end(ap);
    g_assert_no_error(error);
    return node;
}

void server_do(Server *s, const char *command, const char *args, ...)
{
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(GError) error = NULL;
    va_list ap;

    va_start(ap, args);
    node = ask(s, command, args, ap, &error);
    va_end(ap);
    g_assert_no_error(error);
}

void server_refuses(Server *s, const char *pattern, const char *command,
                    const char *args, ...)
{
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(GError) error = NULL;
    va_list ap;

    va_start(ap, args);
    node = ask(s, command, args, ap, &error);
    va_end(ap);
    g_assert_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC);
    if (!strstr(error->message, pattern)) {
        g_error("'%s' was expected in '%s'", pattern, error->message);
    }
}

static JsonNode *query(Server *s, JsonObject **disk, guint i)
{
    JsonNode *node = server_ask(s, "query-disks", NULL);

    *disk = json_array_get_object_element(json_node_get_array(node), i);
    return node;
}

gint64 server_number(Server *s, guint disk, const char *member)
{
    JsonObject *o;
    g_autoptr(JsonNode) node = query(s, &o, disk);

    g_assert_true(json_object_has_member(o, member));
    return json_object_get_int_member(o, member);
}

char *server_string(Server *s, guint disk, const char *member)
{
    JsonObject *o;
    g_autoptr(JsonNode) node = query(s, &o, disk);

    return g_strdup(json_object_get_string_member_with_default(o, member, ""));
}

gboolean server_had_event(Server *s, const char *event, const char *with)
{
    for (guint i = 0; i < s->events->len; i++) {
        const char *e = s->events->pdata[i];

        if (g_str_has_prefix(e, event) && e[strlen(event)] == ' ' &&
            strstr(e, with)) {
            return TRUE;
        }
    }
    return FALSE;
}

void server_wait_event(Server *s, const char *event, const char *with)
{
    gint64 end = deadline();

    while (!server_had_event(s, event, with)) {
        g_autoptr(GError) error = NULL;

        colo_qmp_client_wait_any(s->control, end, &error);
        g_assert_no_error(error);
    }
}

void server_begin(Server *s)
{
    server_do(s, "disk-reset", "{\"session\":\"" SESSION "\"}");
}
