/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes under test. */
#include "tests/sim/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_MS = 10000 };

static GMutex fork_lock; /* guards both */
static gint64 forked_us, fork_began; /* 0: none is under way */

char *build_path(const char *relative)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *sim = g_path_get_dirname(self);
    g_autofree char *tests = g_path_get_dirname(sim);
    g_autofree char *top = g_path_get_dirname(tests);
    const char *env = g_getenv("COLO_BUILDDIR");

    return g_build_filename(env ? env : top, relative, NULL);
}

/* With the lock */
static gint64 under_way_us(void)
{
    return fork_began ? g_get_monotonic_time() - fork_began : 0;
}

static void note_fork(gint64 begin)
{
    g_mutex_lock(&fork_lock);
    forked_us += under_way_us();
    fork_began = begin;
    g_mutex_unlock(&fork_lock);
}

gint64 proc_forked_us(void)
{
    gint64 us;

    g_mutex_lock(&fork_lock);
    us = forked_us + under_way_us();
    g_mutex_unlock(&fork_lock);
    return us;
}

Proc *proc_start(const char *name, const char *log, const char *env,
                 char **argv)
{
    Proc *p = g_new0(Proc, 1);
    pid_t parent = getpid();

    p->name = g_strdup(name);
    note_fork(g_get_monotonic_time());
    p->pid = fork();
    if (p->pid) {
        note_fork(0);
    }
    g_assert_cmpint(p->pid, >=, 0);
    if (p->pid == 0) {
        int fd = open("/dev/null", O_RDONLY);

        /* Only calls that are safe after a fork in a threaded process. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(126);
        }
        dup2(fd, STDIN_FILENO);
        fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0644)
                 : STDERR_FILENO;
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        for (fd = 3; fd < 256; fd++) {
            close(fd);
        }
        if (env) {
            putenv((char *)env);
        }
        execv(argv[0], argv);
        _exit(127);
    }
    return p;
}

static gboolean reap(Proc *p, int flags)
{
    if (!p->gone && waitpid(p->pid, &p->status, flags) == p->pid) {
        p->gone = TRUE;
    }
    return p->gone;
}

gboolean proc_alive(Proc *p)
{
    return !reap(p, WNOHANG);
}

gboolean proc_wait(Proc *p, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;

    while (!reap(p, WNOHANG)) {
        if (g_get_monotonic_time() > end) {
            return FALSE;
        }
        g_usleep(500);
    }
    return TRUE;
}

int proc_code(const Proc *p)
{
    if (!p->gone) {
        return -1;
    }
    return WIFEXITED(p->status) ? WEXITSTATUS(p->status)
                                : 128 + WTERMSIG(p->status);
}

void proc_signal(Proc *p, int sig)
{
    if (proc_alive(p)) {
        kill(p->pid, sig);
    }
}

void proc_kill(Proc *p)
{
    proc_signal(p, SIGKILL);
    if (!proc_wait(p, KILL_MS)) {
        g_error("%s (pid %d) does not die", p->name, (int)p->pid);
    }
}

void proc_free(Proc *p)
{
    if (p) {
        proc_kill(p);
        g_free(p->name);
        g_free(p);
    }
}

char **proc_threads(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GStrvBuilder) tids = g_strv_builder_new();
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *tid;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_strv_builder_add(tids, tid);
    }
    return g_strv_builder_end(tids);
}

static void add_file(GString *out, const char *task, const char *tid,
                     const char *name)
{
    g_autofree char *path = g_build_filename(task, tid, name, NULL);
    g_autofree char *text = NULL;

    if (g_file_get_contents(path, &text, NULL, NULL)) {
        g_strdelimit(text, "\n", ' ');
        g_string_append_printf(out, " %s %s", name, g_strstrip(text));
    }
}

void proc_where(GString *out, const char *name, int pid)
{
    g_autofree char *task = g_strdup_printf("/proc/%d/task", pid);
    g_auto(GStrv) tids = proc_threads(pid);

    g_string_append_printf(out, "# --- threads of %s, pid %d\n", name, pid);
    for (char **tid = tids; *tid; tid++) {
        g_string_append_printf(out, "#   %s", *tid);
        add_file(out, task, *tid, "comm");
        add_file(out, task, *tid, "wchan");
        add_file(out, task, *tid, "syscall");
        add_file(out, task, *tid, "schedstat");
        g_string_append_c(out, '\n');
    }
}

void proc_dump(const char *name, int pid)
{
    g_autoptr(GString) out = g_string_new(NULL);

    proc_where(out, name, pid);
    printf("%s", out->str);
}
