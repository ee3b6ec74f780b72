/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of segments, sent on the bridge.  See partial.h. */
#include "netcompare/proxy/partial.h"
#include "netcompare/capture/tap.h"
#include "netcompare/packet/checksum.h"

#include <netinet/in.h>
#include <string.h>

enum {
    PEERS = 1024, /* a power of two */
    ETHER_LEN = 14,
    TAG_LEN = 4,
    TYPE_AT = 12,
    TYPE_VLAN = 0x8100,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    IPV4_LEN_AT = 2,
    IPV4_ID_AT = 4,
    IPV4_SUM_AT = 10,
    IPV6_LEN_AT = 4,
    IPV6_HEAD = 40,
    TCP_SEQ_AT = 4,
    TCP_FLAGS_AT = 13,
    TCP_WINDOW_AT = 14,
    TCP_SUM_AT = 16,
};

#define NO_FRAMES "less 1"

typedef struct Peer {
    guint8 address[16]; /* IPv4: the first four bytes */
    guint8 head[ETHER_LEN + TAG_LEN]; /* of a frame to it */
    guint8 head_len;    /* 0: nobody */
} Peer;

struct Partial {
    NetTap *tap;
    Peer peers[PEERS];
    guint8 frame[NET_TAP_MAX_FRAME];
};

Partial *partial_new(const char *bridge, GError **error)
{
    Partial *p = g_new0(Partial, 1);

    p->tap = net_tap_open(bridge, NET_TAP_INCOMING, NO_FRAMES, 0, error);
    if (!p->tap) {
        g_clear_pointer(&p, g_free);
    }
    return p;
}

void partial_free(Partial *p)
{
    if (p) {
        net_tap_close(p->tap);
        g_free(p);
    }
}

/* The last four bytes tell neighbours apart, in both versions of IP. */
static Peer *slot(Partial *p, const guint8 *address, gsize len)
{
    guint32 x = net_get32(address + len - 4) * 0x9e3779b1u;

    return &p->peers[x >> 22];
}

void partial_learn(Partial *p, const guint8 *frame, gsize len)
{
    gsize head = ETHER_LEN, address_len = 4;
    const guint8 *address;
    guint16 type;
    Peer *peer;

    if (len < ETHER_LEN + TAG_LEN) {
        return;
    }
    type = net_get16(frame + TYPE_AT);
    if (type == TYPE_VLAN) {
        head += TAG_LEN;
        type = net_get16(frame + TYPE_AT + TAG_LEN);
    }
    if (len < head + IPV6_HEAD ||
        (type != TYPE_IPV4 && type != TYPE_IPV6)) {
        return;
    }
    address = frame + head + 12; /* IPv4's source */
    if (type == TYPE_IPV6) {
        address = frame + head + 8;
        address_len = 16;
    }
    peer = slot(p, address, address_len);
    if (peer->head_len == head && !memcmp(peer->head, frame + 6, 6) &&
        !memcmp(peer->head + 6, frame, 6) &&
        !memcmp(peer->address, address, address_len)) {
        return; /* as the one before */
    }
    memset(peer, 0, sizeof(*peer));
    memcpy(peer->address, address, address_len);
    memcpy(peer->head, frame + 6, 6);
    memcpy(peer->head + 6, frame, 6);
    memcpy(peer->head + TYPE_AT, frame + TYPE_AT, head - TYPE_AT);
    peer->head_len = (guint8)head;
}

/* TCP's checksum of the addresses, protocol and length alone, as the card
 * wants to find it.
 */
static guint16 pseudo_sum(const NetPacket *p, guint32 tcp_len)
{
    gsize address = p->key.ethertype == TYPE_IPV4 ? 4 : 16;
    guint8 rest[8] = {0};
    guint64 sum;

    net_put32(rest, tcp_len);
    rest[7] = IPPROTO_TCP;
    sum = net_sum(p->key.src, address, 0);
    sum = net_sum(p->key.dst, address, sum);
    return (guint16)~net_sum_fold(net_sum(rest, sizeof(rest), sum));
}

gboolean partial_send(Partial *p, const NetPacket *segment, guint32 at,
                      guint32 len, guint16 window, guint mss)
{
    gboolean v4 = segment->key.ethertype == TYPE_IPV4;
    const Peer *peer = slot(p, segment->key.dst, v4 ? 4 : 16);
    guint32 size = segment->payload + len;
    struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
    guint8 *packet, *tcp;

    if (!peer->head_len ||
        net_get16(peer->head + peer->head_len - 2) != segment->key.ethertype ||
        memcmp(peer->address, segment->key.dst, v4 ? 4 : 16) ||
        peer->head_len + size > sizeof(p->frame)) {
        return FALSE;
    }
    memcpy(p->frame, peer->head, peer->head_len);
    packet = p->frame + peer->head_len;
    memcpy(packet, segment->data, segment->payload);
    memcpy(packet + segment->payload, segment->data + segment->payload + at,
           len);
    tcp = packet + segment->l4;
    if (v4) {
        /* As if the card had cut the whole one. */
        net_put16(packet + IPV4_ID_AT,
                  (guint16)(net_get16(packet + IPV4_ID_AT) + at / mss));
        net_put16(packet + IPV4_LEN_AT, (guint16)size);
        net_put16(packet + IPV4_SUM_AT, 0);
        net_put16(packet + IPV4_SUM_AT,
                  net_sum_fold(net_sum(packet, segment->l4, 0)));
    } else {
        net_put16(packet + IPV6_LEN_AT, (guint16)(size - IPV6_HEAD));
    }
    net_put32(tcp + TCP_SEQ_AT, segment->seq + at);
    if (at + len < segment->payload_len) {
        tcp[TCP_FLAGS_AT] &= (guint8) ~(NET_TCP_FIN | NET_TCP_PSH);
    }
    net_put16(tcp + TCP_WINDOW_AT, window);
    net_put16(tcp + TCP_SUM_AT, pseudo_sum(segment, size - segment->l4));

    vnet.csum_start = (guint16)(peer->head_len + segment->l4);
    vnet.csum_offset = TCP_SUM_AT;
    vnet.hdr_len = (guint16)(peer->head_len + segment->payload);
    if (len > mss) {
        vnet.gso_type =
            v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
        vnet.gso_size = (guint16)mss;
    }
    return net_tap_send(p->tap, &vnet, p->frame, peer->head_len + size, NULL);
}
