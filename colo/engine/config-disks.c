/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colod's options about disks. */
#include "colo/engine/config-disks.h"
#include "colo/names.h"

#include <string.h>

static void disk_name_free(gpointer p)
{
    ColoDiskName *n = p;

    g_free(n->name);
    g_free(n->what);
    g_free(n);
}

static gboolean wrong(GError **error, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

static gboolean wrong(GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error) {
        *error = g_error_new_valist(G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                                    fmt, ap);
    }
    va_end(ap);
    return FALSE;
}

static gboolean is_known(const GPtrArray *list, const char *name)
{
    for (guint i = 0; i < list->len; i++) {
        const ColoDiskName *n = g_ptr_array_index(list, i);

        if (!strcmp(n->name, name)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Words that name exports of the server, or parts of their names */
static gboolean has_meaning(const char *name)
{
    return !strcmp(name, "primary") || !strcmp(name, "secondary") ||
           !strcmp(name, "checkpoint");
}

/* option: "--disk"; nodes: NAME or NAME=NODE, else NAME=PATH */
static gboolean add(GPtrArray *list, const char *option, const char *text,
                    gboolean nodes, GError **error)
{
    const char *eq = strchr(text, '=');
    g_autofree char *name = g_strndup(text, eq ? (gsize)(eq - text)
                                               : strlen(text));
    ColoDiskName *n;

    if (strlen(name) > COLO_MAX_DISK_NAME || !colo_name_is_valid(name)) {
        return wrong(error,
                     "%s %s: a disk's name has letters, digits and ._- "
                     "only, at most %d",
                     option, text, COLO_MAX_DISK_NAME);
    }
    if (has_meaning(name)) {
        return wrong(error, "%s %s: \"%s\" has a meaning of its own", option,
                     text, name);
    }
    if ((eq && !eq[1]) || (!eq && !nodes)) {
        return wrong(error, "%s %s: %s", option, text,
                     nodes ? "NAME or NAME=NODE is expected, with a node or "
                             "device of QEMU"
                           : "NAME=PATH is expected, with the disk's image");
    }
    if (is_known(list, name)) {
        return wrong(error, "%s %s: \"%s\" is named twice", option, text,
                     name);
    }
    if (list->len == COLO_MAX_DISKS) {
        return wrong(error, "%s %s: more than %d disks", option, text,
                     COLO_MAX_DISKS);
    }
    n = g_new0(ColoDiskName, 1);
    n->what = !eq     ? g_strdup(name)
              : nodes ? g_strdup(eq + 1)
                      : g_canonicalize_filename(eq + 1, NULL);
    n->name = g_steal_pointer(&name);
    g_ptr_array_add(list, n);
    return TRUE;
}

static GPtrArray *add_all(const char *option, char **texts, gboolean nodes,
                          GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(disk_name_free);

    for (char **s = texts; s && *s; s++) {
        if (!add(list, option, *s, nodes, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&list);
}

/* Where nbdkit listens, unless that was said. */
static gboolean find_nbd(ColoDiskConfig *d, const char *socket,
                         const ColoAddr *peer, GError **error)
{
    if (socket && d->nbd) {
        return wrong(error, "give either --nbd or --nbd-socket");
    }
    if (d->nbd && !d->nbd->path && !d->nbd->port) {
        return wrong(error, "--nbd needs a port, 0 is none");
    }
    if (socket) {
        d->nbd = g_new0(ColoAddr, 1);
        d->nbd->path = g_canonicalize_filename(socket, NULL);
    }
    if (d->nbd || !d->list->len) {
        return TRUE;
    }
    if (peer && peer->path) {
        return wrong(error, "with a unix socket for the ft stream give --nbd "
                            "or --nbd-socket");
    }
    d->nbd = g_new0(ColoAddr, 1);
    d->nbd->host = peer ? g_strdup(peer->host) : NULL;
    d->nbd->port = COLO_DEFAULT_NBD_PORT;
    return TRUE;
}

/* On the primary: the survivor's own disks. */
static gboolean find_served(ColoDiskConfig *d, char **serve,
                            const ColoAddr *peer, GError **error)
{
    if (!peer && (serve || d->serve_nbd)) {
        return wrong(error, "--serve-disk and --serve-nbd are the primary's");
    }
    if (peer && !serve && (d->folder || d->flush)) {
        return wrong(error, "--disk-folder and --durability are the "
                            "secondary's, or of --serve-disk");
    }
    if (!serve && d->serve_nbd) {
        return wrong(error, "--serve-nbd is for --serve-disk");
    }
    if (d->serve_nbd && !d->serve_nbd->path && !d->serve_nbd->port) {
        return wrong(error, "--serve-nbd needs a port, 0 is none");
    }
    if (!peer) {
        d->served = g_ptr_array_ref(d->list);
        return TRUE;
    }
    d->served = add_all("--serve-disk", serve, FALSE, error);
    if (!d->serve_nbd) {
        d->serve_nbd = g_new0(ColoAddr, 1);
        d->serve_nbd->port = COLO_DEFAULT_NBD_PORT;
    }
    return d->served != NULL;
}

/* QEMU, who reads it on the primary, is in another folder. */
static void make_absolute(char **path)
{
    char *absolute = *path ? g_canonicalize_filename(*path, NULL) : NULL;

    g_free(*path);
    *path = absolute;
}

gboolean colo_config_disks(ColoDiskConfig *d, char **disks, char **serve,
                           const char *socket, const ColoAddr *peer,
                           GError **error)
{
    d->list = add_all("--disk", disks, peer != NULL, error);
    if (!d->list || !find_served(d, serve, peer, error)) {
        return FALSE;
    }
    if (d->tls_certificates && d->tls_psk) {
        return wrong(error, "give either --tls-certificates or --tls-psk");
    }
    make_absolute(&d->tls_certificates);
    make_absolute(&d->tls_psk);
    return find_nbd(d, socket, peer, error);
}

void colo_config_disks_clear(ColoDiskConfig *d)
{
    g_clear_pointer(&d->list, g_ptr_array_unref);
    g_clear_pointer(&d->served, g_ptr_array_unref);
    g_clear_pointer(&d->nbd, colo_addr_free);
    g_clear_pointer(&d->serve_nbd, colo_addr_free);
    g_clear_pointer(&d->folder, g_free);
    g_clear_pointer(&d->tls_certificates, g_free);
    g_clear_pointer(&d->tls_psk, g_free);
}
