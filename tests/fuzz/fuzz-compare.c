/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The comparator: packets of both guests, checkpoints and time, as the bytes
 * say.  Bounds are small, so that they are reached.
 *
 * A step is a byte that says what, and its arguments; see step().
 */
#include "fuzz.h"

#include "netcompare/compare/compare.h"
#include "netcompare/packet/checksum.h"
#include "tests/compare/build.h"

#include <string.h>

const char fuzz_corpus[] = "compare";

enum { MAX_SIZE = 4096, MAX_IDS = 4096, MAX_DATA = 64, WHOLE = 80 };

typedef enum { NOTHING, RELEASED, DROPPED } Fate;
/* What is being called. */
typedef enum { PACKET, CAPTURE, COMMIT, CANCEL, LOADED, PASS, BLOCK } Call;

typedef struct Fuzz {
    const guint8 *data;
    gsize left;
    NetCompare *compare;
    gint64 now;
    Call call;
    Fate fates[MAX_IDS];
    guint32 sent[MAX_IDS]; /* bytes of it, in parts */
    guint64 n, waiting;
    guint64 numbers, asked; /* of frames known by digests */
    guint8 secret[NET_DIGEST_SECRET];
    /* What the calls have made of it, as compare.h says */
    gboolean captured, loading;
    guint64 captured_epoch, upto, loading_epoch;
    gboolean known;      /* the SVM runs what its packets are compared for */
    gboolean may_commit; /* ids below upto, by this call */
    guint8 bytes[BUILD_MAX], whole[BUILD_MAX];
} Fuzz;

/* --- What compare.h promises -------------------------------------------- */

static void settle(Fuzz *f, guint64 id, Fate fate)
{
    g_assert_cmpuint(id, <, f->n);
    g_assert_cmpint(f->fates[id], ==, NOTHING);
    f->fates[id] = fate;
    f->waiting--;
}

static void on_release(gpointer user, guint64 id, const guint8 *data, gsize len,
                       NetRelease why, gint64 held_us)
{
    Fuzz *f = user;
    NetPacket p;

    settle(f, id, RELEASED);
    g_assert_cmpint(held_us, >=, 0);
    switch (why) {
    case NET_RELEASE_MATCH:
        /* I1: not by what the SVM sent before, or will never send. */
        g_assert_true(f->known);
        g_assert_true(!f->captured || id < f->upto);
        break;
    case NET_RELEASE_CHECKPOINT:
        g_assert_true(f->may_commit);
        g_assert_cmpuint(id, <, f->upto);
        break;
    case NET_RELEASE_PASS:
        g_assert_true(f->call == PASS || f->call == CANCEL ||
                      net_compare_mode(f->compare) == NET_COMPARE_PASS);
        break;
    default:
        g_assert_cmpint(f->call, ==, PACKET);
    }
    if (data) {
        g_assert_cmpint(why, ==, NET_RELEASE_MATCH);
        build_parse(&p, data, len, data[0] >> 4 == 6);
        g_assert_cmpint(p.kind, ==, NET_KIND_TCP);
        g_assert_true(net_checksum_ok(&p));
    }
}

static void on_drop(gpointer user, guint64 id)
{
    settle(user, id, DROPPED);
}

static void check_packet(const NetPacket *p)
{
    NetPacket again;

    if (p) {
        g_assert_nonnull(p->data);
        net_packet_parse(&again, p->key.ethertype, p->data, p->len, 0, 1);
        g_assert_cmpint(again.kind, ==, p->kind);
    }
}

static void on_need(gpointer user, NetCause cause, const NetKey *flow,
                    const NetPacket *pvm, const NetPacket *svm)
{
    Fuzz *f = user;
    NetCompareMode mode = net_compare_mode(f->compare);

    g_assert_true(mode == NET_COMPARE_COLO || mode == NET_COMPARE_PERIODIC);
    g_assert_cmpstr(net_cause_name(cause), !=, "?");
    check_packet(pvm);
    check_packet(svm);
}

static void on_offset(gpointer user, const NetKey *flow, guint32 seq_delta,
                      guint32 ts_delta)
{
    g_assert_cmpint(flow->proto, ==, 6);
    g_assert_true(seq_delta || ts_delta);
}

static gboolean on_part(gpointer user, guint64 id, const NetPacket *p,
                        guint32 at, guint32 len, guint16 window, guint mss,
                        gint64 held_us)
{
    Fuzz *f = user;

    g_assert_cmpuint(id, <, f->n);
    g_assert_cmpint(f->fates[id], ==, NOTHING);
    g_assert_true(f->known && (!f->captured || id < f->upto));
    g_assert_cmpint(p->kind, ==, NET_KIND_TCP);
    g_assert_cmpuint(at, ==, f->sent[id]);
    g_assert_true(len && len <= p->payload_len && mss && held_us >= 0);
    g_assert_cmpuint(at, <=, p->payload_len - len);
    g_assert_cmpint(p->flags & (NET_TCP_SYN | NET_TCP_URG), ==, 0);
    g_assert_cmpuint(window, <=, p->window);
    check_packet(p);
    if (at % 3 == 2) {
        return FALSE;
    }
    f->sent[id] = at + len;
    return TRUE;
}

