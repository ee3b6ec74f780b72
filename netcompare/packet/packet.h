/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One packet, parsed: who speaks to whom, and where its parts are.
 *
 * Theory of operation.  A packet begins at its network header: that is what
 * NFQUEUE hands out, and what is left of a frame when its Ethernet header and
 * VLAN tags are taken off (net_packet_parse_frame()).  The bytes stay the
 * caller's and are only pointed to.  Nothing in them is trusted: every offset
 * below is inside data[0..len), every length ends at or before len, whatever
 * the packet claims.  Sources: RFC 791, 8200, 9293, 768, 792, 4443, 826.
 *
 * Sizes are bytes; numbers are in the host's order unless said otherwise.
 */
#ifndef COLO_NET_PACKET_H
#define COLO_NET_PACKET_H

#include <glib.h>

/*
 * A flow of packets in one direction.  Compared and hashed as bytes: made
 * only by net_packet_parse() or from zeroed memory.  IPv4 addresses are the
 * first four bytes.  Without ports (fragments, ICMP echo: the identifier is
 * sport, both ways) they are 0.  Not IP: all but vlan, ethertype and iface
 * are 0.
 */
typedef struct NetKey {
    guint8 src[16], dst[16]; /* as on the wire */
    guint16 sport, dport;    /* host's order */
    guint16 vlan;            /* id 1 to 4094; 0: untagged, or not known */
    guint16 ethertype;       /* 0x0800, 0x86dd, another's; 0: LLC */
    guint8 proto;            /* IP protocol; 0 if it is not IP */
    guint8 iface;            /* number of the protected interface */
    guint8 zero[2];
} NetKey;

guint net_key_hash(gconstpointer key);
gboolean net_key_equal(gconstpointer a, gconstpointer b);
/* The same flow seen from the other end. */
NetKey net_key_reverse(const NetKey *key);
/* "tcp 10.0.0.1:80 > 10.0.0.2:4711", "icmpv6 fe80::1 > ff02::1". */
char *net_key_format(const NetKey *key);

typedef enum {
    NET_KIND_TCP,
    NET_KIND_DATAGRAM, /* UDP, ICMP, ICMPv6, other IP protocols, other types */
    NET_KIND_FRAGMENT, /* of any of them; to be reassembled first */
    /*
     * What keeps the link itself going and is no answer to anybody: ARP,
     * neighbour and router discovery, IGMP, MLD, frames of 802.1D.  Not
     * compared: see docs/internals.md, "What is compared".
     */
    NET_KIND_LINK,
    NET_KIND_BAD,      /* cut short, or lengths that contradict each other */
} NetKind;

#define NET_TCP_FIN 0x01
#define NET_TCP_SYN 0x02
#define NET_TCP_RST 0x04
#define NET_TCP_PSH 0x08
#define NET_TCP_ACK 0x10
#define NET_TCP_URG 0x20

typedef struct NetPacket {
    const guint8 *data;     /* from the network header on */
    guint32 len;            /* Ethernet padding is cut off */
    NetKind kind;
    NetKey key;
    guint32 l4;             /* offset of the transport header */
    /*
     * What it carries, to the packet's end (with UDP: also what is behind
     * the datagram).  The transport header is data[l4..payload), of ICMP its
     * first 8 bytes; none of other protocols.
     */
    guint32 payload;
    guint32 payload_len;
    /* NET_KIND_FRAGMENT: offset and length are those of l4 on */
    guint32 fragment_id;
    guint32 fragment_at;    /* bytes from the start of the datagram */
    gboolean fragment_more;
    /* NET_KIND_TCP */
    guint32 seq, ack;
    guint16 window;         /* not scaled */
    guint16 urgent;
    guint8 flags;           /* NET_TCP_*; ECE and CWR may be set, too */
    guint32 options;        /* offset */
    guint32 options_len;
    gboolean has_ts;        /* RFC 7323 timestamps */
    guint32 tsval, tsecr;
    guint32 ts_at;          /* offset of tsval */
} NetPacket;

/*
 * vlan, iface: for the key.  Always fills p; returns its kind.  A packet of
 * kind NET_KIND_BAD has a key with what could be read.
 */
NetKind net_packet_parse(NetPacket *p, guint16 ethertype, const guint8 *data,
                         gsize len, guint16 vlan, guint8 iface);

/*
 * The same for an Ethernet frame, with up to two VLAN tags (the outer one
 * goes into the key).  p->data points behind them; p->data - frame is the
 * length of the Ethernet header.
 */
NetKind net_packet_parse_frame(NetPacket *p, const guint8 *frame, gsize len,
                               guint8 iface);

/*
 * The TCP header of the first fragment of a segment, which may be there to be
 * read and changed though the rest is elsewhere.  p: of kind
 * NET_KIND_FRAGMENT.  NET_KIND_TCP and head as for a whole segment (its
 * payload ends with the fragment), or NET_KIND_BAD: there is none.
 */
NetKind net_packet_parse_head(NetPacket *head, const NetPacket *p);

/* Every byte of a packet is reached through this; NULL: not all there. */
static inline const guint8 *net_packet_at(const NetPacket *p, gsize at, gsize n)
{
    return at <= p->len && n <= p->len - at ? p->data + at : NULL;
}

/* --- TCP options -------------------------------------------------------- */

#define NET_TCPOPT_MSS       2
#define NET_TCPOPT_WSCALE    3
#define NET_TCPOPT_SACK_OK   4
#define NET_TCPOPT_SACK      5
#define NET_TCPOPT_TIMESTAMP 8
#define NET_TCPOPT_MD5       19
#define NET_TCPOPT_AO        29

/*
 * The next option at *at (start with p->options); *at moves behind it.
 * Returns its kind and sets *body, *body_len (without kind and length), or
 * -1 at the end or where the rest makes no sense.  NOPs are skipped.
 */
int net_packet_next_option(const NetPacket *p, guint32 *at, guint32 *body,
                           guint32 *body_len);
/* Is there a TCP option of this kind? */
gboolean net_packet_has_option(const NetPacket *p, int kind);

/* --- Numbers ------------------------------------------------------------ */

/* Sequence numbers and timestamps wrap (RFC 9293, 3.4; RFC 7323, 5). */
static inline gboolean net_seq_lt(guint32 a, guint32 b)
{
    return (gint32)(a - b) < 0;
}

static inline gboolean net_seq_le(guint32 a, guint32 b)
{
    return (gint32)(a - b) <= 0;
}

/* Big-endian numbers at any address. */
static inline guint16 net_get16(const guint8 *p)
{
    return (guint16)(p[0] << 8 | p[1]);
}

static inline guint32 net_get32(const guint8 *p)
{
    return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 |
           p[3];
}

static inline void net_put16(guint8 *p, guint16 v)
{
    p[0] = (guint8)(v >> 8);
    p[1] = (guint8)v;
}

static inline void net_put32(guint8 *p, guint32 v)
{
    net_put16(p, (guint16)(v >> 16));
    net_put16(p + 2, (guint16)v);
}

#endif
