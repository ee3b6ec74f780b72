/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real sender before a peer that reads and answers as each test likes. */
#include "pair.h"
#include "frames.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATE "ten bytes!"

typedef struct Peer {
    Tx tx;
    int fd;                 /* the peer's end */
    FtHeader h;             /* the last frame read */
    guint8 payload[FT_MAX_ATOMIC];
} Peer;

static Peer *peer_new_on(const int fds[2], gint64 stall_us, gsize pool_bytes)
{
    Peer *p = g_new0(Peer, 1);

    p->fd = fds[1];
    tx_init(&p->tx, pool_bytes);
    tx_start(&p->tx, fds[0], FT_CODING_NONE, stall_us);
    return p;
}

static Peer *peer_new(gint64 stall_us, gsize pool_bytes)
{
    int fds[2];

    unix_pair(fds);
    return peer_new_on(fds, stall_us, pool_bytes);
}

static void peer_free(Peer *p)
{
    tx_clear(&p->tx);
    if (p->fd >= 0) {
        close(p->fd);
    }
    g_free(p);
}

static void read_all(int fd, guint8 *out, gsize len)
{
    while (len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        g_assert_cmpint(poll(&p, 1, 20000), ==, 1);
        n = read(fd, out, len);
        g_assert_cmpint(n, >, 0);
        out += n;
        len -= (gsize)n;
    }
}

static void read_frame(Peer *p, FtCmd cmd)
{
    guint8 raw[FT_HEADER_LEN];

    read_all(p->fd, raw, sizeof(raw));
    g_assert_null(ft_header_get(raw, &p->h));
    g_assert_cmpstr(ft_cmd_name(p->h.cmd), ==, ft_cmd_name((gint16)cmd));
    g_assert_cmpuint(p->h.payload_len, <=, sizeof(p->payload));
    read_all(p->fd, p->payload, p->h.payload_len);
}

static void answer(Peer *p, GByteArray *frame)
{
    g_assert_cmpint(write(p->fd, frame->data, frame->len), ==, frame->len);
}

static void put_ack(Peer *p, guint16 id, guint64 epoch)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();

    frame_ack(frame, id, &(FtAck){.epoch = epoch});
    answer(p, frame);
}

static void put_nack(Peer *p, guint16 id, guint32 code, const char *text)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    FtNote note = {.code = code, .n_good = 2};

    g_strlcpy(note.text, text, sizeof(note.text));
    frame_note(frame, FT_CMD_NACK, id, 0, &note);
    answer(p, frame);
}

/* Queue a transaction in one piece, or so that it goes in several frames. */
static void transact(Peer *p, guint64 epoch, gboolean held)
{
    if (held) {
        ft_sender_hold(p->tx.sender);
    }
    tx_begin(&p->tx, epoch, 0);
    if (!held) {
        read_frame(p, FT_CMD_BEGIN);
    }
    tx_state(&p->tx, STATE, strlen(STATE));
    ft_sender_commit(p->tx.sender, 0);
    if (held) {
        ft_sender_unhold(p->tx.sender);
        read_frame(p, FT_CMD_ATOMIC);
    } else {
        read_frame(p, FT_CMD_CONTINUE);
        read_frame(p, FT_CMD_COMMIT);
    }
}

static void expect_lost(Peer *p, const char *why)
{
    g_autoptr(Event) e = tx_expect(&p->tx, FT_EVENT_LOST);

    if (!strstr(e->error, why)) {
        g_error("\"%s\" does not say \"%s\"", e->error, why);
    }
    tx_expect_none(&p->tx);
}

