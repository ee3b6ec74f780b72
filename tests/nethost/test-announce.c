/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Learning a guest's addresses, and the bytes by which they are announced. */
#include "config.h"

#include <arpa/inet.h>
#include <string.h>

#include "netcompare/host/announce.h"
#include "tests/nethost/netns.h"

#define MAC_1 0x52, 0x54, 0, 0, 0, 1
static const guint8 guest[6] = {MAC_1};
static const guint8 guest_2[6] = {0x52, 0x54, 0, 0, 0, 2};
static const guint8 other[6] = {0x52, 0x54, 0, 0, 0, 9};
#define GUEST  IP4(10, 9, 0, 2)
#define OTHER  IP4(10, 9, 0, 9)
#define GUEST6 "fd09::2"
#define OTHER6 "fd09::9"

/* --- Frames as bytes ---------------------------------------------------- */

static const guint8 arp_request[60] = {
    0xff,  0xff, 0xff, 0xff, 0xff, 0xff, MAC_1, 8, 6,    /* Ethernet */
    0,     1,    8,    0,    6,    4,    0,     1,       /* request */
    MAC_1, 10,   9,    0,    2,                          /* sender */
    0,     0,    0,    0,    0,    0,    10,    9, 0, 2, /* target */
};
static const guint8 arp_reply[60] = {
    0xff,  0xff, 0xff, 0xff, 0xff, 0xff, MAC_1, 8, 6, /* Ethernet */
    0,     1,    8,    0,    6,    4,    0,     2,    /* reply */
    MAC_1, 10,   9,    0,    2,                       /* sender */
    MAC_1, 10,   9,    0,    2,                       /* target */
};
static const guint8 arp_tagged[60] = {
    0xff,  0xff, 0xff, 0xff, 0xff, 0xff, MAC_1, 0x81, 0, 0x01, 0x2a,
    8,     6,    0,    1,    8,    0,    6,     4,    0, 1, /* request */
    MAC_1, 10,   9,    0,    2,                             /* sender */
    0,     0,    0,    0,    0,    0,    10,    9,    0, 2, /* target */
};
static const guint8 rarp_request[60] = {
    0xff,  0xff, 0xff, 0xff, 0xff, 0xff, MAC_1, 0x80, 0x35, /* Ethernet */
    0,     1,    8,    0,    6,    4,    0,     3,          /* reverse */
    MAC_1, 0,    0,    0,    0,                             /* sender */
    MAC_1, 0,    0,    0,    0,                             /* target */
};
static const guint8 advertisement[86] = {
    0x33, 0x33, 0,     0,    0,    1,  MAC_1, 0x86, 0xdd, /* Ethernet */
    0x60, 0,    0,     0,    0,    32, 58,    255,        /* IPv6 */
    0xfd, 9,    0,     0,    0,    0,  0,     0,    0,
    0,    0,    0,     0,    0,    0,  2, /* source */
    0xff, 2,    0,     0,    0,    0,  0,     0,    0,
    0,    0,    0,     0,    0,    0,  1,        /* all nodes */
    136,  0,    0x0a,  0x33, 0x20, 0,  0,     0, /* override */
    0xfd, 9,    0,     0,    0,    0,  0,     0,    0,
    0,    0,    0,     0,    0,    0,  2, /* target */
    2,    1,    MAC_1,                    /* its MAC */
};

/* All frames of a round */
static void collect(const guint8 *frame, gsize len, gpointer user)
{
    g_ptr_array_add(user, g_bytes_new(frame, len));
}

static GPtrArray *announce(const NetAddresses *a)
{
    GPtrArray *frames =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

    net_addresses_announce(a, collect, frames);
    return frames;
}

#define assert_frame(frames, i, expected)                                      \
    do {                                                                       \
        gsize assert_len;                                                      \
        const guint8 *assert_data =                                            \
            g_bytes_get_data((frames)->pdata[i], &assert_len);                 \
        g_assert_cmpmem(assert_data, assert_len, expected, sizeof(expected));  \
    } while (0)

