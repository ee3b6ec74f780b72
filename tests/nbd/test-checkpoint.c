/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seal, commit, load, promote: through the exports, as both guests see it. */
#include "tests/nbd/server.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* A server with a session, and who talks to it */
typedef struct Setup {
    Server *s;
    Nbd *cut, *pvm[2], *svm[2];
} Setup;

static void connect_all(Setup *t)
{
    static const char *const names[][2] = {{"vda/primary", "vda/secondary"},
                                           {"vdb/primary", "vdb/secondary"}};

    t->cut = client_new(t->s, "checkpoint");
    for (guint i = 0; i < t->s->disks; i++) {
        t->pvm[i] = client_new(t->s, names[i][0]);
        t->svm[i] = client_new(t->s, names[i][1]);
    }
}

static void disconnect_all(Setup *t)
{
    client_free(t->cut);
    for (guint i = 0; i < t->s->disks; i++) {
        client_free(t->pvm[i]);
        client_free(t->svm[i]);
    }
}

static gboolean setup(Setup *t, guint disks)
{
    t->s = server_new(disks, 16 * MIB);
    if (!t->s) {
        return FALSE;
    }
    server_start(t->s);
    server_begin(t->s);
    connect_all(t);
    return TRUE;
}

static void teardown(Setup *t)
{
    disconnect_all(t);
    server_free(t->s);
}

static void epoch_do(Setup *t, const char *command, guint64 epoch)
{
    server_do(t->s, command, "{\"epoch\":%" G_GUINT64_FORMAT "}", epoch);
}

static void take(Setup *t, guint64 epoch)
{
    client_seal(t->cut, epoch);
    epoch_do(t, "disk-commit", epoch);
    epoch_do(t, "disk-load", epoch);
}

/* I4: what is written behind the seal is not in the epoch, on any disk. */
static void test_cut(void)
{
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    for (guint epoch = 1; epoch <= 100; epoch++) {
        const guint64 at = 16384 * epoch;

        for (guint i = 0; i < 2; i++) {
            client_fill(t.pvm[i], at, 8192, (int)epoch);
        }
        client_seal(t.cut, epoch);
        for (guint i = 0; i < 2; i++) {
            client_fill(t.pvm[i], at, 8192, 0xff);
            /* The first copy goes to the image itself. */
            client_check(t.svm[i], at, 8192, epoch == 1);
        }
        epoch_do(&t, "disk-commit", epoch);
        epoch_do(&t, "disk-load", epoch);
        for (guint i = 0; i < 2; i++) {
            client_check(t.svm[i], at, 8192, (int)epoch);
            client_check(t.pvm[i], at, 8192, 0xff);
            if (epoch > 1) {
                client_check(t.svm[i], at - 16384, 8192, 0xff);
            }
        }
    }
    teardown(&t);
}

static void test_views(void)
{
    Setup t;

    if (!setup(&t, 1)) {
        return;
    }
    client_fill(t.pvm[0], 0, MIB, 1);
    take(&t, 1);
    client_fill(t.svm[0], 0, 4096, 2);
    client_fill(t.pvm[0], 4096, 4096, 3);
    client_check(t.svm[0], 0, 4096, 2);
    client_check(t.svm[0], 4096, 4096, 1);
    client_check(t.pvm[0], 0, 4096, 1);
    client_check(t.pvm[0], 4096, 4096, 3);

    take(&t, 2); /* drops what the SVM wrote */
    client_check(t.svm[0], 0, 4096, 1);
    client_check(t.svm[0], 4096, 4096, 3);
    teardown(&t);
}

