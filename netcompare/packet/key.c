/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows: hashed, compared, seen from the other end and printed. */
#include "netcompare/packet/packet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define XXH_INLINE_ALL /* a key's size is known: a few instructions */
#include <xxhash.h>

G_STATIC_ASSERT(sizeof(NetKey) == 44); /* no holes: they would be hashed */

/* Clients choose addresses and ports: they must not choose the bucket. */
static guint64 hash_seed(void)
{
    static gsize seed;

    if (g_once_init_enter(&seed)) {
        guint64 r = (guint64)g_random_int() << 32 | g_random_int();

        g_once_init_leave(&seed, (gsize)r | 1);
    }
    return seed;
}

guint net_key_hash(gconstpointer key)
{
    guint64 h = XXH3_64bits_withSeed(key, sizeof(NetKey), hash_seed());

    return (guint)(h ^ h >> 32);
}

gboolean net_key_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(NetKey));
}

static gboolean has_ports(const NetKey *key)
{
    /* ICMP's identifier is the same both ways, and always in sport. */
    return key->proto != IPPROTO_ICMP && key->proto != IPPROTO_ICMPV6;
}

NetKey net_key_reverse(const NetKey *key)
{
    NetKey r = *key;

    memcpy(r.src, key->dst, sizeof(r.src));
    memcpy(r.dst, key->src, sizeof(r.dst));
    if (has_ports(key)) {
        r.sport = key->dport;
        r.dport = key->sport;
    }
    return r;
}

static void put_end(GString *s, const NetKey *key, const guint8 *address,
                    guint16 port)
{
    gboolean v6 = key->ethertype == 0x86dd;
    gboolean ports = has_ports(key) && (key->sport || key->dport);
    char text[INET6_ADDRSTRLEN];

    inet_ntop(v6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
    if (!ports) {
        g_string_append(s, text);
    } else if (v6) {
        g_string_append_printf(s, "[%s]:%u", text, port);
    } else {
        g_string_append_printf(s, "%s:%u", text, port);
    }
}

static void put_protocol(GString *s, guint8 proto)
{
    switch (proto) {
    case IPPROTO_TCP:
        g_string_append(s, "tcp");
        break;
    case IPPROTO_UDP:
        g_string_append(s, "udp");
        break;
    case IPPROTO_ICMP:
        g_string_append(s, "icmp");
        break;
    case IPPROTO_ICMPV6:
        g_string_append(s, "icmpv6");
        break;
    default:
        g_string_append_printf(s, "ip-%u", proto);
    }
}

char *net_key_format(const NetKey *key)
{
    GString *s = g_string_new(NULL);

    if (key->ethertype == 0x0800 || key->ethertype == 0x86dd) {
        put_protocol(s, key->proto);
        g_string_append_c(s, ' ');
        put_end(s, key, key->src, key->sport);
        g_string_append(s, " > ");
        put_end(s, key, key->dst, key->dport);
        if (!has_ports(key) && key->sport) {
            g_string_append_printf(s, " id %u", key->sport);
        }
    } else {
        g_string_append_printf(s, "ethertype 0x%04x", key->ethertype);
    }
    if (key->vlan) {
        g_string_append_printf(s, " vlan %u", key->vlan);
    }
    return g_string_free(s, FALSE);
}
