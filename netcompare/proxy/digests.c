/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments said by digests.  See digests.h. */
#include "netcompare/proxy/digests.h"

#include <string.h>

enum {
    /* Bytes of a segment from which on its digest costs less than itself. */
    FROM = 4096,
    ETHERTYPE_V4 = 0x0800,
    V4_LENGTH_AT = 2,
    V6_LENGTH_AT = 4,
    V6_HEADER = 40,
};

/*
 * Both guests cut what they send where a packet on the wire would end, and
 * put some of those together: so are the pieces, that most of the segments of
 * the primary's guest end where one does.
 */
static guint32 piece_size(const NetFrame *frame, guint32 len)
{
    guint32 size = frame->vnet.gso_size;

    if (frame->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE || !size) {
        return len;
    }
    return size * (1 + (NET_DIGEST_MIN_PIECE - 1) / size);
}

/* Its headers, as if nothing came after them; 0: they are too long. */
static gsize headers(guint8 *out, const NetFrame *frame, const NetPacket *p)
{
    gsize ethernet = (gsize)(p->data - frame->data);
    gsize len = ethernet + p->payload;

    if (len > NET_WIRE_DIGEST_HEAD) {
        return 0;
    }
    memcpy(out, frame->data, len);
    if (p->key.ethertype == ETHERTYPE_V4) {
        net_put16(out + ethernet + V4_LENGTH_AT, (guint16)p->payload);
    } else {
        net_put16(out + ethernet + V6_LENGTH_AT,
                  (guint16)(p->payload - V6_HEADER));
    }
    return len;
}

gboolean digests_send(Standby *b, const NetFrame *frame, guint64 number,
                      gboolean *tried)
{
    ProxySecondary *s = b->proxy->secondary;
    guint8 head[NET_WIRE_DIGEST_HEAD], out[NET_WIRE_DIGEST_MAX];
    NetWireHead h = {.type = NET_WIRE_DIGEST,
                     .iface = (guint8)b->iface,
                     .number = number};
    struct iovec iov = {.iov_base = out};
    NetDigests d;
    NetPacket p;
    guint32 piece;
    gsize head_len;

    *tried = FALSE;
    if (!s->digests || frame->len < FROM ||
        net_packet_parse_frame(&p, frame->data, frame->len,
                               (guint8)b->iface) != NET_KIND_TCP ||
        p.payload_len < FROM || p.flags & (NET_TCP_SYN | NET_TCP_RST)) {
        return FALSE;
    }
    piece = piece_size(frame, p.payload_len);
    head_len = headers(head, frame, &p);
    if (!head_len || net_digest_count(p.payload_len, piece) > NET_DIGEST_MAX) {
        return FALSE;
    }
    net_digests_make(&d, number, s->secret, p.data + p.payload, p.payload_len,
                     piece);
    iov.iov_len = net_wire_put_digest(out, &d, head, head_len);
    h.len = (guint32)iov.iov_len;
    *tried = TRUE;
    if (!net_link_send(b->proxy->link, &h, &iov, 1)) {
        return FALSE;
    }
    recent_add(b->digested, frame, number, s->now);
    return TRUE;
}

void digests_done(Standby *b, const guint8 *numbers, gsize len)
{
    for (gsize at = 0; at < len; at += 8) {
        guint64 le;

        memcpy(&le, numbers + at, sizeof(le));
        recent_forget(b->digested, GUINT64_FROM_LE(le));
    }
}

void digests_fetch(Standby *b, guint64 number)
{
    Proxy *p = b->proxy;
    const NetFrame *frame = recent_find(b->digested, number);
    const NetWireHead gone = {.type = NET_WIRE_GONE,
                              .iface = (guint8)b->iface,
                              .number = number};

    b->fetched++;
    if (!frame ||
        !proxy_send_frame(p, NET_WIRE_CONTENT, b->iface, number, frame)) {
        b->gone++;
        proxy_send(p, &gone, NULL);
    }
}
