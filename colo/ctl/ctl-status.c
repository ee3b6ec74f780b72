/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl status: the state, and the progress of the full copy. */
#include "colo/ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLLOW_US (100 * 1000)

static const char *or_dash(const char *text)
{
    return *text ? text : "-";
}

static double percent(JsonObject *copy)
{
    double total = ctl_num(copy, "total-bytes");
    double done = ctl_num(copy, "done-bytes");

    return total > 0 ? CLAMP(100 * done / total, 0, 100) : 0;
}

static void print_proxy(JsonObject *proxy)
{
    const char *path = ctl_str(proxy, "path");

    if (!*path) {
        ctl_row("proxy", "none");
    } else if (ctl_flag(proxy, "ready")) {
        ctl_row("proxy", "ready, at %s", path);
    } else {
        ctl_row("proxy", "%s", or_dash(ctl_str(proxy, "detail")));
    }
}

static JsonObject *disk_at(JsonObject *o, guint i)
{
    JsonNode *node = json_object_get_member(o, "disks");
    JsonArray *a =
        node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    node =
        a && i < json_array_get_length(a) ? json_array_get_element(a, i) : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node)
                                                : NULL;
}

static gboolean is_copying(JsonObject *disk)
{
    return !strcmp(ctl_str(disk, "state"), "copying") &&
           ctl_num(disk, "total-bytes") > 0;
}

static void print_disks(JsonObject *o)
{
    JsonObject *server = ctl_obj(o, "disk-server"), *d;

    for (guint i = 0; (d = disk_at(o, i)); i++) {
        const char *label = i ? "" : "disks", *detail = ctl_str(d, "detail");

        if (is_copying(d)) {
            ctl_row(label, "%s: copying, %.0f %% of %.0f MiB",
                    ctl_str(d, "name"), percent(d),
                    ctl_num(d, "total-bytes") / 1048576);
        } else {
            ctl_row(label, "%s: %s%s%s, %.0f MiB", ctl_str(d, "name"),
                    ctl_str(d, "state"), *detail ? ", " : "", detail,
                    ctl_num(d, "size") / 1048576);
        }
    }
    if (server && !ctl_flag(server, "running")) {
        ctl_row(disk_at(o, 0) ? "" : "disks", "not served: %s",
                ctl_str(server, "detail"));
        return;
    }
    for (guint i = 0; server && (d = disk_at(server, i)); i++) {
        ctl_row(i ? "" : "served", "%s: %s%s, %.0f MiB", ctl_str(d, "name"),
                ctl_str(d, "state"), ctl_flag(d, "merged") ? ", merged" : "",
                ctl_num(d, "size") / 1048576);
    }
}

static void print_status(JsonObject *o)
{
    JsonObject *copy = ctl_obj(o, "full-copy");

    ctl_row("name", "%s", ctl_str(o, "name"));
    ctl_row("role", "%s, mode %s", ctl_str(o, "role"),
            ctl_str(o, "replication-mode"));
    ctl_row("state", "%s", ctl_str(o, "state"));
    ctl_row("", "%s", ctl_str(o, "detail"));
    if (copy) {
        ctl_row("full copy", "%.0f %% of %.0f MiB, %.0f MB/s", percent(copy),
                ctl_num(copy, "total-bytes") / 1048576, ctl_num(copy, "mb-s"));
    }
    ctl_row("checkpoint", "%.0f%s", ctl_num(o, "epoch"),
            ctl_flag(o, "stale") ? ", stale" : "");
    ctl_row("guest", "%s",
            ctl_flag(o, "guest-running") ? "running" : "stopped");
    ctl_row("peer", "%s", or_dash(ctl_str(o, "peer")));
    ctl_row("heartbeat", "%s", ctl_str(o, "heartbeat"));
    if (ctl_obj(o, "proxy")) {
        print_proxy(ctl_obj(o, "proxy"));
    }
    print_disks(o);
    ctl_row("QEMU", "%s", or_dash(ctl_str(o, "qemu-version")));
    ctl_row("tracker", "%s", or_dash(ctl_str(o, "tracker")));
    if (*ctl_str(o, "last-mode") && strcmp(ctl_str(o, "last-mode"), "none")) {
        ctl_row("ended", "was %s, reason %s", ctl_str(o, "last-mode"),
                ctl_str(o, "reason"));
    }
}

