/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receiving end of the ft stream.
 *
 * Page data goes from the socket straight to its place in the hold's cache
 * and is summed there, while it is warm: the cache is scratch space until
 * the transaction is committed, so data that turns out wrong does no harm.
 * What says where data goes (a chunk's head) is verified before.
 *
 * Wrong data costs a NACK, and the transaction is sent again.  When a header
 * or a chunk's head is wrong, so may be the payload's length, and with it
 * the place where the next frame starts: what a guest keeps in its memory
 * must never be read as a frame, so the connection ends there, and the
 * peers resume on a new one.
 */
#include "colo/ft/ft-receiver.h"
#include "colo/ft/ft-coding.h"
#include "colo/track/tracker.h" /* COLO_PAGE_SIZE */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct FtReceiver {
    FtIo io;
    FtHold *hold;
    guint codings;
    FtReceiverOps ops;
    FtMode mode;
    guint64 bytes;          /* atomic */

    /* Guarded by hold->lock, like all that ends a wait for the engine */
    gboolean stop;
    FtNote cancel;          /* code 0: none asked for */

    FtHeader h;             /* frame being read */
    guint16 id;             /* of the last BEGIN, for the answers */
    gint64 commit_time;     /* when the last COMMIT was read */
    guint8 head[FT_CHUNK_LEN + FT_CHUNK_RUNS * FT_RUN_LEN];
    FtRun runs[FT_CHUNK_RUNS];
    struct iovec iov[FT_CHUNK_RUNS];
    guint8 *coded, *raw;    /* FT_CHUNK_DATA each, made when first needed */
};

FtReceiver *ft_receiver_new(int fd, FtHold *hold, guint codings,
                            gint64 stall_us, const FtReceiverOps *ops)
{
    FtReceiver *r = g_new0(FtReceiver, 1);

    r->io.fd = fd;
    r->io.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(r->io.stop_fd >= 0);
    r->io.stall_us = stall_us;
    r->hold = hold;
    r->codings = codings;
    r->ops = *ops;
    r->mode = FT_READY;
    ft_io_no_delay(fd);
    return r;
}

void ft_receiver_free(FtReceiver *r)
{
    if (r) {
        close(r->io.stop_fd);
        g_free(r->coded);
        g_free(r->raw);
        g_free(r);
    }
}

guint64 ft_receiver_bytes(const FtReceiver *r)
{
    return __atomic_load_n(&r->bytes, __ATOMIC_RELAXED);
}

static gboolean get(FtReceiver *r, void *data, gsize len, GError **error)
{
    __atomic_fetch_add(&r->bytes, len, __ATOMIC_RELAXED);
    return ft_io_read(&r->io, data, len, error);
}

/* Read n bytes of no interest. */
static gboolean skip(FtReceiver *r, gsize n, GError **error)
{
    while (n) {
        gsize part = MIN(n, sizeof(r->head));

        if (!get(r, r->head, part, error)) {
            return FALSE;
        }
        n -= part;
    }
    return TRUE;
}

static gboolean put_ack(FtReceiver *r, const FtAck *ack, GError **error)
{
    FtHeader h = {.cmd = FT_CMD_ACK, .id = r->id, .payload_len = FT_ACK_LEN};
    guint8 out[FT_HEADER_LEN + FT_ACK_LEN];

    ft_header_put(&h, out);
    ft_ack_put(&h, ack, out + FT_HEADER_LEN);
    return ft_io_write(&r->io, out, sizeof(out), error);
}

static gboolean put_note(FtReceiver *r, FtIo *io, FtCmd cmd, FtNote *note,
                         GError **error)
{
    FtHeader h = {.cmd = cmd, .id = r->id};
    guint8 out[FT_HEADER_LEN + FT_NOTE_LEN + FT_MAX_TEXT];

    note->n_good = r->hold->good;
    ft_note_put(&h, note, out + FT_HEADER_LEN);
    ft_header_put(&h, out);
    return ft_io_write(io, out, FT_HEADER_LEN + h.payload_len, error);
}


