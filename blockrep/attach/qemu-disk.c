/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk in QEMU.
 *
 * When nothing is left to be copied.  BLOCK_JOB_READY comes once in the life
 * of a job, so after a loss it says nothing.  The job's dirty bitmap has what
 * is to be copied and not begun; the job's own count, offset of len, also
 * what is on its way, but is brought up to date only when the job runs.  So
 * the bitmap is read first and the count after it: a bitmap that was empty
 * because the rest was on its way had a job that ran, and counted.
 */
#include "blockrep/attach/qemu-disk.h"

#include "colo/common/qmp-wire.h"

#include <string.h>

#define TLS_ID       "colo-disk-tls"
#define OPEN_SECONDS 1 /* the server was there a moment ago */

void qemu_found_clear(QemuFound *f)
{
    g_free(f->device);
    g_free(f->source);
    g_free(f->hand);
    memset(f, 0, sizeof(*f));
}

static JsonObject *strings(const char *name, ...) G_GNUC_NULL_TERMINATED;

static JsonObject *strings(const char *name, ...)
{
    JsonObject *o = json_object_new();
    va_list ap;

    va_start(ap, name);
    for (; name; name = va_arg(ap, const char *)) {
        json_object_set_string_member(o, name, va_arg(ap, const char *));
    }
    va_end(ap);
    return o;
}

static gboolean run(ColoVm *vm, const char *command, JsonObject *args,
                    GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, command, args, error);

    return node != NULL;
}

/* The elements of an answer that are objects. */
static guint length_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node)
               ? json_array_get_length(json_node_get_array(node))
               : 0;
}

static JsonObject *element(JsonNode *node, guint i)
{
    JsonNode *n = json_array_get_element(json_node_get_array(node), i);

    return JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

static JsonObject *find(JsonNode *list, const char *member, const char *value)
{
    for (guint i = 0; i < length_of(list); i++) {
        JsonObject *o = element(list, i);

        if (o && !g_strcmp0(colo_json_get_string(o, member), value)) {
            return o;
        }
    }
    return NULL;
}

static JsonNode *query_nodes(ColoVm *vm, GError **error)
{
    JsonObject *args = json_object_new();

    json_object_set_boolean_member(args, "flat", TRUE);
    return colo_vm_call(vm, "query-named-block-nodes", args, error);
}

/* --- What there is ------------------------------------------------------- */

/* The root node of the device that the operator means, if it means one. */
static char *device_root(ColoVm *vm, const char *name, GError **error)
{
    g_autoptr(JsonNode) list = colo_vm_call(vm, "query-block", NULL, error);
    g_autofree char *part = g_strdup_printf("/%s/", name);

    for (guint i = 0; i < length_of(list); i++) {
        JsonObject *o = element(list, i);
        const char *device = o ? colo_json_get_string(o, "device") : NULL;
        const char *qdev = o ? colo_json_get_string(o, "qdev") : NULL;
        g_autofree char *path = g_strdup_printf("%s/", qdev ? qdev : "");
        JsonObject *in = o ? colo_json_get_object(o, "inserted") : NULL;

        if (in && (!g_strcmp0(device, name) || !g_strcmp0(qdev, name) ||
                   strstr(path, part))) {
            return g_strdup(colo_json_get_string(in, "node-name"));
        }
    }
    return NULL;
}

static gboolean is_our_export(const QemuDisk *d, const char *export)
{
    return g_str_equal(export, d->export) || g_str_equal(export, d->name) ||
           (d->only && g_str_equal(export, "primary"));
}

/* Somebody else's node with our export that belongs to the disk. */
static char *by_hand(JsonNode *nodes, JsonObject *graph, const QemuDisk *d,
                     const char *device)
{
    for (guint i = 0; graph && i < length_of(nodes); i++) {
        JsonObject *o = element(nodes, i);
        const char *name = o ? colo_json_get_string(o, "node-name") : NULL;
        const char *driver = o ? colo_json_get_string(o, "drv") : NULL;
        const char *file = o ? colo_json_get_string(o, "file") : NULL;
        g_autofree char *export = file ? nbd_export_of(file) : NULL;

        if (name && export && !g_strcmp0(driver, "nbd") &&
            !g_str_equal(name, d->nbd) && is_our_export(d, export) &&
            block_graph_related(graph, device, name)) {
            return g_strdup(name);
        }
    }
    return NULL;
}

/* As QEMU prints the file of our node. */
static char *expected_file(const NbdPeer *peer, const QemuDisk *d)
{
    if (peer->addr->path) {
        return g_strdup_printf("nbd+unix:///%s?socket=%s", d->export,
                               peer->addr->path);
    }
    return g_strdup_printf("nbd://%s:%u/%s",
                           peer->addr->host ? peer->addr->host : "localhost",
                           peer->addr->port, d->export);
}

static gboolean size_of(JsonObject *node, const QemuDisk *d, guint64 *size,
                        GError **error)
{
    JsonObject *image = node ? colo_json_get_object(node, "image") : NULL;
    gint64 n;

    if (!image || !colo_json_get_int(image, "virtual-size", &n) || n <= 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "QEMU does not tell the size of disk %s (node %s)", d->name,
                    d->node);
        return FALSE;
    }
    *size = n;
    return TRUE;
}

