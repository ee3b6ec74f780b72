/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which exports there are, what they can, and who may use them. */
#include "tests/nbd/server.h"
#include "blockrep/plugin/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static void start(Server **s, guint disks)
{
    *s = server_new(disks, 16 * MIB);
    if (*s) {
        server_start(*s);
    }
}

static int add_name(void *user, const char *name, const char *description)
{
    GString *names = user;

    g_string_append_printf(names, "%s ", name);
    return 0;
}

static void test_names(void)
{
    static const char *const good[] = {"vda", "vda/primary", "vda/secondary",
                                       "vdb", "checkpoint"};
    static const char *const bad[] = {"",           "primary", "secondary",
                                      "vdc",        "vda/",    "vda/primary/",
                                      "/primary",   "vda/x",   "VDA",
                                      "checkpoint/"};
    g_autoptr(GString) names = g_string_new(NULL);
    g_autofree char *port = NULL;
    Server *s;
    Nbd *h;

    start(&s, 2);
    if (!s) {
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        client_free(client_new(s, good[i]));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        if (client_try(s, NULL, bad[i])) {
            g_error("there is an export '%s'", bad[i]);
        }
    }
    h = nbd_create();
    nbd_set_opt_mode(h, true);
    port = g_strdup_printf("%u", (guint)s->port);
    g_assert_cmpint(nbd_connect_tcp(h, "127.0.0.1", port), ==, 0);
    g_assert_cmpint(nbd_opt_list(h, (nbd_list_callback){.callback = add_name,
                                                        .user_data = names}),
                    ==, 5);
    g_assert_cmpstr(names->str, ==,
                    "vda/primary vda/secondary vdb/primary vdb/secondary "
                    "checkpoint ");
    nbd_opt_abort(h);
    nbd_close(h);
    server_free(s);
}

static void test_one_disk(void)
{
    Server *s;
    Nbd *h, *sec;

    start(&s, 1);
    if (!s) {
        return;
    }
    h = client_new(s, "primary");
    client_fill(h, 0, 4096, 1);
    client_free(h);
    sec = client_new(s, "secondary");
    h = client_new(s, "vda/primary");
    client_check(h, 0, 4096, 1);
    client_free(h);
    client_free(sec);
    g_assert_null(client_try(s, NULL, ""));
    server_free(s);
}

/* What is announced */
static void test_abilities(void)
{
    Server *s;
    Nbd *h;

    start(&s, 1);
    if (!s) {
        return;
    }
    h = client_new(s, "vda");
    g_assert_cmpint(nbd_get_size(h), ==, 16 * MIB);
    g_assert_cmpint(nbd_is_read_only(h), ==, 0);
    g_assert_cmpint(nbd_can_flush(h), ==, 1);
    g_assert_cmpint(nbd_can_fua(h), ==, 1);
    g_assert_cmpint(nbd_can_trim(h), ==, 1);
    g_assert_cmpint(nbd_can_zero(h), ==, 1);
    g_assert_cmpint(nbd_can_multi_conn(h), ==, 1);
    g_assert_cmpint(nbd_can_cache(h), ==, 0);
    g_assert_cmpint(nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION), ==,
                    1);
    g_assert_cmpint(nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM), ==, 1);
    g_assert_cmpint(nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED), ==, 4096);
    client_free(h);

    h = client_new(s, "checkpoint");
    g_assert_cmpint(nbd_get_size(h), ==, 4096);
    g_assert_cmpint(nbd_can_fua(h), ==, 0);
    g_assert_cmpint(nbd_can_trim(h), ==, 0);
    g_assert_cmpint(nbd_can_multi_conn(h), ==, 0);
    client_free(h);
    server_free(s);
}

typedef struct Map {
    GString *text;
} Map;

static int add_entries(void *user, const char *context, uint64_t offset,
                       uint32_t *entries, size_t n, int *error)
{
    GString *text = user;

    for (size_t i = 0; i + 1 < n; i += 2) {
        g_string_append_printf(text, "%u:%u ", entries[i], entries[i + 1]);
    }
    return 0;
}

static char *map(Nbd *h, guint64 offset, guint64 len, guint32 flags)
{
    GString *text = g_string_new(NULL);

    g_assert_cmpint(
        nbd_block_status(
            h, len, offset,
            (nbd_extent_callback){.callback = add_entries, .user_data = text},
            flags),
        ==, 0);
    return g_string_free(text, FALSE);
}

/* Any offset and length; trim and zero read as zero; extents tell. */
static void test_requests(void)
{
    g_autofree char *all = NULL, *one = NULL;
    Server *s;
    Nbd *h;

    start(&s, 1);
    if (!s) {
        return;
    }
    server_begin(s);
    h = client_new(s, "checkpoint");
    client_seal(h, 1); /* so that the log is tried, not the image */
    client_free(h);
    h = client_new(s, "vda");
    client_fill(h, 4095, 8194, 3);
    client_check(h, 4094, 1, 0);
    client_check(h, 4095, 8194, 3);
    client_check(h, 4095 + 8194, 1, 0);
    client_fill(h, 16 * MIB - 1, 1, 9);
    client_check(h, 16 * MIB - 1, 1, 9);
    g_assert_cmpint(nbd_pwrite(h, "x", 1, 16 * MIB, 0), <, 0);

    client_fill(h, MIB, MIB, 4);
    g_assert_cmpint(nbd_trim(h, MIB / 2, MIB, LIBNBD_CMD_FLAG_FUA), ==, 0);
    g_assert_cmpint(
        nbd_zero(h, MIB / 4, MIB + MIB / 2,
                 LIBNBD_CMD_FLAG_FAST_ZERO | LIBNBD_CMD_FLAG_NO_HOLE),
        ==, 0);
    client_check(h, MIB, MIB * 3 / 4, 0);
    client_check(h, MIB * 7 / 4, MIB / 4, 4);
    g_assert_cmpint(nbd_flush(h, 0), ==, 0);
    all = map(h, MIB, 2 * MIB, 0);
    g_assert_cmpstr(all, ==, "524288:3 262144:2 262144:0 1048576:3 ");
    one = map(h, MIB, 2 * MIB, LIBNBD_CMD_FLAG_REQ_ONE);
    g_assert_cmpstr(one, ==, "524288:3 ");
    client_free(h);
    server_free(s);
}