/* The peer broke the protocol beyond what a NACK repairs. */
static gboolean broken(FtReceiver *r, const char *wrong, GError **error)
{
    FtNote note = {.code = FT_TRANS_ERR_RECV_HDR};

    g_strlcpy(note.text, wrong, sizeof(note.text));
    put_note(r, &r->io, FT_CMD_NACK, &note, NULL);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "the peer sent a %s frame that is not valid (%s)",
                ft_cmd_name(r->h.cmd), wrong);
    return FALSE;
}

static gboolean put_nack(FtReceiver *r, guint32 code, const char *text,
                         GError **error)
{
    FtNote note = {.code = code};

    if (!ft_step(FT_RECEIVER, &r->mode, FT_SEND, FT_CMD_NACK, FT_SCOPE_ANY)) {
        return broken(r, text, error);
    }
    g_strlcpy(note.text, text, sizeof(note.text));
    return put_note(r, &r->io, FT_CMD_NACK, &note, error);
}

static guint64 sum_places(const struct iovec *iov, gsize n)
{
    XXH3_state_t sum;

    if (n == 1) {
        return ft_sum(iov[0].iov_base, iov[0].iov_len);
    }
    XXH3_64bits_reset(&sum);
    for (gsize i = 0; i < n; i++) {
        XXH3_64bits_update(&sum, iov[i].iov_base, iov[i].iov_len);
    }
    return XXH3_64bits_digest(&sum);
}

/* Read a chunk's data to its place.  *wrong: it was not what it should be. */
static gboolean get_data(FtReceiver *r, FtChunk *c, const char **wrong,
                         GError **error)
{
    gsize n = 0;

    for (guint i = 0; i < c->n_runs; i++) {
        if (!r->runs[i].zero) {
            r->iov[n].iov_base =
                r->hold->cache + r->runs[i].page * COLO_PAGE_SIZE;
            r->iov[n++].iov_len = (gsize)r->runs[i].n_pages * COLO_PAGE_SIZE;
        }
    }
    if (c->type == FT_CHUNK_DEVICE) {
        r->iov[0].iov_base = r->hold->state + c->offset;
        r->iov[0].iov_len = c->raw_len;
        n = 1;
    }

    if (c->coding == FT_CODING_NONE) {
        struct iovec iov[FT_CHUNK_RUNS];

        memcpy(iov, r->iov, n * sizeof(iov[0]));
        __atomic_fetch_add(&r->bytes, c->data_len, __ATOMIC_RELAXED);
        if (!ft_io_readv(&r->io, iov, (int)n, error)) {
            return FALSE;
        }
    } else {
        guint8 *to = n == 1 ? r->iov[0].iov_base : NULL;
        const guint8 *from;

        if (!r->coded) {
            r->coded = g_malloc(FT_CHUNK_DATA);
            r->raw = g_malloc(FT_CHUNK_DATA);
        }
        if (!get(r, r->coded, c->data_len, error)) {
            return FALSE;
        }
        if (!ft_decode(c->coding, r->coded, c->data_len, to ? to : r->raw,
                       c->raw_len)) {
            *wrong = "data cannot be decompressed";
            return TRUE;
        }
        from = r->raw;
        for (gsize i = 0; !to && i < n; i++) {
            memcpy(r->iov[i].iov_base, from, r->iov[i].iov_len);
            from += r->iov[i].iov_len;
        }
    }

    if (!ft_sum_is(c->data_sum, sum_places(r->iov, n))) {
        *wrong = "checksum of a chunk's data is wrong";
    }
    return TRUE;
}

/*
 * Take one chunk, the payload of frame.  Payloads count from 1 within a
 * transaction: BEGIN was 0.
 */