static void test_promote(void)
{
    g_autofree char *state = NULL, *image = NULL, *bytes = NULL;
    gsize len;
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    server_refuses(t.s, "nothing to take over", "disk-promote", NULL);
    for (guint i = 0; i < 2; i++) {
        client_fill(t.pvm[i], 0, MIB, 1);
    }
    take(&t, 1);
    for (guint i = 0; i < 2; i++) {
        client_fill(t.pvm[i], 0, 4096, 2);
        client_fill(t.svm[i], 4096, 4096, 3);
    }
    client_seal(t.cut, 2); /* never acknowledged */
    server_do(t.s, "disk-promote", NULL);
    for (guint i = 0; i < 2; i++) {
        char byte;

        /* At once, before it is durable */
        client_check(t.svm[i], 0, 4096, 1);
        client_check(t.svm[i], 4096, 4096, 3);
        client_fill(t.svm[i], 8192, 4096, 4);
        client_fill_fails(t.pvm[i], 0, 4096, ESHUTDOWN);
        g_assert_cmpint(nbd_pread(t.pvm[i], &byte, 1, 0, 0), <, 0);
        g_assert_cmpint(nbd_get_errno(), ==, ESHUTDOWN);
        g_assert_cmpint(nbd_flush(t.svm[i], 0), ==, 0);
    }
    server_wait_event(t.s, "COLO_DISK_PROMOTED", "\"durable\":true");
    g_assert_cmpint(client_request(t.cut, "seal", 3, SESSION), ==, EPERM);
    server_refuses(t.s, "survivor", "disk-reset",
                   "{\"session\":\"" OTHER_SESSION "\"}");
    server_wait_event(t.s, "COLO_DISK", "merged");
    while (!server_had_event(t.s, "COLO_DISK",
                             "\"name\":\"vdb\",\"what\":\"merged\"") ||
           !server_had_event(t.s, "COLO_DISK",
                             "\"name\":\"vda\",\"what\":\"merged\"")) {
        g_assert_true(colo_qmp_client_wait_any(
            t.s->control, g_get_monotonic_time() + 10 * G_USEC_PER_SEC, NULL));
    }
    client_fill(t.svm[1], 12288, 4096, 5);
    g_assert_cmpint(nbd_flush(t.svm[1], 0), ==, 0);
    server_do(t.s, "disk-promote", NULL); /* again: nothing changes */
    disconnect_all(&t);
    server_stop(t.s);

    /* A plain image is left. */
    image = server_image(t.s, 1);
    g_assert_true(g_file_get_contents(image, &bytes, &len, NULL));
    for (guint i = 0; i < 5; i++) {
        static const char expected[] = {1, 3, 4, 5, 1};

        g_assert_cmpint(bytes[i * 4096], ==, expected[i]);
        g_assert_cmpint(bytes[i * 4096 + 4095], ==, expected[i]);
    }
    server_start(t.s);
    state = server_string(t.s, 0, "state");
    g_assert_cmpstr(state, ==, "promoted");
    connect_all(&t);
    client_check(t.svm[0], 4096, 4096, 3);
    teardown(&t);
}

/*
 * I1: nothing that is under way refuses a takeover: neither a flush nor the
 * same takeover, asked for by a colod that was started again.
 */
static void test_promote_at_once(void)
{
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    take(&t, 1);
    for (guint i = 0; i < 100; i++) {
        client_fill(t.svm[i % 2], 4096 * i, 4096, 1);
        server_do(t.s, "disk-flush", NULL);
        server_do(t.s, "disk-promote", NULL);
        server_do(t.s, "disk-promote", NULL);
        /* Who hears of the end may ask again. */
        server_wait_event(t.s, "COLO_DISK_FLUSHED", "\"durable\":true");
        server_wait_event(t.s, "COLO_DISK_PROMOTED", "\"durable\":true");
        g_ptr_array_set_size(t.s->events, 0);
    }
    teardown(&t);
}

/* A capture that was thrown away is repeated, with the same number or not. */
static void test_again(void)
{
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    take(&t, 1);
    client_fill(t.pvm[0], 0, 4096, 1);
    client_seal(t.cut, 2);
    client_fill(t.pvm[0], 4096, 4096, 2);
    client_seal(t.cut, 2);
    client_fill(t.pvm[0], 4096, 4096, 9);
    epoch_do(&t, "disk-commit", 2);
    g_assert_cmpint(client_request(t.cut, "seal", 2, SESSION), !=, 0);
    g_assert_cmpint(client_request(t.cut, "unseal", 2, SESSION), !=, 0);
    server_refuses(t.s, "committed", "disk-unseal", "{\"epoch\":2}");
    epoch_do(&t, "disk-load", 2);
    client_check(t.svm[0], 0, 4096, 1);
    client_check(t.svm[0], 4096, 4096, 2);

    /* One that was given up and comes late does not seal what is newer. */
    g_assert_cmpint(client_cut(t.cut, 3, SESSION, 2), ==, 0);
    g_assert_cmpint(client_cut(t.cut, 3, SESSION, 2), ==, EPERM);
    g_assert_cmpint(client_cut(t.cut, 3, SESSION, 1), ==, EPERM);
    g_assert_cmpint(client_cut(t.cut, 3, SESSION, 3), ==, 0);
    client_seal(t.cut, 3);
    g_assert_cmpint(client_request(t.cut, "unseal", 3, SESSION), ==, 0);
    server_refuses(t.s, "epoch 3 is not sealed", "disk-commit",
                   "{\"epoch\":3}");
    client_seal(t.cut, 4);
    epoch_do(&t, "disk-unseal", 4);
    client_fill(t.pvm[0], 4096, 4096, 4);
    take(&t, 5);
    client_check(t.svm[0], 4096, 4096, 4);
    g_assert_cmpint(server_number(t.s, 1, "loaded"), ==, 5);
    teardown(&t);
}

