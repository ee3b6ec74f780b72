/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encoders and decoders of the ft stream's frames.
 *
 * Each fixed part starts with an XXH3-64 of its rest, seeded by the frame's
 * header, so that a part never passes under a header it was not sent with.
 */
#include "colo/ft/ft-proto.h"
#include "colo/bytes.h"
#include "colo/track/tracker.h" /* COLO_PAGE_SIZE */

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

guint64 ft_sum(const void *data, gsize len)
{
    return XXH3_64bits(data, len);
}

guint64 ft_sum_chain(guint64 chain, const FtChunk *c)
{
    guint8 link[24];

    le_put64(link, chain);
    le_put64(link + 8, c->head_sum);
    le_put64(link + 16, c->data_sum);
    return ft_sum(link, sizeof(link));
}

guint64 ft_sum_part(const FtHeader *frame, const void *part, gsize len)
{
    guint8 raw[FT_HEADER_LEN];

    ft_header_put(frame, raw);
    return XXH3_64bits_withSeed(part, len, ft_sum(raw, sizeof(raw)));
}

/* Put the sum of part[8..len) at part[0]. */
static void seal(const FtHeader *frame, guint8 *part, gsize len)
{
    le_put64(part, ft_sum_part(frame, part + 8, len - 8));
}

static const char *check_seal(const FtHeader *frame, const guint8 *part,
                              gsize len)
{
    return ft_sum_is(le_get64(part), ft_sum_part(frame, part + 8, len - 8))
               ? NULL
               : "checksum is wrong";
}

void ft_header_put(const FtHeader *h, guint8 *out)
{
    le_put16(out, (guint16)h->cmd);
    le_put16(out + 2, h->id);
    le_put32(out + 4, h->seq);
    le_put32(out + 8, h->payload_len);
}

gsize ft_max_payload(gint16 cmd)
{
    switch (cmd) {
    case FT_CMD_INIT:
        return FT_MAX_HELLO;
    case FT_CMD_BEGIN:
        return FT_BEGIN_LEN;
    case FT_CMD_CONTINUE:
        return FT_MAX_CHUNK;
    case FT_CMD_COMMIT:
        return FT_COMMIT_LEN;
    case FT_CMD_ATOMIC:
        return FT_MAX_ATOMIC;
    case FT_CMD_ACK:
        return FT_ACK_LEN;
    case FT_CMD_NACK:
    case FT_CMD_CANCEL:
        return FT_NOTE_LEN + FT_MAX_TEXT;
    default:
        return 0;
    }
}

const char *ft_cmd_name(gint16 cmd)
{
    static const char *const names[] = {
        "NACK",   "INIT",   "BEGIN", "CONTINUE",
        "COMMIT", "CANCEL", "ATOMIC", "ACK",
    };

    return cmd >= FT_CMD_NACK && cmd <= FT_CMD_ACK ? names[cmd + 1] : "?";
}

const char *ft_header_get(const guint8 *in, FtHeader *h)
{
    h->cmd = (gint16)le_get16(in);
    h->id = le_get16(in + 2);
    h->seq = le_get32(in + 4);
    h->payload_len = le_get32(in + 8);
    if (h->cmd < FT_CMD_NACK || h->cmd > FT_CMD_ACK) {
        return "unknown command";
    }
    if (h->payload_len > ft_max_payload(h->cmd)) {
        return "payload is larger than its command allows";
    }
    if (h->cmd == FT_CMD_INIT && (h->id || h->seq)) {
        return "INIT belongs to no transaction";
    }
    return NULL;
}

void ft_begin_put(const FtHeader *frame, const FtBegin *b, guint8 *out)
{
    le_put64(out + 8, b->epoch);
    le_put32(out + 16, b->flags);
    le_put32(out + 20, 0);
    seal(frame, out, FT_BEGIN_LEN);
}

