/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory shared with QEMU as files: memfds handed over with add-fd, which
 * QEMU then opens as /dev/fdset/ID.  No path, so nothing is left on disk,
 * and no folder that QEMU's user or its security policy must be let into.
 */
#include "colo/vm/vm-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Out of the way of management software, which counts up from 0, and still
 * short.
 */
#define FIRST_ID 700

static gboolean is_ours(JsonObject *set, const char *name)
{
    JsonArray *fds = colo_json_get_array(set, "fds");

    for (guint i = 0; fds && i < json_array_get_length(fds); i++) {
        JsonObject *fd = colo_vm_element(fds, i);

        if (fd && g_strcmp0(colo_json_get_string(fd, "opaque"), name) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

static JsonObject *set_args(gint64 id)
{
    JsonObject *args = json_object_new();

    json_object_set_int_member(args, "fdset-id", id);
    return args;
}

/*
 * Go through QEMU's sets: remove the ones named name, unless NULL.
 * Returns the first id from FIRST_ID on that is above all, or -1.
 */
static gint64 walk_sets(ColoVm *vm, const char *name, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-fdsets", NULL, error);
    JsonArray *sets = colo_vm_node_array(node);
    gint64 next = FIRST_ID;

    if (!node) {
        return -1;
    }
    for (guint i = 0; sets && i < json_array_get_length(sets); i++) {
        JsonObject *set = colo_vm_element(sets, i);
        gint64 id;

        if (!set || !colo_json_get_int(set, "fdset-id", &id)) {
            continue;
        }
        if (id >= next && id < G_MAXINT64) {
            next = id + 1;
        }
        if (name && is_ours(set, name) &&
            !colo_vm_do(vm, "remove-fd", set_args(id), error)) {
            return -1;
        }
    }
    return next;
}

gboolean colo_vm_fdset_sweep(ColoVm *vm, const char *name, GError **error)
{
    return walk_sets(vm, name, error) >= 0;
}

/* Give QEMU a new description of set's memory. */
static int add(ColoVm *vm, ColoVmFdset *set, const char *name, int flags,
               GError **error)
{
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", set->fd);
    int fd = open(self, flags | O_CLOEXEC);
    g_autoptr(JsonNode) node = NULL;
    JsonObject *args;
    GError *e = NULL;
    guint64 id;

    if (fd < 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot open %s again: %s", self, g_strerror(errno));
        return -1;
    }
    args = set_args(set->id);
    json_object_set_string_member(args, "opaque", name);
    id = colo_qmp_client_send_fd(vm->qmp, "add-fd", args, fd,
                                 colo_vm_deadline(vm), &e);
    if (!id) {
        colo_vm_take_error(vm, e, "add-fd", error);
    } else {
        node = colo_vm_wait(vm, id, "add-fd", error);
    }
    if (!node) {
        close(fd);
        return -1;
    }
    return fd;
}

gboolean colo_vm_fdset_make(ColoVm *vm, ColoVmFdset *set, const char *name,
                            gboolean readable, GError **error)
{
    int fd;

    set->shared = -1;
    set->id = walk_sets(vm, NULL, error);
    if (set->id < 0) {
        set->fd = -1;
        return FALSE;
    }
    set->fd = memfd_create(name, MFD_CLOEXEC);
    if (set->fd < 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot make a memory file: %s", g_strerror(errno));
        return FALSE;
    }
    g_snprintf(set->path, sizeof(set->path), "/dev/fdset/%" G_GINT64_FORMAT,
               set->id);
    if (!readable) {
        set->shared = add(vm, set, name, O_WRONLY, error);
        if (set->shared >= 0) {
            return TRUE;
        }
    } else {
        fd = add(vm, set, name, O_RDONLY, error);
        if (fd >= 0) {
            close(fd);
            fd = add(vm, set, name, O_RDWR, error);
        }
        if (fd >= 0) {
            close(fd);
            return TRUE;
        }
    }
    colo_vm_fdset_close(set);
    return FALSE;
}

void colo_vm_fdset_drop(ColoVm *vm, ColoVmFdset *set)
{
    if (set->fd >= 0) {
        colo_vm_do(vm, "remove-fd", set_args(set->id), NULL);
    }
    colo_vm_fdset_close(set);
}

void colo_vm_fdset_close(ColoVmFdset *set)
{
    if (set->shared >= 0) {
        close(set->shared);
    }
    if (set->fd >= 0) {
        close(set->fd);
    }
    set->fd = set->shared = -1;
}
