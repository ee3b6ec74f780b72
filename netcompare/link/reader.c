/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the bytes of a connection to its messages, in place. */
#include "netcompare/link/reader.h"

#include <gio/gio.h>
#include <string.h>

/* With less room than this at the end of a buffer, another one is begun. */
enum { LITTLE = 128 * 1024 };

G_STATIC_ASSERT(NET_READER_BUF >=
                LITTLE + NET_WIRE_HEADER + 2 * (gsize)NET_WIRE_MAX);

void net_reader_init(NetReader *r, NetBufPool *pool, guint ifaces)
{
    memset(r, 0, sizeof(*r));
    r->pool = pool;
    r->ifaces = ifaces;
    r->need = NET_WIRE_HEADER;
}

void net_reader_clear(NetReader *r)
{
    g_clear_pointer(&r->buf, net_buf_unref);
    net_reader_init(r, r->pool, r->ifaces);
}

/* What is not handed out yet goes to the start of a buffer. */
static void move(NetReader *r)
{
    gsize part = r->fill - r->at;

    if (r->buf && r->buf->refs == 1) {
        memmove(r->buf->data, r->buf->data + r->at, part);
    } else {
        NetBuf *next = net_buf_get(r->pool);

        if (r->buf) {
            memcpy(next->data, r->buf->data + r->at, part);
            net_buf_unref(r->buf);
        }
        r->buf = next;
    }
    r->at = 0;
    r->fill = part;
}

guint8 *net_reader_space(NetReader *r, gsize *room)
{
    if (!r->buf || r->buf->size - r->at < r->need ||
        r->buf->size - r->fill < LITTLE ||
        (r->at == r->fill && r->buf->refs == 1)) {
        move(r);
    }
    /* Less than a whole message is left over: see the assertion above. */
    g_assert(r->fill < r->buf->size);
    *room = r->buf->size - r->fill;
    return r->buf->data + r->fill;
}

NetReaderResult net_reader_next(NetReader *r, NetWireHead *h,
                                const guint8 **data, NetBuf **buf,
                                GError **error)
{
    gsize have = r->fill - r->at;

    if (r->broken) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the stream of the other proxy is broken");
        return NET_READER_WRONG;
    }
    if (have < r->need) {
        return NET_READER_MORE;
    }
    if (!net_wire_get_head(r->buf->data + r->at, r->ifaces, h, error)) {
        r->broken = TRUE;
        return NET_READER_WRONG;
    }
    r->need = NET_WIRE_HEADER + h->len;
    if (have < r->need) {
        return NET_READER_MORE;
    }
    *data = r->buf->data + r->at + NET_WIRE_HEADER;
    *buf = r->buf;
    r->at += r->need;
    r->need = NET_WIRE_HEADER;
    return NET_READER_MESSAGE;
}
