/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's disks, mirrored to the secondary.
 *
 * Theory of operation.  Each disk goes through these steps, one at a time,
 * when dispatch finds it due:
 *
 *   FIND    what is there: by hand? a predecessor's mirror? nothing?
 *   REMOVE  cancel the job, wait until it is gone, remove the node
 *   ADD     when the server is there, with an export of the right size
 *   RUN     the job exists: copying, synced, or stopped with an error
 *   REST    nothing to do
 *
 * The job stops with an error when a write to the server failed
 * (on-target-error=stop).  It remembers what failed, and every later write
 * of the guest still goes to the server, too, or is remembered.  So when the
 * server is back, resuming the job is all there is to do.
 */
#include "blockrep/attach/attach-priv.h"

#include "colo/common/qmp-wire.h"
#include "colo/log.h"

#define COPYING_US (100 * 1000)         /* between looks at a copy */
#define REMOVE_US  (10 * 1000)          /* at a job that is being cancelled */
#define RESUME_US  (500 * 1000)         /* between attempts to go on */
#define RETRY_US   (2 * G_USEC_PER_SEC) /* after a refusal */
#define HAND_US    G_USEC_PER_SEC       /* at what others did by hand */
#define BREAK_EACH 20                   /* vain attempts to go on */

/* --- Events -------------------------------------------------------------- */

static void job_event(AttachDisk *d, const char *event)
{
    if (g_str_equal(event, "BLOCK_JOB_ERROR")) {
        /* One for each write of the guest: nothing becomes due by it. */
        d->error = TRUE;
    } else if (g_str_equal(event, "BLOCK_JOB_COMPLETED") ||
               g_str_equal(event, "BLOCK_JOB_CANCELLED")) {
        d->ended = TRUE;
        d->due = 0;
    } else if (g_str_equal(event, "BLOCK_JOB_READY")) {
        d->due = 0;
    }
}

/* Must not call the VM: the steps do what follows. */
void attach_on_event(const char *event, JsonObject *data, gpointer user_data)
{
    gboolean quorum = g_str_equal(event, "QUORUM_REPORT_BAD");
    ColoDiskAttach *a = user_data;
    const char *id, *type;

    if (!data || (!quorum && !g_str_has_prefix(event, "BLOCK_JOB_"))) {
        return;
    }
    id = colo_json_get_string(data, quorum ? "node-name" : "device");
    type = colo_json_get_string(data, "type");
    for (guint i = 0; id && i < a->n; i++) {
        AttachDisk *d = &a->disks[i];

        if (quorum && !g_strcmp0(d->hand, id) && g_strcmp0(type, "read")) {
            attach_set_state(
                a, d, COLO_DISK_LOST,
                "node %s, attached by hand, failed: remove it from the "
                "quorum, copy the disk, and attach it again",
                id);
        } else if (!quorum && g_str_equal(d->q.job, id)) {
            job_event(d, event);
            if (d->error && d->step == STEP_RUN && d->state != COLO_DISK_LOST) {
                attach_set_state(a, d, COLO_DISK_LOST,
                                 "a write to NBD server %s failed",
                                 a->peer->text);
                attach_go(d, STEP_RUN, RESUME_US);
            } else if (d->ended && attach_is_good(d)) {
                attach_set_state(a, d, COLO_DISK_LOST, "its job %s ended", id);
            }
        }
    }
}

/* --- Steps --------------------------------------------------------------- */

static gboolean is_fatal(const GError *e)
{
    return g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_GONE) ||
           g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_HUNG);
}

void attach_take_found(AttachDisk *d, QemuFound *f)
{
    d->size = f->size;
    g_free(d->device);
    d->device = g_steal_pointer(&f->device);
    g_free(d->source);
    d->source = g_steal_pointer(&f->source);
    g_free(d->hand);
    d->hand = g_steal_pointer(&f->hand);
    d->has_nbd = f->has_nbd;
}

