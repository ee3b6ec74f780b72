/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real QEMUs for tests. */
#include "pair.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* clang-format off */
/*
 * The guest, in 16-bit mode at f000:0000:
 *
 *          cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x8000,%sp
 *          xor %ecx,%ecx; xor %ebx,%ebx
 *          mov %ecx,0x1000; mov %ebx,0x1004; mov %ecx,0x1008
 *  loop:   cmp %ecx,0x1000; jne torn; cmp %ebx,0x1004; jne torn
 *          imul $1664525,%ebx,%ebx; add $1013904223,%ebx; inc %ecx
 *          mov %ecx,%eax; and $0x7ffff,%eax      (a trail over 512 KiB)
 *          mov %eax,%edi; shr $4,%edi; and $0x7000,%di; add $0x1000,%di
 *          mov %di,%es; and $0xfffc,%ax; mov %ax,%di; mov %ecx,%es:(%di)
 *          mov %ecx,0x1000; mov %ebx,0x1004; jmp loop
 *  torn:   movl $1,0x1008; hlt; jmp torn
 */
static const guint8 tiny[] = {
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x80,
    0x66, 0x31, 0xc9, 0x66, 0x31, 0xdb,
    0x66, 0x89, 0x0e, 0x00, 0x10, 0x66, 0x89, 0x1e, 0x04, 0x10,
    0x66, 0x89, 0x0e, 0x08, 0x10,
    0x66, 0x39, 0x0e, 0x00, 0x10, 0x75, 0x46,
    0x66, 0x39, 0x1e, 0x04, 0x10, 0x75, 0x3f,
    0x66, 0x69, 0xdb, 0x0d, 0x66, 0x19, 0x00,
    0x66, 0x81, 0xc3, 0x5f, 0xf3, 0x6e, 0x3c, 0x66, 0x41,
    0x66, 0x89, 0xc8, 0x66, 0x25, 0xff, 0xff, 0x07, 0x00,
    0x66, 0x89, 0xc7, 0x66, 0xc1, 0xef, 0x04, 0x81, 0xe7, 0x00, 0x70,
    0x81, 0xc7, 0x00, 0x10,
    0x8e, 0xc7, 0x83, 0xe0, 0xfc, 0x89, 0xc7, 0x26, 0x66, 0x89, 0x0d,
    0x66, 0x89, 0x0e, 0x00, 0x10, 0x66, 0x89, 0x1e, 0x04, 0x10, 0xeb, 0xb3,
    0x66, 0xc7, 0x06, 0x08, 0x10, 0x01, 0x00, 0x00, 0x00, 0xf4, 0xeb, 0xf4,
};
static const guint8 reset_vector[] = {0xea, 0x00, 0x00, 0x00, 0xf0};
/* clang-format on */

enum { ROM_BYTES = 65536, RESET_OFFSET = 0xfff0 };

const char *test_qemu_binary(void)
{
    static char *found;
    const char *env = g_getenv("QEMU");

    if (!found) {
        found = g_find_program_in_path(env ? env : "qemu-system-x86_64");
    }
    return found;
}

static void write_rom(const char *path)
{
    g_autofree guint8 *rom = g_malloc0(ROM_BYTES);

    memcpy(rom, tiny, sizeof(tiny));
    memcpy(rom + RESET_OFFSET, reset_vector, sizeof(reset_vector));
    g_assert_true(g_file_set_contents(path, (char *)rom, ROM_BYTES, NULL));
}

/*
 * Sockets that listen before QEMU starts, so that nobody waits for it; as
 * libvirt does it, too.
 */
static int listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpuint(strlen(path), <, sizeof(a.sun_path));
    strcpy(a.sun_path, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    g_assert_cmpint(listen(fd, 8), ==, 0);
    return fd;
}

void test_child_set_up(gpointer parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != GPOINTER_TO_INT(parent) ||
        dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        _exit(1);
    }
}

