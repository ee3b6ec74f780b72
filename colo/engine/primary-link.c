/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The primary's link: connect to the secondary and exchange INIT. */
#include "colo/engine/primary.h"
#include "colo/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_US (2 * G_USEC_PER_SEC)
#define RETRY_US   (200 * 1000)

struct PrimaryLink {
    const ColoConfig *config;
    ColoMailbox *engine;
    GThread *thread;
    int wake;           /* eventfd: look at what is below */
    int stop;           /* eventfd: also while INIT is exchanged */

    GMutex lock;        /* guards all below */
    gboolean quit;
    gboolean wanted;    /* somebody waits for a connection */
    char *hello;        /* what to send, its length */
    gsize hello_len;
};

void colo_link_up_free(ColoLinkUp *u)
{
    if (u) {
        if (u->fd >= 0) {
            close(u->fd);
        }
        ft_hello_free(u->hello);
        g_free(u);
    }
}

/* A connection that stands still is given up by TCP too. */
static void set_user_timeout(int fd, gint64 ms)
{
    unsigned timeout = (unsigned)ms;

    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

/*
 * Exchange INIT.  NULL with *refused set to a FT_TRANS_ERR_*: the peer does
 * not want us; with 0: the connection failed.
 */
static FtHello *shake_hands(PrimaryLink *l, FtIo *io, const char *hello,
                            gsize hello_len, guint32 *refused, GError **error)
{
    FtHeader h = {.cmd = FT_CMD_INIT, .payload_len = (guint32)hello_len};
    guint8 raw[FT_HEADER_LEN];
    g_autofree char *payload = NULL;
    const char *wrong;
    FtNote note;

    ft_header_put(&h, raw);
    if (!ft_io_write(io, raw, sizeof(raw), error) ||
        !ft_io_write(io, hello, hello_len, error) ||
        !ft_io_read(io, raw, sizeof(raw), error)) {
        return NULL;
    }
    wrong = ft_header_get(raw, &h);
    if (!wrong && h.cmd != FT_CMD_INIT && h.cmd != FT_CMD_NACK) {
        wrong = "not an answer to INIT";
    }
    if (wrong) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "what listens there does not speak the ft protocol (%s)",
                    wrong);
        return NULL;
    }
    payload = g_malloc(h.payload_len);
    if (!ft_io_read(io, payload, h.payload_len, error)) {
        return NULL;
    }
    if (h.cmd == FT_CMD_INIT) {
        return ft_hello_get(payload, h.payload_len, error);
    }
    wrong = ft_note_get(&h, (guint8 *)payload, &note);
    if (wrong) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the peer's answer is not valid (%s)", wrong);
        return NULL;
    }
    *refused = note.code ? note.code : FT_TRANS_ERR_UNKNOWN;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "%s",
                note.text);
    return NULL;
}

static gboolean try_once(PrimaryLink *l, const char *hello, gsize hello_len,
                         guint32 *refused, GError **error)
{
    FtIo io = {.stop_fd = l->stop,
               .stall_us = l->config->ft_timeout_ms * 1000};
    ColoLinkUp *up = g_new0(ColoLinkUp, 1);

    up->fd = io.fd = colo_addr_connect(l->config->peer, CONNECT_US, error);
    if (io.fd < 0) {
        goto fail;
    }
    /* One that trickles its answer keeps us from the right one, too. */
    io.end_us = g_get_monotonic_time() + io.stall_us;
    if (fcntl(io.fd, F_SETFL, O_NONBLOCK) < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot set up the connection: %s", g_strerror(errno));
        goto fail;
    }
    set_user_timeout(io.fd, l->config->ft_timeout_ms);
    up->hello = shake_hands(l, &io, hello, hello_len, refused, error);
    if (!up->hello) {
        goto fail;
    }
    /* Before it is told: told, it may break and be wanted anew at once. */
    g_mutex_lock(&l->lock);
    l->wanted = FALSE;
    g_mutex_unlock(&l->lock);
    colo_mailbox_tell(l->engine, COLO_MSG_LINK_UP, 0, NULL, up);
    return TRUE;

fail:
    colo_link_up_free(up);
    return FALSE;
}

/* Wait for a reason to go on: the descriptor, or ms passed. */
static void rest(PrimaryLink *l, int ms)
{
    struct pollfd p = {.fd = l->wake, .events = POLLIN};
    guint64 n;

    if (poll(&p, 1, ms) > 0 && read(l->wake, &n, sizeof(n)) < 0) {
        g_assert(errno == EAGAIN);
    }
}

static gpointer link_thread(gpointer data)
{
    PrimaryLink *l = data;
    g_autofree char *last = NULL; /* the same complaint is made once */
    gint64 next = 0;              /* attempt */

    for (;;) {
        g_autofree char *hello = NULL;
        g_autoptr(GError) error = NULL;
        guint32 refused = 0;
        gsize len;
        gboolean wanted, quit;
        gint64 left = next - g_get_monotonic_time();

        rest(l, 0); /* what woke us so far is looked at now */
        g_mutex_lock(&l->lock);
        quit = l->quit;
        wanted = l->wanted;
        hello = g_memdup2(l->hello, l->hello_len);
        len = l->hello_len;
        g_mutex_unlock(&l->lock);
        if (quit) {
            return NULL;
        }
        if (!wanted || left > 0) {
            rest(l, wanted ? (int)(left / 1000) + 1 : -1);
            continue;
        }
        if (try_once(l, hello, len, &refused, &error)) {
            g_clear_pointer(&last, g_free);
        } else if (g_strcmp0(last, error->message) &&
                   !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            g_free(last);
            last = g_strdup(error->message);
            colo_mailbox_tell(l->engine, COLO_MSG_LINK_FAILED, refused, last,
                              NULL);
        }
        /* One that broke at once is no reason to hurry either. */
        next = g_get_monotonic_time() + RETRY_US;
    }
}

PrimaryLink *primary_link_new(const ColoConfig *config, ColoMailbox *engine)
{
    PrimaryLink *l = g_new0(PrimaryLink, 1);

    l->config = config;
    l->engine = engine;
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(l->wake >= 0 && l->stop >= 0);
    g_mutex_init(&l->lock);
    l->thread = g_thread_new("link", link_thread, l);
    return l;
}

static void tell(int event_fd)
{
    guint64 one = 1;

    if (write(event_fd, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN);
    }
}

void primary_link_connect(PrimaryLink *l, const FtHello *hello)
{
    g_mutex_lock(&l->lock);
    g_free(l->hello);
    l->hello = ft_hello_put(hello, &l->hello_len);
    l->wanted = TRUE;
    g_mutex_unlock(&l->lock);
    tell(l->wake);
}

void primary_link_stop(PrimaryLink *l)
{
    g_mutex_lock(&l->lock);
    l->wanted = FALSE;
    g_mutex_unlock(&l->lock);
}

void primary_link_free(PrimaryLink *l)
{
    if (l) {
        g_mutex_lock(&l->lock);
        l->quit = TRUE;
        g_mutex_unlock(&l->lock);
        tell(l->wake);
        tell(l->stop);
        g_thread_join(l->thread);
        close(l->wake);
        close(l->stop);
        g_free(l->hello);
        g_mutex_clear(&l->lock);
        g_free(l);
    }
}
