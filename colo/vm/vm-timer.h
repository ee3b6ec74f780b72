/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's clocks in a device state: the section "timer".
 *
 * It has what they showed when the guest was stopped: QEMU's virtual clock,
 * by which all devices' timers go (APIC, PIT, HPET, ACPI), and under TCG the
 * TSC.  Source: vmstate_timers in QEMU's softmmu/cpu-timers.c, since 9.1
 * system/cpu-timers.c; both fields have been there since version 2.
 *
 * Sections do not say how long they are, and most of them hold what the guest
 * likes.  So this one is looked for in one place only, as a stream's first:
 * QEMU registers it before any device.  Devices that are to be loaded before
 * others (PCI bridges, PCIe root ports, IOMMUs) come before it; with such,
 * it is not found.  With -icount there is more in it, and it is not found
 * either.
 */
#ifndef COLO_VM_TIMER_H
#define COLO_VM_TIMER_H

#include <glib.h>

typedef struct ColoVmTimer {
    gint64 ticks; /* the TSC under TCG, in ticks of the host's */
    gint64 clock; /* the virtual clock, in ns */
} ColoVmTimer;

/*
 * sections: len bytes of a stream from its first section on; nothing in them
 * is trusted.  FALSE: they do not begin with this section as we know it, to
 * its last byte; nothing was read or written.
 */
gboolean colo_vm_timer_get(const guint8 *sections, gsize len, ColoVmTimer *t);
gboolean colo_vm_timer_put(guint8 *sections, gsize len, const ColoVmTimer *t);

#endif