gboolean qemu_disk_find(ColoVm *vm, const NbdPeer *peer, const QemuDisk *d,
                        QemuFound *f, GError **error)
{
    g_autoptr(JsonNode) nodes = query_nodes(vm, error);
    g_autoptr(JsonNode) jobs = NULL, graph_node = NULL;
    g_autofree char *file = expected_file(peer, d);
    JsonObject *graph, *nbd;
    const char *below;
    GError *e = NULL;

    if (!nodes || !(jobs = colo_vm_call(vm, "query-block-jobs", NULL, error))) {
        return FALSE;
    }
    graph_node = colo_vm_call(vm, "x-debug-query-block-graph", NULL, &e);
    if (!graph_node &&
        !g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_FAILED)) {
        g_propagate_error(error, e);
        return FALSE;
    }
    g_clear_error(&e);
    graph = graph_node && JSON_NODE_HOLDS_OBJECT(graph_node)
                ? json_node_get_object(graph_node)
                : NULL;
    f->device = find(nodes, "node-name", d->node)
                    ? g_strdup(d->node)
                    : device_root(vm, d->node, &e);
    if (e) {
        g_propagate_error(error, e);
        return FALSE;
    }
    if (!f->device) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "the VM has no disk %s: give its block node or device as "
                    "--disk %s=NODE (query-named-block-nodes has them)",
                    d->node, d->name);
        return FALSE;
    }
    if (!size_of(find(nodes, "node-name", f->device), d, &f->size, error)) {
        return FALSE;
    }
    below = graph ? block_graph_below(graph, d->top) : NULL;
    f->source = g_strdup(below ? below : f->device);
    f->hand = by_hand(nodes, graph, d, f->device);
    nbd = find(nodes, "node-name", d->nbd);
    f->has_nbd = nbd != NULL;
    f->nbd_right = nbd && !g_strcmp0(colo_json_get_string(nbd, "file"), file);
    f->has_job = find(jobs, "device", d->job) != NULL;
    return TRUE;
}

/* Bytes in the bitmaps without a name, which are those of jobs. */
static guint64 dirty_bytes(JsonObject *node)
{
    JsonArray *maps = node ? colo_json_get_array(node, "dirty-bitmaps") : NULL;
    guint64 sum = 0;

    for (guint i = 0; maps && i < json_array_get_length(maps); i++) {
        JsonNode *n = json_array_get_element(maps, i);
        JsonObject *o =
            JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
        gint64 count = 0;

        if (o && !colo_json_get_string(o, "name") &&
            colo_json_get_int(o, "count", &count)) {
            sum += count;
        }
    }
    return sum;
}