static void test_refusals(void)
{
    static const char good[] = "{\"execute\":\"seal\",\"arguments\":{\"epoch\""
                               ":1,\"session\":\"" SESSION "\"}}";
    static const char *const bad[] = {
        "",
        "{}",
        "seal",
        "[]",
        "{\"execute\":\"seal\"}",
        "{\"execute\":\"query-version\"}",
        "{\"execute\":\"quit\"}",
        "{\"execute\":\"seal\",\"arguments\":{\"epoch\":1}}",
        "{\"execute\":\"seal\",\"arguments\":{\"epoch\":\"1\",\"session\":"
        "\"" SESSION "\"}}",
        "{\"execute\":\"seal\",\"arguments\":{\"epoch\":0,\"session\":"
        "\"" SESSION "\"}}",
        "{\"execute\":\"seal\",\"arguments\":{\"epoch\":-1,\"session\":"
        "\"" SESSION "\"}}",
    };
    char page[4096];
    Setup t;

    if (!setup(&t, 1)) {
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(client_request_text(t.cut, bad[i], 512), ==, EINVAL);
    }
    g_assert_cmpint(client_request_text(t.cut, good, 511), ==, EINVAL);
    g_assert_cmpint(client_request_text(t.cut, good, sizeof(good) - 1), ==,
                    EINVAL);
    g_assert_cmpint(nbd_pwrite(t.cut, good, sizeof(good), 512, 0), <, 0);
    memset(page, ' ', sizeof(page)); /* no end */
    memcpy(page, good, sizeof(good) - 1);
    g_assert_cmpint(nbd_pwrite(t.cut, page, sizeof(page), 0, 0), <, 0);
    memset(page, 0, sizeof(page)); /* something behind the end */
    memcpy(page, good, sizeof(good) - 1);
    page[4000] = 'x';
    g_assert_cmpint(nbd_pwrite(t.cut, page, sizeof(page), 0, 0), <, 0);
    g_assert_cmpint(nbd_zero(t.cut, 4096, 0, 0), <, 0);
    g_assert_cmpint(client_request(t.cut, "seal", 1, OTHER_SESSION), ==, EPERM);
    g_assert_cmpint(server_number(t.s, 0, "epoch"), ==, 0);
    g_assert_cmpint(client_request_text(t.cut, good, 4096), ==, 0);

    server_refuses(t.s, "epoch 2 is not sealed", "disk-commit",
                   "{\"epoch\":2}");
    server_refuses(t.s, "not committed", "disk-load", "{\"epoch\":1}");
    server_refuses(t.s, "32 hex", "disk-session", "{\"session\":\"x\"}");
    server_refuses(t.s, "32 hex", "disk-reset",
                   "{\"session\":\"0123456789ABCDEF0123456789ABCDEF\"}");
    server_refuses(t.s, "number from 1", "disk-commit", "{\"epoch\":0}");
    server_refuses(t.s, "number from 1", "disk-load", "{\"epoch\":-1}");
    epoch_do(&t, "disk-commit", 1);
    epoch_do(&t, "disk-commit", 1);
    epoch_do(&t, "disk-load", 1);
    take(&t, 2);
    server_refuses(t.s, "older", "disk-commit", "{\"epoch\":1}");
    g_assert_cmpint(client_request(t.cut, "seal", 1, SESSION), !=, 0);
    teardown(&t);
}

/* What anybody may read there */
static void test_summary(void)
{
    g_autoptr(JsonNode) node = NULL;
    JsonObject *disk;
    char page[4096];
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    take(&t, 7);
    g_assert_cmpint(nbd_pread(t.cut, page, sizeof(page), 0, 0), ==, 0);
    g_assert_cmpint(page[sizeof(page) - 1], ==, 0);
    node = json_from_string(page, NULL);
    g_assert_nonnull(node);
    disk = json_array_get_object_element(
        json_object_get_array_member(json_node_get_object(node), "disks"), 1);
    g_assert_cmpstr(json_object_get_string_member(disk, "name"), ==, "vdb");
    g_assert_cmpint(json_object_get_int_member(disk, "epoch"), ==, 7);
    g_assert_cmpint(json_object_get_int_member(disk, "size"), ==, 16 * MIB);
    g_assert_null(strstr(page, SESSION));
    g_assert_cmpint(nbd_pread(t.cut, page, 1, 4095, 0), ==, 0);
    teardown(&t);
}

