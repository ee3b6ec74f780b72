/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at the host's interfaces: by name, and the counters of a tap.
 *
 * The counters are read from /proc/net/dev.  Every rtnetlink request waits
 * for the one lock that whoever changes any interface of any namespace holds:
 * with bridges coming and going next door, one in a hundred took 15 ms, and
 * up to 32, while /proc/net/dev, which needs no lock, stayed below 30 us.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "netcompare/host/netlink.h"

#define ANSWER_TIMEOUT_S 5
#define DEV_FILE         "/proc/thread-self/net/dev"

gboolean net_host_connect(NetHost *h, GError **error)
{
    const struct timeval tv = {.tv_sec = ANSWER_TIMEOUT_S};
    const int one = 1;
    int r = nl_connect(h->nl, NETLINK_ROUTE);

    /* A request has one answer: what it asked for, or that it is done */
    nl_socket_disable_auto_ack(h->nl);
    if (r < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot open a netlink socket: %s", nl_geterror(r));
        return FALSE;
    }
    /* The kernel's words about errors are welcome, but no must */
    (void)setsockopt(nl_socket_get_fd(h->nl), SOL_NETLINK, NETLINK_EXT_ACK,
                     &one, sizeof one);
    if (setsockopt(nl_socket_get_fd(h->nl), SOL_SOCKET, SO_RCVTIMEO, &tv,
                   sizeof tv) < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot set the deadline of a netlink socket: %s",
                    g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

NetHost *net_host_new(GError **error)
{
    NetHost *h = g_new0(NetHost, 1);

    h->dev_fd = open(DEV_FILE, O_RDONLY | O_CLOEXEC);
    h->ioctl_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    h->nl = nl_socket_alloc();
    if (h->dev_fd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot open " DEV_FILE ": %s: is /proc mounted?",
                    g_strerror(errno));
    } else if (h->ioctl_fd < 0 || !h->nl) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot make a socket to ask about interfaces: %s",
                    g_strerror(errno));
    } else if (net_host_connect(h, error)) {
        return h;
    }
    net_host_free(h);
    return NULL;
}

void net_host_free(NetHost *h)
{
    if (!h) {
        return;
    }
    if (h->nl) {
        nl_socket_free(h->nl);
    }
    if (h->dev_fd >= 0) {
        close(h->dev_fd);
    }
    if (h->ioctl_fd >= 0) {
        close(h->ioctl_fd);
    }
    g_free(h);
}

gboolean net_host_get(NetHost *h, const char *name, NetDev *dev, GError **error)
{
    NetLink link, master;

    memset(dev, 0, sizeof *dev);
    if (!net_link_get(h, name, 0, &link, error)) {
        return FALSE;
    }
    *dev = link.dev;
    if (dev->master) {
        if (!net_link_get(h, NULL, dev->master, &master, error)) {
            return FALSE;
        }
        g_strlcpy(dev->master_name, master.dev.name, sizeof dev->master_name);
        dev->master_is_bridge = g_str_equal(master.kind, "bridge");
        dev->master_filters_vlans = master.vlan_filtering;
        memcpy(dev->master_mac, master.dev.mac, sizeof dev->master_mac);
    }
    return TRUE;
}

/*
 * A line of /proc/net/dev: "  NAME: " and 16 numbers, the last eight of what
 * was sent: bytes packets errors dropped ...
 */
static gboolean parse_counters(const char *line, const char *name,
                               guint64 *sent, guint64 *dropped)
{
    gsize n = strlen(name);

    line += strspn(line, " ");
    return strncmp(line, name, n) == 0 && line[n] == ':' &&
           sscanf(line + n + 1,
                  "%*u %*u %*u %*u %*u %*u %*u %*u "
                  "%*u %" G_GUINT64_FORMAT " %*u %" G_GUINT64_FORMAT,
                  sent, dropped) == 2;
}

/* Finds the interface's line, piece by piece: a host may have many */
static gboolean read_counters(int fd, const char *name, guint64 *sent,
                              guint64 *dropped)
{
    char buf[16384];
    gsize have = 0;
    off_t at = 0;
    ssize_t n;

    while ((n = pread(fd, buf + have, sizeof buf - 1 - have, at)) > 0) {
        char *line = buf, *end;

        at += n;
        have += (gsize)n;
        buf[have] = '\0';
        for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            if (parse_counters(line, name, sent, dropped)) {
                return TRUE;
            }
        }
        have -= (gsize)(line - buf);
        memmove(buf, line, have);
        if (have == sizeof buf - 1) {
            break;
        }
    }
    return FALSE;
}

gboolean net_host_consumed(NetHost *h, int index, guint64 *read,
                           guint64 *dropped, GError **error)
{
    struct ifreq ifr = {.ifr_ifindex = index};

    /* Interfaces can be renamed */
    if (ioctl(h->ioctl_fd, SIOCGIFNAME, &ifr) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "the interface number %d is gone: %s", index,
                    g_strerror(errno));
        return FALSE;
    }
    ifr.ifr_name[sizeof ifr.ifr_name - 1] = '\0';
    /* A line can be missed when others come or go between two pieces */
    for (int tries = 0; tries < 3; tries++) {
        if (read_counters(h->dev_fd, ifr.ifr_name, read, dropped)) {
            return TRUE;
        }
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                "the counters of %s are not in /proc/net/dev", ifr.ifr_name);
    return FALSE;
}
