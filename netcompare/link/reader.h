/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the bytes of a connection to its messages, which stay where they were
 * received: in counted buffers of NET_READER_BUF bytes.  A message that is
 * cut by the end of a buffer is moved to the start of the next one.  No
 * sockets here.
 */
#ifndef COLO_NET_READER_H
#define COLO_NET_READER_H

#include "netcompare/link/wire.h"
#include "netcompare/packet/buf.h"

#define NET_READER_BUF (1024 * 1024)

typedef struct NetReader {
    NetBufPool *pool;
    NetBuf *buf;    /* NULL before the first bytes */
    gsize at, fill; /* of buf: not handed out yet are [at, fill) */
    gsize need;     /* bytes from at on for the next message, as far as known */
    guint ifaces;
    gboolean broken;
} NetReader;

/* pool: of buffers of NET_READER_BUF bytes; outlives the reader. */
void net_reader_init(NetReader *r, NetBufPool *pool, guint ifaces);
void net_reader_clear(NetReader *r);

/*
 * Room for more bytes; *room, its size, is never 0.  To be called after
 * net_reader_next() found nothing.
 */
guint8 *net_reader_space(NetReader *r, gsize *room);
static inline void net_reader_fed(NetReader *r, gsize n)
{
    r->fill += n;
}

typedef enum {
    NET_READER_MORE, /* bytes are needed */
    NET_READER_MESSAGE,
    NET_READER_WRONG, /* error is set; nothing can be read any more */
} NetReaderResult;

/* The next message; *data lies in *buf, both are the reader's. */
NetReaderResult net_reader_next(NetReader *r, NetWireHead *h,
                                const guint8 **data, NetBuf **buf,
                                GError **error);

#endif
