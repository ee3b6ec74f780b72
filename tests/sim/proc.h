/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes under test: started, killed and waited for by their pid. */
#ifndef TESTS_SIM_PROC_H
#define TESTS_SIM_PROC_H

#include <glib.h>
#include <sys/types.h>

typedef struct Proc {
    char *name;
    pid_t pid;
    int status; /* waitpid(2)'s, once gone */
    gboolean gone;
} Proc;

/*
 * Start argv[0], a path in the build folder.  Its stderr and stdout are
 * appended to log (NULL: ours).  env: NAME=VALUE to add, or NULL.  It is
 * killed when the calling process ends.
 */
Proc *proc_start(const char *name, const char *log, const char *env,
                 char **argv);

/*
 * How long proc_start() has forked so far, in microseconds.  Other threads
 * that touch new memory wait for that.
 */
gint64 proc_forked_us(void);

/* Is it still there?  Takes note of its end. */
gboolean proc_alive(Proc *p);

/* Wait for its end for at most ms; FALSE: it still lives. */
gboolean proc_wait(Proc *p, int ms);

/* The exit code, or 128 + the signal; -1 while it lives. */
int proc_code(const Proc *p);

void proc_signal(Proc *p, int sig);

/* SIGKILL, and wait until it is gone. */
void proc_kill(Proc *p);

/* Kill it if it lives, and forget it. */
void proc_free(Proc *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Proc, proc_free)

/* The ids of its threads; none: it is gone.  Free with g_strfreev. */
char **proc_threads(int pid);

/* Where each thread of pid is, as comments: to out, or to stdout. */
void proc_where(GString *out, const char *name, int pid);
void proc_dump(const char *name, int pid);

/* A path in the build folder; free with g_free. */
char *build_path(const char *relative);

#endif