/* Small and held: one frame, and as it should be; else several. */
static void test_atomic(void)
{
    Peer *p = peer_new(0, 0);
    static guint8 pages[128 * COLO_PAGE_SIZE];
    g_autoptr(Event) e = NULL;

    transact(p, 1, TRUE);
    g_assert_cmpuint(p->h.payload_len, ==,
                     FT_BEGIN_LEN + 4 + FT_CHUNK_LEN + strlen(STATE) +
                         FT_COMMIT_LEN);
    put_ack(p, p->tx.id, 1);
    event_free(tx_expect(&p->tx, FT_EVENT_ACK));
    transact(p, 2, FALSE);
    put_ack(p, p->tx.id, 2);
    event_free(tx_expect(&p->tx, FT_EVENT_ACK));

    /* More than an ATOMIC frame may hold; and more than the pool has. */
    ft_sender_hold(p->tx.sender);
    tx_begin(&p->tx, 3, 0);
    for (guint i = 0; i < 6; i++) {
        tx_pages(&p->tx, i * 128, 128, pages);
        if (i == 3) { /* that was the last buffer: it goes on by itself */
            read_frame(p, FT_CMD_BEGIN);
        }
        if (i >= 3) {
            read_frame(p, FT_CMD_CONTINUE);
        }
    }
    tx_state(&p->tx, STATE, strlen(STATE));
    ft_sender_commit(p->tx.sender, 0);
    ft_sender_unhold(p->tx.sender);
    for (guint i = 0; i < 4; i++) {
        read_frame(p, FT_CMD_CONTINUE);
    }
    read_frame(p, FT_CMD_COMMIT);
    g_assert_cmpuint(p->h.seq, ==, 8);
    put_ack(p, p->tx.id, 3);
    e = tx_expect(&p->tx, FT_EVENT_ACK);
    peer_free(p);
}

/* A NACK that crosses a CANCEL is of no interest any more. */
static void test_crossing(void)
{
    Peer *p = peer_new(0, 0);
    g_autoptr(Event) e = NULL;
    guint16 old;

    for (guint round = 0; round < 2; round++) {
        tx_begin(&p->tx, 1, 0);
        old = p->tx.id;
        read_frame(p, FT_CMD_BEGIN);
        g_assert_true(ft_sender_cancel(p->tx.sender));
        read_frame(p, FT_CMD_CANCEL);
        g_assert_cmpuint(p->h.id, ==, old);
        if (round) {
            put_nack(p, old, FT_TRANS_ERR_CHECKSUM, "too late");
        }
        transact(p, 1, FALSE);
        if (!round) {
            put_nack(p, old, FT_TRANS_ERR_CHECKSUM, "later still");
        }
        g_assert_false(ft_sender_cancel(p->tx.sender));
        if (!round) {
            put_nack(p, p->tx.id, FT_TRANS_ERR_FLUSH, "this one");
            e = tx_expect(&p->tx, FT_EVENT_NACK);
            g_assert_cmpuint(e->id, ==, p->tx.id);
            g_assert_cmpuint(e->note.n_good, ==, 2);
            g_assert_cmpstr(e->note.text, ==, "this one");
        }
    }
    put_ack(p, p->tx.id, 1);
    event_free(tx_expect(&p->tx, FT_EVENT_ACK));
    tx_expect_none(&p->tx);
    peer_free(p);
}

/* After a NACK the rest is dropped, and does not count as too late. */
static void test_rest_dropped(void)
{
    Peer *p = peer_new(0, 0);
    g_autoptr(Event) e = NULL;

    tx_begin(&p->tx, 1, 0);
    read_frame(p, FT_CMD_BEGIN);
    put_nack(p, p->tx.id, FT_TRANS_ERR_CHECKSUM, "no");
    e = tx_expect(&p->tx, FT_EVENT_NACK);
    ft_sender_hold(p->tx.sender);
    tx_state(&p->tx, STATE, strlen(STATE));
    ft_sender_commit(p->tx.sender, 0);
    tx_begin(&p->tx, 1, 0);
    ft_sender_unhold(p->tx.sender);
    read_frame(p, FT_CMD_BEGIN);
    g_assert_cmpuint(p->h.id, ==, p->tx.id);
    g_assert_true(ft_sender_cancel(p->tx.sender));
    read_frame(p, FT_CMD_CANCEL);
    peer_free(p);
}

/* A hold that finds no buffer free would never see one come back. */
static void test_hold_without_buffers(void)
{
    Peer *p = peer_new(0, 0);
    FtBuf *all[4];

    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        all[i] = tx_buf(&p->tx);
    }
    g_assert_true(ft_pool_is_empty(p->tx.pool));
    ft_sender_hold(p->tx.sender);
    tx_begin(&p->tx, 1, 0);
    read_frame(p, FT_CMD_BEGIN);
    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        ft_pool_put(p->tx.pool, all[i]);
    }
    peer_free(p);
}

