/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a guest's peers are.  See peers.h. */
#include "netcompare/proxy/peers.h"

#include <string.h>

enum {
    SLOTS = 1024, /* a power of two */
    SLOT_SHIFT = 32 - 10,
    MAC_LEN = 6,
    ETHER_LEN = 14,
    TAG_LEN = 4,
    TYPE_AT = 12,
    VID = 0xfff,
    TYPE_VLAN = 0x8100,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    IPV4_ADDRESSES_AT = 12,
    IPV4_HEADER = 20,
    IPV6_ADDRESSES_AT = 8,
    IPV6_HEADER = 40,
};

typedef enum { UNTRIED, TRIAL, REACHED, NOT_REACHED } State;

typedef struct Peer {
    guint8 addresses[32]; /* its own, then the guest's; IPv4: 4 bytes each */
    guint8 head[ETHER_LEN + TAG_LEN]; /* of a frame to it */
    guint8 head_len;                  /* 0: nobody */
    gboolean ambiguous; /* heard in two VLANs: which one is not known */
    State state;
    gint64 since;         /* of the state */
    guint64 voids;        /* at the trial's begin */
    guint16 sport, dport; /* of the trial, as the guest sends it */
    guint32 ack;          /* that ends it */
} Peer;

struct Peers {
    Peer slots[SLOTS];
    guint64 voids;
    guint in_a_row; /* not reached */
    gint64 quiet_until;
};

Peers *peers_new(void)
{
    return g_new0(Peers, 1);
}

void peers_free(Peers *p)
{
    g_free(p);
}

static gsize address_len(guint16 type)
{
    return type == TYPE_IPV4 ? 4 : 16;
}

/* The last four bytes tell neighbours apart, in both versions of IP. */
static guint slot_of(const guint8 *peer, const guint8 *guest, gsize len)
{
    guint32 x = net_get32(peer + len - 4) + 31 * net_get32(guest + len - 4);

    return x * 0x9e3779b1u >> SLOT_SHIFT;
}

static guint16 type_of(const Peer *peer)
{
    return net_get16(peer->head + peer->head_len - 2);
}

static gboolean is_for(const Peer *peer, guint16 type, const guint8 *addresses)
{
    return peer->head_len && type_of(peer) == type &&
           !memcmp(peer->addresses, addresses, 2 * address_len(type));
}

static Peer *find(Peers *p, const NetPacket *packet)
{
    gsize len = address_len(packet->key.ethertype);
    Peer *peer = &p->slots[slot_of(packet->key.dst, packet->key.src, len)];
    guint8 addresses[32];

    memcpy(addresses, packet->key.dst, len);
    memcpy(addresses + len, packet->key.src, len);
    return is_for(peer, packet->key.ethertype, addresses) ? peer : NULL;
}

const guint8 *peers_head(Peers *p, const NetPacket *packet, gsize *len)
{
    const Peer *peer = find(p, packet);

    if (!peer || peer->ambiguous) {
        return NULL;
    }
    *len = peer->head_len;
    return peer->head;
}

/* --- Trials ------------------------------------------------------------- */

static void set_state(Peer *peer, State state, gint64 now)
{
    peer->state = state;
    peer->since = now;
}

static gboolean in_time(const Peer *peer, gint64 now)
{
    return now - peer->since <= PEERS_TRIAL_US;
}

/* A packet of the peer came while its trial runs. */
static void check_ack(Peers *p, Peer *peer, const guint8 *packet, gsize len,
                      gint64 now)
{
    NetPacket x;

    if (peer->voids != p->voids || !in_time(peer, now)) {
        return; /* peers_may_send() finds out */
    }
    if (net_packet_parse(&x, type_of(peer), packet, len, 0, 0) ==
            NET_KIND_TCP &&
        x.key.sport == peer->dport && x.key.dport == peer->sport &&
        x.flags & NET_TCP_ACK && net_seq_le(peer->ack, x.ack)) {
        set_state(peer, REACHED, now);
        p->in_a_row = 0;
    }
}

