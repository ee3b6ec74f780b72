/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim-qemu: block nodes, saving and loading state, and its job. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct Node {
    char *name;
    char *below; /* qcow2: the node of its file; NULL: a file */
    char *filename;
    int fd;
} Node;

typedef struct Job {
    char *id;
    char *node;
    char *tag;
    char *error;
    gboolean concluded;
} Job;

static GPtrArray *nodes, *jobs;

static Node *find_node(const char *name)
{
    for (guint i = 0; nodes && i < nodes->len; i++) {
        Node *n = g_ptr_array_index(nodes, i);

        if (g_str_equal(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

static void node_free(gpointer p)
{
    Node *n = p;

    if (n->fd >= 0) {
        close(n->fd);
    }
    g_free(n->name);
    g_free(n->below);
    g_free(n->filename);
    g_free(n);
}

static char *blockdev_add(JsonObject *args, GError **error)
{
    const char *driver = sim_arg(args, "driver"), *name;
    const char *below = sim_arg(args, "file");
    Node *n;

    if (g_str_equal(driver, "nbd")) {
        return sim_nbd_add(args, error);
    }
    name = sim_arg(args, "node-name");
    if (!*name || find_node(name)) {
        return sim_fail(error, "Duplicate or missing node name '%s'", name);
    }
    n = g_new0(Node, 1);
    n->fd = -1;
    if (g_str_equal(driver, "file")) {
        n->filename = g_strdup(sim_arg(args, "filename"));
        n->fd = sim_fdset_open(n->filename, O_RDWR);
    } else if (find_node(below)) {
        n->below = g_strdup(below);
        n->fd = fcntl(find_node(below)->fd, F_DUPFD_CLOEXEC, 0);
    }
    if (n->fd < 0) {
        node_free(n);
        return sim_fail(error, "Could not open '%s': No such file or directory",
                        sim_arg(args, "filename"));
    }
    n->name = g_strdup(name);
    if (!nodes) {
        nodes = g_ptr_array_new_with_free_func(node_free);
    }
    g_ptr_array_add(nodes, n);
    return g_strdup("{}");
}

static char *blockdev_del(JsonObject *args, GError **error)
{
    const char *name = sim_arg(args, "node-name");
    Node *n = find_node(name);
    char *done = n ? NULL : sim_nbd_del(name, error);

    if (done || (error && *error)) {
        return done;
    }
    if (!n) {
        return sim_fail(error, "Failed to find node with node-name='%s'", name);
    }
    for (guint i = 0; i < nodes->len; i++) {
        Node *above = g_ptr_array_index(nodes, i);

        if (above->below && g_str_equal(above->below, name)) {
            return sim_fail(error, "Block device %s is in use", name);
        }
    }
    g_ptr_array_remove(nodes, n);
    return g_strdup("{}");
}

static char *query_nodes(JsonObject *args, GError **error)
{
    GString *s = g_string_new("[");

    for (guint i = 0; nodes && i < nodes->len; i++) {
        Node *n = g_ptr_array_index(nodes, i);

        g_string_append_printf(s,
                               "%s{\"node-name\":\"%s\",\"drv\":\"%s\","
                               "\"file\":\"%s\",\"ro\":false}",
                               i ? "," : "", n->name,
                               n->below ? "qcow2" : "file",
                               n->below ? n->below : n->filename);
    }
    sim_disk_nodes(s);
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

/* --- Jobs --- */

static void job_event(Job *job, const char *status)
{
    g_autofree char *data =
        g_strdup_printf("{\"status\":\"%s\",\"id\":\"%s\"}", status, job->id);

    sim_event("JOB_STATUS_CHANGE", data);
}

/* FALSE with *why, a static text. */
static gboolean load_snapshot(Job *job, const char **why)
{
    gboolean was = sim_guest_running(), ok;
    g_autoptr(GByteArray) stream = NULL;

    sim_stop("restore-vm");
    stream = sim_image_load(find_node(job->node)->fd, job->tag, why);
    if (!stream) {
        if (was) {
            sim_cont();
        }
        return FALSE;
    }
    sim_guest_scribble();
    ok = sim_stream_load(stream, why);
    if (ok && was) {
        sim_cont();
    }
    return ok;
}

static void run_job(void *arg)
{
    static const char point[] = "job-snapshot-load";
    const char *why = "arranged to fail";
    Job *job = arg;
    gboolean ok;

    job_event(job, "running");
    ok = !sim_point("before", point);
    if (ok && !find_node(job->node)) {
        why = "no such node";
        ok = FALSE;
    }
    ok = ok && load_snapshot(job, &why);
    if (sim_point("after", point) && ok) {
        ok = FALSE;
    }
    if (!ok) {
        job->error = g_strdup(why);
        job_event(job, "aborting");
    } else {
        job_event(job, "waiting");
        job_event(job, "pending");
    }
    job->concluded = TRUE;
    job_event(job, "concluded");
}

static Job *find_job(const char *id)
{
    for (guint i = 0; jobs && i < jobs->len; i++) {
        Job *j = g_ptr_array_index(jobs, i);

        if (g_str_equal(j->id, id)) {
            return j;
        }
    }
    return NULL;
}

static char *snapshot_load(JsonObject *args, GError **error)
{
    const char *id = sim_arg(args, "job-id");
    Job *job;

    if (find_job(id)) {
        return sim_fail(error, "Job ID '%s' already in use", id);
    }
    if (!jobs) {
        jobs = g_ptr_array_new();
    }
    job = g_new0(Job, 1);
    job->id = g_strdup(id);
    job->node = g_strdup(sim_arg(args, "vmstate"));
    job->tag = g_strdup(sim_arg(args, "tag"));
    g_ptr_array_add(jobs, job);
    job_event(job, "created");
    sim_later(run_job, job);
    return g_strdup("{}");
}

static char *query_jobs(JsonObject *args, GError **error)
{
    GString *s = g_string_new("[");

    for (guint i = 0; jobs && i < jobs->len; i++) {
        Job *j = g_ptr_array_index(jobs, i);

        g_string_append_printf(
            s,
            "%s{\"current-progress\":1,\"total-progress\":1,"
            "\"type\":\"snapshot-load\",\"id\":\"%s\",\"status\":\"%s\"",
            i ? "," : "", j->id, j->concluded ? "concluded" : "running");
        if (j->error) {
            g_string_append_printf(s, ",\"error\":\"%s\"", j->error);
        }
        g_string_append_c(s, '}');
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

static char *job_dismiss(JsonObject *args, GError **error)
{
    Job *job = find_job(sim_arg(args, "id"));

    if (!job || !job->concluded) {
        return sim_fail(error, "Job not found or not concluded");
    }
    job_event(job, "null");
    g_ptr_array_remove(jobs, job);
    g_free(job->id);
    g_free(job->node);
    g_free(job->tag);
    g_free(job->error);
    g_free(job);
    return g_strdup("{}");
}

/* --- State --- */

static char *save_devices(JsonObject *args, GError **error)
{
    gboolean was = sim_guest_running();
    g_autoptr(GByteArray) stream = NULL;
    const char *path = sim_arg(args, "filename");
    int fd = sim_fdset_open(path, O_WRONLY);
    ssize_t put;

    if (fd < 0) {
        return sim_fail(error, "Could not open '%s': Bad file descriptor",
                        path);
    }
    sim_stop("save-vm");
    stream = sim_stream_wrap(sim_guest_save());
    put = write(fd, stream->data, stream->len);
    close(fd);
    if (was) {
        sim_cont();
    }
    return put == (ssize_t)stream->len
               ? g_strdup("{}")
               : sim_fail(error, "Failed to save device state: %s",
                          put < 0 ? g_strerror(errno) : "short write");
}

const SimCommand sim_block_commands[] = {
    {"add-fd", sim_cmd_add_fd},
    {"remove-fd", sim_cmd_remove_fd},
    {"query-fdsets", sim_cmd_query_fdsets},
    {"blockdev-add", blockdev_add},
    {"blockdev-del", blockdev_del},
    {"query-named-block-nodes", query_nodes},
    {"query-jobs", query_jobs},
    {"job-dismiss", job_dismiss},
    {"snapshot-load", snapshot_load},
    {"xen-save-devices-state", save_devices},
    {NULL, NULL},
};
