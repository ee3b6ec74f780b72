/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that looks for the secondary's NBD server, asks it for its
 * exports, and then for a sign of life again and again.  When the server is
 * silent it breaks QEMU's connections to it.
 */
#ifndef COLO_DISK_WATCH_H
#define COLO_DISK_WATCH_H

#include "blockrep/attach/nbd-link.h"

#include <sys/types.h>

typedef struct ColoDiskWatch ColoDiskWatch;

/*
 * exports: the disks' (NULL-terminated, copied); the first one is read from
 * as the sign of life.  qemu: whose connections are to be broken.
 */
ColoDiskWatch *colo_disk_watch_new(const ColoDiskPeer *peer,
                                   const char *const *exports, pid_t qemu,
                                   GError **error);

/* Does not wait for the thread, which may be resolving a name. */
void colo_disk_watch_free(ColoDiskWatch *w);

/* An eventfd: something has changed since clear was called. */
int colo_disk_watch_fd(const ColoDiskWatch *w);
void colo_disk_watch_clear(ColoDiskWatch *w);

/*
 * Does it answer?  FALSE also when an answer is overdue already.  why:
 * transfer full, may be NULL; a sentence.
 */
gboolean colo_disk_watch_is_up(ColoDiskWatch *w, char **why);

/*
 * What export i is, as the server said when it was last connected: FALSE
 * with a sentence in why (transfer full) if it cannot be used.
 */
gboolean colo_disk_watch_export(ColoDiskWatch *w, guint i, guint64 *size,
                                char **why);

/* Break QEMU's connections now; from any thread. */
void colo_disk_watch_break(ColoDiskWatch *w);

#endif
