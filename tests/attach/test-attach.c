/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attaching the disk of a real QEMU to a real nbdkit, while all is well. */
#include "tests/attach/bed.h"

#include <signal.h>
#include <string.h>

static void test_copy(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    g_autoptr(GError) error = NULL;
    guint64 zeroed;

    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_DETACHED);
    g_assert_cmpuint(bed_info(b).size, ==, BED_BYTES);
    bed_assert_clean(b);
    colo_disk_attach_start(b->a, TRUE);
    g_assert_false(colo_disk_attach_is_synced(b->a));
    bed_wait(b, COLO_DISK_SYNCED);
    g_assert_true(colo_disk_attach_is_synced(b->a));
    g_assert_cmpstr(colo_disk_attach_why(b->a), ==, "");
    g_assert_false(colo_disk_attach_take_lost(b->a));
    bed_assert_same(b);

    /* A write is at the server when the guest is told that it is done. */
    bed_forget_log(b);
    for (guint i = 1; i <= 20; i++) {
        g_autofree char *line = g_strdup_printf("write -P %u %uM 64k", i, i);

        bed_io(b, line);
        g_assert_true(bed_holds(b->target, i << 20, 65536, i));
    }
    g_assert_cmpuint(bed_written(b, &zeroed), ==, 20 * 65536);
    bed_io(b, "write -z 3M 32k");
    g_assert_true(bed_holds(b->target, 3 << 20, 32768, 0));
    bed_io(b, "discard 4M 64k");
    bed_assert_same(b);

    g_assert_true(colo_disk_attach_detach(
        b->a, g_get_monotonic_time() + BED_WAIT, &error));
    g_assert_no_error(error);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_DETACHED);
    bed_assert_clean(b);
}

/* By the name of the device instead of the node's */
static void test_device(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);

    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, "disk0");
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_SYNCED);
    bed_forget(b);
    bed_attach(b, "disk0");
    colo_disk_attach_start(b->a, FALSE);
    bed_wait(b, COLO_DISK_SYNCED);
    bed_assert_same(b);
}

/* A colod that is killed leaves its mirror; the next one goes on with it. */
static void test_adopt(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    g_autoptr(GError) error = NULL;
    guint64 zeroed;

    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_SYNCED);
    bed_forget(b);
    bed_forget_log(b);

    bed_attach(b, NULL);
    bed_io(b, "write -P 7 1M 128k");
    colo_disk_attach_start(b->a, FALSE);
    bed_wait(b, COLO_DISK_SYNCED);
    g_assert_cmpuint(bed_written(b, &zeroed), ==, 131072);
    bed_assert_same(b);

    /* A new session copies everything. */
    bed_forget_log(b);
    colo_disk_attach_start(b->a, TRUE);
    g_assert_false(colo_disk_attach_is_synced(b->a));
    bed_wait(b, COLO_DISK_SYNCED);
    g_assert_cmpuint(bed_written(b, &zeroed), >=, 4 << 20);

    /* So does one whose predecessor's mirror goes elsewhere. */
    bed_forget(b);
    bed_kill_nbdkit(b, SIGKILL);
    g_free(b->addr.path);
    g_free(b->socket);
    b->socket = g_build_filename(b->dir, "elsewhere", NULL);
    b->addr.path = g_strdup(b->socket);
    bed_start_nbdkit(b);
    bed_forget_log(b);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, FALSE);
    bed_wait(b, COLO_DISK_SYNCED);
    g_assert_cmpuint(bed_written(b, &zeroed), >=, 4 << 20);
    bed_assert_same(b);

    /* And what is not wanted any more is removed. */
    bed_forget(b);
    bed_attach(b, NULL);
    g_assert_true(colo_disk_attach_detach(
        b->a, g_get_monotonic_time() + BED_WAIT, &error));
    g_assert_no_error(error);
    bed_assert_clean(b);
}

/* A target without a job is left of a predecessor that was killed early. */
static void test_leftover(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    g_autoptr(JsonNode) node = NULL;

    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    node = bed_call(b, "blockdev-add",
                    "{\"driver\": \"null-co\", \"node-name\": "
                    "\"colo-nbd-vda\", \"read-zeroes\": true}");
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, FALSE);
    bed_wait(b, COLO_DISK_SYNCED);
    bed_assert_same(b);
}

