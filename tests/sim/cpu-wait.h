/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For how long a process was kept waiting for a processor: what the other
 * load of the machine costs it.
 */
#ifndef TESTS_SIM_CPU_WAIT_H
#define TESTS_SIM_CPU_WAIT_H

#include <glib.h>
#include <sys/types.h>

#define CPU_WAIT_THREADS 32 /* more are not looked at */

typedef struct CpuWait {
    pid_t pid;
    guint n;
    struct {
        int tid;
        gint64 ns; /* so far */
    } thread[CPU_WAIT_THREADS];
} CpuWait;

/* FALSE: there is no such process. */
gboolean cpu_wait_begin(CpuWait *w, pid_t pid);

/*
 * The sum of what its threads waited since then, in microseconds; a thread
 * that waits for another's lock waits as long as that one.  -1: the process
 * has ended.
 */
gint64 cpu_wait_us(const CpuWait *begin);

/*
 * What a hypervisor has taken from this machine's processors so far, in
 * microseconds, by whole ticks; the scheduler does not count it as waiting.
 */
gint64 cpu_stolen_us(void);

#endif
