/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The primary's disks, mirrored to the secondary: what the engine calls. */
#include "blockrep/attach/attach-priv.h"

#include "colo/log.h"

#include <poll.h>
#include <string.h>

const char *colo_disk_state_name(ColoDiskState state)
{
    static const char *const names[] = {
        [COLO_DISK_DETACHED] = "detached", [COLO_DISK_WAITING] = "waiting",
        [COLO_DISK_COPYING] = "copying",   [COLO_DISK_SYNCED] = "synced",
        [COLO_DISK_LOST] = "lost",         [COLO_DISK_BY_HAND] = "by-hand",
        [COLO_DISK_REFUSED] = "refused",
    };

    return names[state];
}

gboolean attach_is_good(const AttachDisk *d)
{
    return d->state == COLO_DISK_SYNCED || d->state == COLO_DISK_BY_HAND;
}

void attach_set_state(ColoDiskAttach *a, AttachDisk *d, ColoDiskState state,
                      const char *fmt, ...)
{
    g_autofree char *why = NULL;
    gboolean was_good = attach_is_good(d), changed;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    changed = d->state != state || g_strcmp0(d->why, why);
    d->state = state;
    g_free(d->why);
    d->why = g_steal_pointer(&why);
    a->lost |= was_good && !attach_is_good(d);
    if (changed) {
        (state == COLO_DISK_LOST || state == COLO_DISK_REFUSED ? colo_log_warn
                                                               : colo_log_info)(
            "disk %s: %s%s%s", d->q.name, colo_disk_state_name(state),
            *d->why ? ": " : "", d->why);
    }
}

void attach_go(AttachDisk *d, DiskStep step, gint64 after_us)
{
    d->step = step;
    d->due = after_us < 0 ? -1 : g_get_monotonic_time() + after_us;
}

/* --- The owner ----------------------------------------------------------- */

int colo_disk_attach_fd(const ColoDiskAttach *a)
{
    return colo_disk_watch_fd(a->watch);
}

gint64 colo_disk_attach_deadline(const ColoDiskAttach *a)
{
    gint64 first = -1;

    for (guint i = 0; i < a->n; i++) {
        gint64 due = a->disks[i].due;

        if (due >= 0 && (first < 0 || due < first)) {
            first = due;
        }
    }
    return first;
}

/* The server came or went: those that wait for it need not any longer. */
static void look_at_server(ColoDiskAttach *a)
{
    gboolean up = colo_disk_watch_is_up(a->watch, NULL);

    colo_disk_watch_clear(a->watch);
    if (up == a->was_up) {
        return;
    }
    a->was_up = up;
    for (guint i = 0; i < a->n; i++) {
        AttachDisk *d = &a->disks[i];

        a->lost |= !up && attach_is_good(d);
        if (up && d->due >= 0) {
            d->due = 0;
        }
    }
}

