/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processors for the two hosts that a bench plays on one.
 *
 * Hosts do not take processors from one another.  Where they are played on one
 * machine and share all, what the second one does is missing to the first, and
 * a reference that has no second host is faster by that.
 */
#ifndef COLO_BENCH_PROCESSORS_H
#define COLO_BENCH_PROCESSORS_H

#include <glib.h>

/*
 * Give one half of the processors that this process may use to each host.
 * FALSE: there is only one.
 */
gboolean processors_split(void);

/*
 * What this thread starts from now on runs on the second host's, or else the
 * first one's; until processors_all().  Nothing without processors_split().
 */
void processors_of(gboolean second);
void processors_all(void);

#endif
