/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DIGEST: a segment's headers, and digests of what it carries. */
#include "netcompare/link/wire.h"
#include "colo/bytes.h"

#include <gio/gio.h>
#include <string.h>

enum { AT_LEN = 0, AT_PIECE = 4, AT_HEAD = 6, AT_HASH = 8, MAX_LEN = 65535 };

gsize net_wire_put_digest(guint8 out[NET_WIRE_DIGEST_MAX], const NetDigests *d,
                          const guint8 *head, gsize head_len)
{
    guint n = net_digest_count(d->len, d->piece);

    g_assert(n <= NET_DIGEST_MAX && head_len <= NET_WIRE_DIGEST_HEAD);
    le_put32(out + AT_LEN, d->len);
    le_put16(out + AT_PIECE, (guint16)d->piece);
    le_put16(out + AT_HEAD, (guint16)head_len);
    for (guint i = 0; i < n; i++) {
        le_put64(out + AT_HASH + 8 * i, d->hash[i]);
    }
    memcpy(out + AT_HASH + 8 * n, head, head_len);
    return AT_HASH + 8 * n + head_len;
}

static gboolean wrong(const char *what, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "a DIGEST between the proxies has %s", what);
    return FALSE;
}

gboolean net_wire_get_digest(const NetWireHead *h, const guint8 *in,
                             NetDigests *d, NetPacket *p, GError **error)
{
    guint16 head;
    guint n;

    if (h->len < NET_WIRE_DIGEST_MIN || h->len > NET_WIRE_DIGEST_MAX) {
        return wrong("a wrong length", error);
    }
    d->number = h->number;
    d->len = le_get32(in + AT_LEN);
    d->piece = le_get16(in + AT_PIECE);
    head = le_get16(in + AT_HEAD);
    if (!d->len || d->len > MAX_LEN || d->piece < NET_DIGEST_MIN_PIECE) {
        return wrong("pieces of a wrong size", error);
    }
    n = net_digest_count(d->len, d->piece);
    if (n > NET_DIGEST_MAX || head < NET_WIRE_DIGEST_LEAST ||
        head > NET_WIRE_DIGEST_HEAD || h->len != AT_HASH + 8 * n + head) {
        return wrong("a length that its fields contradict", error);
    }
    for (guint i = 0; i < n; i++) {
        d->hash[i] = le_get64(in + AT_HASH + 8 * i);
    }
    if (net_packet_parse_frame(p, in + AT_HASH + 8 * n, head, h->iface) !=
            NET_KIND_TCP ||
        p->payload_len || p->flags & (NET_TCP_SYN | NET_TCP_RST)) {
        return wrong("headers that are not those of a TCP segment", error);
    }
    return TRUE;
}
