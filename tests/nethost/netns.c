/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces, taps and packet sockets for the tests of this folder. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/nethost/netns.h"

gboolean netns_enter(void)
{
    g_autofree char *ip = g_find_program_in_path("ip");

    if (geteuid() != 0) {
        g_test_skip("root is needed");
        return FALSE;
    }
    if (!ip) {
        g_test_skip("ip is missing: install Debian's package iproute2");
        return FALSE;
    }
    if (access("/dev/net/tun", R_OK | W_OK) < 0) {
        g_test_skip("/dev/net/tun is missing: modprobe tun");
        return FALSE;
    }
    if (unshare(CLONE_NEWNET) < 0) {
        g_test_skip("this kernel gives us no network namespaces");
        return FALSE;
    }
    netns_run("ip link set lo up");
    return TRUE;
}

static int spawn(const char *line, char **out, char **err)
{
    g_auto(GStrv) argv = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;

    g_shell_parse_argv(line, NULL, &argv, &error);
    g_assert_no_error(error);
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, out, err,
                 &status, &error);
    g_assert_no_error(error);
    return status;
}

static char *run(const char *line)
{
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;
    int status = spawn(line, &out, &err);

    if (status != 0) {
        g_error("%s: status %d: %s", line, status, err);
    }
    return g_steal_pointer(&out);
}

void netns_run(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_free(run(line));
}

gboolean netns_try(const char *fmt, ...)
{
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return spawn(line, &out, &err) == 0;
}

char *netns_output(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return run(line);
}

int netns_tap(const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    g_assert_cmpint(fd, >=, 0);
    g_strlcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    g_assert_cmpint(ioctl(fd, TUNSETIFF, &ifr), ==, 0);
    netns_run("ip link set %s up", name);
    return fd;
}

int netns_packet_socket(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    htons(ETH_P_ALL));
    struct sockaddr_ll sll = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(name),
    };

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(sll.sll_ifindex, >, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&sll, sizeof sll), ==, 0);
    return fd;
}

void netns_send(int fd, const guint8 *frame, gsize len)
{
    ssize_t n = write(fd, frame, len);

    if (n != (ssize_t)len) {
        g_error("cannot send a frame of %zu bytes: %s", len, g_strerror(errno));
    }
}

gsize netns_any(int fd, guint8 *frame, gsize size, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, timeout_ms) <= 0) {
        return 0;
    }
    n = read(fd, frame, size);
    return n > 0 ? (gsize)n : 0;
}

gsize netns_receive(int fd, const void *needle, gsize needle_len, guint8 *frame,
                    gsize size, int timeout_ms)
{
    gint64 end = g_get_monotonic_time() + timeout_ms * 1000;
    gint64 left;

    while ((left = (end - g_get_monotonic_time()) / 1000) >= 0) {
        gsize n = netns_any(fd, frame, size, (int)left);

        if (n && memmem(frame, n, needle, needle_len)) {
            return n;
        }
    }
    return 0;
}

void netns_drain(int fd)
{
    guint8 frame[65536];

    while (read(fd, frame, sizeof frame) > 0) {
    }
}

/* --- Frames ------------------------------------------------------------- */

static void put32(guint8 *p, guint32 v)
{
    v = g_htonl(v);
    memcpy(p, &v, 4);
}

static guint32 add16(guint32 sum, const guint8 *p, gsize len)
{
    for (gsize i = 0; i < len; i++) {
        sum += (guint32)p[i] << (i & 1 ? 0 : 8);
    }
    return sum;
}

static void put_sum(guint8 *at, guint32 sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum = ~sum;
    at[0] = (guint8)(sum >> 8);
    at[1] = (guint8)sum;
}

static gsize ethernet(guint8 *buf, const guint8 dst[6], const guint8 src[6],
                      guint16 type)
{
    memcpy(buf, dst, 6);
    memcpy(buf + 6, src, 6);
    buf[12] = (guint8)(type >> 8);
    buf[13] = (guint8)type;
    return 14;
}

gsize frame_arp_request(guint8 *buf, const guint8 src[6], guint32 sip,
                        guint32 tip)
{
    static const guint8 everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const guint8 head[8] = {0, 1, 8, 0, 6, 4, 0, 1};

    memset(buf, 0, 60);
    ethernet(buf, everybody, src, ETHERTYPE_ARP);
    memcpy(buf + 14, head, 8);
    memcpy(buf + 22, src, 6);
    put32(buf + 28, sip);
    put32(buf + 38, tip);
    return 60;
}

static void udp(guint8 *p, guint16 port, const char *payload, gsize len)
{
    const guint8 head[8] = {0x11,         0x11, (guint8)(port >> 8),
                            (guint8)port, 0,    (guint8)(8 + len)};

    memcpy(p, head, 8);
    memcpy(p + 8, payload, len);
}

gsize frame_udp4(guint8 *buf, const guint8 dst[6], const guint8 src[6],
                 guint32 sip, guint32 dip, guint16 port, const char *payload)
{
    gsize len = strlen(payload);
    guint8 *ip = buf + ethernet(buf, dst, src, ETHERTYPE_IP);
    const guint8 head[12] = {0x45, 0,  0, (guint8)(28 + len), 0, 1, 0,
                             0,    64, 17};

    g_assert_cmpuint(len, <=, 64);
    memcpy(ip, head, 12);
    put32(ip + 12, sip);
    put32(ip + 16, dip);
    put_sum(ip + 10, add16(0, ip, 20));
    udp(ip + 20, port, payload, len);
    return 14 + 28 + len;
}

gsize frame_udp6(guint8 *buf, const guint8 dst[6], const guint8 src[6],
                 const char *sip, const char *dip, guint16 port,
                 const char *payload)
{
    gsize len = strlen(payload);
    guint8 *ip = buf + ethernet(buf, dst, src, ETHERTYPE_IPV6);
    const guint8 head[8] = {0x60, 0, 0, 0, 0, (guint8)(8 + len), 17, 64};

    g_assert_cmpuint(len, <=, 64);
    memcpy(ip, head, 8);
    g_assert_cmpint(inet_pton(AF_INET6, sip, ip + 8), ==, 1);
    g_assert_cmpint(inet_pton(AF_INET6, dip, ip + 24), ==, 1);
    udp(ip + 40, port, payload, len);
    put_sum(ip + 46, add16(17 + 8 + (guint32)len, ip + 8, 40 + len));
    return 14 + 48 + len;
}