static gboolean get_chunk(FtReceiver *r, const FtHeader *frame,
                          const char **wrong, GError **error)
{
    FtHold *hold = r->hold;
    const char *bad;
    FtChunk c;

    *wrong = NULL;
    if (frame->payload_len < FT_CHUNK_LEN) {
        return broken(r, "chunk is too short", error);
    }
    if (!get(r, r->head, FT_CHUNK_LEN, error)) {
        return FALSE;
    }
    bad = ft_chunk_get(frame, r->head, &c);
    if (bad) {
        return broken(r, bad, error);
    }
    if (!get(r, r->head + FT_CHUNK_LEN, (gsize)c.n_runs * FT_RUN_LEN, error)) {
        return FALSE;
    }
    bad = ft_runs_get(frame, &c, r->head, hold->n_pages, r->runs);
    if (!bad && (frame->id != r->id || frame->seq != hold->good)) {
        bad = "a payload is missing";
    }
    if (!bad && !(r->codings & (1u << c.coding))) {
        bad = "coding was not agreed on";
    }
    if (bad) {
        return broken(r, bad, error);
    }
    if (c.type == FT_CHUNK_DEVICE &&
        (c.offset != hold->state_len ||
         c.raw_len > hold->state_room - hold->state_len)) {
        *wrong = "device state is larger than this QEMU can load";
        return skip(r, c.data_len, error);
    }
    if (c.type != FT_CHUNK_DEVICE) {
        ft_hold_touch(hold, r->runs, c.n_runs);
    }
    ft_hold_expect(hold, r->runs, c.n_runs);
    if (!get_data(r, &c, wrong, error)) {
        return FALSE;
    }
    if (!*wrong) {
        if (c.type == FT_CHUNK_DEVICE) {
            hold->state_len += c.raw_len;
        } else {
            ft_hold_pages(hold, r->runs, c.n_runs);
        }
        hold->chain = ft_sum_chain(hold->chain, &c);
        hold->good++;
    }
    return TRUE;
}

/* COMMIT was read: answer it. */
static gboolean finish(FtReceiver *r, const FtCommit *c, GError **error)
{
    g_autoptr(GError) refused = NULL;
    const char *wrong = ft_hold_check(r->hold, c);
    FtAck ack = {.epoch = c->epoch};
    gint64 resumed = 0;
    gboolean ok;

    if (wrong) {
        ft_hold_cancel(r->hold); /* who knows which payload it was */
        return put_nack(r, FT_TRANS_ERR_CHECKSUM, wrong, error);
    }
    if (r->ops.seal && !r->ops.seal(c->epoch, r->ops.user_data, &refused)) {
        return put_nack(r, FT_TRANS_ERR_FLUSH, refused->message, error);
    }
    if (c->running_us) {
        resumed = r->commit_time - c->running_us;
    }
    ft_hold_commit(r->hold, resumed);
    ft_step(FT_RECEIVER, &r->mode, FT_SEND, FT_CMD_ACK, FT_SCOPE_ANY);
    ok = put_ack(r, &ack, error);
    r->ops.committed(c->epoch, r->ops.user_data);
    return ok;
}

/* BEGIN's part; FALSE with *wrong NULL: stopped or broken. */
static gboolean get_begin(FtReceiver *r, const char **wrong, GError **error)
{
    guint8 in[FT_BEGIN_LEN];
    const char *bad;
    FtBegin b;

    if (!get(r, in, sizeof(in), error)) {
        return FALSE;
    }
    bad = ft_begin_get(&r->h, in, &b);
    if (bad) {
        return broken(r, bad, error);
    }
    /* The engine still reads the last commit from the hold. */
    if (!ft_hold_wait(r->hold, &r->stop)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                            "the stream was stopped");
        return FALSE;
    }
    /* What a NACK says is right is of this transaction, not of the last. */
    r->id = r->h.id;
    ft_hold_cancel(r->hold);
    *wrong = ft_hold_begin(r->hold, r->id, &b);
    return TRUE;
}

