/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sending end of the ft stream.
 *
 * The engine appends items to the queue; the thread takes them in order.
 * Answers are read whenever the socket has some, also between the frames of
 * a long transaction, so that a NACK or CANCEL is heard early.
 */
#include "colo/ft/ft-sender.h"
#include "colo/ft/ft-coding.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef enum { ITEM_BEGIN, ITEM_CHUNK, ITEM_COMMIT, ITEM_CANCEL } ItemType;

typedef struct Item {
    ItemType type;
    guint16 id;             /* BEGIN */
    FtBegin begin;
    FtBuf *buf;
    FtNote note;            /* CANCEL */
} Item;

struct FtSender {
    FtIo io;
    FtPool *pool;
    FtCoding coding;
    FtEventFunc on_event;
    gpointer user_data;
    GThread *thread;
    int wake;               /* eventfd: the queue has changed */
    guint64 bytes;          /* atomic */

    GMutex lock;            /* guards down to flushed */
    GQueue queue;           /* Item */
    gboolean held;          /* the engine is adding parts of a transaction */
    gboolean ending;        /* CANCEL of the ft mode is queued */
    gboolean ended;         /* the thread has nothing more to say */
    GCond flushed;          /* ended became TRUE */

    /* The engine's */
    guint32 next_payload;

    /* The thread's */
    FtMode mode;
    guint16 id;             /* of the open transaction */
    guint64 epoch;
    guint32 payloads;
    guint64 pages, state_len, chain;
    gint64 commit_time;     /* when COMMIT was sent; 0: not waiting */
    guint8 in[FT_HEADER_LEN + FT_NOTE_LEN + FT_MAX_TEXT];
    gsize in_len;
    guint8 head[FT_HEADER_LEN + 4 + FT_CHUNK_LEN + FT_CHUNK_RUNS * FT_RUN_LEN];
    guint8 *coded;
};

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
    g_queue_push_tail(&s->queue, i);
    wake = !s->held;
    g_mutex_unlock(&s->lock);
    if (wake) {
        wake_thread(s);
    }
}

void ft_sender_hold(FtSender *s)
{
    g_mutex_lock(&s->lock);
    s->held = TRUE;
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

void ft_sender_commit(FtSender *s)
{
    Item *i = g_new0(Item, 1);

    i->type = ITEM_COMMIT;
    push(s, i);
}

static void drop_queue(FtSender *s)
{
    Item *i;

    while ((i = g_queue_pop_head(&s->queue))) {
        item_free(s, i);
    }
}

static void queue_cancel(FtSender *s, FtCancel code, const char *text)
{
    Item *i = g_new0(Item, 1);

    i->type = ITEM_CANCEL;
    i->note.code = code;
    g_strlcpy(i->note.text, text, sizeof(i->note.text));
    g_mutex_lock(&s->lock);
    drop_queue(s);
    g_queue_push_tail(&s->queue, i);
    s->held = FALSE;
    s->ending = code != FT_CANCEL_TRANSACTION;
    g_mutex_unlock(&s->lock);
    wake_thread(s);
}

void ft_sender_cancel(FtSender *s)
{
    queue_cancel(s, FT_CANCEL_TRANSACTION, "");
}

void ft_sender_end(FtSender *s, FtCancel code, const char *text,
                   gint64 timeout_us)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;

    queue_cancel(s, code, text);
    g_mutex_lock(&s->lock);
    while (!s->ended && g_cond_wait_until(&s->flushed, &s->lock, deadline)) {
    }
    g_mutex_unlock(&s->lock);
}

/* --- The thread's side ------------------------------------------------ */

