/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Servers that die, and clients that do. */
#include "tests/nbd/server.h"

#include <errno.h>
#include <string.h>

enum { IN_FLIGHT = 64, PIECE = 64 * 1024 };

static void seal_and_load(Server *s, guint64 epoch)
{
    Nbd *cut = client_new(s, "checkpoint");

    client_seal(cut, epoch);
    client_free(cut);
    server_do(s, "disk-commit", "{\"epoch\":%" G_GUINT64_FORMAT "}", epoch);
    server_do(s, "disk-load", "{\"epoch\":%" G_GUINT64_FORMAT "}", epoch);
}

/* kill -9: all that was answered is there for the clients that come back. */
static void test_server_dies(void)
{
    Server *s = server_new(1, 64 * MIB);
    GRand *rand = g_rand_new_with_seed(7);
    int pvm[64] = {0}, svm[64] = {0};

    if (!s) {
        g_rand_free(rand);
        return;
    }
    server_start(s);
    server_begin(s);
    for (guint64 epoch = 1; epoch <= 30; epoch++) {
        Nbd *p = client_new(s, "vda/primary"), *q;
        int n = g_rand_int_range(rand, 1, 40);

        for (int i = 0; i < n; i++) {
            int at = g_rand_int_range(rand, 0, 64);

            pvm[at] = g_rand_int_range(rand, 1, 256);
            client_fill(p, (guint64)at * 12288 + 100, 12000, pvm[at]);
        }
        if (epoch % 3) {
            seal_and_load(s, epoch);
            memcpy(svm, pvm, sizeof(svm));
            q = client_new(s, "vda/secondary");
            for (int i = 0; i < n; i++) {
                int at = g_rand_int_range(rand, 0, 64);

                svm[at] = g_rand_int_range(rand, 1, 256);
                client_fill(q, (guint64)at * 12288 + 100, 12000, svm[at]);
            }
            client_free(q);
        }
        client_free(p);
        server_kill(s);
        server_start(s);
        server_do(s, "disk-session", "{\"session\":\"" SESSION "\"}");
        p = client_new(s, "vda/primary");
        q = client_new(s, "vda/secondary");
        for (int i = 0; i < 64; i++) {
            client_check(p, (guint64)i * 12288 + 100, 12000, pvm[i]);
            if (epoch > 2) {
                client_check(q, (guint64)i * 12288 + 100, 12000, svm[i]);
            }
        }
        client_free(p);
        client_free(q);
    }
    g_rand_free(rand);
    server_free(s);
}

/* After a restart nobody seals who does not know the session. */
static void test_session(void)
{
    Server *s = server_new(1, 16 * MIB);
    Nbd *cut;

    if (!s) {
        return;
    }
    server_start(s);
    server_begin(s);
    seal_and_load(s, 1);
    server_kill(s);
    server_start(s);
    cut = client_new(s, "checkpoint");
    g_assert_cmpint(client_request(cut, "seal", 2, SESSION), ==, EPERM);
    server_do(s, "disk-session", "{\"session\":\"" OTHER_SESSION "\"}");
    g_assert_cmpint(client_request(cut, "seal", 2, SESSION), ==, EPERM);
    g_assert_cmpint(client_request(cut, "unseal", 2, SESSION), ==, EPERM);
    g_assert_cmpint(client_request(cut, "seal", 2, OTHER_SESSION), ==, 0);
    g_assert_cmpint(server_number(s, 0, "epoch"), ==, 2);
    g_assert_cmpint(server_number(s, 0, "committed"), ==, 1);
    client_free(cut);
    server_kill(s);
    server_start(s); /* a seal that nobody committed: sealed anew */
    server_do(s, "disk-session", "{\"session\":\"" SESSION "\"}");
    seal_and_load(s, 2);
    server_free(s);
}

static int on_done(void *user, int *error)
{
    guint *done = user;

    ++*done;
    return 1;
}

/* Clients vanish with requests under way: the others notice nothing. */
static void test_clients_die(void)
{
    static char buf[PIECE];
    Server *s = server_new(1, 64 * MIB);
    Nbd *calm;

    if (!s) {
        return;
    }
    server_start(s);
    server_begin(s);
    seal_and_load(s, 1);
    memset(buf, 1, sizeof(buf));
    for (guint round = 0; round < 60; round++) {
        Nbd *h = client_new(s, "vda/primary");
        guint done = 0;

        for (guint i = 0; i < IN_FLIGHT; i++) {
            nbd_completion_callback cb = {.callback = on_done,
                                          .user_data = &done};
            gint64 r =
                i & 1 && round & 1
                    ? nbd_aio_pread(h, buf, PIECE, (i + 1) * PIECE, cb, 0)
                    : nbd_aio_pwrite(h, buf, PIECE, (i + 1) * PIECE, cb, 0);

            g_assert_cmpint(r, >=, 0);
        }
        while (done < round) {
            g_assert_cmpint(nbd_poll(h, 10000), >, 0);
        }
        nbd_close(h); /* without a word */
        /* Whoever comes next does not mind. */
        calm = client_new(s, "vda/primary");
        client_fill(calm, 0, 4096, (int)round);
        client_check(calm, 0, 4096, (int)round);
        client_free(calm);
    }
    /* Requests of the dead may be under way: a seal waits for them. */
    seal_and_load(s, 2);
    calm = client_new(s, "vda/primary");
    client_check(calm, 0, 4096, 59);
    client_free(calm);
    server_free(s);
}

/* Nothing of a server's clean end gets lost, with clients connected. */
static void test_quit(void)
{
    Server *s = server_new(1, 16 * MIB);
    Nbd *h;

    if (!s) {
        return;
    }
    server_start(s);
    server_begin(s);
    seal_and_load(s, 1);
    h = client_new(s, "vda/secondary");
    client_fill(h, 0, MIB, 5);
    server_do(s, "disk-flush", NULL);
    server_wait_event(s, "COLO_DISK_FLUSHED", "\"durable\":true");
    server_stop(s);
    nbd_close(h);
    server_start(s);
    h = client_new(s, "vda/secondary");
    client_check(h, 0, MIB, 5);
    client_free(h);
    server_free(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd/server-dies", test_server_dies);
    g_test_add_func("/nbd/session", test_session);
    g_test_add_func("/nbd/clients-die", test_clients_die);
    g_test_add_func("/nbd/quit", test_quit);
    return g_test_run();
}
