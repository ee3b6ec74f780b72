/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the other proxy sends: messages, hellos, and a whole connection.
 *
 * The first byte says which (modulo 3): 0 a stream for the reader, cut as the
 * second byte says; 1 a hello; 2 what a primary sends after a good hello.
 */
#include "fuzz.h"

#include "netcompare/link/link.h"
#include "netcompare/link/reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char fuzz_corpus[] = "link";

enum { MAX_SIZE = 48 * 1024, IFACES = 2, HELD = 4 };

static void fuzz_hello(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(NetHello) h = net_hello_parse(data, size, &error);
    g_autoptr(NetHello) again = NULL, copy = NULL;
    g_autoptr(GBytes) json = NULL;
    gsize len;

    g_assert_true(!h == !!error);
    if (!h) {
        return;
    }
    /* What was taken can be said again. */
    json = net_hello_format(h);
    again = net_hello_parse(g_bytes_get_data(json, &len),
                            g_bytes_get_size(json), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(h->name, ==, again->name);
    g_assert_cmpstr(h->instance, ==, again->instance);
    g_assert_cmpuint(h->ifaces, ==, again->ifaces);
    g_assert_cmpuint(h->ifaces, >=, 1);
    g_assert_cmpuint(h->ifaces, <=, NET_WIRE_MAX_IFACES);
    g_assert_cmpint(h->primary, ==, again->primary);
    g_assert_cmpint(h->attached, ==, again->attached);
    g_assert_cmpuint(h->version_min, <=, h->version_max);
    copy = net_hello_copy(h);
    copy->primary = !h->primary;
    g_assert_true(net_hello_matches(h, copy, &error));
    g_assert_no_error(error);
}

static void fuzz_offset(const NetWireHead *h, const guint8 *data)
{
    g_autoptr(GError) error = NULL;
    guint8 again[NET_WIRE_OFFSET_LEN];
    NetWireOffset o;

    if (net_wire_get_offset(data, h->len, h->iface, &o, &error)) {
        net_wire_put_offset(again, &o);
        g_assert_cmpmem(again, sizeof(again), data, h->len);
    } else {
        g_assert_nonnull(error);
    }
}

static void fuzz_digest(const NetWireHead *h, const guint8 *data)
{
    g_autoptr(GError) error = NULL;
    guint8 again[NET_WIRE_DIGEST_MAX];
    NetDigests d;
    NetPacket p;
    gsize head, len;

    if (!net_wire_get_digest(h, data, &d, &p, &error)) {
        g_assert_nonnull(error);
        return;
    }
    head = h->len - 8 - 8 * net_digest_count(d.len, d.piece);
    g_assert_true(p.data >= data + h->len - head &&
                  p.data + p.len <= data + h->len);
    len = net_wire_put_digest(again, &d, data + h->len - head, head);
    g_assert_cmpmem(again, len, data, h->len);
}

static void check_message(const NetWireHead *h, const guint8 *data, NetBuf *buf)
{
    g_autoptr(GError) error = NULL;
    /* A copy of its own, for the sanitizers to guard its end. */
    g_autofree guint8 *copy = g_memdup2(data, h->len);
    guint8 head[NET_WIRE_HEADER];

    g_assert_true(data >= buf->data + NET_WIRE_HEADER &&
                  data + h->len <= buf->data + buf->size);
    net_wire_put_head(head, h);
    g_assert_cmpmem(head, sizeof(head), data - NET_WIRE_HEADER, sizeof(head));
    g_assert_true(net_wire_check_head(h, IFACES, &error));
    g_assert_cmpuint(h->iface, <, IFACES);
    if (h->type == NET_WIRE_OFFSET) {
        fuzz_offset(h, copy);
    } else if (h->type == NET_WIRE_DIGEST) {
        fuzz_digest(h, copy);
    } else if (h->type == NET_WIRE_HELLO) {
        fuzz_hello(copy, h->len);
    }
}

/* Returns the bytes that were handed out; some buffers are kept meanwhile. */
static gsize read_stream(NetBufPool *pool, const uint8_t *data, size_t size,
                         guint piece, guint *messages)
{
    g_autoptr(GError) error = NULL;
    NetReaderResult result = NET_READER_MORE;
    NetBuf *held[HELD] = {NULL};
    gsize done = 0;
    NetReader r;

    net_reader_init(&r, pool, IFACES);
    *messages = 0;
    while (size && result == NET_READER_MORE) {
        const guint8 *bytes;
        NetWireHead h;
        NetBuf *buf;
        gsize room;
        guint8 *space = net_reader_space(&r, &room);
        gsize n = MIN(MIN(size, room), piece);

        memcpy(space, data, n);
        net_reader_fed(&r, n);
        data += n;
        size -= n;
        while ((result = net_reader_next(&r, &h, &bytes, &buf, &error)) ==
               NET_READER_MESSAGE) {
            NetBuf **slot = &held[*messages % HELD];

            check_message(&h, bytes, buf);
            done += NET_WIRE_HEADER + h.len;
            net_buf_unref(*slot);
            *slot = *messages % 3 ? net_buf_ref(buf) : NULL;
            (*messages)++;
        }
    }
    g_assert_true((result == NET_READER_WRONG) == !!error);
    for (guint i = 0; i < HELD; i++) {
        net_buf_unref(held[i]);
    }
    net_reader_clear(&r);
    return done;
}

static void fuzz_reader(const uint8_t *data, size_t size)
{
    static NetBufPool *pool;
    guint whole, cut;
    gsize a, b;

    if (!pool) {
        pool = net_buf_pool_new(NET_READER_BUF, HELD + 2);
    }
    if (!size) {
        return;
    }
    /* How it is cut makes no difference. */
    a = read_stream(pool, data + 1, size - 1, G_MAXUINT, &whole);
    b = read_stream(pool, data + 1, size - 1, data[0] + 1, &cut);
    g_assert_cmpuint(a, ==, b);
    g_assert_cmpuint(whole, ==, cut);
}

typedef struct Secondary {
    NetLink *link;
    NetHello hello; /* its own */
    guint ups, downs;
} Secondary;

static char *path; /* of its socket */

static void remove_socket(void)
{
    unlink(path);
    g_free(path);
}

static void on_up(gpointer user, const NetHello *hello)
{
    Secondary *s = user;

    s->ups++;
}

static void on_down(gpointer user, const char *why)
{
    Secondary *s = user;

    g_assert_nonnull(why);
    s->downs++;
    g_assert_cmpuint(s->ups, ==, s->downs);
}

static gboolean on_message(gpointer user, const NetWireHead *h,
                           const guint8 *data, NetBuf *buf, GError **error)
{
    Secondary *s = user;

    g_assert_cmpuint(s->ups, ==, s->downs + 1);
    g_assert_true(net_wire_is_said_by(h->type, TRUE));
    g_assert_cmpuint(h->type, !=, NET_WIRE_PING);
    g_assert_cmpuint(h->type, !=, NET_WIRE_HELLO);
    check_message(h, data, buf);
    return TRUE;
}

static void start_secondary(Secondary *s)
{
    static const NetLinkOps ops = {on_up, on_down, on_message, NULL};
    g_autoptr(GError) error = NULL;
    ColoAddr at;
    NetLinkConfig config = {.listen = &at};

    path = g_strdup_printf("%s/fuzz-link.%d", g_get_tmp_dir(), getpid());
    at = (ColoAddr){.path = path};
    s->hello =
        (NetHello){1,     1,      (char *)"vm0",
                   FALSE, IFACES, (char *)"00112233445566778899aabbccddeeff",
                   FALSE};
    s->link = net_link_new(&config, &s->hello, &ops, s, &error);
    g_assert_no_error(error);
    atexit(remove_socket);
}

static void fuzz_link(const uint8_t *data, size_t size)
{
    static Secondary s;
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) json = NULL;
    ColoAddr at;
    NetHello theirs;
    NetWireHead h = {.type = NET_WIRE_HELLO};
    guint8 head[NET_WIRE_HEADER];
    guint downs;
    int fd;

    if (!s.link) {
        start_secondary(&s);
    }
    theirs = s.hello;
    theirs.primary = TRUE;
    json = net_hello_format(&theirs);
    h.len = (guint32)g_bytes_get_size(json);
    net_wire_put_head(head, &h);
    g_byte_array_append(out, head, sizeof(head));
    g_byte_array_append(out, g_bytes_get_data(json, NULL), h.len);
    if (size) {
        g_byte_array_append(out, data, (guint)size);
    }
    at = (ColoAddr){.path = path};
    downs = s.downs;
    fd = colo_addr_connect(&at, G_USEC_PER_SEC, &error);
    g_assert_no_error(error);
    /* Fits into the socket's buffer, so one thread will do. */
    g_assert_cmpint(send(fd, out->data, out->len, MSG_DONTWAIT), ==, out->len);
    shutdown(fd, SHUT_WR);
    while (s.downs == downs) {
        g_main_context_iteration(NULL, TRUE);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_SIZE) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        fuzz_reader(data + 1, size - 1);
        break;
    case 1:
        fuzz_hello(data + 1, size - 1);
        break;
    default:
        fuzz_link(data + 1, size - 1);
        break;
    }
    return 0;
}
