/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's processes. */
#include "tests/rig/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_S 10

typedef struct Child {
    int ns, out;
    pid_t parent;
} Child;

/* Only calls that are safe after a fork. */
static void set_up_child(gpointer data)
{
    const Child *c = data;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != c->parent ||
        (c->ns >= 0 && setns(c->ns, CLONE_NEWNET) < 0)) {
        _exit(126);
    }
    if (c->out >= 0) {
        dup2(c->out, STDOUT_FILENO);
        dup2(c->out, STDERR_FILENO);
    }
}

pid_t rig_spawn(int ns, const char *log, char **argv)
{
    Child c = {.ns = ns, .parent = getpid()};
    g_autoptr(GError) error = NULL;
    GPid pid;

    c.out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (c.out < 0) {
        rig_die("cannot open %s: %s", log, g_strerror(errno));
    }
    if (!g_spawn_async(NULL, argv, NULL,
                       G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                       set_up_child, &c, &pid, &error)) {
        rig_die("%s", error->message);
    }
    close(c.out);
    return pid;
}

gboolean rig_run(int ns, char **argv, char **output)
{
    Child c = {.ns = ns, .out = -1, .parent = getpid()};
    g_autofree char *out = NULL;
    g_autoptr(GError) error = NULL;
    int status;

    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, set_up_child, &c,
                      &out, NULL, &status, &error)) {
        rig_die("%s", error->message);
    }
    if (output) {
        *output = g_steal_pointer(&out);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static gboolean reap(pid_t *pid, int seconds, int *status)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    pid_t got;

    while ((got = waitpid(*pid, status, WNOHANG)) == 0 ||
           (got < 0 && errno == EINTR)) {
        if (g_get_monotonic_time() > end) {
            return FALSE;
        }
        g_usleep(2000);
    }
    *pid = 0;
    return TRUE;
}

void rig_end(pid_t *pid, int sig)
{
    int status;

    if (!*pid) {
        return;
    }
    kill(*pid, sig);
    if (!reap(pid, END_S, &status)) {
        pid_t stuck = *pid;

        kill(stuck, SIGKILL);
        *pid = 0;
        rig_die("process %d does not end on signal %d", (int)stuck, sig);
    }
}

int rig_wait_exit(pid_t *pid, int seconds)
{
    int status;

    if (!reap(pid, seconds, &status)) {
        rig_die("process %d does not end", (int)*pid);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void rig_add(GPtrArray *argv, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) words = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    words = g_strsplit(text, " ", -1);
    for (char **w = words; *w; w++) {
        if (**w) {
            g_ptr_array_add(argv, g_strdup(*w));
        }
    }
}
