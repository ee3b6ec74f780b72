/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checkpoints: lists of layers change, and one block of the state file says
 * so.  Nothing here depends on how much the layers hold.
 *
 * While the state is being written, writes of the view that it is about wait at
 * its gate: else a crash between both could lose what was acknowledged.
 *
 * When there is no room for the state, nothing has happened: the lists are what
 * they were, and the caller may ask again.
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

/* The newest epoch's layers, n of them, are pending again. */
static void take_back(ColoStore *s, guint n)
{
    guint from = s->sealed->len - n;

    for (guint i = 0; i < n; i++) {
        StoreLayer *l = s->sealed->pdata[from + i];

        l->epoch = l->before = 0; /* but frozen: new writes go above it */
        g_ptr_array_insert(s->pending, (gint)i, l);
    }
    g_ptr_array_set_size(s->sealed, (gint)from);
}

/* What move_pending() did since there were so many sealed. */
static void move_back(ColoStore *s, guint had, StoreLayer *top)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();

    if (store_layers_top(s->pending) != top) {
        g_ptr_array_add(gone, g_ptr_array_steal_index(s->pending, 0));
        if (top) {
            top->frozen = FALSE;
        }
    }
    take_back(s, s->sealed->len - had);
    store_layers_drop(s, gone);
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

/* What a seal changes but for the lists */
typedef struct Sealing {
    guint64 epoch, before;
    ColoStoreState state;
    gboolean direct, based, lost;
    guint sealed, hollow;
} Sealing;

static Sealing begin_sealing(const ColoStore *s)
{
    return (Sealing){
        .epoch = s->epoch,
        .before = s->before,
        .state = s->state,
        .direct = s->direct,
        .based = s->based,
        .lost = s->lost,
        .sealed = s->sealed->len,
        .hollow = s->hollow->len,
    };
}

static void undo_sealing(ColoStore *s, const Sealing *was, StoreLayer *top)
{
    move_back(s, was->sealed, top);
    g_array_set_size(s->hollow, was->hollow);
    s->epoch = was->epoch;
    s->before = was->before;
    s->state = was->state;
    s->direct = was->direct;
    s->based = was->based;
    s->lost = was->lost;
}

int colo_store_seal(ColoStore *s, guint64 epoch)
{
    StoreLayer *top;
    Sealing was;
    int r, no;

    g_mutex_lock(&s->control);
    /* One for the load that follows: that is no time to find no room. */
    r = store_need_spares(s, 2);
    g_mutex_lock(&s->lock);
    no = may_seal(s, epoch);
    if (no || r) {
        if (!no && r == -ENOSPC) {
            store_is_full(s, s->folder_path);
        }
        return end(s, no ? no : r);
    }
    close_gate(s, COLO_STORE_PRIMARY);
    top = store_layers_top(s->pending);
    store_drain(s, s->direct ? &s->base_inflight : &top->inflight);
    was = begin_sealing(s);
    move_pending(s, epoch);
    if (s->sealed->len == was.sealed) {
        g_array_append_val(s->hollow, epoch);
    }
    s->before = s->epoch;
    s->epoch = epoch;
    s->state = COLO_STORE_STANDBY;
    s->based = s->based && !s->direct;
    s->direct = s->lost = FALSE;
    r = save(s);
    if (r == -ENOSPC) {
        undo_sealing(s, &was, top);
    } else {
        s->index_told = FALSE; /* if that did not help, ask again */
        if (s->hollow->len > STORE_MAX_LAYERS) {
            g_array_remove_index(s->hollow, 0);
        }
        g_cond_signal(&s->to_sync);
    }
    open_gate(s, COLO_STORE_PRIMARY);
    return end(s, r);
}

static gboolean is_last_hollow(const ColoStore *s, guint64 epoch)
{
    return s->hollow->len &&
           g_array_index(s->hollow, guint64, s->hollow->len - 1) == epoch;
}

static void give_back(ColoStore *s, guint n, guint64 epoch, guint64 before)
{
    for (guint i = 0; i < n; i++) {
        StoreLayer *l = g_ptr_array_steal_index(s->pending, 0);

        l->epoch = epoch;
        l->before = before;
        g_ptr_array_add(s->sealed, l);
    }
}

int colo_store_unseal(ColoStore *s, guint64 epoch)
{
    guint64 durable, layers_before = 0;
    gboolean hollow;
    guint n = 0;
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
    while (n < s->sealed->len) {
        const StoreLayer *l = s->sealed->pdata[s->sealed->len - 1 - n];

        if (l->epoch != epoch) {
            break;
        }
        layers_before = l->before;
        n++;
    }
    take_back(s, n);
    hollow = is_last_hollow(s, epoch);
    if (hollow) {
        g_array_set_size(s->hollow, s->hollow->len - 1);
    }
    durable = s->durable;
    s->epoch = s->before;
    s->durable = MIN(s->durable, s->epoch);
    s->state = s->epoch ? COLO_STORE_STANDBY : COLO_STORE_EMPTY;
    s->serial++;
    r = save(s);
    if (r == -ENOSPC) {
        give_back(s, n, epoch, layers_before);
        if (hollow) {
            g_array_append_val(s->hollow, epoch);
        }
        s->epoch = epoch;
        s->durable = durable;
        s->state = COLO_STORE_STANDBY;
    }
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

/* What was dropped is there again, in the place of what replaced it. */
static void swap(GPtrArray *list, GPtrArray *gone)
{
    g_autoptr(GPtrArray) new = g_ptr_array_new();

    if (gone->len) {
        steal_all(new, list);
        steal_all(list, gone);
        steal_all(gone, new);
    }
}

static gboolean is_empty(GPtrArray *list)
{
    const StoreLayer *top = store_layers_top(list);

    return list->len == 1 && !top->log->records && !top->inflight;
}

int colo_store_load(ColoStore *s, guint64 epoch)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    guint64 was;
    int r;

    g_mutex_lock(&s->control);
    r = store_need_spares(s, 1);
    g_mutex_lock(&s->lock);
    if (s->state == COLO_STORE_PROMOTED) {
        r = -EROFS;
    } else if (s->error) {
        r = -EIO;
    } else if (!is_sealed(s, epoch)) {
        r = -ENOENT;
    } else if (is_empty(s->active)) {
        r = 0; /* it needs no log */
    }
    if (r) {
        return end(s, r);
    }
    close_gate(s, COLO_STORE_SECONDARY);
    if (!is_empty(s->active)) {
        steal_all(gone, s->active);
        g_ptr_array_add(s->active, store_take_spare(s));
    }
    was = s->loaded;
    s->loaded = epoch;
    r = save(s);
    if (r == -ENOSPC) {
        s->loaded = was;
        swap(s->active, gone);
    } else {
        forget_hollow(s);
    }
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
    r = store_need_spares(s, 1);
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
