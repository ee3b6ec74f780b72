/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disks: which there are, opening and closing them, what is said. */
#include "blockrep/plugin/disk.h"
#include "colo/names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(colo - plugin - error - quark, colo_plugin_error)

static void disk_free(gpointer p)
{
    Disk *d = p;

    g_assert(!d->store);
    writer_clear(&d->writer);
    g_free(d->name);
    g_free(d->base);
    g_free(d);
}

DiskSet *disk_set_new(void)
{
    DiskSet *set = g_new0(DiskSet, 1);

    set->disks = g_ptr_array_new_with_free_func(disk_free);
    g_mutex_init(&set->lock);
    return set;
}

void disk_set_free(DiskSet *set)
{
    if (set) {
        g_ptr_array_unref(set->disks);
        g_mutex_clear(&set->lock);
        g_free(set->session);
        g_free(set);
    }
}

Disk *disk_set_find(DiskSet *set, const char *name, gsize len)
{
    for (guint i = 0; i < set->disks->len; i++) {
        Disk *d = set->disks->pdata[i];

        if (strlen(d->name) == len && !memcmp(d->name, name, len)) {
            return d;
        }
    }
    return NULL;
}

gboolean disk_set_add(DiskSet *set, const char *name, const char *base,
                      GError **error)
{
    static const char *const words[] = {"primary", "secondary", "checkpoint",
                                        NULL};
    Disk *d;

    if (!colo_name_is_valid(name) || g_strv_contains(words, name)) {
        g_set_error(error, COLO_PLUGIN_ERROR, EINVAL,
                    "'%s' cannot be the name of a disk: letters, digits and "
                    "._- may be, but not primary, secondary or checkpoint",
                    name);
        return FALSE;
    }
    if (disk_set_find(set, name, strlen(name))) {
        g_set_error(error, COLO_PLUGIN_ERROR, EEXIST, "there are two disks %s",
                    name);
        return FALSE;
    }
    d = g_new0(Disk, 1);
    d->set = set;
    d->name = g_strdup(name);
    d->base = g_strdup(base);
    writer_init(&d->writer);
    g_ptr_array_add(set->disks, d);
    return TRUE;
}

/*
 * Behind the end nothing changes, but the file system says whether it could.
 * Block devices may or may not: they count as slow.
 */
static gboolean zeroes_are_fast(const char *base)
{
    int fd = open(base, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    gboolean fast = FALSE;
    struct stat st;

    if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
        fast = !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                          st.st_size, COLO_STORE_BLOCK);
    }
    if (fd >= 0) {
        close(fd);
    }
    return fast;
}

static void on_store_event(gpointer user, const char *what, const char *detail)
{
    disk_tell(user, what, detail);
}

gboolean disk_set_open(DiskSet *set, const char *folder, GError **error)
{
    for (guint i = 0; i < set->disks->len; i++) {
        Disk *d = set->disks->pdata[i];
        g_autofree char *path =
            folder ? g_build_filename(folder, d->name, NULL) : NULL;
        ColoStoreOptions o;
        ColoStoreStatus st;

        colo_store_options_default(&o);
        o.base = d->base;
        o.folder = path;
        o.durability = set->durability;
        o.event = on_store_event;
        o.user = d;
        d->fast_zero = zeroes_are_fast(d->base);
        d->store = colo_store_open(&o, error);
        if (!d->store) {
            g_prefix_error(error, "disk %s: ", d->name);
            disk_set_close(set);
            return FALSE;
        }
        colo_store_status(d->store, &st);
        g_free(st.error);
        set->committed = MAX(set->committed, st.loaded);
    }
    return TRUE;
}

void disk_set_close(DiskSet *set)
{
    g_clear_pointer(&set->promotion, disk_work_join);
    g_clear_pointer(&set->flush, disk_work_join);
    for (guint i = 0; i < set->disks->len; i++) {
        Disk *d = set->disks->pdata[i];

        colo_store_close(g_steal_pointer(&d->store));
    }
}

void disk_tell(Disk *d, const char *what, const char *detail)
{
    JsonObject *o;

    if (!d->set->event) {
        return;
    }
    o = json_object_new();
    json_object_set_string_member(o, "name", d->name);
    json_object_set_string_member(o, "what", what);
    json_object_set_string_member(o, "detail", detail);
    d->set->event("COLO_DISK", o, d->set->user);
}

/* --- Status ----------------------------------------------------------------
 */

static JsonNode *query_one(Disk *d)
{
    JsonNode *node = colo_store_status_json(d->store);
    JsonObject *o = json_node_get_object(node);
    g_autofree char *primary = g_strdup_printf("%s/primary", d->name);
    g_autofree char *secondary = g_strdup_printf("%s/secondary", d->name);
    JsonArray *exports = json_array_new();

    json_object_set_string_member(o, "name", d->name);
    json_array_add_string_element(exports, primary);
    json_array_add_string_element(exports, secondary);
    json_object_set_array_member(o, "exports", exports);
    g_mutex_lock(&d->writer.lock);
    if (d->writer.host) {
        json_object_set_string_member(o, "writer", d->writer.host);
    }
    g_mutex_unlock(&d->writer.lock);
    return node;
}

JsonNode *disk_set_query(DiskSet *set)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    JsonArray *list = json_array_new();
    guint64 committed;

    g_mutex_lock(&set->lock);
    committed = set->committed;
    g_mutex_unlock(&set->lock);
    for (guint i = 0; i < set->disks->len; i++) {
        JsonNode *one = query_one(set->disks->pdata[i]);

        json_object_set_int_member(json_node_get_object(one), "committed",
                                   (gint64)committed);
        json_array_add_element(list, one);
    }
    json_node_take_array(node, list);
    return node;
}

char *disk_set_summary(DiskSet *set, gsize max)
{
    static const char end[] = "],\"more\":true}\n";
    GString *text = g_string_new("{\"disks\":[");
    gboolean all = TRUE;

    for (guint i = 0; i < set->disks->len && all; i++) {
        Disk *d = set->disks->pdata[i];
        g_autoptr(GString) one = g_string_new(i ? "," : "");
        ColoStoreStatus st;

        colo_store_status(d->store, &st);
        g_string_append_printf(
            one,
            "{\"name\":\"%s\",\"size\":%" G_GUINT64_FORMAT
            ",\"state\":\"%s\",\"epoch\":%" G_GUINT64_FORMAT
            ",\"loaded\":%" G_GUINT64_FORMAT ",\"full\":%s,\"broken\":%s}",
            d->name, colo_store_size(d->store), colo_store_state_name(st.state),
            st.epoch, st.loaded, st.full ? "true" : "false",
            st.error ? "true" : "false");
        g_free(st.error);
        all = text->len + one->len + sizeof(end) <= max;
        if (all) {
            g_string_append_len(text, one->str, (gssize)one->len);
        }
    }
    g_string_append(text, all ? "]}\n" : end);
    return g_string_free(text, FALSE);
}
