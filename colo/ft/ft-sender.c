/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sending end of the ft stream.
 *
 * The engine appends items to the queue; the thread takes them in order.
 * Answers are read whenever the socket has some, also between the frames of
 * a long transaction, so that a NACK or CANCEL is heard early.
 */
#include "colo/ft/ft-sender-priv.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

guint64 ft_sender_bytes(const FtSender *s)
{
    return __atomic_load_n(&s->bytes, __ATOMIC_RELAXED);
}

static void item_free(FtSender *s, Item *i)
{
    if (i->buf) {
        ft_pool_put(s->pool, i->buf);
    }
    g_free(i);
}

static void wake_thread(FtSender *s)
{
    guint64 one = 1;

    if (write(s->wake, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN);
    }
}

/* --- The engine's side ------------------------------------------------ */

static void push(FtSender *s, Item *i)
{
    gboolean wake;

    g_mutex_lock(&s->lock);
    if (i->type == ITEM_BEGIN) {
        s->begun = i->id;
        s->commit_left = FALSE;
    }
    i->id = s->begun;
    if (i->buf && s->held && ft_pool_is_empty(s->pool)) {
        s->held = FALSE; /* or none would ever come back */
    }
    wake = !s->held;
    if (s->ended) {
        item_free(s, i);
    } else {
        g_queue_push_tail(&s->queue, i);
    }
    g_mutex_unlock(&s->lock);
    if (wake) {
        wake_thread(s);
    }
}

void ft_sender_hold(FtSender *s)
{
    g_mutex_lock(&s->lock);
    /* What a NACK left in the queue may have all buffers: see push(). */
    s->held = !ft_pool_is_empty(s->pool);
    g_mutex_unlock(&s->lock);
}

void ft_sender_unhold(FtSender *s)
{
    g_mutex_lock(&s->lock);
    s->held = FALSE;
    g_mutex_unlock(&s->lock);
    wake_thread(s);
}

void ft_sender_begin(FtSender *s, guint16 id, guint64 epoch, guint32 flags)
{
    Item *i = g_new0(Item, 1);

    i->type = ITEM_BEGIN;
    i->id = id;
    i->begin.epoch = epoch;
    i->begin.flags = flags;
    s->next_payload = 1;
    push(s, i);
}

guint32 ft_sender_chunk(FtSender *s, FtBuf *b)
{
    Item *i = g_new0(Item, 1);

    i->type = ITEM_CHUNK;
    i->buf = b;
    push(s, i);
    return s->next_payload++;
}

void ft_sender_commit(FtSender *s, gint64 resumed_us)
{
    Item *i = g_new0(Item, 1);

    i->type = ITEM_COMMIT;
    i->resumed_us = resumed_us;
    push(s, i);
}

static void drop_queue(FtSender *s)
{
    Item *i;

    while ((i = g_queue_pop_head(&s->queue))) {
        item_free(s, i);
    }
}

/* Called with the lock held. */
static void queue_cancel(FtSender *s, FtCancel code, const char *text)
{
    Item *i = g_new0(Item, 1);

    i->type = ITEM_CANCEL;
    i->note.code = code;
    g_strlcpy(i->note.text, text, sizeof(i->note.text));
    drop_queue(s);
    g_queue_push_tail(&s->queue, i);
    s->held = FALSE;
    wake_thread(s);
}

gboolean ft_sender_cancel(FtSender *s)
{
    gboolean in_time;

    g_mutex_lock(&s->lock);
    in_time = !s->commit_left;
    if (in_time) {
        queue_cancel(s, FT_CANCEL_TRANSACTION, "");
    }
    g_mutex_unlock(&s->lock);
    return in_time;
}

void ft_sender_end(FtSender *s, FtCancel code, const char *text,
                   gint64 timeout_us)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;

    g_mutex_lock(&s->lock);
    queue_cancel(s, code, text);
    while (!s->ended && g_cond_wait_until(&s->flushed, &s->lock, deadline)) {
    }
    g_mutex_unlock(&s->lock);
}

/* --- The thread's side ------------------------------------------------ */

static void report(FtSender *s, FtEventType type, guint64 epoch,
                   const FtNote *note, const GError *error)
{
    FtEvent e = {.type = type, .id = s->id, .epoch = epoch, .error = error};

    if (note) {
        e.note = *note;
    }
    s->on_event(&e, s->user_data);
}

