/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The takeover: at once for the guest, durable some time later.  A thread does
 * what takes time, and tells by an event.
 */
#include "blockrep/plugin/disk.h"
#include "colo/log.h"

#include <errno.h>

/* What a worker does, one disk after the other, and who waits for its start */
typedef struct Work {
    DiskSet *set;
    const char *event;
    int (*one)(struct Work *w, Disk *d);
    GMutex lock;
    GCond cond;
    gint refs;      /* the thread and who waits */
    guint began;    /* disks whose view is the survivor's */
    gboolean ended; /* nothing more begins */
    GError *error;  /* the first one */
} Work;

static void work_unref(Work *w)
{
    if (g_atomic_int_dec_and_test(&w->refs)) {
        g_mutex_clear(&w->lock);
        g_cond_clear(&w->cond);
        g_clear_error(&w->error);
        g_free(w);
    }
}

static void on_survives(gpointer user)
{
    Work *w = user;

    g_mutex_lock(&w->lock);
    w->began++;
    g_cond_signal(&w->cond);
    g_mutex_unlock(&w->lock);
}

static int promote_one(Work *w, Disk *d)
{
    return colo_store_promote_notify(d->store, on_survives, w);
}

static int flush_one(Work *w, Disk *d)
{
    return colo_store_flush(d->store, COLO_STORE_SECONDARY);
}

typedef struct Part {
    Work *work;
    Disk *disk;
} Part;

static gpointer do_part(gpointer user)
{
    g_autofree Part *part = user;
    Work *w = part->work;
    int r = w->one(w, part->disk);

    g_mutex_lock(&w->lock);
    if (r && !w->error) {
        g_set_error(&w->error, COLO_PLUGIN_ERROR, -r, "disk %s: %s",
                    part->disk->name, g_strerror(-r));
    }
    g_cond_signal(&w->cond);
    g_mutex_unlock(&w->lock);
    return NULL;
}

static void tell(Work *w)
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
    Work *w = user;
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
    g_mutex_lock(&w->lock);
    w->ended = TRUE;
    g_cond_signal(&w->cond);
    g_mutex_unlock(&w->lock);
    tell(w);
    g_mutex_lock(&set->lock);
    set->working = FALSE;
    g_mutex_unlock(&set->lock);
    work_unref(w);
    return NULL;
}

/* With the set's lock; the caller has a reference of its own. */
static Work *start(DiskSet *set, const char *event,
                   int (*one)(Work *w, Disk *d), GError **error)
{
    Work *w;

    if (set->working) {
        g_set_error(error, COLO_PLUGIN_ERROR, EBUSY,
                    "a promotion or a flush is under way: its event tells "
                    "when it is done");
        return NULL;
    }
    if (set->worker) {
        g_thread_join(set->worker); /* it has ended */
    }
    w = g_new0(Work, 1);
    w->set = set;
    w->event = event;
    w->one = one;
    w->refs = 2;
    g_mutex_init(&w->lock);
    g_cond_init(&w->cond);
    set->working = TRUE;
    set->worker = g_thread_new("disk-work", work, w);
    return w;
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
    Work *w = NULL;
    gboolean ok;

    g_mutex_lock(&set->lock);
    if (load_the_rest(set, error)) {
        w = start(set, "COLO_DISK_PROMOTED", promote_one, error);
    }
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
    Work *w;

    g_mutex_lock(&set->lock);
    w = start(set, "COLO_DISK_FLUSHED", flush_one, error);
    g_mutex_unlock(&set->lock);
    if (w) {
        work_unref(w);
    }
    return w != NULL;
}
