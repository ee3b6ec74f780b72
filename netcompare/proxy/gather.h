/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many packets for each wakeup.
 *
 * Theory of operation.  This process runs before the guests' (see hurry()),
 * and so it is woken for each packet as soon as that is there.  At a high rate
 * that would be two switches of context, a poll and some small reads and
 * writes for every packet, which cost more than the packet itself; the
 * kernel's own queues have interrupt moderation against this.  So when the
 * loop turns often, a wakeup waits for a moment in which more arrives; when
 * much arrives, it waits until there should be about as much as the caches
 * hold.  At lower rates, where only the delay would be noticed, it does not.
 */
#ifndef COLO_PROXY_GATHER_H
#define COLO_PROXY_GATHER_H

#include <glib.h>

/* For g_main_context_set_poll_func(); one main loop a process. */
gint gather_poll(GPollFD *fds, guint n_fds, gint timeout_ms);

/*
 * A packet of so many bytes of a guest came: with many of them, or of bytes, a
 * wakeup waits, however often the loop turns, for then nobody waits for the
 * single packet.
 */
void gather_count(gsize n);

/* A descriptor for which nothing waits when it alone is ready. */
void gather_not_for(int fd);

/* How often it has waited. */
guint64 gather_waits(void);

#endif