/* One whole answer is at s->in.  FALSE: the stream is at its end. */
static gboolean take_answer(FtSender *s, const FtHeader *h, GError **error)
{
    const guint8 *payload = s->in + FT_HEADER_LEN;
    const char *wrong = "not expected now";
    FtNote note;
    FtAck ack;

    if (h->cmd == FT_CMD_ACK) {
        wrong = ft_ack_get(h, payload, &ack);
        if (!wrong && (ack.epoch != s->epoch || h->id != s->id)) {
            wrong = "ACK of another epoch";
        }
        if (!wrong && ft_step(FT_SENDER, &s->mode, FT_RECV, FT_CMD_ACK,
                              FT_SCOPE_ANY)) {
            s->commit_time = 0;
            report(s, FT_EVENT_ACK, ack.epoch, NULL, NULL);
            return TRUE;
        }
    } else if (h->cmd == FT_CMD_NACK || h->cmd == FT_CMD_CANCEL) {
        wrong = ft_note_get(h, payload, &note);
        if (!wrong && h->cmd == FT_CMD_CANCEL) {
            s->mode = FT_OFF;
            report(s, FT_EVENT_CANCEL, 0, &note, NULL);
            return FALSE;
        }
        if (!wrong && note.code == FT_TRANS_ERR_RECV_HDR) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "the peer could not read the ft stream (%s)",
                        note.text);
            return FALSE;
        }
        if (!wrong && (h->id != s->id || s->mode == FT_READY)) {
            return TRUE; /* of a transaction given up meanwhile */
        }
        if (!wrong && ft_step(FT_SENDER, &s->mode, FT_RECV, FT_CMD_NACK,
                              FT_SCOPE_ANY)) {
            s->commit_time = 0;
            report(s, FT_EVENT_NACK, s->epoch, &note, NULL);
            return TRUE;
        }
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "the peer sent a %s frame that is not valid (%s)",
                ft_cmd_name(h->cmd), wrong ? wrong : "not expected now");
    return FALSE;
}

/*
 * Read what is there, but no endless flood; take whole answers.  FALSE: the
 * end (error or not).
 */
static gboolean read_answers(FtSender *s, GError **error)
{
    for (guint reads = 0; reads < 64; reads++) {
        gsize want = FT_HEADER_LEN;
        ssize_t r;

        if (s->in_len >= FT_HEADER_LEN) {
            FtHeader h;
            const char *wrong = ft_header_get(s->in, &h);

            if (!wrong && h.payload_len > sizeof(s->in) - FT_HEADER_LEN) {
                wrong = "payload is too long for an answer";
            }
            if (wrong) {
                g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the peer's answer is not valid (%s)", wrong);
                return FALSE;
            }
            want += h.payload_len;
            if (s->in_len == want) {
                s->in_len = 0;
                if (!take_answer(s, &h, error)) {
                    return FALSE;
                }
                continue;
            }
        }
        r = recv(s->io.fd, s->in + s->in_len, want - s->in_len, MSG_DONTWAIT);
        if (r > 0) {
            s->in_len += (gsize)r;
        } else if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
            return TRUE;
        } else {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                        "the peer closed the ft stream%s%s", r ? ": " : "",
                        r ? g_strerror(errno) : "");
            return FALSE;
        }
    }
    return TRUE;
}

/*
 * The length of the payload if the whole transaction at the head of the
 * queue can go as one ATOMIC frame, else 0.  Called with the lock held.
 */
static gsize atomic_len(FtSender *s)
{
    gsize len = FT_BEGIN_LEN + FT_COMMIT_LEN;

    /* Compressed lengths are not known before: such go in several frames. */
    if (s->coding != FT_CODING_NONE) {
        return 0;
    }
    for (GList *l = s->queue.head->next; l; l = l->next) {
        Item *i = l->data;

        if (i->type == ITEM_COMMIT) {
            return len;
        }
        if (i->type != ITEM_CHUNK) {
            return 0;
        }
        len += 4 + FT_CHUNK_LEN + i->buf->n_runs * FT_RUN_LEN + i->buf->len;
        if (len > FT_MAX_ATOMIC) {
            return 0;
        }
    }
    return 0;
}

/* Take the parts that go into the next frame from the queue. */
static gsize next_frame(FtSender *s, GQueue *parts)
{
    gsize atomic = 0;
    Item *i;

    g_mutex_lock(&s->lock);
    if (!s->held && (i = g_queue_pop_head(&s->queue))) {
        g_queue_push_tail(parts, i);
        if (i->type == ITEM_BEGIN && s->queue.head) {
            g_queue_push_head(&s->queue, i);
            atomic = atomic_len(s);
            g_queue_pop_head(&s->queue);
        }
        while (atomic && i->type != ITEM_COMMIT) {
            i = g_queue_pop_head(&s->queue);
            g_queue_push_tail(parts, i);
        }
        /* After a NACK, a COMMIT of the transaction before may be left. */
        if (i->type == ITEM_COMMIT && i->id == s->begun) {
            s->commit_left = TRUE;
        }
    }
    g_mutex_unlock(&s->lock);
    return atomic;
}

