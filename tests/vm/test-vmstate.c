/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Device state as bytes, and other texts that come from outside. */
#include "colo/vm/vm-internal.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- streams --- */

static const guint8 stream[] = {'Q', 'E', 'V', 'M', 0, 0, 0, 3, 4, 1, 2, 3, 0};

static void test_build(void)
{
    static const guint8 want[] = {
        'Q', 'E', 'V', 'M', 0, 0,   0,   3, /* header */
        7,   0,   0,   0,   2, 'p', 'c',    /* configuration */
        4,   1,   2,   3,   0,              /* devices, end */
        6,   0,   0,   0,   2, '{', '}'};   /* description */
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GError) error = NULL;

    /* Twice: the second must replace the first. */
    for (int i = 0; i < 2; i++) {
        colo_vmstate_build(stream, sizeof(stream), "pc", NULL, out, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(out->data, out->len, want, sizeof(want));
    }
}

static void test_room(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    gsize max = colo_vmstate_max("pc");
    g_autofree guint8 *big = g_malloc0(max + 1);

    memcpy(big, stream, sizeof(stream));
    colo_vmstate_build(big, max, "pc", NULL, out, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(out->len, ==, COLO_VMSTATE_ROOM);
    g_assert_false(colo_vmstate_build(big, max + 1, "pc", NULL, out, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED);
}

/* Every prefix, and bytes changed at random: refused or built, no more. */
static void test_garbage(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    for (gsize n = 0; n < sizeof(stream); n++) {
        g_autofree guint8 *copy = g_memdup2(stream, n);
        g_autoptr(GError) error = NULL;

        g_assert_false(colo_vmstate_build(copy, n, "pc", NULL, out, &error));
        g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED);
    }
    for (int round = 0; round < 20000; round++) {
        gsize n = g_random_int_range(0, 64);
        g_autofree guint8 *copy = g_malloc0(n + 1);
        gboolean good;

        for (gsize i = 0; i < n; i++) {
            copy[i] = i < sizeof(stream) && g_random_int_range(0, 8)
                          ? stream[i]
                          : g_random_int();
        }
        good = n >= 10 && memcmp(copy, stream, 9) == 0 && copy[n - 1] == 0;
        g_assert_cmpint(colo_vmstate_build(copy, n, "pc", NULL, out, NULL), ==,
                        good);
    }
}

/* --- the image, as qemu-img sees it --- */

static char *run(const char *const *argv)
{
    g_autoptr(GError) error = NULL;
    char *out = NULL;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                 &out, NULL, &status, &error);
    g_assert_no_error(error);
    g_spawn_check_wait_status(status, &error);
    g_assert_no_error(error);
    return out;
}

static void test_image(void)
{
    g_autofree char *tool = g_find_program_in_path("qemu-img");
    g_autofree char *dir = NULL, *path = NULL, *list = NULL, *check = NULL;
    g_autoptr(GByteArray) image = NULL;
    gsize offset, size;

    if (!tool) {
        g_test_skip("qemu-img was not found (Debian: qemu-utils)");
        return;
    }
    dir = g_dir_make_tmp("colo-vmstate-XXXXXX", NULL);
    path = g_build_filename(dir, "image", NULL);
    image = colo_vmstate_image(&offset, &size);
    g_assert_cmpuint(size, ==, offset + COLO_VMSTATE_ROOM);
    g_assert_cmpuint(image->len, ==, offset);
    g_byte_array_set_size(image, size);
    memset(image->data + offset, 'x', size - offset);
    g_assert_true(g_file_set_contents(path, (char *)image->data, size, NULL));

    /* Fails on any error, leaked clusters too. */
    check = run((const char *[]){tool, "check", "-f", "qcow2", path, NULL});
    g_assert_nonnull(strstr(check, "No errors were found"));
    list = run((const char *[]){tool, "snapshot", "-l", path, NULL});
    g_assert_nonnull(strstr(list, COLO_VMSTATE_TAG));
    g_assert_nonnull(strstr(list, "4 MiB"));
    g_unlink(path);
    g_rmdir(dir);
}

/* --- /proc/PID/maps --- */

#define MAPS                                                                   \
    "10000-20000 rw-s 00000000 00:01 7 /memfd:other (deleted)\n"               \
    "7f0000000000-7f0000100000 rw-s 00000000 00:01 9 /memfd:ram (deleted)\n"   \
    "7f0000100000-7f0000200000 rw-s 00100000 00:01 9 /memfd:ram (deleted)\n"   \
    "7f0000200000-7f0000300000 rw-s 00300000 00:01 9 /memfd:ram (deleted)\n"   \
    "7f0000300000-7f0000400000 rw-s 00300000 00:01 8 /memfd:ram (deleted)\n"   \
    "7f0000500000-7f0000600000 rw-p 00000000 00:01 9 /memfd:ram (deleted)\n"   \
    "7f0000600000-7f0000700000 r--s 00000000 00:01 9 /memfd:ram (deleted)\n"   \
    "7f0000700000-7f0000800000 rw-s 00000000 00:01 9"

