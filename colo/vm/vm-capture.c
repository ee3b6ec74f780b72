/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capture: stop the guest, have QEMU write its device state, resume it.
 *
 * query-status, stop and xen-save-devices-state leave in one write, so that
 * QEMU saves while the caller copies pages; query-status and cont leave in
 * another.  The two query-status tell our stop and cont from others'.
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
    return colo_qmp_client_send(vm->qmp, "xen-save-devices-state", args);
}

gboolean colo_vm_capture_begin(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) stopped = NULL, saved = NULL;
    guint64 stop;

    g_return_val_if_fail(!vm->capturing, FALSE);
    if (!prepare(vm, error)) {
        return FALSE;
    }
    if (!vm->running) {
        return disturbed(vm, "the guest is stopped", error);
    }
    vm->disturbed = FALSE;
    vm->capture_start = g_get_monotonic_time();
    stop = colo_vm_send_own(vm, "stop");
    vm->save_id = send_save(vm);
    stopped = colo_vm_wait(vm, stop, "stop", error);
    if (stopped && vm->was_running) {
        vm->capturing = TRUE;
        return TRUE;
    }

    /* The save must be over before its file is used again. */
    if (stopped || g_error_matches(error ? *error : NULL, COLO_VM_ERROR,
                                   COLO_VM_ERROR_FAILED)) {
        saved = colo_vm_wait(vm, vm->save_id, "xen-save-devices-state", NULL);
    }
    vm->save_id = 0;
    if (stopped) {
        disturbed(vm, "somebody else stopped the guest just before", error);
    }
    return FALSE;
}

static gboolean read_state(ColoVm *vm, GError **error)
{
    off_t n = lseek(vm->capture.shared, 0, SEEK_CUR);
    ssize_t got;

    if (n <= 0 || n > COLO_VM_MAX_STATE) {
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

gboolean colo_vm_capture_end(ColoVm *vm, gint64 *paused_us, GError **error)
{
    g_autoptr(JsonNode) done = NULL;
    guint64 cont;

    g_return_val_if_fail(vm->capturing, FALSE);
    vm->capturing = FALSE;
    if (vm->save_id) {
        colo_qmp_client_ignore(vm->qmp, vm->save_id);
        vm->save_id = 0;
    }
    if (!colo_vm_dispatch(vm, error)) {
        return FALSE;
    }
    if (vm->disturbed && vm->foreign_stopped) {
        return disturbed(vm, "somebody else resumed and stopped the guest",
                         error);
    }
    cont = colo_vm_send_own(vm, "cont");
    done = colo_vm_wait(vm, cont, "cont", error);
    if (!done) {
        return FALSE;
    }
    *paused_us = g_get_monotonic_time() - vm->capture_start;
    if (vm->disturbed && !vm->was_running) {
        /* Their stop came just before our cont: it is what they want. */
        if (!colo_vm_stop(vm, error)) {
            return FALSE;
        }
        return disturbed(vm, "somebody else resumed and stopped the guest",
                         error);
    }
    if (vm->disturbed || vm->was_running) {
        return disturbed(vm, "somebody else resumed the guest", error);
    }
    return TRUE;
}
