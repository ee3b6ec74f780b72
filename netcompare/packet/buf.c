/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counted buffers, and pools of unused ones.  See buf.h. */
#include "netcompare/packet/buf.h"

#include <string.h>

struct NetBufPool {
    gsize size;
    guint max_spare;
    GPtrArray *spare;
    gsize in_use;    /* buffers that will come back */
    gboolean closed; /* freed when the last of them has */
};

/*
 * AMD's Zen 3, whose "rep movsb" the kernel copies with, takes ten times as
 * long when the destination lies 1 to 31 bytes further in its page than the
 * source in its own.  Frames' payloads begin with a page in the kernel, and
 * with us behind headers of 32 to HEADERS bytes: where those cross a page's
 * end, the payload might begin at such a place.
 */
enum { PAGE = 4096, HEADERS = 512 };

/* Bytes to leave out at p. */
static gsize skip_to_good(const guint8 *p)
{
    gsize at = (gsize)p % PAGE;

    return at > PAGE - HEADERS ? PAGE - at : 0;
}

/* Head and bytes in one block, not cleared: it is about to be read into. */
static NetBuf *buf_alloc(gsize size)
{
    gsize head = (sizeof(NetBuf) + 15) & ~(gsize)15;
    gsize more = size >= PAGE ? HEADERS : 0;
    NetBuf *b;

    g_assert(size <= G_MAXSSIZE - head - more);
    b = g_malloc(head + size + more);
    b->refs = 1;
    b->size = size;
    b->pool = NULL;
    b->data = (guint8 *)b + head;
    if (more) {
        b->data += skip_to_good(b->data);
    }
    return b;
}

NetBuf *net_buf_new(gsize size)
{
    return buf_alloc(size);
}

NetBufPool *net_buf_pool_new(gsize size, guint spare)
{
    NetBufPool *pool = g_new0(NetBufPool, 1);

    pool->size = size;
    pool->max_spare = spare;
    pool->spare = g_ptr_array_new_with_free_func(g_free);
    return pool;
}

static void pool_unlink(NetBufPool *pool)
{
    if (pool->closed && !pool->in_use) {
        g_ptr_array_unref(pool->spare);
        g_free(pool);
    }
}

void net_buf_pool_free(NetBufPool *pool)
{
    if (pool) {
        pool->closed = TRUE;
        pool_unlink(pool);
    }
}

NetBuf *net_buf_get(NetBufPool *pool)
{
    guint n = pool->spare->len;
    NetBuf *b;

    /* The last one put back: its bytes are still in the CPU's cache. */
    b = n ? g_ptr_array_steal_index_fast(pool->spare, n - 1)
          : buf_alloc(pool->size);
    b->refs = 1;
    b->pool = pool;
    pool->in_use++;
    return b;
}

NetBuf *net_buf_ref(NetBuf *b)
{
    g_assert(b->refs > 0 && b->refs < G_MAXUINT);
    b->refs++;
    return b;
}

void net_buf_unref(NetBuf *b)
{
    NetBufPool *pool;

    if (!b) {
        return;
    }
    g_assert(b->refs > 0);
    if (--b->refs) {
        return;
    }
    pool = b->pool;
    if (!pool) {
        g_free(b);
        return;
    }
    if (!pool->closed && pool->spare->len < pool->max_spare) {
        g_ptr_array_add(pool->spare, b);
    } else {
        g_free(b);
    }
    pool->in_use--;
    pool_unlink(pool);
}

NetBuf *net_buf_keep(NetBuf *b, const guint8 **data, gsize len)
{
    NetBuf *copy;

    /* Half: what is held is never more than twice what is counted. */
    if (b && len >= b->size / 2) {
        g_assert(*data >= b->data && len <= b->size &&
                 (gsize)(*data - b->data) <= b->size - len);
        return net_buf_ref(b);
    }
    copy = net_buf_new(len);
    if (len) {
        memcpy(copy->data, *data, len);
    }
    *data = copy->data;
    return copy;
}