static void end_trial(Peers *p, Peer *peer, gint64 now)
{
    if (peer->voids != p->voids) {
        set_state(peer, UNTRIED, now);
        return;
    }
    set_state(peer, NOT_REACHED, now);
    if (++p->in_a_row >= PEERS_IN_A_ROW) {
        p->quiet_until = now + PEERS_VALID_US;
        p->in_a_row = 0;
    }
}

gboolean peers_may_send(Peers *p, const NetPacket *segment, gint64 now_us)
{
    Peer *peer = find(p, segment);

    if (!peer || peer->ambiguous) {
        return FALSE;
    }
    if (peer->state == TRIAL) {
        if (peer->voids == p->voids && in_time(peer, now_us)) {
            return peer->sport == segment->key.sport &&
                   peer->dport == segment->key.dport;
        }
        end_trial(p, peer, now_us);
    }
    if (peer->state != UNTRIED && now_us - peer->since > PEERS_VALID_US) {
        set_state(peer, UNTRIED, now_us);
    }
    return peer->state == REACHED ||
           (peer->state == UNTRIED && now_us >= p->quiet_until);
}

void peers_sent(Peers *p, const NetPacket *segment, guint32 seq, gint64 now_us)
{
    Peer *peer = find(p, segment);

    if (peer && peer->state == UNTRIED) {
        set_state(peer, TRIAL, now_us);
        peer->voids = p->voids;
        peer->sport = segment->key.sport;
        peer->dport = segment->key.dport;
        peer->ack = seq;
    }
}

void peers_void_trials(Peers *p)
{
    p->voids++;
}

/* --- What comes in ------------------------------------------------------ */

static gboolean same_vlan(const Peer *peer, gsize head, guint16 vid)
{
    return peer->head_len == head &&
           (head == ETHER_LEN || net_get16(peer->head + ETHER_LEN) == vid);
}

static void set_head(Peer *peer, const guint8 *frame, gsize head, guint16 vid)
{
    memcpy(peer->head, frame + MAC_LEN, MAC_LEN);
    memcpy(peer->head + MAC_LEN, frame, MAC_LEN);
    memcpy(peer->head + TYPE_AT, frame + TYPE_AT, head - TYPE_AT);
    if (head > ETHER_LEN) {
        net_put16(peer->head + ETHER_LEN, vid); /* the priority was theirs */
    }
    peer->head_len = (guint8)head;
}

void peers_learn(Peers *p, const guint8 *frame, gsize len, gint64 now_us)
{
    gsize head = ETHER_LEN, at = IPV4_ADDRESSES_AT, n = 4;
    guint16 type, vid = 0;
    const guint8 *addresses;
    Peer *peer;

    /* Neither comes a frame from a group, nor may one of ours. */
    if (len < ETHER_LEN + TAG_LEN || (frame[0] | frame[MAC_LEN]) & 1) {
        return;
    }
    type = net_get16(frame + TYPE_AT);
    if (type == TYPE_VLAN) {
        vid = net_get16(frame + ETHER_LEN) & VID;
        type = net_get16(frame + ETHER_LEN + 2);
        head += TAG_LEN;
    }
    if (type == TYPE_IPV6) {
        at = IPV6_ADDRESSES_AT;
        n = 16;
    }
    if ((type != TYPE_IPV4 && type != TYPE_IPV6) ||
        len - head < (type == TYPE_IPV4 ? IPV4_HEADER : IPV6_HEADER)) {
        return;
    }
    addresses = frame + head + at;
    peer = &p->slots[slot_of(addresses, addresses + n, n)];
    if (!is_for(peer, type, addresses)) {
        memset(peer, 0, sizeof(*peer));
        memcpy(peer->addresses, addresses, 2 * n);
        set_head(peer, frame, head, vid);
        return;
    }
    if (!same_vlan(peer, head, vid)) {
        peer->ambiguous = TRUE;
    } else if (memcmp(peer->head, frame + MAC_LEN, MAC_LEN) ||
               memcmp(peer->head + MAC_LEN, frame, MAC_LEN)) {
        set_head(peer, frame, head, vid);
    }
    if (peer->state == TRIAL) {
        check_ack(p, peer, frame + head, len - head, now_us);
    }
}
