/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes into a real sender comes out of a real receiver. */
#include "pair.h"

#include <string.h>
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
    ft_sender_commit(p->tx.sender);
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
    tx_begin(&p.tx, 2, 0);
    tx_pages(&p.tx, 700, 3, p.ram + 700 * COLO_PAGE_SIZE);
    tx_state(&p.tx, p.state, sizeof(p.state));
    ft_sender_commit(p.tx.sender);
    expect_commit(&p, 2);
    g_assert_cmpuint(colo_bitmap_count(p.hold->staged), ==, 3);
    if (s->coding != FT_CODING_NONE) {
        g_assert_cmpuint(ft_sender_bytes(p.tx.sender), <,
                         PAGES * COLO_PAGE_SIZE);
    }
    pair_clear(&p);
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
    return g_test_run();
}
