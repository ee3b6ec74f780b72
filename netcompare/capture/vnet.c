/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a vnet header (virtio 1.2, 5.1.6) one that its frame can have?
 *
 * The kernel believes csum_start and hdr_len within the frame, and reads the
 * headers it expects after that itself.
 */
#include "config.h"

#include <net/ethernet.h>

#include "netcompare/capture/tap.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* before Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define KNOWN_FLAGS (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)
#define TCP_CHECK   16 /* offset of the checksum */
#define UDP_CHECK   6
#define TCP_HEADER  20
#define UDP_HEADER  8

/* Does the checksum that is to be finished belong to what is to be cut? */
static gboolean gso_ok(const struct virtio_net_hdr *v, gsize frame_len)
{
    const guint8 type = v->gso_type & (guint8)~VIRTIO_NET_HDR_GSO_ECN;
    const gboolean ecn = type != v->gso_type;
    guint16 check, header;

    switch (type) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return !ecn;
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV6:
        check = TCP_CHECK;
        header = TCP_HEADER;
        break;
    case VIRTIO_NET_HDR_GSO_UDP:
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        if (ecn)
            return FALSE;
        check = UDP_CHECK;
        header = UDP_HEADER;
        break;
    default:
        return FALSE;
    }
    if (v->gso_size == 0)
        return FALSE;
    return !(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
           (v->csum_offset == check && frame_len - v->csum_start >= header);
}

gboolean net_vnet_ok(const struct virtio_net_hdr *vnet, gsize frame_len)
{
    if (frame_len < sizeof(struct ether_header) ||
        frame_len > NET_TAP_MAX_FRAME || vnet->hdr_len > frame_len ||
        (vnet->flags & ~KNOWN_FLAGS) != 0)
        return FALSE;
    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        if (vnet->csum_start < sizeof(struct ether_header) ||
            vnet->csum_start > frame_len ||
            vnet->csum_offset + sizeof(guint16) >
                frame_len - vnet->csum_start)
            return FALSE;
    }
    return gso_ok(vnet, frame_len);
}
