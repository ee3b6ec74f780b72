/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parses packets: Ethernet, IPv4, IPv6 and what they carry.  See packet.h.
 */
#include "netcompare/packet/packet.h"

#include <netinet/in.h>
#include <string.h>

enum {
    ETHER_HEADER = 14,
    ETHER_MIN_PAYLOAD = 46, /* shorter frames are padded to it */
    ETHER_MAX_LENGTH = 1500,
    ETHER_MAX_TAGS = 2,
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_RARP = 0x8035,
    TYPE_VLAN = 0x8100,
    TYPE_IPV6 = 0x86dd,
    TYPE_VLAN_SERVICE = 0x88a8,
    TYPE_LLDP = 0x88cc,
    TYPE_VLAN_OLD = 0x9100,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    IPV6_MAX_EXTENSIONS = 8,
    FRAGMENT_HEADER = 8,
    IP_MAX = 65535,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    ICMP_HEADER = 8, /* as a rule; ICMPv6 asks for 4 */
};

/* --- TCP ---------------------------------------------------------------- */

int net_packet_next_option(const NetPacket *p, guint32 *at, guint32 *body,
                           guint32 *body_len)
{
    guint32 end = p->options + p->options_len, len;
    const guint8 *o;

    while (*at < end && (o = net_packet_at(p, *at, 1))) {
        if (o[0] == 1) { /* no operation */
            ++*at;
            continue;
        }
        if (o[0] == 0 || end - *at < 2 || !(o = net_packet_at(p, *at, 2))) {
            break;
        }
        len = o[1];
        if (len < 2 || len > end - *at) {
            break;
        }
        *body = *at + 2;
        *body_len = len - 2;
        *at += len;
        return o[0];
    }
    *at = end;
    return -1;
}

gboolean net_packet_has_option(const NetPacket *p, int kind)
{
    guint32 at = p->options, body, body_len;
    int found;

    do {
        found = net_packet_next_option(p, &at, &body, &body_len);
    } while (found >= 0 && found != kind);
    return found >= 0;
}

static void find_timestamp(NetPacket *p)
{
    /* NOP, NOP, timestamp, 10: how nearly everybody writes it. */
    static const guint8 usual[] = {1, 1, NET_TCPOPT_TIMESTAMP, 10};
    guint32 at = p->options, body, body_len;
    const guint8 *o = net_packet_at(p, at, 12);
    int kind;

    if (o && p->options_len >= 12 && !memcmp(o, usual, sizeof(usual))) {
        body = at + 4;
    } else {
        do {
            kind = net_packet_next_option(p, &at, &body, &body_len);
            if (kind < 0) {
                return;
            }
        } while (kind != NET_TCPOPT_TIMESTAMP || body_len != 8);
        o = net_packet_at(p, body, 8);
        if (!o) {
            return;
        }
    }
    p->has_ts = TRUE;
    p->ts_at = body;
    p->tsval = net_get32(p->data + body);
    p->tsecr = net_get32(p->data + body + 4);
}

static NetKind parse_tcp(NetPacket *p)
{
    const guint8 *h = net_packet_at(p, p->l4, TCP_HEADER);
    guint32 size;

    if (!h) {
        return NET_KIND_BAD;
    }
    p->key.sport = net_get16(h);
    p->key.dport = net_get16(h + 2);
    size = (h[12] >> 4) * 4u;
    if (size < TCP_HEADER || !net_packet_at(p, p->l4, size)) {
        return NET_KIND_BAD;
    }
    p->seq = net_get32(h + 4);
    p->ack = net_get32(h + 8);
    p->flags = h[13];
    p->window = net_get16(h + 14);
    p->urgent = net_get16(h + 18);
    p->options = p->l4 + TCP_HEADER;
    p->options_len = size - TCP_HEADER;
    p->payload = p->l4 + size;
    p->payload_len = p->len - p->payload;
    if (p->options_len) {
        find_timestamp(p);
    }
    return NET_KIND_TCP;
}

/* --- Datagrams ---------------------------------------------------------- */

static NetKind parse_udp(NetPacket *p)
{
    const guint8 *h = net_packet_at(p, p->l4, UDP_HEADER);
    guint32 size;

    if (!h) {
        return NET_KIND_BAD;
    }
    p->key.sport = net_get16(h);
    p->key.dport = net_get16(h + 2);
    p->payload = p->l4 + UDP_HEADER;
    /* Up to the packet's end: what is behind the datagram leaves, too. */
    p->payload_len = p->len - p->payload;
    size = net_get16(h + 4);
    if (size == 0 && p->len > IP_MAX) {
        return NET_KIND_DATAGRAM; /* RFC 2675 */
    }
    if (size < UDP_HEADER || size > p->len - p->l4) {
        return NET_KIND_BAD;
    }
    return NET_KIND_DATAGRAM;
}

