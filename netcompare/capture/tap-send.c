/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of a tap: sending one to the guest.
 *
 * Theory of operation.  A frame goes past the queueing discipline straight to
 * the tap, so that a full tap is told (ENOBUFS) and not only counted by it.
 * That way the kernel does not cut large frames for a tap whose guest takes
 * none, nor finish their checksums; such a frame takes the ordinary way then.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netcompare/capture/tap-private.h"

#define GSO_MAX 65536 /* the kernel cuts what is not smaller */

static gboolean has_feature(NetTap *t, guint32 command)
{
    struct ethtool_value value = {.cmd = command};
    struct ifreq ifr = {.ifr_ifindex = t->ifindex};

    /* It may have been renamed since */
    if (ioctl(t->fd, SIOCGIFNAME, &ifr) < 0)
        return TRUE;
    ifr.ifr_data = (char *)&value;
    return ioctl(t->fd, SIOCETHTOOL, &ifr) < 0 || value.data != 0;
}

/* Would the tap and the guest behind it take it as it is? */
static gboolean tap_takes(NetTap *t, const struct virtio_net_hdr *vnet,
                          gsize len)
{
    if (vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE && len >= GSO_MAX)
        return FALSE;
    switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return !(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
               has_feature(t, ETHTOOL_GTXCSUM);
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return has_feature(t, ETHTOOL_GTXCSUM) && has_feature(t, ETHTOOL_GTSO);
    default: /* there is no question for the kinds of UDP */
        return FALSE;
    }
}

static gboolean bypass(NetTap *t, int on)
{
    return setsockopt(t->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on,
                      sizeof(on)) == 0;
}

static ssize_t send_it(NetTap *t, const struct virtio_net_hdr *vnet,
                       const guint8 *data, gsize len)
{
    struct iovec iov[] = {{(void *)vnet, sizeof(*vnet)}, {(void *)data, len}};
    const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;

    do {
        n = sendmsg(t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

static gboolean refuse(NetTap *t, const char *why, int err, GError **error)
{
    t->stats.refused++;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                "cannot send a frame to interface %s: %s", t->name, why);
    return FALSE;
}

gboolean net_tap_send(NetTap *t, const struct virtio_net_hdr *vnet,
                      const guint8 *data, gsize len, GError **error)
{
    if (!net_vnet_ok(vnet, len))
        return refuse(t, "its offload header contradicts it", EINVAL, error);
    if (send_it(t, vnet, data, len) < 0) {
        int err = errno;

        if (err == ENOBUFS && !tap_takes(t, vnet, len) && bypass(t, 0)) {
            err = send_it(t, vnet, data, len) < 0 ? errno : 0;
            bypass(t, 1);
        }
        if (err != 0)
            return refuse(t,
                          err == ENOBUFS ? "its queue is full"
                                         : g_strerror(err),
                          err, error);
    }
    t->stats.sent++;
    t->stats.sent_bytes += len;
    return TRUE;
}
