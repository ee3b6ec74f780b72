/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which exports there are, and who may open them. */
#include "blockrep/plugin/plugin.h"
#include "blockrep/plugin/peer.h"

#include <string.h>

enum { MAX_DESCRIPTION = 256 };

typedef enum {
    EXPORT_NONE,
    EXPORT_PRIMARY,
    EXPORT_SECONDARY,
    EXPORT_CHECKPOINT,
} ExportKind;

static ExportKind kind_of(const char *word)
{
    return g_str_equal(word, "primary")     ? EXPORT_PRIMARY
           : g_str_equal(word, "secondary") ? EXPORT_SECONDARY
                                            : EXPORT_NONE;
}

/* NAME/primary, NAME/secondary, NAME; with one disk without its name, too */
static ExportKind find(const char *name, Disk **disk)
{
    DiskSet *set = the_plugin.set;
    const char *slash = strrchr(name, '/');
    ExportKind kind;

    *disk = NULL;
    if (g_str_equal(name, "checkpoint")) {
        return EXPORT_CHECKPOINT;
    }
    if (slash) {
        *disk = disk_set_find(set, name, (gsize)(slash - name));
        return *disk ? kind_of(slash + 1) : EXPORT_NONE;
    }
    kind = kind_of(name);
    if (kind != EXPORT_NONE) {
        *disk = set->disks->len == 1 ? set->disks->pdata[0] : NULL;
        return *disk ? kind : EXPORT_NONE;
    }
    *disk = disk_set_find(set, name, strlen(name));
    return *disk ? EXPORT_PRIMARY : EXPORT_NONE;
}

/* The peer's host, and whether it is this one */
static char *get_peer(gboolean *local)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);

    if (nbdkit_peer_name((struct sockaddr *)&addr, &len) < 0) {
        return NULL; /* it said why */
    }
    *local = peer_is_local((struct sockaddr *)&addr, len);
    return peer_host((struct sockaddr *)&addr, len);
}

static gboolean needs_tls(gboolean local, gboolean is_tls)
{
    return the_plugin.tls_primary && !local && !is_tls;
}

int exports_list(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    GPtrArray *disks = the_plugin.set->disks;
    g_autofree char *host = NULL;
    gboolean local;

    host = get_peer(&local);
    if (!host) {
        return -1;
    }
    if (needs_tls(local, is_tls > 0)) {
        return 0; /* what it cannot open, it need not know */
    }
    for (guint i = 0; i < disks->len; i++) {
        const Disk *d = disks->pdata[i];
        g_autofree char *primary = g_strdup_printf("%s/primary", d->name);
        g_autofree char *secondary = g_strdup_printf("%s/secondary", d->name);

        if (nbdkit_add_export(exports, primary,
                              "what the primary's guest writes") < 0 ||
            (local &&
             nbdkit_add_export(exports, secondary,
                               "what the secondary's guest sees") < 0)) {
            return -1;
        }
    }
    return nbdkit_add_export(exports, "checkpoint",
                             "requests of the primary's colod");
}

static char *all_names(void)
{
    GPtrArray *disks = the_plugin.set->disks;
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < disks->len && names->len < MAX_DESCRIPTION; i++) {
        const Disk *d = disks->pdata[i];

        g_string_append_printf(names, "%s/primary, %s/secondary, ", d->name,
                               d->name);
    }
    g_string_append(names, "checkpoint");
    return g_string_free(g_steal_pointer(&names), FALSE);
}

void *exports_open(int readonly)
{
    const char *name = nbdkit_export_name();
    g_autofree char *host = NULL;
    gboolean local;
    Connection *c;
    ExportKind kind;
    Disk *disk;

    if (!name) {
        return NULL;
    }
    host = get_peer(&local);
    if (!host) {
        return NULL;
    }
    kind = find(name, &disk);
    if (kind == EXPORT_NONE) {
        g_autofree char *names = all_names();

        nbdkit_error("there is no export '%.100s': there are %s", name, names);
        return NULL;
    }
    if (kind == EXPORT_SECONDARY && !local) {
        nbdkit_error("export %s is for clients on this host only: %s is "
                     "another one",
                     name, host);
        return NULL;
    }
    if (needs_tls(local, nbdkit_is_tls() > 0)) {
        nbdkit_error("%s uses no TLS, which export %s needs (tls-primary=on)",
                     host, name);
        return NULL;
    }
    c = g_new0(Connection, 1);
    c->disk = disk;
    c->view =
        kind == EXPORT_PRIMARY ? COLO_STORE_PRIMARY : COLO_STORE_SECONDARY;
    c->host = g_steal_pointer(&host);
    if (disk) {
        writer_open(&disk->writer, &c->claim);
    }
    return c;
}

void exports_close(void *handle)
{
    Connection *c = handle;

    if (c->disk) {
        writer_close(&c->disk->writer, &c->claim);
    }
    g_free(c->host);
    g_free(c);
}

const char *exports_description(void *handle)
{
    const Connection *c = handle;

    return !c->disk                        ? "requests of the primary's colod"
           : c->view == COLO_STORE_PRIMARY ? "what the primary's guest writes"
                                           : "what the secondary's guest sees";
}
