/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running programs of the host, several at a time, with a deadline. */
#include "config.h"

#include <string.h>

#include "netcompare/host/run.h"

/* One of the programs while they run */
typedef struct Running {
    NetCommand *command;
    GSubprocess *process;
    guint *left;
    gboolean failed;
} Running;

static char *chomp(GBytes *bytes)
{
    gsize len = 0;
    const char *data = bytes ? g_bytes_get_data(bytes, &len) : NULL;

    return g_strchomp(g_strndup(data ? data : "", len));
}

static void on_done(GObject *object, GAsyncResult *result, gpointer user)
{
    Running *r = user;
    g_autoptr(GBytes) out = NULL;
    g_autoptr(GBytes) err = NULL;

    r->failed =
        !g_subprocess_communicate_finish(r->process, result, &out, &err, NULL);
    r->command->out = chomp(out);
    r->command->err = chomp(err);
    r->command->status = !r->failed && g_subprocess_get_if_exited(r->process)
                             ? g_subprocess_get_exit_status(r->process)
                             : -1;
    --*r->left;
}

/* Services often have no sbin in their PATH */
static char *find_program(const char *name)
{
    static const char *const folders[] = {"/usr/sbin", "/sbin"};
    char *path = g_find_program_in_path(name);

    for (guint i = 0; !path && i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *file = g_build_filename(folders[i], name, NULL);

        if (g_file_test(file, G_FILE_TEST_IS_EXECUTABLE)) {
            path = g_steal_pointer(&file);
        }
    }
    return path;
}

static GSubprocess *start(const NetCommand *c, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
        G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *path = find_program(c->argv[0]);

    if (!path) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "the program %s is missing", c->argv[0]);
        return NULL;
    }
    g_ptr_array_add(argv, path);
    for (guint i = 1; c->argv[i]; i++) {
        g_ptr_array_add(argv, (gpointer)c->argv[i]);
    }
    g_ptr_array_add(argv, NULL);
    g_subprocess_launcher_setenv(launcher, "LC_ALL", "C", TRUE);
    return g_subprocess_launcher_spawnv(
        launcher, (const char *const *)argv->pdata, error);
}

static gboolean on_deadline(gpointer user)
{
    g_cancellable_cancel(user);
    return G_SOURCE_REMOVE;
}

gboolean net_run(NetCommand *commands, guint n, guint timeout_ms,
                 GError **error)
{
    GMainContext *context = g_main_context_new();
    g_autofree Running *running = g_new0(Running, n);
    g_autoptr(GCancellable) deadline = g_cancellable_new();
    GSource *timer = g_timeout_source_new(timeout_ms);
    guint left = 0;
    gboolean ok = TRUE;

    g_main_context_push_thread_default(context);
    g_source_set_callback(timer, on_deadline, deadline, NULL);
    g_source_attach(timer, context);
    for (guint i = 0; i < n && ok; i++) {
        Running *r = &running[i];
        g_autoptr(GBytes) input = NULL;

        r->command = &commands[i];
        r->left = &left;
        r->process = start(r->command, error);
        if (!r->process) {
            ok = FALSE;
            g_cancellable_cancel(deadline);
            break;
        }
        input = g_bytes_new_static(r->command->input ? r->command->input : "",
                                   r->command->input ? strlen(r->command->input)
                                                     : 0);
        left++;
        g_subprocess_communicate_async(r->process, input, deadline, on_done, r);
    }
    while (left > 0) {
        g_main_context_iteration(context, TRUE);
    }
    for (guint i = 0; i < n && running[i].process; i++) {
        if (running[i].failed) {
            g_subprocess_force_exit(running[i].process);
            if (ok) {
                g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                            "%s did not end within %u ms",
                            running[i].command->argv[0], timeout_ms);
            }
            ok = FALSE;
        }
        g_object_unref(running[i].process);
    }
    g_source_destroy(timer);
    g_source_unref(timer);
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
    return ok;
}

void net_command_clear(NetCommand *c)
{
    g_clear_pointer(&c->out, g_free);
    g_clear_pointer(&c->err, g_free);
}
