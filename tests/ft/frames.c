/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole frames in memory, made with the encoders, for tests. */
#include "frames.h"

#include <string.h>

static guint8 *grow(GByteArray *out, gsize n)
{
    g_byte_array_set_size(out, out->len + (guint)n);
    return out->data + out->len - n;
}

void frame_begin(GByteArray *out, guint16 id, const FtBegin *b)
{
    FtHeader h = {.cmd = FT_CMD_BEGIN, .id = id, .payload_len = FT_BEGIN_LEN};
    guint8 *p = grow(out, FT_HEADER_LEN + FT_BEGIN_LEN);

    ft_header_put(&h, p);
    ft_begin_put(&h, b, p + FT_HEADER_LEN);
}

void frame_commit(GByteArray *out, guint16 id, const FtCommit *c)
{
    FtHeader h = {.cmd = FT_CMD_COMMIT, .id = id, .seq = c->n_payloads,
                  .payload_len = FT_COMMIT_LEN};
    guint8 *p = grow(out, FT_HEADER_LEN + FT_COMMIT_LEN);

    ft_header_put(&h, p);
    ft_commit_put(&h, c, p + FT_HEADER_LEN);
}

void frame_note(GByteArray *out, FtCmd cmd, guint16 id, guint32 seq,
                const FtNote *n)
{
    FtHeader h = {.cmd = cmd, .id = id, .seq = seq};
    guint8 *p = grow(out, FT_HEADER_LEN + FT_NOTE_LEN + strlen(n->text));

    ft_note_put(&h, n, p + FT_HEADER_LEN);
    ft_header_put(&h, p);
}

void frame_ack(GByteArray *out, guint16 id, const FtAck *a)
{
    FtHeader h = {.cmd = FT_CMD_ACK, .id = id, .payload_len = FT_ACK_LEN};
    guint8 *p = grow(out, FT_HEADER_LEN + FT_ACK_LEN);

    ft_header_put(&h, p);
    ft_ack_put(&h, a, p + FT_HEADER_LEN);
}

void frame_chunk(GByteArray *out, guint16 id, guint32 seq, FtChunk *c,
                 const FtRun *runs, const void *data, gsize len)
{
    gsize head = FT_CHUNK_LEN + (gsize)c->n_runs * FT_RUN_LEN;
    FtHeader h = {.cmd = FT_CMD_CONTINUE, .id = id, .seq = seq,
                  .payload_len = (guint32)(head + len)};
    guint8 *p = grow(out, FT_HEADER_LEN + head + len);

    c->data_len = (guint32)len;
    if (!c->raw_len) {
        c->raw_len = (guint32)len;
        c->data_sum = ft_sum(data, len);
    }
    ft_header_put(&h, p);
    ft_chunk_put(&h, c, runs, p + FT_HEADER_LEN);
    if (len) {
        memcpy(p + FT_HEADER_LEN + head, data, len);
    }
}

void frames_transaction(GByteArray *out, guint16 id, guint64 epoch,
                        gboolean atomic)
{
    FtBegin b = {.epoch = epoch};
    FtRun runs[] = {{.page = 3, .n_pages = 1},
                    {.page = 5, .n_pages = 2, .zero = 1}};
    FtChunk pages = {.type = FT_CHUNK_PAGES, .n_runs = 2};
    FtChunk state = {.type = FT_CHUNK_DEVICE};
    g_autoptr(GByteArray) chunks = g_byte_array_new();
    guint8 data[COLO_PAGE_SIZE];
    FtCommit c = {.epoch = epoch, .n_pages = 3,
                  .state_len = strlen(FRAMES_STATE), .n_payloads = 3,
                  .running_us = FRAMES_RUNNING_US};
    FtHeader h = {.cmd = FT_CMD_ATOMIC, .id = id};
    gsize first;
    guint8 *p;

    for (gsize i = 0; i < sizeof(data); i++) {
        data[i] = (guint8)(i ^ (i >> 8));
    }
    frame_chunk(chunks, id, 1, &pages, runs, data, sizeof(data));
    first = chunks->len;
    frame_chunk(chunks, id, 2, &state, NULL, FRAMES_STATE,
                strlen(FRAMES_STATE));
    c.sum = ft_sum_chain(ft_sum_chain(0, &pages), &state);
    if (!atomic) {
        frame_begin(out, id, &b);
        g_byte_array_append(out, chunks->data, chunks->len);
        frame_commit(out, id, &c);
        return;
    }

    /* Instead of its header, a chunk has its length. */
    h.payload_len = (guint32)(FT_BEGIN_LEN + chunks->len -
                              2 * (FT_HEADER_LEN - 4) + FT_COMMIT_LEN);
    p = grow(out, FT_HEADER_LEN + FT_BEGIN_LEN);
    ft_header_put(&h, p);
    ft_begin_put(&h, &b, p + FT_HEADER_LEN);
    g_byte_array_append(out, chunks->data + 8, (guint)first - 8);
    g_byte_array_append(out, chunks->data + first + 8,
                        chunks->len - (guint)first - 8);
    p = grow(out, FT_COMMIT_LEN);
    ft_commit_put(&h, &c, p);
}