static gboolean icmp_has_id(guint8 proto, guint8 type)
{
    if (proto == IPPROTO_ICMPV6) {
        return type == 128 || type == 129; /* echo */
    }
    return type == 0 || type == 8 ||   /* echo */
           (type >= 13 && type <= 18); /* timestamp, info, address mask */
}

/* Listeners (MLD), routers and neighbours. */
static gboolean icmpv6_is_link(guint8 type)
{
    return (type >= 130 && type <= 137) || type == 143;
}

static NetKind parse_icmp(NetPacket *p)
{
    const guint8 *h = net_packet_at(p, p->l4, 4);
    guint32 size;

    if (!h) {
        return NET_KIND_BAD;
    }
    if (p->key.proto == IPPROTO_ICMPV6) {
        if (icmpv6_is_link(h[0])) {
            return NET_KIND_LINK;
        }
    } else if (!net_packet_at(p, p->l4, ICMP_HEADER)) {
        return NET_KIND_BAD;
    }
    size = MIN(p->len - p->l4, (guint32)ICMP_HEADER);
    p->payload = p->l4 + size;
    p->payload_len = p->len - p->payload;
    if (icmp_has_id(p->key.proto, h[0])) {
        if (size < ICMP_HEADER) {
            return NET_KIND_BAD;
        }
        p->key.sport = net_get16(h + 4);
    }
    return NET_KIND_DATAGRAM;
}

static NetKind parse_transport(NetPacket *p)
{
    p->payload = p->l4;
    p->payload_len = p->len - p->l4;
    switch (p->key.proto) {
    case IPPROTO_TCP:
        return parse_tcp(p);
    case IPPROTO_UDP:
        return parse_udp(p);
    case IPPROTO_ICMP:
        if (p->key.ethertype == TYPE_IPV4) {
            return parse_icmp(p);
        }
        return NET_KIND_DATAGRAM;
    case IPPROTO_ICMPV6:
        if (p->key.ethertype == TYPE_IPV6) {
            return parse_icmp(p);
        }
        return NET_KIND_DATAGRAM;
    case IPPROTO_IGMP:
        return NET_KIND_LINK;
    default:
        return NET_KIND_DATAGRAM;
    }
}

/* --- IP ----------------------------------------------------------------- */

NetKind net_packet_parse_head(NetPacket *head, const NetPacket *p)
{
    *head = *p;
    head->kind = p->kind == NET_KIND_FRAGMENT && p->fragment_at == 0 &&
                         p->key.proto == IPPROTO_TCP
                     ? parse_tcp(head)
                     : NET_KIND_BAD;
    return head->kind;
}

/* max: the longest that a whole datagram may be from l4 on. */
static NetKind parse_fragment(NetPacket *p, guint32 max)
{
    guint32 size = p->len - p->l4;

    p->payload = p->l4;
    p->payload_len = size;
    if (size == 0 || size > max || p->fragment_at > max - size ||
        (p->fragment_more && size % 8)) {
        return NET_KIND_BAD;
    }
    return NET_KIND_FRAGMENT;
}

static NetKind parse_ipv4(NetPacket *p)
{
    const guint8 *h = net_packet_at(p, 0, IPV4_HEADER);
    guint32 size, total;
    guint16 fragment;

    if (!h || h[0] >> 4 != 4) {
        return NET_KIND_BAD;
    }
    memcpy(p->key.src, h + 12, 4);
    memcpy(p->key.dst, h + 16, 4);
    p->key.proto = h[9];
    size = (h[0] & 15) * 4u;
    total = net_get16(h + 2);
    if (total == 0 && h[9] == IPPROTO_TCP && p->len > ETHER_MIN_PAYLOAD) {
        total = p->len; /* to be cut by the card; never padded */
    }
    if (size < IPV4_HEADER || total < size || total > p->len) {
        return NET_KIND_BAD;
    }
    p->len = total;
    p->l4 = size;
    fragment = net_get16(h + 6);
    if (fragment & 0x3fff) {
        p->fragment_id = net_get16(h + 4);
        p->fragment_at = (fragment & 0x1fff) * 8u;
        p->fragment_more = (fragment & 0x2000) != 0;
        return parse_fragment(p, IP_MAX - size);
    }
    return parse_transport(p);
}

static NetKind parse_ipv6_fragment(NetPacket *p, const guint8 *h)
{
    guint16 at = net_get16(h + 2);

    p->key.proto = h[0];
    p->fragment_id = net_get32(h + 4);
    p->fragment_at = at & 0xfff8;
    p->fragment_more = at & 1;
    return parse_fragment(p, IP_MAX);
}

/* Extension headers (RFC 8200, 4), from *p->l4 on; the first is of type next.
 */
