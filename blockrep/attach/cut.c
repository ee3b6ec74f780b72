/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cut.
 *
 * Theory of operation.  A thread connects and then has nothing to do until
 * the connection is given back as broken.  Meanwhile the handle is the
 * owner's, who writes the request himself: no thread has to be woken in the
 * pause.  libnbd writes what the socket takes at once, so begin does not wait,
 * and end reads the answer, which on a fast link is there already.
 */
#include "blockrep/attach/cut.h"

#include "blockrep/attach/nbd-link.h"
#include "colo/log.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EXPORT      "checkpoint"
#define EXPORT_SIZE 4096
#define REQUEST     512 /* bytes, padded with NUL */
#define SESSION_MAX 64

struct ColoDiskCut {
    gatomicrefcount refs; /* the owner's and the thread's */
    NbdPeer *peer;
    int wake; /* the thread: quit, or connect again */
    int fd;   /* the owner: look at fresh and why */

    GMutex lock; /* for these: */
    gboolean quit, wanted;
    struct nbd_handle *fresh; /* connected, not the owner's yet */
    char *why;

    /* The owner's */
    struct nbd_handle *h; /* NULL: the thread is connecting */
    char request[REQUEST];
    gint64 number; /* of the last: an older one that comes late is refused */
    int64_t cookie; /* of the request on its way; -1: none */
    char *owner_why;
};

static void cut_unref(ColoDiskCut *c)
{
    if (g_atomic_ref_count_dec(&c->refs)) {
        if (c->fresh) {
            nbd_close(c->fresh);
        }
        close(c->wake);
        close(c->fd);
        nbd_peer_free(c->peer);
        g_free(c->why);
        g_free(c->owner_why);
        g_mutex_clear(&c->lock);
        g_free(c);
    }
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

static struct nbd_handle *look(ColoDiskCut *c, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + c->peer->hang_us;
    struct nbd_handle *h = nbd_link_open(c->peer, c->wake, deadline, error);

    if (!h || !nbd_link_go(c->peer, h, c->wake, EXPORT, deadline, error)) {
        nbd_link_explain(c->peer, error);
        if (h) {
            nbd_close(h);
        }
        return NULL;
    }
    if (nbd_get_size(h) != EXPORT_SIZE) {
        g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
                    "NBD server %s: its export " EXPORT " is not ours: start "
                    "it by colod --secondary --nbd",
                    c->peer->text);
        nbd_close(h);
        return NULL;
    }
    return h;
}

static void hand_over(ColoDiskCut *c, struct nbd_handle *h, const GError *error)
{
    g_mutex_lock(&c->lock);
    c->fresh = h;
    c->wanted = !h;
    g_free(c->why);
    c->why = h ? NULL : g_strdup(error->message);
    g_mutex_unlock(&c->lock);
    ring(c->fd);
}

static gpointer cut_thread(gpointer data)
{
    ColoDiskCut *c = data;
    gboolean quit = FALSE, wanted = TRUE;

    while (!quit) {
        GPollFD p = {.fd = c->wake, .events = G_IO_IN};
        int wait = -1;

        if (wanted) {
            g_autoptr(GError) error = NULL;
            struct nbd_handle *h = look(c, &error);

            hand_over(c, h, error);
            wait = h ? -1 : (int)(nbd_link_pause(error) / 1000);
        }
        g_poll(&p, 1, wait);
        silence(c->wake);
        g_mutex_lock(&c->lock);
        quit = c->quit;
        wanted = c->wanted;
        g_mutex_unlock(&c->lock);
    }
    cut_unref(c);
    return NULL;
}

/* --- The owner ----------------------------------------------------------- */

ColoDiskCut *colo_disk_cut_new(const ColoDiskPeer *peer)
{
    ColoDiskCut *c = g_new0(ColoDiskCut, 1);

    g_atomic_ref_count_init(&c->refs);
    g_mutex_init(&c->lock);
    c->peer = nbd_peer_new(peer);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->cookie = -1;
    c->wanted = TRUE;
    c->owner_why =
        g_strdup_printf("NBD server %s is being looked for", c->peer->text);
    g_atomic_ref_count_inc(&c->refs);
    g_thread_unref(g_thread_new("disk-cut", cut_thread, c));
    return c;
}

void colo_disk_cut_free(ColoDiskCut *c)
{
    if (c) {
        if (c->h) {
            nbd_close(c->h);
            c->h = NULL;
        }
        g_mutex_lock(&c->lock);
        c->quit = TRUE;
        g_mutex_unlock(&c->lock);
        ring(c->wake);
        cut_unref(c);
    }
}

