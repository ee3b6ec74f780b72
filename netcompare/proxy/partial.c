/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of segments, sent on the bridge.  See partial.h. */
#include "netcompare/proxy/partial.h"
#include "netcompare/capture/tap.h"
#include "netcompare/packet/checksum.h"
#include "netcompare/proxy/peers.h"

#include <netinet/in.h>
#include <string.h>

enum {
    TYPE_IPV4 = 0x0800,
    IP_MAX = 65535,
    IPV4_LEN_AT = 2,
    IPV4_ID_AT = 4,
    IPV4_SUM_AT = 10,
    IPV6_LEN_AT = 4,
    IPV6_HEAD = 40,
    TCP_SEQ_AT = 4,
    TCP_FLAGS_AT = 13,
    TCP_WINDOW_AT = 14,
    TCP_SUM_AT = 16,
    TCP_CWR = 0x80,
};

struct Partial {
    NetTap *tap; /* the bridge; NULL: nothing is sent */
    Peers *peers;
    guint8 mac[6]; /* of the bridge: of the host, or what is behind it */
    guint8 frame[NET_TAP_MAX_FRAME];
};

Partial *partial_new(const NetDev *tap, GError **error)
{
    Partial *p = g_new0(Partial, 1);

    memcpy(p->mac, tap->master_mac, sizeof(p->mac));
    if (!tap->master_filters_vlans) {
        p->tap =
            net_tap_open(tap->master_name, NET_TAP_NOTHING, NULL, 0, error);
        if (!p->tap) {
            g_free(p);
            return NULL;
        }
    }
    p->peers = peers_new();
    return p;
}

void partial_free(Partial *p)
{
    if (p) {
        net_tap_close(p->tap);
        peers_free(p->peers);
        g_free(p);
    }
}

void partial_learn(Partial *p, const guint8 *frame, gsize len, gint64 now_us)
{
    peers_learn(p->peers, frame, len, now_us);
}

void partial_whole(Partial *p)
{
    peers_void_trials(p->peers);
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

static void set_ip(const NetPacket *segment, guint8 *packet, guint32 size,
                   guint32 number)
{
    if (segment->key.ethertype != TYPE_IPV4) {
        net_put16(packet + IPV6_LEN_AT, (guint16)(size - IPV6_HEAD));
        return;
    }
    /* As if the card had cut the whole one. */
    net_put16(packet + IPV4_ID_AT,
              (guint16)(net_get16(packet + IPV4_ID_AT) + number));
    net_put16(packet + IPV4_LEN_AT, (guint16)size);
    net_put16(packet + IPV4_SUM_AT, 0);
    net_put16(packet + IPV4_SUM_AT,
              net_sum_fold(net_sum(packet, segment->l4, 0)));
}

static void set_tcp(const NetPacket *segment, guint8 *packet, guint32 at,
                    guint32 len, guint16 window)
{
    guint8 *tcp = packet + segment->l4;

    net_put32(tcp + TCP_SEQ_AT, segment->seq + at);
    if (at) {
        tcp[TCP_FLAGS_AT] &= (guint8)~TCP_CWR; /* said once (RFC 3168, 6.1.2) */
    }
    if (at + len < segment->payload_len) {
        tcp[TCP_FLAGS_AT] &= (guint8) ~(NET_TCP_FIN | NET_TCP_PSH);
    }
    net_put16(tcp + TCP_WINDOW_AT, window);
    net_put16(tcp + TCP_SUM_AT,
              pseudo_sum(segment, segment->payload + len - segment->l4));
}

/*
 * Extension headers may hold another destination than the one that is summed,
 * or sum the rest themselves.
 */
static gboolean can_be_cut(const NetPacket *s, guint32 at, guint32 len)
{
    return s->kind == NET_KIND_TCP && len && at <= s->payload_len &&
           len <= s->payload_len - at && len <= IP_MAX - s->payload &&
           (s->key.ethertype == TYPE_IPV4 || s->l4 == IPV6_HEAD) &&
           !(s->flags & (NET_TCP_SYN | NET_TCP_RST | NET_TCP_URG));
}

gboolean partial_send(Partial *p, const NetPacket *segment, guint32 at,
                      guint32 len, guint16 window, guint mss, gint64 now_us)
{
    struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
    guint32 size = segment->payload + len;
    const guint8 *head;
    guint8 *packet;
    gsize head_len;

    if (!p->tap || !mss || !can_be_cut(segment, at, len) ||
        !(head = peers_head(p->peers, segment, &head_len)) ||
        !memcmp(head, p->mac, sizeof(p->mac)) ||
        !peers_may_send(p->peers, segment, now_us)) {
        return FALSE;
    }
    memcpy(p->frame, head, head_len);
    packet = p->frame + head_len;
    memcpy(packet, segment->data, segment->payload);
    memcpy(packet + segment->payload, segment->data + segment->payload + at,
           len);
    set_ip(segment, packet, size, at / mss);
    set_tcp(segment, packet, at, len, window);

    vnet.csum_start = (guint16)(head_len + segment->l4);
    vnet.csum_offset = TCP_SUM_AT;
    vnet.hdr_len = (guint16)(head_len + segment->payload);
    if (len > mss) {
        vnet.gso_type = segment->key.ethertype == TYPE_IPV4
                            ? VIRTIO_NET_HDR_GSO_TCPV4
                            : VIRTIO_NET_HDR_GSO_TCPV6;
        vnet.gso_size = (guint16)mss;
        if (packet[segment->l4 + TCP_FLAGS_AT] & TCP_CWR) {
            vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
        }
    }
    if (!net_tap_send(p->tap, &vnet, p->frame, head_len + size, NULL)) {
        partial_whole(p); /* as the segment will leave now */
        return FALSE;
    }
    peers_sent(p->peers, segment, segment->seq + at + len, now_us);
    return TRUE;
}
