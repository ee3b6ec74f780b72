/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QEMU with one disk, an nbdkit, and the library between them. */
#include "tests/attach/bed.h"
#include "tests/common/sanitizers.h"
#include "tests/common/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void make_image(const char *path, gboolean data)
{
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    g_autofree guint32 *block = g_new(guint32, 1 << 18);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, BED_BYTES), ==, 0);
    /* 1 MiB of data after each 15 MiB of nothing */
    for (goffset at = 0; data && at < BED_BYTES; at += 16 << 20) {
        for (guint i = 0; i < 1 << 18; i++) {
            block[i] = g_test_rand_int();
        }
        g_assert_cmpint(pwrite(fd, block, 1 << 20, at), ==, 1 << 20);
    }
    close(fd);
}

Bed *bed_new(gboolean tcp)
{
    Bed *b = g_new0(Bed, 1);
    g_autoptr(GError) error = NULL;

    b->dir = g_dir_make_tmp("colo-attach-XXXXXX", &error);
    g_assert_no_error(error);
    b->source = g_build_filename(b->dir, "source", NULL);
    b->target = g_build_filename(b->dir, "target", NULL);
    b->socket = g_build_filename(b->dir, "nbd", NULL);
    b->log = g_build_filename(b->dir, "log", NULL);
    make_image(b->source, TRUE);
    make_image(b->target, FALSE);
    if (tcp) {
        b->port = scratch_port(SOCK_STREAM);
        b->addr.host = g_strdup("127.0.0.1");
        b->addr.port = b->port;
    } else {
        b->addr.path = g_strdup(b->socket);
    }
    b->peer.addr = &b->addr;
    b->peer.hang_us = BED_HANG;
    b->peer.reconnect_us = BED_RECONNECT;
    return b;
}

void bed_forget(Bed *b)
{
    g_clear_pointer(&b->a, colo_disk_attach_free);
    g_clear_pointer(&b->vm, colo_vm_free);
}

void bed_free(Bed *b)
{
    bed_forget(b);
    test_qemu_free(b->qemu);
    bed_kill_nbdkit(b, SIGKILL);
    scratch_remove(b->dir);
    g_free(b->dir);
    g_free(b->source);
    g_free(b->target);
    g_free(b->socket);
    g_free(b->log);
    g_free(b->psk);
    g_free(b->addr.host);
    g_free(b->addr.path);
    g_free(b);
}

void bed_start_nbdkit(Bed *b)
{
    g_autofree char *port = g_strdup_printf("-i 127.0.0.1 -p %u", b->port);
    g_autofree char *unixed = g_strdup_printf("-U %s", b->socket);
    g_autofree char *tls =
        g_strdup_printf("--tls=require --tls-psk=%s", b->psk);
    g_autofree char *file = g_strdup_printf("file %s", b->target);
    g_autofree char *line = g_strdup_printf(
        "nbdkit -f --threads=1 %s %s --filter=log %s %s logfile=%s "
        "logappend=true %s",
        b->port ? port : unixed, b->psk ? tls : "",
        b->filters ? b->filters : "", b->plugin ? b->plugin : file, b->log,
        b->params ? b->params : "");
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) all = g_strsplit(line, " ", -1);
    g_auto(GStrv) env = sanitizers_environ();
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    for (char **w = all; *w; w++) {
        if (**w) {
            g_ptr_array_add(argv, *w);
        }
    }
    g_ptr_array_add(argv, NULL);
    g_unlink(b->socket);
    g_spawn_async(NULL, (char **)argv->pdata, env,
                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                  test_child_set_up, GINT_TO_POINTER(getpid()), &b->nbdkit,
                  &error);
    g_assert_no_error(error);
}

void bed_kill_nbdkit(Bed *b, int sig)
{
    if (b->nbdkit) {
        kill(b->nbdkit, sig);
        while (waitpid(b->nbdkit, NULL, 0) < 0 && errno == EINTR) {
        }
        b->nbdkit = 0;
    }
}

void bed_stop_nbdkit(Bed *b)
{
    kill(b->nbdkit, SIGSTOP);
    while (waitpid(b->nbdkit, NULL, WUNTRACED) < 0 && errno == EINTR) {
    }
}

static void open_vm(Bed *b)
{
    ColoVmOptions o = {.qmp_path = b->qemu->qmp, .qmp_timeout_us = BED_WAIT};
    g_autoptr(GError) error = NULL;

    b->vm = colo_vm_open(&o, &error);
    g_assert_no_error(error);
}

void bed_start_qemu(Bed *b, const char *blockdevs)
{
    g_autofree char *own = g_strdup_printf(
        "-blockdev raw,node-name=vda,file.driver=file,file.filename=%s",
        b->source);
    g_autofree char *more =
        g_strdup_printf("%s -device virtio-blk-pci,drive=vda,id=disk0",
                        blockdevs ? blockdevs : own);

    b->qemu =
        test_qemu_start("pc", 16, "memory-backend-memfd,share=on", FALSE, more);
    open_vm(b);
}

void bed_attach(Bed *b, const char *node)
{
    ColoDiskSpec spec = {"vda", node};
    g_autoptr(GError) error = NULL;

    if (!b->vm) {
        open_vm(b);
    }
    b->a = colo_disk_attach_new(b->vm, &b->peer, &spec, 1, &error);
    g_assert_no_error(error);
}

