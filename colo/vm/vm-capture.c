/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capture: stop the guest, have QEMU write its device state, resume it.
 *
 * stop and xen-save-devices-state leave in one write, so that QEMU saves
 * while the caller copies pages.  QEMU tells of a resume before any vCPU
 * runs again; so when, after the last copy, no RESUME has come, the guest
 * has stood still all the time, and our cont may follow.
 *
 * live is FALSE, for otherwise xen-save-devices-state takes the disks from
 * the guest ("inactivates" them), as if the guest were to go on elsewhere.
 */
#include "colo/vm/vm-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static gboolean prepare(ColoVm *vm, GError **error)
{
    if (vm->capture.fd < 0) {
        if (!colo_vm_fdset_sweep(vm, COLO_VM_FD_CAPTURE, error) ||
            !colo_vm_fdset_make(vm, &vm->capture, COLO_VM_FD_CAPTURE, FALSE,
                                error)) {
            return FALSE;
        }
        vm->state = g_byte_array_new();
    }
    /* QEMU writes through the description that it shares with us. */
    if (lseek(vm->capture.shared, 0, SEEK_SET) < 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot rewind the device state: %s", g_strerror(errno));
        return FALSE;
    }
    return colo_vm_dispatch(vm, error);
}

static gboolean disturbed(ColoVm *vm, const char *what, GError **error)
{
    g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED,
                "capture thrown away: %s", what);
    return FALSE;
}

static guint64 send_save(ColoVm *vm)
{
    JsonObject *args = colo_vm_strings("filename", vm->capture.path, NULL);

    json_object_set_boolean_member(args, "live", FALSE);
    vm->own_save =
        colo_qmp_client_send(vm->qmp, "xen-save-devices-state", args);
    return vm->own_save;
}

const char *colo_vm_capture_reads(const ColoVm *vm)
{
    return vm->reads;
}

gboolean colo_vm_capture_begin(ColoVm *vm, gboolean reads, GError **error)
{
    g_autoptr(JsonNode) stopped = NULL, saved = NULL;
    guint64 stop, stats = 0;

    g_return_val_if_fail(!vm->capturing, FALSE);
    if (!prepare(vm, error)) {
        return FALSE;
    }
    if (!vm->running) {
        return disturbed(vm, "the guest is stopped", error);
    }
    g_clear_pointer(&vm->reads, g_free);
    vm->disturbed = FALSE;
    vm->capture_start = g_get_monotonic_time();
    stop = colo_vm_send_stop(vm);
    if (reads) {
        stats = colo_vm_send_disk_reads(vm);
    }
    vm->save_id = send_save(vm);
    stopped = colo_vm_wait(vm, stop, "stop", error);
    if (stats && stopped) {
        vm->reads = colo_vm_wait_disk_reads(vm, stats);
    } else if (stats) {
        colo_qmp_client_ignore(vm->qmp, stats);
    }
    if (stopped) {
        vm->capturing = TRUE;
        return TRUE;
    }
    /* The save must be over before its file is used again. */
    saved = colo_vm_wait(vm, vm->save_id, "xen-save-devices-state", NULL);
    vm->save_id = 0;
    return FALSE;
}

static gboolean read_state(ColoVm *vm, GError **error)
{
    off_t n = lseek(vm->capture.shared, 0, SEEK_CUR);
    ssize_t got;

    if (n <= 0 || n > COLO_VMSTATE_ROOM) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "QEMU wrote a device state of %" G_GINT64_FORMAT " bytes",
                    (gint64)n);
        return FALSE;
    }
    g_byte_array_set_size(vm->state, n);
    got = pread(vm->capture.fd, vm->state->data, n, 0);
    if (got != n) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot read the device state: %s",
                    got < 0 ? g_strerror(errno) : "it is cut off");
        return FALSE;
    }
    return colo_vmstate_check(vm->state->data, vm->state->len, error);
}

gboolean colo_vm_save_stopped(ColoVm *vm, const guint8 **state, gsize *len,
                              GError **error)
{
    g_autoptr(JsonNode) saved = NULL;

    if (!prepare(vm, error)) {
        return FALSE;
    }
    saved = colo_vm_wait(vm, send_save(vm), "xen-save-devices-state", error);
    if (!saved || !read_state(vm, error)) {
        return FALSE;
    }
    *state = vm->state->data;
    *len = vm->state->len;
    return TRUE;
}

gboolean colo_vm_capture_state(ColoVm *vm, const guint8 **state, gsize *len,
                               GError **error)
{
    g_autoptr(JsonNode) saved = NULL;
    guint64 id = vm->save_id;

    g_return_val_if_fail(vm->capturing && id, FALSE);
    vm->save_id = 0;
    saved = colo_vm_wait(vm, id, "xen-save-devices-state", error);
    if (!saved) {
        return FALSE;
    }
    if (vm->disturbed) {
        return disturbed(vm, "somebody else resumed the guest", error);
    }
    if (!read_state(vm, error)) {
        return FALSE;
    }
    *state = vm->state->data;
    *len = vm->state->len;
    return TRUE;
}

/* Whoever came between has the last word on whether the guest runs. */
static gboolean end_disturbed(ColoVm *vm, GError **error)
{
    if (vm->foreign_stopped) {
        return disturbed(vm, "somebody else resumed and stopped the guest",
                         error);
    }
    return disturbed(vm, "somebody else resumed the guest", error);
}

/*
 * The guest runs on until QEMU has come to our stop, so its pause begins
 * with the STOP event.  The event's time is the host's real time, which may
 * have been set meanwhile: then all of the capture has to count.
 */
static gint64 paused(const ColoVm *vm)
{
    gint64 all = g_get_monotonic_time() - vm->capture_start;
    gint64 us = g_get_real_time() - vm->stop_time;

    return us >= 0 && us <= all ? us : all;
}

gboolean colo_vm_capture_end(ColoVm *vm, gint64 *paused_us, GError **error)
{
    g_autoptr(JsonNode) done = NULL;

    g_return_val_if_fail(vm->capturing, FALSE);
    vm->capturing = FALSE;
    if (vm->save_id) {
        colo_qmp_client_ignore(vm->qmp, vm->save_id);
        vm->save_id = 0;
    }
    if (!colo_vm_dispatch(vm, error)) {
        return FALSE;
    }
    if (vm->disturbed) {
        /* Resumed by them before our stop came: stopped by us alone. */
        if (!vm->foreign_stopped && !vm->running &&
            !(done = colo_vm_wait(vm, colo_vm_send_cont(vm), "cont", error))) {
            return FALSE;
        }
        return end_disturbed(vm, error);
    }
    done = colo_vm_wait(vm, colo_vm_send_cont(vm), "cont", error);
    if (!done) {
        return FALSE;
    }
    *paused_us = paused(vm);
    return TRUE;
}
