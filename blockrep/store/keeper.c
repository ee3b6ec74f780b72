/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper: a thread for what nobody should wait for.  Logs ready for the
 * next epoch, those of the last ones taken apart, free space watched, the owner
 * told.  The syncer: one that brings epochs to the disk, which takes as long as
 * that does; no checkpoint should find no log ready for that.
 */
#include "blockrep/store/store-priv.h"
#include "colo/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

guint store_sync_ms = 100;

typedef struct StoreEvent {
    char *what, *detail;
} StoreEvent;

static void event_free(gpointer p)
{
    StoreEvent *e = p;

    g_free(e->what);
    g_free(e->detail);
    g_free(e);
}

static void tell(ColoStore *s, const char *what, char *detail)
{
    StoreEvent *e = g_new0(StoreEvent, 1);

    e->what = g_strdup(what);
    e->detail = detail;
    g_queue_push_tail(&s->events, e);
    g_cond_broadcast(&s->changed);
}

void store_tell(ColoStore *s, const char *what, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    tell(s, what, g_strdup_vprintf(fmt, args));
    va_end(args);
}

void store_break(ColoStore *s, const char *fmt, ...)
{
    va_list args;

    if (!s->error) {
        va_start(args, fmt);
        s->error = g_strdup_vprintf(fmt, args);
        va_end(args);
        tell(s, "error", g_strdup(s->error));
    }
}

void store_is_full(ColoStore *s, const char *where)
{
    if (!s->full) {
        s->full = TRUE;
        store_tell(s, "enospc",
                   "the file system of %s is full: the primary's writes are "
                   "refused until there is room",
                   where);
    }
}

static guint64 free_bytes(ColoStore *s, guint64 *reserve)
{
    struct statvfs st;

    if (fstatvfs(s->folder, &st) < 0) {
        *reserve = 0;
        return G_MAXUINT64;
    }
    *reserve = MIN(STORE_RESERVE, (guint64)st.f_blocks * st.f_frsize / 16);
    return (guint64)st.f_bavail * st.f_frsize;
}

void store_look_at_space(ColoStore *s)
{
    guint64 reserve, room = free_bytes(s, &reserve);

    g_mutex_lock(&s->lock);
    if (room < reserve) {
        store_is_full(s, s->folder_path);
    } else if (s->full && room >= 2 * reserve) {
        s->full = FALSE;
        store_tell(s, "space", "there is room in %s again", s->folder_path);
    }
    g_mutex_unlock(&s->lock);
}

/* Blocks for a log that has few left, where they are no problem. */
static void allocate(ColoStore *s, StoreLog *log)
{
    guint64 from, to, reserve, room = free_bytes(s, &reserve);

    g_mutex_lock(&s->lock);
    from = log->allocated;
    to = store_log_wants(log);
    log->allocated = MAX(from, to); /* once only, whatever comes of it */
    g_mutex_unlock(&s->lock);
    if (from < to && room / 4 > reserve + (to - from)) {
        store_log_allocate(log, from, to);
    }
}

static void allocate_for(ColoStore *s, GPtrArray *list)
{
    StoreLayer *top;

    g_mutex_lock(&s->lock);
    top = store_layers_top(list);
    if (top && !s->full && top->log->allocated < top->log->end + STORE_AHEAD) {
        store_layer_ref(top);
        g_mutex_unlock(&s->lock);
        allocate(s, top->log);
        g_mutex_lock(&s->lock);
        store_layer_unref(s, top);
    }
    g_mutex_unlock(&s->lock);
}

/* The number is taken under the lock, the file is made without. */
static int make_spare(ColoStore *s)
{
    guint64 number;
    StoreLog *log;
    int r;

    g_mutex_lock(&s->lock);
    number = s->next_number++;
    g_mutex_unlock(&s->lock);
    r = store_log_create(s->folder, number, &log);
    if (!r) {
        allocate(s, log);
        g_mutex_lock(&s->lock);
        g_ptr_array_add(s->spares, log);
        s->names_made++;
        g_mutex_unlock(&s->lock);
    }
    return r;
}

int store_need_spares(ColoStore *s, guint n)
{
    int r = 0;

    for (;;) {
        gboolean have;

        g_mutex_lock(&s->lock);
        have = s->spares->len >= n;
        g_mutex_unlock(&s->lock);
        if (have || r) {
            return have ? 0 : r == -EDQUOT ? -ENOSPC : r;
        }
        r = make_spare(s);
    }
}

StoreLayer *store_take_spare(ColoStore *s)
{
    StoreLog *log;

    g_assert(s->spares->len);
    log = g_ptr_array_steal_index(s->spares, 0);
    return store_layer_new(log);
}

static void remove_log(ColoStore *s, StoreLog *log)
{
    g_autofree char *name = store_log_name(log->number);

    unlinkat(s->folder, name, 0);
    store_log_close(log);
}

/* How much more the spares may hold, so that a new one may bring it */
static guint64 spare_room(ColoStore *s)
{
    guint64 held = 0;

    for (guint i = 0; i < s->spares->len; i++) {
        held += ((StoreLog *)s->spares->pdata[i])->allocated;
    }
    return held < STORE_SPARE_BYTES ? STORE_SPARE_BYTES - held : 0;
}

