/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's disks in the checkpoints. */
#include "colo/engine/secondary.h"

#include <string.h>

#define SESSION_US (5 * G_USEC_PER_SEC)
#define COMMIT_US  (3 * G_USEC_PER_SEC)
/* An nbdkit that hangs is replaced after 15 s. */
#define LOAD_US    (20 * G_USEC_PER_SEC)
/* Nobody else has the guest then: it is worth some patience. */
#define TAKEOVER_US (60 * G_USEC_PER_SEC)

static gint64 after(gint64 us)
{
    return g_get_monotonic_time() + us;
}

static const ColoDiskName *find(const ColoDiskConfig *d, const char *name)
{
    for (guint i = 0; i < d->list->len; i++) {
        const ColoDiskName *n = g_ptr_array_index(d->list, i);

        if (!strcmp(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

static gboolean offers(const FtHello *h, const char *name)
{
    for (guint i = 0; i < h->n_disks; i++) {
        if (!strcmp(h->disks[i].name, name)) {
            return TRUE;
        }
    }
    return FALSE;
}

static char *check_size(ColoEngine *e, const FtDisk *d, const ColoDiskName *n)
{
    guint64 size;

    if (!colo_disk_server_size(e->disks, d->name, &size)) {
        return g_strdup_printf("the secondary's disk \"%s\" is not served yet",
                               d->name);
    }
    if (size != d->size) {
        return g_strdup_printf(
            "disk \"%s\" has %" G_GUINT64_FORMAT " bytes on the primary and "
            "%" G_GUINT64_FORMAT " on the secondary: make %s as large as that "
            "of the primary",
            d->name, d->size, size, n->what);
    }
    return NULL;
}

char *secondary_check_disks(Secondary *s, const FtHello *h)
{
    ColoEngine *e = s->e;
    const ColoDiskConfig *c = &e->config->disks;

    for (guint i = 0; i < c->list->len; i++) {
        const ColoDiskName *n = g_ptr_array_index(c->list, i);

        if (!offers(h, n->name)) {
            return g_strdup_printf(
                "the secondary has a disk \"%s\", which the primary does not "
                "replicate: give the primary's colod --disk %s, or the "
                "secondary's none of that name",
                n->name, n->name);
        }
    }
    if (e->disks && !colo_disk_server_is_up(e->disks)) {
        g_autofree char *why = colo_disk_server_why(e->disks);

        return g_strdup_printf("the secondary's disks are not served: %s",
                               why);
    }
    for (guint i = 0; i < h->n_disks; i++) {
        const FtDisk *d = &h->disks[i];
        const ColoDiskName *n = find(c, d->name);
        char *wrong;

        if (!n) {
            return g_strdup_printf(
                "the primary replicates a disk \"%s\", which the secondary "
                "does not have: give the secondary's colod --disk %s=PATH",
                d->name, d->name);
        }
        wrong = check_size(e, d, n);
        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}

gboolean secondary_begin_disks(Secondary *s, gboolean anew, GError **error)
{
    return !s->e->disks ||
           colo_disk_server_session(s->e->disks, s->session, anew,
                                    after(SESSION_US), error);
}

gboolean secondary_seal_disks(guint64 epoch, ColoDiskServer *disks,
                              GError **error)
{
    return colo_disk_server_commit(disks, epoch, after(COMMIT_US), error);
}

gboolean secondary_load_disks(Secondary *s, guint64 epoch, GError **error)
{
    gint64 us = s->e->state == COLO_STATE_TAKEOVER ? TAKEOVER_US : LOAD_US;

    return !s->e->disks ||
           colo_disk_server_load(s->e->disks, epoch, after(us), error);
}

gboolean secondary_promote_disks(Secondary *s, GError **error)
{
    return !s->e->disks ||
           colo_disk_server_promote(s->e->disks, after(TAKEOVER_US), error);
}
