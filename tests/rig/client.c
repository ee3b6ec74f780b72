/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients on the rig's lan: net-client and what it prints. */
#include "tests/rig/rig.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static JsonObject *next_line(RigClient *c)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    g_autoptr(JsonNode) node = NULL;

    if (!g_file_get_contents(c->out, &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    if (g_strv_length(lines) <= c->seen + 1) { /* the last one is not whole */
        return NULL;
    }
    node = json_from_string(lines[c->seen], NULL);
    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
        rig_die("net-client: %s", lines[c->seen]);
    }
    c->seen++;
    return json_node_dup_object(node);
}

/*
 * Sleeps until it is written: a bench that looked every few milliseconds would
 * take a guest's processor that often.
 */
static JsonObject *wait_line(RigClient *c, gint64 end)
{
    struct pollfd p = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    JsonObject *o;

    if (p.fd < 0 || inotify_add_watch(p.fd, c->out, IN_MODIFY) < 0) {
        rig_die("cannot watch %s", c->out);
    }
    while (!(o = next_line(c))) {
        char events[4096];
        gint64 left = end - g_get_monotonic_time();

        if (left <= 0 || poll(&p, 1, (int)(left / 1000) + 1) <= 0 ||
            read(p.fd, events, sizeof(events)) < 0) {
            break;
        }
    }
    close(p.fd);
    return o;
}

static JsonObject *wait_event(RigClient *c, const char *event, int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    JsonObject *o;

    while ((o = wait_line(c, end))) {
        if (!strcmp(json_object_get_string_member(o, "event"), event)) {
            return o;
        }
        json_object_unref(o);
    }
    rig_die("the clients have not come to \"%s\" within %d s", event, seconds);
}

RigClient *rig_client_spawn(Rig *r, const char *options)
{
    static guint number;
    RigClient *c = g_new0(RigClient, 1);
    g_autofree char *name = g_strdup_printf("client%u.out", number++);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

    c->out = g_build_filename(r->dir, name, NULL);
    rig_add(argv, "net-client --limit 900 %s", options);
    g_ptr_array_add(argv, NULL);
    c->pid = rig_spawn(r->cli, c->out, (char **)argv->pdata);
    return c;
}

RigClient *rig_client_start(Rig *r, const char *options)
{
    RigClient *c = rig_client_spawn(r, options);

    json_object_unref(wait_event(c, "open", RIG_PATIENCE_S));
    return c;
}

JsonObject *rig_client_mark(RigClient *c, int seconds)
{
    kill(c->pid, SIGUSR1);
    return wait_event(c, "mark", seconds);
}

JsonObject *rig_client_wait(RigClient *c, int seconds)
{
    JsonObject *o = wait_event(c, "end", seconds);

    rig_wait_exit(&c->pid, RIG_PATIENCE_S);
    return o;
}

JsonObject *rig_client_stop(RigClient *c)
{
    kill(c->pid, SIGTERM);
    return rig_client_wait(c, RIG_PATIENCE_S);
}

void rig_client_free(RigClient *c)
{
    rig_end(&c->pid, SIGKILL);
    g_free(c->out);
    g_free(c);
}

JsonObject *rig_client_run(Rig *r, const char *options, int seconds)
{
    RigClient *c = rig_client_spawn(r, options);
    JsonObject *o = rig_client_wait(c, seconds);

    rig_client_free(c);
    return o;
}