static gboolean all_gone(const ColoDiskAttach *a)
{
    for (guint i = 0; i < a->n; i++) {
        if (a->disks[i].state != COLO_DISK_DETACHED &&
            !a->disks[i].was_by_hand) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean colo_disk_attach_dispatch(ColoDiskAttach *a, GError **error)
{
    look_at_server(a);
    for (guint i = 0; i < a->n; i++) {
        AttachDisk *d = &a->disks[i];

        if (d->due >= 0 && d->due <= g_get_monotonic_time() &&
            !attach_step(a, d, error)) {
            return FALSE;
        }
    }
    if (a->tidy && all_gone(a)) {
        a->tidy = FALSE;
        return qemu_tls_del(a->vm, error);
    }
    return TRUE;
}

void colo_disk_attach_start(ColoDiskAttach *a, gboolean whole)
{
    a->wanted = TRUE;
    a->tidy = FALSE;
    for (guint i = 0; i < a->n; i++) {
        AttachDisk *d = &a->disks[i];

        d->whole |= whole;
        if (whole || d->step == STEP_REST) {
            if (!d->was_by_hand) {
                attach_set_state(a, d, COLO_DISK_WAITING, "to be attached");
            }
            attach_go(d, STEP_FIND, 0);
        }
    }
}

void colo_disk_attach_stop(ColoDiskAttach *a)
{
    a->wanted = FALSE;
    a->tidy = TRUE;
    for (guint i = 0; i < a->n; i++) {
        AttachDisk *d = &a->disks[i];

        if (!d->was_by_hand) {
            attach_set_state(a, d, COLO_DISK_WAITING, "being detached");
            attach_go(d, d->step == STEP_REMOVE ? STEP_REMOVE : STEP_FIND, 0);
        }
    }
}

gboolean colo_disk_attach_detach(ColoDiskAttach *a, gint64 deadline_us,
                                 GError **error)
{
    colo_disk_attach_stop(a);
    while (colo_disk_attach_dispatch(a, error)) {
        gint64 now = g_get_monotonic_time();
        gint64 due = colo_disk_attach_deadline(a);
        struct pollfd p = {.fd = colo_vm_fd(a->vm), .events = POLLIN};

        if (all_gone(a) && !a->tidy) {
            return TRUE;
        }
        if (now >= deadline_us) {
            g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                        "the disks are not detached from QEMU yet: %s",
                        colo_disk_attach_why(a));
            return FALSE;
        }
        due = due < 0 ? deadline_us : MIN(due, deadline_us);
        if (due > now && poll(&p, 1, (int)((due - now + 999) / 1000)) > 0 &&
            !colo_vm_dispatch(a->vm, error)) {
            return FALSE;
        }
    }
    return FALSE;
}

guint colo_disk_attach_count(const ColoDiskAttach *a)
{
    return a->n;
}

void colo_disk_attach_info(const ColoDiskAttach *a, guint i, ColoDiskInfo *info)
{
    const AttachDisk *d = &a->disks[i];

    g_return_if_fail(i < a->n);
    info->name = d->q.name;
    info->node = d->q.node;
    info->size = d->size;
    info->state = d->state;
    info->done = d->done;
    info->total = d->total;
    info->why = d->why;
}

const char *colo_disk_attach_why(ColoDiskAttach *a)
{
    g_autofree char *down = NULL;

    g_clear_pointer(&a->why, g_free);
    for (guint i = 0; i < a->n && !a->why; i++) {
        AttachDisk *d = &a->disks[i];

        if (!attach_is_good(d)) {
            a->why = g_strdup_printf("disk %s is %s%s%s", d->q.name,
                                     colo_disk_state_name(d->state),
                                     *d->why ? ": " : "", d->why);
        }
    }
    if (!a->why && !colo_disk_watch_is_up(a->watch, &down)) {
        a->why = g_steal_pointer(&down);
    }
    return a->why ? a->why : "";
}

gboolean colo_disk_attach_is_synced(const ColoDiskAttach *a)
{
    for (guint i = 0; i < a->n; i++) {
        if (!attach_is_good(&a->disks[i])) {
            return FALSE;
        }
    }
    return colo_disk_watch_is_up(a->watch, NULL);
}

gboolean colo_disk_attach_take_lost(ColoDiskAttach *a)
{
    gboolean lost = a->lost;

    a->lost = FALSE;
    return lost;
}

/* --- Construction -------------------------------------------------------- */

/* Node names of QEMU are so, and those that we make of it. */
static gboolean is_name(const char *name)
{
    gsize n = strlen(name);

    for (const char *c = name; *c; c++) {
        if (!g_ascii_isalnum(*c) && !strchr("-_.", *c)) {
            return FALSE;
        }
    }
    return n > 0 && n <= COLO_DISK_NAME_MAX;
}

static gboolean init_disk(ColoDiskAttach *a, guint i, const ColoDiskSpec *spec,
                          GError **error)
{
    g_auto(QemuFound) f = {0};
    AttachDisk *d = &a->disks[i];

    if (!is_name(spec->name)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "--disk %s: a disk's name is 1 to %d letters, digits, "
                    "\"-\", \"_\" and \".\"",
                    spec->name, COLO_DISK_NAME_MAX);
        return FALSE;
    }
    d->q.name = g_strdup(spec->name);
    d->q.node = g_strdup(spec->node ? spec->node : spec->name);
    d->q.job = g_strdup_printf("colo-%s", spec->name);
    d->q.nbd = g_strdup_printf("colo-nbd-%s", spec->name);
    d->q.top = g_strdup_printf("colo-top-%s", spec->name);
    d->q.export = g_strdup_printf("%s/primary", spec->name);
    d->q.only = a->n == 1;
    d->why = g_strdup("");
    attach_go(d, STEP_REST, -1);
    for (guint k = 0; k < i; k++) {
        if (g_str_equal(a->disks[k].q.name, d->q.name)) {
            g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                        "--disk %s is given twice", d->q.name);
            return FALSE;
        }
    }
    if (!qemu_disk_find(a->vm, a->peer, &d->q, &f, error)) {
        return FALSE;
    }
    attach_take_found(d, &f);
    if (d->hand && !f.has_job) {
        attach_found_by_hand(a, d);
    }
    return TRUE;
}

