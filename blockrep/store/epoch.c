/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checkpoints: lists of layers change, and one block of the state file says
 * so.  Nothing here depends on how much the layers hold.
 *
 * While the state is being written, writes of the view that it is about wait at
 * its gate: else a crash between both could lose what was acknowledged.
 */
#include "blockrep/store/store-priv.h"
#include "colo/log.h"

#include <errno.h>

void store_drain(ColoStore *s, const guint *inflight)
{
    s->waiters++;
    while (*inflight) {
        g_cond_wait(&s->changed, &s->lock);
    }
    s->waiters--;
}

static void begin(ColoStore *s)
{
    g_mutex_lock(&s->control);
    g_mutex_lock(&s->lock);
}

static int end(ColoStore *s, int r)
{
    g_mutex_unlock(&s->lock);
    g_mutex_unlock(&s->control);
    return r;
}

static void close_gate(ColoStore *s, ColoStoreView v)
{
    s->gate[v] = TRUE;
}

static void open_gate(ColoStore *s, ColoStoreView v)
{
    s->gate[v] = FALSE;
    g_cond_broadcast(&s->changed);
}

/* With the lock, which is given up meanwhile */
static int save(ColoStore *s)
{
    int r;

    g_mutex_unlock(&s->lock);
    r = store_save(s);
    g_mutex_lock(&s->lock);
    return r;
}

static int may_seal(ColoStore *s, guint64 epoch)
{
    if (s->state == COLO_STORE_PROMOTED) {
        return -EROFS;
    }
    if (s->error || s->merge_error) {
        return -EIO;
    }
    if (epoch <= s->epoch) {
        return epoch && epoch == s->epoch ? -EEXIST : -EINVAL;
    }
    if (s->sealed->len + s->pending->len + s->active->len + 4 >
        STORE_MAX_LAYERS) {
        colo_log_error("%s: %u epochs are not merged yet: no more are sealed",
                       s->base_path, s->sealed->len);
        return -ENOSPC;
    }
    return 0;
}

/* What holds writes goes below; the top stays if it holds none. */
static void move_pending(ColoStore *s, guint64 epoch)
{
    StoreLayer *top = store_layers_top(s->pending);
    guint keep = 0;

    for (guint i = 0; i < s->pending->len; i++) {
        StoreLayer *l = s->pending->pdata[i];

        if (l == top && !l->log->records) {
            s->pending->pdata[keep++] = l;
            continue;
        }
        l->frozen = TRUE;
        l->epoch = epoch;
        l->before = s->epoch;
        g_ptr_array_add(s->sealed, l);
    }
    g_ptr_array_set_size(s->pending, (gint)keep);
    if (!keep) {
        g_ptr_array_add(s->pending, store_take_spare(s));
    }
}

/* Those older than the one that is loaded are of no use any more. */
static void forget_hollow(ColoStore *s)
{
    guint n = 0;

    while (n < s->hollow->len &&
           g_array_index(s->hollow, guint64, n) <= s->loaded) {
        n++;
    }
    g_array_remove_range(s->hollow, 0, n);
}

int colo_store_seal(ColoStore *s, guint64 epoch)
{
    guint had;
    int r;

    g_mutex_lock(&s->control);
    r = store_need_spare(s);
    g_mutex_lock(&s->lock);
    r = r ? r : may_seal(s, epoch);
    if (r) {
        return end(s, r);
    }
    close_gate(s, COLO_STORE_PRIMARY);
    if (s->direct) {
        store_drain(s, &s->base_inflight);
    } else {
        store_drain(s, &store_layers_top(s->pending)->inflight);
    }
    had = s->sealed->len;
    move_pending(s, epoch);
    if (s->sealed->len == had) {
        g_array_append_val(s->hollow, epoch);
        if (s->hollow->len > STORE_MAX_LAYERS) {
            g_array_remove_index(s->hollow, 0);
        }
    }
    s->before = s->epoch;
    s->epoch = epoch;
    s->state = COLO_STORE_STANDBY;
    s->based = s->based && !s->direct;
    s->direct = s->lost = FALSE;
    s->index_told = FALSE; /* if that did not help, ask again */
    r = save(s);
    g_cond_signal(&s->to_sync);
    open_gate(s, COLO_STORE_PRIMARY);
    return end(s, r);
}

