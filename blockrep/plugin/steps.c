/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An epoch's way through all disks: sealed, committed, loaded; and the
 * takeover.
 */
#include "blockrep/plugin/disk.h"
#include "colo/log.h"

#include <errno.h>
#include <string.h>

gboolean disk_session_is_valid(const char *session)
{
    return strlen(session) == 32 && strspn(session, "0123456789abcdef") == 32;
}

/* r: negative errno */
static gboolean fail(GError **error, const Disk *d, int r, const char *doing,
                     guint64 epoch)
{
    g_set_error(error, COLO_PLUGIN_ERROR, -r,
                "disk %s: cannot %s epoch %" G_GUINT64_FORMAT ": %s", d->name,
                doing, epoch, g_strerror(-r));
    return FALSE;
}

static ColoStoreStatus status(const Disk *d)
{
    ColoStoreStatus st;

    colo_store_status(d->store, &st);
    g_clear_pointer(&st.error, g_free);
    return st;
}

static gboolean check_epoch(guint64 epoch, GError **error)
{
    if (epoch && epoch <= G_MAXINT64) {
        return TRUE;
    }
    g_set_error(error, COLO_PLUGIN_ERROR, EINVAL,
                "'epoch' expects a number from 1");
    return FALSE;
}

/* With the lock.  A primary of the past does not know the session. */
static gboolean check_session(DiskSet *set, const char *session, GError **error)
{
    if (set->session && g_str_equal(set->session, session)) {
        return TRUE;
    }
    g_set_error(error, COLO_PLUGIN_ERROR, EPERM,
                set->session ? "this session is over: another one uses the "
                               "disks"
                             : "no session uses the disks yet: disk-reset or "
                               "disk-session begins one");
    return FALSE;
}

static gboolean check_not_committed(DiskSet *set, guint64 epoch, GError **error)
{
    if (epoch > set->committed) {
        return TRUE;
    }
    g_set_error(error, COLO_PLUGIN_ERROR, EBUSY,
                "epoch %" G_GUINT64_FORMAT " is %s: it stays", epoch,
                epoch == set->committed ? "committed"
                                        : "older than what is committed");
    return FALSE;
}

/* With the lock: epoch goes from every disk where it is the newest. */
static gboolean unseal_all(DiskSet *set, guint n, guint64 epoch, GError **error)
{
    gboolean ok = TRUE;

    for (guint i = 0; i < n; i++) {
        Disk *d = set->disks->pdata[i];
        int r;

        if (status(d).epoch != epoch) {
            continue;
        }
        r = colo_store_unseal(d->store, epoch);
        if (r && ok) {
            ok = fail(error, d, r, "take back", epoch);
        }
    }
    return ok;
}

gboolean disk_set_seal(DiskSet *set, const char *session, guint64 epoch,
                       GError **error)
{
    gboolean ok;

    if (!check_epoch(epoch, error)) {
        return FALSE;
    }
    g_mutex_lock(&set->lock);
    /* It may be there from a capture that was thrown away. */
    ok = check_session(set, session, error) &&
         check_not_committed(set, epoch, error) &&
         unseal_all(set, set->disks->len, epoch, error);
    for (guint i = 0; ok && i < set->disks->len; i++) {
        Disk *d = set->disks->pdata[i];
        int r = colo_store_seal(d->store, epoch);

        if (r) {
            ok = fail(error, d, r, "seal", epoch);
            unseal_all(set, i, epoch, NULL);
        }
    }
    g_mutex_unlock(&set->lock);
    return ok;
}

gboolean disk_set_is_next_cut(DiskSet *set, const char *session, gint64 cut,
                              GError **error)
{
    gboolean ok;

    g_mutex_lock(&set->lock);
    ok = check_session(set, session, error);
    if (ok && cut <= set->cut) {
        g_set_error(error, COLO_PLUGIN_ERROR, EPERM,
                    "cut %" G_GINT64_FORMAT " comes after %" G_GINT64_FORMAT
                    ": its sender has given it up",
                    cut, set->cut);
        ok = FALSE;
    }
    if (ok) {
        set->cut = cut;
    }
    g_mutex_unlock(&set->lock);
    return ok;
}