/* What is being copied: the RAM, then a disk; NULL: nothing. */
static JsonObject *copy_of(JsonObject *o, char **label)
{
    JsonObject *ram = ctl_obj(o, "full-copy"), *d;

    if (!ram || percent(ram) >= 100) {
        for (guint i = 0; (d = disk_at(o, i)); i++) {
            if (is_copying(d)) {
                g_autofree char *name = ctl_plain(ctl_str(d, "name"));

                *label = g_strdup_printf("disk %s", name);
                return d;
            }
        }
    }
    *label = g_strdup("full copy");
    return ram;
}

/* "45 % of 1024 MiB, 80 MB/s"; of a disk the speed is not known */
static char *progress(JsonObject *copy)
{
    g_autofree char *speed =
        ctl_num(copy, "mb-s") > 0
            ? g_strdup_printf(", %.0f MB/s", ctl_num(copy, "mb-s"))
            : g_strdup("");

    return g_strdup_printf("%3.0f %% of %.0f MiB%s", percent(copy),
                           ctl_num(copy, "total-bytes") / 1048576, speed);
}

typedef struct Shown {
    gboolean terminal, bar;
    char *line; /* state and detail as last printed */
    int tenth;  /* of the full copy, as last printed */
} Shown;

/* Equal but for numbers: a degraded pair counts its checkpoints. */
static gboolean same_words(const char *a, const char *b)
{
    while (a && b) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (!*a || *a != *b) {
            return *a == *b;
        }
        a++;
        b++;
    }
    return a == b;
}

static void show(Shown *s, Ctl *c, JsonNode *answer, JsonObject *o)
{
    g_autofree char *label = NULL;
    JsonObject *copy = copy_of(o, &label);
    g_autofree char *text =
        g_strdup_printf("%-12s%s", ctl_str(o, "state"), ctl_str(o, "detail"));
    g_autofree char *line = ctl_plain(text);
    int tenth = copy ? (int)(percent(copy) / 10) : -1;
    gboolean news = !same_words(line, s->line);

    if (c->json) {
        if (news || tenth != s->tenth) {
            ctl_print_json(answer);
        }
    } else {
        if (s->bar && (news || !copy)) {
            ctl_clear_bar();
            s->bar = FALSE;
        }
        if (news) {
            puts(line);
        }
        if (copy && s->terminal) {
            g_autofree char *done = progress(copy);

            ctl_draw_bar(label, percent(copy), done);
            s->bar = TRUE;
        } else if (copy && tenth != s->tenth) {
            g_autofree char *done = progress(copy);

            printf("%-12s%s\n", label, done);
        }
    }
    fflush(stdout);
    s->tenth = tenth;
    g_free(s->line);
    s->line = g_steal_pointer(&line);
}

/* What a state means to one who waits for protection: -1: wait on. */
static int verdict(const char *state)
{
    static const char *const hopeless[] = {"alone", "ended", "failed",
                                           "takeover", NULL};

    if (!strcmp(state, "active")) {
        return CTL_OK;
    }
    return g_strv_contains(hopeless, state) ? CTL_FAILED : -1;
}

static int follow(Ctl *c)
{
    Shown s = {.terminal = isatty(STDOUT_FILENO) == 1, .tenth = -1};
    int status = -1;

    while (status < 0) {
        g_autoptr(JsonNode) answer = ctl_call(c, "query-colo-status", NULL);
        JsonObject *o = answer ? ctl_object_of(answer) : NULL;
        gint64 next = g_get_monotonic_time() + FOLLOW_US;
        CtlEvent *ev;

        if (!o) {
            status = CTL_FAILED;
            break;
        }
        show(&s, c, answer, o);
        status = verdict(ctl_str(o, "state"));
        /* A rest; an event ends it (our own reply is first in the queue). */
        while (status < 0 && (ev = ctl_next_event(c, next, NULL))) {
            gboolean news = ev->name != NULL;

            ctl_event_free(ev);
            if (news) {
                break;
            }
        }
    }
    if (s.bar) {
        putchar('\n');
    }
    g_free(s.line);
    return status;
}

int ctl_status(Ctl *c)
{
    g_autoptr(JsonNode) answer = NULL;
    JsonObject *o;

    if (c->follow) {
        return follow(c);
    }
    answer = ctl_call(c, "query-colo-status", NULL);
    o = answer ? ctl_object_of(answer) : NULL;
    if (!o) {
        return CTL_FAILED;
    }
    if (c->json) {
        ctl_print_json(answer);
    } else {
        print_status(o);
    }
    return CTL_OK;
}