/* Which IPv4 addresses are announced, each once, as "10.9.0.2 10.9.0.3" */
static char *announced(const NetAddresses *a)
{
    g_autoptr(GPtrArray) frames = announce(a);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < frames->len; i++) {
        const guint8 *frame = g_bytes_get_data(frames->pdata[i], NULL);
        const guint8 *arp = frame + (frame[12] == 0x81 ? 18 : 14);
        char addr[INET6_ADDRSTRLEN];

        if (arp[-2] == 8 && arp[-1] == 6 && arp[7] == 1) {
            inet_ntop(AF_INET, arp + 14, addr, sizeof addr);
        } else if (arp[-2] == 0x86) {
            inet_ntop(AF_INET6, arp + 8, addr, sizeof addr);
        } else if (arp[-2] == 0x80) {
            g_strlcpy(addr, "rarp", sizeof addr);
        } else {
            continue;
        }
        g_string_append_printf(text, "%s%s", text->len ? " " : "", addr);
    }
    return g_string_free(text, FALSE);
}

static void check(NetAddresses *a, const char *expected)
{
    g_autofree char *text = announced(a);

    g_assert_cmpstr(text, ==, expected);
}

/* --- Learning ----------------------------------------------------------- */

static gsize tagged(guint8 *frame, gsize len, guint16 vlan)
{
    const guint8 tag[4] = {0x81, 0, (guint8)(vlan >> 8), (guint8)vlan};

    memmove(frame + 16, frame + 12, len - 12);
    memcpy(frame + 12, tag, 4);
    return len + 4;
}

static void learn_arp(NetAddresses *a, const guint8 mac[6], guint32 ip)
{
    guint8 frame[128];

    net_addresses_learn(a, frame, frame_arp_request(frame, mac, ip, OTHER),
                        TRUE);
}

static void learn_udp(NetAddresses *a, const guint8 src[6], const guint8 dst[6],
                      guint32 sip, guint32 dip, guint8 ttl, gboolean from_guest)
{
    guint8 frame[128];
    gsize len = frame_udp4(frame, dst, src, sip, dip, 9, "x");

    frame[22] = ttl;
    net_addresses_learn(a, frame, len, from_guest);
}

static void learn_udp6(NetAddresses *a, const guint8 src[6],
                       const guint8 dst[6], const char *sip, const char *dip,
                       gboolean from_guest)
{
    guint8 frame[128];

    net_addresses_learn(a, frame, frame_udp6(frame, dst, src, sip, dip, 9, "x"),
                        from_guest);
}