static void test_begun_early(gconstpointer data)
{
    Peer *p = peer_new(0, 0);

    transact(p, 1, TRUE);
    if (GPOINTER_TO_INT(data)) {
        ft_sender_hold(p->tx.sender);
    }
    tx_begin(&p->tx, 2, 0);
    tx_state(&p->tx, STATE, strlen(STATE));
    ft_sender_commit(p->tx.sender, 0);
    ft_sender_unhold(p->tx.sender);
    expect_lost(p, "before the last was answered");
    peer_free(p);
}

/*
 * A peer that reads nothing: the engine runs out of buffers, is told when
 * they come back, and at no time waits in a call.
 */
static void test_stall(void)
{
    Peer *p = peer_new(300000, 0);
    gint64 slowest = 0;
    struct pollfd wake = {.fd = p->tx.wake, .events = POLLIN};
    guint64 woken = 0;
    guint n = 0;
    FtBuf *b;

    tx_begin(&p->tx, 1, 0);
    while ((b = ft_pool_get(p->tx.pool))) {
        gint64 start = g_get_monotonic_time();

        b->n_runs = 1;
        b->runs[0] = (FtRun){.page = 0, .n_pages = 128};
        b->len = FT_CHUNK_DATA;
        memset(b->data, 1, b->len);
        ft_sender_chunk(p->tx.sender, b);
        slowest = MAX(slowest, g_get_monotonic_time() - start);
        g_assert_cmpuint(++n, <=, 8);
    }
    g_assert_cmpint(slowest, <, 200000);
    g_assert_false(
        ft_pool_wait(p->tx.pool, g_get_monotonic_time() + 20000));
    g_assert_true(ft_pool_is_empty(p->tx.pool));
    expect_lost(p, "did not read");
    g_assert_true(
        ft_pool_wait(p->tx.pool, g_get_monotonic_time() + G_USEC_PER_SEC));
    /* The engine is woken when half of them are back. */
    g_assert_cmpint(poll(&wake, 1, 1000), ==, 1);
    g_assert_cmpint(read(p->tx.wake, &woken, sizeof(woken)), ==,
                    sizeof(woken));

    /* What is queued after the end comes back at once. */
    for (guint i = 0; i < 20; i++) {
        tx_pages(&p->tx, 0, 1, p->payload);
    }
    g_assert_cmpuint(n, ==, 4);
    peer_free(p);
}

/* Freed while a write is stuck and the queue is full: at once. */
static void test_free(void)
{
    Peer *p = peer_new(0, 4 << 20);
    gint64 start;

    tx_begin(&p->tx, 1, 0);
    for (guint i = 0; i < 6; i++) {
        FtBuf *b = tx_buf(&p->tx);

        buf_add(b, 0, 128, p->payload);
        ft_sender_chunk(p->tx.sender, b);
    }
    start = g_get_monotonic_time();
    /* Ending waits no longer than it may. */
    ft_sender_end(p->tx.sender, FT_CANCEL_REQUEST, "", 100000);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 2 * G_USEC_PER_SEC);
    tx_stop(&p->tx);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 3 * G_USEC_PER_SEC);
    tx_expect_none(&p->tx);
    peer_free(p);
}

static void test_no_answer(void)
{
    Peer *p = peer_new(200000, 0);

    transact(p, 1, TRUE);
    expect_lost(p, "did not answer COMMIT");
    peer_free(p);
}

/* Every bit of an answer flipped: never taken for an ACK or another NACK. */
static void test_flipped_answers(void)
{
    g_autoptr(GByteArray) ack = g_byte_array_new();
    g_autoptr(GByteArray) nack = g_byte_array_new();
    FtNote note = {.code = FT_TRANS_ERR_FLUSH, .n_good = 1, .text = "no"};

    frame_ack(ack, 1, &(FtAck){.epoch = 1});
    frame_note(nack, FT_CMD_NACK, 1, 0, &note);
    for (guint round = 0; round < 2; round++) {
        GByteArray *frame = round ? nack : ack;

        for (guint bit = 0; bit < frame->len * 8; bit++) {
            Peer *p = peer_new(0, 0);

            transact(p, 1, TRUE);
            frame->data[bit / 8] ^= (guint8)(1 << bit % 8);
            answer(p, frame);
            frame->data[bit / 8] ^= (guint8)(1 << bit % 8);
            shutdown(p->fd, SHUT_WR);
            expect_lost(p, "");
            peer_free(p);
        }
    }
}

static void lost_after(const void *bytes, gsize len, const char *why)
{
    Peer *p = peer_new(0, 0);

    transact(p, 1, TRUE);
    g_assert_cmpint(write(p->fd, bytes, len), ==, len);
    shutdown(p->fd, SHUT_WR);
    expect_lost(p, why);
    peer_free(p);
}

