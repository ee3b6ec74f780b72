/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layers: their lives, and looking through them. */
#include "blockrep/store/store-priv.h"
#include "blockrep/store/file-io.h"

#include <string.h>

StoreLayer *store_layer_new(StoreLog *log)
{
    StoreLayer *l = g_new0(StoreLayer, 1);

    l->refs = 1;
    l->log = log;
    l->index = store_index_new();
    return l;
}

void store_layer_ref(StoreLayer *l)
{
    l->refs++;
}

void store_layer_unref(ColoStore *s, StoreLayer *l)
{
    if (--l->refs == 0) {
        g_ptr_array_add(s->dead, l);
        s->index_bytes -= store_index_bytes(l->index);
        if (s->index_bytes < s->o.max_index_bytes / 4) {
            s->index_told = FALSE;
        }
        g_cond_broadcast(&s->changed);
    }
}

void store_layer_destroy(StoreLayer *l)
{
    store_log_close(l->log);
    store_index_free(l->index);
    g_free(l);
}

void store_layers_drop(ColoStore *s, GPtrArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        store_layer_unref(s, list->pdata[i]);
    }
    g_ptr_array_set_size(list, 0);
}

StoreLayer *store_layers_top(GPtrArray *list)
{
    return list->len ? list->pdata[list->len - 1] : NULL;
}

gboolean store_layers_find(StoreLayer **layers, guint n, guint64 off,
                           guint64 *end, StorePiece *p)
{
    while (n--) {
        const StoreRun *run = store_index_find(layers[n]->index, off);

        if (!run || run->off >= *end) {
            continue;
        }
        if (run->off <= off) {
            *end = MIN(*end, run->end);
            *p = (StorePiece){off, *end, layers[n],
                              store_run_part(run, off, *end)};
            return TRUE;
        }
        *end = run->off;
    }
    return FALSE;
}

guint store_view_sealed(ColoStore *s, ColoStoreView v)
{
    guint n = s->sealed->len;

    while (v == COLO_STORE_SECONDARY && n &&
           ((StoreLayer *)s->sealed->pdata[n - 1])->epoch > s->loaded) {
        n--;
    }
    return n;
}

void store_view_find(ColoStore *s, ColoStoreView v, guint64 off, guint64 end,
                     StorePiece *p)
{
    GPtrArray *own = v == COLO_STORE_PRIMARY ? s->pending : s->active;

    if (!store_layers_find((StoreLayer **)own->pdata, own->len, off, &end, p) &&
        !store_layers_find((StoreLayer **)s->sealed->pdata,
                           store_view_sealed(s, v), off, &end, p)) {
        *p = (StorePiece){.off = off, .end = end};
    }
}

int store_piece_read(ColoStore *s, const StorePiece *p, void *buf)
{
    if (!p->layer) {
        return store_pread(s->base.fd, buf, p->end - p->off, p->off);
    }
    if (p->run.kind != STORE_DATA) {
        memset(buf, 0, p->end - p->off);
        return 0;
    }
    return store_log_read(p->layer->log, &p->run, buf);
}
