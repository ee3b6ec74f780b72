/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which packets of a queue wait for their verdict, by id.
 */
#include "config.h"

#include "netcompare/capture/waiting.h"

#define FIRST_SIZE 1024 /* entries; a power of two */

typedef struct Entry {
    guint32 id;
    gboolean waits; /* FALSE: a hole */
} Entry;

struct NetWaiting {
    Entry *ring;
    guint32 size;  /* of the ring: a power of two */
    guint32 head;  /* of the oldest entry, which waits unless used is 0 */
    guint32 used;  /* entries, holes among them */
    guint32 count; /* entries that wait */
};

NetWaiting *net_waiting_new(void)
{
    NetWaiting *w = g_new0(NetWaiting, 1);

    w->size = FIRST_SIZE;
    w->ring = g_new(Entry, w->size);
    return w;
}

void net_waiting_free(NetWaiting *w)
{
    if (!w)
        return;
    g_free(w->ring);
    g_free(w);
}

static Entry *entry_at(const NetWaiting *w, guint32 i)
{
    return &w->ring[(w->head + i) & (w->size - 1)];
}

/* Room for one more: close the holes if there are many, else grow. */
static void make_room(NetWaiting *w)
{
    guint32 size = w->count > w->size / 2 ? w->size * 2 : w->size;
    Entry *ring = g_new(Entry, size);
    guint32 n = 0;

    for (guint32 i = 0; i < w->used; i++)
        if (entry_at(w, i)->waits)
            ring[n++] = *entry_at(w, i);
    g_free(w->ring);
    w->ring = ring;
    w->size = size;
    w->head = 0;
    w->used = n;
}

gboolean net_waiting_add(NetWaiting *w, guint32 id)
{
    if (w->used > 0 && (gint32)(id - entry_at(w, w->used - 1)->id) <= 0)
        return FALSE;
    if (w->used == w->size)
        make_room(w);
    *entry_at(w, w->used++) = (Entry){.id = id, .waits = TRUE};
    w->count++;
    return TRUE;
}

/* Distances are taken from the oldest entry, so that ids may wrap. */
static Entry *find(const NetWaiting *w, guint32 id)
{
    guint32 first, far, lo, hi;

    if (w->used == 0)
        return NULL;
    first = entry_at(w, 0)->id;
    far = id - first;
    if (far < w->used && entry_at(w, far)->id == id)
        return entry_at(w, far);
    for (lo = 0, hi = w->used; lo < hi;) {
        guint32 mid = lo + (hi - lo) / 2;

        if (entry_at(w, mid)->id - first < far)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < w->used && entry_at(w, lo)->id == id ? entry_at(w, lo) : NULL;
}

gboolean net_waiting_remove(NetWaiting *w, guint32 id, gboolean *was_oldest)
{
    Entry *e = find(w, id);

    if (!e || !e->waits)
        return FALSE;
    *was_oldest = e == entry_at(w, 0);
    e->waits = FALSE;
    w->count--;
    /* The oldest entry never is a hole */
    while (w->used > 0 && !entry_at(w, 0)->waits) {
        w->head = (w->head + 1) & (w->size - 1);
        w->used--;
    }
    return TRUE;
}

guint32 net_waiting_count(const NetWaiting *w)
{
    return w->count;
}