const char *ft_begin_get(const FtHeader *frame, const guint8 *in, FtBegin *b)
{
    const char *wrong = check_seal(frame, in, FT_BEGIN_LEN);

    if (wrong) {
        return wrong;
    }
    b->epoch = le_get64(in + 8);
    b->flags = le_get32(in + 16);
    if (b->flags & ~(FT_BEGIN_INIT | FT_BEGIN_INHERIT) || le_get32(in + 20)) {
        return "unknown flags in BEGIN";
    }
    if (frame->seq) {
        return "BEGIN is not a transaction's first payload";
    }
    return b->epoch ? NULL : "BEGIN of epoch 0";
}

void ft_commit_put(const FtHeader *frame, const FtCommit *c, guint8 *out)
{
    le_put64(out + 8, c->epoch);
    le_put64(out + 16, c->n_pages);
    le_put64(out + 24, c->state_len);
    le_put32(out + 32, c->n_payloads);
    le_put32(out + 36, c->running_us);
    le_put64(out + 40, c->sum);
    seal(frame, out, FT_COMMIT_LEN);
}

const char *ft_commit_get(const FtHeader *frame, const guint8 *in,
                          FtCommit *c)
{
    const char *wrong = check_seal(frame, in, FT_COMMIT_LEN);

    if (wrong) {
        return wrong;
    }
    c->epoch = le_get64(in + 8);
    c->n_pages = le_get64(in + 16);
    c->state_len = le_get64(in + 24);
    c->n_payloads = le_get32(in + 32);
    c->running_us = le_get32(in + 36);
    c->sum = le_get64(in + 40);
    return c->state_len <= FT_MAX_STATE ? NULL : "device state is too large";
}

void ft_ack_put(const FtHeader *frame, const FtAck *a, guint8 *out)
{
    le_put64(out + 8, a->epoch);
    seal(frame, out, FT_ACK_LEN);
}

const char *ft_ack_get(const FtHeader *frame, const guint8 *in, FtAck *a)
{
    if (frame->payload_len != FT_ACK_LEN) {
        return "payload has a wrong length";
    }
    a->epoch = le_get64(in + 8);
    return check_seal(frame, in, FT_ACK_LEN);
}

void ft_note_put(FtHeader *frame, const FtNote *n, guint8 *out)
{
    gsize text_len = strnlen(n->text, FT_MAX_TEXT);

    memset(out, 0, FT_NOTE_LEN);
    le_put32(out + 8, n->code);
    le_put32(out + 12, n->n_good);
    le_put16(out + 16, (guint16)text_len);
    memcpy(out + FT_NOTE_LEN, n->text, text_len);
    frame->payload_len = (guint32)(FT_NOTE_LEN + text_len);
    seal(frame, out, frame->payload_len);
}

const char *ft_note_get(const FtHeader *frame, const guint8 *in, FtNote *n)
{
    gsize len = frame->payload_len, text_len;
    const char *wrong;

    if (len < FT_NOTE_LEN) {
        return "note is too short";
    }
    text_len = le_get16(in + 16);
    if (text_len > FT_MAX_TEXT || len != FT_NOTE_LEN + text_len) {
        return "note has a wrong length";
    }
    wrong = check_seal(frame, in, len);
    if (!wrong && (le_get16(in + 18) || le_get32(in + 20))) {
        wrong = "unknown fields in a note";
    }
    if (wrong) {
        return wrong;
    }
    n->code = le_get32(in + 8);
    n->n_good = le_get32(in + 12);
    for (gsize i = 0; i < text_len; i++) {
        /* It goes to logs and terminals. */
        char c = (char)in[FT_NOTE_LEN + i];
        n->text[i] = g_ascii_isprint(c) ? c : '?';
    }
    n->text[text_len] = '\0';
    return NULL;
}

