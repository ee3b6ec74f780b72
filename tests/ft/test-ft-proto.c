/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ft stream's frames: exact bytes, and refusal of everything else. */
#include "frames.h"
#include "golden.h"
#include "colo/ft/ft-coding.h"
#include "colo/ft/ft-hello.h"

#include <string.h>

#define ID 0x1234

static void add_hex(GByteArray *out, const char *hex)
{
    guint8 page[COLO_PAGE_SIZE];

    for (gsize i = 0; i < sizeof(page); i++) {
        page[i] = (guint8)(i ^ (i >> 8));
    }
    while (*hex) {
        guint8 byte;

        if (g_str_has_prefix(hex, "PAGE")) {
            g_byte_array_append(out, page, sizeof(page));
            hex += 4;
            continue;
        }
        byte = (guint8)(g_ascii_xdigit_value(hex[0]) << 4 |
                        g_ascii_xdigit_value(hex[1]));
        g_byte_array_append(out, &byte, 1);
        hex += 2;
    }
}

static GByteArray *from_hex(const char *hex)
{
    GByteArray *out = g_byte_array_new();

    add_hex(out, hex);
    return out;
}

static void assert_bytes(GByteArray *got, const char *hex)
{
    g_autoptr(GByteArray) want = from_hex(hex);

    g_assert_cmpmem(got->data, got->len, want->data, want->len);
}

static FtHeader header_of(const GByteArray *frame)
{
    FtHeader h;

    g_assert_null(ft_header_get(frame->data, &h));
    g_assert_cmpuint(frame->len, ==, FT_HEADER_LEN + h.payload_len);
    return h;
}

/* Decode a frame; NULL or what is wrong with it. */
static const char *check_frame(const guint8 *frame, gsize len)
{
    const guint8 *payload = frame + FT_HEADER_LEN;
    const char *wrong;
    FtRun runs[FT_CHUNK_RUNS];
    FtHeader h;
    union {
        FtBegin begin;
        FtCommit commit;
        FtAck ack;
        FtNote note;
        FtChunk chunk;
    } u;

    wrong = ft_header_get(frame, &h);
    if (!wrong && FT_HEADER_LEN + h.payload_len != len) {
        wrong = "length"; /* the next frame would start elsewhere */
    }
    if (wrong) {
        return wrong;
    }
    switch (h.cmd) {
    case FT_CMD_BEGIN:
        return len == FT_HEADER_LEN + FT_BEGIN_LEN
                   ? ft_begin_get(&h, payload, &u.begin)
                   : "length";
    case FT_CMD_COMMIT:
        return len == FT_HEADER_LEN + FT_COMMIT_LEN
                   ? ft_commit_get(&h, payload, &u.commit)
                   : "length";
    case FT_CMD_ACK:
        return ft_ack_get(&h, payload, &u.ack);
    case FT_CMD_NACK:
    case FT_CMD_CANCEL:
        return ft_note_get(&h, payload, &u.note);
    case FT_CMD_CONTINUE:
        if (h.payload_len < FT_CHUNK_LEN) {
            return "length";
        }
        wrong = ft_chunk_get(&h, payload, &u.chunk);
        if (!wrong) {
            wrong = ft_runs_get(&h, &u.chunk, payload, (gsize)-1, runs);
        }
        if (!wrong && u.chunk.coding == FT_CODING_NONE &&
            ft_sum(frame + len - u.chunk.data_len, u.chunk.data_len) !=
                u.chunk.data_sum) {
            wrong = "data";
        }
        return wrong;
    case FT_CMD_INIT: {
        g_autoptr(FtHello) hello =
            ft_hello_get((const char *)payload, h.payload_len, NULL);
        return hello ? NULL : "INIT";
    }
    default:
        return "command";
    }
}

/* The frame is right, and with any bit flipped it is not. */
static void assert_fragile(GByteArray *frame)
{
    gsize bits = (gsize)frame->len * 8;

    g_assert_null(check_frame(frame->data, frame->len));
    for (gsize bit = 0; bit < bits;
         bit += bit > 1024 && bits > 8192 && !g_test_slow() ? 13 : 1) {
        frame->data[bit / 8] ^= (guint8)(1 << bit % 8);
        if (!check_frame(frame->data, frame->len)) {
            g_error("bit %zu of a %s frame may flip", bit,
                    ft_cmd_name((gint16)frame->data[0]));
        }
        frame->data[bit / 8] ^= (guint8)(1 << bit % 8);
    }
}