static gboolean get_commit(FtReceiver *r, FtCommit *c, const char **wrong,
                           GError **error)
{
    guint8 in[FT_COMMIT_LEN];

    if (!get(r, in, sizeof(in), error)) {
        return FALSE;
    }
    r->commit_time = g_get_monotonic_time();
    *wrong = ft_commit_get(&r->h, in, c);
    if (!*wrong && r->h.cmd == FT_CMD_COMMIT &&
        (r->h.id != r->id || r->h.seq != r->hold->good)) {
        *wrong = "a payload is missing";
    }
    return TRUE;
}

/* A whole transaction in one frame: the same parts, one after another. */
static gboolean get_atomic(FtReceiver *r, GError **error)
{
    gsize left = r->h.payload_len;
    const char *wrong = NULL;
    FtCommit c;

    if (left < FT_BEGIN_LEN + FT_COMMIT_LEN) {
        return broken(r, "payload is too short", error);
    }
    if (!get_begin(r, &wrong, error)) {
        return FALSE;
    }
    left -= FT_BEGIN_LEN;
    for (guint32 seq = 1; !wrong && left > FT_COMMIT_LEN; seq++) {
        FtHeader part = {.cmd = FT_CMD_CONTINUE, .id = r->h.id, .seq = seq};
        guint8 len[4];

        if (left - FT_COMMIT_LEN < sizeof(len) + FT_CHUNK_LEN) {
            return broken(r, "chunks do not fill the payload", error);
        }
        if (!get(r, len, sizeof(len), error)) {
            return FALSE;
        }
        part.payload_len = (guint32)len[0] | (guint32)len[1] << 8 |
                           (guint32)len[2] << 16 | (guint32)len[3] << 24;
        left -= sizeof(len);
        if (part.payload_len > left - FT_COMMIT_LEN) {
            return broken(r, "a chunk is larger than its frame", error);
        }
        if (!get_chunk(r, &part, &wrong, error)) {
            return FALSE;
        }
        left -= part.payload_len;
    }
    if (wrong) {
        return skip(r, left, error) &&
               put_nack(r, FT_TRANS_ERR_CHECKSUM, wrong, error);
    }
    if (!get_commit(r, &c, &wrong, error)) {
        return FALSE;
    }
    return wrong ? put_nack(r, FT_TRANS_ERR_CHECKSUM, wrong, error)
                 : finish(r, &c, error);
}

static gboolean get_transaction_frame(FtReceiver *r, GError **error)
{
    const char *wrong = NULL;
    FtCommit c;

    if (r->mode == FT_ERROR) {
        return skip(r, r->h.payload_len, error);
    }
    switch (r->h.cmd) {
    case FT_CMD_BEGIN:
        if (r->h.payload_len != FT_BEGIN_LEN) {
            return broken(r, "payload has a wrong length", error);
        }
        if (!get_begin(r, &wrong, error)) {
            return FALSE;
        }
        break;
    case FT_CMD_CONTINUE:
        if (!get_chunk(r, &r->h, &wrong, error)) {
            return FALSE;
        }
        break;
    case FT_CMD_COMMIT:
        if (r->h.payload_len != FT_COMMIT_LEN) {
            return broken(r, "payload has a wrong length", error);
        }
        if (!get_commit(r, &c, &wrong, error)) {
            return FALSE;
        }
        if (!wrong) {
            return finish(r, &c, error);
        }
        break;
    default:
        return get_atomic(r, error);
    }
    return wrong ? put_nack(r, FT_TRANS_ERR_CHECKSUM, wrong, error) : TRUE;
}

