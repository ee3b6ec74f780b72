/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's main thread is put before others for as long as a guest stands still.
 *
 * SCHED_RESET_ON_FORK keeps that from threads that QEMU makes meanwhile, and
 * marks it as our doing: a colod that finds it undoes it.
 */
#include "colo/vm/vm-internal.h"

#include <sched.h>

#define OURS (SCHED_FIFO | SCHED_RESET_ON_FORK)

static void set(pid_t pid, int from, int to)
{
    struct sched_param p = {.sched_priority = to == OURS ? 1 : 0};

    if (sched_getscheduler(pid) == from) {
        (void)sched_setscheduler(pid, to, &p);
    }
}

void colo_vm_hurry(ColoVm *vm, gboolean on)
{
    set(vm->pid, on ? SCHED_OTHER : OURS, on ? OURS : SCHED_OTHER);
}

void colo_vm_hurry_sweep(pid_t pid)
{
    set(pid, OURS, SCHED_OTHER);
}
