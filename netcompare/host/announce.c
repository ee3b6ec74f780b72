/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Learning the addresses of a guest, and announcing them.
 *
 * Theory of operation.  An address that the guest does not have must not be
 * announced: its owner would lose its traffic.  A guest that routes sends
 * packets with the addresses of others, and gets packets for them.  Its own
 * are those that it says are: as sender of ARP, as target of its neighbour
 * advertisements, as source of other neighbour discovery.  Only where it has
 * said nothing so far, and never mixed, there count as well the sources of
 * packets whose time to live is as systems set it, so that nobody seems to
 * have forwarded them; and without those, for a guest that only listens, what
 * others send to it.
 *
 * The table is small and bounded; what was not seen for longest gives way.
 */
#include "config.h"

#include <string.h>

#include "netcompare/host/announce-entry.h"

struct NetAddresses {
    AnnounceEntry entries[NET_ANNOUNCE_MAX];
    guint n;
    guint last[2]; /* where the last frame's was found, by direction */
    guint64 clock;
};

NetAddresses *net_addresses_new(void)
{
    return g_new0(NetAddresses, 1);
}

void net_addresses_free(NetAddresses *a)
{
    g_free(a);
}

/* --- What a frame says -------------------------------------------------- */

/* A frame being read; every access is by at() */
typedef struct Frame {
    const guint8 *data;
    gsize len;
} Frame;

/* n bytes at this offset, or NULL if they are not all there */
static const guint8 *at(const Frame *f, gsize offset, gsize n)
{
    return n <= f->len && offset <= f->len - n ? f->data + offset : NULL;
}

static guint16 get16(const guint8 *p)
{
    return (guint16)(p[0] << 8 | p[1]);
}

static gboolean is_mac(const guint8 mac[6])
{
    static const guint8 zero[6];

    return !(mac[0] & 1) && memcmp(mac, zero, 6) != 0;
}

