/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Can this guest be protected?  Everything that the guest can change must
 * be in the shared RAM or in the device state; refuse what is in neither.
 *
 * xen-save-devices-state leaves out every RAM block.  Besides the RAM itself
 * those are ROMs, which are the same on both sides and which the guest
 * cannot write, and memory of devices (video RAM, flash, ...), which it
 * can.  What a block is, is told by its name, and by the memory map where it
 * is mapped; a block that is not known to be read-only is refused.
 */
#include "colo/vm/vm-internal.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_FDS 100000

/* What to change on the command line for blocks that are often there. */
static const struct {
    const char *part; /* of the block's name */
    const char *advice;
} advices[] = {
    {"vga.vram", "use -vga none (and -nodefaults), or a serial console"},
    {"qxl", "use -vga none instead of qxl"},
    {"vmware", "use -vga none instead of the vmware adapter"},
    {"bochs", "use -vga none instead of bochs-display"},
    {"ramfb", "remove the ramfb device"},
    {"flash", "boot with -bios or SeaBIOS instead of pflash drives"},
    {"ivshmem", "remove the ivshmem device"},
    {"tpm", "remove the TPM device"},
    {"nvdimm", "remove the nvdimm device"},
    {"pmem", "remove the persistent memory device"},
    {"pc.bios", "use machine pc or q35 with the default firmware"},
    {"pc.rom", "use machine pc or q35"},
    {"cmb", "remove the NVMe controller memory buffer"},
};

/* The type that "info mtree -f" has for a region, or NULL if not mapped. */
static char *mapped_type(const char *mtree, const char *region)
{
    g_autofree char *needle = g_strdup_printf("): %s", region);
    gsize n = strlen(needle);
    char *type = NULL;

    for (const char *p = mtree; (p = strstr(p, needle)); p += n) {
        const char *q = p;
        char *found;

        if (p[n] != '\n' && p[n] != '\r' && p[n] != ' ' && p[n] != '\0') {
            continue;
        }
        while (q > mtree && q[-1] != ' ' && q[-1] != '\n') {
            q--;
        }
        found = g_strndup(q, p - q);
        /* A region may be mapped twice; writable once is writable. */
        if (!type || !g_str_equal(found, "rom")) {
            g_free(type);
            type = found;
        } else {
            g_free(found);
        }
    }
    return type;
}

static gboolean known_rom(const char *name)
{
    return g_str_equal(name, "pc.bios") || g_str_equal(name, "pc.rom") ||
           g_str_has_prefix(name, "/rom@") || g_str_has_suffix(name, ".rom");
}

/*
 * One block.  ram: the backend's QOM path; rest: the columns of "info
 * ramblock" after the name.
 */
static gboolean check_block(const char *ram, const char *name, const char *rest,
                            const char *mtree, GError **error)
{
    const char *base = strrchr(name, '/');
    const char *backend = strrchr(ram, '/');
    g_autofree char *type = NULL;
    gboolean is_ram =
        g_str_equal(name, ram) || (backend && g_str_equal(name, backend + 1));

    if (is_ram) {
        return TRUE;
    }
    base = base && !g_str_has_prefix(name, "/rom@") ? base + 1 : name;
    type = mapped_type(mtree, base);
    if (g_str_has_suffix(rest, " ro") || g_strcmp0(type, "rom") == 0 ||
        (known_rom(name) && !type)) {
        return TRUE;
    }
    for (guint i = 0; i < G_N_ELEMENTS(advices); i++) {
        if (strstr(name, advices[i].part)) {
            return colo_vm_refuse(
                error,
                "the guest can write memory that is not in its "
                "shared RAM (%s): %s",
                name, advices[i].advice);
        }
    }
    return colo_vm_refuse(
        error,
        "the guest can write memory that is not in its shared RAM "
        "(%s): remove the device that it belongs to",
        name);
}

/*
 * One line of "info ramblock": the name, right-aligned, then the page size
 * ("4 KiB") and numbers.  Names have no spaces of their own followed by a
 * size, so the first "NUMBER UNIT 0x" ends the name.
 */
