/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real sender and a real receiver for tests. */
#include "pair.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)

void event_free(Event *e)
{
    if (e) {
        g_free(e->error);
        g_free(e);
    }
}

/* --- The receiving side ------------------------------------------------ */

static gboolean seal(guint64 epoch, gpointer user_data, GError **error)
{
    Rx *rx = user_data;

    if (rx->refuse) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "no room to seal epoch %" G_GUINT64_FORMAT, epoch);
    }
    return !rx->refuse;
}

static void committed(guint64 epoch, gpointer user_data)
{
    Rx *rx = user_data;

    g_async_queue_push(rx->committed, GUINT_TO_POINTER(epoch));
    if (!rx->keep) {
        ft_hold_release(rx->hold);
    }
}

static gpointer run(gpointer data)
{
    Rx *rx = data;

    rx->ended = ft_receiver_run(rx->receiver, &rx->note, &rx->error);
    g_assert_true(rx->ended == (rx->error == NULL));
    close(rx->fd);
    return NULL;
}

void rx_start(Rx *rx, int fd, FtHold *hold, guint codings)
{
    FtReceiverOps ops = {.seal = seal, .committed = committed,
                         .user_data = rx};

    rx_start_ops(rx, fd, hold, codings, &ops);
}

void rx_start_ops(Rx *rx, int fd, FtHold *hold, guint codings,
                  const FtReceiverOps *ops)
{
    rx->fd = fd;
    rx->hold = hold;
    rx->committed = g_async_queue_new();
    rx->receiver = ft_receiver_new(
        fd, hold, codings, rx->stall_us ? rx->stall_us : PATIENCE_US, ops);
    rx->thread = g_thread_new("receiver", run, rx);
}

void rx_join(Rx *rx)
{
    if (rx->thread) {
        g_thread_join(rx->thread);
        rx->thread = NULL;
    }
}

void rx_clear(Rx *rx)
{
    if (rx->receiver) {
        ft_receiver_stop(rx->receiver);
        rx_join(rx);
        ft_receiver_free(rx->receiver);
        g_async_queue_unref(rx->committed);
        g_clear_error(&rx->error);
        memset(rx, 0, sizeof(*rx));
    }
}

/* --- The sending side --------------------------------------------------- */

static void on_event(const FtEvent *event, gpointer user_data)
{
    Tx *tx = user_data;
    Event *e = g_new0(Event, 1);

    e->type = event->type;
    e->id = event->id;
    e->epoch = event->epoch;
    e->note = event->note;
    e->error = event->error ? g_strdup(event->error->message) : NULL;
    g_async_queue_push(tx->events, e);
}

void tx_init(Tx *tx, gsize pool_bytes)
{
    memset(tx, 0, sizeof(*tx));
    tx->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    tx->pool = ft_pool_new(pool_bytes, tx->wake);
    tx->events = g_async_queue_new_full((GDestroyNotify)event_free);
}

void tx_start(Tx *tx, int fd, FtCoding coding, gint64 stall_us)
{
    tx->sender = ft_sender_new(fd, tx->pool, coding,
                               stall_us ? stall_us : PATIENCE_US, on_event, tx);
}

void tx_stop(Tx *tx)
{
    g_clear_pointer(&tx->sender, ft_sender_free);
}

void tx_clear(Tx *tx)
{
    tx_stop(tx);
    ft_pool_free(tx->pool); /* asserts that all buffers came back */
    g_async_queue_unref(tx->events);
    close(tx->wake);
}

Event *tx_event(Tx *tx)
{
    Event *e = g_async_queue_timeout_pop(tx->events, PATIENCE_US);

    g_assert_nonnull(e);
    return e;
}

Event *tx_expect(Tx *tx, FtEventType type)
{
    Event *e = tx_event(tx);

    if (e->type != type) {
        g_error("event %d instead of %d: %s", e->type, type,
                e->error ? e->error : e->note.text);
    }
    return e;
}

void tx_expect_none(Tx *tx)
{
    g_assert_null(g_async_queue_try_pop(tx->events));
}

FtBuf *tx_buf(Tx *tx)
{
    FtBuf *b;

    while (!(b = ft_pool_get(tx->pool))) {
        g_assert_true(
            ft_pool_wait(tx->pool, g_get_monotonic_time() + PATIENCE_US));
    }
    return b;
}

void buf_add(FtBuf *b, guint64 page, guint32 n_pages, const void *data)
{
    gsize len = data ? (gsize)n_pages * COLO_PAGE_SIZE : 0;

    g_assert(b->n_runs < FT_CHUNK_RUNS && len <= FT_CHUNK_DATA - b->len);
    b->runs[b->n_runs++] =
        (FtRun){.page = page, .n_pages = n_pages, .zero = !data};
    if (data) {
        memcpy(b->data + b->len, data, len);
        b->len += (guint32)len;
    }
}

void tx_begin(Tx *tx, guint64 epoch, guint32 flags)
{
    ft_sender_begin(tx->sender, ++tx->id, epoch, flags);
}

guint32 tx_pages(Tx *tx, guint64 page, guint32 n_pages, const void *data)
{
    FtBuf *b = tx_buf(tx);

    buf_add(b, page, n_pages, data);
    return ft_sender_chunk(tx->sender, b);
}

void tx_state(Tx *tx, const void *state, gsize len)
{
    for (gsize at = 0; at < len;) {
        FtBuf *b = tx_buf(tx);

        b->type = FT_CHUNK_DEVICE;
        b->offset = at;
        b->len = (guint32)MIN(len - at, FT_CHUNK_DATA);
        memcpy(b->data, (const guint8 *)state + at, b->len);
        at += b->len;
        ft_sender_chunk(tx->sender, b);
    }
}

/* --- Sockets ------------------------------------------------------------ */

void unix_pair(int fds[2])
{
    g_assert_cmpint(socketpair(AF_UNIX,
                               SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                               fds),
                    ==, 0);
}

void tcp_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(l, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    g_assert_cmpint(listen(l, 1), ==, 0);
    g_assert_cmpint(getsockname(l, (struct sockaddr *)&a, &len), ==, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fds[0], (struct sockaddr *)&a, sizeof(a)), ==, 0);
    fds[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    g_assert_cmpint(fds[1], >=, 0);
    g_assert_cmpint(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0);
    close(l);
}

void fill_pages(guint8 *out, gsize n_pages, guint32 seed)
{
    guint64 x = seed * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) + 1;

    for (gsize i = 0; i < n_pages * COLO_PAGE_SIZE; i += sizeof(x)) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(out + i, &x, sizeof(x));
    }
}
