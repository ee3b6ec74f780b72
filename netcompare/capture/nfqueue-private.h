/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What nfqueue.c (set-up), nfqueue-read.c and nfqueue-verdict.c share.
 */
#ifndef COLO_NET_NFQUEUE_PRIVATE_H
#define COLO_NET_NFQUEUE_PRIVATE_H

#include <sys/socket.h>
#include <linux/netlink.h>

#include "netcompare/capture/nfqueue.h"
#include "netcompare/capture/waiting.h"

/*
 * A message holds one packet of at most 65531 bytes (an attribute's length
 * has 16 bits) and attributes of less than 300 bytes before it.
 */
#define NFQ_MESSAGE_MAX (65536 + 512)
#define NFQ_READ_BATCH  32 /* messages for each recvmmsg(2) */

/* Verdicts gathered for one sendmsg(2); at least one with a payload fits. */
#define NFQ_OUT_SIZE (160 * 1024)

struct NetNfqueue {
    int fd;
    int proc; /* /proc/net/netfilter/nfnetlink_queue of our namespace; or -1 */
    guint16 num;
    guint32 port; /* our netlink address */

    NetBufPool *pool;
    NetBuf *bufs[NFQ_READ_BATCH];

    NetWaiting *waiting;
    guint8 *out; /* messages to be written */
    gsize out_len;
    guint32 run_last; /* a run of accepted ids, not yet in out */
    guint32 run_len;
    GError *broken; /* a flush that was not asked for failed */

    guint64 overruns; /* ENOBUFS */
    NetNfqueueStats stats;
};

#endif