/* The connection is over: another one. */
static void give_back(ColoDiskCut *c, const char *why)
{
    g_autofree char *text = g_strdup(why);

    if (c->h) {
        nbd_close(c->h);
        c->h = NULL;
    }
    c->cookie = -1;
    g_free(c->owner_why);
    c->owner_why = g_steal_pointer(&text);
    g_mutex_lock(&c->lock);
    c->wanted = TRUE;
    g_mutex_unlock(&c->lock);
    ring(c->wake);
}

/* Take what the thread has made. */
static void take(ColoDiskCut *c)
{
    silence(c->fd);
    g_mutex_lock(&c->lock);
    if (c->fresh) {
        c->h = g_steal_pointer(&c->fresh);
    } else if (c->why) {
        g_free(c->owner_why);
        c->owner_why = g_strdup(c->why);
    }
    g_mutex_unlock(&c->lock);
}

int colo_disk_cut_fd(const ColoDiskCut *c)
{
    return c->h ? nbd_aio_get_fd(c->h) : c->fd;
}

void colo_disk_cut_dispatch(ColoDiskCut *c)
{
    if (!c->h) {
        take(c);
    }
    if (c->h && !nbd_link_step(c->h, -1, 0, NULL)) {
        g_autoptr(GError) error = NULL;

        nbd_link_error(c->peer, c->h, "export " EXPORT, &error);
        colo_log_info("%s", error->message);
        give_back(c, error->message);
    }
}

gboolean colo_disk_cut_is_ready(const ColoDiskCut *c)
{
    return c->h != NULL;
}

const char *colo_disk_cut_why(const ColoDiskCut *c)
{
    return c->h ? "" : c->owner_why;
}

void colo_disk_cut_begin(ColoDiskCut *c, guint64 epoch, const char *session)
{
    nbd_completion_callback none = NBD_NULL_COMPLETION;

    if (c->cookie >= 0) {
        /* Its buffer is still libnbd's. */
        give_back(c, "a cut was begun and not ended");
    }
    if (!c->h) {
        return;
    }
    memset(c->request, 0, sizeof(c->request));
    g_snprintf(
        c->request, sizeof(c->request),
        "{\"execute\":\"seal\",\"arguments\":{\"epoch\":%" G_GUINT64_FORMAT
        ",\"session\":\"%.*s\",\"cut\":%" G_GINT64_FORMAT "}}",
        epoch, SESSION_MAX, session, ++c->number);
    c->cookie =
        nbd_aio_pwrite(c->h, c->request, sizeof(c->request), 0, none, 0);
    if (c->cookie < 0) {
        g_autoptr(GError) error = NULL;

        nbd_link_error(c->peer, c->h, "cannot ask for the cut", &error);
        give_back(c, error->message);
    }
}

/* What the server said to it, which is no reason to connect again. */
static gboolean refused(ColoDiskCut *c, GError **error)
{
    int e = nbd_get_errno();

    c->cookie = -1;
    g_set_error(error, COLO_DISK_ERROR,
                e == ENOSPC ? COLO_DISK_ERROR_FULL : COLO_DISK_ERROR_REFUSED,
                "NBD server %s did not seal its disks: %s", c->peer->text,
                e ? g_strerror(e) : nbd_get_error());
    return FALSE;
}

gboolean colo_disk_cut_end(ColoDiskCut *c, gint64 deadline_us, GError **error)
{
    GError *e = NULL;
    int done;

    if (!c->h || c->cookie < 0) {
        g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_GONE,
                    "the disks cannot be sealed: %s", c->owner_why);
        return FALSE;
    }
    while (!(done = nbd_aio_command_completed(c->h, c->cookie))) {
        if (g_get_monotonic_time() >= deadline_us) {
            g_set_error(&e, COLO_DISK_ERROR, COLO_DISK_ERROR_TIMEOUT,
                        "NBD server %s did not seal its disks in time",
                        c->peer->text);
            break;
        }
        if (!nbd_link_step(c->h, -1, deadline_us, NULL)) {
            break;
        }
    }
    if (done > 0) {
        c->cookie = -1;
        return TRUE;
    }
    if (done < 0 && nbd_aio_is_ready(c->h) > 0) {
        return refused(c, error);
    }
    if (!e) {
        nbd_link_error(c->peer, c->h, "sealing the disks", &e);
    }
    give_back(c, e->message);
    g_propagate_error(error, e);
    return FALSE;
}