/* One disk refuses: the others take it back, and keep what was written. */
static void test_all_or_none(void)
{
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    disconnect_all(&t);
    server_stop(t.s);
    t.s->first = 1; /* vdb alone gets a step ahead */
    server_start(t.s);
    server_do(t.s, "disk-session", "{\"session\":\"" SESSION "\"}");
    t.cut = client_new(t.s, "checkpoint");
    client_seal(t.cut, 9);
    client_free(t.cut);
    server_stop(t.s);
    t.s->first = 0;
    server_start(t.s);
    server_do(t.s, "disk-session", "{\"session\":\"" SESSION "\"}");
    connect_all(&t);

    client_fill(t.pvm[0], 0, 4096, 1);
    g_assert_cmpint(client_request(t.cut, "seal", 5, SESSION), ==, EINVAL);
    g_assert_cmpint(server_number(t.s, 0, "epoch"), ==, 0);
    g_assert_cmpint(server_number(t.s, 1, "epoch"), ==, 9);
    server_refuses(t.s, "disk vda: epoch 5 is not sealed", "disk-commit",
                   "{\"epoch\":5}");
    server_refuses(t.s, "disk vda: epoch 9 is not sealed", "disk-commit",
                   "{\"epoch\":9}");
    client_check(t.pvm[0], 0, 4096, 1);
    /* Where it was sealed already it is sealed anew. */
    client_fill(t.pvm[1], 0, 4096, 2);
    take(&t, 9);
    client_check(t.svm[0], 0, 4096, 1);
    client_check(t.svm[1], 0, 4096, 2);
    teardown(&t);
}

/* The server died between two disks' loads: the takeover finishes that. */
static void test_half_loaded(void)
{
    Setup t;

    if (!setup(&t, 2)) {
        return;
    }
    take(&t, 1);
    client_fill(t.pvm[0], 0, 4096, 2);
    client_fill(t.pvm[1], 0, 4096, 2);
    client_seal(t.cut, 2);
    epoch_do(&t, "disk-commit", 2);
    disconnect_all(&t);
    server_kill(t.s);
    t.s->first = 1;
    server_start(t.s);
    epoch_do(&t, "disk-commit", 2);
    epoch_do(&t, "disk-load", 2);
    server_kill(t.s);
    t.s->first = 0;
    server_start(t.s);
    g_assert_cmpint(server_number(t.s, 0, "loaded"), ==, 1);
    g_assert_cmpint(server_number(t.s, 1, "loaded"), ==, 2);
    server_do(t.s, "disk-promote", NULL);
    connect_all(&t);
    client_check(t.svm[0], 0, 4096, 2);
    client_check(t.svm[1], 0, 4096, 2);
    server_wait_event(t.s, "COLO_DISK_PROMOTED", "\"durable\":true");
    teardown(&t);
}

static void fill_up(const char *path)
{
    static const char block[64 * 1024] = {1};
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    g_assert_cmpint(errno, ==, ENOSPC);
    close(fd);
}

/*
 * Two disks, connected; vdb's folder, which is returned, is a file system with
 * these options.  NULL: not here.
 */
static char *setup_small(Setup *t, const char *options)
{
    g_autofree char *one = NULL;

    if (geteuid() || unshare(CLONE_NEWNS) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        g_test_skip("no file system can be mounted here");
        return NULL;
    }
    t->s = server_new(2, 16 * MIB);
    if (!t->s) {
        return NULL;
    }
    t->s->folder = g_build_filename(t->s->dir, "logs", NULL);
    one = g_build_filename(t->s->folder, "vdb", NULL);
    g_assert_cmpint(g_mkdir_with_parents(one, 0700), ==, 0);
    g_assert_cmpint(mount("tmpfs", one, "tmpfs", 0, options), ==, 0);
    server_start(t->s);
    server_begin(t->s);
    connect_all(t);
    return g_steal_pointer(&one);
}

/*
 * The file system of one disk's log is full: the PVM's writes are refused,
 * nothing is lost, the other disk does not care, and it goes on when there is
 * room.
 */
