/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that looks for the secondary's NBD server, and watches it.
 *
 * Theory of operation.  QEMU's NBD client notices a server whose process or
 * host sent an end of file or a reset, and then waits for reconnect-delay.  A
 * server that is just silent (its host has vanished, its process is stopped)
 * it waits for without an end, with the guest's write, and with the monitor
 * too when that is draining.  So this thread, which needs no monitor, reads
 * from the server all the time, and when that stays without an answer for
 * hang_us it breaks QEMU's connections as well.  From then on QEMU does what
 * it does for a lost server.
 */
#include "blockrep/attach/watch.h"

#include "blockrep/attach/break-sockets.h"
#include "colo/log.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PING_PART  8 /* of hang_us, between signs of life */
#define LATE_PART  2 /* of hang_us: an answer is overdue */
#define PING_BYTES 512

struct ColoDiskWatch {
    gatomicrefcount refs; /* the owner's and the thread's */
    NbdPeer *peer;
    char **exports;
    guint n;
    pid_t qemu;
    int pidfd;
    int wake; /* for the thread */
    int fd;   /* for the owner */

    GMutex lock; /* for all of these: */
    gboolean quit;
    gboolean up;
    gint64 asked; /* when, if not answered yet; or 0 */
    char *why;    /* not up */
    guint64 *sizes;
    char **refused; /* sentences, NULL for good ones */
    struct sockaddr_storage addr;
    socklen_t addr_len; /* 0: was never connected */
};

static void watch_unref(ColoDiskWatch *w)
{
    if (!g_atomic_ref_count_dec(&w->refs)) {
        return;
    }
    for (guint i = 0; i < w->n; i++) {
        g_free(w->refused[i]);
    }
    close(w->wake);
    close(w->fd);
    if (w->pidfd >= 0) {
        close(w->pidfd);
    }
    nbd_peer_free(w->peer);
    g_strfreev(w->exports);
    g_free(w->refused);
    g_free(w->sizes);
    g_free(w->why);
    g_mutex_clear(&w->lock);
    g_free(w);
}

static void ring(int fd)
{
    guint64 one = 1;

    if (write(fd, &one, sizeof(one)) < 0) {
        /* It is at its limit, and so readable. */
        return;
    }
}

static void silence(int fd)
{
    guint64 n;

    if (read(fd, &n, sizeof(n)) < 0) {
        /* Nobody had rung. */
        return;
    }
}

/* --- The thread ---------------------------------------------------------- */

static gboolean must_quit(ColoDiskWatch *w)
{
    gboolean quit;

    g_mutex_lock(&w->lock);
    quit = w->quit;
    g_mutex_unlock(&w->lock);
    return quit;
}

/* why: NULL when it is up; consumed. */
static void tell(ColoDiskWatch *w, char *why)
{
    gboolean changed;

    g_mutex_lock(&w->lock);
    changed = w->up != !why || g_strcmp0(w->why, why);
    w->up = !why;
    w->asked = 0;
    g_free(w->why);
    w->why = why;
    g_mutex_unlock(&w->lock);
    if (changed) {
        ring(w->fd);
    }
}

void colo_disk_watch_break(ColoDiskWatch *w)
{
    struct sockaddr_storage addr;
    socklen_t len;
    int n;

    g_mutex_lock(&w->lock);
    addr = w->addr;
    len = w->addr_len;
    g_mutex_unlock(&w->lock);
    if (!len || w->pidfd < 0) {
        return;
    }
    n = colo_break_sockets(w->qemu, w->pidfd, (struct sockaddr *)&addr, len);
    if (n < 0) {
        colo_log_warn("cannot break QEMU's connections to NBD server %s, "
                      "which is silent: %s; the guest's disks wait for it",
                      w->peer->text, g_strerror(-n));
    } else if (n) {
        colo_log_info("%d of QEMU's connections to NBD server %s broken", n,
                      w->peer->text);
    }
}

static void remember_address(ColoDiskWatch *w, struct nbd_handle *h)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);

    if (!getpeername(nbd_aio_get_fd(h), (struct sockaddr *)&addr, &len)) {
        g_mutex_lock(&w->lock);
        w->addr = addr;
        w->addr_len = MIN(len, sizeof(addr));
        g_mutex_unlock(&w->lock);
    }
}

static gboolean ask_exports(ColoDiskWatch *w, struct nbd_handle *h,
                            gint64 deadline, GError **error)
{
    const char *usable = NULL;

    for (guint i = 0; i < w->n; i++) {
        GError *e = NULL;
        guint64 size = 0;

        if (nbd_link_info(w->peer, h, w->wake, w->exports[i], deadline, &size,
                          &e)) {
            usable = usable ? usable : w->exports[i];
        } else if (!g_error_matches(e, COLO_DISK_ERROR,
                                    COLO_DISK_ERROR_REFUSED)) {
            g_propagate_error(error, e);
            return FALSE;
        }
        g_mutex_lock(&w->lock);
        w->sizes[i] = size;
        g_free(w->refused[i]);
        w->refused[i] = e ? g_strdup(e->message) : NULL;
        g_mutex_unlock(&w->lock);
        g_clear_error(&e);
    }
    if (!usable) {
        g_set_error_literal(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
                            w->refused[0]);
        return FALSE;
    }
    return nbd_link_go(w->peer, h, w->wake, usable, deadline, error);
}

static struct nbd_handle *look(ColoDiskWatch *w, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + w->peer->hang_us;
    struct nbd_handle *h = nbd_link_open(w->peer, w->wake, deadline, error);

    if (h) {
        remember_address(w, h);
        if (ask_exports(w, h, deadline, error)) {
            return h;
        }
        nbd_close(h);
    }
    nbd_link_explain(w->peer, error);
    return NULL;
}

