/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bringing what was written to the disk, and knowing what has been. */
#include "blockrep/store/store-priv.h"

#include <errno.h>
#include <unistd.h>

/* After a failed sync nobody can say what is on the disk. */
static int sync_failed(ColoStore *s, const char *what, int e)
{
    g_mutex_lock(&s->lock);
    store_break(s, "cannot bring %s to the disk: %s", what, g_strerror(e));
    g_mutex_unlock(&s->lock);
    return -e;
}

int store_sync_layer(ColoStore *s, StoreLayer *l)
{
    guint64 written;

    g_mutex_lock(&s->lock);
    written = l->log->records + 1; /* and the header */
    if (l->log->synced >= written) {
        g_mutex_unlock(&s->lock);
        return 0;
    }
    g_mutex_unlock(&s->lock);
    if (fdatasync(l->log->fd) < 0) {
        return sync_failed(s, "a log", errno);
    }
    g_mutex_lock(&s->lock);
    l->log->synced = MAX(l->log->synced, written);
    g_mutex_unlock(&s->lock);
    return 0;
}

int store_sync_base(ColoStore *s)
{
    guint64 written;

    g_mutex_lock(&s->lock);
    written = s->base_written;
    if (s->base_synced >= written) {
        g_mutex_unlock(&s->lock);
        return 0;
    }
    g_mutex_unlock(&s->lock);
    if (fdatasync(s->base.fd) < 0) {
        return sync_failed(s, "the image", errno);
    }
    g_mutex_lock(&s->lock);
    s->base_synced = MAX(s->base_synced, written);
    g_mutex_unlock(&s->lock);
    return 0;
}

int store_sync_folder(ColoStore *s)
{
    guint64 made;

    g_mutex_lock(&s->lock);
    made = s->names_made;
    if (s->names_synced >= made) {
        g_mutex_unlock(&s->lock);
        return 0;
    }
    g_mutex_unlock(&s->lock);
    if (fsync(s->folder) < 0) {
        return sync_failed(s, "the folder", errno);
    }
    g_mutex_lock(&s->lock);
    s->names_synced = MAX(s->names_synced, made);
    g_mutex_unlock(&s->lock);
    return 0;
}

static void add_layers(GPtrArray *to, GPtrArray *from)
{
    for (guint i = 0; i < from->len; i++) {
        store_layer_ref(from->pdata[i]);
        g_ptr_array_add(to, from->pdata[i]);
    }
}

/* Takes the references over. */
static int sync_layers(ColoStore *s, GPtrArray *layers)
{
    int r = store_sync_folder(s);

    for (guint i = 0; i < layers->len && !r; i++) {
        r = store_sync_layer(s, layers->pdata[i]);
    }
    g_mutex_lock(&s->lock);
    store_layers_drop(s, layers);
    g_mutex_unlock(&s->lock);
    return r ? r : store_sync_base(s);
}

int store_sync_epochs(ColoStore *s)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new();

    g_mutex_lock(&s->lock);
    add_layers(layers, s->sealed);
    g_mutex_unlock(&s->lock);
    return sync_layers(s, layers);
}

int store_sync_view(ColoStore *s, ColoStoreView v)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new();

    g_mutex_lock(&s->lock);
    add_layers(layers, s->sealed);
    add_layers(layers, v == COLO_STORE_PRIMARY ? s->pending : s->active);
    g_mutex_unlock(&s->lock);
    return sync_layers(s, layers);
}

void store_make_durable(ColoStore *s)
{
    guint64 epoch;
    gboolean based, none;
    guint serial;
    int r;

    /* control: the state file holds what is seen here */
    g_mutex_lock(&s->control);
    g_mutex_lock(&s->lock);
    epoch = s->epoch;
    serial = s->serial;
    based = s->based;
    none = s->state != COLO_STORE_STANDBY;
    g_mutex_unlock(&s->lock);
    g_mutex_unlock(&s->control);

    /* After a reset, say, base is still written to: it is not to be trusted. */
    if (none || store_sync_epochs(s)) {
        return;
    }
    g_mutex_lock(&s->control);
    g_mutex_lock(&s->lock);
    if (s->serial != serial) { /* taken back; there will be another */
        g_mutex_unlock(&s->lock);
        g_mutex_unlock(&s->control);
        return;
    }
    s->based = TRUE;
    g_mutex_unlock(&s->lock);
    /* Without based a recovery would not trust base, so it comes first. */
    if (!based && store_save(s)) {
        g_mutex_lock(&s->lock);
        s->based = FALSE; /* if that was for want of room: once more, later */
        g_mutex_unlock(&s->lock);
        g_mutex_unlock(&s->control);
        return;
    }
    g_mutex_unlock(&s->control);

    r = store_state_sync(s->statefile);
    if (r) {
        sync_failed(s, "the store's state", -r);
        return;
    }
    g_mutex_lock(&s->control);
    g_mutex_lock(&s->lock);
    if (s->serial == serial && s->durable < epoch) {
        s->durable = epoch;
        g_cond_broadcast(&s->changed); /* it may be merged */
    }
    g_mutex_unlock(&s->lock);
    store_save(s);
    g_mutex_unlock(&s->control);
}
