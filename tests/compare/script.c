/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See script.h. */
#include "script.h"

#include "build.h"
#include "netcompare/packet/checksum.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define ACKS 64

struct Script {
    NetCompare *compare;
    GString *log;
    gint64 now;
    guint64 id, number;
    guint32 acks[ACKS]; /* of the PVM's last packets, by id */
    gboolean no_parts;
    guint8 secret[NET_DIGEST_SECRET];
    guint8 bytes[BUILD_MAX], whole[BUILD_MAX];
};

/* --- What is called out ------------------------------------------------- */

static void on_release(gpointer user, guint64 id, const guint8 *data, gsize len,
                       NetRelease why, gint64 held_us)
{
    Script *s = user;

    g_assert_cmpint(held_us, >=, 0);
    if (data) {
        NetPacket p;

        g_assert_cmpint(why, ==, NET_RELEASE_MATCH);
        build_parse(&p, data, len, data[0] >> 4 == 6);
        g_assert_cmpint(p.kind, ==, NET_KIND_TCP);
        g_assert_true(net_checksum_ok(&p));
        g_string_append_printf(s->log, " w%" G_GUINT64_FORMAT ":%u", id,
                               p.window);
        if (p.ack != s->acks[id % ACKS]) {
            g_assert_false(net_packet_has_option(&p, NET_TCPOPT_SACK));
            g_string_append_printf(s->log, "@%u", p.ack);
        }
    } else {
        g_string_append_printf(s->log, " %c%" G_GUINT64_FORMAT,
                               net_release_name(why)[0], id);
    }
}

static void on_drop(gpointer user, guint64 id)
{
    Script *s = user;

    g_string_append_printf(s->log, " d%" G_GUINT64_FORMAT, id);
}

static void on_need(gpointer user, NetCause cause, const NetKey *flow,
                    const NetPacket *pvm, const NetPacket *svm)
{
    Script *s = user;

    /* They can be read. */
    g_assert_true(!pvm ||
                  net_packet_parse(&(NetPacket){0}, pvm->key.ethertype,
                                   pvm->data, pvm->len, 0, 1) == pvm->kind);
    g_assert_true(!svm ||
                  net_packet_parse(&(NetPacket){0}, svm->key.ethertype,
                                   svm->data, svm->len, 0, 1) == svm->kind);
    g_string_append_printf(s->log, " %s", net_cause_name(cause));
}

static void on_offset(gpointer user, const NetKey *flow, guint32 seq_delta,
                      guint32 ts_delta)
{
    Script *s = user;

    g_assert_cmpint(flow->sport, ==, 80);
    g_string_append_printf(s->log, " o:%d:%d", (gint32)seq_delta,
                           (gint32)ts_delta);
}

static void on_fetch(gpointer user, guint8 iface, guint64 number)
{
    Script *s = user;

    g_string_append_printf(s->log, " f%" G_GUINT64_FORMAT, number);
}

static void on_done(gpointer user, guint8 iface, guint64 number)
{
    Script *s = user;

    g_string_append_printf(s->log, " x%" G_GUINT64_FORMAT, number);
}

static gboolean on_part(gpointer user, guint64 id, const NetPacket *p,
                        guint32 at, guint32 len, guint16 window, guint mss,
                        gint64 held_us)
{
    Script *s = user;

    g_assert_cmpuint(at + len, <=, p->payload_len);
    g_assert_cmpint(held_us, >=, 0);
    g_string_append_printf(s->log, " q%" G_GUINT64_FORMAT ":%u+%u", id, at,
                           len);
    return !s->no_parts;
}

static const NetCompareOps ops = {on_release, on_drop, on_need, on_offset,
                                  on_fetch,   on_done, on_part};

Script *script_new(const NetCompareConfig *config)
{
    Script *s = g_new0(Script, 1);
    NetCompareConfig standard;

    net_compare_config_default(&standard);
    if (config) {
        memcpy(s->secret, config->secret, sizeof(s->secret));
    } else {
        memcpy(s->secret, standard.secret, sizeof(s->secret));
    }
    s->compare = net_compare_new(config ? config : &standard, &ops, s);
    s->log = g_string_new(NULL);
    s->now = G_USEC_PER_SEC;
    return s;
}

void script_free(Script *s)
{
    net_compare_free(s->compare);
    g_string_free(s->log, TRUE);
    g_free(s);
}

NetCompare *script_compare(Script *s)
{
    return s->compare;
}

gint64 script_now(const Script *s)
{
    return s->now;
}

/* --- What happens ------------------------------------------------------- */

static const char *option(char **words, const char *key)
{
    gsize n = strlen(key);

    for (; *words; words++) {
        if (g_str_has_prefix(*words, key) && (*words)[n] == '=') {
            return *words + n + 1;
        }
    }
    return NULL;
}