static void test_begin(void)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    FtBegin b = {.epoch = G_GUINT64_CONSTANT(0x0102030405060708),
                 .flags = FT_BEGIN_INIT | FT_BEGIN_INHERIT};
    FtBegin got;
    FtHeader h;

    frame_begin(frame, ID, &b);
    assert_bytes(frame, golden_begin);
    h = header_of(frame);
    g_assert_cmpint(h.cmd, ==, FT_CMD_BEGIN);
    g_assert_cmpuint(h.id, ==, ID);
    g_assert_cmpuint(h.seq, ==, 0);
    g_assert_null(ft_begin_get(&h, frame->data + FT_HEADER_LEN, &got));
    g_assert_cmpuint(got.epoch, ==, b.epoch);
    g_assert_cmpuint(got.flags, ==, b.flags);
    assert_fragile(frame);

    /* With right sums, and wrong nonetheless */
    g_byte_array_set_size(frame, 0);
    frame_begin(frame, ID, &(FtBegin){.epoch = 0});
    g_assert_nonnull(check_frame(frame->data, frame->len));
    g_byte_array_set_size(frame, 0);
    frame_begin(frame, ID, &(FtBegin){.epoch = 1, .flags = 4});
    g_assert_nonnull(check_frame(frame->data, frame->len));
}

static void test_commit(void)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GByteArray) frame = g_byte_array_new();
    FtCommit got, big = {.epoch = 1, .state_len = FT_MAX_STATE + 1};
    FtHeader h;

    frames_transaction(all, ID, 9, FALSE);
    g_byte_array_append(frame,
                        all->data + all->len - FT_HEADER_LEN - FT_COMMIT_LEN,
                        FT_HEADER_LEN + FT_COMMIT_LEN);
    assert_bytes(frame, golden_commit);
    h = header_of(frame);
    g_assert_cmpint(h.cmd, ==, FT_CMD_COMMIT);
    g_assert_cmpuint(h.seq, ==, 3);
    g_assert_null(ft_commit_get(&h, frame->data + FT_HEADER_LEN, &got));
    g_assert_cmpuint(got.epoch, ==, 9);
    g_assert_cmpuint(got.n_pages, ==, 3);
    g_assert_cmpuint(got.state_len, ==, 10);
    g_assert_cmpuint(got.n_payloads, ==, 3);
    g_assert_cmpuint(got.running_us, ==, FRAMES_RUNNING_US);
    g_assert_cmphex(got.sum, !=, 0);
    assert_fragile(frame);

    g_byte_array_set_size(frame, 0);
    frame_commit(frame, ID, &big);
    g_assert_nonnull(check_frame(frame->data, frame->len));
}

static void test_answers(void)
{
    g_autoptr(GByteArray) ack = g_byte_array_new();
    g_autoptr(GByteArray) nack = g_byte_array_new();
    g_autoptr(GByteArray) cancel = g_byte_array_new();
    FtAck a = {.epoch = G_GUINT64_CONSTANT(0x1122334455667788)}, got_ack;
    FtNote n = {.code = FT_TRANS_ERR_CHECKSUM, .n_good = 4,
                .text = "checksum of a chunk's data is wrong"};
    FtNote bye = {.code = FT_CANCEL_REQUEST, .text = "bye"}, got;
    FtHeader h;

    frame_ack(ack, 0xfffe, &a);
    assert_bytes(ack, golden_ack);
    h = header_of(ack);
    g_assert_null(ft_ack_get(&h, ack->data + FT_HEADER_LEN, &got_ack));
    g_assert_cmpuint(got_ack.epoch, ==, a.epoch);
    assert_fragile(ack);

    frame_note(nack, FT_CMD_NACK, ID, 0, &n);
    assert_bytes(nack, golden_nack);
    h = header_of(nack);
    g_assert_cmpint(h.cmd, ==, FT_CMD_NACK);
    g_assert_null(ft_note_get(&h, nack->data + FT_HEADER_LEN, &got));
    g_assert_cmpuint(got.code, ==, FT_TRANS_ERR_CHECKSUM);
    g_assert_cmpuint(got.n_good, ==, 4);
    g_assert_cmpstr(got.text, ==, n.text);
    assert_fragile(nack);

    frame_note(cancel, FT_CMD_CANCEL, ID, 5, &bye);
    assert_bytes(cancel, golden_cancel);
    assert_fragile(cancel);
}

