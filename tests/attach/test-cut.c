/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cut through our own plugin: what the secondary gets to see is what the
 * primary's guest had written when it was stopped.
 */
#include "tests/attach/bed.h"
#include "tests/common/scratch.h"

#include <libnbd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SESSION "0123456789abcdef0123456789abcdef"
#define OTHER   "ffffffffffffffffffffffffffffffff"

typedef struct Cut {
    Bed *bed;
    ColoDiskCut *cut;
    ColoQmpClient *control;
    char *plugin, *stores, *path;
} Cut;

static void control(Cut *t, const char *command, const char *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) a = json_from_string(args, &error);
    g_autoptr(JsonNode) node = NULL;

    g_assert_no_error(error);
    node = colo_qmp_client_call(t->control, command,
                                json_object_ref(json_node_get_object(a)),
                                BED_WAIT, &error);
    g_assert_no_error(error);
    g_assert_nonnull(node);
}

static void epoch_command(Cut *t, const char *command, guint64 epoch)
{
    g_autofree char *args =
        g_strdup_printf("{\"epoch\": %" G_GUINT64_FORMAT "}", epoch);

    control(t, command, args);
}

static void wait_ready(Cut *t, gboolean ready)
{
    gint64 end = g_get_monotonic_time() + BED_WAIT;

    while (colo_disk_cut_is_ready(t->cut) != ready &&
           g_get_monotonic_time() < end) {
        struct pollfd p = {.fd = colo_disk_cut_fd(t->cut), .events = POLLIN};

        poll(&p, 1, 1000);
        colo_disk_cut_dispatch(t->cut);
    }
    g_assert_cmpint(colo_disk_cut_is_ready(t->cut), ==, ready);
    g_assert_cmpint(*colo_disk_cut_why(t->cut) == '\0', ==, ready);
}

static void connect_control(Cut *t)
{
    gint64 end = g_get_monotonic_time() + BED_WAIT;

    g_clear_pointer(&t->control, colo_qmp_client_free);
    while (!t->control && g_get_monotonic_time() < end) {
        t->control =
            colo_qmp_client_connect(t->path, BED_WAIT, NULL, NULL, NULL);
        if (!t->control) {
            g_usleep(10000); /* nbdkit gives no sign when it listens there */
        }
    }
    g_assert_nonnull(t->control);
}

static Cut *cut_new(gboolean tcp, const char *filters, const char *more)
{
    Cut *t = g_new0(Cut, 1);

    t->bed = bed_new(tcp);
    t->stores = g_build_filename(t->bed->dir, "stores", NULL);
    t->path = g_build_filename(t->bed->dir, "control", NULL);
    t->plugin = g_strdup_printf("%s disk=vda=%s folder=%s control=%s %s",
                                g_getenv("COLO_NBDKIT_PLUGIN"), t->bed->target,
                                t->stores, t->path, more ? more : "");
    t->bed->plugin = t->plugin;
    t->bed->filters = filters;
    bed_start_nbdkit(t->bed);
    connect_control(t);
    control(t, "disk-reset", "{\"session\": \"" SESSION "\"}");
    t->cut = colo_disk_cut_new(&t->bed->peer);
    wait_ready(t, TRUE);
    return t;
}

static void cut_free(Cut *t)
{
    colo_disk_cut_free(t->cut);
    g_clear_pointer(&t->control, colo_qmp_client_free);
    bed_kill_nbdkit(t->bed, SIGKILL);
    scratch_remove(t->stores);
    bed_free(t->bed);
    g_free(t->plugin);
    g_free(t->stores);
    g_free(t->path);
    g_free(t);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cut, cut_free)

static gboolean cut(Cut *t, guint64 epoch, const char *session, GError **error)
{
    colo_disk_cut_begin(t->cut, epoch, session);
    return colo_disk_cut_end(t->cut, g_get_monotonic_time() + BED_WAIT, error);
}

/* The secondary's guest's view of some bytes */
static gboolean secondary_holds(Cut *t, const char *export, guint64 offset,
                                gsize len, guint8 byte)
{
    struct nbd_handle *h = nbd_create();
    g_autofree guint8 *buf = g_malloc(len);
    gboolean same = TRUE;

    g_assert_cmpint(nbd_set_export_name(h, export), ==, 0);
    g_assert_cmpint(nbd_connect_unix(h, t->bed->socket), ==, 0);
    g_assert_cmpint(nbd_pread(h, buf, len, offset, 0), ==, 0);
    nbd_close(h);
    for (gsize i = 0; same && i < len; i++) {
        same = buf[i] == byte;
    }
    return same;
}

