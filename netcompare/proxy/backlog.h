/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many frames wait in a tap for its QEMU.
 *
 * The tap counts what QEMU has read and what it dropped; we count what went
 * in.  Their difference is what waits, but for a constant: frames from before
 * we counted.  The smallest difference of the last seconds is taken for an
 * empty tap, so a QEMU that was started anew is noticed, too.  No clock: the
 * owner rotates every few seconds.
 */
#ifndef COLO_PROXY_BACKLOG_H
#define COLO_PROXY_BACKLOG_H

#include <glib.h>

typedef struct Backlog {
    gint64 least, least_before; /* differences */
} Backlog;

void backlog_init(Backlog *b);
/*
 * passed: frames into the tap; left: read by QEMU or dropped, since any time.
 */
guint64 backlog_waiting(Backlog *b, guint64 passed, guint64 left);
void backlog_rotate(Backlog *b);

#endif