static guint32 number(char **words, const char *key, guint32 otherwise)
{
    const char *value = option(words, key);

    return value ? (guint32)g_ascii_strtoull(value, NULL, 10) : otherwise;
}

static guint8 flags_of(const char *text)
{
    static const char letters[] = "FSRPAUEC";
    guint8 flags = 0;

    for (; *text && *text != '-'; text++) {
        const char *at = strchr(letters, *text);

        g_assert_nonnull(at);
        flags |= (guint8)(1 << (at - letters));
    }
    return flags;
}

static GByteArray *data_of(const char *text)
{
    GByteArray *data = g_byte_array_new();

    if (text[0] == 'z' && g_ascii_isdigit(text[1])) {
        g_byte_array_set_size(data, (guint)atoi(text + 1));
        memset(data->data, 0, data->len);
    } else {
        g_byte_array_append(data, (const guint8 *)text, (guint)strlen(text));
    }
    return data;
}

static GByteArray *hex_of(const char *text)
{
    GByteArray *data = g_byte_array_new();

    for (; text && *text; text += 2) {
        guint8 b = (guint8)(g_ascii_xdigit_value(text[0]) << 4 |
                            g_ascii_xdigit_value(text[1]));

        g_byte_array_append(data, &b, 1);
    }
    return data;
}

static void hand_in(Script *s, gboolean primary, gsize len, guint16 type,
                    gboolean gso)
{
    /* Of its own size, for the sanitizers to guard its end. */
    g_autofree guint8 *copy = g_memdup2(s->bytes, len);
    NetPacket p;

    net_packet_parse(&p, type, copy, len, 0, 1);
    if (primary) {
        s->id++;
        s->acks[s->id % ACKS] = p.kind == NET_KIND_TCP ? p.ack : 0;
        net_compare_primary(s->compare, &p, NULL, s->id, gso, s->now);
    } else {
        net_compare_secondary(s->compare, &p, NULL, s->now);
    }
}

static void hand_in_digests(Script *s, Segment *x, guint32 piece)
{
    NetDigests d;
    NetPacket p;
    gsize len;

    net_digests_make(&d, ++s->number, s->secret, x->data, (guint32)x->len,
                     piece);
    x->len = 0;
    len = build_segment(s->bytes, x);
    build_parse(&p, s->bytes, len, x->v6);
    net_compare_secondary_digests(s->compare, &p, &d, s->now);
}

static void hand_in_content(Script *s, const Segment *x, guint32 number)
{
    gsize len = build_segment(s->bytes, x);
    NetPacket p;

    build_parse(&p, s->bytes, len, x->v6);
    net_compare_content(s->compare, 1, number, &p, NULL, s->now);
}

static void do_segment(Script *s, gboolean primary, char **words)
{
    g_autoptr(GByteArray) data = NULL, options = hex_of(option(words, "opt"));
    const char *colon = strchr(words[2], ':');
    Segment x = {
        .flow = number(words, "flow", 0),
        .v6 = number(words, "v6", 0) != 0,
        .flags = flags_of(words[1]),
        .seq = (guint32)g_ascii_strtoull(words[2], NULL, 10),
        .ack = number(words, "ack", 0),
        .window = (guint16)number(words, "win", 1000),
        .ip_id = (guint16)number(words, "id", 0),
    };

    data = data_of(colon ? colon + 1 : "");
    x.data = data->data;
    x.len = data->len;
    x.options = options->data;
    x.n_options = options->len;
    if (number(words, "digests", 0)) {
        hand_in_digests(s, &x, number(words, "digests", 0));
        return;
    }
    if (number(words, "content", 0)) {
        hand_in_content(s, &x, number(words, "content", 0));
        return;
    }
    hand_in(s, primary, build_segment(s->bytes, &x), x.v6 ? 0x86dd : 0x0800,
            number(words, "gso", 0) != 0);
}

static void do_udp(Script *s, gboolean primary, char **words)
{
    g_autoptr(GByteArray) data = data_of(words[1]);
    gboolean v6 = number(words, "v6", 0) != 0;
    gsize len =
        build_datagram(s->bytes, v6, number(words, "flow", 0),
                       (guint16)number(words, "id", 0), data->data, data->len);

    if (!v6) {
        s->bytes[8] = (guint8)number(words, "ttl", 64);
        s->bytes[1] = (guint8)number(words, "tos", 0);
    }
    hand_in(s, primary, len, v6 ? 0x86dd : 0x0800, FALSE);
}

static void do_ip(Script *s, gboolean primary, char **words)
{
    g_autoptr(GByteArray) data = hex_of(words[2]);
    gboolean v6 = number(words, "v6", 0) != 0;

    hand_in(s, primary,
            build_ip(s->bytes, v6, (guint8)atoi(words[1]),
                     (guint16)number(words, "id", 0), data->data, data->len),
            v6 ? 0x86dd : 0x0800, FALSE);
}

