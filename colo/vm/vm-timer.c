/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's clocks in a device state. */
#include "colo/vm/vm-timer.h"
#include "colo/bytes.h"
#include "colo/vm/vm-sections.h"

#include <string.h>

/* A whole section: its place in it, and what is there. */
enum {
    ID = 1,         /* of the section */
    NAME = 5,       /* length, text, instance 0, version 2 */
    TICKS = 19,
    CLOCK = 35,     /* behind 8 bytes that are not used any more */
    FOOTER = 43,
    FOOTER_ID = 44,
    SECTION_BYTES = 48,
};

static const guint8 name[] = {5, 't', 'i', 'm', 'e', 'r', 0, 0, 0, 0,
                              0, 0,   0,   2};

G_STATIC_ASSERT(NAME + sizeof(name) == TICKS);

static gboolean is_timer(const guint8 *s, gsize len)
{
    return len >= SECTION_BYTES && s[0] == SECTION_FULL &&
           memcmp(s + NAME, name, sizeof(name)) == 0 &&
           s[FOOTER] == SECTION_FOOTER &&
           memcmp(s + FOOTER_ID, s + ID, 4) == 0;
}

gboolean colo_vm_timer_get(const guint8 *sections, gsize len, ColoVmTimer *t)
{
    if (!is_timer(sections, len)) {
        return FALSE;
    }
    t->ticks = (gint64)be_get64(sections + TICKS);
    t->clock = (gint64)be_get64(sections + CLOCK);
    return TRUE;
}

gboolean colo_vm_timer_put(guint8 *sections, gsize len, const ColoVmTimer *t)
{
    if (!is_timer(sections, len)) {
        return FALSE;
    }
    be_put64(sections + TICKS, (guint64)t->ticks);
    be_put64(sections + CLOCK, (guint64)t->clock);
    return TRUE;
}
