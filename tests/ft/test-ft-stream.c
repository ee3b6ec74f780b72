/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes into a real sender comes out of a real receiver. */
#include "frames.h"
#include "pair.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGES 2048 /* 8 MiB */

typedef struct Setup {
    gboolean tcp;
    FtCoding coding;
    guint codings;      /* the receiver accepts; 0: all */
    gint64 stall_us;    /* both sides; 0: long */
    gsize pool_bytes;
} Setup;

/* The primary's RAM, and both ends. */
typedef struct Pair {
    guint8 *ram;
    guint8 state[3 * 1024];
    FtHold *hold;
    Rx rx;
    Tx tx;
} Pair;

static void pair_init(Pair *p, const Setup *s)
{
    int fds[2];

    memset(p, 0, sizeof(*p));
    p->ram = g_malloc(PAGES * COLO_PAGE_SIZE);
    fill_pages(p->ram, PAGES, 1);
    memset(p->ram + 100 * COLO_PAGE_SIZE, 0, 300 * COLO_PAGE_SIZE);
    memset(p->ram + 1000 * COLO_PAGE_SIZE, 'x', 300 * COLO_PAGE_SIZE);
    for (gsize i = 0; i < sizeof(p->state); i++) {
        p->state[i] = (guint8)(i / 7);
    }
    (s->tcp ? tcp_pair : unix_pair)(fds);
    p->hold = ft_hold_new(PAGES, PAIR_STATE_ROOM, NULL);
    g_assert_nonnull(p->hold);
    tx_init(&p->tx, s->pool_bytes);
    tx_start(&p->tx, fds[0], s->coding, s->stall_us);
    p->rx.stall_us = s->stall_us;
    rx_start(&p->rx, fds[1], p->hold, s->codings ? s->codings : ALL_CODINGS);
}

static void pair_clear(Pair *p)
{
    tx_clear(&p->tx);
    rx_clear(&p->rx);
    ft_hold_free(p->hold);
    g_free(p->ram);
}

static gboolean is_zero(const guint8 *page)
{
    return !page[0] && !memcmp(page, page + 1, COLO_PAGE_SIZE - 1);
}

/* All of RAM and the device state as one transaction. */
static void send_all(Pair *p, guint64 epoch, guint32 flags)
{
    tx_begin(&p->tx, epoch, flags);
    for (guint64 page = 0; page < PAGES; page += 64) {
        FtBuf *b = tx_buf(&p->tx);

        for (guint64 at = page; at < page + 64; at++) {
            const guint8 *data = p->ram + at * COLO_PAGE_SIZE;
            buf_add(b, at, 1, is_zero(data) ? NULL : data);
        }
        ft_sender_chunk(p->tx.sender, b);
    }
    tx_state(&p->tx, p->state, sizeof(p->state));
    ft_sender_commit(p->tx.sender, 0);
}

static void expect_commit(Pair *p, guint64 epoch)
{
    g_autoptr(Event) e = tx_expect(&p->tx, FT_EVENT_ACK);

    g_assert_cmpuint(e->epoch, ==, epoch);
    g_assert_cmpuint(e->id, ==, p->tx.id);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_async_queue_pop(p->rx.committed)), ==,
                     epoch);
    g_assert_cmpuint(p->hold->epoch, ==, epoch);
    g_assert_true(!memcmp(p->hold->cache, p->ram, PAGES * COLO_PAGE_SIZE));
    g_assert_cmpmem(p->hold->state, p->hold->state_len, p->state,
                    sizeof(p->state));
}

static void test_full(gconstpointer data)
{
    const Setup *s = data;
    gint64 resumed;
    Pair p;

    if (!ft_coding_supported(s->coding)) {
        g_test_skip("this build is without that coding");
        return;
    }
    pair_init(&p, s);
    memset(p.hold->cache, 0xee, PAGES * COLO_PAGE_SIZE);
    send_all(&p, 1, FT_BEGIN_INIT);
    expect_commit(&p, 1);
    g_assert_cmpuint(colo_bitmap_count(p.hold->staged), ==, PAGES);
    g_assert_cmpuint(p.hold->committed_pages, ==, PAGES);
    fill_pages(p.ram + 700 * COLO_PAGE_SIZE, 3, 2);
    g_assert_cmpint(p.hold->resumed_us, ==, 0);
    resumed = g_get_monotonic_time() - 5000;
    tx_begin(&p.tx, 2, 0);
    tx_pages(&p.tx, 700, 3, p.ram + 700 * COLO_PAGE_SIZE);
    tx_state(&p.tx, p.state, sizeof(p.state));
    ft_sender_commit(p.tx.sender, resumed);
    expect_commit(&p, 2);
    /* Later by the time that the COMMIT was on its way. */
    g_assert_cmpint(p.hold->resumed_us, >=, resumed);
    g_assert_cmpint(p.hold->resumed_us, <=, g_get_monotonic_time() - 5000);
    g_assert_cmpuint(colo_bitmap_count(p.hold->staged), ==, 3);
    if (s->coding != FT_CODING_NONE) {
        g_assert_cmpuint(ft_sender_bytes(p.tx.sender), <,
                         PAGES * COLO_PAGE_SIZE);
    }
    pair_clear(&p);
}

