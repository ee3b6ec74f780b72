/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capture and restore on real QEMUs. */
#include "pair.h"

#include "colo/vm/vm-internal.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT (10 * G_USEC_PER_SEC)

/* Events in the order they came, as letters. */
static void note_event(ColoVmEvent event, const char *detail,
                       gpointer user_data)
{
    g_string_append_c(user_data, "srRSP"[event]);
}

static ColoVm *open_vm(TestQemu *q, GString *events, GError **error)
{
    ColoVmOptions o = {
        .qmp_path = q->qmp,
        .qmp_timeout_us = TIMEOUT,
        .on_event = events ? note_event : NULL,
        .user_data = events,
    };

    return colo_vm_open(&o, error);
}

static gint64 compare_int64(gconstpointer a, gconstpointer b)
{
    return *(const gint64 *)a - *(const gint64 *)b;
}

static double median_ms(GArray *a)
{
    g_array_sort(a, (GCompareFunc)(void (*)(void))compare_int64);
    return g_array_index(a, gint64, a->len / 2) / 1000.0;
}

/* Wait until the guest counts on from count; it runs, so it will. */
static void wait_counts(ColoVm *vm, guint32 count)
{
    gint64 end = g_get_monotonic_time() + TIMEOUT;
    guint32 now = count;

    while (now == count) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(500);
        memcpy(&now, colo_vm_ram(vm) + TINY_COUNT, 4);
    }
}

/* The image that QEMU loads from is still whole, as qemu-img sees it. */
static void check_image(ColoVm *vm)
{
    g_autofree char *tool = g_find_program_in_path("qemu-img");
    g_autofree char *path =
        g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), vm->image.fd);
    char *argv[] = {tool, "check", "-U", "-f", "qcow2", path, NULL};
    g_autoptr(GError) error = NULL;
    int status;

    if (!tool) {
        g_test_message("qemu-img was not found (Debian: qemu-utils)");
        return;
    }
    g_spawn_sync(NULL, argv, NULL,
                 G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                 NULL, NULL, NULL, &status, &error);
    g_assert_no_error(error);
    g_spawn_check_wait_status(status, &error);
    g_assert_no_error(error);
}

typedef struct Config {
    const char *machine;
    guint ram_mib;
    guint cycles;
    const char *more;
} Config;

/*
 * N times: capture on the primary, its RAM and state into the secondary, let
 * the secondary run.  Registers and RAM must fit on both at each step, and
 * the secondary's QEMU must not grow.
 */