static void test_full(void)
{
    g_autofree char *one = NULL, *filler = NULL;
    guint64 at = 0;
    Setup t;

    one = setup_small(&t, "size=8m");
    if (!one) {
        return;
    }
    filler = g_build_filename(one, "filler", NULL);
    take(&t, 1);
    client_fill(t.pvm[1], 0, 4096, 1);
    fill_up(filler);
    do {
        at += 65536;
        g_assert_cmpuint(at, <, 16 * MIB);
    } while (nbd_pwrite(t.pvm[1], filler, 1, at, 0) == 0 ||
             nbd_get_errno() != ENOSPC);
    server_wait_event(t.s, "COLO_DISK", "\"name\":\"vdb\",\"what\":\"enospc\"");
    client_fill_fails(t.pvm[1], at, 4096, ENOSPC);
    client_check(t.pvm[1], 0, 4096, 1);
    client_fill(t.pvm[0], 0, 4096, 2);
    /* What was acknowledged can still be sealed and loaded. */
    take(&t, 2);
    client_check(t.svm[0], 0, 4096, 2);
    client_check(t.svm[1], 0, 4096, 1);

    g_assert_cmpint(g_unlink(filler), ==, 0);
    server_wait_event(t.s, "COLO_DISK", "\"name\":\"vdb\",\"what\":\"space\"");
    client_fill(t.pvm[1], at, 4096, 3);
    take(&t, 3);
    client_check(t.svm[1], at, 4096, 3);
    disconnect_all(&t);
    server_stop(t.s);
    g_assert_cmpint(umount(one), ==, 0);
    server_free(t.s);
}

/* No file can be made there any more. */
static guint use_up_names(const char *folder)
{
    for (guint i = 0;; i++) {
        g_autofree char *path = g_strdup_printf("%s/name%u", folder, i);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

        if (fd < 0) {
            g_assert_cmpint(errno, ==, ENOSPC);
            return i;
        }
        close(fd);
    }
}

/*
 * There is no room for the log of the next epoch: the checkpoint is refused on
 * all disks and may be asked for again; nothing of the last one is lost.
 */
static void test_no_log(void)
{
    g_autofree char *one = NULL;
    guint names, at = 0;
    int r;
    Setup t;

    one = setup_small(&t, "size=64m,nr_inodes=40");
    if (!one) {
        return;
    }
    client_fill(t.pvm[0], 0, 4096, 1);
    client_fill(t.pvm[1], 0, 4096, 1);
    take(&t, 1);
    names = use_up_names(one);
    do { /* captures that are thrown away: each takes a log */
        g_assert_cmpuint(at, <, 40);
        client_fill(t.pvm[0], at * 4096, 4096, 2);
        client_fill(t.pvm[1], at++ * 4096, 4096, 2);
        r = client_request(t.cut, "seal", 2, SESSION);
    } while (!r);
    g_assert_cmpint(r, ==, ENOSPC);
    server_wait_event(t.s, "COLO_DISK", "\"name\":\"vdb\",\"what\":\"enospc\"");
    g_assert_cmpint(client_request(t.cut, "seal", 2, SESSION), ==, ENOSPC);
    server_refuses(t.s, "epoch 2 is not sealed", "disk-commit",
                   "{\"epoch\":2}");
    for (guint i = 0; i < 2; i++) {
        client_check(t.svm[i], 0, 4096, 1);
        client_check(t.pvm[i], 0, at * 4096, 2);
    }

    while (names--) {
        g_autofree char *path = g_strdup_printf("%s/name%u", one, names);

        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    take(&t, 2);
    for (guint i = 0; i < 2; i++) {
        client_check(t.svm[i], 0, at * 4096, 2);
    }
    disconnect_all(&t);
    server_stop(t.s);
    g_assert_cmpint(umount(one), ==, 0);
    server_free(t.s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbd/cut", test_cut);
    g_test_add_func("/nbd/views", test_views);
    g_test_add_func("/nbd/promote", test_promote);
    g_test_add_func("/nbd/promote-at-once", test_promote_at_once);
    g_test_add_func("/nbd/again", test_again);
    g_test_add_func("/nbd/refusals", test_refusals);
    g_test_add_func("/nbd/summary", test_summary);
    g_test_add_func("/nbd/all-or-none", test_all_or_none);
    g_test_add_func("/nbd/half-loaded", test_half_loaded);
    g_test_add_func("/nbd/full", test_full);
    g_test_add_func("/nbd/no-log", test_no_log);
    return g_test_run();
}
