/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both proxies' processors give the same hashes, whole and in parts. */
#include "netcompare/packet/digest-impl.h"

#define LEN 8192

static guint8 secret[NET_DIGEST_SECRET], bytes[LEN + 64];

static guint64 in_parts(const NetDigestImpl *impl, const guint8 *from,
                        gsize len)
{
    void *state = impl->new();
    gsize at = 0;
    guint64 hash;

    impl->begin(state, secret);
    while (at < len) {
        gsize n = (gsize)g_test_rand_int_range(1, 700);

        n = MIN(n, len - at);
        impl->add(state, from + at, n);
        at += n;
    }
    hash = impl->end(state);
    impl->free(state);
    return hash;
}

static void test_same(gconstpointer data)
{
    const NetDigestImpl *impl = data;

    for (int i = 0; i < 2000; i++) {
        const guint8 *from = bytes + g_test_rand_int_range(0, 64);
        gsize len = (gsize)g_test_rand_int_range(1, LEN);
        guint64 hash = net_digest_plain.all(from, len, secret);

        g_assert_cmphex(impl->all(from, len, secret), ==, hash);
        g_assert_cmphex(in_parts(impl, from, len), ==, hash);
        g_assert_cmphex(net_digest(secret, from, len), ==, hash);
    }
}

/* What was sent differs, or the secret does. */
static void test_differs(void)
{
    guint64 hash = net_digest(secret, bytes, LEN);

    for (int i = 0; i < LEN; i += 61) {
        bytes[i] ^= 1;
        g_assert_cmphex(net_digest(secret, bytes, LEN), !=, hash);
        bytes[i] ^= 1;
    }
    secret[NET_DIGEST_SECRET / 2] ^= 1;
    g_assert_cmphex(net_digest(secret, bytes, LEN), !=, hash);
    secret[NET_DIGEST_SECRET / 2] ^= 1;
    g_assert_cmphex(net_digest(secret, bytes, LEN), ==, hash);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    net_digest_new_secret(secret);
    for (int i = 0; i < (int)sizeof(bytes); i++) {
        bytes[i] = (guint8)g_test_rand_int();
    }
    g_test_add_data_func("/digest/plain", &net_digest_plain, test_same);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        g_test_add_data_func("/digest/avx2", &net_digest_avx2, test_same);
    }
#endif
    g_test_add_func("/digest/differs", test_differs);
    return g_test_run();
}