/* A text is cut at its limit, and cannot steer a terminal. */
static void test_note_text(void)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    FtNote n = {.code = 1}, got;
    FtHeader h;

    memset(n.text, 'a', FT_MAX_TEXT);
    n.text[1] = '\033';
    n.text[2] = '\n';
    frame_note(frame, FT_CMD_NACK, ID, 0, &n);
    h = header_of(frame);
    g_assert_cmpuint(h.payload_len, ==, ft_max_payload(FT_CMD_NACK));
    g_assert_null(ft_note_get(&h, frame->data + FT_HEADER_LEN, &got));
    g_assert_cmpuint(strlen(got.text), ==, FT_MAX_TEXT);
    g_assert_true(g_str_has_prefix(got.text, "a??a"));
    h.payload_len = FT_NOTE_LEN - 1;
    g_assert_nonnull(ft_note_get(&h, frame->data + FT_HEADER_LEN, &got));
}

static void test_chunks(void)
{
    FtRun zero[] = {
        {G_GUINT64_CONSTANT(0x300000002), 2, 1},
        {G_GUINT64_CONSTANT(0x300000010), 7, 1},
    };
    FtRun nine = {.page = 9, .n_pages = 1};
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GByteArray) lz4 = from_hex(golden_lz4);
    FtChunk c = {.type = FT_CHUNK_PAGES, .n_runs = 2};
    guint8 raw[COLO_PAGE_SIZE];
    FtRun runs[FT_CHUNK_RUNS];
    FtHeader h;
    gsize at = FT_HEADER_LEN + FT_BEGIN_LEN;
    gsize first = FT_HEADER_LEN + FT_CHUNK_LEN + 2 * FT_RUN_LEN +
                  COLO_PAGE_SIZE;

    frame_chunk(frame, ID, 1, &c, zero, NULL, 0);
    assert_bytes(frame, golden_zero);
    h = header_of(frame);
    g_assert_null(ft_chunk_get(&h, frame->data + FT_HEADER_LEN, &c));
    g_assert_null(ft_runs_get(&h, &c, frame->data + FT_HEADER_LEN,
                              G_GUINT64_CONSTANT(0x300000017), runs));
    g_assert_cmpmem(runs, sizeof(zero), zero, sizeof(zero));
    g_assert_nonnull(ft_runs_get(&h, &c, frame->data + FT_HEADER_LEN,
                                 G_GUINT64_CONSTANT(0x300000016), runs));
    assert_fragile(frame);

    /* pages and device state, from a transaction */
    frames_transaction(all, ID, 9, FALSE);
    g_byte_array_set_size(frame, 0);
    g_byte_array_append(frame, all->data + at, (guint)first);
    assert_bytes(frame, golden_pages);
    assert_fragile(frame);
    g_byte_array_set_size(frame, 0);
    g_byte_array_append(frame, all->data + at + first,
                        all->len - (guint)(at + first) - FT_HEADER_LEN -
                            FT_COMMIT_LEN);
    assert_bytes(frame, golden_device);
    assert_fragile(frame);

    g_byte_array_set_size(frame, 0);
    c = (FtChunk){.type = FT_CHUNK_DEVICE, .offset = FT_CHUNK_DATA};
    frame_chunk(frame, ID, 7, &c, NULL, FRAMES_STATE, 10);
    assert_bytes(frame, golden_device_offset);

    /* compressed by hand, as the format says */
    h = header_of(lz4);
    g_assert_null(ft_chunk_get(&h, lz4->data + FT_HEADER_LEN, &c));
    g_assert_null(ft_runs_get(&h, &c, lz4->data + FT_HEADER_LEN, 10, runs));
    g_assert_cmpmem(runs, sizeof(nine), &nine, sizeof(nine));
    if (ft_coding_supported(FT_CODING_LZ4)) {
        g_assert_true(ft_decode(c.coding, lz4->data + lz4->len - c.data_len,
                                c.data_len, raw, c.raw_len));
        g_assert_cmphex(ft_sum(raw, sizeof(raw)), ==, c.data_sum);
        g_assert_false(ft_decode(c.coding, lz4->data + lz4->len - c.data_len,
                                 c.data_len - 1, raw, c.raw_len));
    }
}