gboolean qemu_disk_progress(ColoVm *vm, const QemuDisk *d, const char *source,
                            QemuProgress *p, GError **error)
{
    g_autoptr(JsonNode) nodes = query_nodes(vm, error);
    g_autoptr(JsonNode) jobs = NULL;
    gboolean ready = FALSE, active = TRUE;
    gint64 offset = 0, len = 0;
    JsonObject *o;

    memset(p, 0, sizeof(*p));
    if (!nodes || !(jobs = colo_vm_call(vm, "query-block-jobs", NULL, error))) {
        return FALSE;
    }
    o = find(jobs, "device", d->job);
    if (!o) {
        return TRUE;
    }
    p->exists = TRUE;
    colo_json_get_bool(o, "ready", &ready);
    colo_json_get_int(o, "offset", &offset);
    colo_json_get_int(o, "len", &len);
    /* Newer QEMUs (8.2) say it themselves. */
    colo_json_get_bool(o, "actively-synced", &active);
    p->failed = g_strcmp0(colo_json_get_string(o, "io-status"), "ok") != 0;
    p->done = MAX(offset, 0);
    p->total = MAX(len, 0);
    p->synced = ready && active && !p->failed && offset == len &&
                !dirty_bytes(find(nodes, "node-name", source));
    return TRUE;
}

/* --- Changing it --------------------------------------------------------- */

static JsonObject *server_of(const NbdPeer *peer)
{
    g_autofree char *port = g_strdup_printf("%u", peer->addr->port);

    if (peer->addr->path) {
        return strings("type", "unix", "path", peer->addr->path, NULL);
    }
    return strings("type", "inet", "host",
                   peer->addr->host ? peer->addr->host : "localhost", "port",
                   port, NULL);
}

static gboolean tls_add(ColoVm *vm, const NbdPeer *peer, GError **error)
{
    g_autofree char *dir = peer->psk ? g_path_get_dirname(peer->psk)
                                     : g_strdup(peer->certificates);
    JsonObject *args;

    if (!dir) {
        return TRUE;
    }
    /* A predecessor's may be others.  Nodes that use it keep what they have. */
    if (!qemu_tls_del(vm, error)) {
        return FALSE;
    }
    args = strings("qom-type", peer->psk ? "tls-creds-psk" : "tls-creds-x509",
                   "id", TLS_ID, "dir", dir, "endpoint", "client", NULL);
    if (peer->psk) {
        json_object_set_string_member(args, "username", peer->psk_user);
    } else {
        json_object_set_boolean_member(args, "verify-peer", TRUE);
    }
    return run(vm, "object-add", args, error);
}

gboolean qemu_disk_add(ColoVm *vm, const NbdPeer *peer, const QemuDisk *d,
                       const char *device, GError **error)
{
    JsonObject *node;

    if (!tls_add(vm, peer, error)) {
        return FALSE;
    }
    node = strings("driver", "nbd", "node-name", d->nbd, "export", d->export,
                   NULL);
    json_object_set_object_member(node, "server", server_of(peer));
    if (peer->psk || peer->certificates) {
        json_object_set_string_member(node, "tls-creds", TLS_ID);
    }
    json_object_set_int_member(
        node, "reconnect-delay",
        MAX(1, (peer->reconnect_us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC));
    json_object_set_int_member(node, "open-timeout", OPEN_SECONDS);
    return run(vm, "blockdev-add", node, error) &&
           run(vm, "blockdev-mirror",
               strings("job-id", d->job, "device", device, "target", d->nbd,
                       "sync", "full", "copy-mode", "write-blocking",
                       "on-source-error", "report", "on-target-error", "stop",
                       "filter-node-name", d->top, NULL),
               error);
}

gboolean qemu_disk_resume(ColoVm *vm, const QemuDisk *d, GError **error)
{
    return run(vm, "block-job-resume", strings("device", d->job, NULL), error);
}

gboolean qemu_disk_cancel(ColoVm *vm, const QemuDisk *d, GError **error)
{
    JsonObject *args = strings("device", d->job, NULL);

    json_object_set_boolean_member(args, "force", TRUE);
    return run(vm, "block-job-cancel", args, error);
}

gboolean qemu_disk_del(ColoVm *vm, const QemuDisk *d, GError **error)
{
    return run(vm, "blockdev-del", strings("node-name", d->nbd, NULL), error);
}

gboolean qemu_tls_del(ColoVm *vm, GError **error)
{
    g_autoptr(GError) e = NULL;

    if (run(vm, "object-del", strings("id", TLS_ID, NULL), &e) ||
        g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_FAILED)) {
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&e));
    return FALSE;
}
