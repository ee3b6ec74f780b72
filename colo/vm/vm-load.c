/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore: give the guest another one's device state.
 *
 * QEMU keeps a small qcow2 image of ours open, in memory, whose internal
 * snapshot is rewritten in place and loaded by snapshot-load; vm-vmstate.c
 * explains why.  The template is made with x-ignore-shared on, so that it
 * holds device state but not the guest's RAM.
 */
#include "colo/vm/vm-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOT_TAG "colo"
#define DISK_BYTES (1024 * 1024)
#define MAX_JOBS 64

static JsonObject *job_args(void)
{
    return colo_vm_strings("id", COLO_VM_JOB, NULL);
}

/*
 * Wait until the job whose start was answered has concluded, and dismiss
 * it.  FALSE with QEMU's reason when it failed.
 */
static gboolean finish_job(ColoVm *vm, const char *what, GError **error)
{
    g_autoptr(JsonNode) jobs = NULL, dismissed = NULL;
    guint64 query, dismiss;
    JsonArray *a;
    GError *e = NULL;

    while (!vm->job_concluded) {
        if (!colo_qmp_client_wait_any(vm->qmp, colo_vm_deadline(vm), &e)) {
            colo_vm_take_error(vm, e, what, error);
            return FALSE;
        }
    }
    query = colo_qmp_client_send(vm->qmp, "query-jobs", NULL);
    dismiss = colo_qmp_client_send(vm->qmp, "job-dismiss", job_args());
    jobs = colo_vm_wait(vm, query, "query-jobs", error);
    if (!jobs) {
        return FALSE;
    }
    dismissed = colo_vm_wait(vm, dismiss, "job-dismiss", error);
    if (!dismissed) {
        return FALSE;
    }
    a = colo_vm_node_array(jobs);
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *job = colo_vm_element(a, i);
        const char *text;

        if (job && g_strcmp0(colo_json_get_string(job, "id"), COLO_VM_JOB) == 0) {
            text = colo_json_get_string(job, "error");
            if (!text) {
                return TRUE;
            }
            g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                        "QEMU at %s could not do %s: %s", vm->qmp_path, what,
                        text);
            return FALSE;
        }
    }
    g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                "QEMU at %s lost the job of %s", vm->qmp_path, what);
    return FALSE;
}

static gboolean run_job(ColoVm *vm, const char *command, JsonObject *args,
                        GError **error)
{
    json_object_set_string_member(args, "job-id", COLO_VM_JOB);
    vm->job_concluded = FALSE;
    return colo_vm_do(vm, command, args, error) &&
           finish_job(vm, command, error);
}

static JsonObject *snapshot_args(ColoVm *vm)
{
    JsonObject *args = colo_vm_strings("tag", SNAPSHOT_TAG, "vmstate",
                                       vm->image_node, NULL);
    JsonArray *devices = json_array_new();

    json_array_add_string_element(devices, vm->image_node);
    json_object_set_array_member(args, "devices", devices);
    return args;
}

static gboolean set_ignore_shared(ColoVm *vm, gboolean on, GError **error)
{
    JsonObject *args = json_object_new(), *cap = json_object_new();
    JsonArray *caps = json_array_new();

    json_object_set_string_member(cap, "capability", "x-ignore-shared");
    json_object_set_boolean_member(cap, "state", on);
    json_array_add_object_element(caps, cap);
    json_object_set_array_member(args, "capabilities", caps);
    return colo_vm_do(vm, "migrate-set-capabilities", args, error);
}

/* A job that a predecessor started and did not see the end of. */
static gboolean sweep_job(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = NULL;
    JsonArray *a;

    vm->job_concluded = FALSE;
    node = colo_vm_call(vm, "query-jobs", NULL, error);
    if (!node) {
        return FALSE;
    }
    a = colo_vm_node_array(node);
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *job = colo_vm_element(a, i);

        if (job && g_strcmp0(colo_json_get_string(job, "id"), COLO_VM_JOB) == 0) {
            g_autoptr(GError) e = NULL;

            if (g_strcmp0(colo_json_get_string(job, "status"),
                          "concluded") == 0) {
                vm->job_concluded = TRUE;
            }
            /* How it went does not matter any more. */
            if (!finish_job(vm, "its last job", &e) &&
                !g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_FAILED)) {
                g_propagate_error(error, g_steal_pointer(&e));
                return FALSE;
            }
            break;
        }
    }
    return TRUE;
}

