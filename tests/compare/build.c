/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See build.h. */
#include "build.h"

#include "netcompare/packet/checksum.h"

#include <netinet/in.h>
#include <string.h>

enum { GUEST_PORT = 80, CLIENT_PORT = 1024 };

gsize build_ip(guint8 *out, gboolean v6, guint8 proto, guint16 id,
               const guint8 *body, gsize len)
{
    static const guint8 guest6[16] = {0xfd, [15] = 1};
    static const guint8 client6[16] = {0xfd, [15] = 2};
    gsize header = v6 ? 40 : 20;
    NetPacket p;

    memset(out, 0, header);
    if (v6) {
        out[0] = 0x60;
        net_put16(out + 4, (guint16)len);
        out[6] = proto;
        out[7] = 64;
        memcpy(out + 8, guest6, 16);
        memcpy(out + 24, client6, 16);
    } else {
        out[0] = 0x45;
        net_put16(out + 2, (guint16)(header + len));
        net_put16(out + 4, id);
        out[8] = 64;
        out[9] = proto;
        net_put32(out + 12, 0x0a000001);
        net_put32(out + 16, 0x0a000002);
    }
    if (body) {
        memcpy(out + header, body, len);
    }
    build_parse(&p, out, header + len, v6);
    if (p.kind != NET_KIND_BAD) {
        net_checksum_fill(&p, out);
    }
    return header + len;
}

gsize build_segment(guint8 *out, const Segment *s)
{
    gsize header = s->v6 ? 40 : 20;
    guint8 *h = out + header;

    memset(h, 0, 20);
    net_put16(h, GUEST_PORT);
    net_put16(h + 2, (guint16)(CLIENT_PORT + s->flow));
    net_put32(h + 4, s->seq);
    net_put32(h + 8, s->ack);
    h[12] = (guint8)((20 + s->n_options) / 4 << 4);
    h[13] = s->flags;
    net_put16(h + 14, s->window);
    if (s->n_options) {
        memcpy(h + 20, s->options, s->n_options);
    }
    if (s->len) {
        memcpy(h + 20 + s->n_options, s->data, s->len);
    }
    return build_ip(out, s->v6, IPPROTO_TCP, s->ip_id, NULL,
                    20 + s->n_options + s->len);
}

gsize build_datagram(guint8 *out, gboolean v6, guint flow, guint16 id,
                     const guint8 *data, gsize len)
{
    guint8 *h = out + (v6 ? 40 : 20);

    memset(h, 0, 8);
    net_put16(h, GUEST_PORT);
    net_put16(h + 2, (guint16)(CLIENT_PORT + flow));
    net_put16(h + 4, (guint16)(8 + len));
    memcpy(h + 8, data, len);
    return build_ip(out, v6, IPPROTO_UDP, id, NULL, 8 + len);
}

gsize build_fragment(guint8 *out, const guint8 *whole, gsize whole_len,
                     gboolean v6, guint32 id, gsize at, gsize len)
{
    gsize header = v6 ? 40 : 20, total = whole_len - header;
    gboolean more = at + len < total;
    guint16 bits = (guint16)(v6 ? at | more : at / 8 | more << 13);

    memcpy(out, whole, header);
    if (v6) {
        out[6] = IPPROTO_FRAGMENT;
        memset(out + 40, 0, 8);
        out[40] = whole[6];
        net_put16(out + 42, bits);
        net_put32(out + 44, id);
        net_put16(out + 4, (guint16)(8 + len));
        memcpy(out + 48, whole + 40 + at, len);
        return 48 + len;
    }
    net_put16(out + 2, (guint16)(20 + len));
    net_put16(out + 4, (guint16)id);
    net_put16(out + 6, bits);
    memcpy(out + 20, whole + 20 + at, len);
    return 20 + len;
}

void build_parse(NetPacket *p, const guint8 *data, gsize len, gboolean v6)
{
    net_packet_parse(p, v6 ? 0x86dd : 0x0800, data, len, 0, 1);
}
