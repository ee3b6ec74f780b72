/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the fence command. */
#include "colo/engine/secondary.h"
#include "colo/log.h"

#include <sys/wait.h>

typedef struct Fence {
    char *command, *name, *peer;
    ColoMailbox *engine;
} Fence;

static gpointer fence_thread(gpointer data)
{
    Fence *f = data;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", f->command, NULL};
    char **env = g_get_environ();
    g_autoptr(GError) error = NULL;
    int status = -1;

    env = g_environ_setenv(env, "COLO_NAME", f->name, TRUE);
    env = g_environ_setenv(env, "COLO_PEER", f->peer, TRUE);
    /*
     * With descriptors left open, all of which close themselves, GLib does not
     * fork: while our address space is copied, every other thread that touches
     * new memory waits, and so do heartbeats and the control socket.
     */
    if (!g_spawn_sync(NULL, argv, env,
                      G_SPAWN_CHILD_INHERITS_STDIN |
                          G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                      NULL, NULL, NULL, NULL, &status, &error)) {
        colo_log_error("cannot run the fence command: %s", error->message);
        status = -1;
    } else if (WIFEXITED(status)) {
        status = WEXITSTATUS(status);
    } else {
        colo_log_error("the fence command was ended by signal %d",
                       WTERMSIG(status));
        status = -1;
    }
    colo_mailbox_tell(f->engine, COLO_MSG_FENCED, status, NULL, NULL);
    colo_mailbox_unref(f->engine);
    g_strfreev(env);
    g_free(f->command);
    g_free(f->name);
    g_free(f->peer);
    g_free(f);
    return NULL;
}

void colo_fence(const char *command, const char *name, const char *peer,
                ColoMailbox *engine)
{
    Fence *f = g_new0(Fence, 1);

    f->command = g_strdup(command);
    f->name = g_strdup(name);
    f->peer = g_strdup(peer ? peer : "");
    /* Fencing may take minutes, and outlive the engine. */
    f->engine = colo_mailbox_ref(engine);
    g_thread_unref(g_thread_new("fence", fence_thread, f));
}