int colo_store_unseal(ColoStore *s, guint64 epoch)
{
    guint n, from;
    int r = 0;

    begin(s);
    if (s->state == COLO_STORE_PROMOTED) {
        r = -EROFS;
    } else if (!epoch || epoch != s->epoch || s->before == epoch) {
        r = -ENOENT;
    } else if (epoch <= s->loaded) {
        r = -EBUSY;
    }
    if (r) {
        return end(s, r);
    }
    close_gate(s, COLO_STORE_PRIMARY);
    for (n = 0, from = s->sealed->len; from; n++, from--) {
        StoreLayer *l = s->sealed->pdata[from - 1];

        if (l->epoch != epoch) {
            break;
        }
        l->epoch = l->before = 0; /* but frozen: new writes go above it */
        g_ptr_array_insert(s->pending, 0, l);
    }
    g_ptr_array_set_size(s->sealed, (gint)from);
    if (s->hollow->len &&
        g_array_index(s->hollow, guint64, s->hollow->len - 1) == epoch) {
        g_array_set_size(s->hollow, s->hollow->len - 1);
    }
    s->epoch = s->before;
    s->durable = MIN(s->durable, s->epoch);
    s->state = s->epoch ? COLO_STORE_STANDBY : COLO_STORE_EMPTY;
    s->serial++;
    r = save(s);
    open_gate(s, COLO_STORE_PRIMARY);
    return end(s, r);
}

