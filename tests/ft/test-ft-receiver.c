/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real receiver fed with bytes that are not quite what a sender sends.
 * The whole input is in the socket before it runs, and the stream ends
 * behind it, so that each case is one call.
 */
#include "frames.h"
#include "colo/ft/ft-receiver.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGES 16
#define ROOM  64

typedef struct Result {
    guint commits;
    gboolean ended;         /* CANCEL of the mode */
    FtNote note;
    int error;              /* GIOErrorEnum, -1: none */
    char message[256];
    FtHeader answers[4];    /* the frames that came back */
    FtNote answer_notes[4];
    guint n_answers;
} Result;

static FtHold *hold;

static void committed(guint64 epoch, gpointer user_data)
{
    Result *r = user_data;

    r->commits++;
    ft_hold_release(hold);
}

static void read_answers(int fd, Result *r)
{
    guint8 in[FT_HEADER_LEN + FT_NOTE_LEN + FT_MAX_TEXT];

    while (recv(fd, in, FT_HEADER_LEN, MSG_WAITALL) == FT_HEADER_LEN) {
        FtHeader *h = &r->answers[r->n_answers];

        g_assert_cmpuint(r->n_answers, <, G_N_ELEMENTS(r->answers));
        g_assert_null(ft_header_get(in, h));
        g_assert_cmpint(recv(fd, in, h->payload_len, MSG_WAITALL), ==,
                        h->payload_len);
        if (h->cmd == FT_CMD_NACK) {
            g_assert_null(ft_note_get(h, in, &r->answer_notes[r->n_answers]));
        }
        r->n_answers++;
    }
}

static void feed(const void *data, gsize len, guint codings, Result *r)
{
    FtReceiverOps ops = {.committed = committed, .user_data = r};
    g_autoptr(GError) error = NULL;
    FtReceiver *receiver;
    int fds[2], size = 1 << 20;

    memset(r, 0, sizeof(*r));
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                    ==, 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    g_assert_cmpint(send(fds[0], data, len, MSG_DONTWAIT), ==, len);
    shutdown(fds[0], SHUT_WR);
    ft_hold_reset(hold);
    receiver = ft_receiver_new(fds[1], hold, codings, G_USEC_PER_SEC, &ops);
    r->ended = ft_receiver_run(receiver, &r->note, &error);
    ft_receiver_free(receiver);
    close(fds[1]);
    r->error = error ? error->code : -1;
    g_strlcpy(r->message, error ? error->message : "", sizeof(r->message));
    read_answers(fds[0], r);
    close(fds[0]);
}

static void feed_frames(GByteArray *in, Result *r)
{
    feed(in->data, in->len, 1u << FT_CODING_NONE, r);
}

/* Each bit of a transaction flipped: it is never committed. */
static void test_flips(gconstpointer data)
{
    gboolean atomic = GPOINTER_TO_INT(data);
    g_autoptr(GByteArray) in = g_byte_array_new();
    guint nacks = 0, broken = 0, cuts = 0;
    gsize bits, step;
    Result r;

    frames_transaction(in, 7, 1, atomic);
    feed_frames(in, &r);
    g_assert_cmpuint(r.commits, ==, 1);
    g_assert_cmpint(r.answers[0].cmd, ==, FT_CMD_ACK);
    g_assert_cmpint(r.error, ==, G_IO_ERROR_CONNECTION_CLOSED);

    bits = (gsize)in->len * 8;
    for (gsize bit = 0; bit < bits; bit += step) {
        /* All of what surrounds the page, and parts of the page. */
        gboolean page = bit > 2048 && bit < bits - 3072;

        step = page && !g_test_slow() ? 61 : 1;
        in->data[bit / 8] ^= (guint8)(1 << bit % 8);
        feed_frames(in, &r);
        if (r.commits || r.ended ||
            (r.n_answers && r.answers[0].cmd != FT_CMD_NACK)) {
            g_error("with bit %zu flipped it was accepted", bit);
        }
        g_assert_cmpuint(hold->epoch, ==, 0);
        nacks += r.error == G_IO_ERROR_CONNECTION_CLOSED && r.n_answers;
        broken += r.error == G_IO_ERROR_INVALID_DATA;
        cuts += r.error == G_IO_ERROR_CONNECTION_CLOSED && !r.n_answers;
        in->data[bit / 8] ^= (guint8)(1 << bit % 8);
    }
    g_test_message("%u refused, %u broken, %u waited for more", nacks, broken,
                   cuts);
    g_assert_cmpuint(nacks, >, 0);
    g_assert_cmpuint(broken, >, 0);
}

