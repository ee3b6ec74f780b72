/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets and frames: the parser, its walk over TCP options, the checksums and
 * the rewriter.
 *
 * The first byte: 1: a frame, else a packet of 2: IPv6, else IPv4; 4: its
 * checksum is unfinished; 8: the guest's, else the client's.  Then two numbers
 * of 4 bytes, the differences of sequence numbers and timestamps.  The rest is
 * the packet.
 */
#include "fuzz.h"

#include "netcompare/packet/checksum.h"
#include "netcompare/rewrite/rewrite.h"

#include <string.h>

const char fuzz_corpus[] = "packet";

enum { MAX_SIZE = 4096, HEAD = 9 };

typedef struct Input {
    gboolean frame, v6, unfinished, outbound;
    guint32 seq_delta, ts_delta;
    const guint8 *data;
    gsize len;
} Input;

static NetKind parse(NetPacket *p, const Input *in, const guint8 *data)
{
    return in->frame ? net_packet_parse_frame(p, data, in->len, 1)
                     : net_packet_parse(p, in->v6 ? 0x86dd : 0x0800, data,
                                        in->len, 0, 1);
}

/* --- What packet.h promises --------------------------------------------- */

static void check_options(const NetPacket *p)
{
    guint32 at = p->options, body, body_len, last = at;
    int kind;

    while ((kind = net_packet_next_option(p, &at, &body, &body_len)) >= 0) {
        g_assert_cmpint(kind, >, 1);
        g_assert_cmpuint(body, >=, last + 2);
        g_assert_cmpuint(body + body_len, ==, at);
        g_assert_cmpuint(at, <=, p->options + p->options_len);
        last = at;
    }
}

static void check_fragment(const NetPacket *p)
{
    NetPacket head;

    g_assert_cmpuint(p->payload, ==, p->l4);
    g_assert_cmpuint(p->payload_len, >, 0);
    g_assert_cmpuint(p->fragment_at + p->payload_len, <=, 65535);
    g_assert_true(!p->fragment_more || p->payload_len % 8 == 0);
    g_assert_true(p->fragment_more || p->fragment_at);
    if (net_packet_parse_head(&head, p) == NET_KIND_TCP) {
        g_assert_cmpuint(head.payload + head.payload_len, ==, p->len);
        check_options(&head);
    }
}

static void check_packet(const NetPacket *p, const Input *in)
{
    gsize before = (gsize)(p->data - in->data);

    g_assert_cmpuint(before, <=, in->len);
    g_assert_cmpuint(p->len, <=, in->len - before);
    g_assert_cmpuint(p->l4, <=, p->len);
    g_assert_cmpuint(p->payload, <=, p->len);
    g_assert_cmpuint(p->payload_len, <=, p->len - p->payload);
    g_assert_cmpuint(p->options, <=, p->len);
    g_assert_cmpuint(p->options_len, <=, p->len - p->options);
    if (p->kind == NET_KIND_TCP || p->kind == NET_KIND_DATAGRAM) {
        g_assert_cmpuint(p->payload, >=, p->l4);
        g_assert_cmpuint(p->payload + p->payload_len, ==, p->len);
    }
    if (p->has_ts) {
        g_assert_cmpuint(p->ts_at, >=, p->options + 2);
        g_assert_cmpuint(p->ts_at + 8, <=, p->options + p->options_len);
    }
    check_options(p);
    if (p->kind == NET_KIND_FRAGMENT) {
        check_fragment(p);
    }
}

static void check_key(const NetKey *key)
{
    NetKey r = net_key_reverse(key), back = net_key_reverse(&r);
    g_autofree char *text = net_key_format(key);

    g_assert_true(net_key_equal(key, &back));
    g_assert_cmpuint(net_key_hash(key), ==, net_key_hash(&back));
    g_assert_cmpuint(strlen(text), <, 160);
    g_assert_true(key->zero[0] == 0 && key->zero[1] == 0);
}

/* --- What the rewriter promises ----------------------------------------- */

static gboolean rewrite(const Input *in, guint8 *data, const NetKey *flow,
                        guint32 seq_delta, guint32 ts_delta)
{
    NetRewrite *r = net_rewrite_new(1);
    gboolean changed;
    NetPacket p;
    guint8 *at;

    g_assert_true(net_rewrite_set(r, flow, seq_delta, ts_delta, 0));
    parse(&p, in, data);
    at = data + (p.data - data);
    changed = in->outbound ? net_rewrite_outbound(r, &p, at, in->unfinished, 1)
                           : net_rewrite_inbound(r, &p, at, in->unfinished, 1);
    net_rewrite_free(r);
    return changed;
}

