/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recorded frames.  pcap/pvm-*.pcap and svm-*.pcap are what Linux's TCP sent
 * in two runs of the same service: two connections, each with 12808 bytes of
 * answer, written in pieces of other sizes (IPv4: 700 and 1900 bytes, IPv6:
 * 4000 and 333; segmentation left to the card).  The guests' numbers are their
 * own, the client's were made the same: it talks to one guest only.
 */
#include "netcompare/compare/compare.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER = 12808, CONNECTIONS = 2, FIRST_PORT = 40000 };

typedef struct Replay {
    NetCompare *compare;
    gint64 now;
    GPtrArray *pvm, *svm; /* GBytes */
    guint next_pvm, next_svm;
    guint released, offsets, needs;
    guint8 got[CONNECTIONS][ANSWER];
    guint32 isn[CONNECTIONS];
} Replay;

/* --- Files -------------------------------------------------------------- */

static GPtrArray *load(const char *path)
{
    GPtrArray *frames =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline(path, error);
    struct pcap_pkthdr *h;
    const u_char *data;

    if (!pcap) {
        g_error("%s", error);
    }
    g_assert_cmpint(pcap_datalink(pcap), ==, DLT_EN10MB);
    while (pcap_next_ex(pcap, &h, &data) == 1) {
        g_assert_cmpuint(h->caplen, ==, h->len);
        g_ptr_array_add(frames, g_bytes_new(data, h->caplen));
    }
    pcap_close(pcap);
    g_assert_cmpuint(frames->len, >, 10);
    return frames;
}

static GPtrArray *load_recorded(const char *name)
{
    const char *srcdir = g_getenv("COLO_SRCDIR");
    g_autofree char *path = g_build_filename(srcdir ? srcdir : ".", "tests",
                                             "compare", "pcap", name, NULL);

    return load(path);
}

/* Written with a VLAN tag, and read again. */
static GPtrArray *through_file(GPtrArray *frames)
{
    static const guint8 tag[4] = {0x81, 0x00, 0x00, 0x07};
    g_autofree char *path =
        g_build_filename(g_get_tmp_dir(), "colo-compare-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    FILE *file = fdopen(fd, "wb");
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535 + 18);
    pcap_dumper_t *out = pcap_dump_fopen(pcap, file);
    GPtrArray *again;

    g_assert_nonnull(out);
    for (guint i = 0; i < frames->len; i++) {
        g_autoptr(GByteArray) frame = g_byte_array_new();
        gsize len;
        const guint8 *data = g_bytes_get_data(frames->pdata[i], &len);
        struct pcap_pkthdr h = {{(time_t)i, 0}};

        g_byte_array_append(frame, data, 12);
        g_byte_array_append(frame, tag, sizeof(tag));
        g_byte_array_append(frame, data + 12, (guint)len - 12);
        h.caplen = h.len = frame->len;
        pcap_dump((u_char *)out, &h, frame->data);
    }
    pcap_dump_close(out);
    pcap_close(pcap);
    again = load(path);
    g_assert_cmpuint(again->len, ==, frames->len);
    remove(path);
    return again;
}

/* --- Replay ------------------------------------------------------------- */

static void parse(NetPacket *p, const Replay *r, gboolean primary, guint i)
{
    gsize len;
    const guint8 *data =
        g_bytes_get_data((primary ? r->pvm : r->svm)->pdata[i], &len);

    net_packet_parse_frame(p, data, len, 1);
    g_assert_cmpint(p->kind, ==, NET_KIND_TCP);
}

static void on_release(gpointer user, guint64 id, const guint8 *data, gsize len,
                       NetRelease why, gint64 held_us)
{
    Replay *r = user;
    NetPacket p;
    guint c;

    g_assert_cmpint(why, ==, NET_RELEASE_MATCH);
    parse(&p, r, TRUE, (guint)id);
    c = p.key.dport - FIRST_PORT;
    g_assert_cmpuint(c, <, CONNECTIONS);
    if (p.flags & NET_TCP_SYN) {
        r->isn[c] = p.seq;
    }
    for (guint i = 0; i < p.payload_len; i++) {
        g_assert_cmpuint(p.seq - r->isn[c] - 1 + i, <, ANSWER);
        r->got[c][p.seq - r->isn[c] - 1 + i]++;
    }
    r->released++;
}

static void on_drop(gpointer user, guint64 id)
{
    g_assert_not_reached();
}

static void on_need(gpointer user, NetCause cause, const NetKey *flow,
                    const NetPacket *pvm, const NetPacket *svm)
{
    Replay *r = user;

    g_test_message("%s", net_cause_name(cause));
    r->needs++;
}

static void on_offset(gpointer user, const NetKey *flow, guint32 seq_delta,
                      guint32 ts_delta)
{
    Replay *r = user;

    g_assert_cmpuint(seq_delta, !=, 0);
    g_assert_cmpuint(ts_delta, !=, 0);
    r->offsets++;
}

static const NetCompareOps ops = {on_release, on_drop, on_need, on_offset};

static gboolean step(Replay *r, gboolean primary)
{
    guint *next = primary ? &r->next_pvm : &r->next_svm;
    NetPacket p;

    if (*next >= (primary ? r->pvm : r->svm)->len) {
        return FALSE;
    }
    parse(&p, r, primary, *next);
    r->now += 100;
    if (primary) {
        net_compare_primary(r->compare, &p, NULL, *next, FALSE, r->now);
    } else {
        net_compare_secondary(r->compare, &p, NULL, r->now);
    }
    ++*next;
    return (p.flags & NET_TCP_SYN) == 0;
}