static void test_atomic(void)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();

    frames_transaction(frame, ID, 9, TRUE);
    assert_bytes(frame, golden_atomic);
    g_assert_cmpint(header_of(frame).cmd, ==, FT_CMD_ATOMIC);
}

/* Chunks whose sums are right but whose fields are not. */
static const char *chunk_wrong(FtChunk c, const FtRun *runs, gsize len)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_autofree guint8 *data = g_malloc0(len + 1);
    FtRun got[FT_CHUNK_RUNS];
    const char *wrong;
    FtHeader h = {.cmd = FT_CMD_CONTINUE};

    if (c.raw_len) {
        c.data_sum = ft_sum(data, len);
    }
    frame_chunk(frame, ID, 1, &c, runs, data, len);
    ft_header_get(frame->data, &h);
    wrong = ft_chunk_get(&h, frame->data + FT_HEADER_LEN, &c);
    return wrong ? wrong
                 : ft_runs_get(&h, &c, frame->data + FT_HEADER_LEN, 100, got);
}

static void test_runs(void)
{
    static const struct {
        FtRun runs[2];
        guint16 n_runs;
        guint pages;
        gboolean right;
    } cases[] = {
        {{{0, 1, 0}, {1, 1, 0}}, 2, 2, TRUE},
        {{{98, 1, 1}, {99, 1, 0}}, 2, 1, TRUE},
        {{{0, 100, 1}}, 1, 0, TRUE},
        {{{0, 0, 0}}, 1, 0, FALSE},               /* empty */
        {{{0, 1, 2}}, 1, 1, FALSE},               /* neither zero nor data */
        {{{100, 1, 1}}, 1, 0, FALSE},             /* behind the RAM */
        {{{0, 101, 1}}, 1, 0, FALSE},
        {{{99, 2, 1}}, 1, 0, FALSE},
        {{{1, G_MAXUINT32, 1}}, 1, 0, FALSE},
        {{{G_MAXUINT64, 1, 1}}, 1, 0, FALSE},
        {{{G_MAXUINT64 - 1, 3, 1}}, 1, 0, FALSE},
        {{{4, 2, 0}, {5, 1, 0}}, 2, 3, FALSE},    /* overlapping */
        {{{4, 2, 1}, {4, 2, 1}}, 2, 0, FALSE},    /* twice */
        {{{9, 1, 0}, {3, 1, 0}}, 2, 2, FALSE},    /* descending */
        {{{0, 2, 0}}, 1, 1, FALSE},               /* more pages than data */
        {{{0, 1, 0}}, 1, 2, FALSE},               /* less */
        {{{0, 1, 1}}, 1, 1, FALSE},               /* data of zero pages */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        FtChunk c = {.type = FT_CHUNK_PAGES, .n_runs = cases[i].n_runs};
        const char *wrong = chunk_wrong(c, cases[i].runs,
                                        cases[i].pages * COLO_PAGE_SIZE);

        if ((wrong == NULL) != cases[i].right) {
            g_error("case %u: %s", i, wrong ? wrong : "accepted");
        }
    }
}

