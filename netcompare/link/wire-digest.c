/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DIGEST: a segment's headers, and digests of what it carries. */
#include "netcompare/link/wire.h"

#include <endian.h>
#include <gio/gio.h>
#include <string.h>

enum { AT_LEN = 0, AT_PIECE = 4, AT_HEAD = 6, AT_HASH = 8, MAX_LEN = 65535 };

gsize net_wire_put_digest(guint8 out[NET_WIRE_DIGEST_MAX], const NetDigests *d,
                          const guint8 *head, gsize head_len)
{
    guint n = net_digest_count(d->len, d->piece);
    guint32 len = htole32(d->len);
    guint16 piece = htole16((guint16)d->piece);
    guint16 of_head = htole16((guint16)head_len);

    g_assert(n <= NET_DIGEST_MAX && head_len <= NET_WIRE_DIGEST_HEAD);
    memcpy(out + AT_LEN, &len, sizeof(len));
    memcpy(out + AT_PIECE, &piece, sizeof(piece));
    memcpy(out + AT_HEAD, &of_head, sizeof(of_head));
    for (guint i = 0; i < n; i++) {
        guint64 hash = htole64(d->hash[i]);

        memcpy(out + AT_HASH + 8 * i, &hash, sizeof(hash));
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
    guint32 len;
    guint16 piece, head;
    guint n;

    if (h->len < NET_WIRE_DIGEST_MIN || h->len > NET_WIRE_DIGEST_MAX) {
        return wrong("a wrong length", error);
    }
    memcpy(&len, in + AT_LEN, sizeof(len));
    memcpy(&piece, in + AT_PIECE, sizeof(piece));
    memcpy(&head, in + AT_HEAD, sizeof(head));
    d->number = h->number;
    d->len = le32toh(len);
    d->piece = le16toh(piece);
    head = le16toh(head);
    if (!d->len || d->len > MAX_LEN || d->piece < NET_DIGEST_MIN_PIECE) {
        return wrong("pieces of a wrong size", error);
    }
    n = net_digest_count(d->len, d->piece);
    if (n > NET_DIGEST_MAX || head < NET_WIRE_DIGEST_LEAST ||
        head > NET_WIRE_DIGEST_HEAD || h->len != AT_HASH + 8 * n + head) {
        return wrong("a length that its fields contradict", error);
    }
    for (guint i = 0; i < n; i++) {
        guint64 hash;

        memcpy(&hash, in + AT_HASH + 8 * i, sizeof(hash));
        d->hash[i] = le64toh(hash);
    }
    if (net_packet_parse_frame(p, in + AT_HASH + 8 * n, head, h->iface) !=
            NET_KIND_TCP ||
        p->payload_len || p->flags & (NET_TCP_SYN | NET_TCP_RST)) {
        return wrong("headers that are not those of a TCP segment", error);
    }
    return TRUE;
}