/* What was asked for is answered by a step that says so. */
static void on_fetch(gpointer user, guint8 iface, guint64 number)
{
    Fuzz *f = user;

    g_assert_cmpuint(iface, ==, 1);
    g_assert_cmpuint(number, <, f->numbers);
    f->asked = number;
}

static void on_done(gpointer user, guint8 iface, guint64 number)
{
    Fuzz *f = user;

    g_assert_cmpuint(iface, ==, 1);
    g_assert_cmpuint(number, <, f->numbers);
}

static const NetCompareOps ops = {on_release, on_drop, on_need, on_offset,
                                  on_fetch,   on_done, on_part};

/* --- What happens ------------------------------------------------------- */

static guint8 next(Fuzz *f)
{
    if (!f->left) {
        return 0;
    }
    f->left--;
    return *f->data++;
}

static void hand_in(Fuzz *f, gboolean primary, gsize len, guint16 type,
                    gboolean gso)
{
    /* Of its own size, for the sanitizers to guard its end. */
    g_autoptr(NetBuf) buf = net_buf_new(len);
    NetPacket p;

    memcpy(buf->data, f->bytes, len);
    net_packet_parse(&p, type, buf->data, len, 0, 1);
    f->call = PACKET;
    if (!primary) {
        net_compare_secondary(f->compare, &p, buf, f->now);
    } else if (f->n < MAX_IDS) {
        f->waiting++;
        net_compare_primary(f->compare, &p, buf, f->n++, gso, f->now);
    }
}

/* The same segment by digests, or as the answer to a question. */
static void hand_in_digests(Fuzz *f, Segment *s, guint8 how)
{
    guint32 len = (guint32)s->len;
    NetDigests d;
    NetPacket p;
    gsize n;

    f->call = PACKET;
    if (how & 1) {
        n = build_segment(f->bytes, s);
        build_parse(&p, f->bytes, n, s->v6);
        net_compare_content(f->compare, 1, f->asked - (how >> 1 & 1),
                            how & 4 ? &p : NULL, NULL, f->now);
        return;
    }
    if (!len || s->flags & (NET_TCP_SYN | NET_TCP_RST)) {
        return;
    }
    net_digests_make(&d, f->numbers++, f->secret, s->data, len, 1 + how / 8);
    s->len = 0;
    n = build_segment(f->bytes, s);
    build_parse(&p, f->bytes, n, s->v6);
    net_compare_secondary_digests(f->compare, &p, &d, f->now);
}

/* flags, seq, ack, len, window, what: flow, IPv6, options, another byte */
static void do_segment(Fuzz *f, gboolean primary)
{
    static const guint8 options[4][12] = {
        {1, 1, 8, 10, 0, 0, 0, 1},
        {2, 4, 5, 180, 1, 3, 3, 7, 4, 2},
        {1, 1, 8, 10, 0, 0, 0, 9},
        {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9},
    };
    guint8 data[MAX_DATA], flags = next(f), seq = next(f), ack = next(f);
    guint8 len = next(f), window = next(f), what = next(f), how;
    Segment s = {
        .flow = what & 3,
        .v6 = (what & 4) != 0,
        .flags = flags,
        .seq = seq - 64u, /* around the end of all numbers */
        .ack = ack - 64u,
        .window = (guint16)(window * 3),
        .options = options[what >> 4 & 3],
        .n_options = what & 8 ? 12 : 0,
        .data = data,
        .len = len % MAX_DATA,
    };

    for (guint i = 0; i < s.len; i++) {
        data[i] = (guint8)((seq + i) / 3);
    }
    if (what & 0x40 && s.len) {
        data[s.len / 2] ^= 1;
    }
    if (!primary && what & 0x80) {
        how = next(f);
        hand_in_digests(f, &s, how);
        return;
    }
    hand_in(f, primary, build_segment(f->bytes, &s), s.v6 ? 0x86dd : 0x0800,
            what >> 7);
}

static void do_datagram(Fuzz *f, gboolean primary)
{
    guint8 what = next(f), text[2] = {what, what};

    hand_in(f, primary,
            build_datagram(f->bytes, what & 1, what >> 1 & 1, what, text, 2),
            what & 1 ? 0x86dd : 0x0800, FALSE);
}

/* The type, the length, the bytes. */
static void do_raw(Fuzz *f, gboolean primary)
{
    static const guint16 types[] = {0x0800, 0x86dd, 0x0806, 0x88b5};
    guint16 type = types[next(f) & 3];
    gsize len = next(f);

    len = MIN(len, f->left);
    memcpy(f->bytes, f->data, len);
    f->data += len;
    f->left -= len;
    hand_in(f, primary, len, type, FALSE);
}