static void test_by_hand(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    g_autofree char *disk = NULL;
    g_autoptr(JsonNode) r1 = NULL, r2 = NULL, r3 = NULL;
    g_autoptr(GError) error = NULL;

    bed_start_nbdkit(b);
    disk = g_strdup_printf(
        "-blockdev raw,node-name=local,file.driver=file,file.filename=%s "
        "-blockdev nbd,node-name=far,server.type=unix,server.path=%s,"
        "export=vda,open-timeout=10 "
        "-blockdev quorum,node-name=vda,vote-threshold=1,read-pattern=fifo,"
        "children.0=local,children.1=far",
        b->source, b->socket);
    bed_start_qemu(b, disk);
    bed_attach(b, NULL);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_BY_HAND);
    colo_disk_attach_start(b->a, TRUE);
    bed_run(b, 1500 * 1000);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_BY_HAND);
    g_assert_true(colo_disk_attach_is_synced(b->a));
    bed_assert_clean(b);
    bed_io(b, "write -P 9 5M 64k");
    g_assert_true(bed_holds(b->target, 5 << 20, 65536, 9));

    /* It fails: QEMU says so, and the operator has to see to it. */
    bed_kill_nbdkit(b, SIGKILL);
    bed_io(b, "write -P 10 5M 64k");
    bed_wait(b, COLO_DISK_LOST);
    g_assert_nonnull(strstr(bed_info(b).why, "quorum"));
    g_assert_true(colo_disk_attach_take_lost(b->a));
    r1 = bed_call(b, "x-blockdev-change",
                  "{\"parent\": \"vda\", \"child\": \"children.1\"}");
    r2 = bed_call(b, "blockdev-del", "{\"node-name\": \"far\"}");
    bed_run(b, 1500 * 1000);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_LOST);
    bed_start_nbdkit(b);
    bed_run(b, 500 * 1000);
    disk =
        (g_free(disk),
         g_strdup_printf("{\"driver\": \"nbd\", \"node-name\": \"far\", "
                         "\"export\": \"vda\", "
                         "\"server\": {\"type\": \"unix\", \"path\": \"%s\"}}",
                         b->socket));
    g_clear_pointer(&r1, json_node_unref);
    r1 = bed_call(b, "blockdev-add", disk);
    r3 = bed_call(b, "x-blockdev-change",
                  "{\"parent\": \"vda\", \"node\": \"far\"}");
    bed_wait(b, COLO_DISK_BY_HAND);
    g_assert_true(colo_disk_attach_detach(
        b->a, g_get_monotonic_time() + BED_WAIT, &error));
    g_assert_no_error(error);
}

static void test_tls(void)
{
    g_autoptr(Bed) b = bed_new(TRUE);
    g_autoptr(JsonNode) before = NULL;
    g_autoptr(GError) error = NULL;

    b->psk = g_build_filename(b->dir, "keys.psk", NULL);
    g_assert_true(g_file_set_contents(
        b->psk, "alice:2f6f4d1c6c1b7a3b9f5a2f6f4d1c6c1b7a3b9f5a00112233\n", -1,
        NULL));
    b->peer.tls_psk = b->psk;
    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    /* A predecessor that was killed had other options. */
    before = bed_call(b, "object-add",
                      "{\"qom-type\": \"tls-creds-anon\", \"id\": "
                      "\"colo-disk-tls\", \"endpoint\": \"client\"}");
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_SYNCED);
    bed_assert_same(b);
    g_assert_true(colo_disk_attach_detach(
        b->a, g_get_monotonic_time() + BED_WAIT, &error));
    g_assert_no_error(error);
    bed_assert_clean(b);
}

/* --- What cannot be attached --------------------------------------------- */

static void test_no_node(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    ColoDiskSpec specs[] = {{"vda", "nothing"}, {"v/da", "vda"}};
    ColoDiskSpec twice[] = {{"vda", NULL}, {"vda", NULL}};
    static const char *const says[] = {"--disk vda=NODE", "v/da"};

    bed_start_qemu(b, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(
            colo_disk_attach_new(b->vm, &b->peer, &specs[i], 1, &error));
        g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE);
        g_assert_nonnull(strstr(error->message, says[i]));
    }
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(colo_disk_attach_new(b->vm, &b->peer, twice, 2, &error));
        g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE);
    }
}

static void test_no_server(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);

    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_run(b, 700 * 1000);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_WAITING);
    g_assert_nonnull(strstr(bed_info(b).why, b->socket));
    bed_start_nbdkit(b);
    bed_wait(b, COLO_DISK_SYNCED);
    bed_assert_same(b);
}

static void test_wrong_size(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);

    b->plugin = "memory 32M";
    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_REFUSED);
    g_assert_nonnull(strstr(bed_info(b).why, "33554432"));
    g_assert_nonnull(strstr(bed_info(b).why, "67108864"));
    bed_assert_clean(b);
}

static void test_no_export(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    g_autofree char *plugin = g_strdup_printf("file dir=%s", b->dir);

    b->plugin = plugin;
    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_REFUSED);
    g_assert_nonnull(strstr(bed_info(b).why, "no export vda/primary"));
    bed_assert_clean(b);
}

static void test_read_only(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);

    b->plugin = "-r memory 64M";
    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_REFUSED);
    g_assert_nonnull(strstr(bed_info(b).why, "read-only"));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        {"copy", test_copy},
        {"device", test_device},
        {"adopt", test_adopt},
        {"leftover", test_leftover},
        {"by-hand", test_by_hand},
        {"tls", test_tls},
        {"no-node", test_no_node},
        {"no-server", test_no_server},
        {"wrong-size", test_wrong_size},
        {"no-export", test_no_export},
        {"read-only", test_read_only},
    };
    g_autofree char *nbdkit = g_find_program_in_path("nbdkit");

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/attach/%s", tests[i].name);

        if (nbdkit && test_qemu_binary()) {
            g_test_add_func(path, tests[i].func);
        }
    }
    if (!nbdkit || !test_qemu_binary()) {
        g_print("1..0 # SKIP qemu-system-x86_64 or nbdkit is missing: install "
                "Debian's packages qemu-system-x86 and nbdkit\n");
        return 0;
    }
    return g_test_run();
}