/*
 * The CANCEL is written: wait until the peer closes its end.  Closing ours
 * while answers are unread would reset the connection, and the peer might
 * never see why.
 */
static void finish(FtSender *s)
{
    gint64 end = g_get_monotonic_time() + s->io.stall_us;

    shutdown(s->io.fd, SHUT_WR);
    while (g_get_monotonic_time() < end &&
           ft_io_read(&s->io, s->in, 1, NULL)) {
    }
}

static gboolean send_queue(FtSender *s, GError **error)
{
    for (;;) {
        GQueue parts = G_QUEUE_INIT;
        gsize atomic = next_frame(s, &parts);
        gboolean ok = TRUE, end = FALSE;
        Item *i;

        if (g_queue_is_empty(&parts)) {
            return TRUE;
        }
        if (atomic) {
            ok = ft_step(FT_SENDER, &s->mode, FT_SEND, FT_CMD_ATOMIC,
                         FT_SCOPE_ANY)
                     ? ft_sender_put_atomic(s, &parts, atomic, error)
                     : ft_sender_begun_early(error);
        } else {
            i = parts.head->data;
            ok = ft_sender_put_item(s, i, error);
            end = i->type == ITEM_CANCEL &&
                  i->note.code != FT_CANCEL_TRANSACTION;
        }
        while ((i = g_queue_pop_head(&parts))) {
            item_free(s, i);
        }
        if (end && ok) {
            finish(s);
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                "the ft mode was ended");
            ok = FALSE;
        }
        if (!ok || !read_answers(s, error)) {
            return FALSE;
        }
    }
}

static gpointer sender_thread(gpointer data)
{
    FtSender *s = data;
    GError *error = NULL;
    gboolean broke;
    struct pollfd p[3] = {
        {.fd = s->io.fd, .events = POLLIN},
        {.fd = s->wake, .events = POLLIN},
        {.fd = s->io.stop_fd, .events = POLLIN},
    };

    while (send_queue(s, &error) && read_answers(s, &error)) {
        gint64 left = -1;
        guint64 count;

        if (s->commit_time) {
            left = s->commit_time + s->io.stall_us - g_get_monotonic_time();
            if (left <= 0) {
                g_set_error(&error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                            "the peer did not answer COMMIT for %.1f s",
                            (double)s->io.stall_us / 1e6);
                break;
            }
        }
        if (poll(p, 3, left < 0 ? -1 : (int)(left / 1000 + 1)) < 0 &&
            errno != EINTR) {
            g_error("cannot poll the ft stream: %s", g_strerror(errno));
        }
        if (p[2].revents) {
            break;
        }
        if (read(s->wake, &count, sizeof(count)) < 0) {
            g_assert(errno == EAGAIN);
        }
    }
    /*
     * A peer that left may have said why before its end of the connection
     * made the write fail.
     */
    broke = error &&
            !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    if (broke && s->mode != FT_OFF &&
        !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) {
        read_answers(s, NULL);
    }
    if (broke && s->mode != FT_OFF) {
        report(s, FT_EVENT_LOST, 0, NULL, error);
    }
    g_clear_error(&error);
    g_mutex_lock(&s->lock);
    s->ended = TRUE;
    drop_queue(s);
    g_cond_broadcast(&s->flushed);
    g_mutex_unlock(&s->lock);
    return NULL;
}

FtSender *ft_sender_new(int fd, FtPool *pool, FtCoding coding,
                        gint64 stall_us, FtEventFunc on_event,
                        gpointer user_data)
{
    FtSender *s = g_new0(FtSender, 1);

    s->io.fd = fd;
    s->io.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->io.stall_us = stall_us;
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(s->io.stop_fd >= 0 && s->wake >= 0);
    s->pool = pool;
    s->coding = coding;
    s->on_event = on_event;
    s->user_data = user_data;
    s->mode = FT_READY;
    ft_io_no_delay(fd);
    g_mutex_init(&s->lock);
    g_cond_init(&s->flushed);
    g_queue_init(&s->queue);
    if (coding != FT_CODING_NONE) {
        s->coded = g_malloc(FT_CHUNK_DATA);
    }
    s->thread = g_thread_new("ft-sender", sender_thread, s);
    return s;
}

void ft_sender_free(FtSender *s)
{
    guint64 one = 1;

    if (s) {
        if (write(s->io.stop_fd, &one, sizeof(one)) < 0) {
            g_assert(errno == EAGAIN);
        }
        g_thread_join(s->thread);
        drop_queue(s); /* queued after the thread's end */
        close(s->io.fd);
        close(s->io.stop_fd);
        close(s->wake);
        g_mutex_clear(&s->lock);
        g_cond_clear(&s->flushed);
        g_free(s->coded);
        g_free(s);
    }
}