static void test_checkpoint(void)
{
    g_autoptr(Cut) t = cut_new(FALSE, NULL, NULL);
    Bed *b = t->bed;
    const guint8 *state;
    gint64 paused = 0;
    gsize len;

    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_SYNCED);
    for (guint epoch = 1; epoch <= 10; epoch++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *before = g_strdup_printf("write -P %u 8M 1M", epoch);
        g_autofree char *after =
            g_strdup_printf("write -P %u 8M 512k", 100 + epoch);

        bed_io(b, before);
        g_assert_true(colo_vm_capture_begin(b->vm, FALSE, &error));
        colo_disk_cut_begin(t->cut, epoch, SESSION);
        g_assert_true(colo_vm_capture_state(b->vm, &state, &len, &error));
        g_assert_true(colo_disk_attach_is_synced(b->a));
        g_assert_true(colo_disk_cut_end(
            t->cut, g_get_monotonic_time() + BED_WAIT, &error));
        g_assert_no_error(error);
        g_assert_true(colo_vm_capture_end(b->vm, &paused, &error));
        /* of the next epoch */
        bed_io(b, after);
        epoch_command(t, "disk-commit", epoch);
        epoch_command(t, "disk-load", epoch);
        g_assert_true(
            secondary_holds(t, "vda/secondary", 8 << 20, 1 << 20, epoch));
    }
    g_assert_true(
        colo_disk_attach_detach(b->a, g_get_monotonic_time() + BED_WAIT, NULL));
}

/* What is counted is there when the guest stands still. */
static void test_reads(void)
{
    g_autoptr(Cut) t = cut_new(FALSE, NULL, NULL);
    g_autofree char *before = NULL;
    const guint8 *state;
    gint64 paused = 0;
    ColoVm *vm;
    gsize len;

    bed_start_qemu(t->bed, NULL);
    vm = t->bed->vm;
    before = colo_vm_disk_reads(vm);
    g_assert_nonnull(strstr(before, BED_DEVICE));
    for (int reads = 0; reads < 2; reads++) {
        bed_io(t->bed, "aio_write -q 1M 64k");
        if (reads) {
            bed_io(t->bed, "aio_read -q 1M 64k");
        }
        g_assert_true(colo_vm_capture_begin(vm, TRUE, NULL));
        g_assert_cmpint(g_strcmp0(colo_vm_capture_reads(vm), before) != 0, ==,
                        reads);
        g_assert_true(colo_vm_capture_state(vm, &state, &len, NULL));
        g_assert_true(colo_vm_capture_end(vm, &paused, NULL));
    }
    g_assert_true(colo_vm_capture_begin(vm, FALSE, NULL));
    g_assert_null(colo_vm_capture_reads(vm));
    g_assert_true(colo_vm_capture_end(vm, &paused, NULL));
}

