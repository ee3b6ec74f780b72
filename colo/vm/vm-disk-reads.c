/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often the guest's disks were read.  QEMU counts a read when it is over,
 * before the guest is told, and a failed one separately: all that QEMU writes
 * to the guest's memory by direct I/O is among them.
 */
#include "colo/vm/vm-internal.h"

/* The answer to query-blockstats as text: whose, and how often. */
static char *disk_reads(JsonNode *node)
{
    JsonArray *disks = colo_vm_node_array(node);
    GString *text = g_string_new(NULL);

    for (guint i = 0; disks && i < json_array_get_length(disks); i++) {
        JsonObject *disk = colo_vm_element(disks, i);
        JsonNode *member = disk ? json_object_get_member(disk, "stats") : NULL;
        JsonObject *stats = colo_vm_node_object(member);

        if (!stats) {
            disks = NULL;
            break;
        }
        g_string_append_printf(
            text, "%s %s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n",
            json_object_get_string_member_with_default(disk, "device", ""),
            json_object_get_string_member_with_default(disk, "qdev", ""),
            json_object_get_int_member_with_default(stats, "rd_operations", -1),
            json_object_get_int_member_with_default(
                stats, "failed_rd_operations", -1));
    }
    return g_string_free(text, !disks);
}

guint64 colo_vm_send_disk_reads(ColoVm *vm)
{
    return colo_qmp_client_send(vm->qmp, "query-blockstats", NULL);
}

char *colo_vm_wait_disk_reads(ColoVm *vm, guint64 id)
{
    g_autoptr(JsonNode) node = colo_vm_wait(vm, id, "query-blockstats", NULL);

    return node ? disk_reads(node) : NULL;
}

char *colo_vm_disk_reads(ColoVm *vm)
{
    return colo_vm_wait_disk_reads(vm, colo_vm_send_disk_reads(vm));
}
