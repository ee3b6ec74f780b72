/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Vnet headers that their frame can, and cannot, have. */
#include "config.h"

#include "netcompare/capture/tap.h"

#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCP4 VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6 VIRTIO_NET_HDR_GSO_TCPV6
#define ECN  VIRTIO_NET_HDR_GSO_ECN
#define UFO  VIRTIO_NET_HDR_GSO_UDP
#define USO  5

/* flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
static const struct {
    struct virtio_net_hdr vnet;
    gsize len;
    gboolean ok;
} cases[] = {
    {{0, 0, 0, 0, 0, 0}, 14, TRUE},
    {{0, 0, 0, 0, 0, 0}, NET_TAP_MAX_FRAME, TRUE},
    {{VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, 0, 0}, 60, TRUE},
    {{0, 0, 60, 0, 0, 0}, 60, TRUE},
    {{CSUM, 0, 0, 0, 34, 6}, 42, TRUE},
    {{CSUM, 0, 0, 0, 34, 6}, 60, TRUE},
    {{CSUM, TCP4, 54, 1448, 34, 16}, 65000, TRUE},
    {{CSUM, TCP4 | ECN, 54, 1448, 34, 16}, 65000, TRUE},
    {{CSUM, TCP6, 74, 1428, 54, 16}, 65000, TRUE},
    {{CSUM, UFO, 42, 1472, 34, 6}, 65000, TRUE},
    {{CSUM, USO, 42, 1472, 34, 6}, 65000, TRUE},
    {{0, TCP4, 54, 1448, 0, 0}, 65000, TRUE},
    /* fields without meaning are not looked at */
    {{0, 0, 0, 0xffff, 0xffff, 0xffff}, 60, TRUE},

    {{0, 0, 0, 0, 0, 0}, 0, FALSE},
    {{0, 0, 0, 0, 0, 0}, 13, FALSE},
    {{0, 0, 0, 0, 0, 0}, NET_TAP_MAX_FRAME + 1, FALSE},
    {{0, 0, 0, 0, 0, 0}, G_MAXSIZE, FALSE},
    {{0, 0, 61, 0, 0, 0}, 60, FALSE},
    {{CSUM, 0, 0xffff, 0, 34, 6}, 60, FALSE},
    {{CSUM, 0, 0, 0, 13, 6}, 60, FALSE},
    {{CSUM, 0, 0, 0, 61, 6}, 60, FALSE},
    {{CSUM, 0, 0, 0, 0xffff, 0xffff}, 60, FALSE},
    {{CSUM, 0, 0, 0, 34, 25}, 60, FALSE},
    {{CSUM, 0, 0, 0, 34, 0xffff}, 60, FALSE},
    {{CSUM, 0, 0, 0, 59, 0}, 60, FALSE},
    {{CSUM, TCP4, 54, 0, 34, 16}, 65000, FALSE},
    {{CSUM, TCP4, 54, 1448, 34, 6}, 65000, FALSE},
    {{CSUM, TCP6, 54, 1448, 34, 14}, 65000, FALSE},
    {{CSUM, TCP4, 0, 1448, 41, 16}, 60, FALSE},
    {{CSUM, USO, 42, 1472, 34, 16}, 65000, FALSE},
    {{CSUM, USO | ECN, 42, 1472, 34, 6}, 65000, FALSE},
    {{CSUM, UFO | ECN, 42, 1472, 34, 6}, 65000, FALSE},
    {{0, ECN, 0, 0, 0, 0}, 60, FALSE},
    {{0, 2, 0, 100, 0, 0}, 60, FALSE},
    {{0, 0x20, 0, 100, 0, 0}, 60, FALSE},
    {{0, 0x7f, 0, 100, 0, 0}, 60, FALSE},
    {{VIRTIO_NET_HDR_F_RSC_INFO, 0, 0, 0, 0, 0}, 60, FALSE},
    {{0x80, 0, 0, 0, 0, 0}, 60, FALSE},
};

static void test_table(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        g_assert_cmpint(net_vnet_ok(&cases[i].vnet, cases[i].len), ==,
                        cases[i].ok);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vnet/table", test_table);
    return g_test_run();
}
