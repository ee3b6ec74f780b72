/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Merging: a thread that brings sealed epochs into base, in rounds.
 *
 *   1. what the oldest layers show together is written to base
 *   2. base is brought to the disk
 *   3. the state without those layers is written and brought to the disk
 *   4. the layers go
 *
 * A crash anywhere only means that a round is done again.  Only epochs that the
 * SVM's view includes and that would survive a power loss are merged.
 *
 * After a promote each round begins by giving the survivor a new log to write
 * to, and then merges the old one.  When one holds little, its writes wait
 * while that is merged, and from then on they go straight to base.  A survivor
 * that writes faster than merging can follow is slowed down after some rounds:
 * to half of merging's speed, so that each round has half as much to do.
 *
 * The survivor's logs are on the disk before they are merged: a flush that
 * comes when they have left the lists does not bring them there, yet until the
 * state is, a replay of parts of them would put older data above base.
 */
#include "blockrep/store/store-priv.h"
#include "colo/log.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MAX_LAYERS = 64, /* of one round */
    MAX_BEHIND = 8,  /* logs of the survivor that wait; then it gets no more */
};
guint store_merge_ms = 250;
guint store_free_rounds = 8;
#define LAST_ROUND ((guint64)8 << 20)
/* What the survivor may write in any case while a round catches up with it:
 * twice that, and a record, are less than LAST_ROUND. */
#define SLACK ((guint64)2 << 20)

static guint mergeable(ColoStore *s)
{
    guint64 newest = MIN(s->merge_to, s->durable);
    guint n = 0;

    while (n < s->sealed->len &&
           ((StoreLayer *)s->sealed->pdata[n])->epoch <= newest) {
        n++;
    }
    return n;
}

static gboolean is_survivor(ColoStore *s)
{
    return s->survivor && !s->direct;
}

gboolean store_has_to_merge(ColoStore *s)
{
    return is_survivor(s) || mergeable(s);
}

/* With the lock */
static void take(GPtrArray *layers, GPtrArray *list, guint n)
{
    for (guint i = 0; i < n && layers->len < MAX_LAYERS; i++) {
        store_layer_ref(list->pdata[i]);
        g_ptr_array_add(layers, list->pdata[i]);
    }
}

/* With the lock: merged layers leave the lists that they are at the bottom of.
 * Their references are kept: the state on the disk still names them. */
static void forget(ColoStore *s, GPtrArray *layers, GPtrArray *gone)
{
    for (guint i = 0; i < layers->len; i++) {
        GPtrArray *list = s->sealed->len ? s->sealed : s->active;

        g_assert(list->pdata[0] == layers->pdata[i]);
        g_ptr_array_add(gone, g_ptr_array_steal_index(list, 0));
    }
}

/* There was no room for the state without them. */
static void remember(ColoStore *s, GPtrArray *gone, guint n_sealed)
{
    for (guint i = 0; i < gone->len; i++) {
        if (i < n_sealed) {
            g_ptr_array_insert(s->sealed, (gint)i, gone->pdata[i]);
        } else {
            g_ptr_array_insert(s->active, (gint)(i - n_sealed), gone->pdata[i]);
        }
    }
    g_ptr_array_set_size(gone, 0);
}

/* The state without merged layers is on the disk, or nobody knows. */
static int sync_state(ColoStore *s)
{
    int r = store_state_sync(s->statefile);

    if (r) {
        g_mutex_lock(&s->lock);
        store_break(s, "cannot bring the store's state to the disk: %s",
                    g_strerror(-r));
        g_mutex_unlock(&s->lock);
    }
    return r;
}