/* CANCEL: *ended when it is of the ft mode. */
static gboolean get_cancel(FtReceiver *r, FtNote *note, gboolean *ended,
                           GError **error)
{
    guint8 in[FT_NOTE_LEN + FT_MAX_TEXT];
    const char *wrong;
    FtScope scope;

    if (!get(r, in, r->h.payload_len, error)) {
        return FALSE;
    }
    wrong = ft_note_get(&r->h, in, note);
    if (wrong) {
        return broken(r, wrong, error);
    }
    if (note->code < FT_CANCEL_TRANSACTION || note->code > FT_CANCEL_FAILED) {
        return broken(r, "unknown reason to cancel", error);
    }
    *ended = note->code != FT_CANCEL_TRANSACTION;
    scope = *ended ? FT_SCOPE_MODE : FT_SCOPE_TRANSACTION;
    if (!ft_step(FT_RECEIVER, &r->mode, FT_RECV, FT_CMD_CANCEL, scope)) {
        return broken(r, "nothing to cancel", error);
    }
    if (!*ended) {
        ft_hold_cancel(r->hold);
    }
    return TRUE;
}

/* Between frames the peer may be silent for as long as it likes. */
static gboolean wait_frame(FtReceiver *r, GError **error)
{
    struct pollfd p[2] = {
        {.fd = r->io.fd, .events = POLLIN},
        {.fd = r->io.stop_fd, .events = POLLIN},
    };

    while (poll(p, 2, -1) < 0 && errno == EINTR) {
    }
    if (p[1].revents) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                            "the stream was stopped");
        return FALSE;
    }
    return TRUE;
}

/* Stopped by ft_receiver_cancel()?  Then the sender is told. */
static void put_cancel(FtReceiver *r)
{
    FtNote cancel;

    g_mutex_lock(&r->hold->lock);
    cancel = r->cancel;
    g_mutex_unlock(&r->hold->lock);
    if (cancel.code &&
        ft_step(FT_RECEIVER, &r->mode, FT_SEND, FT_CMD_CANCEL, FT_SCOPE_MODE)) {
        /* The stop must not stop this last frame. */
        FtIo io = {.fd = r->io.fd, .stop_fd = -1, .stall_us = 100000};

        put_note(r, &io, FT_CMD_CANCEL, &cancel, NULL);
    }
}

static gboolean receive(FtReceiver *r, FtNote *note, GError **error)
{
    gboolean ended = FALSE;

    while (!ended) {
        guint8 in[FT_HEADER_LEN];
        const char *wrong;

        if (!wait_frame(r, error) || !get(r, in, sizeof(in), error)) {
            return FALSE;
        }
        wrong = ft_header_get(in, &r->h);
        if (wrong) {
            return broken(r, wrong, error);
        }
        if (r->h.cmd == FT_CMD_CANCEL) {
            if (!get_cancel(r, note, &ended, error)) {
                return FALSE;
            }
            continue;
        }
        if (!ft_step(FT_RECEIVER, &r->mode, FT_RECV, r->h.cmd, FT_SCOPE_ANY)) {
            return broken(r, "not expected now", error);
        }
        if (!get_transaction_frame(r, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean ft_receiver_run(FtReceiver *r, FtNote *note, GError **error)
{
    GError *e = NULL;
    gboolean ok = receive(r, note, &e);

    if (g_error_matches(e, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        put_cancel(r);
    }
    if (e) {
        g_propagate_error(error, e);
    }
    return ok;
}

void ft_receiver_stop(FtReceiver *r)
{
    guint64 one = 1;

    g_mutex_lock(&r->hold->lock);
    r->stop = TRUE;
    g_cond_broadcast(&r->hold->released);
    g_mutex_unlock(&r->hold->lock);
    if (write(r->io.stop_fd, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN); /* already stopped often enough */
    }
}

void ft_receiver_cancel(FtReceiver *r, FtCancel code, const char *text)
{
    g_mutex_lock(&r->hold->lock);
    r->cancel.code = code;
    g_strlcpy(r->cancel.text, text, sizeof(r->cancel.text));
    g_mutex_unlock(&r->hold->lock);
    ft_receiver_stop(r);
}
