/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netfilter queue: verdicts.
 *
 * Theory of operation.  The kernel executes verdicts in the order in which
 * they are written, and that is the order of the calls.  A run of packets
 * that are accepted as they are, each the oldest that waits when its turn
 * comes, becomes one message of all ids up to the last.  Anything else is a
 * message of its own, and ends the run.  Many messages go in one sendmsg(2).
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libnetfilter_queue/libnetfilter_queue.h>

#include "netcompare/capture/nfqueue-private.h"

#define VERDICT_SIZE 32    /* header, family, one attribute of 8 bytes */
#define PAYLOAD_MAX  65531 /* what an attribute can hold */

static gboolean write_out(NetNfqueue *q, GError **error)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n = 0;

    if (q->out_len == 0)
        return TRUE;
    do {
        n = sendto(q->fd, q->out, q->out_len, MSG_NOSIGNAL,
                   (const struct sockaddr *)&kernel, sizeof(kernel));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot write verdicts on netfilter queue %u: %s", q->num,
                    g_strerror(errno));
        q->out_len = 0;
        return FALSE;
    }
    q->out_len = 0;
    return TRUE;
}

static void put_message(NetNfqueue *q, int type, guint32 id, int verdict,
                        const guint8 *data, gsize len)
{
    struct nlmsghdr *m;

    if (q->out_len + VERDICT_SIZE + MNL_ALIGN(MNL_ATTR_HDRLEN + len) >
            NFQ_OUT_SIZE &&
        !write_out(q, q->broken ? NULL : &q->broken))
        return;
    m = nfq_nlmsg_put((char *)q->out + q->out_len, type, q->num);
    nfq_nlmsg_verdict_put(m, (int)id, verdict);
    if (data)
        nfq_nlmsg_verdict_put_pkt(m, data, (guint32)len);
    q->out_len += MNL_ALIGN(m->nlmsg_len);
}

/* The run of accepted ids becomes a message. */
static void close_run(NetNfqueue *q)
{
    if (q->run_len == 0)
        return;
    put_message(q, q->run_len > 1 ? NFQNL_MSG_VERDICT_BATCH : NFQNL_MSG_VERDICT,
                q->run_last, NF_ACCEPT, NULL, 0);
    q->stats.batches += q->run_len > 1;
    q->run_len = 0;
}

void net_nfqueue_accept(NetNfqueue *q, guint32 id, const guint8 *data,
                        gsize len)
{
    gboolean oldest;

    g_return_if_fail(!data || len <= PAYLOAD_MAX);
    if (!net_waiting_remove(q->waiting, id, &oldest))
        return;
    q->stats.accepted++;
    if (oldest && !data) {
        q->run_last = id;
        q->run_len++;
        return;
    }
    close_run(q);
    q->stats.rewritten += data != NULL;
    put_message(q, NFQNL_MSG_VERDICT, id, NF_ACCEPT, data, len);
}

void net_nfqueue_drop(NetNfqueue *q, guint32 id)
{
    gboolean oldest;

    if (!net_waiting_remove(q->waiting, id, &oldest))
        return;
    q->stats.dropped++;
    close_run(q);
    put_message(q, NFQNL_MSG_VERDICT, id, NF_DROP, NULL, 0);
}

gboolean net_nfqueue_flush(NetNfqueue *q, GError **error)
{
    close_run(q);
    if (q->broken) {
        g_propagate_error(error, g_steal_pointer(&q->broken));
        return FALSE;
    }
    return write_out(q, error);
}