void attach_found_by_hand(ColoDiskAttach *a, AttachDisk *d)
{
    if (!d->hand) {
        attach_set_state(
            a, d, COLO_DISK_LOST,
            "its node, attached by hand, was taken away: attach it "
            "again, or restart colod, which then attaches the disk "
            "itself");
    } else if (!d->was_by_hand || d->state == COLO_DISK_LOST) {
        attach_set_state(a, d, COLO_DISK_BY_HAND, "node %s", d->hand);
    }
    d->was_by_hand = TRUE;
    attach_go(d, STEP_FIND, HAND_US);
}

/* FALSE: the VM's connection broke; so in the other steps. */
static gboolean step_find(ColoDiskAttach *a, AttachDisk *d, GError **error)
{
    g_auto(QemuFound) f = {0};
    g_autofree char *before = g_strdup(d->hand);
    GError *e = NULL;
    gboolean right;

    if (!qemu_disk_find(a->vm, a->peer, &d->q, &f, &e)) {
        if (is_fatal(e)) {
            g_propagate_error(error, e);
            return FALSE;
        }
        attach_set_state(a, d, COLO_DISK_REFUSED, "%s", e->message);
        g_error_free(e);
        attach_go(d, STEP_FIND, RETRY_US);
        return TRUE;
    }
    right = f.has_job && f.nbd_right && a->wanted && !d->whole;
    attach_take_found(d, &f);
    if (!f.has_job && !f.has_nbd && (d->hand || d->was_by_hand)) {
        if (d->state == COLO_DISK_LOST && !g_strcmp0(before, d->hand)) {
            attach_go(d, STEP_FIND, HAND_US); /* still the one that failed */
        } else {
            attach_found_by_hand(a, d);
        }
    } else if (right) {
        colo_log_info("disk %s: its mirror is there already", d->q.name);
        d->error = d->ended = FALSE;
        attach_set_state(a, d, COLO_DISK_COPYING, "%s", "");
        attach_go(d, STEP_RUN, 0);
    } else if (f.has_job || f.has_nbd) {
        d->cancelled = FALSE;
        attach_go(d, STEP_REMOVE, 0);
    } else if (a->wanted) {
        attach_go(d, STEP_ADD, 0);
    } else {
        attach_set_state(a, d, COLO_DISK_DETACHED, "%s", "");
        attach_go(d, STEP_REST, -1);
    }
    return TRUE;
}

/* Something did not work that may work later. */
static gboolean refused(ColoDiskAttach *a, AttachDisk *d, GError *e,
                        DiskStep next, GError **error)
{
    if (is_fatal(e)) {
        g_propagate_error(error, e);
        return FALSE;
    }
    attach_set_state(a, d, COLO_DISK_REFUSED, "%s", e->message);
    g_error_free(e);
    attach_go(d, next, RETRY_US);
    return TRUE;
}

static gboolean step_remove(ColoDiskAttach *a, AttachDisk *d, GError **error)
{
    GError *e = NULL;
    QemuProgress p;

    if (!qemu_disk_progress(a->vm, &d->q, d->source, &p, error)) {
        return FALSE;
    }
    if (p.exists) {
        if (!d->cancelled && !qemu_disk_cancel(a->vm, &d->q, &e)) {
            return refused(a, d, e, STEP_REMOVE, error);
        }
        d->cancelled = TRUE;
        attach_go(d, STEP_REMOVE, REMOVE_US);
        return TRUE;
    }
    if (d->has_nbd && !qemu_disk_del(a->vm, &d->q, &e)) {
        return refused(a, d, e, STEP_FIND, error);
    }
    attach_go(d, STEP_FIND, 0);
    return TRUE;
}

