/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of a tap interface, both ways, with what is unfinished about them.
 *
 * AF_PACKET with PACKET_VNET_HDR: large frames (GSO) and unfinished checksums
 * stay as they are, and can be sent again elsewhere.  A VLAN tag that the
 * kernel took out is put back into the frame (and the vnet header's offsets
 * moved).  Not thread-safe; nothing blocks.
 *
 * Seen from the host: OUTGOING is what the host sends to the guest; INCOMING
 * is what the guest sends.  NOTHING is only for sending.
 */
#ifndef COLO_NET_TAP_H
#define COLO_NET_TAP_H

#include <gio/gio.h>
#include <linux/virtio_net.h>

#include "netcompare/packet/buf.h"

#define NET_TAP_MAX_FRAME (65536 + 64)

typedef enum {
    NET_TAP_INCOMING,
    NET_TAP_OUTGOING,
    NET_TAP_NOTHING,
} NetTapDirection;

typedef struct NetTap NetTap;

typedef struct NetFrame {
    struct virtio_net_hdr vnet; /* host's order */
    const guint8 *data;         /* from the Ethernet header on, in buf */
    gsize len;
    NetBuf *buf;
} NetFrame;

/*
 * name: of the interface.  direction: which frames are read.  filter: in
 * libpcap's language, or NULL: all; it is run on whole frames, tags in place.
 * rcvbuf: bytes asked of the socket.  Nothing from before this call is read.
 */
NetTap *net_tap_open(const char *name, NetTapDirection direction,
                     const char *filter, gsize rcvbuf, GError **error);
void net_tap_close(NetTap *t);

/*
 * From now on only frames to one of these addresses are read, none if n is 0;
 * the kernel sees to it.  n: at most NET_TAP_DESTINATIONS.  Not for OUTGOING.
 */
#define NET_TAP_DESTINATIONS 64
gboolean net_tap_only_to(NetTap *t, const guint8 (*macs)[6], guint n,
                         GError **error);

int net_tap_fd(const NetTap *t);

/*
 * As net_nfqueue_read().  -1: the interface is gone (one that is down is not;
 * the descriptor becomes readable in both cases).
 */
typedef void (*NetFrameFunc)(const NetFrame *frame, gpointer user);
int net_tap_read(NetTap *t, guint max, NetFrameFunc on_frame, gpointer user,
                 GError **error);

/*
 * Send a frame out of the interface: on a tap, to the guest.  Not seen by
 * net_tap_read() of any socket, except a frame that the guest has no offloads
 * for.  FALSE: it was not taken (counted), as when the tap is full; why is
 * told by error, which may be NULL.
 */
gboolean net_tap_send(NetTap *t, const struct virtio_net_hdr *vnet,
                      const guint8 *data, gsize len, GError **error);

typedef struct NetTapStats {
    guint64 read, read_bytes, sent, sent_bytes;
    guint64 lost;      /* the socket's buffer was full: PACKET_STATISTICS */
    guint64 refused;   /* net_tap_send() failed */
    guint64 bad;       /* vnet headers that contradict their frame */
} NetTapStats;
void net_tap_stats(NetTap *t, NetTapStats *s);

/*
 * Do offsets and sizes of a vnet header fit a frame of this length?  What
 * comes from the peer is checked with this before it is sent.
 */
gboolean net_vnet_ok(const struct virtio_net_hdr *vnet, gsize frame_len);

#endif
