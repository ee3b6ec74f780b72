/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's disks: their images, what is in them, and their servers. */
#include "tests/rig/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* An image whose file system knows O_DIRECT is opened with it, as guests' are.
 */
static gboolean can_be_direct(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

gboolean rig_sh(int ns, char **output, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    char *argv[] = {"sh", "-c", NULL, NULL};
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    argv[2] = command;
    return rig_run(ns, argv, output);
}

/* Nothing is left for the guest's kernel to do in the background. */
void rig_make_disks(Rig *r)
{
    if (!rig_sh(-1, NULL,
                "truncate -s %uM %s %s && mke2fs -q -t ext4 -F "
                "-E lazy_itable_init=0,lazy_journal_init=0,nodiscard %s",
                r->o.disk_mib, r->pri.disk, r->sec.disk, r->pri.disk)) {
        rig_die("cannot make the disk images");
    }
}

/*
 * The primary's guest has its image, the secondary's what its colod serves:
 * rig_wait_disk_served() first.
 */
void rig_add_disk(const RigSide *s, GPtrArray *argv)
{
    if (s->primary) {
        const char *direct = can_be_direct(s->disk) ? "on" : "off";

        rig_add(argv,
                "-blockdev driver=file,node-name=vda-file,filename=%s,"
                "cache.direct=%s,discard=unmap "
                "-blockdev driver=raw,node-name=vda,file=vda-file,"
                "cache.direct=%s,discard=unmap",
                s->disk, direct, direct);
    } else {
        rig_add(argv,
                "-blockdev driver=nbd,node-name=vda,reconnect-delay=60,"
                "server.type=inet,server.host=127.0.0.1,"
                "server.port=" RIG_NBD_PORT ",export=%s/secondary",
                s->rig->o.disk);
    }
    rig_add(argv, "-device virtio-blk-pci,drive=vda,id=disk0");
}

void rig_wait_disk_served(RigSide *s)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    for (;;) {
        g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-status", NULL);
        JsonObject *o = json_node_get_object(node),
                   *server =
                       json_object_has_member(o, "disk-server")
                           ? json_object_get_object_member(o, "disk-server")
                           : NULL;

        if (server && json_object_get_boolean_member(server, "running")) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("%s's disk is not served: %s", s->name,
                    server ? json_object_get_string_member(server, "detail")
                           : "its colod knows no disk");
        }
        rig_qmp_pump(&s->ctl, 20);
    }
}

gboolean rig_disk_ok(const RigSide *s, gsize offset)
{
    static const char *const bad[] = {"DISK BROKEN", "EXT4-fs error",
                                      "I/O error", "disk: cannot"};
    g_autofree char *text = NULL;
    gsize len;

    if (!g_file_get_contents(s->console, &text, &len, NULL) || offset > len) {
        rig_die("cannot read %s", s->console);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *at = g_strstr_len(text + offset, -1, bad[i]);

        if (at) {
            g_printerr("# %s: %.*s\n", s->name, (int)strcspn(at, "\n"), at);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean rig_fsck(const char *image)
{
    g_autofree char *out = NULL;

    if (rig_sh(-1, &out, "e2fsck -fn %s 2>&1", image)) {
        return TRUE;
    }
    g_printerr("# e2fsck -fn %s: %s\n", image, out);
    return FALSE;
}

void rig_copy_export(const RigSide *s, const char *name, const char *path)
{
    if (!rig_sh(s->ns, NULL,
                "rm -f %s && nbdcopy nbd://127.0.0.1:" RIG_NBD_PORT "/%s %s",
                path, name, path)) {
        rig_die("cannot copy the export %s of %s", name, s->name);
    }
}

guint64 rig_count_records(const char *image, guint sessions)
{
    g_autofree char *out = NULL;

    if (!rig_sh(-1, &out,
                "for i in $(seq 0 %u); do debugfs -R \"cat /records-$i\" %s "
                "2>/dev/null; done | grep -c '^[0-9a-f]\\{16\\} + '",
                sessions - 1, image)) {
        return 0;
    }
    return g_ascii_strtoull(out, NULL, 10);
}
