/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes in any pieces become the same messages; and the queue of the sender. */
#include "link-fixture.h"
#include "netcompare/link/queue.h"
#include "netcompare/link/reader.h"

#include <string.h>

enum { IFACES = 2 };

/* A stream of frames first to last, as frame_send() makes them. */
static GByteArray *stream_of(guint64 first, guint64 last, gsize max)
{
    GByteArray *s = g_byte_array_new();

    for (guint64 i = first; i <= last; i++) {
        NetWireHead h = {.len = (guint32)frame_len(i, max),
                         .type = NET_WIRE_FRAME,
                         .number = i};
        guint at = s->len;

        g_byte_array_set_size(s, at + NET_WIRE_HEADER + h.len);
        net_wire_put_head(s->data + at, &h);
        frame_fill(s->data + at + NET_WIRE_HEADER, i, h.len);
    }
    return s;
}

typedef struct Feed {
    NetReader r;
    guint64 next;
    guint hold;
    GQueue held;
} Feed;

static void check(const Held *h)
{
    g_autofree guint8 *expected = g_malloc(h->head.len);

    frame_fill(expected, h->head.number, h->head.len);
    g_assert_cmpmem(h->data, h->head.len, expected, h->head.len);
}

static void let_go(Feed *f, guint keep)
{
    while (g_queue_get_length(&f->held) > keep) {
        Held *h = g_queue_pop_head(&f->held);

        check(h);
        net_buf_unref(h->buf);
        g_free(h);
    }
}

static void take_all(Feed *f)
{
    g_autoptr(GError) error = NULL;
    Held h;

    while (net_reader_next(&f->r, &h.head, &h.data, &h.buf, &error) ==
           NET_READER_MESSAGE) {
        g_assert_cmpuint(h.head.number, ==, f->next);
        f->next++;
        check(&h);
        if (f->hold) {
            net_buf_ref(h.buf);
            g_queue_push_tail(&f->held, g_memdup2(&h, sizeof(h)));
            let_go(f, f->hold);
        }
    }
    g_assert_no_error(error);
}

static void feed(Feed *f, const guint8 *bytes, gsize n)
{
    while (n) {
        gsize room, now;
        guint8 *space = net_reader_space(&f->r, &room);

        g_assert_cmpuint(room, >, 0);
        now = MIN(room, n);
        memcpy(space, bytes, now);
        net_reader_fed(&f->r, now);
        bytes += now;
        n -= now;
        take_all(f);
    }
}

/* Each message cut at each byte. */
static void test_cuts(void)
{
    NetBufPool *pool = net_buf_pool_new(NET_READER_BUF, 2);
    g_autoptr(GByteArray) s = stream_of(1, 6, 300);

    for (guint cut = 0; cut <= s->len; cut++) {
        Feed f = {.next = 1, .hold = cut % 3};

        net_reader_init(&f.r, pool, IFACES);
        feed(&f, s->data, cut);
        feed(&f, s->data + cut, s->len - cut);
        g_assert_cmpuint(f.next, ==, 7);
        let_go(&f, 0);
        net_reader_clear(&f.r);
    }
    net_buf_pool_free(pool);
}

/* Many messages in random pieces, with some of the buffers kept. */
static void test_pieces(void)
{
    NetBufPool *pool = net_buf_pool_new(NET_READER_BUF, 2);
    g_autoptr(GByteArray) s = stream_of(1, 2000, NET_WIRE_MAX);
    static const guint most[] = {1, 17, 1000, 70000, 3000000};

    for (guint i = 0; i < G_N_ELEMENTS(most); i++) {
        Feed f = {.next = 1, .hold = i * 5};
        guint len = most[i] == 1 ? MIN(s->len, 400000) : s->len;

        net_reader_init(&f.r, pool, IFACES);
        for (guint at = 0; at < len;) {
            guint n = g_test_rand_int_range(1, most[i] + 1);

            n = MIN(n, len - at);
            feed(&f, s->data + at, n);
            at += n;
        }
        if (len == s->len) {
            g_assert_cmpuint(f.next, ==, 2001);
        }
        let_go(&f, 0);
        net_reader_clear(&f.r);
    }
    net_buf_pool_free(pool);
}

