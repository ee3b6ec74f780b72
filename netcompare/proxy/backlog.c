/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many frames wait in a tap. */
#include "netcompare/proxy/backlog.h"

void backlog_init(Backlog *b)
{
    b->least = b->least_before = G_MAXINT64;
}

guint64 backlog_waiting(Backlog *b, guint64 passed, guint64 left)
{
    gint64 difference = (gint64)(passed - left);

    b->least = MIN(b->least, difference);
    return (guint64)(difference - MIN(b->least, b->least_before));
}

void backlog_rotate(Backlog *b)
{
    b->least_before = b->least;
    b->least = G_MAXINT64;
}
