/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processors that do not sleep while guests talk.
 *
 * In lockstep each packet wakes several processes in turn, on both hosts; with
 * idle processors each wakeup begins with one that leaves an idle state.  So
 * while packets are compared this process holds a PM QoS request (Linux
 * Documentation/power/pm_qos_interface.rst): no idle state that takes longer to
 * leave than the limit.  One main loop a process.
 */
#ifndef COLO_PROXY_AWAKE_H
#define COLO_PROXY_AWAKE_H

#include <glib.h>

#define AWAKE_OFF (-1)

/*
 * The limit in microseconds that suits this machine.  Within a virtual one 0,
 * which is to poll: there each idle state is left through the hypervisor,
 * whatever the kernel's table says.
 */
gint64 awake_auto(void);

/* limit_us: AWAKE_OFF, or what may be asked for from then on. */
void awake_init(gint64 limit_us);

/* A packet of a guest came. */
void awake_count(void);

/*
 * Every 50 to 100 ms.  wanted: packets are compared.  The request is made when
 * there were at least 10 since the last, and taken back after four turns with
 * fewer, or when it is not wanted.
 */
void awake_tick(gboolean wanted);

#endif