void ft_chunk_put(const FtHeader *frame, FtChunk *c, const FtRun *runs,
                  guint8 *out)
{
    gsize len = FT_CHUNK_LEN + (gsize)c->n_runs * FT_RUN_LEN;

    memset(out, 0, FT_CHUNK_LEN);
    out[8] = c->type;
    out[9] = c->coding;
    le_put16(out + 10, c->n_runs);
    le_put32(out + 12, c->data_len);
    le_put32(out + 16, c->raw_len);
    le_put64(out + 24, c->offset);
    le_put64(out + 32, c->data_sum);
    for (guint i = 0; i < c->n_runs; i++) {
        guint8 *run = out + FT_CHUNK_LEN + (gsize)i * FT_RUN_LEN;

        le_put64(run, runs[i].page);
        le_put32(run + 8, runs[i].n_pages);
        le_put32(run + 12, runs[i].zero);
    }
    c->head_sum = ft_sum_part(frame, out + 8, len - 8);
    le_put64(out, c->head_sum);
}

const char *ft_chunk_get(const FtHeader *frame, const guint8 *in, FtChunk *c)
{
    c->head_sum = le_get64(in);
    c->type = in[8];
    c->coding = in[9];
    c->n_runs = le_get16(in + 10);
    c->data_len = le_get32(in + 12);
    c->raw_len = le_get32(in + 16);
    c->offset = le_get64(in + 24);
    c->data_sum = le_get64(in + 32);
    if (le_get32(in + 20) || le_get64(in + 40)) {
        return "unknown fields in a chunk";
    }
    if (c->type != FT_CHUNK_PAGES && c->type != FT_CHUNK_DEVICE) {
        return "unknown type of chunk";
    }
    if (c->coding > FT_CODING_ZSTD) {
        return "unknown coding of a chunk";
    }
    if (c->n_runs > FT_CHUNK_RUNS ||
        (c->type == FT_CHUNK_DEVICE && c->n_runs)) {
        return "too many runs in a chunk";
    }
    if (c->raw_len > FT_CHUNK_DATA || c->data_len > FT_CHUNK_DATA) {
        return "chunk has too much data";
    }
    if (c->coding == FT_CODING_NONE && c->raw_len != c->data_len) {
        return "chunk's lengths disagree";
    }
    if (c->type == FT_CHUNK_DEVICE &&
        (c->offset > FT_MAX_STATE || c->raw_len > FT_MAX_STATE - c->offset)) {
        return "device state is too large";
    }
    if (c->type == FT_CHUNK_PAGES && c->offset) {
        return "unknown fields in a chunk";
    }
    if (frame->payload_len !=
        FT_CHUNK_LEN + (guint32)c->n_runs * FT_RUN_LEN + c->data_len) {
        return "chunk does not fill its payload";
    }
    return NULL;
}

const char *ft_runs_get(const FtHeader *frame, const FtChunk *c,
                        const guint8 *head, gsize ram_pages, FtRun *runs)
{
    gsize len = FT_CHUNK_LEN + (gsize)c->n_runs * FT_RUN_LEN;
    guint64 next = 0, data_pages = 0;

    if (!ft_sum_is(c->head_sum, ft_sum_part(frame, head + 8, len - 8))) {
        return "checksum of a chunk's head is wrong";
    }
    for (guint i = 0; i < c->n_runs; i++) {
        const guint8 *in = head + FT_CHUNK_LEN + (gsize)i * FT_RUN_LEN;
        FtRun *run = &runs[i];

        run->page = le_get64(in);
        run->n_pages = le_get32(in + 8);
        run->zero = le_get32(in + 12);
        if (run->zero > 1 || !run->n_pages || run->page < next ||
            run->page >= ram_pages || run->n_pages > ram_pages - run->page) {
            return "chunk names pages outside of the RAM";
        }
        next = run->page + run->n_pages;
        data_pages += run->zero ? 0 : run->n_pages;
        if (data_pages > FT_CHUNK_DATA / COLO_PAGE_SIZE) {
            return "chunk names more pages than it has";
        }
    }
    if (c->type == FT_CHUNK_PAGES &&
        data_pages * COLO_PAGE_SIZE != c->raw_len) {
        return "chunk names more pages than it has";
    }
    return NULL;
}
