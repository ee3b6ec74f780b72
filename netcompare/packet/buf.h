/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counted buffers for packets, so that one that has to wait is not copied.
 *
 * A buffer belongs to one thread; counting is not atomic.  Packets are read
 * from the kernel straight into a buffer of full size; whoever wants to keep
 * one takes a reference, or copies when little of the buffer is used (see
 * net_buf_keep()).
 */
#ifndef COLO_NET_BUF_H
#define COLO_NET_BUF_H

#include <glib.h>

typedef struct NetBufPool NetBufPool;

typedef struct NetBuf {
    guint refs;
    gsize size;         /* of data */
    NetBufPool *pool;   /* NULL: freed at the last unref */
    guint8 *data;
} NetBuf;

/*
 * size: of each buffer; spare: how many unused ones are kept.  Buffers in
 * use may outlive the pool.
 */
NetBufPool *net_buf_pool_new(gsize size, guint spare);
void net_buf_pool_free(NetBufPool *pool);
NetBuf *net_buf_get(NetBufPool *pool); /* never NULL */

NetBuf *net_buf_new(gsize size); /* of no pool */
NetBuf *net_buf_ref(NetBuf *b);
void net_buf_unref(NetBuf *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetBuf, net_buf_unref)

/*
 * Keep len bytes at *data, which lie in b: a reference to b when they fill a
 * good part of it, else a copy in a buffer of its own; *data then points
 * there.  b NULL: always a copy.
 */
NetBuf *net_buf_keep(NetBuf *b, const guint8 **data, gsize len);

#endif
