/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counted buffers; leaks and use after free are the sanitizers' to see. */
#include "netcompare/packet/buf.h"

#include <string.h>

enum { SIZE = 4096 };

static void test_counts(void)
{
    NetBuf *b = net_buf_new(SIZE);

    g_assert_cmpuint(b->size, ==, SIZE);
    memset(b->data, 1, b->size);
    g_assert_true(net_buf_ref(b) == b);
    g_assert_cmpuint(b->refs, ==, 2);
    net_buf_unref(b);
    g_assert_cmpuint(b->refs, ==, 1);
    net_buf_unref(b);
    net_buf_unref(NULL);
}

/* Used again, and no more of them kept than was said. */
static void test_pool(void)
{
    NetBufPool *pool = net_buf_pool_new(SIZE, 2);
    NetBuf *b[4], *again;

    for (guint i = 0; i < G_N_ELEMENTS(b); i++) {
        b[i] = net_buf_get(pool);
        g_assert_cmpuint(b[i]->size, ==, SIZE);
        memset(b[i]->data, (int)i, SIZE);
    }
    net_buf_unref(b[0]);
    again = net_buf_get(pool);
    g_assert_true(again == b[0]);
    g_assert_cmpuint(again->refs, ==, 1);
    for (guint i = 0; i < G_N_ELEMENTS(b); i++) {
        net_buf_unref(b[i]);
    }
    again = net_buf_get(pool); /* 0 and 1 were kept, 2 and 3 not */
    g_assert_true(again == b[1]);
    net_buf_unref(again);
    net_buf_pool_free(pool);
    net_buf_pool_free(NULL);
}

static void test_outlives_pool(void)
{
    NetBufPool *pool = net_buf_pool_new(SIZE, 2);
    NetBuf *a = net_buf_get(pool), *b = net_buf_get(pool);

    net_buf_unref(net_buf_get(pool));
    net_buf_pool_free(pool);
    memset(a->data, 1, SIZE);
    net_buf_unref(a);
    memset(b->data, 1, SIZE);
    net_buf_unref(b);
}

static void test_keep(void)
{
    g_autoptr(NetBuf) b = net_buf_new(SIZE);
    g_autoptr(NetBuf) large = NULL;
    g_autoptr(NetBuf) small = NULL;
    g_autoptr(NetBuf) alone = NULL;
    g_autoptr(NetBuf) empty = NULL;
    const guint8 *data = b->data + 10;

    memset(b->data, 7, b->size);
    large = net_buf_keep(b, &data, SIZE - 10);
    g_assert_true(large == b);
    g_assert_true(data == b->data + 10);
    g_assert_cmpuint(b->refs, ==, 2);

    small = net_buf_keep(b, &data, 100);
    g_assert_true(small != b);
    g_assert_true(data == small->data);
    g_assert_cmpuint(small->size, ==, 100);
    memset(b->data, 8, b->size);
    for (guint i = 0; i < 100; i++) {
        g_assert_cmpuint(data[i], ==, 7);
    }

    data = (const guint8 *)"bytes";
    alone = net_buf_keep(NULL, &data, 5);
    g_assert_cmpmem(data, 5, "bytes", 5);
    g_assert_true(data == alone->data);
    empty = net_buf_keep(NULL, &data, 0);
    g_assert_true(data == empty->data);
}

/* What is copied to 32 to 512 bytes behind the begin is 32 into its page. */
static void test_begin(void)
{
    enum { FRAME = 65536 + 16, BUFS = 300 };
    NetBufPool *pool = net_buf_pool_new(FRAME, 0);
    NetBuf *b[BUFS];

    for (guint i = 0; i < BUFS; i++) {
        b[i] = net_buf_get(pool);
        g_assert_cmpuint((gsize)b[i]->data % 4096, <=, 4096 - 512);
        b[i]->data[0] = b[i]->data[FRAME - 1] = 1;
    }
    for (guint i = 0; i < BUFS; i++) {
        net_buf_unref(b[i]);
    }
    net_buf_pool_free(pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/buf/counts", test_counts);
    g_test_add_func("/buf/pool", test_pool);
    g_test_add_func("/buf/outlives-pool", test_outlives_pool);
    g_test_add_func("/buf/keep", test_keep);
    g_test_add_func("/buf/begin", test_begin);
    return g_test_run();
}
