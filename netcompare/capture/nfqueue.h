/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netfilter queue: packets that wait in the kernel for our verdict.
 *
 * libnetfilter_queue's mnl interface, with NFQA_CFG_F_GSO (large packets stay
 * whole, checksums unfinished), NFQA_CFG_F_CONNTRACK off, and a fail-closed
 * queue: a packet that finds no room is dropped by the kernel and counted.
 * Verdicts are gathered and written by net_nfqueue_flush(); runs of ids that
 * are accepted in order become one batch verdict where no id below is still
 * held.  Not thread-safe; nothing blocks.
 *
 * What comes, from iptables' raw PREROUTING with physdev on a bridge (each of
 * these has a test): IPv4 and IPv6, bridged on or for the host itself, once;
 * multicast, too.  With net.bridge.bridge-nf-filter-vlan-tagged=1 also those
 * with one VLAN tag, which they keep, but the kernel does not tell it.
 * Fragments come one by one, or reassembled where the host tracks
 * connections.  ARP, other types and frames with two tags do not come.
 */
#ifndef COLO_NET_NFQUEUE_H
#define COLO_NET_NFQUEUE_H

#include <gio/gio.h>

#include "netcompare/packet/buf.h"

typedef struct NetNfqueue NetNfqueue;

typedef struct NetQueued {
    guint32 id;         /* 1, 2, 3, ... in the order of the queue; wraps */
    guint16 ethertype;  /* host's order */
    guint16 vlan;       /* told in nftables' bridge family only; else 0 */
    guint32 indev, physindev, outdev, physoutdev; /* ifindex, 0: none */
    const guint8 *data; /* from the network header on, in buf */
    gsize len;
    gboolean gso;       /* several packets in one (NFQA_SKB_GSO) */
    gboolean unfinished; /* that, or the checksum is the card's to finish
                            (NFQA_SKB_CSUMNOTREADY) */
    gboolean truncated; /* longer than what was copied */
    NetBuf *buf;
} NetQueued;

typedef struct NetNfqueueConfig {
    guint16 queue_num;
    guint32 max_packets;  /* NFQA_CFG_QUEUE_MAXLEN: 65536 */
    gsize rcvbuf;         /* bytes asked of the socket: 64 MiB */
    gboolean gso;         /* TRUE; FALSE: the kernel cuts and finishes them */
} NetNfqueueConfig;

/* Errors name what is missing (root, the kernel's module, another listener). */
NetNfqueue *net_nfqueue_new(const NetNfqueueConfig *config, GError **error);
void net_nfqueue_free(NetNfqueue *q); /* what waits is dropped */
int net_nfqueue_fd(const NetNfqueue *q); /* readable: net_nfqueue_read() */

/*
 * Hand at most max packets to on_packet.  Returns how many; 0: there are none
 * now.  -1 with error: the queue is broken.
 */
typedef void (*NetQueuedFunc)(const NetQueued *packet, gpointer user);
int net_nfqueue_read(NetNfqueue *q, guint max, NetQueuedFunc on_packet,
                     gpointer user, GError **error);

/*
 * Verdicts; gathered until the flush, and executed in the order of the calls.
 * One on an id that does not wait is ignored.  data NULL: as it is.  Else the
 * packet becomes these at most 65531 bytes, which are copied; all its
 * checksums must be right, also in a GSO packet (which stays whole): the
 * kernel takes them as finished.
 */
void net_nfqueue_accept(NetNfqueue *q, guint32 id, const guint8 *data,
                        gsize len);
void net_nfqueue_drop(NetNfqueue *q, guint32 id);
gboolean net_nfqueue_flush(NetNfqueue *q, GError **error);

typedef struct NetNfqueueStats {
    guint64 packets, bytes, accepted, dropped, rewritten, batches;
    guint64 waiting;          /* without verdict now */
    guint64 kernel_dropped;   /* no room: /proc/net/netfilter/nfnetlink_queue */
    guint64 truncated;
    guint64 lost_messages;    /* the socket's buffer was full: also dropped */
} NetNfqueueStats;
void net_nfqueue_stats(const NetNfqueue *q, NetNfqueueStats *s);

#endif