static void test_cycles(gconstpointer data)
{
    const Config *c = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(TestQemu) p =
        test_qemu_start(c->machine, c->ram_mib, "memory-backend-memfd,share=on",
                        FALSE, c->more);
    g_autoptr(TestQemu) s = test_qemu_start(
        c->machine, c->ram_mib, "memory-backend-memfd,share=on", TRUE, c->more);
    g_autoptr(GArray) pauses = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(GArray) loads = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(ColoVm) pvm = open_vm(p, NULL, &error), svm = NULL;
    guint64 rss = 0;
    off_t image = 0;

    g_assert_no_error(error);
    svm = open_vm(s, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(colo_vm_pid(pvm), ==, p->pid);
    g_assert_cmpuint(colo_vm_ram_bytes(pvm), ==, (gsize)c->ram_mib << 20);
    g_assert_true(colo_vm_check_same(pvm, colo_vm_description(svm), &error));
    g_assert_no_error(error);
    colo_vm_restore_prepare(svm, &error);
    g_assert_no_error(error);

    for (guint i = 0; i < c->cycles; i++) {
        const guint8 *state;
        gint64 paused, t;
        guint32 count;
        struct stat st;
        gsize len;

        colo_vm_capture_begin(pvm, FALSE, &error);
        g_assert_no_error(error);
        colo_vm_capture_state(pvm, &state, &len, &error);
        g_assert_no_error(error);
        count = test_tiny_check(colo_vm_ram(pvm));
        colo_vm_stop(svm, &error);
        g_assert_no_error(error);
        memcpy(colo_vm_ram(svm), colo_vm_ram(pvm), colo_vm_ram_bytes(pvm));
        colo_vm_capture_end(pvm, &paused, &error);
        g_assert_no_error(error);

        t = g_get_monotonic_time();
        colo_vm_load(svm, state, len, &error);
        g_assert_no_error(error);
        t = g_get_monotonic_time() - t;
        g_array_append_val(loads, t);
        g_assert_false(colo_vm_running(svm));
        g_assert_cmpuint(test_tiny_check(colo_vm_ram(svm)), ==, count);
        colo_vm_cont(svm, &error);
        g_assert_no_error(error);
        wait_counts(svm, count);
        wait_counts(pvm, count);

        /* The pause alone, without the copy of all RAM. */
        colo_vm_capture_begin(pvm, FALSE, &error);
        g_assert_no_error(error);
        colo_vm_capture_state(pvm, &state, &len, &error);
        g_assert_no_error(error);
        colo_vm_capture_end(pvm, &paused, &error);
        g_assert_no_error(error);
        g_array_append_val(pauses, paused);

        g_assert_cmpint(fstat(svm->image.fd, &st), ==, 0);
        if (i == c->cycles / 4) {
            rss = test_qemu_status(s, "RssAnon:");
            image = st.st_size;
        } else if (i > c->cycles / 4) {
            g_assert_cmpint(st.st_size, ==, image);
        }
    }
    g_assert_cmpuint(test_qemu_status(s, "RssAnon:"), <, rss + 2048);
    check_image(svm);
    g_test_message("%s, %u MiB: pause p50 %.2f ms, load p50 %.2f ms, "
                   "state %u bytes, room %" G_GSIZE_FORMAT,
                   c->machine, c->ram_mib, median_ms(pauses), median_ms(loads),
                   pvm->state->len, colo_vm_state_room(svm));
}

typedef struct ClockConfig {
    const char *machine, *more;
    gboolean movable;
} ClockConfig;

static void capture(ColoVm *vm, GByteArray *state)
{
    g_autoptr(GError) error = NULL;
    const guint8 *data;
    gint64 paused;
    gsize len;

    colo_vm_capture_begin(vm, FALSE, &error);
    g_assert_no_error(error);
    colo_vm_capture_state(vm, &data, &len, &error);
    g_assert_no_error(error);
    g_byte_array_set_size(state, 0);
    g_byte_array_append(state, data, (guint)len);
    colo_vm_capture_end(vm, &paused, &error);
    g_assert_no_error(error);
}

/*
 * QEMU takes the clocks as they were moved, and begins with them where we
 * think that it does.
 */
static void test_clock(gconstpointer data)
{
    const ClockConfig *c = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(TestQemu) p = test_qemu_start(
        c->machine, 64, "memory-backend-memfd,share=on", FALSE, c->more);
    g_autoptr(TestQemu) s = test_qemu_start(
        c->machine, 64, "memory-backend-memfd,share=on", TRUE, c->more);
    g_autoptr(ColoVm) pvm = open_vm(p, NULL, &error), svm = NULL;
    g_autoptr(GByteArray) first = g_byte_array_new();
    g_autoptr(GByteArray) second = g_byte_array_new();
    ColoVmTimer before, then, loaded;
    gint64 moved, begin, resumed;
    const guint8 *state;
    double rate;
    gsize len;

    g_assert_no_error(error);
    svm = open_vm(s, NULL, &error);
    g_assert_no_error(error);
    colo_vm_restore_prepare(svm, &error);
    g_assert_no_error(error);
    colo_vm_forget_clock(svm);
    capture(pvm, first);
    g_usleep(50000);
    begin = g_get_monotonic_time();
    capture(pvm, second);
    resumed = colo_vm_resumed_us(pvm);
    g_assert_cmpint(resumed, >=, begin);
    g_assert_cmpint(resumed, <=, g_get_monotonic_time());
    g_assert_cmpint(colo_vmstate_timer(first->data, first->len, &before), ==,
                    c->movable);

    colo_vm_load_following(svm, first->data, first->len, resumed, &moved,
                           &error);
    g_assert_no_error(error);
    g_assert_cmpint(moved, ==, 0);
    colo_vm_load_following(svm, second->data, second->len, resumed, &moved,
                           &error);
    g_assert_no_error(error);
    if (!c->movable) {
        g_assert_cmpint(moved, ==, 0);
        return;
    }
    g_assert_cmpint(moved, >, 0);
    g_assert_true(colo_vmstate_timer(second->data, second->len, &then));
    colo_vm_save_stopped(svm, &state, &len, &error);
    g_assert_no_error(error);
    g_assert_true(colo_vmstate_timer(state, len, &loaded));
    g_assert_cmpint(loaded.clock - then.clock, ==, moved * 1000);
    rate = (double)(then.ticks - before.ticks) /
           (double)(then.clock - before.clock);
    g_test_message("moved by %.2f ms, %.4f ticks in a ns",
                   (double)moved / 1e3, rate);
    g_assert_cmpfloat_with_epsilon((double)(loaded.ticks - then.ticks),
                                   (double)moved * 1e3 * rate, 2);
    colo_vm_cont(svm, &error);
    g_assert_no_error(error);
}

/* QEMU's main thread is put first and back, by a successor if need be. */
static void test_hurry(void)
{
    g_autoptr(TestQemu) q = test_qemu_start(
        "pc", 64, "memory-backend-memfd,share=on", FALSE, NULL);
    struct sched_param idle = {0};
    g_autoptr(ColoVm) vm = open_vm(q, NULL, NULL);

    colo_vm_hurry(vm, TRUE);
    if (sched_getscheduler(q->pid) == SCHED_OTHER) {
        g_test_skip("no right to raise a priority (CAP_SYS_NICE)");
        return;
    }
    g_assert_cmpint(sched_getscheduler(q->pid), ==,
                    SCHED_FIFO | SCHED_RESET_ON_FORK);
    colo_vm_hurry(vm, FALSE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_OTHER);

    colo_vm_hurry(vm, TRUE);
    colo_vm_free(vm);
    vm = open_vm(q, NULL, NULL);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_OTHER);

    /* What an operator has set stays. */
    g_assert_cmpint(sched_setscheduler(q->pid, SCHED_BATCH, &idle), ==, 0);
    colo_vm_hurry(vm, TRUE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_BATCH);
    colo_vm_hurry(vm, FALSE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_BATCH);
}