/* A whole 4 GiB less a block in one request, of a disk that is larger */
static void test_huge_requests(void)
{
    const guint64 big = ((guint64)1 << 32) - 4096;
    Server *s = server_new(1, (guint64)1 << 41);
    Nbd *h;

    if (!s) {
        return;
    }
    server_start(s);
    server_begin(s);
    h = client_new(s, "checkpoint");
    client_seal(h, 1);
    client_free(h);
    h = client_new(s, "vda");
    client_fill(h, (guint64)1 << 40, 4096, 7);
    g_assert_cmpint(nbd_zero(h, big, ((guint64)1 << 40) - 8192, 0), ==, 0);
    client_check(h, (guint64)1 << 40, 4096, 0);
    g_assert_cmpint(nbd_trim(h, big, 0, 0), ==, 0);
    g_assert_cmpint(server_number(s, 0, "pending-bytes"), <, 1 * MIB);
    client_free(h);
    server_free(s);
}

/* One host writes; its connections come and go; others may read. */
static void test_writer(void)
{
    g_autofree char *writer = NULL, *none = NULL, *next = NULL;
    Server *s;
    Nbd *a, *b, *other;

    start(&s, 1);
    if (!s) {
        return;
    }
    server_begin(s);
    a = client_new_from(s, "127.0.0.1", "vda");
    b = client_new_from(s, "127.0.0.1", "vda");
    other = client_new_from(s, "127.0.0.2", "vda");
    client_check(other, 0, 4096, 0);
    client_fill(a, 0, 4096, 1);
    server_wait_event(s, "COLO_DISK", "127.0.0.1");
    writer = server_string(s, 0, "writer");
    g_assert_cmpstr(writer, ==, "127.0.0.1");

    client_fill_fails(other, 0, 4096, EPERM);
    server_wait_event(s, "COLO_DISK", "127.0.0.2 may not write");
    g_assert_cmpint(nbd_trim(other, 4096, 0, 0), <, 0);
    g_assert_cmpint(nbd_zero(other, 4096, 0, 0), <, 0);
    client_check(other, 0, 4096, 1);
    client_fill(b, 4096, 4096, 2);

    client_free(a);
    client_fill_fails(other, 0, 4096, EPERM); /* b is still there */

    /* It comes back, and the old connection still seems to be there. */
    a = client_new_from(s, "127.0.0.1", "vda");
    client_fill(b, 4096, 4096, 4);
    client_fill(a, 4096, 4096, 5);
    client_fill_fails(b, 4096, 4096, EPERM);
    client_check(b, 4096, 4096, 5);
    client_free(a);
    client_free(b);
    /* The server may not have seen b's end yet. */
    for (gint64 end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;;) {
        none = server_string(s, 0, "writer");
        if (!*none) {
            break;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_clear_pointer(&none, g_free);
        g_usleep(1000);
    }
    client_fill(other, 0, 4096, 3);
    next = server_string(s, 0, "writer");
    g_assert_cmpstr(next, ==, "127.0.0.2");

    /* A new session: whoever comes first */
    a = client_new(s, "vda");
    client_fill_fails(a, 0, 4096, EPERM);
    server_begin(s);
    client_fill(a, 0, 4096, 4);
    client_fill_fails(other, 0, 4096, EPERM);
    client_free(a);
    client_free(other);
    server_free(s);
}

static gboolean local(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = 1};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = 1};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return peer_is_local((struct sockaddr *)&v4, sizeof(v4));
    }
    g_assert_cmpint(inet_pton(AF_INET6, text, &v6.sin6_addr), ==, 1);
    return peer_is_local((struct sockaddr *)&v6, sizeof(v6));
}

static void test_peers(void)
{
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = 7};
    struct sockaddr vsock = {.sa_family = 40};
    g_autofree char *host = NULL;

    g_assert_true(local("127.0.0.1"));
    g_assert_true(local("127.1.2.3"));
    g_assert_true(local("::1"));
    g_assert_true(local("::ffff:127.0.0.1"));
    g_assert_false(local("192.0.2.1"));
    g_assert_false(local("128.0.0.1"));
    g_assert_false(local("0.0.0.0"));
    g_assert_false(local("::"));
    g_assert_false(local("2001:db8::1"));
    g_assert_false(local("::ffff:192.0.2.1"));
    g_assert_false(peer_is_local(&vsock, sizeof(vsock)));
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr);
    host = peer_host((struct sockaddr *)&mapped, sizeof(mapped));
    g_assert_cmpstr(host, ==, "192.0.2.1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd/peers", test_peers);
    g_test_add_func("/nbd/names", test_names);
    g_test_add_func("/nbd/one-disk", test_one_disk);
    g_test_add_func("/nbd/abilities", test_abilities);
    g_test_add_func("/nbd/requests", test_requests);
    g_test_add_func("/nbd/huge-requests", test_huge_requests);
    g_test_add_func("/nbd/writer", test_writer);
    return g_test_run();
}
