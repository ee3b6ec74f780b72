/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Internet checksum.  Sums are of words in the host's order, which gives
 * the same result with its bytes swapped (RFC 1071, 2); they are swapped once,
 * at the end.
 */
#include "netcompare/packet/checksum.h"

#include <netinet/in.h>
#include <string.h>

static inline guint64 both_halves(const guint8 *p)
{
    guint64 w;

    memcpy(&w, p, sizeof(w));
    return (w & G_MAXUINT32) + (w >> 32);
}

guint64 net_sum(const void *data, gsize len, guint64 sum)
{
    const guint8 *p = data;
    guint64 a = 0, b = 0, c = 0, d = 0;
    guint16 word;

    for (; len >= 32; p += 32, len -= 32) {
        a += both_halves(p);
        b += both_halves(p + 8);
        c += both_halves(p + 16);
        d += both_halves(p + 24);
    }
    sum += a + b + c + d;
    for (; len >= 2; p += 2, len -= 2) {
        memcpy(&word, p, sizeof(word));
        sum += word;
    }
    if (len) {
        guint8 last[2] = {*p, 0};

        memcpy(&word, last, sizeof(word));
        sum += word;
    }
    return sum;
}

static guint16 fold(guint64 sum)
{
    sum = (sum & G_MAXUINT32) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (guint16)sum;
}

guint16 net_sum_fold(guint64 sum)
{
    return (guint16)~GUINT16_FROM_BE(fold(sum));
}

/* --- As a difference ---------------------------------------------------- */

/* HC' = ~(~HC + ~m + m') (RFC 1624, 3); difference: ~m + m'. */
static void adjust(guint8 *check, guint32 difference, gboolean odd)
{
    guint16 d = fold(difference);

    if (odd) {
        d = GUINT16_SWAP_LE_BE(d);
    }
    net_put16(check, (guint16)~fold((guint16)~net_get16(check) + (guint32)d));
}

void net_replace16(guint8 *field, guint16 value, guint8 *check, gboolean odd)
{
    guint16 old = net_get16(field);

    if (old == value) {
        return;
    }
    net_put16(field, value);
    if (check) {
        adjust(check, (guint32)(guint16)~old + value, odd);
    }
}

void net_replace32(guint8 *field, guint32 value, guint8 *check, gboolean odd)
{
    guint32 old = net_get32(field);

    if (old == value) {
        return;
    }
    net_put32(field, value);
    if (check) {
        adjust(check,
               (~old >> 16) + (~old & 0xffff) + (value >> 16) +
                   (value & 0xffff),
               odd);
    }
}

/* --- Whole packets ------------------------------------------------------ */

typedef enum { SUM_NONE, SUM_UNKNOWN, SUM_HERE } SumKind;

typedef struct Transport {
    guint32 check; /* offset in the packet */
    guint32 len;   /* summed bytes from l4 on */
    gboolean pseudo;
    gboolean may_be_absent; /* 0: nobody summed */
} Transport;

/* Between header and transport: on its way to somewhere else? */
static gboolean is_routed_on(const NetPacket *p)
{
    guint32 at = 40;
    guint8 next = p->data[6];

    /* The parser has found all of them whole. */
    while (at < p->l4 && p->l4 - at >= 8) {
        const guint8 *h = p->data + at;

        if (next == IPPROTO_ROUTING && h[3]) {
            return TRUE;
        }
        if (next == IPPROTO_FRAGMENT) {
            at += 8;
        } else if (next == IPPROTO_AH) {
            at += (h[1] + 2u) * 4;
        } else {
            at += (h[1] + 1u) * 8;
        }
        next = h[0];
    }
    return FALSE;
}

static SumKind find_transport(const NetPacket *p, Transport *t)
{
    gboolean v6 = p->key.ethertype == 0x86dd;
    guint32 left = p->len - p->l4, at;

    if (p->kind == NET_KIND_BAD || p->kind == NET_KIND_FRAGMENT ||
        (!v6 && p->key.ethertype != 0x0800)) {
        return SUM_NONE;
    }
    t->len = left;
    t->pseudo = TRUE;
    t->may_be_absent = FALSE;
    switch (p->key.proto) {
    case IPPROTO_TCP:
        at = 16;
        break;
    case IPPROTO_UDP:
        at = 6;
        t->may_be_absent = !v6;
        if (left >= 6 && net_get16(p->data + p->l4 + 4)) {
            t->len = net_get16(p->data + p->l4 + 4);
        }
        break;
    case IPPROTO_ICMP:
        at = 2;
        t->pseudo = FALSE;
        if (v6) {
            return SUM_NONE;
        }
        break;
    case IPPROTO_ICMPV6:
        at = 2;
        if (!v6) {
            return SUM_NONE;
        }
        break;
    default:
        return SUM_NONE;
    }
    if (t->len > left || t->len < at + 2) {
        return SUM_NONE;
    }
    t->check = p->l4 + at;
    /* The last destination is in the routing header: not where we look. */
    return v6 && is_routed_on(p) ? SUM_UNKNOWN : SUM_HERE;
}

static guint64 sum_transport(const NetPacket *p, const Transport *t,
                             const guint8 *data)
{
    gboolean v6 = p->key.ethertype == 0x86dd;
    guint8 tail[8] = {0, 0, 0, 0, 0, 0, 0, p->key.proto};
    guint64 sum = 0;

    if (t->pseudo) {
        net_put32(tail, t->len);
        sum = net_sum(tail, sizeof(tail), sum);
        sum = net_sum(p->key.src, v6 ? 16 : 4, sum);
        sum = net_sum(p->key.dst, v6 ? 16 : 4, sum);
    }
    return net_sum(data + p->l4, t->len, sum);
}

gboolean net_checksum_fill(const NetPacket *p, guint8 *data)
{
    Transport t;
    guint16 sum;

    if (find_transport(p, &t) != SUM_HERE) {
        return FALSE;
    }
    if (p->key.ethertype == 0x0800) {
        net_put16(data + 10, 0);
        net_put16(data + 10, net_sum_fold(net_sum(data, p->l4, 0)));
    }
    net_put16(data + t.check, 0);
    sum = net_sum_fold(sum_transport(p, &t, data));
    if (sum == 0 && p->key.proto == IPPROTO_UDP) {
        sum = 0xffff; /* 0 says that there is none */
    }
    net_put16(data + t.check, sum);
    return TRUE;
}

gboolean net_checksum_ok(const NetPacket *p)
{
    Transport t;

    if (p->kind == NET_KIND_BAD) {
        return FALSE;
    }
    if (p->key.ethertype == 0x0800 && p->l4 &&
        net_sum_fold(net_sum(p->data, p->l4, 0))) {
        return FALSE;
    }
    if (find_transport(p, &t) != SUM_HERE ||
        (t.may_be_absent && !net_get16(p->data + t.check))) {
        return TRUE;
    }
    return !net_sum_fold(sum_transport(p, &t, p->data));
}
