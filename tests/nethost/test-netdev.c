/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking up interfaces, and the counters of what a guest's QEMU has read. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netcompare/host/netdev.h"
#include "tests/nethost/netns.h"

static NetHost *new_host(void)
{
    g_autoptr(GError) error = NULL;
    NetHost *h = net_host_new(&error);

    g_assert_no_error(error);
    return h;
}

static NetDev get(NetHost *h, const char *name)
{
    g_autoptr(GError) error = NULL;
    NetDev dev;

    net_host_get(h, name, &dev, &error);
    g_assert_no_error(error);
    return dev;
}

static void test_get(void)
{
    if (!netns_enter()) {
        return;
    }
    NetHost *h = new_host();
    int tap = netns_tap("tap0");
    NetDev dev = get(h, "tap0");

    g_assert_cmpstr(dev.name, ==, "tap0");
    g_assert_cmpuint(dev.mtu, ==, 1500);
    g_assert_true(dev.up);
    g_assert_cmpint(dev.master, ==, 0);
    g_assert_cmpstr(dev.master_name, ==, "");
    g_assert_false(dev.master_is_bridge);

    netns_run("ip link add br0 type bridge");
    netns_run("ip link set tap0 master br0 mtu 1400 down "
              "address 02:00:00:00:00:07");
    dev = get(h, "tap0");
    g_assert_cmpuint(dev.mtu, ==, 1400);
    g_assert_false(dev.up);
    g_assert_cmpstr(dev.master_name, ==, "br0");
    g_assert_true(dev.master_is_bridge);
    g_assert_cmpint(dev.master, ==, get(h, "br0").index);
    g_assert_cmpmem(dev.mac, 6, "\x02\0\0\0\0\x07", 6);
    close(tap);
    net_host_free(h);
}

static void test_get_errors(void)
{
    static const char *const wrong[] = {"", "sixteen-bytes-xx", "a/b"};
    g_autoptr(GError) error = NULL;
    NetDev dev;

    if (!netns_enter()) {
        return;
    }
    NetHost *h = new_host();
    g_assert_false(net_host_get(h, "tap9", &dev, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "tap9"));
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&error);
        g_assert_false(net_host_get(h, wrong[i], &dev, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    }
    /* After an error the socket serves as before */
    g_assert_cmpint(get(h, "lo").index, ==, 1);
    net_host_free(h);
}

static void consumed(NetHost *h, int index, guint64 *n, guint64 *dropped)
{
    g_autoptr(GError) error = NULL;

    net_host_consumed(h, index, n, dropped, &error);
    g_assert_no_error(error);
}

/* Frames wait in the tap until they are read, or are dropped. */
static void test_consumed(void)
{
    static const guint8 guest[6] = {0x52, 0x54, 0, 0, 0, 1};
    guint8 frame[2048];
    guint64 n0, d0, n, d;
    g_autoptr(GError) error = NULL;

    if (!netns_enter()) {
        return;
    }
    NetHost *h = new_host();
    int tap = netns_tap("tap0");
    netns_run("sysctl -qw net.ipv6.conf.tap0.disable_ipv6=1");
    netns_run("ip link set tap0 txqueuelen 8");
    int sock = netns_packet_socket("tap0");
    int index = get(h, "tap0").index;
    gsize len = frame_udp4(frame, guest, guest, 1, 2, 9, "for the guest");

    netns_drain(tap);
    consumed(h, index, &n0, &d0);
    for (int i = 0; i < 3; i++) {
        netns_send(sock, frame, len);
    }
    consumed(h, index, &n, &d);
    g_assert_cmpuint(n - n0, ==, 0);
    g_assert_cmpuint(netns_any(tap, frame, sizeof frame, 1000), ==, len);
    consumed(h, index, &n, &d);
    g_assert_cmpuint(n - n0, ==, 1);
    netns_drain(tap);
    consumed(h, index, &n, &d);
    g_assert_cmpuint(n - n0, ==, 3);
    g_assert_cmpuint(d - d0, ==, 0);

    /* What the guest sends is not counted */
    netns_send(tap, frame, len);
    consumed(h, index, &n, &d);
    g_assert_cmpuint(n - n0, ==, 3);

    for (int i = 0; i < 20; i++) {
        netns_send(sock, frame, len);
    }
    netns_drain(tap);
    consumed(h, index, &n, &d);
    g_test_message("%" G_GUINT64_FORMAT " read, %" G_GUINT64_FORMAT " dropped",
                   n - n0, d - d0);
    g_assert_cmpuint(n - n0, <, 3 + 20);
    g_assert_cmpuint(n - n0 + d - d0, ==, 3 + 20);

    /* A renamed one is the same */
    netns_run("ip link set tap0 down");
    netns_run("ip link set tap0 name othertap");
    consumed(h, index, &n0, &d0);
    g_assert_cmpuint(n, ==, n0);

    close(tap);
    g_assert_false(net_host_consumed(h, index, &n, &d, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
    close(sock);
    net_host_free(h);
}

static int compare_gint64(const void *a, const void *b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

/* On a host with many interfaces, ours the last one */
static void test_consumed_many(void)
{
    enum { N = 500, INTERFACES = 200 };
    gint64 took[N];
    guint64 n, d;
    GString *batch = g_string_new(NULL);
    g_autofree char *file = NULL;
    int fd = g_file_open_tmp("colo-netdev-XXXXXX", &file, NULL);

    if (!netns_enter()) {
        return;
    }
    NetHost *h = new_host();
    for (int i = 0; i < INTERFACES; i++) {
        g_string_append_printf(batch, "link add many-%d type bridge\n", i);
    }
    g_assert_cmpint(write(fd, batch->str, batch->len), ==, batch->len);
    close(fd);
    netns_run("ip -batch %s", file);
    unlink(file);
    g_string_free(batch, TRUE);
    int tap = netns_tap("tap0");
    int index = get(h, "tap0").index;

    for (int i = 0; i < N; i++) {
        gint64 start = g_get_monotonic_time();

        consumed(h, index, &n, &d);
        took[i] = g_get_monotonic_time() - start;
    }
    qsort(took, N, sizeof took[0], compare_gint64);
    g_test_message("%d interfaces: median %d us, 99%% below %d us",
                   INTERFACES + 2, (int)took[N / 2], (int)took[N * 99 / 100]);
    g_assert_cmpint(took[N / 2], <, 5000);
    close(tap);
    net_host_free(h);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/netdev/get", test_get);
    g_test_add_func("/netdev/get-errors", test_get_errors);
    g_test_add_func("/netdev/consumed", test_consumed);
    g_test_add_func("/netdev/consumed-many", test_consumed_many);
    return g_test_run();
}