/* Whose numbers are in it: the guest's flow, also of an ICMP error. */
static NetKey flow_of(const NetPacket *p, const Input *in)
{
    NetPacket inner;

    if (!in->outbound && p->kind == NET_KIND_DATAGRAM &&
        net_packet_parse(&inner, p->key.ethertype, p->data + p->payload,
                         p->payload_len, p->key.vlan,
                         p->key.iface) == NET_KIND_TCP) {
        return inner.key;
    }
    if (p->kind == NET_KIND_FRAGMENT) {
        net_packet_parse_head(&inner, p);
        p = &inner;
    }
    return in->outbound ? p->key : net_key_reverse(&p->key);
}

/* 0 and 0xffff are one number in a checksum, and it may become the other. */
static void check_same(const guint8 *a, const guint8 *b, gsize len, gsize check)
{
    guint16 x, y;

    if (check <= len && len - check >= 2) {
        x = net_get16(a + check);
        y = net_get16(b + check);
        g_assert_true(x == y || (guint16)(x + 1) == y || x == (guint16)(y + 1));
        g_assert_true(x == y || x == 0xffff || y == 0xffff);
        g_assert_cmpmem(a, check, b, check);
        g_assert_cmpmem(a + check + 2, len - check - 2, b + check + 2,
                        len - check - 2);
    } else {
        g_assert_cmpmem(a, len, b, len);
    }
}

/* There and back: as before.  Only headers are touched. */
static void check_rewrite(const NetPacket *p, const Input *in)
{
    g_autofree guint8 *data = g_memdup2(in->data, in->len);
    gsize before = (gsize)(p->data - in->data);
    gsize check = before + p->l4 + (p->kind == NET_KIND_DATAGRAM ? 2 : 16);
    NetKey flow = flow_of(p, in);
    gboolean changed = rewrite(in, data, &flow, in->seq_delta, in->ts_delta);

    g_assert_true(changed || !memcmp(data, in->data, in->len));
    g_assert_cmpmem(data, before + p->l4, in->data, before + p->l4);
    if (p->kind == NET_KIND_TCP) {
        gsize end = before + p->payload;

        g_assert_cmpmem(data + end, in->len - end, in->data + end,
                        in->len - end);
    }
    g_assert_cmpint(rewrite(in, data, &flow, -in->seq_delta, -in->ts_delta), ==,
                    changed);
    check_same(data, in->data, in->len, check);
}

/* With right checksums: they stay right. */
static void check_checksums(const NetPacket *p, const Input *in)
{
    g_autofree guint8 *data = g_memdup2(in->data, in->len);
    gsize before = (gsize)(p->data - in->data);
    Input finished = *in;
    NetPacket q;
    NetKey flow;

    if (!net_checksum_fill(p, data + before)) {
        g_assert_cmpmem(data, in->len, in->data, in->len);
        return;
    }
    parse(&q, in, data);
    g_assert_cmpint(q.kind, ==, p->kind);
    g_assert_true(net_checksum_ok(&q));
    finished.unfinished = FALSE;
    flow = flow_of(&q, in);
    rewrite(&finished, data, &flow, in->seq_delta, in->ts_delta);
    parse(&q, in, data);
    g_assert_true(net_checksum_ok(&q));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree guint8 *alone = NULL;
    NetPacket p;
    Input in;

    if (size <= HEAD || size > MAX_SIZE) {
        return 0;
    }
    in.frame = data[0] & 1;
    in.v6 = data[0] >> 1 & 1;
    in.unfinished = data[0] >> 2 & 1;
    in.outbound = data[0] >> 3 & 1;
    in.seq_delta = net_get32(data + 1);
    in.ts_delta = net_get32(data + 5);
    in.len = size - HEAD;
    in.data = alone = g_memdup2(data + HEAD, in.len);
    memset(&p, 0xa5, sizeof(p));
    parse(&p, &in, in.data);
    check_packet(&p, &in);
    check_key(&p.key);
    net_checksum_ok(&p);
    check_rewrite(&p, &in);
    check_checksums(&p, &in);
    return 0;
}