static void test_fields(void)
{
    FtRun run = {.page = 1, .n_pages = 1};
    g_autofree FtRun *many = g_new0(FtRun, FT_CHUNK_RUNS + 1);
    gsize page = COLO_PAGE_SIZE;

    g_assert_null(chunk_wrong((FtChunk){.type = 1, .n_runs = 1}, &run, page));
    g_assert_null(chunk_wrong((FtChunk){.type = 2}, NULL, FT_CHUNK_DATA));
    g_assert_null(chunk_wrong((FtChunk){.type = 2, .coding = 2, .raw_len = 9},
                              NULL, 8));
    /* types, codings */
    g_assert_nonnull(chunk_wrong((FtChunk){.type = 0}, NULL, 8));
    g_assert_nonnull(chunk_wrong((FtChunk){.type = 3}, NULL, 8));
    g_assert_nonnull(chunk_wrong((FtChunk){.type = 2, .coding = 3}, NULL, 8));
    /* runs and offsets where there are none */
    g_assert_nonnull(chunk_wrong((FtChunk){.type = 2, .n_runs = 1}, &run, 8));
    g_assert_nonnull(chunk_wrong(
        (FtChunk){.type = 1, .n_runs = 1, .offset = 1}, &run, page));
    /* lengths */
    for (guint i = 0; i <= FT_CHUNK_RUNS; i++) {
        many[i] = (FtRun){.page = i, .n_pages = 1, .zero = 1};
    }
    g_assert_nonnull(chunk_wrong(
        (FtChunk){.type = 1, .n_runs = FT_CHUNK_RUNS + 1}, many, 0));
    g_assert_nonnull(
        chunk_wrong((FtChunk){.type = 2, .coding = 0, .raw_len = 9}, NULL, 8));
    g_assert_nonnull(chunk_wrong(
        (FtChunk){.type = 2, .coding = 1, .raw_len = FT_CHUNK_DATA + 1}, NULL,
        8));
    g_assert_nonnull(chunk_wrong((FtChunk){.type = 2}, NULL,
                                 FT_CHUNK_DATA + 1));
    /* the device state's end */
    g_assert_null(chunk_wrong(
        (FtChunk){.type = 2, .offset = FT_MAX_STATE - 8}, NULL, 8));
    g_assert_nonnull(chunk_wrong(
        (FtChunk){.type = 2, .offset = FT_MAX_STATE - 7}, NULL, 8));
    g_assert_nonnull(chunk_wrong(
        (FtChunk){.type = 2, .offset = G_MAXUINT64 - 3}, NULL, 8));
}

/* No command may claim more than its limit, and unknown ones nothing. */
static void test_headers(void)
{
    guint8 raw[FT_HEADER_LEN];
    FtHeader h, got;

    for (int cmd = -0x8000; cmd < 0x8000; cmd++) {
        gboolean known = cmd >= FT_CMD_NACK && cmd <= FT_CMD_ACK;
        gsize max = ft_max_payload((gint16)cmd);

        g_assert_true(known == (max > 0));
        g_assert_cmpuint(max, <=, FT_MAX_ATOMIC);
        h = (FtHeader){.cmd = (gint16)cmd, .payload_len = (guint32)max};
        ft_header_put(&h, raw);
        g_assert_true(known == (ft_header_get(raw, &got) == NULL));
        h.payload_len++;
        ft_header_put(&h, raw);
        g_assert_nonnull(ft_header_get(raw, &got));
        h.payload_len = G_MAXUINT32;
        ft_header_put(&h, raw);
        g_assert_nonnull(ft_header_get(raw, &got));
    }
}

/* disks: with those; without any the form is as before there were any. */
static void check_init(gboolean disks)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_autoptr(FtHello) got = NULL;
    g_autofree char *payload = NULL;
    FtHello hello = {.version_min = 1, .version_max = 1,
                     .name = (char *)"vm0",
                     .instance = (char *)"00112233445566778899aabbccddeeff",
                     .codings = 3, .periodic = TRUE,
                     .description = (char *)"pc,128",
                     .session = (char *)"ffeeddccbbaa99887766554433221100",
                     .resumed = TRUE, .heartbeat_key = G_MAXUINT64 - 1,
                     .epoch = 41, .open = TRUE, .open_id = 0xffff,
                     .open_good = 17, .n_disks = disks ? 2 : 0,
                     .disks = {{"vda", G_GUINT64_CONSTANT(1) << 41},
                               {"data.1", 512}}};
    FtHeader h = {.cmd = FT_CMD_INIT};
    guint8 raw[FT_HEADER_LEN];
    gsize len;

    payload = ft_hello_put(&hello, &len);
    h.payload_len = (guint32)len;
    ft_header_put(&h, raw);
    g_byte_array_append(frame, raw, sizeof(raw));
    g_byte_array_append(frame, (guint8 *)payload, (guint)len);
    assert_bytes(frame, disks ? golden_init_disks : golden_init);
    got = ft_hello_get(payload, len, NULL);
    g_assert_nonnull(got);
    g_assert_cmpuint(got->version_min, ==, 1);
    g_assert_cmpuint(got->version_max, ==, 1);
    g_assert_cmpstr(got->name, ==, hello.name);
    g_assert_cmpstr(got->instance, ==, hello.instance);
    g_assert_cmpstr(got->description, ==, hello.description);
    g_assert_cmpstr(got->session, ==, hello.session);
    g_assert_cmpuint(got->codings, ==, 3);
    g_assert_true(got->periodic && got->resumed && got->open);
    g_assert_cmpuint(got->heartbeat_key, ==, hello.heartbeat_key);
    g_assert_cmpuint(got->epoch, ==, 41);
    g_assert_cmpuint(got->open_id, ==, 0xffff);
    g_assert_cmpuint(got->open_good, ==, 17);
    g_assert_cmpuint(got->n_disks, ==, hello.n_disks);
    for (guint i = 0; i < got->n_disks; i++) {
        g_assert_cmpstr(got->disks[i].name, ==, hello.disks[i].name);
        g_assert_cmpuint(got->disks[i].size, ==, hello.disks[i].size);
    }
    assert_fragile(frame);
}

