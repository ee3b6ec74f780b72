/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim-qemu: sets of descriptors, /dev/fdset/N. */
#include "tests/sim/sim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct Entry {
    gint64 set;
    int fd;
    char *opaque;
} Entry;

static GArray *entries; /* of Entry */

static void drop(guint i)
{
    Entry *e = &g_array_index(entries, Entry, i);

    close(e->fd);
    g_free(e->opaque);
    g_array_remove_index(entries, i);
}

char *sim_cmd_add_fd(JsonObject *args, GError **error)
{
    Entry e = {.fd = sim_monitor_take_fd()};

    if (e.fd < 0) {
        return sim_fail(error, "No file descriptor supplied via SCM_RIGHTS");
    }
    if (!entries) {
        entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    }
    if (json_object_has_member(args, "fdset-id")) {
        e.set = json_object_get_int_member(args, "fdset-id");
    } else {
        for (guint i = 0; i < entries->len; i++) {
            e.set = MAX(e.set, g_array_index(entries, Entry, i).set + 1);
        }
    }
    e.opaque = g_strdup(sim_arg(args, "opaque"));
    g_array_append_val(entries, e);
    return g_strdup_printf("{\"fdset-id\":%" G_GINT64_FORMAT ",\"fd\":%d}",
                           e.set, e.fd);
}

char *sim_cmd_remove_fd(JsonObject *args, GError **error)
{
    gint64 set = json_object_get_int_member_with_default(args, "fdset-id", -1);
    gboolean found = FALSE;

    for (guint i = entries ? entries->len : 0; i-- > 0;) {
        if (g_array_index(entries, Entry, i).set == set) {
            drop(i);
            found = TRUE;
        }
    }
    return found ? g_strdup("{}")
                 : sim_fail(error,
                            "File descriptor named 'fdset-id:%" G_GINT64_FORMAT
                            "' not found",
                            set);
}

char *sim_cmd_query_fdsets(JsonObject *args, GError **error)
{
    GString *s = g_string_new("[");

    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = &g_array_index(entries, Entry, i);
        gboolean first = TRUE;

        for (guint k = 0; k < i; k++) {
            first = first && g_array_index(entries, Entry, k).set != e->set;
        }
        if (!first) {
            continue;
        }
        g_string_append_printf(s,
                               "%s{\"fdset-id\":%" G_GINT64_FORMAT ",\"fds\":[",
                               s->len > 1 ? "," : "", e->set);
        for (guint k = i; k < entries->len; k++) {
            Entry *f = &g_array_index(entries, Entry, k);

            if (f->set == e->set) {
                g_string_append_printf(s, "%s{\"fd\":%d,\"opaque\":\"%s\"}",
                                       k > i ? "," : "", f->fd, f->opaque);
            }
        }
        g_string_append(s, "]}");
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

int sim_fdset_open(const char *path, int mode)
{
    long long set;

    if (sscanf(path, "/dev/fdset/%lld", &set) != 1) {
        return -1;
    }
    for (guint i = 0; entries && i < entries->len; i++) {
        Entry *e = &g_array_index(entries, Entry, i);

        if (e->set == set && (fcntl(e->fd, F_GETFL) & O_ACCMODE) == mode) {
            /* A duplicate shares the file offset, as QEMU's does. */
            return fcntl(e->fd, F_DUPFD_CLOEXEC, 0);
        }
    }
    return -1;
}

void sim_fdset_cleanup(void)
{
    while (entries && entries->len) {
        drop(entries->len - 1);
    }
}