/* Steps 1 to 4; layers' references are taken over.  last: writes wait. */
static int merge_layers(ColoStore *s, GPtrArray *layers, gboolean last)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    int r = 0;

    for (guint i = 0; i < layers->len && s->survivor && !r; i++) {
        r = store_sync_layer(s, layers->pdata[i]);
    }
    r = r ? r
          : store_copy_to_base(s, (StoreLayer **)layers->pdata, layers->len,
                               last || s->may_reach);
    /* If that fails the round writes all of it again: nothing is lost. */
    if (!r && fdatasync(s->base.fd) < 0) {
        r = -errno;
    }
    if (!r) {
        gboolean direct;
        guint n_sealed;

        g_mutex_lock(&s->control);
        g_mutex_lock(&s->lock);
        n_sealed = s->sealed->len;
        forget(s, layers, gone);
        n_sealed -= s->sealed->len;
        direct = s->direct;
        s->direct = direct || last;
        g_mutex_unlock(&s->lock);
        r = store_save(s);
        if (r == -ENOSPC) {
            g_mutex_lock(&s->lock);
            remember(s, gone, n_sealed);
            s->direct = direct;
            g_mutex_unlock(&s->lock);
        }
        g_mutex_unlock(&s->control);
        r = r ? r : sync_state(s);
    }
    g_mutex_lock(&s->lock);
    store_layers_drop(s, layers);
    store_layers_drop(s, gone);
    g_mutex_unlock(&s->lock);
    return r;
}

static int standby_round(ColoStore *s)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new();

    g_mutex_lock(&s->lock);
    take(layers, s->sealed, mergeable(s));
    g_mutex_unlock(&s->lock);
    return layers->len ? merge_layers(s, layers, FALSE) : 0;
}

/* The survivor gets a new log; the disk knows of it before it is used. */
static int rotate(ColoStore *s)
{
    StoreLayer *next = NULL;
    int r;

    g_mutex_lock(&s->control);
    r = store_need_spares(s, 1);
    if (!r) {
        g_mutex_lock(&s->lock);
        next = s->next_active = store_take_spare(s);
        g_mutex_unlock(&s->lock);
        r = store_sync_layer(s, next);
        r = r ? r : store_sync_folder(s);
        r = r ? r : store_save(s);
    }
    r = r ? r : sync_state(s);
    g_mutex_lock(&s->lock);
    s->next_active = NULL;
    if (r && next) {
        store_layer_unref(s, next);
    } else if (next) {
        StoreLayer *old = store_layers_top(s->active);

        g_ptr_array_add(s->active, next);
        s->may_reach =
            s->merge_rounds > store_free_rounds ? STORE_LOG_START + SLACK : 0;
        g_cond_broadcast(&s->changed);
        store_drain(s, &old->inflight);
        old->frozen = TRUE;
    }
    g_mutex_unlock(&s->lock);
    g_mutex_unlock(&s->control);
    return r;
}

/* Writes wait until what the last log holds is merged. */
static int last_round(ColoStore *s)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new();
    int r;

    g_mutex_lock(&s->lock);
    s->gate[COLO_STORE_SECONDARY] = TRUE;
    store_drain(s, &store_layers_top(s->active)->inflight);
    take(layers, s->active, s->active->len);
    g_mutex_unlock(&s->lock);
    r = merge_layers(s, layers, TRUE);
    g_mutex_lock(&s->lock);
    s->gate[COLO_STORE_SECONDARY] = FALSE;
    if (!r) {
        store_tell(s, "merged",
                   "everything is in the image: it alone is the disk now");
    }
    g_cond_broadcast(&s->changed);
    g_mutex_unlock(&s->lock);
    return r;
}

static int survivor_round(ColoStore *s)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new();
    guint64 held;
    gboolean last, behind;
    int r;

    g_mutex_lock(&s->lock);
    held = store_layers_top(s->active)->log->end;
    last = !s->sealed->len && s->active->len == 1 && held <= LAST_ROUND;
    behind = s->active->len > MAX_BEHIND;
    s->merge_rounds++;
    g_mutex_unlock(&s->lock);
    if (last) {
        return last_round(s);
    }
    r = held > STORE_LOG_START && !behind ? rotate(s) : 0;
    if (r) {
        return r;
    }
    g_mutex_lock(&s->lock);
    take(layers, s->sealed, s->sealed->len);
    take(layers, s->active, s->active->len - 1);
    g_mutex_unlock(&s->lock);
    return layers->len ? merge_layers(s, layers, FALSE) : 0;
}

/*
 * With the lock: a round ended so.  The image may lie on another file system
 * than the logs.  Where it cannot be written the layers stay: all is read as
 * before, and a survivor goes on; only checkpoints are refused.
 */