/* A guest goes on behind its SYN only when the PVM's has left. */
static void replay(Replay *r, gboolean pvm_first)
{
    while (r->next_pvm < r->pvm->len || r->next_svm < r->svm->len) {
        while (step(r, pvm_first)) {
        }
        while (step(r, !pvm_first)) {
        }
    }
}

static void start(Replay *r, const char *version, gboolean tagged)
{
    g_autofree char *pvm = g_strdup_printf("pvm-%s.pcap", version);
    g_autofree char *svm = g_strdup_printf("svm-%s.pcap", version);
    NetCompareConfig config;

    memset(r, 0, sizeof(*r));
    r->now = 1;
    r->pvm = load_recorded(pvm);
    r->svm = load_recorded(svm);
    if (tagged) {
        GPtrArray *p = through_file(r->pvm), *s = through_file(r->svm);

        g_ptr_array_unref(r->pvm);
        g_ptr_array_unref(r->svm);
        r->pvm = p;
        r->svm = s;
    }
    net_compare_config_default(&config);
    r->compare = net_compare_new(&config, &ops, r);
    net_compare_capture(r->compare, 1, FALSE, r->now);
    net_compare_loaded(r->compare, 1, r->now);
}

static void end(Replay *r)
{
    net_compare_free(r->compare);
    g_ptr_array_unref(r->pvm);
    g_ptr_array_unref(r->svm);
}

typedef struct Setup {
    const char *version;
    gboolean pvm_first, tagged;
} Setup;

static void test_same(gconstpointer data)
{
    const Setup *s = data;
    NetCompareStats stats;
    Replay r;

    start(&r, s->version, s->tagged);
    replay(&r, s->pvm_first);
    g_assert_cmpuint(r.released, ==, r.pvm->len);
    g_assert_cmpuint(r.needs, ==, 0);
    g_assert_cmpuint(r.offsets, ==, CONNECTIONS);
    for (guint c = 0; c < CONNECTIONS; c++) {
        for (guint i = 0; i < ANSWER; i++) {
            g_assert_cmpuint(r.got[c][i], >=, 1);
        }
    }
    net_compare_stats(r.compare, &stats);
    g_assert_cmpuint(stats.held_packets, ==, 0);
    end(&r);
}

/* Of the SVM's connection with that port of the client. */
static guint32 svm_isn(const Replay *r, guint16 port)
{
    NetPacket p;

    for (guint i = 0; i < r->svm->len; i++) {
        parse(&p, r, FALSE, i);
        if (p.flags & NET_TCP_SYN && p.key.dport == port) {
            return p.seq;
        }
    }
    g_assert_not_reached();
}

/* Changes a byte of what frame i carries. */
static void change(Replay *r, guint i, guint at)
{
    GBytes *old = r->svm->pdata[i];
    gsize len;
    const guint8 *data = g_bytes_get_data(old, &len);
    guint8 *copy = g_memdup2(data, len);
    NetPacket p;

    parse(&p, r, FALSE, i);
    copy[(p.data - data) + p.payload + at] ^= 0x20;
    r->svm->pdata[i] = g_bytes_new_take(copy, len);
    g_bytes_unref(old);
}

/* FALSE: there is nothing in it. */
static gboolean try_frame(const Setup *s, guint i)
{
    guint from, at;
    NetPacket p;
    Replay r;

    start(&r, s->version, FALSE);
    parse(&p, &r, FALSE, i);
    if (p.payload_len) {
        guint c = p.key.dport - FIRST_PORT;

        at = p.payload_len * (i % 7) / 7;
        from = p.seq + at - svm_isn(&r, p.key.dport) - 1;
        change(&r, i, at);
        replay(&r, s->pvm_first);
        g_assert_cmpuint(r.needs, ==, 1);
        for (guint j = from; j < ANSWER; j++) {
            g_assert_cmpuint(r.got[c][j], ==, 0);
        }
    }
    end(&r);
    return p.payload_len > 0;
}

/* One byte of each of the SVM's frames, in turn. */
static void test_different(gconstpointer data)
{
    const Setup *s = data;
    guint frames, tried = 0;
    Replay r;

    start(&r, s->version, FALSE);
    frames = r.svm->len;
    end(&r);
    for (guint i = 0; i < frames; i++) {
        tried += try_frame(s, i);
    }
    g_assert_cmpuint(tried, >, 10);
}

int main(int argc, char **argv)
{
    static const Setup setups[] = {
        {"ipv4", TRUE, FALSE}, {"ipv4", FALSE, FALSE}, {"ipv4", TRUE, TRUE},
        {"ipv6", TRUE, FALSE}, {"ipv6", FALSE, FALSE}, {"ipv6", FALSE, TRUE},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(setups); i++) {
        const Setup *s = &setups[i];
        g_autofree char *what = g_strdup_printf(
            "%s/%s%s", s->version, s->pvm_first ? "pvm-first" : "svm-first",
            s->tagged ? "/vlan" : "");
        g_autofree char *same = g_strdup_printf("/compare/pcap/same/%s", what);
        g_autofree char *different =
            g_strdup_printf("/compare/pcap/different/%s", what);

        g_test_add_data_func(same, s, test_same);
        if (!s->tagged) {
            g_test_add_data_func(different, s, test_different);
        }
    }
    return g_test_run();
}