/* The stream ends after any byte: nothing is committed before the last. */
static void test_truncated(gconstpointer data)
{
    g_autoptr(GByteArray) in = g_byte_array_new();
    Result r;

    frames_transaction(in, 7, 1, GPOINTER_TO_INT(data));
    for (gsize len = 0; len < in->len;
         len += len > 300 && len < in->len - 300 ? 101 : 1) {
        feed(in->data, len, 1, &r);
        g_assert_cmpuint(r.commits, ==, 0);
        g_assert_cmpuint(r.n_answers, ==, 0);
        g_assert_cmpint(r.error, ==, G_IO_ERROR_CONNECTION_CLOSED);
    }
}

static void expect_broken(GByteArray *in, const char *why)
{
    Result r;

    feed_frames(in, &r);
    g_assert_cmpuint(r.commits, ==, 0);
    g_assert_cmpint(r.error, ==, G_IO_ERROR_INVALID_DATA);
    if (!strstr(r.message, why)) {
        g_error("\"%s\" does not say \"%s\"", r.message, why);
    }
    g_assert_cmpuint(r.n_answers, ==, 1);
    g_assert_cmpint(r.answers[0].cmd, ==, FT_CMD_NACK);
    g_assert_cmpuint(r.answer_notes[0].code, ==, FT_TRANS_ERR_RECV_HDR);
}

/* A frame that is right, where it does not belong. */
static void test_order(void)
{
    FtBegin begin = {.epoch = 1}, far = {.epoch = 3};
    FtCommit commit = {.epoch = 1, .n_payloads = 1};
    FtNote this = {.code = FT_CANCEL_TRANSACTION};
    FtAck ack = {.epoch = 1};
    g_autoptr(GByteArray) in = g_byte_array_new();
    Result r;

    frame_commit(in, 7, &commit);
    expect_broken(in, "COMMIT frame that is not valid (not expected");
    g_byte_array_set_size(in, 0);
    frame_ack(in, 7, &ack);
    expect_broken(in, "not expected");
    g_byte_array_set_size(in, 0);
    frame_note(in, FT_CMD_CANCEL, 7, 0, &this);
    expect_broken(in, "nothing to cancel");
    g_byte_array_set_size(in, 0);
    frame_begin(in, 7, &begin);
    frame_begin(in, 7, &begin);
    expect_broken(in, "not expected");

    /* of another transaction */
    g_byte_array_set_size(in, 0);
    frame_begin(in, 7, &begin);
    frame_commit(in, 8, &commit);
    feed_frames(in, &r);
    g_assert_cmpuint(r.answer_notes[0].code, ==, FT_TRANS_ERR_CHECKSUM);

    /* an epoch that does not follow */
    g_byte_array_set_size(in, 0);
    frame_begin(in, 7, &far);
    feed_frames(in, &r);
    g_assert_cmpint(r.error, ==, G_IO_ERROR_CONNECTION_CLOSED);
    g_assert_cmpint(r.answers[0].cmd, ==, FT_CMD_NACK);
    g_assert_cmpuint(r.answers[0].id, ==, 7);
    g_assert_cmpuint(r.answer_notes[0].n_good, ==, 0);

    /* the same after one that was right up to a payload */
    g_byte_array_set_size(in, 0);
    frames_transaction(in, 6, 1, FALSE);
    in->data[in->len - FT_HEADER_LEN - FT_COMMIT_LEN - 1] ^= 1;
    frame_begin(in, 7, &far);
    feed_frames(in, &r);
    g_assert_cmpuint(r.n_answers, ==, 2);
    g_assert_cmpuint(r.answer_notes[0].n_good, ==, 2);
    g_assert_cmpuint(r.answers[1].id, ==, 7);
    g_assert_cmpuint(r.answer_notes[1].n_good, ==, 0);

    /* without device state */
    g_byte_array_set_size(in, 0);
    frame_begin(in, 7, &begin);
    frame_commit(in, 7, &commit);
    feed_frames(in, &r);
    g_assert_cmpstr(r.answer_notes[0].text, ==, "device state is not complete");
}

/* A payload that is left out, doubled, or from another transaction. */
static void test_payloads(void)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GByteArray) other = g_byte_array_new();
    g_autoptr(GByteArray) in = g_byte_array_new();
    guint at = FT_HEADER_LEN + FT_BEGIN_LEN;
    guint first = FT_HEADER_LEN + FT_CHUNK_LEN + 2 * FT_RUN_LEN +
                  COLO_PAGE_SIZE;

    frames_transaction(all, 7, 1, FALSE);
    g_byte_array_append(in, all->data, at);
    g_byte_array_append(in, all->data + at + first, all->len - at - first);
    expect_broken(in, "a payload is missing");

    g_byte_array_set_size(in, 0);
    g_byte_array_append(in, all->data, at + first);
    g_byte_array_append(in, all->data + at, all->len - at);
    expect_broken(in, "a payload is missing");

    frames_transaction(other, 8, 1, FALSE);
    g_byte_array_set_size(in, 0);
    g_byte_array_append(in, all->data, at);
    g_byte_array_append(in, other->data + at, other->len - at);
    expect_broken(in, "a payload is missing");
}