static gboolean init_peer(ColoDiskAttach *a, const ColoDiskPeer *peer,
                          GError **error)
{
    g_autoptr(GPtrArray) exports = g_ptr_array_new();
    g_autoptr(GError) e = NULL;

    for (guint i = 0; i < a->n; i++) {
        g_ptr_array_add(exports, a->disks[i].q.export);
    }
    g_ptr_array_add(exports, NULL);
    if (nbd_peer_check(a->peer, &e)) {
        a->watch = colo_disk_watch_new(
            peer, (const char *const *)exports->pdata, colo_vm_pid(a->vm), &e);
    }
    if (!a->watch) {
        g_set_error_literal(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                            e->message);
    }
    return a->watch != NULL;
}

ColoDiskAttach *colo_disk_attach_new(ColoVm *vm, const ColoDiskPeer *peer,
                                     const ColoDiskSpec *disks, guint n_disks,
                                     GError **error)
{
    g_autoptr(ColoDiskAttach) a = g_new0(ColoDiskAttach, 1);

    a->vm = vm;
    a->peer = nbd_peer_new(peer);
    if (n_disks > COLO_DISK_MAX) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "%u disks are given, %d can be protected", n_disks,
                    COLO_DISK_MAX);
        return NULL;
    }
    a->disks = g_new0(AttachDisk, n_disks);
    for (a->n = n_disks; n_disks > 0; n_disks--) {
        guint i = a->n - n_disks;

        if (!init_disk(a, i, &disks[i], error)) {
            return NULL;
        }
    }
    if (!init_peer(a, peer, error)) {
        return NULL;
    }
    colo_vm_set_hook(vm, attach_on_event, a);
    return g_steal_pointer(&a);
}

void colo_disk_attach_free(ColoDiskAttach *a)
{
    if (!a) {
        return;
    }
    if (a->watch) {
        colo_vm_set_hook(a->vm, NULL, NULL);
        colo_disk_watch_free(a->watch);
    }
    for (guint i = 0; i < a->n; i++) {
        AttachDisk *d = &a->disks[i];

        g_free(d->q.name);
        g_free(d->q.node);
        g_free(d->q.job);
        g_free(d->q.nbd);
        g_free(d->q.top);
        g_free(d->q.export);
        g_free(d->device);
        g_free(d->source);
        g_free(d->hand);
        g_free(d->why);
    }
    g_free(a->disks);
    nbd_peer_free(a->peer);
    g_free(a->why);
    g_free(a);
}