static void test_two(void)
{
    static const ColoDiskSpec specs[] = {{"vda", NULL}, {"vdb", "disk1"}};
    g_autoptr(GError) error = NULL;
    g_autofree char *image = NULL, *param = NULL, *devices = NULL;
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(Cut) t = NULL;
    ColoDiskInfo info;
    Bed *b;

    image = g_strdup_printf("%s/colo-attach-%d", g_get_tmp_dir(), getpid());
    g_assert_true(g_file_set_contents(image, "", 0, NULL));
    g_assert_cmpint(truncate(image, 32 << 20), ==, 0);
    param = g_strdup_printf("disk=vdb=%s", image);
    t = cut_new(FALSE, NULL, param);
    b = t->bed;
    devices = g_strdup_printf(
        "-blockdev raw,node-name=vda,file.driver=file,file.filename=%s "
        "-blockdev null-co,node-name=vdb,size=33554432,read-zeroes=on "
        "-device virtio-blk-pci,drive=vdb,id=disk1",
        b->source);
    bed_start_qemu(b, devices);
    b->a = colo_disk_attach_new(b->vm, &b->peer, specs, 2, &error);
    g_assert_no_error(error);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait_synced(b);
    colo_disk_attach_info(b->a, 1, &info);
    g_assert_cmpstr(info.name, ==, "vdb");
    g_assert_cmpuint(info.size, ==, 32 << 20);

    /* A second one that is lost is lost for both. */
    bed_kill_nbdkit(b, SIGKILL);
    node = bed_call(b, "human-monitor-command",
                    "{\"command-line\": \"qemu-io -d /machine/peripheral/"
                    "disk1/virtio-backend \\\"write -P 5 1M 64k\\\"\"}");
    colo_disk_attach_info(b->a, 0, &info);
    g_assert_cmpint(info.state, ==, COLO_DISK_SYNCED);
    colo_disk_attach_info(b->a, 1, &info);
    g_assert_cmpint(info.state, ==, COLO_DISK_LOST);
    g_assert_false(colo_disk_attach_is_synced(b->a));
    g_assert_nonnull(strstr(colo_disk_attach_why(b->a), "vdb"));
    bed_start_nbdkit(b);
    connect_control(t);
    control(t, "disk-session", "{\"session\": \"" SESSION "\"}");
    bed_wait_synced(b);
    wait_ready(t, FALSE);
    wait_ready(t, TRUE);
    bed_io(b, "write -P 6 1M 64k");
    g_assert_true(cut(t, 1, SESSION, &error));
    epoch_command(t, "disk-commit", 1);
    epoch_command(t, "disk-load", 1);
    g_assert_true(secondary_holds(t, "vda/secondary", 1 << 20, 65536, 6));
    /* null-co has forgotten what was written to it: its copy is zero. */
    g_assert_true(secondary_holds(t, "vdb/secondary", 1 << 20, 65536, 0));
    g_assert_true(colo_disk_attach_detach(
        b->a, g_get_monotonic_time() + BED_WAIT, &error));
    bed_assert_clean(b);
    unlink(image);
}

static void test_refused(void)
{
    g_autoptr(Cut) t = cut_new(FALSE, NULL, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(cut(t, 1, OTHER, &error));
    g_assert_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED);
    g_clear_error(&error);
    /* which is no reason to connect anew */
    g_assert_true(colo_disk_cut_is_ready(t->cut));
    g_assert_true(cut(t, 1, SESSION, &error));
    /* and again: the capture was thrown away */
    g_assert_true(cut(t, 1, SESSION, &error));
    epoch_command(t, "disk-commit", 1);
    g_assert_false(cut(t, 1, SESSION, &error));
    g_assert_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED);
}

/* No reason to connect anew, nor to begin a new session. */
static void test_full(void)
{
    g_autofree char *file =
        g_strdup_printf("%s/colo-cut-full-%d", g_get_tmp_dir(), (int)getpid());
    g_autofree char *params = g_strdup_printf(
        "error-pwrite=ENOSPC error-pwrite-rate=100%% error-pwrite-file=%s",
        file);
    g_autoptr(Cut) t = cut_new(FALSE, "--filter=error", params);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(file, "", 0, &error));
    g_assert_false(cut(t, 1, SESSION, &error));
    g_assert_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_FULL);
    g_clear_error(&error);
    g_assert_true(colo_disk_cut_is_ready(t->cut));
    g_assert_cmpint(unlink(file), ==, 0);
    g_assert_true(cut(t, 1, SESSION, &error));
    g_assert_no_error(error);
}

static void test_lost(void)
{
    g_autoptr(Cut) t = cut_new(FALSE, NULL, NULL);
    g_autoptr(GError) error = NULL;

    /* It dies while nothing is asked of it. */
    bed_kill_nbdkit(t->bed, SIGKILL);
    wait_ready(t, FALSE);
    g_assert_false(cut(t, 1, SESSION, &error));
    g_assert_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_GONE);
    g_clear_error(&error);
    bed_start_nbdkit(t->bed);
    connect_control(t);
    control(t, "disk-session", "{\"session\": \"" SESSION "\"}");
    wait_ready(t, TRUE);
    g_assert_true(cut(t, 1, SESSION, &error));
    g_assert_no_error(error);

    /* And with a request on its way. */
    bed_stop_nbdkit(t->bed);
    colo_disk_cut_begin(t->cut, 2, SESSION);
    bed_kill_nbdkit(t->bed, SIGKILL);
    g_assert_false(
        colo_disk_cut_end(t->cut, g_get_monotonic_time() + BED_WAIT, &error));
    g_assert_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_GONE);
    g_assert_false(colo_disk_cut_is_ready(t->cut));
}