static void expect_wrong_chunk(FtChunk *c, const void *data, gsize len,
                               const char *why)
{
    g_autoptr(GByteArray) in = g_byte_array_new();
    FtRun far = {.page = PAGES - 1, .n_pages = 2, .zero = 1};
    FtBegin begin = {.epoch = 1};

    frame_begin(in, 7, &begin);
    frame_chunk(in, 7, 1, c, &far, data, len);
    expect_broken(in, why);
}

static void test_chunks(void)
{
    static guint8 big[FT_CHUNK_DATA + 1];
    FtBegin begin = {.epoch = 1};
    g_autoptr(GByteArray) in = g_byte_array_new();
    FtChunk c;
    Result r;

    c = (FtChunk){.type = FT_CHUNK_PAGES, .n_runs = 1};
    expect_wrong_chunk(&c, NULL, 0, "outside of the RAM");
    c = (FtChunk){.type = FT_CHUNK_DEVICE, .coding = FT_CODING_LZ4};
    expect_wrong_chunk(&c, big, 10, "not agreed on");

    /* device state that QEMU has no room for, or that has a hole */
    for (guint64 offset = 0; offset < 2; offset++) {
        c = (FtChunk){.type = FT_CHUNK_DEVICE, .offset = offset};
        g_byte_array_set_size(in, 0);
        frame_begin(in, 7, &begin);
        frame_chunk(in, 7, 1, &c, NULL, big, offset ? 1 : ROOM + 1);
        feed_frames(in, &r);
        g_assert_cmpuint(r.answer_notes[0].n_good, ==, 1);
        g_assert_nonnull(strstr(r.answer_notes[0].text, "device state"));
    }
}

static void test_garbage(void)
{
    guint8 in[4096];
    Result r;

    for (guint round = 0; round < 2000; round++) {
        for (gsize i = 0; i < sizeof(in); i++) {
            in[i] = (guint8)g_test_rand_int();
        }
        if (round % 2) { /* a command that exists */
            in[0] = (guint8)g_test_rand_int_range(0, 7);
            in[1] = in[10] = in[11] = 0;
        }
        feed(in, sizeof(in), 7, &r);
        g_assert_cmpuint(r.commits, ==, 0);
        g_assert_false(r.ended);
        g_assert_cmpint(r.error, !=, -1);
    }
}

/* Inside an ATOMIC frame, lengths lie with right sums everywhere else. */
static void test_atomic_lengths(void)
{
    g_autoptr(GByteArray) good = g_byte_array_new();
    guint at = FT_HEADER_LEN + FT_BEGIN_LEN; /* the first chunk's length */
    static const guint32 lens[] = {0, 1, FT_CHUNK_LEN - 1, FT_CHUNK_LEN,
                                   FT_CHUNK_LEN + 1, FT_MAX_ATOMIC,
                                   G_MAXUINT32};

    frames_transaction(good, 7, 1, TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(lens); i++) {
        g_autoptr(GByteArray) in = g_byte_array_new();
        guint32 len = GUINT32_TO_LE(lens[i]);
        Result r;

        g_byte_array_append(in, good->data, good->len);
        memcpy(in->data + at, &len, sizeof(len));
        feed_frames(in, &r);
        g_assert_cmpuint(r.commits, ==, 0);
        g_assert_cmpint(r.error, ==, G_IO_ERROR_INVALID_DATA);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int status;

    g_test_init(&argc, &argv, NULL);
    hold = ft_hold_new(PAGES, ROOM, &error);
    g_assert_no_error(error);
    g_test_add_data_func("/ft/receiver/flips/frames", GINT_TO_POINTER(FALSE),
                         test_flips);
    g_test_add_data_func("/ft/receiver/flips/atomic", GINT_TO_POINTER(TRUE),
                         test_flips);
    g_test_add_data_func("/ft/receiver/truncated/frames",
                         GINT_TO_POINTER(FALSE), test_truncated);
    g_test_add_data_func("/ft/receiver/truncated/atomic",
                         GINT_TO_POINTER(TRUE), test_truncated);
    g_test_add_func("/ft/receiver/order", test_order);
    g_test_add_func("/ft/receiver/payloads", test_payloads);
    g_test_add_func("/ft/receiver/chunks", test_chunks);
    g_test_add_func("/ft/receiver/garbage", test_garbage);
    g_test_add_func("/ft/receiver/atomic-lengths", test_atomic_lengths);
    status = g_test_run();
    ft_hold_free(hold);
    return status;
}
