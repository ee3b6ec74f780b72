/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's RAM: which memory backend it is, where QEMU has it mapped,
 * and the same memory mapped here.
 *
 * Guest RAM above 4 GiB and the hole below are QEMU's aliases into the one
 * backend; here the backend is one range, whatever the guest sees.
 */
#include "colo/vm/vm-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HOW_TO_SHARE                                                           \
    "-object memory-backend-memfd,id=mem,size=SIZE,share=on "                  \
    "-machine memory-backend=mem"

/* Where QEMU has the guest's address 0, which is the backend's start. */
static gboolean find_addr(ColoVm *vm, GError **error)
{
    g_autofree char *text = colo_vm_hmp(vm, "gpa2hva 0", error);
    const char *p;

    if (!text) {
        return FALSE;
    }
    p = strstr(text, " is 0x");
    if (!p || sscanf(p, " is 0x%" SCNx64, &vm->ram.addr) != 1 ||
        vm->ram.addr % 4096) {
        return colo_vm_refuse(
            error, "QEMU does not say where it has the guest's RAM (\"%s\")",
            text);
    }
    return TRUE;
}

/* The bytes given by -m, and of all that is plugged in beside them. */
static gboolean read_size(ColoVm *vm, gint64 *base, gint64 *plugged,
                          GError **error)
{
    g_autoptr(JsonNode) node =
        colo_vm_call(vm, "query-memory-size-summary", NULL, error);
    JsonObject *o = colo_vm_node_object(node);

    if (!node) {
        return FALSE;
    }
    if (o) {
        colo_json_get_int(o, "base-memory", base);
        colo_json_get_int(o, "plugged-memory", plugged);
    }
    return TRUE;
}

/* The machine's RAM size, and that nothing is plugged in beside it. */
static gboolean check_size(ColoVm *vm, GError **error)
{
    gint64 base = 0, plugged = 0;

    if (!read_size(vm, &base, &plugged, error)) {
        return FALSE;
    }
    if (plugged) {
        return colo_vm_refuse(
            error,
            "the guest has %" G_GINT64_FORMAT " MiB of memory in "
            "devices: remove the pc-dimm, nvdimm, virtio-mem and "
            "virtio-pmem devices and give all its RAM by -m",
            plugged >> 20);
    }
    if (base <= 0 || (guint64)base != vm->ram.bytes || base % 4096) {
        return colo_vm_refuse(error,
                              "the memory backend %s has %" G_GSIZE_FORMAT
                              " bytes, but the guest's RAM %" G_GINT64_FORMAT
                              ": give -m and the backend the same size",
                              vm->ram.backend, vm->ram.bytes, base);
    }
    return TRUE;
}

gboolean colo_vm_check_quick(ColoVm *vm, GError **error)
{
    gint64 base = 0, plugged = 0;

    if (!read_size(vm, &base, &plugged, error)) {
        return FALSE;
    }
    if (plugged) {
        return colo_vm_refuse(
            error,
            "memory was plugged into the running guest (%" G_GINT64_FORMAT
            " bytes): it is not replicated; remove it, or start the guest "
            "with all its RAM by -m",
            plugged);
    }
    return TRUE;
}

/* query-memdev's answer (transfer full) if that is a single backend. */
static JsonNode *query_backend(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-memdev", NULL, error);
    JsonArray *a = colo_vm_node_array(node);
    guint n = a ? json_array_get_length(a) : 0;

    if (node && n != 1) {
        colo_vm_refuse(
            error,
            "QEMU has %u memory backends, but one must hold all of "
            "the guest's RAM: use " HOW_TO_SHARE
            " and no other memory-backend (-numa memdev=, pc-dimm, "
            "ivshmem)",
            n);
        return NULL;
    }
    return g_steal_pointer(&node);
}

gboolean colo_vm_ram_check(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = NULL;

    /* What was plugged in says more than that its backend is there. */
    if (!colo_vm_check_quick(vm, error)) {
        return FALSE;
    }
    node = query_backend(vm, error);
    return node != NULL;
}

