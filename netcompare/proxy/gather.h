/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many packets for each wakeup.
 *
 * Theory of operation.  A wakeup costs more than the packet that caused it: two
 * switches of context, a poll and some small reads and writes, and what the
 * guest that was interrupted has to fetch into its caches again.  On a busy
 * host the scheduler gathers by itself, for this process does not preempt (see
 * colo-proxy.c).  With much traffic and a free processor it would be woken for
 * each packet; the kernel's own queues have interrupt moderation against this.
 * So then turns begin some time apart: as long as it should take about as much
 * to arrive as the caches hold.  What comes after a pause is handled at once,
 * and at lower rates, where only the delay would be noticed, everything is.
 */
#ifndef COLO_PROXY_GATHER_H
#define COLO_PROXY_GATHER_H

#include <glib.h>

/* For g_main_context_set_poll_func(); one main loop a process. */
gint gather_poll(GPollFD *fds, guint n_fds, gint timeout_ms);

/* A packet of so many bytes of a guest came. */
void gather_count(gsize n);

/* How often it has waited. */
guint64 gather_waits(void);

#endif