static gboolean take_back(DiskSet *set, guint64 epoch, GError **error)
{
    return check_not_committed(set, epoch, error) &&
           unseal_all(set, set->disks->len, epoch, error);
}

gboolean disk_set_unseal(DiskSet *set, const char *session, guint64 epoch,
                         GError **error)
{
    gboolean ok;

    if (!check_epoch(epoch, error)) {
        return FALSE;
    }
    g_mutex_lock(&set->lock);
    ok = check_session(set, session, error) && take_back(set, epoch, error);
    g_mutex_unlock(&set->lock);
    return ok;
}

gboolean disk_set_take_back(DiskSet *set, guint64 epoch, GError **error)
{
    gboolean ok;

    if (!check_epoch(epoch, error)) {
        return FALSE;
    }
    g_mutex_lock(&set->lock);
    ok = take_back(set, epoch, error);
    g_mutex_unlock(&set->lock);
    return ok;
}

gboolean disk_set_commit(DiskSet *set, guint64 epoch, GError **error)
{
    gboolean ok;

    if (!check_epoch(epoch, error)) {
        return FALSE;
    }
    g_mutex_lock(&set->lock);
    ok = epoch >= set->committed;
    if (!ok) {
        g_set_error(error, COLO_PLUGIN_ERROR, EINVAL,
                    "epoch %" G_GUINT64_FORMAT " is older than the committed "
                    "one, %" G_GUINT64_FORMAT,
                    epoch, set->committed);
    }
    for (guint i = 0; ok && i < set->disks->len; i++) {
        const Disk *d = set->disks->pdata[i];

        if (!colo_store_has_epoch(d->store, epoch)) {
            g_set_error(error, COLO_PLUGIN_ERROR, ENOENT,
                        "disk %s: epoch %" G_GUINT64_FORMAT " is not sealed",
                        d->name, epoch);
            ok = FALSE;
        }
    }
    if (ok) {
        set->committed = epoch;
    }
    g_mutex_unlock(&set->lock);
    return ok;
}

gboolean disk_set_load(DiskSet *set, guint64 epoch, GError **error)
{
    gboolean ok;

    if (!check_epoch(epoch, error)) {
        return FALSE;
    }
    g_mutex_lock(&set->lock);
    ok = epoch <= set->committed;
    if (!ok) {
        g_set_error(error, COLO_PLUGIN_ERROR, ENOENT,
                    "epoch %" G_GUINT64_FORMAT " is not committed", epoch);
    }
    for (guint i = 0; ok && i < set->disks->len; i++) {
        const Disk *d = set->disks->pdata[i];
        int r = colo_store_load(d->store, epoch);

        if (r) {
            ok = fail(error, d, r, "load", epoch);
        }
    }
    g_mutex_unlock(&set->lock);
    return ok;
}

gboolean disk_set_session(DiskSet *set, const char *session, gboolean reset,
                          GError **error)
{
    gboolean ok = disk_session_is_valid(session);

    if (!ok) {
        g_set_error(error, COLO_PLUGIN_ERROR, EINVAL,
                    "'session' expects 32 hex digits");
        return FALSE;
    }
    g_mutex_lock(&set->lock);
    for (guint i = 0; ok && reset && i < set->disks->len; i++) {
        Disk *d = set->disks->pdata[i];
        int r = colo_store_reset(d->store);

        if (r == -EROFS) {
            g_set_error(error, COLO_PLUGIN_ERROR, EROFS,
                        "disk %s is the survivor's of a takeover: remove its "
                        "folder of logs if that is to be thrown away",
                        d->name);
            ok = FALSE;
        } else if (r) {
            g_set_error(error, COLO_PLUGIN_ERROR, -r,
                        "disk %s: cannot begin anew: %s", d->name,
                        g_strerror(-r));
            ok = FALSE;
        }
        writer_forget(&d->writer);
    }
    if (ok) {
        set->cut = g_strcmp0(set->session, session) ? 0 : set->cut;
        g_free(set->session);
        set->session = g_strdup(session);
        set->committed = reset ? 0 : set->committed;
    }
    g_mutex_unlock(&set->lock);
    return ok;
}
