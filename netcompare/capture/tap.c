/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of a tap: opening a packet socket, and its counters.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netcompare/capture/tap-private.h"

#define SPARE_BUFS 128
#define VLAN_LEN   4

static gboolean set_failed(NetTap *t, const char *doing, GError **error)
{
    const int err = errno;

    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                "cannot %s of interface %s: %s%s", doing, t->name,
                g_strerror(err),
                err == EPERM ? "; root (CAP_NET_RAW) is needed" : "");
    return FALSE;
}

static gboolean set_option(NetTap *t, int option, int value, GError **error)
{
    return setsockopt(t->fd, SOL_PACKET, option, &value, sizeof(value)) == 0 ||
           set_failed(t, "set up a packet socket for frames", error);
}

static gboolean attach(NetTap *t, struct sock_filter *code, guint n,
                       GError **error)
{
    const struct sock_fprog prog = {(unsigned short)n, code};

    return setsockopt(t->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
                      sizeof(prog)) == 0 ||
           set_failed(t, "filter the frames", error);
}

/* Only what the host sends; the kernel has no option for this direction. */
static gboolean only_outgoing(NetTap *t, GError **error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (guint32)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, G_MAXUINT32),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };

    return attach(t, code, G_N_ELEMENTS(code), error);
}

gboolean net_tap_only_to(NetTap *t, const guint8 (*macs)[6], guint n,
                         GError **error)
{
    struct sock_filter code[5 * NET_TAP_DESTINATIONS + 1];
    guint k = 0;

    g_return_val_if_fail(n <= NET_TAP_DESTINATIONS, FALSE);
    for (guint i = 0; i < n; i++) {
        const guint8 *m = macs[i];
        guint32 high = (guint32)m[0] << 24 | (guint32)m[1] << 16 |
                       (guint32)m[2] << 8 | m[3];
        guint32 low = (guint32)m[4] << 8 | m[5];
        const struct sock_filter one[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 3),
            BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, G_MAXUINT32),
        };

        memcpy(&code[k], one, sizeof(one));
        k += G_N_ELEMENTS(one);
    }
    code[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    return attach(t, code, k, error);
}

/*
 * Compiled for whole Ethernet frames and run on what is handed out: the
 * kernel's own run would not see the tags that it took out.
 */
static gboolean compile_filter(NetTap *t, const char *filter, GError **error)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, NET_TAP_MAX_FRAME);

    t->has_filter = pcap && pcap_compile(pcap, &t->filter, filter, 1,
                                         PCAP_NETMASK_UNKNOWN) == 0;
    if (!t->has_filter)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "cannot understand the filter '%s': %s", filter,
                    pcap ? pcap_geterr(pcap) : "no memory");
    if (pcap)
        pcap_close(pcap);
    return t->has_filter;
}

/* It hears nothing before it is bound: until then it has no protocol. */
static gboolean open_socket(NetTap *t, NetTapDirection direction, gsize rcvbuf,
                            GError **error)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol =
            direction == NET_TAP_NOTHING ? 0 : htons(ETH_P_ALL)};
    int bytes = (int)MIN(rcvbuf, (gsize)G_MAXINT / 2);

    t->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return set_failed(t, "open a packet socket for frames", error);
    if (!set_option(t, PACKET_VNET_HDR, 1, error) ||
        !set_option(t, PACKET_AUXDATA, 1, error) ||
        !set_option(t, PACKET_QDISC_BYPASS, 1, error))
        return FALSE;
    if ((direction == NET_TAP_INCOMING &&
         !set_option(t, PACKET_IGNORE_OUTGOING, 1, error)) ||
        (direction == NET_TAP_OUTGOING && !only_outgoing(t, error)))
        return FALSE;
    if (bytes > 0 && setsockopt(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
                                sizeof(bytes)) < 0)
        setsockopt(t->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    t->ifindex = (int)if_nametoindex(t->name);
    addr.sll_ifindex = t->ifindex;
    if (t->ifindex == 0 ||
        bind(t->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return set_failed(t, "read frames", error);
    return TRUE;
}

NetTap *net_tap_open(const char *name, NetTapDirection direction,
                     const char *filter, gsize rcvbuf, GError **error)
{
    NetTap *t = g_new0(NetTap, 1);

    t->fd = -1;
    t->name = g_strdup(name);
    t->batch = TAP_READ_BATCH;
    t->pool = net_buf_pool_new(VLAN_LEN + NET_TAP_MAX_FRAME, SPARE_BUFS);
    if ((filter && !compile_filter(t, filter, error)) ||
        !open_socket(t, direction, rcvbuf, error)) {
        net_tap_close(t);
        return NULL;
    }
    return t;
}

void net_tap_close(NetTap *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    if (t->has_filter)
        pcap_freecode(&t->filter);
    for (guint i = 0; i < TAP_READ_BATCH; i++)
        net_buf_unref(t->bufs[i]);
    net_buf_pool_free(t->pool);
    g_free(t->name);
    g_free(t);
}

int net_tap_fd(const NetTap *t)
{
    return t->fd;
}

gboolean tap_is_gone(NetTap *t, GError **error)
{
    struct ifreq ifr = {.ifr_ifindex = t->ifindex};

    /* Asked in the socket's namespace, wherever this thread is */
    if (!t->gone && ioctl(t->fd, SIOCGIFNAME, &ifr) < 0 && errno == ENODEV)
        t->gone = TRUE;
    if (t->gone)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "interface %s is gone", t->name);
    return t->gone;
}

void net_tap_stats(NetTap *t, NetTapStats *s)
{
    struct tpacket_stats kernel = {0};
    socklen_t len = sizeof(kernel);

    /* The kernel starts from zero at each question */
    if (getsockopt(t->fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &len) == 0)
        t->stats.lost += kernel.tp_drops;
    *s = t->stats;
}