static void add(GPtrArray *argv, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void add(GPtrArray *argv, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) words = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    words = g_strsplit(text, " ", -1);
    for (char **w = words; *w; w++) {
        if (**w) {
            g_ptr_array_add(argv, g_strdup(*w));
        }
    }
}

TestQemu *test_qemu_start(const char *machine, guint ram_mib,
                          const char *backend, gboolean stopped,
                          const char *more)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *rom = NULL;
    g_autoptr(GError) error = NULL;
    TestQemu *q = g_new0(TestQemu, 1);
    int fds[2];

    q->dir = g_dir_make_tmp("colo-vm-XXXXXX", &error);
    g_assert_no_error(error);
    q->qmp = g_build_filename(q->dir, "qmp", NULL);
    q->foreign = g_build_filename(q->dir, "foreign", NULL);
    rom = g_build_filename(q->dir, "rom", NULL);
    write_rom(rom);
    fds[0] = listen_at(q->qmp);
    fds[1] = listen_at(q->foreign);

    g_ptr_array_add(argv, g_strdup(test_qemu_binary()));
    add(argv, "-nodefaults -no-user-config -display none -accel tcg -m %u",
        ram_mib);
    if (backend) {
        add(argv, "-machine %s,memory-backend=ram -object %s,id=ram,size=%uM",
            machine, backend, ram_mib);
    } else {
        add(argv, "-machine %s", machine);
    }
    add(argv, "-bios %s", rom);
    for (int i = 0; i < 2; i++) {
        add(argv,
            "-chardev socket,id=m%d,fd=%d,server=on,wait=off "
            "-mon chardev=m%d,mode=control",
            i, fds[i], i);
    }
    add(argv, "%s %s", stopped ? "-S" : "", more ? more : "");
    g_ptr_array_add(argv, NULL);
    g_spawn_async(NULL, (char **)argv->pdata, NULL,
                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                  test_child_set_up, GINT_TO_POINTER(getpid()), &q->pid,
                  &error);
    g_assert_no_error(error);
    close(fds[0]);
    close(fds[1]);
    return q;
}

void test_qemu_kill(TestQemu *q)
{
    if (q->pid) {
        kill(q->pid, SIGKILL);
        while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        q->pid = 0;
    }
}

void test_qemu_free(TestQemu *q)
{
    static const char *const files[] = {"qmp", "foreign", "rom"};

    if (!q) {
        return;
    }
    test_qemu_kill(q);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(q->dir, files[i], NULL);

        g_unlink(path);
    }
    g_rmdir(q->dir);
    g_free(q->dir);
    g_free(q->qmp);
    g_free(q->foreign);
    g_free(q);
}

void test_qemu_foreign(TestQemu *q, const char *command)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoQmpClient) c = colo_qmp_client_connect(
        q->foreign, 10 * G_USEC_PER_SEC, NULL, NULL, &error);
    g_autoptr(JsonNode) node = NULL;

    g_assert_no_error(error);
    node = colo_qmp_client_call(c, command, NULL, 10 * G_USEC_PER_SEC, &error);
    g_assert_no_error(error);
}

guint64 test_qemu_status(TestQemu *q, const char *key)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)q->pid);
    g_autofree char *text = NULL;
    const char *p;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    p = strstr(text, key);
    g_assert_nonnull(p);
    return g_ascii_strtoull(p + strlen(key), NULL, 10);
}

guint32 test_tiny_check(const guint8 *ram)
{
    guint32 count, chain, torn, want = 0, mul = 1664525, inc = 1013904223;

    memcpy(&count, ram + TINY_COUNT, 4);
    memcpy(&chain, ram + TINY_CHAIN, 4);
    memcpy(&torn, ram + TINY_TORN, 4);
    g_assert_cmpuint(torn, ==, 0);
    /* count steps of x -> x * mul + inc, in powers of two. */
    for (guint32 n = count; n; n >>= 1) {
        if (n & 1) {
            want = want * mul + inc;
        }
        inc = mul * inc + inc;
        mul *= mul;
    }
    g_assert_cmpuint(chain, ==, want);
    return count;
}