/* One page and the device state, as one frame if held. */
static void send_small(Pair *p, guint64 epoch, guint32 flags, gboolean held)
{
    if (held) {
        ft_sender_hold(p->tx.sender);
    }
    tx_begin(&p->tx, epoch, flags);
    tx_pages(&p->tx, 7, 1, p->ram + 7 * COLO_PAGE_SIZE);
    tx_state(&p->tx, p->state, sizeof(p->state));
    ft_sender_commit(p->tx.sender, 0);
    if (held) {
        ft_sender_unhold(p->tx.sender);
    }
}

/* The id wraps; small transactions, ACKs, and no growth. */
static void test_wrap(void)
{
    static const Setup s = {0};
    Pair p;

    pair_init(&p, &s);
    p.tx.id = 0xffff - 300;
    for (guint64 epoch = 1; epoch <= 700; epoch++) {
        g_autoptr(Event) e = NULL;

        p.ram[7 * COLO_PAGE_SIZE] = (guint8)epoch;
        send_small(&p, epoch, 0, epoch % 3 != 0);
        e = tx_expect(&p.tx, FT_EVENT_ACK);
        g_assert_cmpuint(e->epoch, ==, epoch);
        g_assert_cmpuint(e->id, ==, p.tx.id);
    }
    g_assert_cmpuint(p.tx.id, ==, 399);
    g_assert_cmpuint(p.hold->epoch, ==, 700);
    pair_clear(&p);
}

/* What failed is inherited when the sender says so, and only then. */
static void test_inherit(void)
{
    static const Setup s = {0};
    gsize page = COLO_PAGE_SIZE;
    Pair p;

    pair_init(&p, &s);
    for (guint round = 0; round < 2; round++) {
        g_autoptr(Event) e = NULL;

        tx_begin(&p.tx, round + 1, 0);
        tx_pages(&p.tx, 20, 2, p.ram + 20 * page);
        tx_pages(&p.tx, 30, 1, p.ram + 30 * page);
        g_assert_true(ft_sender_cancel(p.tx.sender));
        send_small(&p, round + 1, round ? FT_BEGIN_INHERIT : 0, FALSE);
        e = tx_expect(&p.tx, FT_EVENT_ACK);
        g_assert_cmpuint(e->epoch, ==, round + 1);
        g_async_queue_pop(p.rx.committed);
        /* What was sent before the CANCEL is there or not, but not torn. */
        g_assert_true(colo_bitmap_test(p.hold->staged, 7));
        if (!round) {
            g_assert_cmpuint(colo_bitmap_count(p.hold->staged), ==, 1);
        } else if (colo_bitmap_test(p.hold->staged, 20)) {
            g_assert_true(colo_bitmap_test(p.hold->staged, 21));
            g_assert_true(!memcmp(p.hold->cache + 20 * page, p.ram + 20 * page,
                                  2 * page));
        }
    }
    pair_clear(&p);

    /* After a NACK what was right stays. */
    pair_init(&p, &s);
    for (guint round = 0; round < 2; round++) {
        g_autoptr(Event) nack = NULL;
        g_autoptr(Event) ack = NULL;

        g_atomic_int_set(&p.rx.refuse, TRUE);
        tx_begin(&p.tx, round + 1, 0);
        tx_pages(&p.tx, 20, 2, p.ram + 20 * page);
        tx_state(&p.tx, p.state, sizeof(p.state));
        ft_sender_commit(p.tx.sender, 0);
        nack = tx_expect(&p.tx, FT_EVENT_NACK);
        g_assert_cmpuint(nack->note.code, ==, FT_TRANS_ERR_FLUSH);
        g_assert_nonnull(strstr(nack->note.text, "no room to seal"));
        g_assert_cmpuint(nack->note.n_good, ==, 3);
        g_assert_cmpuint(p.hold->epoch, ==, round);
        g_assert_false(ft_hold_is_committed(p.hold));
        g_atomic_int_set(&p.rx.refuse, FALSE);
        send_small(&p, round + 1, round ? FT_BEGIN_INHERIT : 0, TRUE);
        ack = tx_expect(&p.tx, FT_EVENT_ACK);
        g_assert_cmpuint(colo_bitmap_count(p.hold->staged), ==,
                         round ? 3 : 1);
    }
    pair_clear(&p);
}

