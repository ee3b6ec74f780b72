/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies where on the disk that a view shows. */
#include "blockrep/store/store-priv.h"

#include <errno.h>

enum { MAX_PIECES = 64 };

typedef struct Extent {
    guint64 off, end;
    gboolean hole, zero;
} Extent;

int colo_store_extents(ColoStore *s, ColoStoreView v, guint64 len,
                       guint64 offset,
                       gboolean (*extent)(guint64 offset, guint64 len,
                                          gboolean hole, gboolean zero,
                                          gpointer user),
                       gpointer user)
{
    guint64 off = offset, end = offset + len;
    Extent e = {off, off, FALSE, FALSE}; /* grows while the next is alike */

    if (offset > s->base.size || len > s->base.size - offset) {
        return -EINVAL;
    }
    while (off < end) {
        StorePiece pieces[MAX_PIECES];
        guint n = 0;

        g_mutex_lock(&s->lock);
        if (v == COLO_STORE_PRIMARY && s->state == COLO_STORE_PROMOTED) {
            g_mutex_unlock(&s->lock);
            return -ESHUTDOWN;
        }
        while (off < end && n < MAX_PIECES) {
            store_view_find(s, v, off, end, &pieces[n]);
            off = pieces[n++].end;
        }
        g_mutex_unlock(&s->lock);
        for (guint i = 0; i < n; i++) {
            for (guint64 at = pieces[i].off, to; at < pieces[i].end; at = to) {
                gboolean hole = FALSE, zero = FALSE;

                to = pieces[i].end;
                if (pieces[i].layer) {
                    hole = pieces[i].run.kind == STORE_PUNCH;
                    zero = pieces[i].run.kind != STORE_DATA;
                } else {
                    hole = zero = !store_base_is_data(&s->base, at, &to);
                }
                if (e.end > e.off && (e.hole != hole || e.zero != zero)) {
                    if (!extent(e.off, e.end - e.off, e.hole, e.zero, user)) {
                        return 0;
                    }
                    e.off = at;
                }
                e = (Extent){e.off, to, hole, zero};
            }
        }
    }
    if (e.end > e.off) {
        extent(e.off, e.end - e.off, e.hole, e.zero, user);
    }
    return 0;
}
