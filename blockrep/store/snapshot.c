/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's state as the state file keeps it. */
#include "blockrep/store/store-priv.h"

#include <string.h>

static void fill_layers(GPtrArray *list, StoreRole role, StoreSnapshot *out)
{
    for (guint i = 0; i < list->len; i++) {
        const StoreLayer *l = list->pdata[i];

        out->layers[out->n++] = (StoreLayerInfo){
            .role = role,
            /* of the others a power loss may take what was not flushed */
            .frozen = l->frozen && (role == STORE_ROLE_SEALED ||
                                    l->log->synced > l->log->records),
            .epoch = l->epoch,
            .before = l->before,
            .number = l->log->number,
            .id = l->log->id,
            .length = l->log->end,
            .records = l->log->records,
            .sum = l->log->sum,
        };
    }
}

void store_fill_snapshot(ColoStore *s, StoreSnapshot *out)
{
    *out = (StoreSnapshot){
        .state = s->state,
        .direct = s->direct,
        .based = s->based,
        .lost = s->lost,
        .epoch = s->epoch,
        .before = s->before,
        .loaded = s->loaded,
        .durable = s->durable,
        .next_number = s->next_number,
    };
    memcpy(out->boot, s->boot, STORE_BOOT_ID);
    out->layers = g_new0(StoreLayerInfo,
                         s->sealed->len + s->pending->len + s->active->len + 1);
    fill_layers(s->sealed, STORE_ROLE_SEALED, out);
    fill_layers(s->pending, STORE_ROLE_PENDING, out);
    fill_layers(s->active, STORE_ROLE_ACTIVE, out);
    if (s->next_active) {
        g_autoptr(GPtrArray) next = g_ptr_array_new();

        g_ptr_array_add(next, s->next_active);
        fill_layers(next, STORE_ROLE_ACTIVE, out);
    }
}

int store_save(ColoStore *s)
{
    StoreSnapshot snap;
    int r;

    g_mutex_lock(&s->lock);
    store_fill_snapshot(s, &snap);
    g_mutex_unlock(&s->lock);
    r = store_state_write(s->statefile, &snap);
    store_snapshot_clear(&snap);
    if (r == -ENOSPC) {
        g_mutex_lock(&s->lock);
        store_is_full(s, s->folder_path);
        g_mutex_unlock(&s->lock);
    } else if (r) {
        g_mutex_lock(&s->lock);
        store_break(s, "cannot write the store's state: %s", g_strerror(-r));
        g_mutex_unlock(&s->lock);
    }
    return r;
}
