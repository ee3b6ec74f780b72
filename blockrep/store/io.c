/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: reading through the layers, appending to the top one.
 *
 * A write reserves its place in the log under the lock, writes there without
 * it, then enters the index.  Where two of them overlap, the index goes by the
 * place in the log, as a replay will.
 */
#include "blockrep/store/store-priv.h"
#include "blockrep/store/file-io.h"
#include "colo/log.h"

#include <errno.h>

enum { MAX_PIECES = 64 }; /* of a read, found at a time */
guint store_index_wait_ms = 10000;

/* With the lock: a request is done. */
static void leave(ColoStore *s)
{
    if (!--s->users && s->quit) {
        g_cond_broadcast(&s->changed);
    }
}

static gboolean in_disk(const ColoStore *s, guint64 len, guint64 offset)
{
    return offset <= s->base.size && len <= s->base.size - offset;
}

int colo_store_read(ColoStore *s, ColoStoreView v, void *buf, guint32 len,
                    guint64 offset)
{
    guint64 off = offset, end = offset + len;
    guint8 *p = buf;
    int r = 0;

    if (!in_disk(s, len, offset)) {
        return -EINVAL;
    }
    while (off < end && !r) {
        StorePiece pieces[MAX_PIECES];
        guint n = 0;

        g_mutex_lock(&s->lock);
        if (v == COLO_STORE_PRIMARY && s->state == COLO_STORE_PROMOTED) {
            g_mutex_unlock(&s->lock);
            return -ESHUTDOWN;
        }
        while (off < end && n < MAX_PIECES) {
            store_view_find(s, v, off, end, &pieces[n]);
            if (pieces[n].layer) {
                store_layer_ref(pieces[n].layer);
            }
            off = pieces[n++].end;
        }
        s->users++;
        g_mutex_unlock(&s->lock);
        for (guint i = 0; i < n && !r; i++) {
            r = store_piece_read(s, &pieces[i], p);
            p += pieces[i].end - pieces[i].off;
        }
        g_mutex_lock(&s->lock);
        for (guint i = 0; i < n; i++) {
            if (pieces[i].layer) {
                store_layer_unref(s, pieces[i].layer);
            }
        }
        leave(s);
        g_mutex_unlock(&s->lock);
    }
    if (r) {
        colo_log_error("%s: cannot read %u bytes at %" G_GUINT64_FORMAT ": %s",
                       s->base_path, len, offset, g_strerror(-r));
    }
    return r;
}

/* With the lock: too many runs?  Waits for merging. */
static int wait_for_index(ColoStore *s, gint64 *deadline)
{
    if (!s->index_told) {
        s->index_told = TRUE;
        store_tell(s, "index",
                   "%zu of %zu bytes of index are used: make a checkpoint",
                   s->index_bytes, s->o.max_index_bytes);
    }
    store_merge_soon(s);
    if (!*deadline) {
        *deadline = g_get_monotonic_time() +
                    (gint64)store_index_wait_ms * G_TIME_SPAN_MILLISECOND;
    }
    return g_cond_wait_until(&s->changed, &s->lock, *deadline) ? 0 : -ENOSPC;
}

/* With the lock: may a write of this view begin?  Waits until it may. */
static int admit(ColoStore *s, ColoStoreView v)
{
    gint64 deadline = 0;
    int r = 0;

    while (!r) {
        if (s->quit) {
            return -ESHUTDOWN;
        }
        if (s->gate[v]) { /* for a moment */
            g_cond_wait(&s->changed, &s->lock);
            continue;
        }
        if (s->error &&
            (v == COLO_STORE_PRIMARY || s->state == COLO_STORE_PROMOTED)) {
            return -EIO;
        }
        if (v == COLO_STORE_PRIMARY && s->state == COLO_STORE_PROMOTED) {
            return -ESHUTDOWN;
        }
        if (v == COLO_STORE_PRIMARY && s->merge_error) {
            return -EIO;
        }
        if (v == COLO_STORE_PRIMARY && s->full) {
            return -ENOSPC;
        }
        if (v == COLO_STORE_SECONDARY && s->may_reach && !s->direct &&
            store_layers_top(s->active)->log->end > s->may_reach) {
            g_cond_wait(&s->changed, &s->lock);
            continue;
        }
        if (s->index_bytes < s->o.max_index_bytes) {
            return 0;
        }
        r = wait_for_index(s, &deadline);
    }
    return r;
}

static gboolean is_direct(ColoStore *s, ColoStoreView v)
{
    return s->direct &&
           (v == COLO_STORE_PRIMARY) == (s->state != COLO_STORE_PROMOTED);
}

/* With the lock */
static void write_ended(ColoStore *s, guint *inflight)
{
    --*inflight;
    if (!*inflight && s->waiters) {
        g_cond_broadcast(&s->changed);
    }
}

