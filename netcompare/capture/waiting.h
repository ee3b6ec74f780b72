/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which packets of a queue wait for their verdict, by id.
 *
 * Ids come in growing order (and wrap); verdicts come in any.  A sorted ring
 * with holes: finding one is a subtraction when nothing is missing before it
 * and a bisection otherwise, and the memory follows the number that wait, not
 * the distance between the oldest and the newest.
 */
#ifndef COLO_NET_WAITING_H
#define COLO_NET_WAITING_H

#include <glib.h>

typedef struct NetWaiting NetWaiting;

NetWaiting *net_waiting_new(void);
void net_waiting_free(NetWaiting *w);

/* id must be newer than all before.  FALSE: it is not, and was not added. */
gboolean net_waiting_add(NetWaiting *w, guint32 id);

/*
 * id waits no more.  FALSE: it did not.  *was_oldest: no older one waits, so
 * a verdict on all up to id is a verdict on id alone.
 */
gboolean net_waiting_remove(NetWaiting *w, guint32 id, gboolean *was_oldest);

guint32 net_waiting_count(const NetWaiting *w);

#endif