/* The engine has not taken the last commit: the next waits, unread. */
static void test_keep(void)
{
    static const Setup s = {0};
    g_autoptr(Event) first = NULL;
    g_autoptr(Event) second = NULL;
    Pair p;

    pair_init(&p, &s);
    p.rx.keep = TRUE;
    send_small(&p, 1, 0, TRUE);
    first = tx_expect(&p.tx, FT_EVENT_ACK);
    memset(p.ram + 7 * COLO_PAGE_SIZE, 'z', COLO_PAGE_SIZE);
    g_async_queue_pop(p.rx.committed);
    send_small(&p, 2, 0, FALSE);
    g_usleep(50000); /* long enough to fail if nothing held it back */
    g_assert_true(ft_hold_is_committed(p.hold));
    g_assert_cmpuint(p.hold->epoch, ==, 1);
    g_assert_cmpint(p.hold->cache[7 * COLO_PAGE_SIZE], !=, 'z');
    g_assert_cmpuint(p.hold->state_len, ==, sizeof(p.state));
    tx_expect_none(&p.tx);
    ft_hold_release(p.hold);
    second = tx_expect(&p.tx, FT_EVENT_ACK);
    g_assert_cmpuint(second->epoch, ==, 2);
    ft_hold_release(p.hold);
    pair_clear(&p);
}

/* The sender leaves; the receiver knows why, and nothing waits. */
static void test_sender_ends(gconstpointer data)
{
    Setup s = {.tcp = GPOINTER_TO_INT(data)};
    gint64 start;
    Pair p;

    pair_init(&p, &s);
    tx_begin(&p.tx, 1, 0);
    for (guint i = 0; i < 10; i++) {
        tx_pages(&p.tx, i * 64, 64, p.ram);
    }
    start = g_get_monotonic_time();
    ft_sender_end(p.tx.sender, FT_CANCEL_GUEST_SHUTDOWN, "power off",
                  10 * G_USEC_PER_SEC);
    rx_join(&p.rx);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
    g_assert_true(p.rx.ended);
    g_assert_cmpuint(p.rx.note.code, ==, FT_CANCEL_GUEST_SHUTDOWN);
    g_assert_cmpstr(p.rx.note.text, ==, "power off");
    tx_expect_none(&p.tx);
    pair_clear(&p);
}