/*
 * Delete the block nodes of ours that are left, the image before the file
 * below it.  *next: a number that no node has had.
 */
static gboolean sweep_nodes(ColoVm *vm, guint *next, GError **error)
{
    static const char *const prefixes[] = {COLO_VM_NODE_PREFIX,
                                           COLO_VM_FILE_PREFIX};
    g_autoptr(JsonNode) node = NULL;
    JsonObject *args = json_object_new();
    JsonArray *a;

    json_object_set_boolean_member(args, "flat", TRUE);
    node = colo_vm_call(vm, "query-named-block-nodes", args, error);
    if (!node) {
        return FALSE;
    }
    a = colo_vm_node_array(node);
    *next = 1;
    for (guint k = 0; k < G_N_ELEMENTS(prefixes); k++) {
        for (guint i = 0; a && i < json_array_get_length(a); i++) {
            JsonObject *o = colo_vm_element(a, i);
            const char *name = o ? colo_json_get_string(o, "node-name") : NULL;

            if (!name || !g_str_has_prefix(name, prefixes[k])) {
                continue;
            }
            *next = MAX(*next, (guint)g_ascii_strtoull(
                                   name + strlen(prefixes[k]), NULL, 10) + 1);
            if (!colo_vm_do(vm, "blockdev-del",
                            colo_vm_strings("node-name", name, NULL), error)) {
                return FALSE;
            }
        }
    }
    return TRUE;
}

static gboolean sweep(ColoVm *vm, guint *next, GError **error)
{
    return sweep_job(vm, error) && set_ignore_shared(vm, FALSE, error) &&
           sweep_nodes(vm, next, error) &&
           colo_vm_fdset_sweep(vm, COLO_VM_FD_VMSTATE, error);
}

/* An empty qcow2 image in memory, opened by QEMU. */
static gboolean make_image(ColoVm *vm, guint number, GError **error)
{
    JsonObject *args = json_object_new(), *options;

    vm->image_node = g_strdup_printf(COLO_VM_NODE_PREFIX "%u", number);
    vm->image_file = g_strdup_printf(COLO_VM_FILE_PREFIX "%u", number);
    options = colo_vm_strings("driver", "qcow2", "file", vm->image_file, NULL);
    json_object_set_int_member(options, "size", DISK_BYTES);
    json_object_set_object_member(args, "options", options);
    if (!colo_vm_fdset_make(vm, &vm->image, COLO_VM_FD_VMSTATE, TRUE, error) ||
        !colo_vm_do(vm, "blockdev-add",
                    colo_vm_strings("driver", "file", "node-name",
                                    vm->image_file, "filename", vm->image.path,
                                    NULL),
                    error)) {
        json_object_unref(args);
        return FALSE;
    }
    return run_job(vm, "blockdev-create", args, error) &&
           colo_vm_do(vm, "blockdev-add",
                      colo_vm_strings("driver", "qcow2", "node-name",
                                      vm->image_node, "file", vm->image_file,
                                      NULL),
                      error);
}

static gboolean make_template(ColoVm *vm, GError **error)
{
    g_autoptr(GError) e = NULL;
    gboolean ok;

    if (!set_ignore_shared(vm, TRUE, error)) {
        return FALSE;
    }
    ok = run_job(vm, "snapshot-save", snapshot_args(vm), error);
    /* Left on, it would make every load fail. */
    if (!set_ignore_shared(vm, FALSE, ok ? error : &e)) {
        return FALSE;
    }
    return ok;
}

/* The whole image as it is now. */
static GByteArray *read_image(ColoVm *vm, GError **error)
{
    g_autoptr(GByteArray) image = NULL;
    struct stat st;

    if (fstat(vm->image.fd, &st) < 0 || st.st_size <= 0 ||
        st.st_size > COLO_VM_MAX_IMAGE) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "the snapshot image that QEMU wrote is empty or larger "
                    "than %u MiB",
                    COLO_VM_MAX_IMAGE >> 20);
        return NULL;
    }
    image = g_byte_array_sized_new(st.st_size);
    g_byte_array_set_size(image, st.st_size);
    if (pread(vm->image.fd, image->data, image->len, 0) != st.st_size) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot read the snapshot image: %s", g_strerror(errno));
        return NULL;
    }
    return g_steal_pointer(&image);
}

