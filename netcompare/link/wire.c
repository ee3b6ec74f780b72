/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers and fixed payloads of the messages between the proxies. */
#include "netcompare/link/wire.h"
#include "colo/bytes.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <string.h>

enum {
    ETHERTYPE_V4 = 0x0800,
    ETHERTYPE_V6 = 0x86dd,
    MAX_VLAN = 4094,
    CAPTURE_EACH = 8, /* bytes for each interface */
};

/* Who says it. */
enum { PRIMARY = 1, SECONDARY = 2, BOTH = PRIMARY | SECONDARY };

#define ANY_NUMBER G_MAXUINT64

static const struct {
    const char *name;
    guint32 min, max; /* of len; CAPTURE: for each interface */
    gboolean of_iface;
    guint16 flags; /* allowed */
    guint64 max_number;
    guint said_by;
} rules[NET_WIRE_N] = {
    [NET_WIRE_HELLO] = {"HELLO", 2, NET_WIRE_MAX_HELLO, FALSE, 0, 0, BOTH},
    [NET_WIRE_FRAME] = {"FRAME", NET_WIRE_FRAME_MIN, NET_WIRE_MAX, TRUE, 0,
                        ANY_NUMBER, BOTH},
    [NET_WIRE_CAPTURE] = {"CAPTURE", CAPTURE_EACH, CAPTURE_EACH, FALSE,
                          NET_WIRE_PERIODIC, ANY_NUMBER, PRIMARY},
    [NET_WIRE_LOADED] = {"LOADED", 0, 0, FALSE, 0, ANY_NUMBER, SECONDARY},
    [NET_WIRE_OFFSET] = {"OFFSET", NET_WIRE_OFFSET_LEN, NET_WIRE_OFFSET_LEN,
                         TRUE, 0, ANY_NUMBER, PRIMARY},
    [NET_WIRE_WANTED] = {"WANTED", 0, NET_DIGEST_SECRET, FALSE, 0, 1, PRIMARY},
    [NET_WIRE_ATTACHED] = {"ATTACHED", 0, 0, FALSE, 0, 1, BOTH},
    [NET_WIRE_TAKEOVER] = {"TAKEOVER", 0, 0, FALSE, 0, ANY_NUMBER, SECONDARY},
    [NET_WIRE_PING] = {"PING", 0, 0, FALSE, 0, 0, BOTH},
    [NET_WIRE_DIGEST] = {"DIGEST", NET_WIRE_DIGEST_MIN, NET_WIRE_DIGEST_MAX,
                         TRUE, 0, ANY_NUMBER, SECONDARY},
    [NET_WIRE_FETCH] = {"FETCH", 0, 0, TRUE, 0, ANY_NUMBER, PRIMARY},
    [NET_WIRE_CONTENT] = {"CONTENT", NET_WIRE_FRAME_MIN, NET_WIRE_MAX, TRUE, 0,
                          ANY_NUMBER, SECONDARY},
    [NET_WIRE_DONE] = {"DONE", 8, 8 * NET_WIRE_DONE_N, TRUE, 0, 0, PRIMARY},
    [NET_WIRE_GONE] = {"GONE", 0, 0, TRUE, 0, ANY_NUMBER, SECONDARY},
};

const char *net_wire_type_name(guint8 type)
{
    return type < NET_WIRE_N && rules[type].name ? rules[type].name : "unknown";
}

gboolean net_wire_is_said_by(NetWireType type, gboolean primary)
{
    return (rules[type].said_by & (primary ? PRIMARY : SECONDARY)) != 0;
}

void net_wire_put_head(guint8 out[NET_WIRE_HEADER], const NetWireHead *h)
{
    le_put32(out, h->len);
    out[4] = h->type;
    out[5] = h->iface;
    le_put16(out + 6, h->flags);
    le_put64(out + 8, h->number);
}

static gboolean wrong(const NetWireHead *h, const char *what, guint64 value,
                      GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "a message %s (%u) between the proxies has a wrong %s: "
                "%" G_GUINT64_FORMAT,
                net_wire_type_name(h->type), h->type, what, value);
    return FALSE;
}