/* The receiver leaves: between frames, and while it waits for the engine. */
static void test_receiver_cancels(gconstpointer data)
{
    Setup s = {.tcp = GPOINTER_TO_INT(data)};
    Pair p;

    for (guint round = 0; round < 3; round++) {
        g_autoptr(Event) e = NULL;

        pair_init(&p, &s);
        p.rx.keep = TRUE;
        if (round) {
            g_autoptr(Event) ack = NULL;

            send_small(&p, 1, 0, TRUE);
            ack = tx_expect(&p.tx, FT_EVENT_ACK);
            send_small(&p, 2, 0, round == 1); /* waits for the engine */
        }
        ft_receiver_cancel(p.rx.receiver, FT_CANCEL_VM_DIED, "QEMU is gone");
        e = tx_expect(&p.tx, FT_EVENT_CANCEL);
        g_assert_cmpuint(e->note.code, ==, FT_CANCEL_VM_DIED);
        g_assert_cmpstr(e->note.text, ==, "QEMU is gone");
        rx_join(&p.rx);
        g_assert_false(p.rx.ended);
        g_assert_error(p.rx.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        pair_clear(&p);
    }
}

/* The same in the middle of a frame. */
static void test_cancel_in_frame(void)
{
    FtHeader h = {.cmd = FT_CMD_BEGIN, .payload_len = FT_BEGIN_LEN};
    guint8 raw[FT_HEADER_LEN + FT_NOTE_LEN + FT_MAX_TEXT];
    FtHold *hold = ft_hold_new(8, 64, NULL);
    Rx rx = {0};
    FtNote note;
    int fds[2];

    unix_pair(fds);
    rx_start(&rx, fds[1], hold, 1);
    ft_header_put(&h, raw);
    g_assert_cmpint(write(fds[0], raw, FT_HEADER_LEN), ==, FT_HEADER_LEN);
    while (!ft_receiver_bytes(rx.receiver)) {
        g_usleep(100);
    }
    ft_receiver_cancel(rx.receiver, FT_CANCEL_REQUEST, "bye");
    rx_join(&rx);
    g_assert_cmpint(read(fds[0], raw, sizeof(raw)), ==,
                    FT_HEADER_LEN + FT_NOTE_LEN + 3);
    g_assert_null(ft_header_get(raw, &h));
    g_assert_cmpint(h.cmd, ==, FT_CMD_CANCEL);
    g_assert_null(ft_note_get(&h, raw + FT_HEADER_LEN, &note));
    g_assert_cmpstr(note.text, ==, "bye");
    rx_clear(&rx);
    close(fds[0]);
    ft_hold_free(hold);
}

/* A sender that stops in the middle of a frame; between frames it may. */
static void test_receiver_stall(void)
{
    static const Setup s = {.stall_us = 400000};
    FtHeader h = {.cmd = FT_CMD_BEGIN, .payload_len = FT_BEGIN_LEN};
    guint8 raw[FT_HEADER_LEN];
    FtHold *hold = ft_hold_new(8, 64, NULL);
    Rx rx = {.stall_us = 150000};
    g_autoptr(Event) e = NULL;
    int fds[2];
    Pair p;

    unix_pair(fds);
    rx_start(&rx, fds[1], hold, 1);
    ft_header_put(&h, raw);
    g_assert_cmpint(write(fds[0], raw, sizeof(raw)), ==, sizeof(raw));
    rx_join(&rx);
    g_assert_error(rx.error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    rx_clear(&rx);
    close(fds[0]);
    ft_hold_free(hold);

    pair_init(&p, &s);
    g_usleep(G_USEC_PER_SEC);
    send_small(&p, 1, 0, TRUE);
    e = tx_expect(&p.tx, FT_EVENT_ACK);
    pair_clear(&p);
}

/* Data that trickles is slow, not stalled. */
static void test_trickle(void)
{
    g_autofree guint8 *data = g_malloc0(FT_CHUNK_DATA);
    g_autoptr(GByteArray) in = g_byte_array_new();
    FtRun run = {.n_pages = FT_CHUNK_DATA / COLO_PAGE_SIZE};
    FtChunk c = {.type = FT_CHUNK_PAGES, .n_runs = 1};
    FtHold *hold = ft_hold_new(run.n_pages, 64, NULL);
    Rx rx = {.stall_us = G_USEC_PER_SEC}; /* however late we are woken */
    int fds[2];

    tcp_pair(fds);
    frame_begin(in, 1, &(FtBegin){.epoch = 1});
    frame_chunk(in, 1, 1, &c, &run, data, FT_CHUNK_DATA);
    rx_start(&rx, fds[1], hold, 1);
    for (guint i = 0; i < 15; i++) {
        g_assert_cmpint(
            send(fds[0], in->data + i * 1000, 1000, MSG_NOSIGNAL), ==, 1000);
        g_usleep(100 * 1000);
    }
    close(fds[0]);
    rx_join(&rx);
    g_assert_error(rx.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
    rx_clear(&rx);
    ft_hold_free(hold);
}

int main(int argc, char **argv)
{
    static const Setup unix_none = {.tcp = FALSE}, tcp_none = {.tcp = TRUE},
                       tcp_lz4 = {.tcp = TRUE, .coding = FT_CODING_LZ4},
                       unix_zstd = {.coding = FT_CODING_ZSTD};

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ft/stream/full/unix", &unix_none, test_full);
    g_test_add_data_func("/ft/stream/full/tcp", &tcp_none, test_full);
    g_test_add_data_func("/ft/stream/full/lz4", &tcp_lz4, test_full);
    g_test_add_data_func("/ft/stream/full/zstd", &unix_zstd, test_full);
    g_test_add_func("/ft/stream/id-wraps", test_wrap);
    g_test_add_func("/ft/stream/inherit", test_inherit);
    g_test_add_func("/ft/stream/waits-for-engine", test_keep);
    g_test_add_data_func("/ft/stream/sender-ends/unix",
                         GINT_TO_POINTER(FALSE), test_sender_ends);
    g_test_add_data_func("/ft/stream/sender-ends/tcp", GINT_TO_POINTER(TRUE),
                         test_sender_ends);
    g_test_add_data_func("/ft/stream/receiver-cancels/unix",
                         GINT_TO_POINTER(FALSE), test_receiver_cancels);
    g_test_add_data_func("/ft/stream/receiver-cancels/tcp",
                         GINT_TO_POINTER(TRUE), test_receiver_cancels);
    g_test_add_func("/ft/stream/receiver-cancels/in-frame",
                    test_cancel_in_frame);
    g_test_add_func("/ft/stream/receiver-stall", test_receiver_stall);
    g_test_add_func("/ft/stream/trickle", test_trickle);
    return g_test_run();
}