/* With the lock, which is given up for the I/O */
static int write_base(ColoStore *s, StoreRecord *r, const void *data)
{
    int e;

    s->base_inflight++;
    g_mutex_unlock(&s->lock);
    e = r->kind == STORE_DATA
            ? store_pwrite(s->base.fd, data, r->len, r->off)
            : store_base_zero(&s->base, r->off, r->len, r->kind == STORE_PUNCH);
    g_mutex_lock(&s->lock);
    s->base_written++;
    if (e == -ENOSPC || e == -EDQUOT || e == -EFBIG) {
        e = -ENOSPC;
        store_is_full(s, s->base_path);
    }
    write_ended(s, &s->base_inflight);
    return e;
}

static int append(ColoStore *s, ColoStoreView v, StoreRecord *r,
                  const void *data)
{
    StoreLayer *l =
        store_layers_top(v == COLO_STORE_PRIMARY ? s->pending : s->active);
    guint64 size = store_record_size(r->kind, r->len);
    gsize before;
    int e;

    r->pos = l->log->end;
    l->log->end += size;
    l->inflight++;
    store_layer_ref(l);
    s->appended += size;
    if (l->log->allocated < l->log->end + STORE_AHEAD && !s->blocks_wanted) {
        s->blocks_wanted = TRUE;
        g_cond_broadcast(&s->changed);
    }
    g_mutex_unlock(&s->lock);
    e = store_log_write(l->log, r, data);
    g_mutex_lock(&s->lock);
    if (!e) {
        before = store_index_bytes(l->index);
        store_index_insert(l->index, r);
        s->index_bytes += store_index_bytes(l->index) - before;
        l->log->records++;
        l->log->sum += r->sum;
        if (!s->index_told && s->index_bytes > s->o.max_index_bytes / 2) {
            s->index_told = TRUE;
            store_tell(s, "index",
                       "half of %zu bytes of index are used: a "
                       "checkpoint would make room",
                       s->o.max_index_bytes);
        }
    } else if (e == -ENOSPC || e == -EDQUOT || e == -EFBIG) {
        e = -ENOSPC;
        store_is_full(s, s->folder_path);
    }
    write_ended(s, &l->inflight);
    store_layer_unref(s, l);
    return e;
}

static int write_one(ColoStore *s, ColoStoreView v, StoreRecord *r,
                     const void *data)
{
    gboolean look;
    int e;

    g_mutex_lock(&s->lock);
    s->users++;
    e = admit(s, v);
    if (!e) {
        e = is_direct(s, v) ? write_base(s, r, data) : append(s, v, r, data);
    }
    look = s->appended >= STORE_SPACE_BYTES;
    if (look) {
        s->appended = 0;
    }
    leave(s);
    g_mutex_unlock(&s->lock);
    if (look) {
        store_look_at_space(s);
    }
    return e;
}

static int finish(ColoStore *s, ColoStoreView v, StoreRecord *r, int e,
                  gboolean fua)
{
    if (e && e != -ENOSPC && e != -ESHUTDOWN) {
        colo_log_error("%s: cannot write %" G_GUINT64_FORMAT
                       " bytes at %" G_GUINT64_FORMAT ": %s",
                       s->base_path, r->len, r->off, g_strerror(-e));
    }
    return !e && fua ? colo_store_flush(s, v) : e;
}

int colo_store_write(ColoStore *s, ColoStoreView v, const void *buf,
                     guint32 len, guint64 offset, gboolean fua)
{
    const guint8 *p = buf;
    StoreRecord r = {0};
    int e = 0;

    if (!in_disk(s, len, offset)) {
        return offset <= s->base.size ? -ENOSPC : -EINVAL;
    }
    for (guint32 n; len && !e; len -= n, p += n, offset += n) {
        n = MIN(len, STORE_MAX_RECORD);
        r = (StoreRecord){.kind = STORE_DATA, .off = offset, .len = n};
        e = write_one(s, v, &r, p);
    }
    return finish(s, v, &r, e, fua);
}

int colo_store_zero(ColoStore *s, ColoStoreView v, guint64 len, guint64 offset,
                    gboolean punch, gboolean fua)
{
    StoreRecord r = {
        .kind = punch ? STORE_PUNCH : STORE_ZERO, .off = offset, .len = len};

    if (!in_disk(s, len, offset)) {
        return offset <= s->base.size ? -ENOSPC : -EINVAL;
    }
    return finish(s, v, &r, len ? write_one(s, v, &r, NULL) : 0, fua);
}

int colo_store_flush(ColoStore *s, ColoStoreView v)
{
    gboolean wait;
    int r = 0;

    g_mutex_lock(&s->lock);
    if (s->state == COLO_STORE_PROMOTED && v == COLO_STORE_PRIMARY) {
        r = -ESHUTDOWN;
    } else if (s->error) {
        r = -EIO;
    }
    wait = s->state == COLO_STORE_PROMOTED ||
           s->o.durability == COLO_DURABLE_FLUSH;
    s->users++;
    g_mutex_unlock(&s->lock);
    r = !r && wait ? store_sync_view(s, v) : r;
    g_mutex_lock(&s->lock);
    if (!r && wait && s->error) {
        r = -EIO; /* the kernel tells of lost pages once, not each thread */
    }
    leave(s);
    g_mutex_unlock(&s->lock);
    return r;
}