static void test_silent(void)
{
    g_autoptr(Cut) t = cut_new(TRUE, NULL, NULL);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    bed_stop_nbdkit(t->bed);
    colo_disk_cut_begin(t->cut, 1, SESSION);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 200 * 1000);
    g_assert_false(colo_disk_cut_end(t->cut, start + 300 * 1000, &error));
    g_assert_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_TIMEOUT);
    g_clear_error(&error);
    g_assert_cmpint(g_get_monotonic_time() - start, <, G_USEC_PER_SEC);
    g_assert_false(colo_disk_cut_is_ready(t->cut));
    kill(t->bed->nbdkit, SIGCONT);
    wait_ready(t, TRUE);
    /* Whatever became of that one */
    g_assert_true(cut(t, 1, SESSION, &error));
    g_assert_no_error(error);
    /* Begun and never ended is as good as thrown away. */
    colo_disk_cut_begin(t->cut, 1, SESSION);
    colo_disk_cut_begin(t->cut, 1, SESSION);
    g_assert_false(
        colo_disk_cut_end(t->cut, g_get_monotonic_time() + BED_WAIT, &error));
    wait_ready(t, TRUE);
    g_clear_error(&error);
    g_assert_true(cut(t, 1, SESSION, &error));
}

/* A server that is not ours has no such export, or one of another size. */
static void test_not_ours(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    g_autoptr(ColoDiskCut) c = colo_disk_cut_new(&b->peer);
    gint64 end = g_get_monotonic_time() + BED_WAIT;

    bed_start_nbdkit(b);
    while (!strstr(colo_disk_cut_why(c), "not ours") &&
           g_get_monotonic_time() < end) {
        struct pollfd p = {.fd = colo_disk_cut_fd(c), .events = POLLIN};

        poll(&p, 1, 1000);
        colo_disk_cut_dispatch(c);
    }
    g_assert_nonnull(strstr(colo_disk_cut_why(c), "not ours"));
    g_assert_false(colo_disk_cut_is_ready(c));
}

static int compare(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return (x > y) - (x < y);
}

/* How long the pause has to wait for it */
static void test_latency(void)
{
    g_autoptr(Cut) t = cut_new(TRUE, NULL, NULL);
    gint64 us[500];

    for (guint i = 0; i < G_N_ELEMENTS(us); i++) {
        g_autoptr(GError) error = NULL;
        gint64 start = g_get_monotonic_time();

        g_assert_true(cut(t, i + 1, SESSION, &error));
        us[i] = g_get_monotonic_time() - start;
        epoch_command(t, "disk-commit", i + 1);
        epoch_command(t, "disk-load", i + 1);
    }
    qsort(us, G_N_ELEMENTS(us), sizeof(us[0]), compare);
    g_test_message("the cut: p50 %d us, p99 %d us, max %d us", (int)us[250],
                   (int)us[495], (int)us[499]);
    g_assert_cmpint(us[250], <, 20000);
}

int main(int argc, char **argv)
{
    g_autofree char *nbdkit = g_find_program_in_path("nbdkit");

    g_test_init(&argc, &argv, NULL);
    if (!nbdkit || !test_qemu_binary() || !g_getenv("COLO_NBDKIT_PLUGIN")) {
        g_print("1..0 # SKIP qemu-system-x86_64 or nbdkit is missing: install "
                "Debian's packages qemu-system-x86 and nbdkit\n");
        return 0;
    }
    g_test_add_func("/cut/checkpoint", test_checkpoint);
    g_test_add_func("/cut/reads", test_reads);
    g_test_add_func("/cut/two", test_two);
    g_test_add_func("/cut/refused", test_refused);
    g_test_add_func("/cut/full", test_full);
    g_test_add_func("/cut/lost", test_lost);
    g_test_add_func("/cut/silent", test_silent);
    g_test_add_func("/cut/not-ours", test_not_ours);
    g_test_add_func("/cut/latency", test_latency);
    return g_test_run();
}
