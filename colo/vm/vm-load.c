/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore: give the guest another one's device state.
 *
 * QEMU keeps a small qcow2 image of ours open, in memory, whose internal
 * snapshot is rewritten in place and loaded by snapshot-load; vm-vmstate.c
 * explains why.
 */
#include "colo/vm/vm-internal.h"
#include "colo/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static JsonObject *job_args(void)
{
    return colo_vm_strings("id", COLO_VM_JOB, NULL);
}

/* Why our job failed, as QEMU tells; NULL if it does not. */
static char *job_error(ColoVm *vm)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-jobs", NULL, NULL);
    JsonArray *a = colo_vm_node_array(node);

    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *job = colo_vm_element(a, i);

        if (job &&
            g_strcmp0(colo_json_get_string(job, "id"), COLO_VM_JOB) == 0) {
            return g_strdup(colo_json_get_string(job, "error"));
        }
    }
    return NULL;
}

/*
 * Wait until our job has concluded, and dismiss it without waiting for the
 * answer.  FALSE with QEMU's reason when the job failed.
 */
static gboolean finish_job(ColoVm *vm, const char *what, GError **error)
{
    g_autofree char *text = NULL;
    GError *e = NULL;

    while (!vm->job_concluded) {
        if (!colo_qmp_client_wait_any(vm->qmp, colo_vm_deadline(vm), &e)) {
            colo_vm_take_error(vm, e, what, error);
            return FALSE;
        }
    }
    if (vm->job_failed) {
        text = job_error(vm);
    }
    colo_qmp_client_ignore(
        vm->qmp, colo_qmp_client_send(vm->qmp, "job-dismiss", job_args()));
    if (!colo_qmp_client_flush(vm->qmp, colo_vm_deadline(vm), &e)) {
        colo_vm_take_error(vm, e, what, error);
        return FALSE;
    }
    if (vm->job_failed) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "QEMU at %s could not do %s: %s", vm->qmp_path, what,
                    text ? text : "no reason given");
        return FALSE;
    }
    return TRUE;
}

static gboolean run_job(ColoVm *vm, const char *command, JsonObject *args,
                        GError **error)
{
    json_object_set_string_member(args, "job-id", COLO_VM_JOB);
    vm->job_concluded = vm->job_failed = FALSE;
    return colo_vm_do(vm, command, args, error) &&
           finish_job(vm, command, error);
}

static JsonObject *snapshot_args(ColoVm *vm)
{
    JsonObject *args = colo_vm_strings("tag", COLO_VMSTATE_TAG, "vmstate",
                                       vm->image_node, NULL);
    JsonArray *devices = json_array_new();

    json_array_add_string_element(devices, vm->image_node);
    json_object_set_array_member(args, "devices", devices);
    return args;
}

/* A job that a predecessor started and did not see the end of. */
static gboolean sweep_job(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = NULL;
    JsonArray *a;

    vm->job_concluded = vm->job_failed = FALSE;
    node = colo_vm_call(vm, "query-jobs", NULL, error);
    if (!node) {
        return FALSE;
    }
    a = colo_vm_node_array(node);
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *job = colo_vm_element(a, i);

        if (job &&
            g_strcmp0(colo_json_get_string(job, "id"), COLO_VM_JOB) == 0) {
            g_autoptr(GError) e = NULL;

            if (g_strcmp0(colo_json_get_string(job, "status"), "concluded") ==
                0) {
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
                                   name + strlen(prefixes[k]), NULL, 10) +
                                   1);
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
    return sweep_job(vm, error) && sweep_nodes(vm, next, error) &&
           colo_vm_fdset_sweep(vm, COLO_VM_FD_VMSTATE, error);
}

static gboolean write_all(int fd, const GByteArray *data, gsize offset,
                          GError **error)
{
    ssize_t n = pwrite(fd, data->data, data->len, offset);

    if (n != (ssize_t)data->len) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot write %u bytes of device state to memory: %s",
                    data->len, n < 0 ? g_strerror(errno) : "no room");
        return FALSE;
    }
    return TRUE;
}

/* The image in memory. */
static gboolean make_image(ColoVm *vm, GError **error)
{
    g_autoptr(GByteArray) start = NULL;
    gsize size;

    if (!colo_vm_fdset_make(vm, &vm->image, COLO_VM_FD_VMSTATE, TRUE, error)) {
        return FALSE;
    }
    start = colo_vmstate_image(&vm->image_offset, &size);
    if (ftruncate(vm->image.fd, size) < 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot make a memory file of %" G_GSIZE_FORMAT
                    " bytes: %s",
                    size, g_strerror(errno));
        return FALSE;
    }
    return write_all(vm->image.fd, start, 0, error);
}

