/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim-qemu: NBD nodes, and mirrors of the guest's disks to them. */
#include "tests/sim/sim-disk.h"
#include "tests/sim/sim.h"

#include "colo/common/qmp-wire.h"

#include <string.h>

typedef struct NbdNode {
    char *name, *file;
    SimNbd *nbd;
} NbdNode;

static GPtrArray *nodes; /* NbdNode */

static NbdNode *find_node(const char *name)
{
    for (guint i = 0; nodes && i < nodes->len; i++) {
        NbdNode *n = g_ptr_array_index(nodes, i);

        if (g_str_equal(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

static void node_free(gpointer p)
{
    NbdNode *n = p;

    sim_nbd_free(n->nbd);
    g_free(n->name);
    g_free(n->file);
    g_free(n);
}

char *sim_nbd_add(JsonObject *args, GError **error)
{
    JsonObject *server = colo_json_get_object(args, "server");
    const char *export = sim_arg(args, "export");
    gint64 delay = json_object_get_int_member_with_default(
        args, "reconnect-delay", 0);
    NbdNode *n;

    if (!server || find_node(sim_arg(args, "node-name"))) {
        return sim_fail(error, "Duplicate node or no server");
    }
    n = g_new0(NbdNode, 1);
    n->name = g_strdup(sim_arg(args, "node-name"));
    n->file = *sim_arg(server, "path")
                  ? g_strdup_printf("nbd+unix:///%s?socket=%s", export,
                                    sim_arg(server, "path"))
                  : g_strdup_printf("nbd://%s:%s/%s", sim_arg(server, "host"),
                                    sim_arg(server, "port"), export);
    n->nbd = sim_nbd_new(n->file, delay * G_USEC_PER_SEC);
    if (!sim_nbd_connect(n->nbd, g_get_monotonic_time() + G_USEC_PER_SEC)) {
        node_free(n);
        return sim_fail(error, "Failed to connect to '%s'", export);
    }
    if (!nodes) {
        nodes = g_ptr_array_new_with_free_func(node_free);
    }
    g_ptr_array_add(nodes, n);
    return g_strdup("{}");
}

/* NULL without error: it is none of ours. */
char *sim_nbd_del(const char *name, GError **error)
{
    NbdNode *n = find_node(name);

    if (!n) {
        return NULL;
    }
    for (guint i = 0; i < sim_n_disks; i++) {
        if (sim_disks[i].mirror && sim_disks[i].mirror->to == n->nbd) {
            return sim_fail(error, "Node %s is in use", name);
        }
    }
    g_ptr_array_remove(nodes, n);
    return g_strdup("{}");
}

/* What query-named-block-nodes says of these nodes, each behind a comma. */
void sim_disk_nodes(GString *s)
{
    for (guint i = 0; i < sim_n_disks; i++) {
        SimDisk *d = &sim_disks[i];

        g_string_append_printf(
            s,
            "%s{\"node-name\":\"%s\",\"drv\":\"raw\",\"file\":\"%s\","
            "\"ro\":false,\"image\":{\"virtual-size\":%d}",
            s->len > 1 ? "," : "", d->name, d->name, SIM_BLOCKS * SIM_BLOCK);
        sim_guest_lock();
        if (d->mirror) {
            g_string_append_printf(s, ",\"dirty-bitmaps\":[{\"count\":%u}]",
                                   sim_mirror_dirty(d->mirror) * SIM_BLOCK);
        }
        sim_guest_unlock();
        g_string_append_c(s, '}');
    }
    for (guint i = 0; nodes && i < nodes->len; i++) {
        NbdNode *n = g_ptr_array_index(nodes, i);

        g_string_append_printf(s,
                               "%s{\"node-name\":\"%s\",\"drv\":\"nbd\","
                               "\"file\":\"%s\",\"ro\":false}",
                               s->len > 1 ? "," : "", n->name, n->file);
    }
}

/* --- Jobs --- */

static SimDisk *disk_of(const char *job)
{
    for (guint i = 0; i < sim_n_disks; i++) {
        SimDisk *d = &sim_disks[i];

        if (d->mirror && g_str_equal(d->mirror->id, job)) {
            return d;
        }
    }
    return NULL;
}

static void job_event(const char *event, const char *id)
{
    g_autofree char *data =
        g_strdup_printf("{\"type\":\"mirror\",\"device\":\"%s\",\"len\":1,"
                        "\"offset\":1,\"speed\":0}",
                        id);

    sim_event(event, data);
}

static void copy(void *arg)
{
    g_autofree char *id = arg;
    SimDisk *d = disk_of(id);
    gboolean more, ready = FALSE;

    if (!d) {
        return;
    }
    sim_guest_lock();
    more = sim_mirror_step(d);
    if (!more && !d->mirror->failed && !d->mirror->ready) {
        d->mirror->ready = ready = TRUE;
    }
    sim_guest_unlock();
    if (ready) {
        job_event("BLOCK_JOB_READY", id);
        sim_log("mirrored", d->name);
    }
    if (more) {
        sim_later(copy, g_steal_pointer(&id));
    }
}

static char *mirror(JsonObject *args, GError **error)
{
    NbdNode *to = find_node(sim_arg(args, "target"));
    const char *device = sim_arg(args, "device");
    SimDisk *d = NULL;
    SimMirror *m;

    for (guint i = 0; i < sim_n_disks; i++) {
        if (g_str_equal(sim_disks[i].name, device)) {
            d = &sim_disks[i];
        }
    }
    if (!d || !to || d->mirror) {
        return sim_fail(error, "Cannot find device='%s', or it is mirrored",
                        device);
    }
    m = g_new0(SimMirror, 1);
    m->id = g_strdup(sim_arg(args, "job-id"));
    m->target = g_strdup(to->name);
    m->top = g_strdup(sim_arg(args, "filter-node-name"));
    m->to = to->nbd;
    m->len = SIM_BLOCKS;
    for (guint i = 0; i < SIM_BLOCKS; i++) {
        m->dirty[i] = TRUE;
    }
    sim_guest_lock();
    d->mirror = m;
    sim_guest_unlock();
    sim_later(copy, g_strdup(m->id));
    return g_strdup("{}");
}

static char *cancel(JsonObject *args, GError **error)
{
    g_autofree char *id = g_strdup(sim_arg(args, "device"));
    SimDisk *d = disk_of(id);
    SimMirror *m;

    if (!d) {
        return sim_fail(error, "Block job '%s' not found", id);
    }
    sim_guest_lock();
    m = g_steal_pointer(&d->mirror);
    sim_guest_unlock();
    g_free(m->id);
    g_free(m->target);
    g_free(m->top);
    g_free(m);
    job_event("BLOCK_JOB_CANCELLED", id);
    sim_log("unmirrored", d->name);
    return g_strdup("{}");
}

static char *resume(JsonObject *args, GError **error)
{
    SimDisk *d = disk_of(sim_arg(args, "device"));

    if (!d || !d->mirror->failed) {
        return sim_fail(error, "The block job is not paused");
    }
    sim_guest_lock();
    d->mirror->failed = d->mirror->told = FALSE;
    d->mirror->len += sim_mirror_dirty(d->mirror);
    sim_guest_unlock();
    sim_later(copy, g_strdup(d->mirror->id));
    return g_strdup("{}");
}

static char *query(JsonObject *args, GError **error)
{
    GString *s = g_string_new("[");

    for (guint i = 0; i < sim_n_disks; i++) {
        SimMirror *m = sim_disks[i].mirror;

        if (!m) {
            continue;
        }
        sim_guest_lock();
        g_string_append_printf(
            s,
            "%s{\"type\":\"mirror\",\"device\":\"%s\",\"len\":%u,"
            "\"offset\":%u,\"busy\":false,\"paused\":false,\"speed\":0,"
            "\"io-status\":\"%s\",\"ready\":%s,\"status\":\"running\"}",
            s->len > 1 ? "," : "", m->id, m->len * SIM_BLOCK,
            (m->len - sim_mirror_dirty(m)) * SIM_BLOCK,
            m->failed ? "failed" : "ok", m->ready ? "true" : "false");
        sim_guest_unlock();
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

static char *graph(JsonObject *args, GError **error)
{
    g_autoptr(GString) n = g_string_new(NULL);
    g_autoptr(GString) e = g_string_new(NULL);

    for (guint i = 0; i < sim_n_disks; i++) {
        SimDisk *d = &sim_disks[i];
        guint id = 10 * (i + 1);

        g_string_append_printf(
            n, "%s{\"id\":%u,\"type\":\"block-driver\",\"name\":\"%s\"}",
            n->len ? "," : "", id, d->name);
        if (d->mirror) {
            g_string_append_printf(
                n, ",{\"id\":%u,\"type\":\"block-driver\",\"name\":\"%s\"}",
                id + 1, d->mirror->top);
            g_string_append_printf(e, "%s{\"parent\":%u,\"child\":%u}",
                                   e->len ? "," : "", id + 1, id);
        }
    }
    return g_strdup_printf("{\"nodes\":[%s],\"edges\":[%s]}", n->str, e->str);
}

static char *query_block(JsonObject *args, GError **error)
{
    return g_strdup("[]");
}

const SimCommand sim_mirror_commands[] = {
    {"blockdev-mirror", mirror},
    {"block-job-cancel", cancel},
    {"block-job-resume", resume},
    {"query-block-jobs", query},
    {"x-debug-query-block-graph", graph},
    {"query-block", query_block},
    {NULL, NULL},
};