/* The longest message with the worst place in the buffer. */
static void test_longest(void)
{
    NetBufPool *pool = net_buf_pool_new(NET_READER_BUF, 2);
    NetWireHead h = {.len = NET_WIRE_MAX, .type = NET_WIRE_FRAME};
    gsize size = NET_WIRE_HEADER + NET_WIRE_MAX;
    g_autofree guint8 *bytes = g_malloc0(size);

    for (int hold = 0; hold < 2; hold++) {
        Feed f = {.next = 1, .hold = hold ? 30 : 0};

        net_reader_init(&f.r, pool, IFACES);
        for (h.number = 1; h.number <= 40; h.number++) {
            net_wire_put_head(bytes, &h);
            frame_fill(bytes + NET_WIRE_HEADER, h.number, h.len);
            feed(&f, bytes, size - h.number);
            feed(&f, bytes + size - h.number, h.number);
        }
        g_assert_cmpuint(f.next, ==, 41);
        let_go(&f, 0);
        net_reader_clear(&f.r);
    }
    net_buf_pool_free(pool);
}

/* Noise ends in an error that stays. */
static void test_noise(void)
{
    NetBufPool *pool = net_buf_pool_new(NET_READER_BUF, 2);
    guint wrong = 0;

    for (guint i = 0; i < 20000; i++) {
        g_autoptr(GError) error = NULL;
        NetReaderResult result;
        const guint8 *data;
        NetReader r;
        NetWireHead h;
        NetBuf *buf;
        gsize room;
        guint8 *space;

        net_reader_init(&r, pool, IFACES);
        space = net_reader_space(&r, &room);
        for (guint j = 0; j < 64; j++) {
            space[j] = g_test_rand_int();
        }
        if (i % 2) {
            space[1] = space[2] = space[3] = space[5] = space[6] = 0;
            space[4] %= NET_WIRE_N + 1;
        }
        net_reader_fed(&r, 64);
        do {
            result = net_reader_next(&r, &h, &data, &buf, &error);
        } while (result == NET_READER_MESSAGE);
        if (result == NET_READER_WRONG) {
            g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
            g_clear_error(&error);
            g_assert_cmpint(net_reader_next(&r, &h, &data, &buf, &error), ==,
                            NET_READER_WRONG);
            g_assert_nonnull(error);
            wrong++;
        }
        net_reader_clear(&r);
    }
    g_assert_cmpuint(wrong, >, 15000);
    net_buf_pool_free(pool);
}

/* The sender's queue: a stream in, the same one out. */
static void test_queue(void)
{
    g_autoptr(GByteArray) in = stream_of(1, 600, NET_WIRE_MAX);
    g_autoptr(GByteArray) out = g_byte_array_new();
    NetQueue q;
    guint at = 0;

    net_queue_init(&q);
    while (out->len < in->len) {
        guint add = g_test_rand_int_range(0, 700000);
        gsize skip = g_test_rand_int_range(0, 700000);
        struct iovec iov[3];
        guint n;

        add = MIN(add, in->len - at);
        net_queue_add(&q, in->data + at, add);
        at += add;
        n = net_queue_peek(&q, iov, 3);
        for (guint i = 0; i < n && skip; i++) {
            gsize take = MIN(iov[i].iov_len, skip);

            g_assert_cmpuint(iov[i].iov_len, >, 0);
            g_byte_array_append(out, iov[i].iov_base, take);
            net_queue_skip(&q, take);
            skip -= take;
        }
        g_assert_cmpuint(q.bytes, ==, at - out->len);
    }
    g_assert_cmpmem(in->data, in->len, out->data, out->len);
    g_assert_cmpuint(net_queue_peek(&q, &(struct iovec){0}, 1), ==, 0);
    net_queue_clear(&q);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/reader/cuts", test_cuts);
    g_test_add_func("/reader/pieces", test_pieces);
    g_test_add_func("/reader/longest", test_longest);
    g_test_add_func("/reader/noise", test_noise);
    g_test_add_func("/reader/queue", test_queue);
    return g_test_run();
}