static void test_maps(void)
{
    const guint64 base = 0x7f0000000000;
    const gsize mib = 1 << 20;
    ColoVmMapping m;

    /* Two pieces that belong together, the third has the wrong offset. */
    g_assert_true(colo_vm_parse_maps(MAPS, base, 2 * mib, &m));
    g_assert_cmpuint(m.end - m.start, ==, 2 * mib);
    g_assert_cmpuint(m.first_end, ==, base + mib);
    g_assert_cmpuint(m.inode, ==, 9);
    g_assert_false(colo_vm_parse_maps(MAPS, base, 2 * mib + 1, &m));
    /* Not the start, private, read-only, nothing there. */
    g_assert_false(colo_vm_parse_maps(MAPS, base + 4096, mib, &m));
    g_assert_false(colo_vm_parse_maps(MAPS, base + 5 * mib, mib, &m));
    g_assert_false(colo_vm_parse_maps(MAPS, base + 6 * mib, mib, &m));
    g_assert_false(colo_vm_parse_maps("", base, mib, &m));
    g_assert_false(colo_vm_parse_maps("7f-\nrubbish\n\n", base, mib, &m));
    /* The last line has no end. */
    g_assert_true(colo_vm_parse_maps(MAPS, base + 7 * mib, mib, &m));
}

/* The right one of the descriptors, where map_files is not permitted. */
static void test_open_by_fd(void)
{
    g_autofree char *maps = NULL;
    int fd = memfd_create("ram", MFD_CLOEXEC), other;
    ColoVmMapping m;
    struct stat st;
    gsize bytes = 1 << 20;
    void *p;

    g_assert_cmpint(ftruncate(fd, (off_t)bytes), ==, 0);
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(p != MAP_FAILED);
    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    g_assert_true(colo_vm_parse_maps(maps, (guintptr)p, bytes, &m));

    other = colo_vm_open_by_fd(getpid(), &m);
    g_assert_cmpint(other, >=, 0);
    g_assert_cmpint(fstat(other, &st), ==, 0);
    g_assert_cmpuint(st.st_ino, ==, m.inode);
    close(other);
    /* Another file system's file with this number is none of its. */
    m.minor++;
    g_assert_cmpint(colo_vm_open_by_fd(getpid(), &m), ==, -1);
    m.minor--;
    munmap(p, bytes);
    close(fd);
    g_assert_cmpint(colo_vm_open_by_fd(getpid(), &m), ==, -1);
}

/* --- RAM blocks --- */

#define HEAD_7_2  "    Block Name    PSize   Offset    Used    Total\n"
#define HEAD_8                                                                 \
    "    Block Name    PSize   Offset    Used    Total   HVA  RO\n"
#define ROW(name) "    " name "    4 KiB  0x0000 0x0100 0x0100\n"
#define ROW_8(name, ro)                                                        \
    "    " name "    4 KiB  0x0000 0x0100 0x0100 0x7f00 " ro "\n"
#define MTREE                                                                  \
    "  0000000000000000-0000000003ffffff (prio 0, ram): ram KVM\n"             \
    "  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram\n"            \
    "  00000000fe000000-00000000fe00ffff (prio 1, rom): e1000.rom\n"           \
    "  00000000fff00000-00000000fff0ffff (prio 1, rom): pc.bios\n"

static void test_blocks(void)
{
    static const struct {
        const char *blocks, *mtree, *refused;
    } cases[] = {
        {HEAD_7_2 ROW("ram") ROW("/rom@etc/acpi/tables") ROW("pc.bios")
             ROW("pc.rom") ROW("0000:00:02.0/e1000.rom"),
         MTREE, NULL},
        {HEAD_7_2 ROW("/objects/ram"), MTREE, NULL},
        {HEAD_8 ROW_8("ram", "rw") ROW_8("pc.bios", "ro")
             ROW_8("odd.thing", "ro"),
         MTREE, NULL},
        {HEAD_7_2 ROW("ram") ROW("0000:00:02.0/vga.vram"), MTREE, "-vga none"},
        {HEAD_7_2 ROW("ram") ROW("0000:00:02.0/vga.vram"), "", "-vga none"},
        {HEAD_8 ROW_8("ram", "rw") ROW_8("odd.thing", "rw"), MTREE,
         "odd.thing"},
        {HEAD_7_2 ROW("ram") ROW("system.flash0"), MTREE, "pflash"},
        /* A ROM that this machine lets the guest write. */
        {HEAD_7_2 ROW("ram") ROW("pc.rom"),
         "  00c0000-00dffff (prio 0, ram): pc.rom\n", "pc.rom"},
        {HEAD_7_2 ROW("ram") ROW("with a space"), MTREE, "with a space"},
        {HEAD_7_2 "nothing known\n", MTREE, "form not known"},
        {"", MTREE, "does not list"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gboolean ok = colo_vm_check_blocks("/objects/ram", cases[i].blocks,
                                           cases[i].mtree, &error);

        if (!cases[i].refused) {
            g_assert_no_error(error);
            g_assert_true(ok);
        } else {
            g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE);
            g_test_message("%s", error->message);
            g_assert_nonnull(strstr(error->message, cases[i].refused));
        }
    }
}

