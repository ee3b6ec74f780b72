/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening and closing a store. */
#include "blockrep/store/store-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "lock"

void colo_store_options_default(ColoStoreOptions *o)
{
    *o = (ColoStoreOptions){
        .durability = COLO_DURABLE_EPOCH,
        .max_index_bytes = (gsize)256 << 20,
    };
}

/* A survivor's logs are of no use if a power loss takes their folder. */
static int sync_parent(const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0) {
        close(fd);
    }
    return r;
}

static gboolean open_folder(ColoStore *s, GError **error)
{
    const char *doing = "make the folder";
    int e;

    if (g_mkdir_with_parents(s->folder_path, 0700) < 0 ||
        sync_parent(s->folder_path) < 0) {
        goto fail;
    }
    doing = "open the folder";
    s->folder = open(s->folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->folder < 0) {
        goto fail;
    }
    doing = "lock the folder";
    s->lock_fd =
        openat(s->folder, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        goto fail;
    }
    return TRUE;
fail:
    e = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(e),
                "cannot %s %s: %s%s", doing, s->folder_path, g_strerror(e),
                e == EWOULDBLOCK ? ": another process uses it; end that first"
                                 : "");
    return FALSE;
}

static void free_layers(GPtrArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        store_layer_destroy(list->pdata[i]);
    }
    g_ptr_array_unref(list);
}

static void store_free(ColoStore *s)
{
    free_layers(s->sealed);
    free_layers(s->pending);
    free_layers(s->active);
    free_layers(s->dead);
    g_array_unref(s->hollow);
    g_ptr_array_unref(s->spares);
    store_state_close(s->statefile);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    if (s->folder >= 0) {
        close(s->folder);
    }
    store_base_close(&s->base);
    g_mutex_clear(&s->control);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->changed);
    g_cond_clear(&s->to_sync);
    g_free(s->error);
    g_free(s->merge_error);
    g_free(s->base_path);
    g_free(s->folder_path);
    g_free(s);
}

ColoStore *colo_store_open(const ColoStoreOptions *o, GError **error)
{
    ColoStore *s = g_new0(ColoStore, 1);

    s->o = *o;
    s->base_path = g_strdup(o->base);
    s->folder_path =
        o->folder ? g_strdup(o->folder) : g_strconcat(o->base, ".colo", NULL);
    s->o.base = s->base_path;
    s->o.folder = s->folder_path;
    s->folder = s->lock_fd = s->base.fd = -1;
    g_mutex_init(&s->control);
    g_mutex_init(&s->lock);
    g_cond_init(&s->changed);
    g_cond_init(&s->to_sync);
    g_queue_init(&s->events);
    s->sealed = g_ptr_array_new();
    s->pending = g_ptr_array_new();
    s->active = g_ptr_array_new();
    s->hollow = g_array_new(FALSE, FALSE, sizeof(guint64));
    s->spares = g_ptr_array_new();
    s->dead = g_ptr_array_new();
    if (!store_base_open(&s->base, s->base_path, TRUE, error) ||
        !open_folder(s, error) || !store_recover(s, error)) {
        store_keeper_stop(s);
        store_free(s);
        return NULL;
    }
    store_keeper_start(s);
    store_merger_start(s);
    return s;
}

void colo_store_close(ColoStore *s)
{
    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->quit = TRUE;
    g_cond_broadcast(&s->changed);
    g_cond_signal(&s->to_sync);
    while (s->users) {
        g_cond_wait(&s->changed, &s->lock);
    }
    g_mutex_unlock(&s->lock);
    store_merger_stop(s);
    store_keeper_stop(s);
    store_free(s);
}

guint64 colo_store_size(const ColoStore *s)
{
    return s->base.size;
}