ColoDiskInfo bed_info(Bed *b)
{
    ColoDiskInfo info;

    colo_disk_attach_info(b->a, 0, &info);
    return info;
}

/* One turn, as the engine's thread takes it. */
static void turn(Bed *b, gint64 until)
{
    gint64 due = colo_disk_attach_deadline(b->a), left;
    struct pollfd p[2] = {{.fd = colo_vm_fd(b->vm), .events = POLLIN},
                          {.fd = colo_disk_attach_fd(b->a), .events = POLLIN}};
    g_autoptr(GError) error = NULL;

    until = due >= 0 ? MIN(due, until) : until;
    left = MAX(until - g_get_monotonic_time(), 0);
    poll(p, 2, (int)((left + 999) / 1000));
    g_assert_true(colo_vm_dispatch(b->vm, &error));
    g_assert_true(colo_disk_attach_dispatch(b->a, &error));
}

void bed_wait(Bed *b, ColoDiskState state)
{
    gint64 end = g_get_monotonic_time() + BED_WAIT;

    while (bed_info(b).state != state && g_get_monotonic_time() < end) {
        turn(b, end);
    }
    if (bed_info(b).state != state) {
        g_test_message("%s: %s", colo_disk_state_name(bed_info(b).state),
                       bed_info(b).why);
    }
    g_assert_cmpstr(colo_disk_state_name(bed_info(b).state), ==,
                    colo_disk_state_name(state));
}

void bed_wait_synced(Bed *b)
{
    gint64 end = g_get_monotonic_time() + BED_WAIT;

    while (!colo_disk_attach_is_synced(b->a) && g_get_monotonic_time() < end) {
        turn(b, end);
    }
    g_assert_cmpstr(colo_disk_attach_why(b->a), ==, "");
    g_assert_true(colo_disk_attach_is_synced(b->a));
}

void bed_run(Bed *b, gint64 us)
{
    gint64 end = g_get_monotonic_time() + us;

    while (g_get_monotonic_time() < end) {
        turn(b, end);
    }
}

JsonNode *bed_call(Bed *b, const char *command, const char *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) a = args ? json_from_string(args, &error) : NULL;
    JsonNode *node;

    g_assert_no_error(error);
    node = colo_vm_call(b->vm, command,
                        a ? json_object_ref(json_node_get_object(a)) : NULL,
                        &error);
    g_assert_no_error(error);
    return node;
}

gint64 bed_io(Bed *b, const char *what)
{
    gint64 start = g_get_monotonic_time();
    g_autofree char *args = g_strdup_printf(
        "{\"command-line\": \"qemu-io -d " BED_DEVICE " \\\"%s\\\"\"}", what);
    g_autoptr(JsonNode) node = bed_call(b, "human-monitor-command", args);
    const char *text = json_node_get_string(node);

    g_assert_cmpstr(text ? text : "", ==, "");
    return g_get_monotonic_time() - start;
}

gboolean bed_holds(const char *path, goffset offset, gsize len, guint8 byte)
{
    g_autofree guint8 *buf = g_malloc(len);
    int fd = open(path, O_RDONLY);
    ssize_t n = pread(fd, buf, len, offset);
    gboolean good = n == (ssize_t)len;

    for (gsize i = 0; good && i < len; i++) {
        good = buf[i] == byte;
    }
    close(fd);
    return good;
}

void bed_assert_same(Bed *b)
{
    g_autoptr(GMappedFile) s = g_mapped_file_new(b->source, FALSE, NULL);
    g_autoptr(GMappedFile) t = g_mapped_file_new(b->target, FALSE, NULL);

    g_assert_cmpuint(g_mapped_file_get_length(s), ==, BED_BYTES);
    g_assert_cmpuint(g_mapped_file_get_length(t), ==, BED_BYTES);
    g_assert_cmpint(memcmp(g_mapped_file_get_contents(s),
                           g_mapped_file_get_contents(t), BED_BYTES),
                    ==, 0);
}

void bed_forget_log(Bed *b)
{
    g_assert_cmpint(truncate(b->log, 0), ==, 0);
}

guint64 bed_written(Bed *b, guint64 *zeroed)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    guint64 sum = 0;

    *zeroed = 0;
    g_assert_true(g_file_get_contents(b->log, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; *l; l++) {
        const char *count = strstr(*l, " count=");
        guint64 n = count ? g_ascii_strtoull(count + 7, NULL, 0) : 0;

        if (strstr(*l, " Write id=")) {
            sum += n;
        } else if (strstr(*l, " Zero id=") || strstr(*l, " Trim id=")) {
            *zeroed += n;
        }
    }
    return sum;
}

void bed_assert_clean(Bed *b)
{
    g_autoptr(JsonNode) nodes =
        bed_call(b, "query-named-block-nodes", "{\"flat\": true}");
    g_autoptr(JsonNode) jobs = bed_call(b, "query-block-jobs", NULL);
    g_autoptr(JsonNode) objects =
        bed_call(b, "qom-list", "{\"path\": \"/objects\"}");
    g_autofree char *text = json_to_string(nodes, FALSE);
    g_autofree char *more = json_to_string(objects, FALSE);

    g_assert_null(strstr(text, "colo-nbd"));
    g_assert_null(strstr(text, "colo-top"));
    g_assert_null(strstr(more, "colo-disk"));
    g_assert_cmpuint(json_array_get_length(json_node_get_array(jobs)), ==, 0);
}
