/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages between the proxies: their bytes, and what is refused. */
#include "netcompare/link/wire.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <string.h>

enum { IFACES = 3 };

/* Each type as docs/internals.md has it, written down by hand. */
static const struct {
    NetWireHead head;
    const char *hex;
} golden[] = {
    {{.len = 0x1234, .type = NET_WIRE_HELLO},
     "34120000 01 00 0000 0000000000000000"},
    {{.len = 0x00010a0b,
      .type = NET_WIRE_FRAME,
      .iface = 2,
      .number = 0x0123456789abcdef},
     "0b0a0100 02 02 0000 efcdab8967452301"},
    {{.len = 24,
      .type = NET_WIRE_CAPTURE,
      .flags = NET_WIRE_PERIODIC,
      .number = 7},
     "18000000 03 00 0100 0700000000000000"},
    {{.type = NET_WIRE_LOADED, .number = 258},
     "00000000 04 00 0000 0201000000000000"},
    {{.len = 56, .type = NET_WIRE_OFFSET, .iface = 1, .number = 9},
     "38000000 05 01 0000 0900000000000000"},
    {{.type = NET_WIRE_WANTED, .number = 1},
     "00000000 06 00 0000 0100000000000000"},
    {{.type = NET_WIRE_ATTACHED}, "00000000 07 00 0000 0000000000000000"},
    {{.type = NET_WIRE_TAKEOVER, .number = 0xff},
     "00000000 08 00 0000 ff00000000000000"},
    {{.type = NET_WIRE_PING}, "00000000 09 00 0000 0000000000000000"},
    {{.len = 0x46, .type = NET_WIRE_DIGEST, .iface = 1, .number = 0x1122},
     "46000000 0a 01 0000 2211000000000000"},
    {{.type = NET_WIRE_FETCH, .iface = 1, .number = 0x1122},
     "00000000 0b 01 0000 2211000000000000"},
    {{.len = 0x10203, .type = NET_WIRE_CONTENT, .iface = 2, .number = 0x1122},
     "03020100 0c 02 0000 2211000000000000"},
    {{.type = NET_WIRE_GONE, .iface = 2, .number = 0x1122},
     "00000000 0d 02 0000 2211000000000000"},
    {{.len = 16, .type = NET_WIRE_DONE, .iface = 1},
     "10000000 0e 01 0000 0000000000000000"},
};

static char *hex_of(const guint8 *bytes, gsize n)
{
    GString *s = g_string_new(NULL);

    for (gsize i = 0; i < n; i++) {
        g_string_append_printf(s, "%02x", bytes[i]);
    }
    return g_string_free(s, FALSE);
}

static char *no_blanks(const char *hex)
{
    char **parts = g_strsplit(hex, " ", -1);
    char *joined = g_strjoinv("", parts);

    g_strfreev(parts);
    return joined;
}