static void test_init(void)
{
    check_init(FALSE);
    check_init(TRUE);
}

/* Right sums, wrong members */
static void test_bad_hello(void)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"version-min\":1", "\"version-min\":-1"},
        {"\"version-max\":1", "\"version-max\":65536"},
        {"\"version-max\":1", "\"version-max\":\"1\""},
        {"\"name\":\"vm0\"", "\"name\":null"},
        {"\"name\":\"vm0\"", "\"name\":\"a\\u001bb\""},
        {"\"name\":\"vm0\",", ""},
        {"00112233", "0011223"},
        {"00112233", "0011223g"},
        {"ffeeddcc", "FFEEDDCC"},
        {"\"codings\":3", "\"codings\":65536"},
        {"\"periodic\":true", "\"periodic\":1"},
        {"\"epoch\":41", "\"epoch\":-41"},
        {"\"open-id\":65535", "\"open-id\":65536"},
        {"\"open-good\":17", "\"open-good\":4294967296"},
        {"[{\"name\":\"vda\",", "[{"},
        {"[{\"name\"", "[1,{\"name\""},
        {"\"data.1\"", "\"vda\""},
        {"\"data.1\"", "\"../data\""},
        {"\"data.1\"", "\"\""},
        {"\"data.1\"", "\"a-name-of-23-letters---\""},
        {"\"size\":512", "\"size\":0"},
        {"\"size\":512", "\"size\":-512"},
        {"\"size\":512", "\"size\":\"512\""},
        {"\"size\":512}]", "\"size\":512}],\"x\":{}]"},
        {"\"disks\":[", "\"disks\":[[],"},
        {"\"disks\":", "\"disks\":1,\"x\":"},
        {"}", ""},
        {"{", "[{"},
    };
    g_autoptr(GByteArray) init = from_hex(golden_init_disks);
    g_autofree char *json =
        g_strndup((char *)init->data + FT_HEADER_LEN + FT_HELLO_LEN,
                  init->len - FT_HEADER_LEN - FT_HELLO_LEN);
    g_autoptr(GError) short_error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) parts = g_strsplit(json, cases[i].from, 2);
        g_autofree char *bad = g_strjoinv(cases[i].to, parts);
        gsize len = FT_HELLO_LEN + strlen(bad);
        g_autofree char *payload = g_malloc(len);
        FtHeader h = {.cmd = FT_CMD_INIT, .payload_len = (guint32)len};
        guint64 sum = GUINT64_TO_LE(ft_sum_part(&h, bad, strlen(bad)));
        g_autoptr(GError) error = NULL;

        g_assert_cmpuint(g_strv_length(parts), ==, 2);
        memcpy(payload, &sum, sizeof(sum));
        memcpy(payload + FT_HELLO_LEN, bad, strlen(bad));
        g_assert_null(ft_hello_get(payload, len, &error));
        g_assert_nonnull(error);
        g_assert_null(strstr(error->message, "checksum"));
    }
    g_assert_null(ft_hello_get("1234567", 7, &short_error));
    g_assert_nonnull(short_error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/proto/begin", test_begin);
    g_test_add_func("/ft/proto/commit", test_commit);
    g_test_add_func("/ft/proto/answers", test_answers);
    g_test_add_func("/ft/proto/note-text", test_note_text);
    g_test_add_func("/ft/proto/chunks", test_chunks);
    g_test_add_func("/ft/proto/atomic", test_atomic);
    g_test_add_func("/ft/proto/runs", test_runs);
    g_test_add_func("/ft/proto/fields", test_fields);
    g_test_add_func("/ft/proto/headers", test_headers);
    g_test_add_func("/ft/proto/init", test_init);
    g_test_add_func("/ft/proto/bad-hello", test_bad_hello);
    return g_test_run();
}
