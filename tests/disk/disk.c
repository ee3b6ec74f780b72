/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takeovers of guests with a disk, and what is on it then. */
#include "tests/disk/disk.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

RigOptions disk_options(gboolean periodic, guint delay_ms)
{
    RigOptions o = load_options(periodic, delay_ms);

    o.disk_mib = DISK_MIB;
    return o;
}

void disk_mark(RigClient *c, const RigSide *s)
{
    load_mark(c);
    g_assert_true(rig_disk_ok(s, 0));
}

JsonNode *disk_member(RigSide *s, const char *name)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-status", NULL);
    JsonObject *o = json_node_get_object(node);
    JsonArray *list = json_object_has_member(o, "disks")
                          ? json_object_get_array_member(o, "disks")
                          : NULL;
    JsonObject *disk;

    if (!list || !json_array_get_length(list)) {
        return NULL;
    }
    disk = json_array_get_object_element(list, 0);
    return json_object_has_member(disk, name)
               ? json_node_copy(json_object_get_member(disk, name))
               : NULL;
}

void disk_wait_string(RigSide *s, const char *name, const char *value)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    for (;;) {
        g_autoptr(JsonNode) node = disk_member(s, name);

        if (node && !g_strcmp0(json_node_get_string(node), value)) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("the disk's %s is %s, not %s", name,
                    node ? json_node_get_string(node) : "missing", value);
        }
        rig_qmp_pump(&s->ctl, 20);
    }
}

pid_t disk_nbdkit(const RigSide *s)
{
    DIR *proc = opendir("/proc");
    struct dirent *d;
    pid_t found = 0;

    while (!found && (d = readdir(proc))) {
        g_autofree char *path = g_strdup_printf("/proc/%s/stat", d->d_name);
        g_autofree char *stat = NULL;
        int parent = 0;

        if (atoi(d->d_name) > 0 &&
            g_file_get_contents(path, &stat, NULL, NULL) &&
            strstr(stat, "(nbdkit)") &&
            sscanf(strrchr(stat, ')') + 1, " %*c %d", &parent) == 1 &&
            parent == (int)s->colod) {
            found = (pid_t)atoi(d->d_name);
        }
    }
    closedir(proc);
    if (!found) {
        rig_die("%s's colod has no nbdkit", s->name);
    }
    return found;
}

static void wait_merged(RigSide *s)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    for (;;) {
        g_autoptr(JsonNode) node = disk_member(s, "merged");

        if (node && json_node_get_boolean(node)) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("the survivor's disk is not merged");
        }
        rig_qmp_pump(&s->ctl, 50);
    }
}

static void assert_records(const char *image, guint64 acknowledged,
                           guint sessions)
{
    guint64 found = rig_count_records(image, sessions);

    g_test_message("%" G_GUINT64_FORMAT " records were acknowledged, "
                   "%" G_GUINT64_FORMAT " are in %s",
                   acknowledged, found, image);
    g_assert_cmpuint(found, ==, acknowledged);
}

void disk_examine_survivor(Rig *r, RigClient *c, guint sessions)
{
    RigSide *s = load_secondary(r);
    g_autoptr(JsonObject) end = rig_client_stop(c);
    g_autofree char *export = NULL;
    g_autofree char *copy = g_build_filename(s->dir, "copy.raw", NULL);
    guint64 acknowledged = (guint64)json_object_get_int_member(end, "records");

    load_good(end);
    rig_client_free(c);
    rig_type(s, "disk off", "disk off", RIG_PATIENCE_S);
    g_assert_true(rig_disk_ok(s, 0));
    export = g_strdup_printf("%s/secondary", r->o.disk);
    rig_copy_export(s, export, copy);
    g_assert_true(rig_fsck(copy));
    assert_records(copy, acknowledged, sessions);
    wait_merged(s);
    rig_kill_qemu(s);
    rig_kill_colod(s, SIGTERM);
    g_assert_true(rig_fsck(s->disk));
    assert_records(s->disk, acknowledged, sessions);
    g_assert_true(rig_sh(-1, NULL, "cmp %s %s", copy, s->disk));
}
