/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of a tap: reading.
 *
 * Each frame is read into a buffer of its own, behind room for a VLAN tag, so
 * that putting one back moves two addresses and not the frame.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

#include "netcompare/capture/tap-private.h"

#define VLAN_LEN  4
#define MAC_ADDRS 12

typedef union Control {
    char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct cmsghdr align;
} Control;

typedef struct Batch {
    struct mmsghdr msgs[TAP_READ_BATCH];
    struct iovec iov[TAP_READ_BATCH][2];
    struct virtio_net_hdr vnet[TAP_READ_BATCH];
    Control control[TAP_READ_BATCH];
} Batch;

/* The tag that the kernel took out: type and TCI as on the wire. */
static gboolean find_tag(struct msghdr *msg, guint16 tag[2])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        struct tpacket_auxdata aux;

        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
            c->cmsg_len < CMSG_LEN(sizeof(aux)))
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
            return FALSE;
        tag[0] = aux.tp_status & TP_STATUS_VLAN_TPID_VALID
                     ? htons(aux.tp_vlan_tpid)
                     : htons(ETHERTYPE_VLAN);
        tag[1] = htons(aux.tp_vlan_tci);
        return TRUE;
    }
    return FALSE;
}

static void put_tag_back(NetFrame *f, guint8 *start, const guint16 tag[2])
{
    guint8 *data = start - VLAN_LEN;

    memmove(data, start, MAC_ADDRS);
    memcpy(data + MAC_ADDRS, tag, VLAN_LEN);
    f->data = data;
    f->len += VLAN_LEN;
    if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        f->vnet.csum_start += VLAN_LEN;
    if (f->vnet.hdr_len > 0)
        f->vnet.hdr_len += VLAN_LEN;
}

static gboolean passes(NetTap *t, const NetFrame *f)
{
    const struct pcap_pkthdr h = {.caplen = (guint32)f->len,
                                  .len = (guint32)f->len};

    return !t->has_filter || pcap_offline_filter(&t->filter, &h, f->data) > 0;
}

/* FALSE: it is not one to hand out. */
static gboolean make_frame(NetTap *t, Batch *b, guint i, NetFrame *f)
{
    struct mmsghdr *m = &b->msgs[i];
    guint8 *start = t->bufs[i]->data + VLAN_LEN;
    guint16 tag[2];

    if (m->msg_len < sizeof(b->vnet[i]) || (m->msg_hdr.msg_flags & MSG_TRUNC)) {
        t->stats.bad++;
        return FALSE;
    }
    *f = (NetFrame){.vnet = b->vnet[i],
                    .data = start,
                    .len = m->msg_len - sizeof(b->vnet[i]),
                    .buf = t->bufs[i]};
    if (f->len >= MAC_ADDRS && find_tag(&m->msg_hdr, tag))
        put_tag_back(f, start, tag);
    if (!net_vnet_ok(&f->vnet, f->len)) {
        t->stats.bad++;
        return FALSE;
    }
    return passes(t, f);
}

/* A buffer that somebody kept is theirs; one that nobody did is read again. */
static void renew(NetTap *t, guint i)
{
    if (t->bufs[i] && t->bufs[i]->refs == 1)
        return;
    net_buf_unref(t->bufs[i]);
    t->bufs[i] = net_buf_get(t->pool);
}

/* Returns how many frames came, 0: none now, -1: the interface is gone. */
static int receive(NetTap *t, Batch *b, guint want, GError **error)
{
    int n;

    for (guint i = 0; i < want; i++) {
        renew(t, i);
        b->iov[i][0] = (struct iovec){&b->vnet[i], sizeof(b->vnet[i])};
        b->iov[i][1] = (struct iovec){t->bufs[i]->data + VLAN_LEN,
                                      t->bufs[i]->size - VLAN_LEN};
        b->msgs[i] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = b->iov[i],
                        .msg_iovlen = 2,
                        .msg_control = &b->control[i],
                        .msg_controllen = sizeof(b->control[i])}};
    }
    do {
        n = recvmmsg(t->fd, b->msgs, want, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    /* An interface that is only down is read again when it is up */
    if (errno == EAGAIN ||
        ((errno == ENETDOWN || errno == ENODEV) && !tap_is_gone(t, error)))
        return 0;
    if (!t->gone)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot read frames of interface %s: %s", t->name,
                    g_strerror(errno));
    return -1;
}

int net_tap_read(NetTap *t, guint max, NetFrameFunc on_frame, gpointer user,
                 GError **error)
{
    guint done = 0;
    Batch b;

    if (t->gone && tap_is_gone(t, error))
        return -1;
    while (done < max) {
        const guint want = MIN(max - done, t->batch);
        const int n = receive(t, &b, want, error);

        if (n < 0)
            return -1;
        if (n)
            t->batch = TAP_READ_BATCH;
        for (int i = 0; i < n; i++) {
            NetFrame f;

            if (!make_frame(t, &b, (guint)i, &f))
                continue;
            if (f.len >= TAP_READ_LARGE)
                t->batch = TAP_READ_FEW;
            t->stats.read++;
            t->stats.read_bytes += f.len;
            done++;
            on_frame(&f, user);
        }
        if ((guint)n < want)
            break;
    }
    return (int)done;
}
