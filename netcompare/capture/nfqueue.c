/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netfilter queue: its socket, set-up and counters.
 *
 * Theory of operation.  The set-up is one message (bind, copy whole packets,
 * length, flags), so that no packet comes to a queue that is half set up.
 * The kernel has done it when the message is sent.  An acknowledgement would
 * come mixed with the first packets; so none is asked for: the kernel's list
 * of queues tells whether it worked, and if not, an error is there to read.
 *
 * The kernel gives up a packet in two cases, and counts both: its list of
 * waiting packets is full, or the socket's buffer is (we also see ENOBUFS).
 * Either way the packet is gone and no verdict is due, so that the ids that
 * we have seen are all that wait.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libnetfilter_queue/libnetfilter_queue.h>

#include "netcompare/capture/nfqueue-private.h"

#define PROC_QUEUES "/proc/thread-self/net/netfilter/nfnetlink_queue"
#define SPARE_BUFS  128

typedef struct ProcLine {
    guint32 port, total, dropped, lost;
} ProcLine;

/* What the kernel says of a queue; FALSE: there is none of that number. */
static gboolean read_proc(int fd, guint16 num, ProcLine *line)
{
    char text[8192];
    gsize len = 0;
    char *save = NULL;

    while (len < sizeof(text) - 1) {
        ssize_t n = pread(fd, text + len, sizeof(text) - 1 - len, (off_t)len);

        if (n <= 0)
            break;
        len += (gsize)n;
    }
    text[len] = '\0';
    for (char *l = strtok_r(text, "\n", &save); l;
         l = strtok_r(NULL, "\n", &save)) {
        guint number, mode, range;

        if (sscanf(l, "%u %u %u %u %u %u %u", &number, &line->port,
                   &line->total, &mode, &range, &line->dropped,
                   &line->lost) == 7 &&
            number == num)
            return TRUE;
    }
    return FALSE;
}

static gboolean open_socket(NetNfqueue *q, gsize rcvbuf, GError **error)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
    socklen_t addr_len = sizeof(addr);
    int bytes = (int)MIN(rcvbuf, (gsize)G_MAXINT / 2);
    int sndbuf = 4 * NFQ_OUT_SIZE;

    q->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                   NETLINK_NETFILTER);
    if (q->fd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot open a netfilter socket: %s%s", g_strerror(errno),
                    errno == EPROTONOSUPPORT
                        ? "; this kernel has no CONFIG_NETFILTER_NETLINK"
                        : "");
        return FALSE;
    }
    if (bind(q->fd, (struct sockaddr *)&addr, addr_len) < 0 ||
        getsockname(q->fd, (struct sockaddr *)&addr, &addr_len) < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot bind a netfilter socket: %s", g_strerror(errno));
        return FALSE;
    }
    q->port = addr.nl_pid;
    /* Without the right to force it, as much as the system allows */
    if (bytes > 0 && setsockopt(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
                                sizeof(bytes)) < 0)
        setsockopt(q->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf,
                   sizeof(sndbuf)) < 0)
        setsockopt(q->fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
    return TRUE;
}

static gboolean send_config(NetNfqueue *q, const NetNfqueueConfig *config,
                            GError **error)
{
    char out[256] = {0}; /* padding, too */
    const guint32 flags = config->gso ? NFQA_CFG_F_GSO : 0;
    struct nlmsghdr *m = nfq_nlmsg_put(out, NFQNL_MSG_CONFIG, q->num);

    nfq_nlmsg_cfg_put_cmd(m, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    nfq_nlmsg_cfg_put_params(m, NFQNL_COPY_PACKET, 0xffff);
    nfq_nlmsg_cfg_put_qmaxlen(m, config->max_packets);
    mnl_attr_put_u32(m, NFQA_CFG_FLAGS, htonl(flags));
    mnl_attr_put_u32(m, NFQA_CFG_MASK,
                     htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN |
                           NFQA_CFG_F_CONNTRACK));
    if (send(q->fd, out, m->nlmsg_len, MSG_NOSIGNAL) < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot ask for netfilter queue %u: %s", q->num,
                    g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

static void set_refused(NetNfqueue *q, int err, gboolean other,
                        const ProcLine *line, GError **error)
{
    g_autofree char *why = NULL;

    if (other)
        why = g_strdup_printf("another process (netlink port %u) listens to "
                              "it; stop that one, or take another number",
                              line->port);
    else if (err == EPERM)
        why = g_strdup("root (CAP_NET_ADMIN) is needed");
    else if (q->proc < 0)
        why = g_strdup("this kernel has no netfilter queues "
                       "(CONFIG_NETFILTER_NETLINK_QUEUE, module "
                       "nfnetlink_queue)");
    else
        why = g_strdup(g_strerror(err));
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                "cannot bind netfilter queue %u: %s", q->num, why);
}

/* Is the queue ours? */
static gboolean check_bound(NetNfqueue *q, GError **error)
{
    guint32 reply[64];
    const struct nlmsghdr *m = (const struct nlmsghdr *)reply;
    ProcLine line;
    gboolean other;
    ssize_t n;
    int err = EIO;

    q->proc = open(PROC_QUEUES, O_RDONLY | O_CLOEXEC);
    other = q->proc >= 0 && read_proc(q->proc, q->num, &line);
    if (other && line.port == q->port)
        return TRUE;
    n = recv(q->fd, reply, sizeof(reply), MSG_DONTWAIT);
    if (n > 0 && mnl_nlmsg_ok(m, (int)n) && m->nlmsg_type == NLMSG_ERROR &&
        mnl_nlmsg_get_payload_len(m) >= sizeof(struct nlmsgerr))
        err = -((const struct nlmsgerr *)mnl_nlmsg_get_payload(m))->error;
    set_refused(q, err, other, &line, error);
    return FALSE;
}

NetNfqueue *net_nfqueue_new(const NetNfqueueConfig *config, GError **error)
{
    NetNfqueue *q = g_new0(NetNfqueue, 1);

    q->num = config->queue_num;
    q->proc = -1;
    q->pool = net_buf_pool_new(NFQ_MESSAGE_MAX, SPARE_BUFS);
    q->waiting = net_waiting_new();
    q->out = g_malloc0(NFQ_OUT_SIZE);
    if (!open_socket(q, config->rcvbuf, error) ||
        !send_config(q, config, error) || !check_bound(q, error)) {
        net_nfqueue_free(q);
        return NULL;
    }
    return q;
}

void net_nfqueue_free(NetNfqueue *q)
{
    if (!q)
        return;
    /* The kernel unbinds the queue, and drops what waits */
    if (q->fd >= 0)
        close(q->fd);
    if (q->proc >= 0)
        close(q->proc);
    for (guint i = 0; i < NFQ_READ_BATCH; i++)
        if (q->bufs[i])
            net_buf_unref(q->bufs[i]);
    net_buf_pool_free(q->pool);
    net_waiting_free(q->waiting);
    g_free(q->out);
    g_clear_error(&q->broken);
    g_free(q);
}

int net_nfqueue_fd(const NetNfqueue *q)
{
    return q->fd;
}

void net_nfqueue_stats(const NetNfqueue *q, NetNfqueueStats *s)
{
    ProcLine line;

    *s = q->stats;
    s->waiting = net_waiting_count(q->waiting);
    s->lost_messages = q->overruns;
    if (q->proc >= 0 && read_proc(q->proc, q->num, &line)) {
        s->kernel_dropped = line.dropped;
        s->lost_messages = MAX(s->lost_messages, line.lost);
    }
}