gboolean colo_vm_ram_find(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = query_backend(vm, error);
    g_autoptr(JsonNode) size = NULL;
    g_autoptr(GError) e = NULL;
    JsonObject *o;
    const char *id;
    gboolean share = FALSE;

    if (!node) {
        return FALSE;
    }
    o = colo_vm_element(colo_vm_node_array(node), 0);
    id = o ? colo_json_get_string(o, "id") : NULL;
    if (o) {
        colo_json_get_bool(o, "share", &share);
    }
    if (!share) {
        return colo_vm_refuse(
            error,
            "the guest's RAM (memory backend %s) is not shared: "
            "use " HOW_TO_SHARE,
            id ? id : "without id");
    }
    vm->ram.backend = colo_vm_qom_string(vm, "/machine", "memory-backend", &e);
    if (!vm->ram.backend || !*vm->ram.backend) {
        if (e && !g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_FAILED)) {
            g_propagate_error(error, g_steal_pointer(&e));
            return FALSE;
        }
        return colo_vm_refuse(error,
                              "the machine's RAM is not the memory backend %s: "
                              "use " HOW_TO_SHARE,
                              id ? id : "without id");
    }
    size = colo_vm_qom_get(vm, vm->ram.backend, "size", error);
    if (!size) {
        return FALSE;
    }
    if (JSON_NODE_HOLDS_VALUE(size) &&
        json_node_get_value_type(size) == G_TYPE_INT64) {
        vm->ram.bytes = json_node_get_int(size);
    }
    return check_size(vm, error) && find_addr(vm, error);
}

gboolean colo_vm_parse_maps(const char *text, guint64 addr, gsize bytes,
                            ColoVmMapping *m)
{
    gboolean found = FALSE;

    while (text && *text) {
        const char *line = text, *end = strchr(text, '\n');
        ColoVmMapping v = {0};
        char perm[5];

        text = end ? end + 1 : NULL;
        if (sscanf(line,
                   "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64,
                   &v.start, &v.end, perm, &v.offset, &v.major, &v.minor,
                   &v.inode) != 7 ||
            strncmp(perm, "rw", 2) != 0 || perm[3] != 's') {
            continue;
        }
        if (!found && v.start == addr) {
            *m = v;
            m->first_end = v.end;
            found = TRUE;
        } else if (found && v.start == m->end && v.inode == m->inode &&
                   v.major == m->major && v.minor == m->minor &&
                   v.offset == m->offset + (m->end - m->start)) {
            m->end = v.end;
        }
    }
    return found && m->end - m->start >= bytes;
}

static gboolean find_mapping(const ColoVm *vm, pid_t pid, ColoVmMapping *m)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)pid);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) &&
           colo_vm_parse_maps(text, vm->ram.addr, vm->ram.bytes, m);
}

int colo_vm_open_by_fd(pid_t pid, const ColoVmMapping *m)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    dev_t dev = makedev(m->major, m->minor);
    DIR *dir = opendir(path);
    struct dirent *d;
    int fd = -1;

    while (dir && fd < 0 && (d = readdir(dir))) {
        g_autofree char *name = g_strdup_printf("%s/%s", path, d->d_name);
        struct stat st;

        if (stat(name, &st) == 0 && S_ISREG(st.st_mode) &&
            st.st_ino == m->inode && st.st_dev == dev) {
            struct stat now;

            fd = open(name, O_RDWR | O_CLOEXEC);
            if (fd >= 0 && (fstat(fd, &now) < 0 || now.st_ino != m->inode ||
                            now.st_dev != dev)) {
                close(fd);
                fd = -1;
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    return fd;
}

static int open_mapping(pid_t pid, const ColoVmMapping *m, GError **error)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
                        m->start, m->first_end);
    int fd = open(path, O_RDWR | O_CLOEXEC), err = errno;

    if (fd < 0) {
        fd = colo_vm_open_by_fd(pid, m);
    }
    if (fd < 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot open the guest's RAM %s: %s; colod must run as "
                    "root, or with CAP_CHECKPOINT_RESTORE and CAP_SYS_PTRACE",
                    path, g_strerror(err));
    }
    return fd;
}

static gboolean map_file(ColoVm *vm, int fd, const ColoVmMapping *m,
                         GError **error)
{
    struct stat st;
    struct statfs fs;
    gsize align = 4096;
    void *map;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot look at the guest's RAM file: %s",
                    g_strerror(errno));
        return FALSE;
    }
    if ((guint64)st.st_size < m->offset ||
        (guint64)st.st_size - m->offset < vm->ram.bytes) {
        return colo_vm_refuse(
            error,
            "the guest's RAM file has %" G_GINT64_FORMAT
            " bytes, fewer than the guest's RAM of %" G_GSIZE_FORMAT,
            (gint64)st.st_size, vm->ram.bytes);
    }
    /* hugetlbfs maps whole pages of its own size. */
    if (fs.f_bsize > 4096 && (fs.f_bsize & (fs.f_bsize - 1)) == 0) {
        align = fs.f_bsize;
    }
    vm->ram.map_bytes = (vm->ram.bytes + align - 1) / align * align;
    map = mmap(NULL, vm->ram.map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
               m->offset);
    if (map == MAP_FAILED) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "cannot map the guest's RAM (%" G_GSIZE_FORMAT " MiB): %s",
                    vm->ram.bytes >> 20, g_strerror(errno));
        return FALSE;
    }
    /* The guest's memory has no place in a core dump of ours. */
    madvise(map, vm->ram.map_bytes, MADV_DONTDUMP);
    vm->ram.map = map;
    return TRUE;
}