/* --- descriptions --- */

#define OURS                                                                   \
    "{\"accel\":\"tcg\",\"cpus\":2,\"devices\":{\"net0\":\"e1000\"},"          \
    "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864}"

static void test_same(void)
{
    static const struct {
        const char *theirs, *named;
    } cases[] = {
        {OURS, NULL},
        /* The order of members does not matter. */
        {"{\"ram\":67108864,\"cpus\":2,\"devices\":{\"net0\":\"e1000\"},"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"accel\":\"tcg\"}",
         NULL},
        {"{\"accel\":\"tcg\",\"cpus\":4,\"devices\":{\"net0\":\"e1000\"},"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864}",
         "(-smp): 2 here, 4 on the other"},
        {"{\"accel\":\"tcg\",\"cpus\":2,\"devices\":{\"net0\":\"e1000\"},"
         "\"machine\":\"q35\",\"qemu\":\"7.2.22\",\"ram\":67108864}",
         "(-machine): pc here, q35 on the other"},
        {"{\"accel\":\"tcg\",\"cpus\":2,\"devices\":{\"net0\":\"virtio\"},"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864}",
         "device net0: e1000 here, virtio on the other"},
        {"{\"accel\":\"tcg\",\"cpus\":2,\"devices\":{\"net0\":\"e1000\","
         "\"net1\":\"e1000\"},"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864}",
         "device net1: nothing here, e1000 on the other"},
        {"{\"accel\":\"tcg\",\"cpus\":2,\"devices\":[],"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864}",
         "device: "},
        {"{\"accel\":\"tcg\",\"cpus\":2,\"devices\":{\"net0\":\"e1000\"},"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864,"
         "\"more\":1}",
         "another form"},
        {"{\"accel\":\"tcg\",\"cpus\":2,\"devices\":{\"net0\":\"\\n\\u001b\"},"
         "\"machine\":\"pc\",\"qemu\":\"7.2.22\",\"ram\":67108864}",
         "\\n\\033 on the other"},
        {"{}", "QEMU's version: 7.2.22 here, nothing on the other"},
        {"", "no usable description"},
        {"[]", "no usable description"},
        {"{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}", "no usable description"},
        {"{\"qemu\":\"\xff\"}", "no usable description"},
    };
    g_autofree char *huge = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) e = NULL;
        gboolean ok = colo_vm_check_same_text(OURS, cases[i].theirs, &e);

        if (!cases[i].named) {
            g_assert_no_error(e);
            g_assert_true(ok);
        } else {
            g_assert_error(e, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH);
            g_test_message("%s", e->message);
            g_assert_nonnull(strstr(e->message, cases[i].named));
        }
    }
    huge = g_strnfill(100000, '[');
    g_assert_false(colo_vm_check_same_text(OURS, huge, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH);
}

/* Descriptions with bytes changed at random: the same, or refused. */
static void test_same_garbage(void)
{
    for (int round = 0; round < 20000; round++) {
        g_autofree char *theirs = g_strdup(OURS);
        gsize n = strlen(theirs);
        g_autoptr(GError) error = NULL;

        for (int i = g_random_int_range(1, 4); i; i--) {
            theirs[g_random_int_range(0, n)] = g_random_int();
        }
        if (!colo_vm_check_same_text(OURS, theirs, &error)) {
            g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH);
            g_assert_true(g_utf8_validate(error->message, -1, NULL));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmstate/build", test_build);
    g_test_add_func("/vmstate/room", test_room);
    g_test_add_func("/vmstate/garbage", test_garbage);
    g_test_add_func("/vmstate/image", test_image);
    g_test_add_func("/vm/maps", test_maps);
    g_test_add_func("/vm/open-by-fd", test_open_by_fd);
    g_test_add_func("/vm/blocks", test_blocks);
    g_test_add_func("/vm/same", test_same);
    g_test_add_func("/vm/same-garbage", test_same_garbage);
    return g_test_run();
}