static NetKind parse_extensions(NetPacket *p, guint8 next)
{
    const guint8 *h;
    gsize size;

    for (int n = 0; n <= IPV6_MAX_EXTENSIONS; n++) {
        p->key.proto = next;
        switch (next) {
        case IPPROTO_HOPOPTS:
        case IPPROTO_ROUTING:
        case IPPROTO_DSTOPTS:
            h = net_packet_at(p, p->l4, 8);
            size = h ? (h[1] + 1u) * 8 : 0;
            break;
        case IPPROTO_AH:
            h = net_packet_at(p, p->l4, 8);
            size = h ? (h[1] + 2u) * 4 : 0;
            break;
        case IPPROTO_FRAGMENT:
            h = net_packet_at(p, p->l4, FRAGMENT_HEADER);
            size = FRAGMENT_HEADER;
            if (h && net_get16(h + 2) & 0xfff9) {
                p->l4 += FRAGMENT_HEADER;
                return parse_ipv6_fragment(p, h);
            }
            break; /* the only one: not really a fragment (RFC 6946) */
        default:
            return parse_transport(p);
        }
        if (!h || !net_packet_at(p, p->l4, size)) {
            return NET_KIND_BAD;
        }
        p->l4 += (guint32)size;
        next = h[0];
    }
    return NET_KIND_BAD; /* nobody needs so many */
}

static NetKind parse_ipv6(NetPacket *p)
{
    const guint8 *h = net_packet_at(p, 0, IPV6_HEADER);
    guint32 size;

    if (!h || h[0] >> 4 != 6) {
        return NET_KIND_BAD;
    }
    memcpy(p->key.src, h + 8, 16);
    memcpy(p->key.dst, h + 24, 16);
    p->key.proto = h[6];
    size = net_get16(h + 4);
    if (size == 0 && (h[6] == IPPROTO_TCP || h[6] == IPPROTO_HOPOPTS) &&
        p->len > ETHER_MIN_PAYLOAD) {
        size = p->len - IPV6_HEADER; /* as for IPv4; or RFC 2675 */
    }
    if (size > p->len - IPV6_HEADER) {
        return NET_KIND_BAD;
    }
    p->len = IPV6_HEADER + size;
    p->l4 = IPV6_HEADER;
    return parse_extensions(p, h[6]);
}

/* --- The whole ---------------------------------------------------------- */

static NetKind parse(NetPacket *p)
{
    switch (p->key.ethertype) {
    case TYPE_IPV4:
        return parse_ipv4(p);
    case TYPE_IPV6:
        return parse_ipv6(p);
    case TYPE_ARP:
    case TYPE_RARP:
    case TYPE_LLDP:
        return NET_KIND_LINK;
    default:
        p->payload_len = p->len;
        return NET_KIND_DATAGRAM;
    }
}

static void init(NetPacket *p, const guint8 *data, gsize len, guint8 iface)
{
    memset(p, 0, sizeof(*p));
    p->data = data;
    p->len = (guint32)MIN(len, (gsize)G_MAXINT32);
    p->key.iface = iface;
}

NetKind net_packet_parse(NetPacket *p, guint16 ethertype, const guint8 *data,
                         gsize len, guint16 vlan, guint8 iface)
{
    init(p, data, len, iface);
    p->key.ethertype = ethertype;
    p->key.vlan = vlan;
    return p->kind = parse(p);
}

static gboolean is_tag(guint16 type)
{
    return type == TYPE_VLAN || type == TYPE_VLAN_SERVICE ||
           type == TYPE_VLAN_OLD;
}

/* Addresses that bridges keep to themselves (IEEE 802.1D, table 7-10). */
static gboolean is_bridge_group(const guint8 *mac)
{
    static const guint8 group[] = {0x01, 0x80, 0xc2, 0x00, 0x00};

    return !memcmp(mac, group, sizeof(group)) && mac[5] < 0x10;
}

NetKind net_packet_parse_frame(NetPacket *p, const guint8 *frame, gsize len,
                               guint8 iface)
{
    guint32 at = ETHER_HEADER;
    const guint8 *h, *tag;
    guint16 type;

    init(p, frame, len, iface);
    p->kind = NET_KIND_BAD;
    h = net_packet_at(p, 0, ETHER_HEADER);
    if (!h) {
        return p->kind;
    }
    type = net_get16(h + 12);
    for (int n = 0; n < ETHER_MAX_TAGS && is_tag(type); n++) {
        tag = net_packet_at(p, at, 4);
        if (!tag) {
            return p->kind;
        }
        if (n == 0) {
            p->key.vlan = net_get16(tag) & 0xfff;
        }
        type = net_get16(tag + 2);
        at += 4;
    }
    p->data += at;
    p->len -= at;
    if (p->key.vlan == 0xfff) { /* reserved */
        p->key.vlan = 0;
        return p->kind;
    }
    if (type <= ETHER_MAX_LENGTH) { /* IEEE 802.3: a length, then LLC */
        if (type > p->len) {
            return p->kind;
        }
        p->len = type;
        type = 0;
    }
    p->key.ethertype = type;
    return p->kind = is_bridge_group(h) ? NET_KIND_LINK : parse(p);
}