gboolean net_wire_check_head(const NetWireHead *h, guint ifaces, GError **error)
{
    guint32 each = h->type == NET_WIRE_CAPTURE ? ifaces : 1;

    if (h->type >= NET_WIRE_N || !rules[h->type].name) {
        return wrong(h, "type", h->type, error);
    }
    if (h->len < rules[h->type].min * each ||
        h->len > rules[h->type].max * each ||
        (h->type == NET_WIRE_WANTED && h->len &&
         h->len != NET_DIGEST_SECRET) ||
        (h->type == NET_WIRE_DONE && h->len % 8)) {
        return wrong(h, "length", h->len, error);
    }
    if (h->iface && (!rules[h->type].of_iface || h->iface >= ifaces)) {
        return wrong(h, "interface", h->iface, error);
    }
    if (h->flags & ~rules[h->type].flags) {
        return wrong(h, "flag", h->flags, error);
    }
    if (h->number > rules[h->type].max_number) {
        return wrong(h, "number", h->number, error);
    }
    return TRUE;
}

gboolean net_wire_get_head(const guint8 in[NET_WIRE_HEADER], guint ifaces,
                           NetWireHead *h, GError **error)
{
    h->len = le_get32(in);
    h->type = in[4];
    h->iface = in[5];
    h->flags = le_get16(in + 6);
    h->number = le_get64(in + 8);
    return net_wire_check_head(h, ifaces, error);
}

/* Where the fields of OFFSET are; between ZERO and SEQ there are zeros. */
enum {
    AT_SRC = 0,
    AT_DST = 16,
    AT_SPORT = 32,
    AT_DPORT = 34,
    AT_VLAN = 36,
    AT_ETHERTYPE = 38,
    AT_PROTO = 40,
    AT_ZERO = 41,
    AT_SEQ = 48,
    AT_TS = 52,
};

void net_wire_put_offset(guint8 out[NET_WIRE_OFFSET_LEN],
                         const NetWireOffset *o)
{
    memset(out, 0, NET_WIRE_OFFSET_LEN);
    memcpy(out + AT_SRC, o->flow.src, sizeof(o->flow.src));
    memcpy(out + AT_DST, o->flow.dst, sizeof(o->flow.dst));
    le_put16(out + AT_SPORT, o->flow.sport);
    le_put16(out + AT_DPORT, o->flow.dport);
    le_put16(out + AT_VLAN, o->flow.vlan);
    le_put16(out + AT_ETHERTYPE, o->flow.ethertype);
    out[AT_PROTO] = o->flow.proto;
    le_put32(out + AT_SEQ, o->seq_delta);
    le_put32(out + AT_TS, o->ts_delta);
}

static gboolean is_zero(const guint8 *p, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (p[i]) {
            return FALSE;
        }
    }
    return TRUE;
}

gboolean net_wire_get_offset(const guint8 *in, gsize len, guint8 iface,
                             NetWireOffset *o, GError **error)
{
    const char *what = NULL;
    NetKey *k = &o->flow;

    if (len != NET_WIRE_OFFSET_LEN) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "an OFFSET between the proxies has %zu bytes, not %d", len,
                    NET_WIRE_OFFSET_LEN);
        return FALSE;
    }
    memset(o, 0, sizeof(*o));
    memcpy(k->src, in + AT_SRC, sizeof(k->src));
    memcpy(k->dst, in + AT_DST, sizeof(k->dst));
    k->sport = le_get16(in + AT_SPORT);
    k->dport = le_get16(in + AT_DPORT);
    k->vlan = le_get16(in + AT_VLAN);
    k->ethertype = le_get16(in + AT_ETHERTYPE);
    k->proto = in[AT_PROTO];
    k->iface = iface;
    o->seq_delta = le_get32(in + AT_SEQ);
    o->ts_delta = le_get32(in + AT_TS);

    /* A key is compared as bytes: one that no packet has is never found. */
    if (k->proto != IPPROTO_TCP) {
        what = "protocol";
    } else if (k->ethertype != ETHERTYPE_V4 && k->ethertype != ETHERTYPE_V6) {
        what = "type";
    } else if (k->ethertype == ETHERTYPE_V4 &&
               (!is_zero(k->src + 4, sizeof(k->src) - 4) ||
                !is_zero(k->dst + 4, sizeof(k->dst) - 4))) {
        what = "IPv4 address";
    } else if (k->vlan > MAX_VLAN) {
        what = "VLAN";
    } else if (!is_zero(in + AT_ZERO, AT_SEQ - AT_ZERO)) {
        what = "zero field";
    }
    if (what) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "an OFFSET between the proxies has a wrong %s", what);
        return FALSE;
    }
    return TRUE;
}