/* Can a guest have this address on a network? */
static gboolean is_ipv4(const guint8 *a)
{
    return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

static gboolean is_ipv6(const guint8 *a)
{
    static const guint8 reserved[15];

    /* ::, ::1 and the like; multicast */
    return memcmp(a, reserved, sizeof reserved) != 0 && a[0] != 0xff;
}

static void set_ipv4(AnnounceEntry *e, const guint8 *addr, AnnounceTrust trust)
{
    if (is_ipv4(addr)) {
        e->family = ANNOUNCE_IPV4;
        memcpy(e->addr, addr, 4);
        e->trust = trust;
    }
}

static void set_ipv6(AnnounceEntry *e, const guint8 *addr, AnnounceTrust trust)
{
    if (is_ipv6(addr)) {
        e->family = ANNOUNCE_IPV6;
        memcpy(e->addr, addr, 16);
        e->trust = trust;
    }
}

/* As systems set it: whoever forwards a packet takes one away */
static gboolean is_first_hop(guint8 ttl)
{
    return ttl == 64 || ttl == 128 || ttl == 255;
}

static void read_arp(const Frame *f, gsize offset, gboolean from_guest,
                     AnnounceEntry *e)
{
    static const guint8 ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
    const guint8 *arp = at(f, offset, 28);

    if (!arp || memcmp(arp, ethernet_ipv4, 6) != 0) {
        return;
    }
    /* Not where somebody speaks for another, as a bridge may */
    if (from_guest && memcmp(arp + 8, e->mac, 6) == 0) {
        set_ipv4(e, arp + 14, ANNOUNCE_OWN);
    } else if (!from_guest) {
        set_ipv4(e, arp + 24, ANNOUNCE_OTHERS);
    }
}

static void read_ipv4(const Frame *f, gsize offset, gboolean from_guest,
                      AnnounceEntry *e)
{
    const guint8 *ip = at(f, offset, 20);

    if (!ip || ip[0] >> 4 != 4 || (ip[0] & 15) < 5) {
        return;
    }
    if (from_guest && is_first_hop(ip[8])) {
        set_ipv4(e, ip + 12, ANNOUNCE_SENT);
    } else if (!from_guest) {
        set_ipv4(e, ip + 16, ANNOUNCE_OTHERS);
    }
}

/* Neighbour discovery of the guest: RFC 4861; its source is in e already */
static void read_discovery(const Frame *f, gsize offset, AnnounceEntry *e)
{
    const guint8 *icmp = at(f, offset, 8);

    if (!icmp) {
        return;
    }
    switch (icmp[0]) {
    case 134: /* router advertisement */
        e->router = TRUE;
        e->trust = ANNOUNCE_OWN;
        break;
    case 133: /* router, neighbour solicitation */
    case 135:
        e->trust = ANNOUNCE_OWN;
        break;
    case 136: /* neighbour advertisement: what it is about counts */
        e->family = ANNOUNCE_MAC;
        memset(e->addr, 0, sizeof e->addr);
        if (at(f, offset, 24)) {
            set_ipv6(e, icmp + 8, ANNOUNCE_OWN);
            e->router = icmp[4] >> 7;
        }
        break;
    default:
        break;
    }
}

static void read_ipv6(const Frame *f, gsize offset, gboolean from_guest,
                      AnnounceEntry *e)
{
    const guint8 *ip = at(f, offset, 40);

    if (!ip || ip[0] >> 4 != 6) {
        return;
    }
    if (!from_guest) {
        set_ipv6(e, ip + 24, ANNOUNCE_OTHERS);
    } else if (is_first_hop(ip[7])) {
        /* The source of duplicate address detection is :: */
        set_ipv6(e, ip + 8, ANNOUNCE_SENT);
        if (ip[6] == 58 && ip[7] == 255) {
            read_discovery(f, offset + 40, e);
        }
    }
}

/* What the frame says about the guest's addresses; FALSE: nothing at all */
static gboolean read_frame(const Frame *f, gboolean from_guest,
                           AnnounceEntry *e)
{
    const guint8 *head = at(f, 0, 14);
    gsize offset = 12;
    guint tags = 0;

    memset(e, 0, sizeof *e);
    if (!head || !is_mac(from_guest ? head + 6 : head)) {
        return FALSE;
    }
    memcpy(e->mac, from_guest ? head + 6 : head, 6);
    for (;; offset += 4) {
        const guint8 *tag = at(f, offset, 4);

        if (!tag || (get16(tag) != 0x8100 && get16(tag) != 0x88a8)) {
            break;
        }
        if (++tags > ANNOUNCE_TAGS) {
            return FALSE;
        }
        /* One without a VLAN's number carries a priority only */
        if ((get16(tag + 2) & 0xfff) != 0) {
            memcpy(e->tags[e->n_tags], tag, 4);
            e->tags[e->n_tags++][2] &= 0x0f;
        }
    }
    if (!at(f, offset, 2)) {
        return FALSE;
    }
    switch (get16(at(f, offset, 2))) {
    case 0x0800:
        read_ipv4(f, offset + 2, from_guest, e);
        break;
    case 0x0806:
        read_arp(f, offset + 2, from_guest, e);
        break;
    case 0x86dd:
        read_ipv6(f, offset + 2, from_guest, e);
        break;
    default:
        break;
    }
    return TRUE;
}

/* --- The table ---------------------------------------------------------- */

static gboolean same_mac(const AnnounceEntry *a, const AnnounceEntry *b)
{
    return memcmp(a->mac, b->mac, 6) == 0 && a->n_tags == b->n_tags &&
           memcmp(a->tags, b->tags, sizeof a->tags) == 0;
}

static gboolean same_address(const AnnounceEntry *a, const AnnounceEntry *b)
{
    if (a->family != b->family) {
        return FALSE;
    }
    if (a->family == ANNOUNCE_MAC) {
        return same_mac(a, b);
    }
    return memcmp(a->addr, b->addr, 16) == 0 && a->n_tags == b->n_tags &&
           memcmp(a->tags, b->tags, sizeof a->tags) == 0;
}

static AnnounceEntry *find(NetAddresses *a, const AnnounceEntry *e,
                           gboolean from_guest)
{
    guint *last = &a->last[from_guest != FALSE];

    if (*last < a->n && same_address(&a->entries[*last], e)) {
        return &a->entries[*last];
    }
    for (guint i = 0; i < a->n; i++) {
        if (same_address(&a->entries[i], e)) {
            *last = i;
            return &a->entries[i];
        }
    }
    return NULL;
}

/* An address is known for this MAC: nothing new in a frame without one. */
static gboolean has_address(const NetAddresses *a, const AnnounceEntry *e)
{
    for (guint i = 0; i < a->n; i++) {
        if (a->entries[i].family != ANNOUNCE_MAC &&
            same_mac(&a->entries[i], e)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* What replaces an entry: of this MAC alone, or what was not seen longest */
static AnnounceEntry *make_room(NetAddresses *a, const AnnounceEntry *e)
{
    AnnounceEntry *oldest = &a->entries[0];

    for (guint i = 0; i < a->n; i++) {
        AnnounceEntry *i_entry = &a->entries[i];

        if (i_entry->family == ANNOUNCE_MAC && same_mac(i_entry, e)) {
            return i_entry;
        }
        if (i_entry->seen < oldest->seen) {
            oldest = i_entry;
        }
    }
    return a->n < NET_ANNOUNCE_MAX ? &a->entries[a->n++] : oldest;
}

/* A router says so with one of its addresses, and is one with all. */
static void spread_router(NetAddresses *a, AnnounceEntry *e)
{
    for (guint i = 0; i < a->n; i++) {
        AnnounceEntry *other = &a->entries[i];

        if (other->family == ANNOUNCE_IPV6 && same_mac(other, e)) {
            other->router |= e->router;
            e->router |= other->router;
        }
    }
}

void net_addresses_learn(NetAddresses *a, const guint8 *frame, gsize len,
                         gboolean from_guest)
{
    const Frame f = {frame, len};
    AnnounceEntry e, *known;

    if (!read_frame(&f, from_guest, &e)) {
        return;
    }
    e.seen = ++a->clock;
    known = find(a, &e, from_guest);
    if (e.family == ANNOUNCE_IPV6 && (!known || e.router)) {
        spread_router(a, &e);
    }
    if (known && same_mac(known, &e)) {
        known->seen = e.seen;
        known->trust = MAX(known->trust, e.trust);
        known->router |= e.router;
    } else if (known && e.trust >= known->trust) {
        *known = e;
    } else if (!known && (e.family != ANNOUNCE_MAC || !has_address(a, &e))) {
        *make_room(a, &e) = e;
    }
}

guint net_addresses_macs(const NetAddresses *a, guint8 (*macs)[6], guint max)
{
    guint n = 0;

    for (guint i = 0; i < a->n && n < max; i++) {
        guint k = 0;

        while (k < n && memcmp(macs[k], a->entries[i].mac, 6) != 0) {
            k++;
        }
        if (k == n) {
            memcpy(macs[n++], a->entries[i].mac, 6);
        }
    }
    return n;
}

/* Nothing that is more certain is known of the same MAC and family. */
static gboolean is_believed(const NetAddresses *a, const AnnounceEntry *e)
{
    for (guint i = 0; i < a->n; i++) {
        const AnnounceEntry *other = &a->entries[i];

        if (other->trust > e->trust && other->family == e->family &&
            same_mac(other, e)) {
            return FALSE;
        }
    }
    return TRUE;
}

void net_addresses_announce(const NetAddresses *a,
                            void (*emit)(const guint8 *frame, gsize len,
                                         gpointer user),
                            gpointer user)
{
    guint8 frame[ANNOUNCE_FRAME_MAX];

    for (guint i = 0; i < a->n; i++) {
        const AnnounceEntry *e = &a->entries[i];

        if (!is_believed(a, e)) {
            continue;
        }
        switch (e->family) {
        case ANNOUNCE_IPV4:
            emit(frame, announce_arp(frame, e, FALSE), user);
            emit(frame, announce_arp(frame, e, TRUE), user);
            break;
        case ANNOUNCE_IPV6:
            emit(frame, announce_na(frame, e), user);
            break;
        case ANNOUNCE_MAC:
            emit(frame, announce_rarp(frame, e), user);
            break;
        }
    }
}

/* As QEMU's announce: soon several times, for what is lost meanwhile */
int net_announce_delay(guint round)
{
    static const int delays[] = {0, 50, 150, 250, 350, 550, 1000};

    return round < G_N_ELEMENTS(delays) ? delays[round] : -1;
}
