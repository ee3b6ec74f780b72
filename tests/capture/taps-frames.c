/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames as a guest with offloads sends them. */
#include "config.h"

#include <string.h>

#include "tests/capture/taps.h"
#include "tests/packet/build.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

static GByteArray *pattern(guint len)
{
    GByteArray *a = build_zeros(len);

    for (guint i = 0; i < len; i++)
        a->data[i] = (guint8)(i * 7 + i / 251);
    return a;
}

static GByteArray *wrap(guint16 ethertype, guint8 proto, GByteArray *body)
{
    GByteArray *ip = ethertype == BUILD_IPV4 ? build_ipv4(proto, body)
                                             : build_ipv6(proto, body);

    build_checksums(ip, ethertype);
    return ip;
}

/* Only the sum over the pseudo header is where the checksum belongs. */
static void unfinish(TapFrame *f, guint16 check)
{
    const guint frame_len = f->bytes->len;
    NetPacket p;
    guint8 *ip;
    guint at, addrs, n;
    guint64 sum;

    net_packet_parse_frame(&p, f->bytes->data, frame_len, 0);
    ip = f->bytes->data + (p.data - f->bytes->data);
    at = (guint)(ip - f->bytes->data) + p.l4;
    n = p.key.ethertype == BUILD_IPV4 ? 8 : 32;
    addrs = p.key.ethertype == BUILD_IPV4 ? 12 : 8;
    sum = build_sum(ip + addrs, n) + p.key.proto + (p.len - p.l4);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    f->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    f->vnet.csum_start = (guint16)at;
    f->vnet.csum_offset = check;
    net_put16(f->bytes->data + at + check, (guint16)sum);
}

TapFrame taps_tcp_gso(guint16 ethertype, const char *tags, guint payload,
                      guint16 gso_size)
{
    TapFrame f = {.bytes = build_ether(
                      NULL, tags, ethertype,
                      wrap(ethertype, 6,
                           build_tcp(80, 4711, 1000, 2000, NET_TCP_ACK,
                                     "01 01 08 0a 00000001 00000002",
                                     pattern(payload))))};

    unfinish(&f, 16);
    f.vnet.gso_type = ethertype == BUILD_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4
                                              : VIRTIO_NET_HDR_GSO_TCPV6;
    f.vnet.gso_size = gso_size;
    f.vnet.hdr_len = f.vnet.csum_start + 32;
    return f;
}

TapFrame taps_udp_unfinished(guint16 ethertype, const char *tags,
                             guint payload)
{
    TapFrame f = taps_udp(NULL, tags, ethertype, payload);

    unfinish(&f, 6);
    return f;
}

TapFrame taps_udp_gso(guint16 ethertype, guint payload, guint16 gso_size)
{
    TapFrame f = taps_udp_unfinished(ethertype, NULL, payload);

    f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
    f.vnet.gso_size = gso_size;
    f.vnet.hdr_len = f.vnet.csum_start + 8;
    return f;
}

TapFrame taps_udp(const char *dst, const char *tags, guint16 ethertype,
                  guint payload)
{
    return (TapFrame){
        .bytes = build_ether(dst, tags, ethertype,
                             wrap(ethertype, 17,
                                  build_udp(1111, 2222, pattern(payload))))};
}

void taps_frame_clear(TapFrame *f)
{
    g_clear_pointer(&f->bytes, g_byte_array_unref);
}

void taps_assert_same(const TapFrame *a, const struct virtio_net_hdr *vnet,
                      const guint8 *data, gsize len)
{
    const guint8 needs = VIRTIO_NET_HDR_F_NEEDS_CSUM;

    g_assert_cmpmem(a->bytes->data, a->bytes->len, data, len);
    g_assert_cmpuint(a->vnet.flags & needs, ==, vnet->flags & needs);
    g_assert_cmpuint(a->vnet.gso_type, ==, vnet->gso_type);
    if (vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        g_assert_cmpuint(a->vnet.gso_size, ==, vnet->gso_size);
    if (vnet->flags & needs) {
        g_assert_cmpuint(a->vnet.csum_start, ==, vnet->csum_start);
        g_assert_cmpuint(a->vnet.csum_offset, ==, vnet->csum_offset);
    }
}