static void do_fragment(Script *s, gboolean primary, char **words)
{
    g_autoptr(GByteArray) data = data_of(words[1]);
    gboolean v6 = number(words, "v6", 0) != 0;
    gsize whole = build_datagram(s->whole, v6, number(words, "flow", 0), 0,
                                 data->data, data->len);

    hand_in(s, primary,
            build_fragment(s->bytes, s->whole, whole, v6,
                           number(words, "id", 0), (gsize)atoi(words[2]),
                           (gsize)atoi(words[3])),
            v6 ? 0x86dd : 0x0800, FALSE);
}

static void do_other(Script *s, gboolean primary, char what)
{
    memset(s->bytes, 0, 28);
    s->bytes[0] = 0x46; /* longer than it is */
    hand_in(s, primary, what == 'L' ? 28 : 20, what == 'L' ? 0x0806 : 0x0800,
            FALSE);
}

static void do_packet(Script *s, char **words)
{
    const char *w = words[0];
    gboolean primary = w[strlen(w) - 1] == 'P';

    if (!w[1]) {
        do_segment(s, primary, words);
    } else if (w[0] == 'U') {
        do_udp(s, primary, words);
    } else if (w[0] == 'H') {
        do_ip(s, primary, words);
    } else if (w[0] == 'F') {
        do_fragment(s, primary, words);
    } else {
        do_other(s, primary, w[0]);
    }
}

static void do_line(Script *s, char **words)
{
    const char *w = words[0];
    guint64 n = words[1] ? g_ascii_strtoull(words[1], NULL, 10) : 0;

    s->now += 10;
    if (g_ascii_isupper(w[0])) {
        do_packet(s, words);
    } else if (!strcmp(w, "capture")) {
        net_compare_capture(s->compare, n, FALSE, s->now);
    } else if (!strcmp(w, "periodic")) {
        net_compare_capture(s->compare, n, TRUE, s->now);
    } else if (!strcmp(w, "commit")) {
        net_compare_commit(s->compare, n, s->now);
    } else if (!strcmp(w, "cancel")) {
        net_compare_cancel(s->compare, s->now);
    } else if (!strcmp(w, "loaded")) {
        net_compare_loaded(s->compare, n, s->now);
    } else if (!strcmp(w, "pass")) {
        net_compare_pass(s->compare, s->now);
    } else if (!strcmp(w, "block")) {
        net_compare_block(s->compare);
    } else if (!strcmp(w, "gone")) {
        net_compare_content(s->compare, 1, n, NULL, NULL, s->now);
    } else if (!strcmp(w, "no-parts")) {
        s->no_parts = TRUE;
    } else if (!strcmp(w, "after")) {
        s->now += (gint64)n * 1000;
        g_assert_cmpint(net_compare_tick(s->compare, s->now), >, s->now);
        g_assert_cmpint(net_compare_settle(s->compare, s->now), >, s->now);
    } else {
        g_error("script: '%s'?", w);
    }
}

static char **words_of(const char *text)
{
    g_auto(GStrv) parts = g_strsplit_set(text, " \t", -1);
    GPtrArray *words = g_ptr_array_new();

    for (char **p = parts; *p; p++) {
        if (**p) {
            g_ptr_array_add(words, g_strdup(*p));
        }
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

static void run_line(Script *s, const char *line)
{
    g_auto(GStrv) sides = g_strsplit(line, "->", 2);
    g_auto(GStrv) words = words_of(sides[0] ? sides[0] : "");
    g_auto(GStrv) wanted = NULL;
    g_autofree char *want = NULL;

    if (!words[0]) {
        return;
    }
    wanted = words_of(sides[1] ? sides[1] : "");
    want = g_strjoinv(" ", wanted);
    g_string_truncate(s->log, 0);
    do_line(s, words);
    if (strcmp(want, s->log->len ? s->log->str + 1 : "")) {
        g_error("line '%s' gave '%s'", line, s->log->str);
    }
}

void script_run(Script *s, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint first = 0;

    if (!g_strcmp0(lines[0], "raw")) {
        first = 1;
    } else if (net_compare_mode(s->compare) == NET_COMPARE_PASS) {
        run_line(s, "capture 1");
        run_line(s, "commit 1");
        run_line(s, "loaded 1");
    }
    for (char **line = lines + first; *line; line++) {
        run_line(s, *line);
    }
}

static void run_case(gconstpointer data)
{
    const ScriptCase *one = data;
    g_autoptr(Script) s = script_new(one->config);

    script_run(s, one->text);
}

void script_add_cases(const char *path, const ScriptCase *cases)
{
    for (; cases->name; cases++) {
        g_autofree char *name = g_strconcat(path, "/", cases->name, NULL);

        g_test_add_data_func(name, cases, run_case);
    }
}