static void ended(ColoStore *s, int r)
{
    int before = s->merge_result;

    s->merge_result = r;
    if (!r) {
        if (before && before != -ECANCELED) {
            store_tell(s, "space", "the image takes epochs again");
        }
        g_clear_pointer(&s->merge_error, g_free);
        return;
    }
    s->may_reach = 0; /* nobody catches up */
    if (r == -ENOSPC || r == -EDQUOT) {
        if (r != before) {
            store_tell(s, "enospc",
                       "there is no room to merge epochs into the image");
        }
    } else if (r != -ECANCELED && !s->error && !s->merge_error) {
        s->merge_error = g_strdup_printf(
            "cannot merge epochs into the image: %s", g_strerror(-r));
        store_tell(s, "error", "%s", s->merge_error);
    }
}

static gpointer merger(gpointer user)
{
    ColoStore *s = user;
    gint64 next = 0;

    /* Nobody waits for this: idle class where the I/O scheduler knows it */
    syscall(SYS_ioprio_set, 1 /* this thread */, 0, 3 << 13 /* idle */);
    g_mutex_lock(&s->lock);
    while (!s->quit) {
        gboolean survivor = is_survivor(s);
        int r;

        if (s->merge_hold || s->error || !store_has_to_merge(s)) {
            g_cond_wait(&s->changed, &s->lock);
            continue;
        }
        if (next > g_get_monotonic_time() &&
            (s->merge_result || (!s->merge_now && !survivor))) {
            g_cond_wait_until(&s->changed, &s->lock, next);
            continue;
        }
        s->merging = TRUE;
        g_mutex_unlock(&s->lock);
        r = survivor ? survivor_round(s) : standby_round(s);
        g_mutex_lock(&s->lock);
        s->merging = s->merge_now = FALSE;
        ended(s, r);
        next = g_get_monotonic_time() +
               (r ? STORE_SPACE_MS : (gint64)store_merge_ms) *
                   G_TIME_SPAN_MILLISECOND;
        g_cond_broadcast(&s->changed);
    }
    g_mutex_unlock(&s->lock);
    return NULL;
}

void store_merge_hold(ColoStore *s)
{
    s->merge_hold++;
    g_cond_broadcast(&s->changed);
    while (s->merging) {
        g_cond_wait(&s->changed, &s->lock);
    }
}

void store_merge_release(ColoStore *s)
{
    s->merge_hold--;
    g_cond_broadcast(&s->changed);
}

/* Those who wait wake each other up only once. */
void store_merge_soon(ColoStore *s)
{
    if (!s->merge_now) {
        s->merge_now = TRUE;
        g_cond_broadcast(&s->changed);
    }
}

int colo_store_merge(ColoStore *s)
{
    int r = 0;

    g_mutex_lock(&s->lock);
    s->merge_result = 0;
    for (;;) {
        if (s->error || s->quit) {
            r = s->error ? -EIO : -ESHUTDOWN;
            break;
        }
        if (s->merge_result && s->merge_result != -ECANCELED) {
            r = s->merge_result;
            break;
        }
        if (!s->merging && !store_has_to_merge(s) &&
            (s->state != COLO_STORE_STANDBY || s->durable == s->epoch)) {
            break;
        }
        store_merge_soon(s);
        g_cond_wait(&s->changed, &s->lock);
    }
    g_mutex_unlock(&s->lock);
    return r;
}

guint64 colo_store_to_merge(ColoStore *s)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new();
    guint64 off = 0, bytes = 0;

    g_mutex_lock(&s->lock);
    for (guint i = 0, n = store_view_sealed(s, COLO_STORE_SECONDARY); i < n;
         i++) {
        g_ptr_array_add(layers, s->sealed->pdata[i]);
    }
    if (s->state == COLO_STORE_PROMOTED) {
        g_ptr_array_extend(layers, s->active, NULL, NULL);
    }
    while (off < s->base.size) {
        guint64 end = s->base.size;
        StorePiece p;

        if (store_layers_find((StoreLayer **)layers->pdata, layers->len, off,
                              &end, &p)) {
            end = p.end;
            bytes += store_copy_cost(&p);
        }
        off = end;
    }
    g_mutex_unlock(&s->lock);
    return bytes;
}

void store_merger_start(ColoStore *s)
{
    s->merger = g_thread_new("store-merger", merger, s);
}

void store_merger_stop(ColoStore *s)
{
    if (s->merger) {
        g_thread_join(s->merger);
        s->merger = NULL;
    }
}
