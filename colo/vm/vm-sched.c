/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When QEMU's main thread runs: before others for as long as a guest stands
 * still, and not before its vCPUs while two guests run in lockstep.
 *
 * SCHED_RESET_ON_FORK keeps that from threads that QEMU makes meanwhile, and
 * marks it as our doing: a colod that finds it undoes it.
 */
#include "colo/vm/vm-internal.h"

#include <sched.h>

#define FIRST   (SCHED_FIFO | SCHED_RESET_ON_FORK)
#define PATIENT (SCHED_BATCH | SCHED_RESET_ON_FORK)

static void set(pid_t pid, int from, int to)
{
    struct sched_param p = {.sched_priority = to == FIRST ? 1 : 0};

    if (sched_getscheduler(pid) == from) {
        (void)sched_setscheduler(pid, to, &p);
    }
}

static int usual(const ColoVm *vm)
{
    return vm->patient ? PATIENT : SCHED_OTHER;
}

void colo_vm_hurry(ColoVm *vm, gboolean on)
{
    set(vm->pid, on ? usual(vm) : FIRST, on ? FIRST : usual(vm));
}

void colo_vm_patient(ColoVm *vm, gboolean on)
{
    int from = usual(vm);

    vm->patient = on;
    set(vm->pid, from, usual(vm));
}

void colo_vm_sched_sweep(pid_t pid)
{
    set(pid, FIRST, SCHED_OTHER);
    set(pid, PATIENT, SCHED_OTHER);
}