static gboolean check_line(const char *ram, char *line, const char *mtree,
                           GError **error)
{
    char *end, *p;
    unsigned size;
    char unit[8];

    g_strchomp(line);
    line = g_strchug(line);
    if (!*line || g_str_has_prefix(line, "Block Name")) {
        return TRUE;
    }
    for (p = line; (end = strchr(p, ' ')); p = end + 1) {
        if (sscanf(end, " %u %7s 0x", &size, unit) == 2 &&
            g_str_has_suffix(unit, "iB")) {
            const char *rest = end + 1;

            *end = '\0';
            return check_block(ram, line, rest, mtree, error);
        }
    }
    return colo_vm_refuse(
        error, "QEMU lists a RAM block in a form not known: \"%s\"", line);
}

gboolean colo_vm_check_blocks(const char *ram, const char *blocks,
                              const char *mtree, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(blocks, "\n", -1);

    if (!lines[0] || !strstr(lines[0], "Block Name")) {
        return colo_vm_refuse(error,
                              "QEMU does not list the guest's RAM blocks");
    }
    for (char **l = lines; *l; l++) {
        if (!check_line(ram, *l, mtree, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean check_memory(ColoVm *vm, GError **error)
{
    g_autofree char *blocks = colo_vm_hmp(vm, "info ramblock", error);
    g_autofree char *mtree = NULL;

    if (!blocks || !(mtree = colo_vm_hmp(vm, "info mtree -f", error))) {
        return FALSE;
    }
    return colo_vm_check_blocks(vm->ram.backend, blocks, mtree, error);
}

static gboolean check_blockers(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-migrate", NULL, error);
    JsonObject *o = colo_vm_node_object(node);
    JsonArray *reasons;

    if (!node) {
        return FALSE;
    }
    reasons = o ? colo_json_get_array(o, "blocked-reasons") : NULL;
    if (reasons && json_array_get_length(reasons)) {
        JsonNode *first = json_array_get_element(reasons, 0);
        gboolean text = JSON_NODE_HOLDS_VALUE(first) &&
                        json_node_get_value_type(first) == G_TYPE_STRING;

        return colo_vm_refuse(
            error,
            "a device of the guest keeps state that QEMU cannot "
            "save, remove it: %s",
            text ? json_node_get_string(first) : "no reason given");
    }
    return TRUE;
}

/*
 * vhost moves a device's work out of QEMU.  The user and vdpa kinds write
 * guest RAM from other processes or hardware, which no tracker sees.  The
 * kernel's kind writes through QEMU's own mappings, which trackers see, and
 * hands its rings back at each stop; it is refused as well, because nobody
 * has tested captures of it.
 */
static gboolean check_vhost(ColoVm *vm, GError **error)
{
    g_autofree char *net = colo_vm_hmp(vm, "info network", error);

    if (!net) {
        return FALSE;
    }
    if (strstr(net, "type=vhost-user") || strstr(net, "type=vhost-vdpa")) {
        return colo_vm_refuse(error,
                              "a network device is served outside QEMU (%s): "
                              "use -netdev tap,vhost=off",
                              strstr(net, "type=vhost-user") ? "vhost-user"
                                                             : "vhost-vdpa");
    }
    return TRUE;
}

gboolean colo_vm_check_no_vhost_fd(pid_t pid, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    struct dirent *d;
    gboolean ok = TRUE;

    for (int i = 0; ok && dir && i < MAX_FDS && (d = readdir(dir)); i++) {
        g_autofree char *name = g_strdup_printf("%s/%s", path, d->d_name);
        char target[64];
        ssize_t n = readlink(name, target, sizeof(target) - 1);

        if (n > 0) {
            target[n] = '\0';
            if (g_str_has_prefix(target, "/dev/vhost-") ||
                g_str_has_prefix(target, "/dev/vfio/")) {
                ok = colo_vm_refuse(
                    error,
                    "QEMU has %s open: use vhost=off on -netdev (with "
                    "libvirt: <driver name='qemu'/>) and no vhost or "
                    "vfio devices",
                    target);
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    return ok;
}

gboolean colo_vm_check_protectable(ColoVm *vm, GError **error)
{
    return check_blockers(vm, error) && check_vhost(vm, error) &&
           check_memory(vm, error);
}