static void test_bad_answers(void)
{
    g_autoptr(GByteArray) f = g_byte_array_new();
    FtHeader big = {.cmd = FT_CMD_CONTINUE, .payload_len = FT_MAX_CHUNK};
    FtNote unread = {.code = FT_TRANS_ERR_RECV_HDR, .text = "what?"};
    guint8 raw[FT_HEADER_LEN];

    lost_after("", 0, "closed the ft stream");
    lost_after("GET / HTTP/1.1\r\n\r\n", 18, "not valid");
    ft_header_put(&big, raw);
    lost_after(raw, sizeof(raw), "too long for an answer");
    big.payload_len = G_MAXUINT32;
    ft_header_put(&big, raw);
    lost_after(raw, sizeof(raw), "larger than its command allows");

    frame_ack(f, 1, &(FtAck){.epoch = 1});
    lost_after(f->data, f->len - 1, "closed the ft stream");
    g_byte_array_set_size(f, 0);
    frame_ack(f, 1, &(FtAck){.epoch = 2});
    lost_after(f->data, f->len, "ACK of another epoch");
    g_byte_array_set_size(f, 0);
    frame_ack(f, 2, &(FtAck){.epoch = 1});
    lost_after(f->data, f->len, "ACK of another epoch");
    g_byte_array_set_size(f, 0);
    frame_begin(f, 1, &(FtBegin){.epoch = 1});
    lost_after(f->data, f->len, "BEGIN frame that is not valid");
    g_byte_array_set_size(f, 0);
    frame_note(f, FT_CMD_NACK, 9, 0, &unread);
    lost_after(f->data, f->len, "could not read the ft stream (what?)");
}

/* An ACK that nobody waits for. */
static void test_second_ack(void)
{
    Peer *p = peer_new(0, 0);

    transact(p, 1, TRUE);
    put_ack(p, 1, 1);
    event_free(tx_expect(&p->tx, FT_EVENT_ACK));
    put_ack(p, 1, 1);
    expect_lost(p, "not expected now");
    peer_free(p);
}

/* A peer's last words count, also when writing to it failed first. */
static void test_last_words(void)
{
    for (guint round = 0; round < 50; round++) {
        g_autoptr(GByteArray) frame = g_byte_array_new();
        FtNote note = {.code = FT_CANCEL_VM_DIED, .text = "QEMU is gone"};
        g_autoptr(Event) e = NULL;
        int fds[2];
        Peer *p;

        (round % 2 ? tcp_pair : unix_pair)(fds);
        p = peer_new_on(fds, 0, 0);
        tx_begin(&p->tx, 1, 0);
        frame_note(frame, FT_CMD_CANCEL, 0, 0, &note);
        answer(p, frame);
        close(p->fd); /* with BEGIN unread */
        p->fd = -1;
        for (guint i = 0; i < 3; i++) {
            tx_pages(&p->tx, 0, 1, p->payload);
        }
        e = tx_expect(&p->tx, FT_EVENT_CANCEL);
        g_assert_cmpstr(e->note.text, ==, "QEMU is gone");
        tx_expect_none(&p->tx);
        peer_free(p);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/sender/atomic", test_atomic);
    g_test_add_func("/ft/sender/crossing", test_crossing);
    g_test_add_func("/ft/sender/rest-dropped", test_rest_dropped);
    g_test_add_func("/ft/sender/hold-without-buffers",
                    test_hold_without_buffers);
    g_test_add_data_func("/ft/sender/begun-early/frames",
                         GINT_TO_POINTER(FALSE), test_begun_early);
    g_test_add_data_func("/ft/sender/begun-early/atomic",
                         GINT_TO_POINTER(TRUE), test_begun_early);
    g_test_add_func("/ft/sender/stall", test_stall);
    g_test_add_func("/ft/sender/free", test_free);
    g_test_add_func("/ft/sender/no-answer", test_no_answer);
    g_test_add_func("/ft/sender/flipped-answers", test_flipped_answers);
    g_test_add_func("/ft/sender/bad-answers", test_bad_answers);
    g_test_add_func("/ft/sender/second-ack", test_second_ack);
    g_test_add_func("/ft/sender/last-words", test_last_words);
    return g_test_run();
}
