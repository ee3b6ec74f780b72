/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Choosing a dirty tracker, and what all kinds have in common. */
#include "config.h"
#include "colo/track/tracker-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the order in which AUTO tries them. */
static const ColoTrackOps *const all_kinds[] = {
    &colo_track_uffd,
    &colo_track_soft_dirty,
    &colo_track_compare,
};

static const char *const kind_names[] = {
    [COLO_TRACKER_AUTO] = "auto",
    [COLO_TRACKER_UFFD] = "uffd",
    [COLO_TRACKER_SOFT_DIRTY] = "soft-dirty",
    [COLO_TRACKER_COMPARE] = "compare",
};

int colo_tracker_kind_parse(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(kind_names); i++) {
        if (g_str_equal(name, kind_names[i])) {
            return (int)i;
        }
    }
    return -1;
}

const char *colo_tracker_kind_name(ColoTrackerKind kind)
{
    return kind_names[kind];
}

int colo_track_open(const ColoTracker *t, const char *name, int flags,
                    GError **error)
{
    int fd = openat(t->proc_fd, name, flags | O_CLOEXEC);

    if (fd < 0) {
        int err = errno;

        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                    "cannot open /proc/%d/%s: %s%s", (int)t->target.pid, name,
                    g_strerror(err),
                    err == EACCES || err == EPERM
                        ? " (run as QEMU's user or as root)"
                        : "");
    }
    return fd;
}

static gboolean check_target(const ColoTrackTarget *target, GError **error)
{
    if (sysconf(_SC_PAGESIZE) != COLO_PAGE_SIZE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "pages of this host have %ld bytes; tracking needs %u",
                    sysconf(_SC_PAGESIZE), COLO_PAGE_SIZE);
        return FALSE;
    }
    if (target->pid <= 0 || !target->ram || !target->n_pages ||
        target->addr % COLO_PAGE_SIZE ||
        (guintptr)target->ram % COLO_PAGE_SIZE ||
        target->n_pages > (G_MAXUINT64 - target->addr) >> COLO_PAGE_SHIFT) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "cannot track %" G_GSIZE_FORMAT
                    " pages at %#" G_GINT64_MODIFIER
                    "x of process %d: not a range of whole pages",
                    target->n_pages, target->addr, (int)target->pid);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_alive(const ColoTracker *t, GError **error)
{
    struct pollfd p = {.fd = t->pidfd, .events = POLLIN};

    if (poll(&p, 1, 0) == 0) {
        return TRUE;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                "process %d, whose RAM is tracked, has ended",
                (int)t->target.pid);
    return FALSE;
}

/* The process by its number, and from then on by descriptors only. */
static gboolean open_process(ColoTracker *t, GError **error)
{
    char path[32];
    int err;

    t->pidfd = (int)syscall(SYS_pidfd_open, t->target.pid, 0);
    g_snprintf(path, sizeof(path), "/proc/%d", (int)t->target.pid);
    if (t->pidfd < 0 ||
        (t->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        err = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                    "cannot find process %d to track its RAM: %s",
                    (int)t->target.pid, g_strerror(err));
        return FALSE;
    }
    /* Alive after the open: its number was not somebody else's by then. */
    return check_alive(t, error);
}

static ColoTracker *new_of_kind(const ColoTrackOps *ops,
                                const ColoTrackTarget *target, GError **error)
{
    g_autoptr(ColoTracker) t = g_malloc0(ops->instance_size);

    t->ops = ops;
    t->target = *target;
    t->pidfd = t->proc_fd = -1;
    if (!open_process(t, error) || !ops->arm(t, error)) {
        return NULL;
    }
    return g_steal_pointer(&t);
}

ColoTracker *colo_tracker_new(ColoTrackerKind kind,
                              const ColoTrackTarget *target, GError **error)
{
    g_autoptr(GString) passed_over = g_string_new(NULL);

    if (!check_target(target, error)) {
        return NULL;
    }
    for (guint i = 0; i < G_N_ELEMENTS(all_kinds); i++) {
        g_autoptr(GError) reason = NULL;
        ColoTracker *t;

        if (kind != COLO_TRACKER_AUTO && kind != all_kinds[i]->kind) {
            continue;
        }
        t = new_of_kind(all_kinds[i], target, &reason);
        if (t) {
            t->passed_over = g_string_free(g_steal_pointer(&passed_over),
                                           FALSE);
            return t;
        }
        if (kind != COLO_TRACKER_AUTO) {
            g_propagate_prefixed_error(error, g_steal_pointer(&reason),
                                       "no %s tracking: ",
                                       colo_tracker_kind_name(kind));
            return NULL;
        }
        g_string_append_printf(passed_over, "%s%s: %s",
                               passed_over->len ? "; " : "",
                               colo_tracker_kind_name(all_kinds[i]->kind),
                               reason->message);
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "no dirty tracking: %s", passed_over->str);
    return NULL;
}

void colo_tracker_free(ColoTracker *t)
{
    if (!t) {
        return;
    }
    t->ops->free(t);
    if (t->pidfd >= 0) {
        close(t->pidfd);
    }
    if (t->proc_fd >= 0) {
        close(t->proc_fd);
    }
    g_free(t->passed_over);
    g_free(t->reads);
    g_free(t);
}

ColoTrackerKind colo_tracker_kind(const ColoTracker *t)
{
    return t->ops->kind;
}

const char *colo_tracker_passed_over(const ColoTracker *t)
{
    return t->passed_over;
}

gboolean colo_tracker_collect(ColoTracker *t, ColoBitmap *dirty,
                              gboolean quiesced, GError **error)
{
    g_assert(dirty->n_bits == t->target.n_pages);

    /*
     * Asked afterwards: of a process that has ended the kernel says that no
     * page was written.
     */
    return t->ops->collect(t, dirty, quiesced, error) && check_alive(t, error);
}

gboolean colo_tracker_wants_reads(const ColoTracker *t)
{
    return t->wants_reads;
}

void colo_tracker_reads(ColoTracker *t, const char *reads)
{
    g_free(t->reads);
    t->reads = g_strdup(reads);
}

void colo_tracker_settle(ColoTracker *t, const char *reads, ColoBitmap *dirty)
{
    g_assert(dirty->n_bits == t->target.n_pages);
    if (t->wants_reads) {
        t->ops->settle(t, reads, dirty);
    }
}

gboolean colo_tracker_wants_copies(const ColoTracker *t)
{
    return t->wants_copies;
}

void colo_tracker_copied(ColoTracker *t, gsize page, const void *data)
{
    g_assert(page < t->target.n_pages);
    if (t->wants_copies) {
        t->ops->copied(t, page, data);
    }
}

void colo_tracker_copied_zero(ColoTracker *t, gsize page, gsize n)
{
    g_assert(page <= t->target.n_pages && n <= t->target.n_pages - page);
    for (gsize i = page; t->wants_copies && i < page + n; i++) {
        t->ops->copied(t, i, NULL);
    }
}
