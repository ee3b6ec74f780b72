/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taps as QEMU has them.  See taps.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "tests/capture/taps.h"

#define TUN       "/dev/net/tun"
#define FRAME_MAX (65536 + 64)
#define HDR_SIZE  12 /* virtio-net with mergeable buffers */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* ip(8) and the files that silence IPv6 */
const char *taps_missing(void)
{
    g_autofree char *ip = g_find_program_in_path("ip");

    if (geteuid() != 0)
        return "root is needed";
    if (!ip)
        return "ip is missing: install Debian's package iproute2";
    if (access(TUN, R_OK | W_OK) < 0)
        return TUN " is missing";
    return NULL;
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, text, strlen(text)), >, 0);
    close(fd);
}

void taps_fresh_namespace(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        g_error("cannot make a network namespace: %s", g_strerror(errno));
    write_text("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    write_text("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
}

void taps_run(const char *format, ...)
{
    g_autofree char *command = NULL, *said = NULL;
    int status = -1;
    va_list ap;

    va_start(ap, format);
    command = g_strdup_vprintf(format, ap);
    va_end(ap);
    if (!g_spawn_command_line_sync(command, NULL, &said, &status, NULL) ||
        status != 0)
        g_error("%s: %s", command, said ? said : "not there");
}

int taps_open(const char *name, guint mtu, gboolean offloads)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open(TUN, O_RDWR | O_CLOEXEC | O_NONBLOCK), size = HDR_SIZE;
    const unsigned most = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

    g_assert_cmpint(fd, >=, 0);
    g_strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
    g_assert_cmpint(ioctl(fd, TUNSETIFF, &ifr), ==, 0);
    g_assert_cmpint(ioctl(fd, TUNSETVNETHDRSZ, &size), ==, 0);
    /* USO is newer than the rest */
    if (offloads &&
        ioctl(fd, TUNSETOFFLOAD, most | TUN_F_USO4 | TUN_F_USO6) < 0)
        g_assert_cmpint(ioctl(fd, TUNSETOFFLOAD, most), ==, 0);
    taps_run("ip link set dev %s mtu %u up", name, mtu);
    return fd;
}

void taps_write(int fd, const TapFrame *f)
{
    struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = f->vnet};
    struct iovec iov[] = {{&hdr, HDR_SIZE}, {f->bytes->data, f->bytes->len}};

    if (writev(fd, iov, 2) != (ssize_t)(HDR_SIZE + f->bytes->len))
        g_error("the tap takes no frame of %u bytes: %s", f->bytes->len,
                g_strerror(errno));
}

gboolean taps_read(int fd, guint ms, TapFrame *f)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct virtio_net_hdr_mrg_rxbuf hdr;
    GByteArray *bytes = g_byte_array_new();
    struct iovec iov[2] = {{&hdr, HDR_SIZE}};
    ssize_t n;

    g_byte_array_set_size(bytes, FRAME_MAX);
    iov[1] = (struct iovec){bytes->data, bytes->len};
    if (poll(&p, 1, (int)ms) != 1 || (n = readv(fd, iov, 2)) < HDR_SIZE) {
        g_byte_array_unref(bytes);
        return FALSE;
    }
    g_byte_array_set_size(bytes, (guint)n - HDR_SIZE);
    *f = (TapFrame){hdr.hdr, bytes};
    return TRUE;
}

TapCounters taps_counters(const char *name)
{
    g_autofree char *text = NULL, *label = g_strdup_printf("%s:", name);
    TapCounters c;
    const char *at;

    g_assert_true(
        g_file_get_contents("/proc/thread-self/net/dev", &text, NULL, NULL));
    at = strstr(text, label);
    g_assert_nonnull(at);
    g_assert_cmpint(sscanf(at + strlen(label),
                           "%*u %" G_GUINT64_FORMAT
                           " %*u %*u %*u %*u %*u %*u %*u %" G_GUINT64_FORMAT
                           " %*u %" G_GUINT64_FORMAT,
                           &c.rx_packets, &c.tx_packets, &c.tx_dropped),
                    ==, 3);
    return c;
}