static void test_golden(void)
{
    g_assert_cmpuint(G_N_ELEMENTS(golden), ==, NET_WIRE_N - 1);
    for (guint i = 0; i < G_N_ELEMENTS(golden); i++) {
        const NetWireHead *h = &golden[i].head;
        g_autofree char *expected = no_blanks(golden[i].hex), *hex = NULL;
        g_autoptr(GError) error = NULL;
        guint8 bytes[NET_WIRE_HEADER];
        NetWireHead again;

        net_wire_put_head(bytes, h);
        hex = hex_of(bytes, sizeof(bytes));
        g_assert_cmpstr(hex, ==, expected);
        g_assert_true(net_wire_get_head(bytes, IFACES, &again, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(again.len, ==, h->len);
        g_assert_cmpuint(again.type, ==, h->type);
        g_assert_cmpuint(again.iface, ==, h->iface);
        g_assert_cmpuint(again.flags, ==, h->flags);
        g_assert_cmpuint(again.number, ==, h->number);
        g_assert_cmpuint(h->type, ==, i + 1);
    }
}

static void test_wrong_heads(void)
{
    static const struct {
        NetWireHead head;
        const char *what;
    } cases[] = {
        {{.type = 0}, "type"},
        {{.type = NET_WIRE_N}, "type"},
        {{.type = 255, .len = 4}, "type"},
        {{.type = NET_WIRE_HELLO, .len = 1}, "length"},
        {{.type = NET_WIRE_HELLO, .len = NET_WIRE_MAX_HELLO + 1}, "length"},
        {{.type = NET_WIRE_FRAME, .len = NET_WIRE_VNET + 13}, "length"},
        {{.type = NET_WIRE_FRAME, .len = NET_WIRE_MAX + 1}, "length"},
        {{.type = NET_WIRE_FRAME, .len = G_MAXUINT32}, "length"},
        {{.type = NET_WIRE_CAPTURE, .len = 0}, "length"},
        {{.type = NET_WIRE_CAPTURE, .len = 16}, "length"},
        {{.type = NET_WIRE_CAPTURE, .len = 32}, "length"},
        {{.type = NET_WIRE_LOADED, .len = 1}, "length"},
        {{.type = NET_WIRE_OFFSET, .len = 55}, "length"},
        {{.type = NET_WIRE_OFFSET, .len = 57}, "length"},
        {{.type = NET_WIRE_WANTED, .len = 1}, "length"},
        {{.type = NET_WIRE_WANTED, .len = 191}, "length"},
        {{.type = NET_WIRE_WANTED, .len = 193}, "length"},
        {{.type = NET_WIRE_DIGEST, .len = NET_WIRE_DIGEST_MIN - 1}, "length"},
        {{.type = NET_WIRE_DIGEST, .len = NET_WIRE_DIGEST_MAX + 1}, "length"},
        {{.type = NET_WIRE_FETCH, .len = 1}, "length"},
        {{.type = NET_WIRE_CONTENT, .len = NET_WIRE_MAX + 1}, "length"},
        {{.type = NET_WIRE_GONE, .len = 1}, "length"},
        {{.type = NET_WIRE_DONE, .len = 0}, "length"},
        {{.type = NET_WIRE_DONE, .len = 12}, "length"},
        {{.type = NET_WIRE_DONE, .len = 8 * NET_WIRE_DONE_N + 8}, "length"},
        {{.type = NET_WIRE_ATTACHED, .len = 1}, "length"},
        {{.type = NET_WIRE_TAKEOVER, .len = 1}, "length"},
        {{.type = NET_WIRE_PING, .len = 1}, "length"},
        {{.type = NET_WIRE_FRAME, .len = 60, .iface = IFACES}, "interface"},
        {{.type = NET_WIRE_OFFSET, .len = 56, .iface = 255}, "interface"},
        {{.type = NET_WIRE_CAPTURE, .len = 24, .iface = 1}, "interface"},
        {{.type = NET_WIRE_PING, .iface = 1}, "interface"},
        {{.type = NET_WIRE_CAPTURE, .len = 24, .flags = 2}, "flag"},
        {{.type = NET_WIRE_FRAME, .len = 60, .flags = 1}, "flag"},
        {{.type = NET_WIRE_PING, .flags = 0x8000}, "flag"},
        {{.type = NET_WIRE_WANTED, .number = 2}, "number"},
        {{.type = NET_WIRE_ATTACHED, .number = G_MAXUINT64}, "number"},
        {{.type = NET_WIRE_PING, .number = 1}, "number"},
        {{.type = NET_WIRE_HELLO, .len = 9, .number = 1}, "number"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *what =
            g_strdup_printf("has a wrong %s:", cases[i].what);
        guint8 bytes[NET_WIRE_HEADER];
        NetWireHead h;

        net_wire_put_head(bytes, &cases[i].head);
        g_assert_false(net_wire_get_head(bytes, IFACES, &h, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
        if (!strstr(error->message, what)) {
            g_error("case %u: %s", i, error->message);
        }
        g_assert_nonnull(net_wire_type_name(cases[i].head.type));
    }
}

/* Only one side's words. */
static void test_who(void)
{
    for (guint type = 1; type < NET_WIRE_N; type++) {
        gboolean primary = net_wire_is_said_by(type, TRUE);
        gboolean secondary = net_wire_is_said_by(type, FALSE);

        g_assert_true(primary || secondary);
        g_assert_cmpint(primary, ==,
                        type != NET_WIRE_LOADED && type != NET_WIRE_TAKEOVER &&
                            type != NET_WIRE_DIGEST &&
                            type != NET_WIRE_CONTENT && type != NET_WIRE_GONE);
        g_assert_cmpint(secondary, ==,
                        type != NET_WIRE_CAPTURE && type != NET_WIRE_OFFSET &&
                            type != NET_WIRE_WANTED &&
                            type != NET_WIRE_FETCH && type != NET_WIRE_DONE);
    }
}

static NetWireOffset an_offset(gboolean ipv6)
{
    NetWireOffset o;

    memset(&o, 0, sizeof(o));
    for (guint i = 0; i < (ipv6 ? 16 : 4); i++) {
        o.flow.src[i] = 0xa0 + i;
        o.flow.dst[i] = 0xb0 + i;
    }
    o.flow.sport = 80;
    o.flow.dport = 0xc0de;
    o.flow.vlan = 4094;
    o.flow.ethertype = ipv6 ? 0x86dd : 0x0800;
    o.flow.proto = IPPROTO_TCP;
    o.flow.iface = 2;
    o.seq_delta = 0xdeadbeef;
    o.ts_delta = 0x01020304;
    return o;
}

static void test_offset(void)
{
    static const char *const expected[] = {
        "a0a1a2a3000000000000000000000000b0b1b2b3000000000000000000000000"
        "5000dec0fe0f00080600000000000000efbeadde04030201",
        "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
        "5000dec0fe0fdd860600000000000000efbeadde04030201",
    };

    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        NetWireOffset o = an_offset(ipv6), again;
        g_autofree char *hex = NULL;
        g_autoptr(GError) error = NULL;
        guint8 bytes[NET_WIRE_OFFSET_LEN];

        net_wire_put_offset(bytes, &o);
        hex = hex_of(bytes, sizeof(bytes));
        g_assert_cmpstr(hex, ==, expected[ipv6]);
        g_assert_true(
            net_wire_get_offset(bytes, sizeof(bytes), 2, &again, &error));
        g_assert_no_error(error);
        g_assert_cmpmem(&again.flow, sizeof(NetKey), &o.flow, sizeof(NetKey));
        g_assert_cmpuint(again.seq_delta, ==, o.seq_delta);
        g_assert_cmpuint(again.ts_delta, ==, o.ts_delta);
    }
}

static void test_wrong_offsets(void)
{
    static const struct {
        gboolean ipv6;
        guint at;
        guint8 value;
        const char *what;
    } cases[] = {
        {FALSE, 4, 1, "IPv4 address"},  {FALSE, 15, 1, "IPv4 address"},
        {FALSE, 20, 1, "IPv4 address"}, {FALSE, 31, 1, "IPv4 address"},
        {FALSE, 37, 0x10, "VLAN"},      {TRUE, 37, 0xff, "VLAN"},
        {FALSE, 39, 0x09, "type"},      {TRUE, 38, 0x00, "type"},
        {FALSE, 40, 17, "protocol"},    {FALSE, 41, 1, "zero field"},
        {TRUE, 47, 0x80, "zero field"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        NetWireOffset o = an_offset(cases[i].ipv6);
        g_autoptr(GError) error = NULL;
        guint8 bytes[NET_WIRE_OFFSET_LEN];

        net_wire_put_offset(bytes, &o);
        bytes[cases[i].at] = cases[i].value;
        g_assert_false(
            net_wire_get_offset(bytes, sizeof(bytes), 0, &o, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
        g_assert_true(g_str_has_suffix(error->message, cases[i].what));
    }
    for (gsize len = 0; len < NET_WIRE_OFFSET_LEN; len++) {
        g_autofree guint8 *bytes = g_malloc0(len);
        g_autoptr(GError) error = NULL;
        NetWireOffset o;

        g_assert_false(net_wire_get_offset(bytes, len, 0, &o, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    }
}

/* --- DIGEST ------------------------------------------------------------- */

/* Ethernet, IPv4 of 40 bytes, TCP: port 80 to 1024, seq 100, ack 5, PSH ACK. */
static const guint8 digest_head[] = {
    2,    0x77, 0, 0, 2, 9, 0x52, 0x54, 0,    0x77, 3,    0x64, 8,    0,
    0x45, 0,    0, 40, 0, 0, 0x40, 0,    64,   6,    0,    0,    10,   77,
    3,    100,  10, 77, 3, 9, 0,    80,   4,    0,    0,    0,    0,    100,
    0,    0,    0, 5, 0x50, 0x18, 3, 0xe8, 0,    0,    0,    0,
};

static NetDigests a_digest(void)
{
    NetDigests d = {.number = 7, .len = 2900, .piece = 1448};

    d.hash[0] = G_GUINT64_CONSTANT(0x0123456789abcdef);
    d.hash[1] = 2;
    d.hash[2] = 3;
    return d;
}

static gboolean get_digest(const guint8 *bytes, gsize len, NetDigests *d,
                           NetPacket *p, GError **error)
{
    const NetWireHead h = {.type = NET_WIRE_DIGEST,
                           .len = (guint32)len,
                           .iface = 2,
                           .number = 7};

    return net_wire_get_digest(&h, bytes, d, p, error);
}

static void test_digest(void)
{
    NetDigests d = a_digest(), again;
    g_autofree char *hex = NULL, *head = hex_of(digest_head, 54), *all = NULL;
    g_autoptr(GError) error = NULL;
    guint8 bytes[NET_WIRE_DIGEST_MAX];
    gsize len = net_wire_put_digest(bytes, &d, digest_head, 54);
    NetPacket p;

    hex = hex_of(bytes, len);
    all = g_strconcat("540b0000a8053600efcdab8967452301"
                      "02000000000000000300000000000000",
                      head, NULL);
    g_assert_cmpstr(hex, ==, all);
    g_assert_true(get_digest(bytes, len, &again, &p, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(again.number, ==, 7);
    g_assert_cmpuint(again.len, ==, d.len);
    g_assert_cmpuint(again.piece, ==, d.piece);
    g_assert_cmpmem(again.hash, 24, d.hash, 24);
    g_assert_cmpint(p.kind, ==, NET_KIND_TCP);
    g_assert_cmpuint(p.seq, ==, 100);
    g_assert_cmpuint(p.key.sport, ==, 80);
    g_assert_cmpuint(p.key.iface, ==, 2);
}

static void test_wrong_digests(void)
{
    static const struct {
        guint at;
        guint8 value;
        const char *what;
    } cases[] = {
        {0, 0x53, NULL}, /* a byte less, as many pieces */
        {0, 0x50, "contradict"},
        {2, 1, "size"},
        {3, 1, "size"},
        {5, 1, "size"},
        {4, 0xff, "contradict"},
        {6, 0x35, "contradict"},
        {6, 0x37, "contradict"},
        {7, 2, "contradict"},
        {32 + 12, 9, "headers"},        /* another EtherType */
        {32 + 14, 0x46, "headers"},     /* options that are not there */
        {32 + 17, 41, "headers"},       /* bytes that are not there */
        {32 + 23, 17, "headers"},       /* UDP */
        {32 + 14 + 33, 0x02, "headers"}, /* SYN */
        {32 + 14 + 33, 0x14, "headers"}, /* RST */
    };
    const NetDigests d = a_digest();

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint8 bytes[NET_WIRE_DIGEST_MAX];
        gsize len = net_wire_put_digest(bytes, &d, digest_head, 54);
        g_autofree guint8 *copy = NULL;
        g_autoptr(GError) error = NULL;
        NetDigests got;
        NetPacket p;

        bytes[cases[i].at] = cases[i].value;
        copy = g_memdup2(bytes, len); /* its end is guarded */
        if (get_digest(copy, len, &got, &p, &error) == !!cases[i].what ||
            (error && !strstr(error->message, cases[i].what))) {
            g_error("case %u: %s", i, error ? error->message : "it is taken");
        }
    }
    for (gsize len = 0; len <= NET_WIRE_DIGEST_MAX + 1; len++) {
        g_autofree guint8 *bytes = g_malloc0(len + 1);
        g_autoptr(GError) error = NULL;
        NetDigests got;
        NetPacket p;

        g_assert_false(get_digest(bytes, len, &got, &p, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    }
}

#define HELLO                                                                  \
    "{\"version-min\":1,\"version-max\":2,\"name\":\"vm0\",\"primary\":true,"  \
    "\"interfaces\":3,\"instance\":\"00112233445566778899aabbccddeeff\","      \
    "\"attached\":false,\"digests\":true}"

static NetHello *parse(const char *json, GError **error)
{
    /* Without the NUL, for the sanitizers to guard the end. */
    g_autofree guint8 *bytes = g_memdup2(json, strlen(json));

    return net_hello_parse(bytes, strlen(json), error);
}

static void test_hello(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(NetHello) h = parse(HELLO, &error), copy = NULL;
    g_autoptr(GBytes) bytes = NULL;

    g_assert_no_error(error);
    g_assert_cmpuint(h->version_min, ==, 1);
    g_assert_cmpuint(h->version_max, ==, 2);
    g_assert_cmpstr(h->name, ==, "vm0");
    g_assert_true(h->primary);
    g_assert_cmpuint(h->ifaces, ==, 3);
    g_assert_cmpstr(h->instance, ==, "00112233445566778899aabbccddeeff");
    g_assert_false(h->attached);
    copy = net_hello_copy(h);
    bytes = net_hello_format(copy);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    HELLO, strlen(HELLO));
}

/* HELLO with the first `from` replaced. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(HELLO, from);

    g_assert_nonnull(at);
    return g_strdup_printf("%.*s%s%s", (int)(at - HELLO), HELLO, to,
                           at + strlen(from));
}

static void test_wrong_hellos(void)
{
    static const char *const cases[][3] = {
        {"\"version-min\":1,", "", "\"version-min\""},
        {"\"version-min\":1", "\"version-min\":0", "\"version-min\""},
        {"\"version-min\":1", "\"version-min\":\"1\"", "\"version-min\""},
        {"\"version-min\":1", "\"version-min\":-1", "\"version-min\""},
        {"\"version-min\":1", "\"version-min\":3", "\"version-max\""},
        {"\"version-max\":2", "\"version-max\":65536", "\"version-max\""},
        {"\"vm0\"", "\"\"", "\"name\""},
        {"\"vm0\"", "7", "\"name\""},
        {"\"vm0\"", "\"a\\u001bb\"", "\"name\""},
        {"\"vm0\"", "\"a\\u0000b\"", "cannot be read"},
        {"vm0",
         "01234567890123456789012345678901234567890123456789012345678901234",
         "\"name\""},
        {"\"primary\":true", "\"primary\":1", "\"primary\""},
        {"\"interfaces\":3", "\"interfaces\":0", "\"interfaces\""},
        {"\"interfaces\":3", "\"interfaces\":17", "\"interfaces\""},
        {"ddeeff", "ddeef", "\"instance\""},
        {"ddeeff", "ddeeFF", "\"instance\""},
        {"ddeeff", "ddeefff", "\"instance\""},
        {"false", "null", "\"attached\""},
        {HELLO, "", "cannot be read"},
        {HELLO, "[]", "cannot be read"},
        {HELLO, "{\"a\":[[[[[[[[[]]]]]]]]]}", "cannot be read"},
        {"}", "} {}", "cannot be read"},
    };
    g_autofree guint8 *huge = g_malloc0(NET_WIRE_MAX_HELLO + 1);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *json = changed(cases[i][0], cases[i][1]);
        g_autoptr(NetHello) h = parse(json, &error);

        g_assert_null(h);
        g_assert_nonnull(error);
        if (!strstr(error->message, cases[i][2])) {
            g_error("case %u: %s", i, error->message);
        }
        g_clear_error(&error);
    }
    for (gsize n = 0; n < strlen(HELLO); n++) {
        g_autofree char *json = g_strndup(HELLO, n);
        g_autoptr(NetHello) h = parse(json, &error);

        g_assert_null(h);
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
    g_assert_null(net_hello_parse(huge, NET_WIRE_MAX_HELLO + 1, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

/* What a pair has to have in common. */
static void test_matches(void)
{
    static const char *const cases[][3] = {
        {"\"primary\":true", "\"primary\":false", NULL},
        {"\"version-min\":1", "\"version-min\":2", "a secondary, too"},
        {"\"version-min\":1,\"version-max\":2",
         "\"version-min\":3,\"version-max\":4", "version 3 to 4"},
        {"\"version-max\":2", "\"version-max\":65535", "a secondary, too"},
        {"vm0", "vm1", "\"vm1\""},
        {"\"primary\":true,\"interfaces\":3",
         "\"primary\":false,\"interfaces\":2", "2 interfaces"},
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(NetHello) ours = parse(HELLO, &error);

    g_assert_no_error(error);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *json = changed(cases[i][0], cases[i][1]);
        g_autoptr(NetHello) theirs = parse(json, &error);
        gboolean good;

        g_assert_no_error(error);
        ours->primary = cases[i][2] && strstr(cases[i][2], "secondary")
                            ? (theirs->primary = FALSE)
                            : TRUE;
        good = net_hello_matches(ours, theirs, &error);
        g_assert_cmpint(good, ==, !cases[i][2]);
        if (!good) {
            g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
            if (!strstr(error->message, cases[i][2])) {
                g_error("case %u: %s", i, error->message);
            }
            g_clear_error(&error);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/golden", test_golden);
    g_test_add_func("/wire/wrong-heads", test_wrong_heads);
    g_test_add_func("/wire/who", test_who);
    g_test_add_func("/wire/offset", test_offset);
    g_test_add_func("/wire/wrong-offsets", test_wrong_offsets);
    g_test_add_func("/wire/digest", test_digest);
    g_test_add_func("/wire/wrong-digests", test_wrong_digests);
    g_test_add_func("/wire/hello", test_hello);
    g_test_add_func("/wire/wrong-hellos", test_wrong_hellos);
    g_test_add_func("/wire/matches", test_matches);
    return g_test_run();
}