static void test_frames(void)
{
    guint8 frame[128];
    gsize len;
    NetAddresses *a = net_addresses_new();
    g_autoptr(GPtrArray) none = announce(a);

    g_assert_cmpuint(none->len, ==, 0);

    /* A MAC alone, until an address is known for it */
    memset(frame, 0, sizeof frame);
    memcpy(frame, other, 6);
    memcpy(frame + 6, guest, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    net_addresses_learn(a, frame, 14, TRUE);
    g_autoptr(GPtrArray) rarp = announce(a);
    g_assert_cmpuint(rarp->len, ==, 1);
    assert_frame(rarp, 0, rarp_request);

    learn_arp(a, guest, GUEST);
    learn_udp6(a, guest, other, GUEST6, OTHER6, TRUE);
    net_addresses_learn(a, frame, 14, TRUE);
    g_autoptr(GPtrArray) all = announce(a);
    g_assert_cmpuint(all->len, ==, 3);
    assert_frame(all, 0, arp_request);
    assert_frame(all, 1, arp_reply);
    assert_frame(all, 2, advertisement);
    net_addresses_free(a);

    a = net_addresses_new();
    len = tagged(frame, frame_arp_request(frame, guest, GUEST, OTHER), 0xe12a);
    net_addresses_learn(a, frame, len, TRUE);
    g_autoptr(GPtrArray) vlan = announce(a);
    g_assert_cmpuint(vlan->len, ==, 2);
    assert_frame(vlan, 0, arp_tagged);
    net_addresses_free(a);

    /* A priority without a VLAN is no tag to announce with */
    a = net_addresses_new();
    len = tagged(frame, frame_arp_request(frame, guest, GUEST, OTHER), 0xe000);
    net_addresses_learn(a, frame, len, TRUE);
    g_autoptr(GPtrArray) priority = announce(a);
    g_assert_cmpuint(priority->len, ==, 2);
    assert_frame(priority, 0, arp_request);
    net_addresses_free(a);
}

/* The same address in two VLANs is two. */
static void test_vlans(void)
{
    NetAddresses *a = net_addresses_new();
    guint8 frame[128];
    gsize len;

    learn_arp(a, guest, GUEST);
    len = tagged(frame, frame_arp_request(frame, guest, GUEST, OTHER), 42);
    net_addresses_learn(a, frame, len, TRUE);
    len = tagged(frame, len, 7);
    net_addresses_learn(a, frame, len, TRUE);
    g_autoptr(GPtrArray) frames = announce(a);
    g_assert_cmpuint(frames->len, ==, 6);
    /* A third tag makes it nothing of ours */
    len = tagged(frame, len, 8);
    net_addresses_learn(a, frame, len, TRUE);
    g_autoptr(GPtrArray) same = announce(a);
    g_assert_cmpuint(same->len, ==, 6);
    net_addresses_free(a);
}

static void test_not_learned(void)
{
    static const guint8 group[6] = {1, 0, 0x5e, 0, 0, 1};
    static const guint8 zero[6];
    static const guint32 never[] = {0, IP4(0, 1, 2, 3), IP4(127, 0, 0, 1),
                                    IP4(224, 0, 0, 1), IP4(255, 255, 255, 255)};
    static const char *const never6[] = {"::", "::1", "ff02::1"};
    NetAddresses *a = net_addresses_new();
    guint8 frame[128];

    learn_arp(a, group, GUEST);
    learn_arp(a, zero, GUEST);
    learn_udp(a, other, group, OTHER, GUEST, 64, FALSE);
    check(a, "");

    for (guint i = 0; i < G_N_ELEMENTS(never); i++) {
        learn_arp(a, guest, never[i]);
        learn_udp(a, guest, other, never[i], OTHER, 64, TRUE);
        learn_udp(a, other, guest, OTHER, never[i], 64, FALSE);
    }
    for (guint i = 0; i < G_N_ELEMENTS(never6); i++) {
        learn_udp6(a, guest, other, never6[i], OTHER6, TRUE);
        learn_udp6(a, other, guest, OTHER6, never6[i], FALSE);
    }
    /* ARP of hardware that is none of ours, for somebody else, cut short */
    gsize len = frame_arp_request(frame, guest, GUEST, OTHER);
    frame[15] = 6;
    net_addresses_learn(a, frame, len, TRUE);
    len = frame_arp_request(frame, guest, GUEST, OTHER);
    memcpy(frame + 22, other, 6);
    net_addresses_learn(a, frame, len, TRUE);
    len = frame_arp_request(frame, guest, GUEST, OTHER);
    net_addresses_learn(a, frame, 41, TRUE);
    check(a, "rarp");
    net_addresses_free(a);
}

/* An ICMPv6 message of neighbour discovery of 24 bytes, from the guest */
static void learn_discovery(NetAddresses *a, guint8 type, const char *src,
                            const char *target, guint8 flags)
{
    guint8 frame[128];
    gsize len =
        frame_udp6(frame, other, guest, src, "ff02::1", 0, "0123456789abcdef");

    frame[20] = 58;
    frame[21] = 255;
    memset(frame + 54, 0, 8);
    frame[54] = type;
    frame[58] = flags;
    g_assert_cmpint(inet_pton(AF_INET6, target, frame + 62), ==, 1);
    net_addresses_learn(a, frame, len, TRUE);
}

static void test_discovery(void)
{
    NetAddresses *a = net_addresses_new();

    /* Is anybody fd09::2?  Not yet ours */
    learn_discovery(a, 135, "::", GUEST6, 0);
    check(a, "rarp");
    /* Who is fd09::9?  Says who asks */
    learn_discovery(a, 135, "fe80::2", OTHER6, 0);
    check(a, "fe80::2");
    /* It is me, and no router */
    learn_discovery(a, 136, "fe80::2", GUEST6, 0x60);
    check(a, "fe80::2 fd09::2");
    g_autoptr(GPtrArray) host = announce(a);
    assert_frame(host, 1, advertisement);

    /* I am a router: with all of my addresses */
    learn_discovery(a, 134, "fe80::2", "::", 0);
    learn_discovery(a, 136, "fe80::2", "fd09::3", 0x20);
    g_autoptr(GPtrArray) router = announce(a);
    g_assert_cmpuint(router->len, ==, 3);
    for (guint i = 0; i < router->len; i++) {
        const guint8 *frame = g_bytes_get_data(router->pdata[i], NULL);

        g_assert_cmphex(frame[14 + 40 + 4], ==, 0xa0);
    }
    net_addresses_free(a);
}

/* A guest that routes does not take the addresses of whom it routes for. */
static void test_router(void)
{
    NetAddresses *a = net_addresses_new();

    learn_udp(a, guest, other, IP4(192, 0, 2, 1), OTHER, 63, TRUE);
    check(a, "rarp");
    learn_udp(a, other, guest, OTHER, IP4(192, 0, 2, 1), 64, FALSE);
    check(a, "192.0.2.1");
    learn_udp(a, guest, other, GUEST, OTHER, 64, TRUE);
    check(a, "10.9.0.2");
    learn_udp(a, guest, other, IP4(192, 0, 2, 7), OTHER, 64, TRUE);
    check(a, "10.9.0.2 192.0.2.7");
    learn_arp(a, guest, GUEST);
    check(a, "10.9.0.2");
    learn_udp(a, other, guest, OTHER, IP4(192, 0, 2, 1), 64, FALSE);
    check(a, "10.9.0.2");
    /* What is known of IPv4 says nothing about IPv6 */
    learn_udp6(a, other, guest, OTHER6, GUEST6, FALSE);
    check(a, "10.9.0.2 fd09::2");
    net_addresses_free(a);
}

/* A guest that only listens */
static void test_listener(void)
{
    NetAddresses *a = net_addresses_new();
    guint8 frame[128];
    gsize len;

    learn_udp(a, other, guest, OTHER, GUEST, 12, FALSE);
    check(a, "10.9.0.2");
    net_addresses_free(a);

    a = net_addresses_new();
    len = frame_arp_request(frame, other, OTHER, GUEST);
    net_addresses_learn(a, frame, len, FALSE);
    check(a, "");
    memcpy(frame, guest, 6);
    net_addresses_learn(a, frame, len, FALSE);
    check(a, "10.9.0.2");
    net_addresses_free(a);
}

/* An address that moves from one of the guest's cards to another */
static void test_moved(void)
{
    NetAddresses *a = net_addresses_new();

    learn_arp(a, guest_2, GUEST);
    learn_arp(a, guest, GUEST);
    g_autoptr(GPtrArray) frames = announce(a);
    g_assert_cmpuint(frames->len, ==, 2);
    assert_frame(frames, 0, arp_request);
    /* Others may be wrong about it */
    learn_udp(a, other, guest_2, OTHER, GUEST, 64, FALSE);
    g_autoptr(GPtrArray) same = announce(a);
    g_assert_cmpuint(same->len, ==, 2);
    assert_frame(same, 0, arp_request);
    net_addresses_free(a);
}

/* Whoever invents addresses does not push out the one that is used. */
static void test_bounds(void)
{
    NetAddresses *a = net_addresses_new();
    guint8 macs[NET_ANNOUNCE_MAX + 1][6];
    g_autoptr(GPtrArray) frames = NULL;
    gboolean found = FALSE;

    learn_arp(a, guest, GUEST);
    for (guint i = 0; i < 10000; i++) {
        const guint8 mac[6] = {2, 1, 0, 0, (guint8)(i >> 8), (guint8)i};

        learn_arp(a, mac, IP4(10, 10, 0, 0) + i);
        if (i % 10 == 0) {
            learn_arp(a, guest, GUEST);
        }
    }
    frames = announce(a);
    g_assert_cmpuint(frames->len, ==, 2 * NET_ANNOUNCE_MAX);
    g_assert_cmpuint(net_addresses_macs(a, macs, NET_ANNOUNCE_MAX + 1), ==,
                     NET_ANNOUNCE_MAX);
    g_assert_cmpuint(net_addresses_macs(a, macs, 3), ==, 3);
    for (guint i = 0; i < frames->len; i++) {
        const guint8 *frame = g_bytes_get_data(frames->pdata[i], NULL);

        found |= memcmp(frame + 6, guest, 6) == 0;
    }
    g_assert_true(found);
    net_addresses_free(a);
}

static void test_macs(void)
{
    NetAddresses *a = net_addresses_new();
    guint8 macs[4][6];

    learn_arp(a, guest, GUEST);
    learn_arp(a, guest, GUEST + 1);
    learn_udp6(a, guest, other, GUEST6, OTHER6, TRUE);
    learn_arp(a, guest_2, GUEST + 2);
    g_assert_cmpuint(net_addresses_macs(a, macs, 4), ==, 2);
    g_assert_cmpmem(macs[0], 6, guest, 6);
    g_assert_cmpmem(macs[1], 6, guest_2, 6);
    net_addresses_free(a);
}

/* Frames of any length and content; what sanitizers and valgrind look at */
static void test_hostile(void)
{
    static const guint16 types[] = {0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8};
    NetAddresses *a = net_addresses_new();

    for (guint i = 0; i < 50000; i++) {
        gsize len = (gsize)g_test_rand_int_range(0, 100);
        g_autofree guint8 *frame = g_malloc(MAX(len, 1));

        for (gsize k = 0; k < len; k++) {
            frame[k] = (guint8)g_test_rand_int();
        }
        for (gsize k = 12; k + 2 <= len && k <= 20; k += 4) {
            guint16 type = types[g_test_rand_int_range(0, 5)];

            frame[k] = (guint8)(type >> 8);
            frame[k + 1] = (guint8)type;
        }
        if (len > 24 && i % 2) {
            frame[14] = frame[13] == 0xdd ? 0x60 : 0x45;
            frame[20] = 58;
            frame[21] = 255;
        }
        net_addresses_learn(a, frame, len, i % 3 != 0);
    }
    g_autoptr(GPtrArray) frames = announce(a);
    g_assert_cmpuint(frames->len, >, 0);
    g_assert_cmpuint(frames->len, <=, 2 * NET_ANNOUNCE_MAX);
    for (guint i = 0; i < frames->len; i++) {
        const guint8 *frame = g_bytes_get_data(frames->pdata[i], NULL);

        g_assert_cmpuint(g_bytes_get_size(frames->pdata[i]), >=, 60);
        g_assert_cmpuint(g_bytes_get_size(frames->pdata[i]), <=, 94);
        g_assert_cmpuint(frame[6] & 1, ==, 0);
    }
    net_addresses_free(a);
}

static void test_delays(void)
{
    int sum = 0;

    g_assert_cmpint(net_announce_delay(0), ==, 0);
    for (guint i = 1; net_announce_delay(i) >= 0; i++) {
        g_assert_cmpint(net_announce_delay(i), >=, net_announce_delay(i - 1));
        sum += net_announce_delay(i);
        g_assert_cmpuint(i, <, 20);
    }
    g_assert_cmpint(sum, >=, 1000);
    g_assert_cmpint(sum, <=, 5000);
    g_assert_cmpint(net_announce_delay(G_MAXUINT), ==, -1);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/announce/frames", test_frames);
    g_test_add_func("/announce/vlans", test_vlans);
    g_test_add_func("/announce/not-learned", test_not_learned);
    g_test_add_func("/announce/discovery", test_discovery);
    g_test_add_func("/announce/router", test_router);
    g_test_add_func("/announce/listener", test_listener);
    g_test_add_func("/announce/moved", test_moved);
    g_test_add_func("/announce/bounds", test_bounds);
    g_test_add_func("/announce/macs", test_macs);
    g_test_add_func("/announce/hostile", test_hostile);
    g_test_add_func("/announce/delays", test_delays);
    return g_test_run();
}