/* One sign of life.  FALSE: there was none, and the connection is over. */
static gboolean ping(ColoDiskWatch *w, struct nbd_handle *h, GError **error)
{
    gint64 start = g_get_monotonic_time(), end = start + w->peer->hang_us;
    char buf[PING_BYTES];
    int64_t cookie =
        nbd_aio_pread(h, buf, sizeof(buf), 0, NBD_NULL_COMPLETION, 0);
    int done = 0;

    if (cookie < 0) {
        return nbd_link_error(w->peer, h, "reading", error);
    }
    g_mutex_lock(&w->lock);
    w->asked = start;
    g_mutex_unlock(&w->lock);
    while (!(done = nbd_aio_command_completed(h, cookie)) && !must_quit(w)) {
        if (g_get_monotonic_time() >= end) {
            g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_TIMEOUT,
                        "NBD server %s has not answered for %" G_GINT64_FORMAT
                        " ms",
                        w->peer->text, w->peer->hang_us / 1000);
            return FALSE;
        }
        if (!nbd_link_step(h, w->wake, end, NULL)) {
            return nbd_link_error(w->peer, h, "reading", error);
        }
    }
    if (done < 0) {
        return nbd_link_error(w->peer, h, "reading", error);
    }
    g_mutex_lock(&w->lock);
    w->asked = 0;
    g_mutex_unlock(&w->lock);
    return TRUE;
}

/* FALSE: to quit. */
static gboolean sleep_for(ColoDiskWatch *w, struct nbd_handle *h, gint64 us)
{
    gint64 end = g_get_monotonic_time() + us;

    while (!must_quit(w) && g_get_monotonic_time() < end) {
        if (h) {
            if (!nbd_link_step(h, w->wake, end, NULL)) {
                break;
            }
        } else {
            GPollFD p = {.fd = w->wake, .events = G_IO_IN};

            g_poll(&p, 1, (int)(us / 1000));
        }
    }
    return !must_quit(w);
}

static gpointer watch_thread(gpointer data)
{
    ColoDiskWatch *w = data;
    gint64 pause;

    do {
        g_autoptr(GError) error = NULL;
        struct nbd_handle *h = look(w, &error);

        if (h) {
            tell(w, NULL);
            while (ping(w, h, &error) &&
                   sleep_for(w, h, w->peer->hang_us / PING_PART)) {
            }
        }
        if (error) {
            tell(w, g_strdup(error->message));
            if (g_error_matches(error, COLO_DISK_ERROR,
                                COLO_DISK_ERROR_TIMEOUT) &&
                !must_quit(w)) {
                colo_disk_watch_break(w);
            }
        }
        if (h) {
            nbd_close(h);
        }
        pause = nbd_link_pause(error);
    } while (sleep_for(w, NULL, pause));
    watch_unref(w);
    return NULL;
}

/* --- The owner ----------------------------------------------------------- */

ColoDiskWatch *colo_disk_watch_new(const ColoDiskPeer *peer,
                                   const char *const *exports, pid_t qemu,
                                   GError **error)
{
    ColoDiskWatch *w = g_new0(ColoDiskWatch, 1);
    GThread *thread;

    g_atomic_ref_count_init(&w->refs);
    g_mutex_init(&w->lock);
    w->peer = nbd_peer_new(peer);
    w->exports = g_strdupv((char **)exports);
    w->n = g_strv_length(w->exports);
    w->sizes = g_new0(guint64, w->n);
    w->refused = g_new0(char *, w->n);
    w->why =
        g_strdup_printf("NBD server %s is being looked for", w->peer->text);
    for (guint i = 0; i < w->n; i++) {
        w->refused[i] = g_strdup("it was never asked");
    }
    w->qemu = qemu;
    w->pidfd = (int)syscall(SYS_pidfd_open, qemu, 0);
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_atomic_ref_count_inc(&w->refs);
    thread = g_thread_try_new("disk-watch", watch_thread, w, error);
    if (!thread) {
        g_atomic_int_set(&w->refs, 1);
        watch_unref(w);
        return NULL;
    }
    g_thread_unref(thread);
    return w;
}

void colo_disk_watch_free(ColoDiskWatch *w)
{
    if (w) {
        g_mutex_lock(&w->lock);
        w->quit = TRUE;
        g_mutex_unlock(&w->lock);
        ring(w->wake);
        watch_unref(w);
    }
}

int colo_disk_watch_fd(const ColoDiskWatch *w)
{
    return w->fd;
}

void colo_disk_watch_clear(ColoDiskWatch *w)
{
    silence(w->fd);
}

gboolean colo_disk_watch_is_up(ColoDiskWatch *w, char **why)
{
    gint64 silent;
    gboolean up, late;

    g_mutex_lock(&w->lock);
    silent = w->asked ? g_get_monotonic_time() - w->asked : 0;
    late = silent > w->peer->hang_us / LATE_PART;
    up = w->up && !late;
    if (why) {
        *why = up      ? NULL
               : w->up ? g_strdup_printf("NBD server %s has not answered for "
                                         "%" G_GINT64_FORMAT " ms",
                                         w->peer->text, silent / 1000)
                       : g_strdup(w->why);
    }
    g_mutex_unlock(&w->lock);
    return up;
}

gboolean colo_disk_watch_export(ColoDiskWatch *w, guint i, guint64 *size,
                                char **why)
{
    gboolean good;

    g_return_val_if_fail(i < w->n, FALSE);
    g_mutex_lock(&w->lock);
    good = !w->refused[i];
    *size = w->sizes[i];
    *why = g_strdup(w->refused[i]);
    g_mutex_unlock(&w->lock);
    return good;
}