static gboolean read_template(ColoVm *vm, GError **error)
{
    g_autoptr(GByteArray) image = read_image(vm, error);
    guint64 first;

    if (!image ||
        !colo_vmstate_parse_qcow2(image->data, image->len, &vm->map, error)) {
        return FALSE;
    }
    first = vm->map.offsets[0];
    vm->config = colo_vmstate_get_config(
        image->data + first, MIN(vm->map.cluster_bytes, image->len - first),
        error);
    return vm->config != NULL;
}

gboolean colo_vm_restore_prepare(ColoVm *vm, GError **error)
{
    guint number;

    if (vm->map.n) {
        return TRUE;
    }
    if (!colo_vm_dispatch(vm, error)) {
        return FALSE;
    }
    if (vm->running) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "the guest at %s runs: it must be stopped to be prepared "
                    "as a secondary",
                    vm->qmp_path);
        return FALSE;
    }
    vm->blob = g_byte_array_new();
    if (!sweep(vm, &number, error) || !make_image(vm, number, error) ||
        !make_template(vm, error) || !read_template(vm, error)) {
        colo_vm_restore_close(vm);
        return FALSE;
    }
    return TRUE;
}

gsize colo_vm_state_room(const ColoVm *vm)
{
    return vm->map.n ? vm->map.n * vm->map.cluster_bytes -
                           colo_vmstate_overhead(vm->config)
                     : 0;
}

/* Put the stream where the snapshot's is. */
static gboolean write_blob(ColoVm *vm, GError **error)
{
    gsize done = 0;

    for (gsize i = 0; done < vm->blob->len; i++) {
        gsize n = MIN(vm->map.cluster_bytes, vm->blob->len - done);
        ssize_t put = pwrite(vm->image.fd, vm->blob->data + done, n,
                             vm->map.offsets[i]);

        if (put != (ssize_t)n) {
            g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                        "cannot write the device state to memory: %s",
                        put < 0 ? g_strerror(errno) : "no room");
            return FALSE;
        }
        done += n;
    }
    return TRUE;
}

gboolean colo_vm_load(ColoVm *vm, const guint8 *state, gsize len,
                      GError **error)
{
    gboolean ok;

    g_return_val_if_fail(vm->map.n, FALSE);
    if (len > colo_vm_state_room(vm)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "a device state of %" G_GSIZE_FORMAT " bytes does not fit "
                    "into the %" G_GSIZE_FORMAT " prepared",
                    len, colo_vm_state_room(vm));
        return FALSE;
    }
    if (!colo_vm_dispatch(vm, error) ||
        !colo_vmstate_build(state, len, vm->config, vm->blob, error) ||
        !write_blob(vm, error)) {
        return FALSE;
    }
    if (vm->running) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED,
                    "the guest runs: it must be stopped to load a state");
        return FALSE;
    }
    vm->disturbed = FALSE;
    vm->loading = TRUE;
    ok = run_job(vm, "snapshot-load", snapshot_args(vm), error);
    vm->loading = FALSE;
    if (ok && vm->disturbed) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED,
                    "somebody else resumed the guest while a state was "
                    "loaded");
        return FALSE;
    }
    return ok;
}

/* Take our nodes out of QEMU again, as far as it listens. */
void colo_vm_restore_close(ColoVm *vm)
{
    if (vm->image_node) {
        guint64 last;
        GError *e = NULL;
        JsonNode *node;

        colo_qmp_client_ignore(
            vm->qmp, colo_qmp_client_send(
                         vm->qmp, "blockdev-del",
                         colo_vm_strings("node-name", vm->image_node, NULL)));
        last = colo_qmp_client_send(
            vm->qmp, "blockdev-del",
            colo_vm_strings("node-name", vm->image_file, NULL));
        node = colo_qmp_client_wait(vm->qmp, last, colo_vm_deadline(vm), &e);
        g_clear_pointer(&node, json_node_unref);
        g_clear_error(&e);
    }
    g_clear_pointer(&vm->image_node, g_free);
    g_clear_pointer(&vm->image_file, g_free);
    g_clear_pointer(&vm->config, g_byte_array_unref);
    g_clear_pointer(&vm->blob, g_byte_array_unref);
    colo_vmstate_map_clear(&vm->map);
    colo_vm_fdset_close(&vm->image);
}
