/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between the two proxies: one ordered stream each way.
 *
 * A message is a header of 16 bytes, little-endian, and len bytes:
 *
 *   offset size field
 *   0      4    len      at most NET_WIRE_MAX
 *   4      1    type
 *   5      1    iface    number of the protected interface, else 0
 *   6      2    flags
 *   8      8    number   see each type
 *
 * Flags and numbers that have no meaning are 0.
 *
 * The peer is not trusted: lengths are checked before anything is read or
 * allocated; what makes no sense ends the connection with a sentence.
 */
#ifndef COLO_NET_WIRE_H
#define COLO_NET_WIRE_H

#include "netcompare/packet/digest.h"
#include "netcompare/packet/packet.h"

#define NET_WIRE_VERSION    1
#define NET_WIRE_HEADER     16
#define NET_WIRE_VNET       10 /* struct virtio_net_hdr, little-endian */
#define NET_WIRE_MAX        (128 * 1024)
#define NET_WIRE_MAX_IFACES 16
#define NET_WIRE_MAX_HELLO  (64 * 1024)
#define NET_WIRE_FRAME_MIN  (NET_WIRE_VNET + 14) /* an Ethernet header */

typedef enum {
    /*
     * First on every connection, both ways: a JSON object (NetHello), at
     * most 64 KiB.
     */
    NET_WIRE_HELLO = 1,
    /*
     * primary: a frame for the guest.  number: counts those of this
     * interface from 1.  secondary: one that its guest sent.  Payload: the
     * vnet header and the frame, VLAN tags in it.
     */
    NET_WIRE_FRAME,
    /*
     * primary: its guest stands still for checkpoint number.  flags
     * NET_WIRE_PERIODIC: of the mode.  Payload: for each interface, 8 bytes:
     * the number of the last frame that its guest had consumed.
     */
    NET_WIRE_CAPTURE,
    /* secondary: what follows is of its guest as loaded from checkpoint number.
     */
    NET_WIRE_LOADED,
    /* primary: payload: NetWireOffset; number: the checkpoint it is of. */
    NET_WIRE_OFFSET,
    /*
     * primary: number 1: what the secondary's guest sends is of use, 0: not.
     * Payload: none, or the secret for digests, NET_DIGEST_SECRET bytes; then
     * large segments may be said by their DIGEST.
     */
    NET_WIRE_WANTED,
    /* both: number 1: colod is attached, 0: it is not. */
    NET_WIRE_ATTACHED,
    /*
     * secondary: it takes over from checkpoint number; nothing of the
     * primary's guest may leave.
     */
    NET_WIRE_TAKEOVER,
    /* both: I am alive; sent when nothing else was for a while. */
    NET_WIRE_PING,
    /*
     * secondary: in place of a FRAME of its guest.  number: the frame's.
     * Payload: see net_wire_get_digest().
     */
    NET_WIRE_DIGEST,
    /* primary: send the frame whose DIGEST had this number. */
    NET_WIRE_FETCH,
    /* secondary: the answer, as FRAME with the same number ... */
    NET_WIRE_CONTENT,
    /* ... or that it is not kept any more. */
    NET_WIRE_GONE,
    /*
     * primary: frames of which DIGESTs were sent that it will not ask for.
     * Payload: their numbers, 8 bytes each, at most NET_WIRE_DONE_N.
     */
    NET_WIRE_DONE,
    NET_WIRE_N
} NetWireType;

#define NET_WIRE_PERIODIC 1
#define NET_WIRE_DONE_N   512

typedef struct NetWireHead {
    guint32 len;
    guint8 type, iface;
    guint16 flags;
    guint64 number;
} NetWireHead;

void net_wire_put_head(guint8 out[NET_WIRE_HEADER], const NetWireHead *h);
/*
 * ifaces: how many there are.  FALSE with error (G_IO_ERROR_INVALID_DATA):
 * a type that does not exist, or a length, interface, flag or number not
 * allowed for it.
 */
gboolean net_wire_get_head(const guint8 in[NET_WIRE_HEADER], guint ifaces,
                           NetWireHead *h, GError **error);

/* The same check of a header made here. */
gboolean net_wire_check_head(const NetWireHead *h, guint ifaces,
                             GError **error);
/* Whether that side may say it; type is one that exists. */
gboolean net_wire_is_said_by(NetWireType type, gboolean primary);
const char *net_wire_type_name(guint8 type); /* never NULL */

/* OFFSET: 56 bytes, of a TCP connection. */
#define NET_WIRE_OFFSET_LEN 56
typedef struct NetWireOffset {
    NetKey flow; /* the guest's direction; iface is the header's */
    guint32 seq_delta, ts_delta;
} NetWireOffset;
void net_wire_put_offset(guint8 out[NET_WIRE_OFFSET_LEN],
                         const NetWireOffset *o);
gboolean net_wire_get_offset(const guint8 *in, gsize len, guint8 iface,
                             NetWireOffset *o, GError **error);

/*
 * DIGEST: a frame with a TCP segment, but with digests in place of the bytes
 * that it carries.
 *
 *   offset size field
 *   0      4    len      bytes that it carries
 *   4      2    piece    bytes of each piece
 *   6      2    head     length of the last field
 *   8      8 n  hash     XXH3 of each piece
 *   8+8n   head frame    up to the end of the TCP header; the length in the IP
 *                        header is that of the headers
 */
#define NET_WIRE_DIGEST_HEAD 256 /* of frame, at most */
#define NET_WIRE_DIGEST_LEAST 54 /* Ethernet, IPv4, TCP */
#define NET_WIRE_DIGEST_MIN  (8 + 8 + NET_WIRE_DIGEST_LEAST)
#define NET_WIRE_DIGEST_MAX  (8 + 8 * NET_DIGEST_MAX + NET_WIRE_DIGEST_HEAD)
/* head: all of the frame that is not in digests.  Returns the length. */
gsize net_wire_put_digest(guint8 out[NET_WIRE_DIGEST_MAX], const NetDigests *d,
                          const guint8 *head, gsize head_len);
/* head: in in; a TCP segment without payload, SYN and RST, parsed into p. */
gboolean net_wire_get_digest(const NetWireHead *h, const guint8 *in,
                             NetDigests *d, NetPacket *p, GError **error);

typedef struct NetHello {
    guint version_min, version_max;
    char *name; /* of the VM: has to be the same */
    gboolean primary;
    guint ifaces;
    char *instance; /* 32 hex digits: this run of the proxy */
    gboolean attached;
    gboolean digests; /* it knows DIGEST; not said: it does not */
} NetHello;
/* What is taken is whole and in bounds, and can be formatted again. */
NetHello *net_hello_parse(const guint8 *json, gsize len, GError **error);
GBytes *net_hello_format(const NetHello *h);
NetHello *net_hello_copy(const NetHello *h);
void net_hello_free(NetHello *h);
/*
 * Whether the two can work together; if not, error says to the operator of
 * ours what to change (G_IO_ERROR_INVALID_ARGUMENT).
 */
gboolean net_hello_matches(const NetHello *ours, const NetHello *theirs,
                           GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetHello, net_hello_free)

#endif