static gboolean put(FtSender *s, struct iovec *iov, int n, GError **error)
{
    gsize len = 0;

    for (int i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    __atomic_fetch_add(&s->bytes, len, __ATOMIC_RELAXED);
    return ft_io_writev(&s->io, iov, n, error);
}

static gboolean put_small(FtSender *s, FtCmd cmd, guint32 seq,
                          const void *payload, gsize len, GError **error)
{
    FtHeader h = {.cmd = cmd, .id = s->id, .seq = seq,
                  .payload_len = (guint32)len};
    guint8 raw[FT_HEADER_LEN];
    struct iovec iov[2] = {
        {.iov_base = raw, .iov_len = sizeof(raw)},
        {.iov_base = (void *)payload, .iov_len = len},
    };

    ft_header_put(&h, raw);
    return put(s, iov, 2, error);
}

/*
 * Make a chunk's head at head + FT_HEADER_LEN.  *data, *len: what follows
 * it, the buffer's own bytes or their compressed form.
 */
static void prepare_chunk(FtSender *s, const FtBuf *b, FtHeader *h, FtChunk *c,
                          guint8 *head, const guint8 **data, gsize *len)
{
    *c = (FtChunk){.type = b->type, .coding = FT_CODING_NONE,
                   .n_runs = (guint16)b->n_runs, .raw_len = b->len,
                   .offset = b->offset, .data_sum = b->summed ? b->sum
                                             : ft_sum(b->data, b->len)};
    *data = b->data;
    *len = b->len;
    if (s->coding != FT_CODING_NONE && b->len) {
        gsize coded = ft_encode(s->coding, b->data, b->len, s->coded,
                                FT_CHUNK_DATA);
        if (coded) {
            c->coding = s->coding;
            *data = s->coded;
            *len = coded;
        }
    }
    c->data_len = (guint32)*len;
    *h = (FtHeader){.cmd = FT_CMD_CONTINUE, .id = s->id,
                    .seq = s->payloads, .payload_len = (guint32)(
                        FT_CHUNK_LEN + b->n_runs * FT_RUN_LEN + *len)};
    ft_chunk_put(h, c, b->runs, head);
}

static void count_chunk(FtSender *s, const FtBuf *b, const FtChunk *c)
{
    s->chain = ft_sum_chain(s->chain, c);
    s->payloads++;
    for (guint i = 0; i < b->n_runs; i++) {
        s->pages += b->runs[i].n_pages;
    }
    if (b->type == FT_CHUNK_DEVICE) {
        s->state_len += b->len;
    }
}

static void begin(FtSender *s, const Item *i)
{
    s->id = i->id;
    s->epoch = i->begin.epoch;
    s->payloads = 1;
    s->pages = s->state_len = s->chain = 0;
}

static void fill_commit(FtSender *s, guint8 *out)
{
    FtCommit c = {.epoch = s->epoch, .n_pages = s->pages,
                  .state_len = s->state_len, .n_payloads = s->payloads,
                  .sum = s->chain};

    ft_commit_put(&c, out);
    s->commit_time = g_get_monotonic_time();
}

static gboolean send_chunk(FtSender *s, const FtBuf *b, GError **error)
{
    const guint8 *data;
    struct iovec iov[2];
    FtHeader h;
    FtChunk c;
    gsize len;

    prepare_chunk(s, b, &h, &c, s->head + FT_HEADER_LEN, &data, &len);
    ft_header_put(&h, s->head);
    iov[0].iov_base = s->head;
    iov[0].iov_len = FT_HEADER_LEN + FT_CHUNK_LEN + b->n_runs * FT_RUN_LEN;
    iov[1].iov_base = (void *)data;
    iov[1].iov_len = len;
    count_chunk(s, b, &c);
    return put(s, iov, 2, error);
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

/* parts: BEGIN to COMMIT. */
static gboolean send_atomic(FtSender *s, GQueue *parts, gsize payload_len,
                            GError **error)
{
    FtHeader frame = {.cmd = FT_CMD_ATOMIC, .payload_len = (guint32)payload_len};
    guint8 first[FT_HEADER_LEN + FT_BEGIN_LEN], last[FT_COMMIT_LEN];
    struct iovec iov = {.iov_base = first, .iov_len = sizeof(first)};

    for (GList *l = parts->head; l; l = l->next) {
        Item *i = l->data;

        if (i->type == ITEM_BEGIN) {
            begin(s, i);
            frame.id = s->id;
            ft_header_put(&frame, first);
            ft_begin_put(&i->begin, first + FT_HEADER_LEN);
            if (!put(s, &iov, 1, error)) {
                return FALSE;
            }
        } else if (i->type == ITEM_CHUNK) {
            gsize head_len = FT_CHUNK_LEN + i->buf->n_runs * FT_RUN_LEN, len;
            const guint8 *data;
            struct iovec part[2];
            FtHeader h;
            FtChunk c;

            prepare_chunk(s, i->buf, &h, &c, s->head + 4, &data, &len);
            for (int b = 0; b < 4; b++) {
                s->head[b] = (guint8)(h.payload_len >> (8 * b));
            }
            part[0].iov_base = s->head;
            part[0].iov_len = 4 + head_len;
            part[1].iov_base = (void *)data;
            part[1].iov_len = len;
            count_chunk(s, i->buf, &c);
            if (!put(s, part, 2, error)) {
                return FALSE;
            }
        } else {
            fill_commit(s, last);
            iov.iov_base = last;
            iov.iov_len = sizeof(last);
            if (!put(s, &iov, 1, error)) {
                return FALSE;
            }
        }
    }
    return TRUE;
}

static FtCmd item_cmd(const Item *i)
{
    static const FtCmd cmd[] = {FT_CMD_BEGIN, FT_CMD_CONTINUE, FT_CMD_COMMIT,
                                FT_CMD_CANCEL};
    return cmd[i->type];
}

static gboolean send_item(FtSender *s, Item *i, GError **error)
{
    guint8 out[FT_NOTE_LEN + FT_MAX_TEXT];
    FtScope scope = i->type != ITEM_CANCEL ? FT_SCOPE_ANY
                    : i->note.code == FT_CANCEL_TRANSACTION
                        ? FT_SCOPE_TRANSACTION
                        : FT_SCOPE_MODE;

    /*
     * After a NACK, the rest of that transaction is still in the queue: the
     * table has no step for it, and the peer does not want it.
     */
    if (!ft_step(FT_SENDER, &s->mode, FT_SEND, item_cmd(i), scope)) {
        return TRUE;
    }
    switch (i->type) {
    case ITEM_BEGIN:
        begin(s, i);
        ft_begin_put(&i->begin, out);
        return put_small(s, FT_CMD_BEGIN, 0, out, FT_BEGIN_LEN, error);
    case ITEM_CHUNK:
        return send_chunk(s, i->buf, error);
    case ITEM_COMMIT:
        fill_commit(s, out);
        return put_small(s, FT_CMD_COMMIT, s->payloads, out, FT_COMMIT_LEN,
                         error);
    default:
        return put_small(s, FT_CMD_CANCEL, s->payloads, out,
                         ft_note_put(&i->note, out), error);
    }
}

static void report(FtSender *s, FtEventType type, guint64 epoch,
                   const FtNote *note, const GError *error)
{
    FtEvent e = {.type = type, .epoch = epoch, .error = error};

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
        wrong = h->payload_len == FT_ACK_LEN ? ft_ack_get(payload, &ack)
                                             : "payload has a wrong length";
        if (!wrong && ack.epoch != s->epoch) {
            wrong = "ACK of another epoch";
        }
        if (!wrong && ft_step(FT_SENDER, &s->mode, FT_RECV, FT_CMD_ACK,
                              FT_SCOPE_ANY)) {
            s->commit_time = 0;
            report(s, FT_EVENT_ACK, ack.epoch, NULL, NULL);
            return TRUE;
        }
    } else if (h->cmd == FT_CMD_NACK || h->cmd == FT_CMD_CANCEL) {
        wrong = ft_note_get(payload, h->payload_len, &note);
        if (!wrong && h->cmd == FT_CMD_CANCEL) {
            s->mode = FT_OFF;
            report(s, FT_EVENT_CANCEL, 0, &note, NULL);
            return FALSE;
        }
        if (!wrong && h->id != s->id) {
            return TRUE; /* of a transaction given up long ago */
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

/* Read what is there; take whole answers.  FALSE: the end (error or not). */
static gboolean read_answers(FtSender *s, GError **error)
{
    for (;;) {
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
    }
    g_mutex_unlock(&s->lock);
    return atomic;
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
        if (atomic && ft_step(FT_SENDER, &s->mode, FT_SEND, FT_CMD_ATOMIC,
                              FT_SCOPE_ANY)) {
            ok = send_atomic(s, &parts, atomic, error);
        } else if (!atomic) {
            i = parts.head->data;
            ok = send_item(s, i, error);
            end = i->type == ITEM_CANCEL &&
                  i->note.code != FT_CANCEL_TRANSACTION;
        }
        while ((i = g_queue_pop_head(&parts))) {
            item_free(s, i);
        }
        if (end && ok) {
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
    if (error && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
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
