/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which parts of a guest's RAM have memory behind them.
 *
 * Reading a hole of shared memory through a mapping allocates it: looking
 * at a guest that uses a quarter of its RAM would take the other three, and
 * undo its balloon.  The file knows its holes; they are zeros.
 */
#ifndef COLO_TRACK_RAM_EXTENTS_H
#define COLO_TRACK_RAM_EXTENTS_H

#include <glib.h>
#include <sys/types.h>

typedef struct ColoRamExtents ColoRamExtents;

/*
 * The RAM that ram points to, n_pages of 4096 bytes, mapped by this process.
 * Where its file cannot be reached, all of it counts as data.
 */
ColoRamExtents *colo_ram_extents_new(const void *ram, gsize n_pages);
void colo_ram_extents_free(ColoRamExtents *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoRamExtents, colo_ram_extents_free)

/*
 * The run of pages at page, all of the same kind: *data tells whether they
 * have memory or are zeros without.  Returns its length; 0 at the end.
 */
gsize colo_ram_extents_run(ColoRamExtents *e, gsize page, gboolean *data);

/* Does it consist of huge pages of hugetlbfs? */
gboolean colo_ram_extents_hugetlb(const ColoRamExtents *e);

/* Map the same RAM once more, for reading and writing. */
guint8 *colo_ram_extents_map(const ColoRamExtents *e, GError **error);

#endif