/* It waits for its turn while asked to, between two pauses, and no longer. */
static void test_patient(void)
{
    g_autoptr(TestQemu) q = test_qemu_start(
        "pc", 64, "memory-backend-memfd,share=on", FALSE, NULL);
    const int patient = SCHED_BATCH | SCHED_RESET_ON_FORK;
    struct sched_param idle = {0};
    g_autoptr(ColoVm) vm = open_vm(q, NULL, NULL);

    colo_vm_patient(vm, TRUE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, patient);
    colo_vm_hurry(vm, TRUE);
    colo_vm_hurry(vm, FALSE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, patient);
    colo_vm_patient(vm, FALSE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_OTHER);

    colo_vm_patient(vm, TRUE);
    g_clear_pointer(&vm, colo_vm_free);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_OTHER);

    /* A predecessor that was killed has left it so. */
    g_assert_cmpint(sched_setscheduler(q->pid, patient, &idle), ==, 0);
    vm = open_vm(q, NULL, NULL);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_OTHER);

    /* What an operator has set stays. */
    g_assert_cmpint(sched_setscheduler(q->pid, SCHED_IDLE, &idle), ==, 0);
    colo_vm_patient(vm, TRUE);
    g_assert_cmpint(sched_getscheduler(q->pid), ==, SCHED_IDLE);
}

int main(int argc, char **argv)
{
    static const Config configs[] = {
        {"pc", 64, 200,
         "-smp 1 -device virtio-net-pci,netdev=n0,romfile= "
         "-netdev user,id=n0,restrict=on"},
        {"pc", 512, 10, "-smp 2"},
        {"q35", 128, 50, "-smp 1"},
        {"q35", 64, 50,
         "-smp 2 -device virtio-rng-pci -device pcie-root-port,id=rp,slot=1 "
         "-device virtio-balloon-pci,bus=rp"},
    };

    static const ClockConfig clocks[] = {
        {"pc", "-smp 1", TRUE},
        {"pc", "-smp 2", TRUE},
        {"q35", "-smp 1", TRUE},
        {"q35", "-smp 2 -device virtio-rng-pci", TRUE},
        {"q35", "-device pcie-root-port,id=rp,slot=1", FALSE},
    };

    g_test_init(&argc, &argv, NULL);
    if (!test_qemu_binary()) {
        g_print("1..0 # SKIP qemu-system-x86_64 was not found\n");
        return 0;
    }
    for (guint i = 0; i < G_N_ELEMENTS(configs); i++) {
        g_autofree char *name =
            g_strdup_printf("/vm/cycles/%u-%s", i, configs[i].machine);

        g_test_add_data_func(name, &configs[i], test_cycles);
    }
    for (guint i = 0; i < G_N_ELEMENTS(clocks); i++) {
        g_autofree char *name =
            g_strdup_printf("/vm/clock/%u-%s", i, clocks[i].machine);

        g_test_add_data_func(name, &clocks[i], test_clock);
    }
    g_test_add_func("/vm/hurry", test_hurry);
    g_test_add_func("/vm/patient", test_patient);
    return g_test_run();
}
