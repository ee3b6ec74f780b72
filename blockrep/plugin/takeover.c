/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The takeover: at once for the guest, durable some time later.  A thread does
 * what takes time, and tells by an event.
 */
#include "blockrep/plugin/disk.h"
#include "colo/log.h"

#include <errno.h>

/* What a thread does, one disk beside the other, and who waits for its start */
struct DiskWork {
    DiskSet *set;
    const char *event;
    int (*one)(DiskWork *w, Disk *d);
    GThread *thread;
    gint refs; /* the set's and those of who waits; the set joins the thread */

    GMutex lock; /* the rest */
    GCond cond;
    guint began;    /* disks whose view is the survivor's */
    gboolean ended; /* nothing more begins */
    GError *error;  /* the first one */
};

static DiskWork *work_ref(DiskWork *w)
{
    g_atomic_int_inc(&w->refs);
    return w;
}

static void work_unref(DiskWork *w)
{
    if (g_atomic_int_dec_and_test(&w->refs)) {
        g_mutex_clear(&w->lock);
        g_cond_clear(&w->cond);
        g_clear_error(&w->error);
        g_free(w);
    }
}

void disk_work_join(DiskWork *w)
{
    g_thread_join(g_steal_pointer(&w->thread));
    work_unref(w);
}

static void on_survives(gpointer user)
{
    DiskWork *w = user;

    g_mutex_lock(&w->lock);
    w->began++;
    g_cond_broadcast(&w->cond);
    g_mutex_unlock(&w->lock);
}

static int promote_one(DiskWork *w, Disk *d)
{
    return colo_store_promote_notify(d->store, on_survives, w);
}

static int flush_one(DiskWork *w, Disk *d)
{
    return colo_store_flush(d->store, COLO_STORE_SECONDARY);
}

typedef struct Part {
    DiskWork *work;
    Disk *disk;
} Part;

static gpointer do_part(gpointer user)
{
    g_autofree Part *part = user;
    DiskWork *w = part->work;
    int r = w->one(w, part->disk);

    g_mutex_lock(&w->lock);
    if (r && !w->error) {
        g_set_error(&w->error, COLO_PLUGIN_ERROR, -r, "disk %s: %s",
                    part->disk->name, g_strerror(-r));
    }
    g_mutex_unlock(&w->lock);
    return NULL;
}

static void tell(DiskWork *w)
{
    JsonObject *o;

    if (w->error) {
        colo_log_error("%s", w->error->message);
    }
    if (!w->set->event) {
        return;
    }
    o = json_object_new();
    json_object_set_boolean_member(o, "durable", !w->error);
    if (w->error) {
        json_object_set_string_member(o, "error", w->error->message);
    }
    w->set->event(w->event, o, w->set->user);
}

/* All disks at once: the slowest one counts. */
static gpointer work(gpointer user)
{
    DiskWork *w = user;
    DiskSet *set = w->set;
    g_autoptr(GPtrArray) parts = g_ptr_array_new();

    for (guint i = 0; i < set->disks->len; i++) {
        Part *part = g_new(Part, 1);

        *part = (Part){w, set->disks->pdata[i]};
        g_ptr_array_add(parts, g_thread_new("disk-part", do_part, part));
    }
    for (guint i = 0; i < parts->len; i++) {
        g_thread_join(parts->pdata[i]);
    }
    /* First: who hears of the end may ask for the next one at once. */
    g_mutex_lock(&w->lock);
    w->ended = TRUE;
    g_cond_broadcast(&w->cond);
    g_mutex_unlock(&w->lock);
    tell(w);
    return NULL;
}

/* With the set's lock */
static gboolean is_under_way(DiskWork *w)
{
    gboolean is = FALSE;

    if (w) {
        g_mutex_lock(&w->lock);
        is = !w->ended;
        g_mutex_unlock(&w->lock);
    }
    return is;
}

/* With the set's lock; what was there before has ended. */
static void start(DiskSet *set, DiskWork **at, const char *event,
                  int (*one)(DiskWork *w, Disk *d))
{
    DiskWork *w = g_new0(DiskWork, 1);

    if (*at) {
        disk_work_join(*at);
    }
    w->set = set;
    w->event = event;
    w->one = one;
    w->refs = 1;
    g_mutex_init(&w->lock);
    g_cond_init(&w->cond);
    w->thread = g_thread_new("disk-work", work, w);
    *at = w;
}

/*
 * With the lock.  Loading was interrupted between two disks: the guest was not
 * let go, so nothing is lost by finishing it.
 */
static gboolean load_the_rest(DiskSet *set, GError **error)
{
    guint64 loaded[2] = {G_MAXUINT64, 0};

    for (guint pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < set->disks->len; i++) {
            const Disk *d = set->disks->pdata[i];
            ColoStoreStatus st;
            int r = 0;

            colo_store_status(d->store, &st);
            g_free(st.error);
            if (!pass) {
                loaded[0] = MIN(loaded[0], st.loaded);
                loaded[1] = MAX(loaded[1], st.loaded);
            } else if (st.loaded < loaded[1] &&
                       st.state != COLO_STORE_PROMOTED) {
                r = colo_store_load(d->store, loaded[1]);
            }
            if (r) {
                g_set_error(error, COLO_PLUGIN_ERROR, -r,
                            "disk %s: cannot load epoch %" G_GUINT64_FORMAT
                            ", which others have loaded: %s",
                            d->name, loaded[1], g_strerror(-r));
                return FALSE;
            }
        }
    }
    if (!loaded[1]) {
        g_set_error(error, COLO_PLUGIN_ERROR, ENOENT,
                    "no epoch was loaded yet: the first copy is not complete, "
                    "and there is nothing to take over");
        return FALSE;
    }
    return TRUE;
}

gboolean disk_set_promote(DiskSet *set, GError **error)
{
    DiskWork *w;
    gboolean ok;

    g_mutex_lock(&set->lock);
    /* Asked again by one who did not hear the answer: it is the same one. */
    ok = is_under_way(set->promotion);
    if (!ok && load_the_rest(set, error)) {
        start(set, &set->promotion, "COLO_DISK_PROMOTED", promote_one);
        ok = TRUE;
    }
    w = ok ? work_ref(set->promotion) : NULL;
    g_mutex_unlock(&set->lock);
    if (!w) {
        return FALSE;
    }
    g_mutex_lock(&w->lock);
    while (w->began < set->disks->len && !w->ended) {
        g_cond_wait(&w->cond, &w->lock);
    }
    ok = w->began == set->disks->len;
    if (!ok) {
        g_propagate_error(error, g_error_copy(w->error));
    }
    g_mutex_unlock(&w->lock);
    work_unref(w);
    return ok;
}

gboolean disk_set_flush(DiskSet *set, GError **error)
{
    gboolean free;

    g_mutex_lock(&set->lock);
    free = !is_under_way(set->flush);
    if (free) {
        start(set, &set->flush, "COLO_DISK_FLUSHED", flush_one);
    }
    g_mutex_unlock(&set->lock);
    if (!free) {
        g_set_error(error, COLO_PLUGIN_ERROR, EBUSY,
                    "a flush is under way: its event tells when it is done");
    }
    return free;
}
