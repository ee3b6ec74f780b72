/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ft stream's sending end queues, as frames. */
#include "colo/ft/ft-sender-priv.h"
#include "colo/ft/ft-coding.h"

static gboolean put(FtSender *s, struct iovec *iov, int n, GError **error)
{
    gsize len = 0;

    for (int i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    __atomic_fetch_add(&s->bytes, len, __ATOMIC_RELAXED);
    return ft_io_writev(&s->io, iov, n, error);
}

/* raw: room for the header, and the payload behind it. */
static gboolean put_small(FtSender *s, const FtHeader *h, guint8 *raw,
                          GError **error)
{
    struct iovec iov = {.iov_base = raw,
                        .iov_len = FT_HEADER_LEN + h->payload_len};

    ft_header_put(h, raw);
    return put(s, &iov, 1, error);
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
                   .offset = b->offset,
                   .data_sum = b->summed ? b->sum
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

static void fill_commit(FtSender *s, const Item *i, const FtHeader *frame,
                        guint8 *out)
{
    FtCommit c = {.epoch = s->epoch, .n_pages = s->pages,
                  .state_len = s->state_len, .n_payloads = s->payloads,
                  .sum = s->chain};

    s->commit_time = g_get_monotonic_time();
    if (i->resumed_us) {
        c.running_us = (guint32)CLAMP(s->commit_time - i->resumed_us, 1,
                                      (gint64)G_MAXUINT32);
    }
    ft_commit_put(frame, &c, out);
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

gboolean ft_sender_put_atomic(FtSender *s, GQueue *parts, gsize payload_len,
                            GError **error)
{
    FtHeader frame = {.cmd = FT_CMD_ATOMIC,
                      .payload_len = (guint32)payload_len};
    guint8 first[FT_HEADER_LEN + FT_BEGIN_LEN], last[FT_COMMIT_LEN];
    struct iovec iov = {.iov_base = first, .iov_len = sizeof(first)};

    for (GList *l = parts->head; l; l = l->next) {
        Item *i = l->data;

        if (i->type == ITEM_BEGIN) {
            begin(s, i);
            frame.id = s->id;
            ft_header_put(&frame, first);
            ft_begin_put(&frame, &i->begin, first + FT_HEADER_LEN);
            s->io.more = TRUE;
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
            fill_commit(s, i, &frame, last);
            s->io.more = FALSE;
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

gboolean ft_sender_begun_early(GError **error)
{
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "a transaction was begun before the last was "
                        "answered");
    return FALSE;
}

gboolean ft_sender_put_item(FtSender *s, Item *i, GError **error)
{
    guint8 raw[FT_HEADER_LEN + FT_NOTE_LEN + FT_MAX_TEXT];
    guint8 *out = raw + FT_HEADER_LEN;
    FtHeader h = {.cmd = item_cmd(i)};
    FtScope scope = i->type != ITEM_CANCEL ? FT_SCOPE_ANY
                    : i->note.code == FT_CANCEL_TRANSACTION
                        ? FT_SCOPE_TRANSACTION
                        : FT_SCOPE_MODE;

    if (!ft_step(FT_SENDER, &s->mode, FT_SEND, h.cmd, scope)) {
        return i->type != ITEM_BEGIN || ft_sender_begun_early(error);
    }
    switch (i->type) {
    case ITEM_BEGIN:
        begin(s, i);
        h.id = s->id;
        h.payload_len = FT_BEGIN_LEN;
        ft_begin_put(&h, &i->begin, out);
        break;
    case ITEM_CHUNK:
        return send_chunk(s, i->buf, error);
    case ITEM_COMMIT:
        h.id = s->id;
        h.seq = s->payloads;
        h.payload_len = FT_COMMIT_LEN;
        fill_commit(s, i, &h, out);
        break;
    case ITEM_CANCEL:
        h.id = s->id;
        h.seq = s->payloads;
        ft_note_put(&h, &i->note, out);
        break;
    }
    return put_small(s, &h, raw, error);
}
