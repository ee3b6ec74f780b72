/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netfilter queue: reading packets.
 *
 * Each message is read into a buffer of its own, so that whoever holds the
 * packet keeps the buffer and nothing is copied.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "netcompare/capture/nfqueue-private.h"

/* Attributes by type; NULL where missing, or of the wrong size. */
typedef struct Attrs {
    const struct nlattr *a[NFQA_MAX + 1];
} Attrs;

static gsize size_of(int type)
{
    switch (type) {
    case NFQA_PACKET_HDR:
        return sizeof(struct nfqnl_msg_packet_hdr);
    case NFQA_IFINDEX_INDEV:
    case NFQA_IFINDEX_OUTDEV:
    case NFQA_IFINDEX_PHYSINDEV:
    case NFQA_IFINDEX_PHYSOUTDEV:
    case NFQA_CAP_LEN:
    case NFQA_SKB_INFO:
        return sizeof(guint32);
    default:
        return 0;
    }
}

static void parse_attrs(const struct nlmsghdr *m, Attrs *attrs)
{
    const char *end = mnl_nlmsg_get_payload_tail(m);
    const struct nlattr *a =
        mnl_nlmsg_get_payload_offset(m, sizeof(struct nfgenmsg));

    memset(attrs, 0, sizeof(*attrs));
    for (; mnl_attr_ok(a, (int)(end - (const char *)a));
         a = mnl_attr_next(a)) {
        const int type = mnl_attr_get_type(a);

        if (type <= NFQA_MAX && mnl_attr_get_payload_len(a) >= size_of(type))
            attrs->a[type] = a;
    }
}

static guint32 attr_be32(const Attrs *attrs, int type)
{
    const struct nlattr *a = attrs->a[type];

    return a ? ntohl(mnl_attr_get_u32(a)) : 0;
}

/* Told for packets of the bridge family only. */
static guint16 attr_vlan(const Attrs *attrs)
{
    const struct nlattr *a;

    if (!attrs->a[NFQA_VLAN])
        return 0;
    mnl_attr_for_each_nested(a, attrs->a[NFQA_VLAN])
        if (mnl_attr_get_type(a) == NFQA_VLAN_TCI &&
            mnl_attr_get_payload_len(a) >= sizeof(guint16))
            return ntohs(mnl_attr_get_u16(a)) & 0xfff;
    return 0;
}

/* The kernel answers only to what it refuses. */
static int take_answer(NetNfqueue *q, const struct nlmsghdr *m, GError **error)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

    /* A packet vanishes from the queue when its interface does */
    if (mnl_nlmsg_get_payload_len(m) < sizeof(*e) || e->error == 0 ||
        e->error == -ENOENT)
        return 0;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-e->error),
                "the kernel refuses a verdict on netfilter queue %u: %s",
                q->num, g_strerror(-e->error));
    return -1;
}

/*
 * One netlink message: hand its packet to on_packet.  Returns 1 if there was
 * one, 0 if not (an answer to a verdict), -1: broken.
 */