/* Of one of two datagrams: place, length, id. */
static void do_fragment(Fuzz *f, gboolean primary)
{
    guint8 data[WHOLE], at = next(f), len = next(f), what = next(f);
    gboolean v6 = what & 1;
    gsize whole;

    memset(data, what >> 7, sizeof(data));
    whole = build_datagram(f->whole, v6, 0, 0, data, sizeof(data));
    at = (guint8)(at % (WHOLE / 8 + 1) * 8);
    len = (guint8)(8 + len % (WHOLE / 8 + 1) * 8);
    hand_in(f, primary,
            build_fragment(f->bytes, f->whole, whole, v6, what >> 1 & 7, at,
                           MIN(len, WHOLE + 8u - at)),
            v6 ? 0x86dd : 0x0800, FALSE);
}

static void committed(Fuzz *f)
{
    f->may_commit = TRUE;
    f->captured = f->known = FALSE;
    f->loading = TRUE;
    f->loading_epoch = f->captured_epoch;
}

static void do_loaded(Fuzz *f, guint64 epoch)
{
    NetCompareMode mode = net_compare_mode(f->compare);

    if (mode == NET_COMPARE_COLO || mode == NET_COMPARE_PERIODIC) {
        if (f->captured && f->captured_epoch == epoch) {
            committed(f);
        }
        f->known = f->loading && f->loading_epoch == epoch;
        f->loading &= !f->known;
    }
    net_compare_loaded(f->compare, epoch, f->now);
}

static void do_call(Fuzz *f)
{
    guint8 what = next(f);
    guint64 epoch = what >> 4;

    f->call = (Call)(CAPTURE + what % 8 % 6);
    switch (f->call) {
    case CAPTURE:
        f->captured = TRUE;
        f->captured_epoch = epoch;
        f->upto = f->n;
        net_compare_capture(f->compare, epoch, (what & 15) == 6, f->now);
        break;
    case COMMIT:
        if (f->captured && f->captured_epoch == epoch) {
            committed(f);
        }
        net_compare_commit(f->compare, epoch, f->now);
        break;
    case CANCEL:
        f->captured = FALSE;
        net_compare_cancel(f->compare, f->now);
        break;
    case LOADED:
        do_loaded(f, epoch);
        break;
    case PASS:
        f->captured = f->loading = f->known = FALSE;
        net_compare_pass(f->compare, f->now);
        g_assert_cmpuint(f->waiting, ==, 0);
        break;
    default:
        f->captured = f->loading = f->known = FALSE;
        net_compare_block(f->compare);
        g_assert_cmpuint(f->waiting, ==, 0);
    }
    f->may_commit = FALSE;
}

static void step(Fuzz *f)
{
    guint8 what = next(f);
    gboolean primary = what & 1;

    f->now++;
    switch (what >> 1 & 7) {
    case 0:
    case 1:
    case 2:
        do_segment(f, primary);
        break;
    case 3:
        do_datagram(f, primary);
        break;
    case 4:
        do_raw(f, primary);
        break;
    case 5:
        do_fragment(f, primary);
        break;
    case 6:
        do_call(f);
        break;
    default:
        f->now += next(f) * G_GINT64_CONSTANT(40000);
        f->call = PACKET;
        g_assert_cmpint(net_compare_tick(f->compare, f->now), >, f->now);
        g_assert_cmpint(net_compare_settle(f->compare, f->now), >, f->now);
    }
}

static void check(const Fuzz *f)
{
    NetCompareStats s;

    net_compare_stats(f->compare, &s);
    g_assert_cmpuint(s.held_packets, >=, f->waiting);
    g_assert_cmpint(s.held_bytes, >=, 0);
    g_assert_true(f->waiting || !net_compare_oldest_us(f->compare, f->now));
    g_assert_cmpuint(s.flows, <=, 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Fuzz *f;
    static const NetCompareConfig config = {
        .compare_timeout_us = 3 * G_USEC_PER_SEC,
        .expired_scan_us = G_USEC_PER_SEC,
        .idle_us = 20 * G_USEC_PER_SEC,
        .max_queue_size = 4,
        .max_bytes = 16 * 1024,
        .max_flows = 6,
    };
    NetFlowCauses worst[4];

    if (size > MAX_SIZE) {
        return 0;
    }
    if (!f) {
        f = g_new(Fuzz, 1);
    }
    memset(f, 0, G_STRUCT_OFFSET(Fuzz, bytes));
    f->data = data;
    f->left = size;
    f->now = 1;
    memcpy(f->secret, config.secret, sizeof(f->secret));
    f->compare = net_compare_new(&config, &ops, f);
    /* Most of what there is to find is in this mode. */
    net_compare_capture(f->compare, 0, FALSE, f->now);
    net_compare_loaded(f->compare, 0, f->now);
    f->known = TRUE;
    while (f->left) {
        step(f);
        check(f);
    }
    net_compare_worst(f->compare, worst, G_N_ELEMENTS(worst));
    net_compare_free(f->compare);
    return 0;
}
