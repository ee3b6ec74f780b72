/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * coloctl disk: look at the store of one disk, check it, merge it into its
 * image.  It needs no server; of one that runs info and check take no notice,
 * for they read what is safe to read, and merge refuses.
 */
#include "colo/ctl/ctl-disk.h"
#include "blockrep/store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* --- info ------------------------------------------------------------------
 */

/* What the folder takes of its file system, in bytes */
static guint64 space_of(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    guint64 bytes = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat st;

        if (lstat(path, &st) == 0) {
            bytes += (guint64)st.st_blocks * 512;
        }
    }
    return bytes;
}

static JsonObject *layer_at(JsonObject *o, guint i)
{
    JsonArray *a = json_object_get_array_member(o, "layers");

    return i < json_array_get_length(a) ? json_array_get_object_element(a, i)
                                        : NULL;
}

static void print_layers(JsonObject *o, const char *role)
{
    double bytes = 0;
    gboolean exact = TRUE;
    guint logs = 0;
    JsonObject *l;

    for (guint i = 0; (l = layer_at(o, i)); i++) {
        if (!strcmp(ctl_str(l, "role"), role)) {
            bytes += ctl_num(l, "bytes");
            exact = exact && ctl_flag(l, "exact");
            logs++;
        }
    }
    if (logs) {
        g_autofree char *size = ctl_size(bytes);

        ctl_row(role, "%s%s in %u log%s", exact ? "" : "at most ", size, logs,
                logs == 1 ? "" : "s");
    }
}

static void print_head(JsonObject *o)
{
    const char *state = ctl_str(o, "state");
    g_autofree char *size = ctl_size(ctl_num(o, "size"));

    ctl_row("image", "%s, %s", ctl_str(o, "base"), size);
    ctl_row("folder", "%s, format %.0f", ctl_str(o, "folder"),
            ctl_num(o, "version"));
    if (!strcmp(state, "empty")) {
        ctl_row("state", "empty: the image is of no use before the first "
                         "checkpoint");
    } else if (!strcmp(state, "standby")) {
        ctl_row("state", "standby: there was no takeover");
    } else if (ctl_flag(o, "merged")) {
        ctl_row("state", "promoted, merged: the image alone is the disk");
    } else {
        ctl_row("state", "promoted: image and folder are the survivor's disk");
    }
    ctl_row("checkpoint", "%.0f, loaded %.0f, on the disk for sure %.0f",
            ctl_num(o, "epoch"), ctl_num(o, "loaded"), ctl_num(o, "durable"));
    if (strcmp(state, "promoted") && ctl_flag(o, "lost")) {
        ctl_row("lost", "what the primary wrote after the checkpoint");
    } else if (strcmp(state, "promoted") && ctl_flag(o, "rebooted")) {
        ctl_row("lost", "what was newer: the host went down since");
    }
}

static int info(Ctl *c, JsonNode *report)
{
    JsonObject *o = json_node_get_object(report);
    const char *folder = ctl_str(o, "folder");
    g_autofree char *program = NULL;
    pid_t pid = disk_holder(folder, &program);
    guint64 space = space_of(folder);
    g_autofree char *size = ctl_size((double)space);

    if (c->json) {
        json_object_set_int_member(o, "folder-bytes", (gint64)space);
        if (pid) {
            JsonObject *user = json_object_new();

            json_object_set_int_member(user, "pid", pid);
            json_object_set_string_member(user, "program", program);
            json_object_set_object_member(o, "used-by", user);
        }
        ctl_print_json(report);
        return CTL_OK;
    }
    print_head(o);
    print_layers(o, "sealed");
    print_layers(o, "pending");
    print_layers(o, "active");
    ctl_row("space", "%s in the folder", size);
    if (pid) {
        ctl_row("used by", "%s, process %d", program, (int)pid);
    }
    return CTL_OK;
}

/* --- check -----------------------------------------------------------------
 */

static void print_log(const char *label, JsonObject *l)
{
    g_autofree char *size = ctl_size(ctl_num(l, "bytes"));
    g_autofree char *what =
        ctl_num(l, "epoch") > 0
            ? g_strdup_printf("checkpoint %.0f", ctl_num(l, "epoch"))
            : g_strdup(ctl_str(l, "role"));
    const char *wrong = ctl_str(l, "error");

    if (*wrong) {
        ctl_row(label, "%s, %s: %s", ctl_str(l, "log"), what, wrong);
    } else {
        ctl_row(label, "%s, %s: %.0f record%s, %s", ctl_str(l, "log"), what,
                ctl_num(l, "records"), ctl_num(l, "records") == 1 ? "" : "s",
                size);
    }
}

static const char *verdict(JsonObject *o)
{
    if (ctl_flag(o, "ok")) {
        return "all that must be whole is";
    }
    return strcmp(ctl_str(o, "state"), "promoted")
               ? "damaged: remove the folder, and copy all from the primary"
               : "damaged: what is not whole of the survivor's disk is lost";
}

static int check(Ctl *c, JsonNode *report, gboolean ok)
{
    JsonObject *o = json_node_get_object(report), *l;
    double skipped = 0;

    if (c->json) {
        ctl_print_json(report);
        return ok ? CTL_OK : CTL_FAILED;
    }
    print_head(o);
    for (guint i = 0; (l = layer_at(o, i)); i++) {
        print_log(i ? "" : "logs", l);
        skipped += ctl_num(l, "skipped-bytes");
    }
    if (skipped > 0) {
        ctl_row("gaps",
                "%.0f bytes between records: writes that were cut off, "
                "or damage",
                skipped);
    }
    ctl_row("result", "%s", verdict(o));
    return ok ? CTL_OK : CTL_FAILED;
}

/* --- All -------------------------------------------------------------------
 */

char *ctl_disk_wrong(char **words)
{
    static const char *const actions[] = {"info", "check", "merge", NULL};
    guint n = g_strv_length(words);

    if (!n || !g_strv_contains(actions, words[0])) {
        return g_strdup_printf("%s%sinfo, check or merge is missing",
                               n ? words[0] : "", n ? ": " : "");
    }
    if (n == 1) {
        return g_strdup_printf("%s: the image is missing", words[0]);
    }
    return n > 2 ? g_strdup_printf("%s: unexpected argument %s", words[0],
                                   words[2])
                 : NULL;
}

int ctl_disk(Ctl *c)
{
    const char *action = c->words[0], *image = c->words[1];
    gboolean deep = !strcmp(action, "check"), ok = TRUE;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) report = NULL;

    if (c->newest && strcmp(action, "merge")) {
        ctl_complain("disk %s knows no --newest", action);
        return CTL_USAGE;
    }
    report = deep ? colo_store_check(image, c->folder, &ok, &error)
                  : colo_store_look(image, c->folder, &error);
    if (!report) {
        ctl_complain("%s", error->message);
        return CTL_FAILED;
    }
    if (deep) {
        return check(c, report, ok);
    }
    if (!strcmp(action, "merge")) {
        return disk_merge(c, image, json_node_get_object(report));
    }
    return info(c, report);
}