/* Is there what the disk can be copied to? */
static gboolean may_add(ColoDiskAttach *a, AttachDisk *d)
{
    g_autofree char *down = NULL, *why = NULL;
    guint64 size = 0;
    gboolean up = colo_disk_watch_is_up(a->watch, &down);
    gboolean good = colo_disk_watch_export(a->watch, d - a->disks, &size, &why);

    if (!up && g_strcmp0(down, why)) {
        attach_set_state(a, d, COLO_DISK_WAITING, "%s", down);
        return FALSE;
    }
    if (!good) {
        attach_set_state(a, d, COLO_DISK_REFUSED, "%s", why);
        return FALSE;
    }
    if (size != d->size) {
        attach_set_state(a, d, COLO_DISK_REFUSED,
                         "export %s of NBD server %s has %" G_GUINT64_FORMAT
                         " bytes, node %s has %" G_GUINT64_FORMAT
                         ": make the image on the secondary the same size",
                         d->q.export, a->peer->text, size, d->q.node, d->size);
        return FALSE;
    }
    return TRUE;
}

static gboolean step_add(ColoDiskAttach *a, AttachDisk *d, GError **error)
{
    GError *e = NULL;

    if (!may_add(a, d)) {
        attach_go(d, STEP_FIND, RETRY_US);
        return TRUE;
    }
    d->error = d->ended = FALSE;
    if (!qemu_disk_add(a->vm, a->peer, &d->q, d->device, &e)) {
        return refused(a, d, e, STEP_FIND, error);
    }
    g_free(d->source);
    d->source = g_strdup(d->device);
    d->done = d->total = 0;
    d->whole = FALSE;
    attach_set_state(a, d, COLO_DISK_COPYING, "%s", "");
    attach_go(d, STEP_RUN, 0);
    return TRUE;
}

static gboolean resume(ColoDiskAttach *a, AttachDisk *d, GError **error)
{
    GError *e = NULL;

    if (!colo_disk_watch_is_up(a->watch, NULL) ||
        g_get_monotonic_time() - d->resumed < RESUME_US) {
        attach_go(d, STEP_RUN, RESUME_US);
        return TRUE;
    }
    d->resumed = g_get_monotonic_time();
    /*
     * QEMU connects again in its own time.  But a connection attempt that
     * the server's end forgot would go on forever.
     */
    if (++d->resumes % BREAK_EACH == 0) {
        colo_disk_watch_break(a->watch);
    }
    d->error = FALSE;
    if (!qemu_disk_resume(a->vm, &d->q, &e)) {
        if (is_fatal(e)) {
            g_propagate_error(error, e);
            return FALSE;
        }
        colo_log_debug("disk %s: %s", d->q.name, e->message);
        g_error_free(e);
    }
    attach_go(d, STEP_RUN, COPYING_US);
    return TRUE;
}

static gboolean step_run(ColoDiskAttach *a, AttachDisk *d, GError **error)
{
    QemuProgress p;

    if (!qemu_disk_progress(a->vm, &d->q, d->source, &p, error)) {
        return FALSE;
    }
    d->done = p.done;
    d->total = p.total;
    if (!p.exists) {
        attach_set_state(a, d, COLO_DISK_LOST,
                         "its job %s ended: the disk is to be copied anew",
                         d->q.job);
        attach_go(d, STEP_FIND, RESUME_US);
        return TRUE;
    }
    if (p.failed || d->error) {
        if (d->state != COLO_DISK_LOST) {
            attach_set_state(a, d, COLO_DISK_LOST,
                             "writes to NBD server %s failed", a->peer->text);
        }
        return resume(a, d, error);
    }
    if (p.synced) {
        d->resumes = 0;
        attach_set_state(a, d, COLO_DISK_SYNCED, "%s", "");
        attach_go(d, STEP_RUN, -1);
        return TRUE;
    }
    if (!attach_is_good(d)) {
        attach_set_state(a, d, COLO_DISK_COPYING, "%s", "");
    }
    attach_go(d, STEP_RUN, COPYING_US);
    return TRUE;
}

gboolean attach_step(ColoDiskAttach *a, AttachDisk *d, GError **error)
{
    switch (d->step) {
    case STEP_FIND:
        return step_find(a, d, error);
    case STEP_REMOVE:
        return step_remove(a, d, error);
    case STEP_ADD:
        return step_add(a, d, error);
    case STEP_RUN:
        return step_run(a, d, error);
    case STEP_REST:
        break;
    }
    d->due = -1;
    return TRUE;
}