/* The process that the first vCPU thread belongs to; 0 if unknown. */
static pid_t vcpu_process(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-cpus-fast", NULL, error);
    JsonArray *a = colo_vm_node_array(node);
    JsonObject *o =
        a && json_array_get_length(a) ? colo_vm_element(a, 0) : NULL;
    g_autofree char *path = NULL, *text = NULL;
    gint64 tid;
    const char *p;

    if (!o || !colo_json_get_int(o, "thread-id", &tid) || tid <= 0) {
        return 0;
    }
    path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/status", tid);
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return 0;
    }
    p = strstr(text, "\nTgid:");
    return p ? atoi(p + strlen("\nTgid:")) : 0;
}

/* Field 22 of /proc/PID/stat; the name before it may hold anything. */
static guint64 read_start_time(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    char *p;

    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        !(p = strrchr(text, ')'))) {
        return 0;
    }
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    return p ? g_ascii_strtoull(p + 1, NULL, 10) : 0;
}

gboolean colo_vm_ram_map(ColoVm *vm, pid_t pid, GError **error)
{
    GError *e = NULL;
    pid_t candidates[3] = {pid, 0, 0};
    ColoVmMapping m;
    int fd;

    if (!pid) {
        /*
         * The vCPU's thread is QEMU's even where somebody else (libvirt)
         * made the monitor's socket; the peer of the socket is right where
         * QEMU counts its pids in a namespace of its own.
         */
        candidates[0] = vcpu_process(vm, &e);
        if (e) {
            g_propagate_error(error, e);
            return FALSE;
        }
        candidates[1] = colo_qmp_client_peer_pid(vm->qmp);
    }
    for (guint i = 0; i < G_N_ELEMENTS(candidates); i++) {
        if (candidates[i] > 0 && find_mapping(vm, candidates[i], &m)) {
            vm->pid = candidates[i];
            break;
        }
    }
    if (!vm->pid) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "process %d does not have the guest's RAM mapped, or "
                    "colod may not look: run colod as root%s",
                    (int)candidates[0],
                    pid ? " and give --qemu-pid the pid of QEMU itself"
                        : " and give QEMU's pid with --qemu-pid");
        return FALSE;
    }
    vm->start_time = read_start_time(vm->pid);
    colo_vm_sched_sweep(vm->pid);
    fd = open_mapping(vm->pid, &m, error);
    if (fd < 0) {
        return FALSE;
    }
    vm->ram.fd = fd;
    vm->ram.offset = m.offset;
    return map_file(vm, fd, &m, error);
}

gboolean colo_vm_ram_hole(const ColoVm *vm, gsize from, gsize *start,
                          gsize *end)
{
    off_t base = (off_t)vm->ram.offset, last = base + (off_t)vm->ram.bytes;
    off_t hole = lseek(vm->ram.fd, base + (off_t)from, SEEK_HOLE), data;

    if (from >= vm->ram.bytes || hole < 0 || hole >= last) {
        return FALSE;
    }
    data = lseek(vm->ram.fd, hole, SEEK_DATA);
    if (data < 0) {
        if (errno != ENXIO) {
            return FALSE;
        }
        data = last; /* nothing but hole up to the end */
    }
    *start = (gsize)(hole - base);
    *end = (gsize)(MIN(data, last) - base);
    return TRUE;
}

gsize colo_vm_ram_zeros(const ColoVm *vm, gsize from)
{
    off_t base = (off_t)vm->ram.offset, last = base + (off_t)vm->ram.bytes;
    off_t here = base + (off_t)from, data;

    if (from >= vm->ram.bytes) {
        return 0;
    }
    data = lseek(vm->ram.fd, here, SEEK_DATA);
    if (data < 0) {
        return errno == ENXIO ? (gsize)(last - here) : 0;
    }
    return (gsize)(MIN(data, last) - here);
}

void colo_vm_ram_unmap(ColoVm *vm)
{
    if (vm->ram.map) {
        munmap(vm->ram.map, vm->ram.map_bytes);
    }
    if (vm->ram.fd >= 0) {
        close(vm->ram.fd);
    }
    g_clear_pointer(&vm->ram.backend, g_free);
}