/* The log of a layer that nobody uses becomes a spare, or goes. */
static void bury(ColoStore *s, StoreLayer *l)
{
    StoreLog *log = g_steal_pointer(&l->log);
    gboolean wanted, broken;
    guint64 room;

    store_layer_destroy(l);
    g_mutex_lock(&s->lock);
    room = s->full ? STORE_LOG_START : spare_room(s);
    wanted = !s->quit && s->spares->len < STORE_SPARES &&
             (room > STORE_LOG_START || s->spares->len < 2);
    broken = s->error != NULL;
    g_mutex_unlock(&s->lock);
    if (broken) {
        store_log_close(log);
        return;
    }
    if (!wanted || store_log_recycle(log, MAX(room, STORE_LOG_START))) {
        remove_log(s, log);
        return;
    }
    g_mutex_lock(&s->lock);
    g_ptr_array_insert(s->spares, 0, log); /* the ones with blocks first */
    g_mutex_unlock(&s->lock);
}

/* The blocks of spares are of more use to others when there are no more. */
static void give_space_back(ColoStore *s)
{
    g_mutex_lock(&s->control); /* nobody takes one meanwhile */
    for (guint i = 0;;) {
        StoreLog *log = NULL;

        g_mutex_lock(&s->lock);
        if (i < s->spares->len) {
            log = s->spares->pdata[i];
        }
        g_mutex_unlock(&s->lock);
        if (!log) {
            break;
        }
        if (!store_log_recycle(log, STORE_LOG_START)) {
            i++;
            continue;
        }
        /* Its header is not what it should be. */
        g_mutex_lock(&s->lock);
        g_ptr_array_remove(s->spares, log);
        g_mutex_unlock(&s->lock);
        remove_log(s, log);
    }
    g_mutex_unlock(&s->control);
}

static gboolean take_event(ColoStore *s, StoreEvent **e)
{
    *e = g_queue_pop_head(&s->events);
    return *e != NULL;
}

static void send_event(ColoStore *s, StoreEvent *e)
{
    if (!strcmp(e->what, "merged") || !strcmp(e->what, "space")) {
        colo_log_info("%s: %s", s->base_path, e->detail);
    } else {
        colo_log_warn("%s: %s", s->base_path, e->detail);
    }
    if (s->o.event) {
        s->o.event(s->o.user, e->what, e->detail);
    }
    event_free(e);
}

/* With the lock, which is given up for work.  FALSE: there is none. */
static gboolean work(ColoStore *s)
{
    StoreEvent *event;
    StoreLayer *dead;

    if (take_event(s, &event)) {
        g_mutex_unlock(&s->lock);
        send_event(s, event);
    } else if (s->spares->len < 2 && !s->full && !s->error) {
        g_mutex_unlock(&s->lock);
        if (make_spare(s)) {
            store_look_at_space(s);
            g_mutex_lock(&s->lock);
            return FALSE; /* again when something changed */
        }
    } else if (s->blocks_wanted) {
        s->blocks_wanted = FALSE;
        g_mutex_unlock(&s->lock);
        allocate_for(s, s->pending);
        allocate_for(s, s->active);
    } else if (s->dead->len) {
        dead = g_ptr_array_remove_index_fast(s->dead, 0);
        g_mutex_unlock(&s->lock);
        bury(s, dead);
    } else {
        return FALSE;
    }
    g_mutex_lock(&s->lock);
    return TRUE;
}

static gpointer keep(gpointer user)
{
    ColoStore *s = user;
    gint64 next_look = 0;
    gboolean gave_back = FALSE;

    g_mutex_lock(&s->lock);
    while (!s->quit || s->dead->len || !g_queue_is_empty(&s->events)) {
        gint64 now, until;

        if (work(s)) {
            continue;
        }
        now = g_get_monotonic_time();
        if (s->full && now >= next_look) {
            g_mutex_unlock(&s->lock);
            if (!gave_back) {
                give_space_back(s);
            }
            gave_back = TRUE;
            store_look_at_space(s);
            next_look = now + STORE_SPACE_MS * G_TIME_SPAN_MILLISECOND;
            g_mutex_lock(&s->lock);
            continue;
        }
        gave_back = gave_back && s->full;
        if (s->quit) {
            break;
        }
        until = s->full ? next_look
                        : now + STORE_SPACE_MS * G_TIME_SPAN_MILLISECOND;
        g_cond_wait_until(&s->changed, &s->lock, until);
    }
    g_mutex_unlock(&s->lock);
    return NULL;
}

static gpointer bring_to_disk(gpointer user)
{
    ColoStore *s = user;
    gint64 next = 0;

    g_mutex_lock(&s->lock);
    while (!s->quit) {
        if (s->durable >= s->epoch || s->error ||
            s->state != COLO_STORE_STANDBY) {
            g_cond_wait(&s->to_sync, &s->lock);
        } else if (g_get_monotonic_time() < next) {
            g_cond_wait_until(&s->to_sync, &s->lock, next);
        } else {
            g_mutex_unlock(&s->lock);
            store_make_durable(s);
            next = g_get_monotonic_time() +
                   (gint64)store_sync_ms * G_TIME_SPAN_MILLISECOND;
            g_mutex_lock(&s->lock);
        }
    }
    g_mutex_unlock(&s->lock);
    return NULL;
}

void store_keeper_start(ColoStore *s)
{
    s->syncer = g_thread_new("store-syncer", bring_to_disk, s);
    s->keeper = g_thread_new("store-keeper", keep, s);
}

void store_keeper_stop(ColoStore *s)
{
    if (s->syncer) {
        g_thread_join(g_steal_pointer(&s->syncer));
    }
    if (s->keeper) {
        g_thread_join(g_steal_pointer(&s->keeper));
    }
    for (guint i = 0; i < s->spares->len; i++) {
        remove_log(s, s->spares->pdata[i]);
    }
    g_ptr_array_set_size(s->spares, 0);
    g_queue_clear_full(&s->events, event_free);
}