static int take_message(NetNfqueue *q, NetBuf *buf, gsize len,
                        NetQueuedFunc on_packet, gpointer user, GError **error)
{
    const struct nlmsghdr *m = (const struct nlmsghdr *)buf->data;
    const struct nfqnl_msg_packet_hdr *hdr;
    NetQueued p = {.buf = buf};
    guint32 info;
    Attrs attrs;

    if (!mnl_nlmsg_ok(m, (int)len))
        return 0;
    if (m->nlmsg_type == NLMSG_ERROR)
        return take_answer(q, m, error);
    if (m->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        mnl_nlmsg_get_payload_len(m) < sizeof(struct nfgenmsg))
        return 0;
    parse_attrs(m, &attrs);
    if (!attrs.a[NFQA_PACKET_HDR])
        return 0;
    hdr = mnl_attr_get_payload(attrs.a[NFQA_PACKET_HDR]);
    p.id = ntohl(hdr->packet_id);
    p.ethertype = ntohs(hdr->hw_protocol);
    p.vlan = attr_vlan(&attrs);
    p.indev = attr_be32(&attrs, NFQA_IFINDEX_INDEV);
    p.outdev = attr_be32(&attrs, NFQA_IFINDEX_OUTDEV);
    p.physindev = attr_be32(&attrs, NFQA_IFINDEX_PHYSINDEV);
    p.physoutdev = attr_be32(&attrs, NFQA_IFINDEX_PHYSOUTDEV);
    info = attr_be32(&attrs, NFQA_SKB_INFO);
    p.gso = (info & NFQA_SKB_GSO) != 0;
    p.unfinished = (info & (NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO)) != 0;
    p.data = buf->data; /* of no bytes, if there is no payload */
    if (attrs.a[NFQA_PAYLOAD]) {
        p.data = mnl_attr_get_payload(attrs.a[NFQA_PAYLOAD]);
        p.len = mnl_attr_get_payload_len(attrs.a[NFQA_PAYLOAD]);
    }
    p.truncated = attr_be32(&attrs, NFQA_CAP_LEN) > p.len;
    if (!net_waiting_add(q->waiting, p.id))
        return 0;
    q->stats.packets++;
    q->stats.bytes += p.len;
    q->stats.truncated += p.truncated;
    on_packet(&p, user);
    return 1;
}

/* A buffer that somebody kept is theirs; one that nobody did is read again. */
static void renew(NetNfqueue *q, guint i)
{
    if (q->bufs[i] && q->bufs[i]->refs == 1)
        return;
    if (q->bufs[i])
        net_buf_unref(q->bufs[i]);
    q->bufs[i] = net_buf_get(q->pool);
}

/* Returns how many messages came, 0: none now, -1: broken. */
static int receive(NetNfqueue *q, guint want, gsize *lens, GError **error)
{
    struct mmsghdr msgs[NFQ_READ_BATCH];
    struct iovec iov[NFQ_READ_BATCH];
    struct sockaddr_nl from[NFQ_READ_BATCH];
    int n;

    for (guint i = 0; i < want; i++) {
        renew(q, i);
        iov[i] = (struct iovec){q->bufs[i]->data, q->bufs[i]->size};
        msgs[i] = (struct mmsghdr){
            .msg_hdr = {.msg_name = &from[i],
                        .msg_namelen = sizeof(from[i]),
                        .msg_iov = &iov[i],
                        .msg_iovlen = 1}};
    }
    do {
        n = recvmmsg(q->fd, msgs, want, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == ENOBUFS)
            q->overruns++;
    } while (n < 0 && (errno == EINTR || errno == ENOBUFS));
    if (n < 0 && errno != EAGAIN) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot read netfilter queue %u: %s", q->num,
                    g_strerror(errno));
        return -1;
    }
    /* What is not the kernel's, or cut off, is no message */
    for (int i = 0; i < n; i++)
        lens[i] = from[i].nl_pid != 0 ||
                          (msgs[i].msg_hdr.msg_flags & MSG_TRUNC)
                      ? 0
                      : msgs[i].msg_len;
    return MAX(n, 0);
}

int net_nfqueue_read(NetNfqueue *q, guint max, NetQueuedFunc on_packet,
                     gpointer user, GError **error)
{
    gsize lens[NFQ_READ_BATCH];
    guint done = 0;

    while (done < max) {
        const guint want = MIN(max - done, NFQ_READ_BATCH);
        int n = receive(q, want, lens, error);

        if (n < 0)
            return -1;
        for (int i = 0; i < n; i++) {
            int r = lens[i] == 0 ? 0
                                 : take_message(q, q->bufs[i], lens[i],
                                                on_packet, user, error);

            if (r < 0)
                return -1;
            done += (guint)r;
        }
        if ((guint)n < want)
            break;
    }
    return (int)done;
}