/* Have QEMU open it. */
static gboolean open_image(ColoVm *vm, guint number, GError **error)
{
    JsonObject *args;

    vm->image_node = g_strdup_printf(COLO_VM_NODE_PREFIX "%u", number);
    vm->image_file = g_strdup_printf(COLO_VM_FILE_PREFIX "%u", number);
    args = colo_vm_strings("driver", "file", "node-name", vm->image_file,
                           "filename", vm->image.path, NULL);
    if (!colo_vm_do(vm, "blockdev-add", args, error)) {
        return FALSE;
    }
    args = colo_vm_strings("driver", "qcow2", "node-name", vm->image_node,
                           "file", vm->image_file, NULL);
    return colo_vm_do(vm, "blockdev-add", args, error);
}

/*
 * Under KVM the guest reads its time from kvmclock and from the TSC, which are
 * in sections of their own somewhere in the stream: moving the virtual clock
 * alone would set devices' timers and the guest's time apart.
 */
static gint64 move_clock(ColoVm *vm, const guint8 *state, gsize len,
                         gint64 since_us, ColoVmTimer *t)
{
    if (!vm->kvm && colo_vmstate_timer(state, len, t)) {
        return colo_vm_clock_move(&vm->clock, t, since_us,
                                  g_get_monotonic_time());
    }
    if (since_us && !vm->clock_said) {
        vm->clock_said = TRUE;
        colo_log_info("the secondary's clocks stay behind the primary's: %s",
                      vm->kvm ? "with KVM they are not moved"
                              : "this machine's device state does not begin "
                                "with them");
    }
    return 0;
}

static gboolean load_state(ColoVm *vm, const guint8 *state, gsize len,
                           gint64 since_us, gint64 *moved_us, GError **error)
{
    ColoVmTimer timer;
    gboolean ok;

    *moved_us = 0;
    if (!colo_vm_dispatch(vm, error)) {
        return FALSE;
    }
    *moved_us = move_clock(vm, state, len, since_us, &timer);
    if (!colo_vmstate_build(state, len, vm->machine,
                            *moved_us ? &timer : NULL, vm->blob, error) ||
        !write_all(vm->image.fd, vm->blob, vm->image_offset, error)) {
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
    colo_vm_inner_done(vm);
    if (ok && vm->disturbed) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED,
                    "somebody else resumed the guest while a state was "
                    "loaded");
        return FALSE;
    }
    return ok;
}

/*
 * Load the state that the guest has: what does not work with this QEMU,
 * machine type or devices shows now and not at the first checkpoint.
 */
static gboolean try_load(ColoVm *vm, GError **error)
{
    const guint8 *state;
    gint64 moved;
    gsize len;

    vm->prepared = colo_vm_save_stopped(vm, &state, &len, error) &&
                   load_state(vm, state, len, 0, &moved, error);
    if (!vm->prepared) {
        g_prefix_error(error,
                       "this guest's device state cannot be saved and loaded "
                       "(QEMU %s, machine %s): ",
                       vm->version, vm->machine);
    }
    return vm->prepared;
}

gboolean colo_vm_restore_prepare(ColoVm *vm, GError **error)
{
    guint number;

    if (vm->prepared) {
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
    if (!sweep(vm, &number, error) || !make_image(vm, error) ||
        !open_image(vm, number, error) || !try_load(vm, error)) {
        colo_vm_restore_close(vm);
        return FALSE;
    }
    return TRUE;
}

gsize colo_vm_state_room(const ColoVm *vm)
{
    return vm->prepared ? colo_vmstate_max(vm->machine) : 0;
}

gboolean colo_vm_load(ColoVm *vm, const guint8 *state, gsize len,
                      GError **error)
{
    gint64 moved;

    return colo_vm_load_following(vm, state, len, 0, &moved, error);
}

gboolean colo_vm_load_following(ColoVm *vm, const guint8 *state, gsize len,
                                gint64 since_us, gint64 *moved_us,
                                GError **error)
{
    g_return_val_if_fail(vm->prepared, FALSE);
    return load_state(vm, state, len, since_us, moved_us, error);
}

void colo_vm_forget_clock(ColoVm *vm)
{
    colo_vm_clock_forget(&vm->clock);
}

void colo_vm_restore_wait(ColoVm *vm)
{
    g_usleep((gulong)colo_vm_clock_wait(&vm->clock, g_get_monotonic_time()));
}

void colo_vm_restore_ran(ColoVm *vm, gint64 sent_us)
{
    gint64 late = colo_vm_clock_ran(&vm->clock, sent_us, vm->resumed_us);

    if (late) {
        colo_log_debug("the loaded guest runs %.2f ms later than expected",
                       (double)late / 1e3);
    }
}

static void delete_node(ColoVm *vm, char **name)
{
    if (*name) {
        colo_vm_do(vm, "blockdev-del",
                   colo_vm_strings("node-name", *name, NULL), NULL);
    }
    g_clear_pointer(name, g_free);
}

/* Take our nodes out of QEMU again, as far as it listens. */
void colo_vm_restore_close(ColoVm *vm)
{
    delete_node(vm, &vm->image_node);
    delete_node(vm, &vm->image_file);
    colo_vm_fdset_drop(vm, &vm->image);
    g_clear_pointer(&vm->blob, g_byte_array_unref);
    vm->prepared = FALSE;
}
