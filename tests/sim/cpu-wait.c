/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for a processor, by the scheduler's own count. */
#include "tests/sim/cpu-wait.h"
#include "tests/sim/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -1: the thread has ended. */
static gint64 waited_ns(pid_t pid, int tid)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%d/task/%d/schedstat", (int)pid, tid);
    g_autofree char *text = NULL;
    long long ran, waited;

    return g_file_get_contents(path, &text, NULL, NULL) &&
                   sscanf(text, "%lld %lld", &ran, &waited) == 2
               ? waited
               : -1;
}

gboolean cpu_wait_begin(CpuWait *w, pid_t pid)
{
    g_auto(GStrv) tids = proc_threads((int)pid);

    w->pid = pid;
    w->n = 0;
    for (char **t = tids; *t && w->n < CPU_WAIT_THREADS; t++) {
        int tid = atoi(*t);
        gint64 ns = waited_ns(pid, tid);

        if (ns >= 0) {
            w->thread[w->n].tid = tid;
            w->thread[w->n++].ns = ns;
        }
    }
    return w->n > 0;
}

gint64 cpu_wait_us(const CpuWait *begin)
{
    gint64 sum = 0;
    CpuWait now;

    if (!cpu_wait_begin(&now, begin->pid)) {
        return -1;
    }
    for (guint i = 0; i < now.n; i++) {
        gint64 before = 0; /* began since */

        for (guint k = 0; k < begin->n; k++) {
            if (begin->thread[k].tid == now.thread[i].tid) {
                before = begin->thread[k].ns;
            }
        }
        sum += now.thread[i].ns - before;
    }
    return sum / 1000;
}

gint64 cpu_stolen_us(void)
{
    g_autofree char *text = NULL;
    long long stolen;

    /* user, nice, system, idle, iowait, irq, softirq, steal: proc(5) */
    return g_file_get_contents("/proc/stat", &text, NULL, NULL) &&
                   sscanf(text, "cpu %*d %*d %*d %*d %*d %*d %*d %lld",
                          &stolen) == 1
               ? stolen * (G_USEC_PER_SEC / sysconf(_SC_CLK_TCK))
               : 0;
}
