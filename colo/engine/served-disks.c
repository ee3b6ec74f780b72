/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks that colod serves: the secondary's, and the survivor's own when it
 * is protected again.
 */
#include "colo/engine/engine.h"

/* From the server's thread */
static void on_event(const char *event, JsonObject *data, gpointer user_data)
{
    ColoEngine *e = user_data;

    colo_qmp_server_emit(e->control, event,
                         data ? json_object_ref(data) : NULL);
}

static void on_news(gpointer user_data)
{
    ColoEngine *e = user_data;
    JsonNode *disks = colo_disk_server_query(e->disks);
    char *why = colo_disk_server_why(e->disks);
    gboolean up = colo_disk_server_is_up(e->disks);
    ColoStatus *s = e->status;
    /* The primary's disks are those that are replicated. */
    JsonNode **list = e->config->primary ? &s->served : &s->disks;

    colo_status_lock(s);
    s->disks_served = up;
    g_free(s->disks_detail);
    s->disks_detail = why;
    g_clear_pointer(list, json_node_unref);
    *list = disks;
    colo_status_unlock(s);
}

gboolean colo_serve_disks(ColoEngine *e, GError **error)
{
    const ColoDiskConfig *d = &e->config->disks;
    gboolean primary = e->config->primary;
    ColoDiskImage images[COLO_MAX_DISKS];
    g_autofree char *folder = g_path_get_dirname(e->config->control);
    g_autofree char *control =
        g_strdup_printf("%s/%s-disks.qmp", folder, e->config->name);
    ColoDiskServerOptions o = {
        .disks = images,
        .n_disks = d->served->len,
        .listen = primary ? d->serve_nbd : d->nbd,
        .folder = d->folder,
        .flush = d->flush,
        .survivor = primary,
        /* The primary's are a client's; what it serves is for this host. */
        .tls_certificates = primary ? NULL : d->tls_certificates,
        .tls_psk = primary ? NULL : d->tls_psk,
        .control = control,
        .event = on_event,
        .news = on_news,
        .user_data = e,
    };

    for (guint i = 0; i < d->served->len; i++) {
        const ColoDiskName *n = g_ptr_array_index(d->served, i);

        images[i].name = n->name;
        images[i].path = n->what;
    }
    e->disks = colo_disk_server_new(&o, error);
    if (!e->disks) {
        return FALSE;
    }
    colo_disk_server_start(e->disks);
    return TRUE;
}