static gboolean is_sealed(ColoStore *s, guint64 epoch)
{
    if (epoch && (epoch == s->epoch || epoch == s->loaded ||
                  (epoch == s->before && epoch >= s->loaded))) {
        return TRUE;
    }
    for (guint i = 0; i < s->sealed->len; i++) {
        const StoreLayer *l = s->sealed->pdata[i];

        if (l->epoch == epoch && epoch >= s->loaded) {
            return TRUE;
        }
    }
    for (guint i = 0; i < s->hollow->len; i++) {
        if (g_array_index(s->hollow, guint64, i) == epoch) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean colo_store_has_epoch(ColoStore *s, guint64 epoch)
{
    gboolean has;

    g_mutex_lock(&s->lock);
    has = is_sealed(s, epoch);
    g_mutex_unlock(&s->lock);
    return has;
}

static void steal_all(GPtrArray *to, GPtrArray *from)
{
    for (guint i = 0; i < from->len; i++) {
        g_ptr_array_add(to, from->pdata[i]);
    }
    g_ptr_array_set_size(from, 0);
}

static gboolean is_empty(GPtrArray *list)
{
    const StoreLayer *top = store_layers_top(list);

    return list->len == 1 && !top->log->records && !top->inflight;
}

int colo_store_load(ColoStore *s, guint64 epoch)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    int r;

    g_mutex_lock(&s->control);
    r = store_need_spare(s);
    g_mutex_lock(&s->lock);
    if (s->state == COLO_STORE_PROMOTED) {
        r = -EROFS;
    } else if (!r && s->error) {
        r = -EIO;
    } else if (!r && !is_sealed(s, epoch)) {
        r = -ENOENT;
    }
    if (r) {
        return end(s, r);
    }
    close_gate(s, COLO_STORE_SECONDARY);
    if (!is_empty(s->active)) {
        steal_all(gone, s->active);
        g_ptr_array_add(s->active, store_take_spare(s));
    }
    s->loaded = epoch;
    forget_hollow(s);
    r = save(s);
    if (!r) {
        s->merge_to = epoch;
    }
    store_layers_drop(s, gone); /* not before: the state named them */
    open_gate(s, COLO_STORE_SECONDARY);
    return end(s, r);
}

/* What the SVM's view does not include goes, and whatever is pending. */
static void keep_secondary(ColoStore *s, GPtrArray *gone)
{
    guint n = store_view_sealed(s, COLO_STORE_SECONDARY);

    steal_all(gone, s->pending);
    for (guint i = n; i < s->sealed->len; i++) {
        g_ptr_array_add(gone, s->sealed->pdata[i]);
    }
    g_ptr_array_set_size(s->sealed, (gint)n);
    s->state = COLO_STORE_PROMOTED;
    s->epoch = s->before = s->loaded;
    s->durable = MIN(s->durable, s->epoch);
    s->serial++;
}

int colo_store_promote(ColoStore *s)
{
    return colo_store_promote_notify(s, NULL, NULL);
}

int colo_store_promote_notify(ColoStore *s, void (*survives)(gpointer user),
                              gpointer user)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    int r = 0;

    begin(s);
    if (s->state == COLO_STORE_PROMOTED) {
        r = end(s, s->survivor && !s->error ? 0 : -EIO);
        if (survives) {
            survives(user);
        }
        return r;
    }
    if (!s->loaded) {
        return end(s, -ENOENT); /* there is nothing to take over */
    }
    keep_secondary(s, gone);
    g_cond_broadcast(&s->changed); /* for writes of the PVM that wait */
    g_mutex_unlock(&s->lock);
    if (survives) {
        survives(user);
    }

    /* The survivor may write meanwhile; a flush of its own covers that. */
    r = store_sync_view(s, COLO_STORE_SECONDARY);
    g_mutex_lock(&s->lock);
    if (!r) {
        s->based = TRUE;
        s->durable = s->epoch;
        r = save(s);
    }
    g_mutex_unlock(&s->lock);
    r = r ? r : store_state_sync(s->statefile);
    g_mutex_lock(&s->lock);
    r = !r && s->error ? -EIO : r; /* another thread's sync may have failed */
    if (r) {
        store_break(s, "the takeover is not durable: %s", g_strerror(-r));
    } else {
        s->survivor = TRUE;
    }
    store_layers_drop(s, gone);
    g_cond_broadcast(&s->changed); /* merging begins */
    return end(s, r);
}

int colo_store_reset(ColoStore *s)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    int r;

    g_mutex_lock(&s->lock);
    store_merge_hold(s); /* before control, which a round takes */
    g_mutex_unlock(&s->lock);
    g_mutex_lock(&s->control);
    r = store_need_spare(s);
    g_mutex_lock(&s->lock);
    if (!r && s->state == COLO_STORE_PROMOTED) {
        r = -EROFS; /* nobody but the user may throw that away */
    }
    if (r) {
        store_merge_release(s);
        return end(s, r);
    }
    close_gate(s, COLO_STORE_PRIMARY);
    close_gate(s, COLO_STORE_SECONDARY);
    store_drain(s, &s->base_inflight);
    steal_all(gone, s->sealed);
    steal_all(gone, s->pending);
    steal_all(gone, s->active);
    g_ptr_array_add(s->active, store_take_spare(s));
    s->state = COLO_STORE_EMPTY;
    s->direct = TRUE;
    s->epoch = s->before = s->loaded = s->merge_to = s->durable = 0;
    g_array_set_size(s->hollow, 0);
    s->based = s->lost = FALSE;
    s->base_written++;
    s->serial++;
    r = save(s);
    g_mutex_unlock(&s->lock);
    /* Before base changes: else an old epoch could be found above the new. */
    r = r ? r : store_state_sync(s->statefile);
    g_mutex_lock(&s->lock);
    if (r) {
        store_break(s, "cannot bring the store's state to the disk: %s",
                    g_strerror(-r));
    }
    store_layers_drop(s, gone);
    store_merge_release(s);
    open_gate(s, COLO_STORE_PRIMARY);
    open_gate(s, COLO_STORE_SECONDARY);
    return end(s, r);
}
