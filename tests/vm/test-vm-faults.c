/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is refused, who comes between, and how QEMU goes away: real QEMUs. */
#include "pair.h"

#include "colo/vm/vm-internal.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT (10 * G_USEC_PER_SEC)
#define SHARED  "memory-backend-memfd,share=on"

/* Events in the order they came, as letters. */
static void note_event(ColoVmEvent event, const char *detail,
                       gpointer user_data)
{
    g_string_append_c(user_data, "srRSP"[event]);
}

static ColoVm *try_open(TestQemu *q, GString *events, gint64 timeout, pid_t pid,
                        GError **error)
{
    ColoVmOptions o = {
        .qmp_path = q->qmp,
        .qmp_timeout_us = timeout,
        .qemu_pid = pid,
        .on_event = events ? note_event : NULL,
        .user_data = events,
    };

    return colo_vm_open(&o, error);
}

static ColoVm *open_vm(TestQemu *q, GString *events)
{
    g_autoptr(GError) error = NULL;
    ColoVm *vm = try_open(q, events, TIMEOUT, 0, &error);

    g_assert_no_error(error);
    return vm;
}

/* The error must have this code, and its message this part. */
static void expect(GError **error, ColoVmErrorCode code, const char *part)
{
    g_assert_error(*error, COLO_VM_ERROR, (int)code);
    g_test_message("%s", (*error)->message);
    g_assert_nonnull(strstr((*error)->message, part));
    g_clear_error(error);
}

/* Wait until the events that were noted are these. */
static void expect_events(ColoVm *vm, GString *events, const char *want)
{
    gint64 end = g_get_monotonic_time() + TIMEOUT;
    g_autoptr(GError) error = NULL;

    while (events->len < strlen(want)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (!colo_qmp_client_wait_any(vm->qmp, end, NULL)) {
            break;
        }
    }
    colo_vm_dispatch(vm, NULL);
    g_assert_cmpstr(events->str, ==, want);
    g_string_truncate(events, 0);
}

static void test_refused(void)
{
    static const struct {
        const char *backend, *more, *named;
    } cases[] = {
        {NULL, NULL, "share=on"},
        {"memory-backend-ram", NULL, "share=on"},
        {NULL,
         "-object memory-backend-memfd,id=a,size=32M,share=on "
         "-object memory-backend-memfd,id=b,size=32M,share=on "
         "-numa node,memdev=a -numa node,memdev=b",
         "2 memory backends"},
        {NULL,
         "-object memory-backend-memfd,id=a,size=64M,share=on "
         "-numa node,memdev=a",
         "-machine memory-backend=mem"},
        {SHARED, "-vga std", "-vga none"},
        {SHARED, "-device bochs-display", "-vga none"},
        {SHARED, "-device nvme,serial=1,id=n", "remove it"},
        {SHARED, "-incoming defer", "-S"},
        {SHARED,
         "-object memory-backend-memfd,id=sh,size=1M,share=on "
         "-device ivshmem-plain,memdev=sh",
         "2 memory backends"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(TestQemu) q =
            test_qemu_start("pc", 64, cases[i].backend, FALSE, cases[i].more);
        g_autoptr(GError) error = NULL;

        g_assert_null(try_open(q, NULL, TIMEOUT, 0, &error));
        expect(&error, COLO_VM_ERROR_UNPROTECTABLE, cases[i].named);
    }
}

static void foreign_hmp(TestQemu *q, const char *line)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoQmpClient) c =
        colo_qmp_client_connect(q->foreign, TIMEOUT, NULL, NULL, &error);
    g_autoptr(JsonNode) node = NULL;

    g_assert_no_error(error);
    node = colo_qmp_client_call(c, "human-monitor-command",
                                colo_vm_strings("command-line", line, NULL),
                                TIMEOUT, &error);
    g_assert_no_error(error);
    /* It prints what is wrong, and else nothing. */
    g_assert_cmpstr(json_node_get_string(node), ==, "");
}

/* What somebody else plugs into a guest that is protected already. */
static void test_plugged(void)
{
    g_autoptr(TestQemu) q =
        test_qemu_start("pc", 128, SHARED, FALSE, "-m slots=2,maxmem=256M");
    g_autoptr(ColoVm) vm = open_vm(q, NULL);
    g_autofree char *before = g_strdup(colo_vm_description(vm));
    g_autoptr(GError) error = NULL;

    g_assert_true(colo_vm_check_quick(vm, &error));
    g_assert_true(colo_vm_check_again(vm, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(colo_vm_description(vm), ==, before);

    foreign_hmp(q, "device_add virtio-rng-pci,id=r");
    g_assert_true(colo_vm_check_again(vm, &error));
    g_assert_no_error(error);
    g_assert_false(colo_vm_check_same(vm, before, &error));
    expect(&error, COLO_VM_ERROR_MISMATCH, "device r");

    /* A backend alone is in no guest yet, but would be refused, too. */
    foreign_hmp(q, "object_add memory-backend-ram,id=more,size=64M");
    g_assert_true(colo_vm_check_quick(vm, &error));
    g_assert_no_error(error);
    g_assert_false(colo_vm_check_again(vm, &error));
    expect(&error, COLO_VM_ERROR_UNPROTECTABLE, "2 memory backends");

    foreign_hmp(q, "device_add pc-dimm,id=dimm,memdev=more");
    g_assert_false(colo_vm_check_quick(vm, &error));
    expect(&error, COLO_VM_ERROR_UNPROTECTABLE, "67108864 bytes");
    g_assert_false(colo_vm_check_again(vm, &error));
    expect(&error, COLO_VM_ERROR_UNPROTECTABLE, "67108864 bytes");
    g_assert_cmpstr(colo_vm_description(vm), !=, before);
}

/* Other kinds of backend, and what the guest sees above 4 GiB. */
static void test_backends(void)
{
    g_autofree char *file = g_strdup_printf("/dev/shm/colo-test-%d", getpid());
    g_autofree char *by_file =
        g_strdup_printf("memory-backend-file,share=on,mem-path=%s", file);
    g_autoptr(GError) error = NULL;
    const struct {
        const char *machine, *backend;
        guint mib;
    } cases[] = {
        {"pc", by_file, 64},
        {"pc", "memory-backend-ram,share=on", 64},
        {"pc", SHARED, 5120},
        {"q35", SHARED, 5120},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(TestQemu) q = test_qemu_start(cases[i].machine, cases[i].mib,
                                                cases[i].backend, TRUE, NULL);
        g_autoptr(ColoVm) vm = open_vm(q, NULL);
        /* RAM below the hole: 3 GiB on pc, 2 GiB on q35. */
        gboolean q35 = g_str_equal(cases[i].machine, "q35");
        gsize low = cases[i].mib < 4096 ? 0 : q35 ? 2u << 30 : 3u << 30;
        const char *look = low ? "xp/1xw 0x100001000" : "xp/1xw 0x1000";
        guint32 mark = 0xc0104711 + i;
        g_autofree char *text = NULL;

        unlink(file);
        g_assert_cmpuint(colo_vm_ram_bytes(vm), ==, (gsize)cases[i].mib << 20);
        memcpy(colo_vm_ram(vm) + low + 0x1000, &mark, 4);
        text = colo_vm_hmp(vm, look, &error);
        g_assert_no_error(error);
        g_assert_cmphex(g_ascii_strtoull(strstr(text, ": ") + 2, NULL, 16), ==,
                        mark);
        colo_vm_restore_prepare(vm, &error);
        g_assert_no_error(error);
    }
}

static void test_pid(void)
{
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, TRUE, NULL);
    g_autoptr(ColoVm) vm = NULL;
    g_autoptr(GError) error = NULL;

    /* The socket is this process' own: found by the vCPU all the same. */
    vm = open_vm(q, NULL);
    g_assert_cmpint(colo_vm_pid(vm), ==, q->pid);
    g_assert_cmpuint(colo_vm_start_time(vm), >, 0);
    g_clear_pointer(&vm, colo_vm_free);
    vm = try_open(q, NULL, TIMEOUT, q->pid, &error);
    g_assert_no_error(error);
    g_clear_pointer(&vm, colo_vm_free);
    g_assert_null(try_open(q, NULL, TIMEOUT, getpid(), &error));
    expect(&error, COLO_VM_ERROR_FAILED, "--qemu-pid");
}

static void test_mismatch(void)
{
    static const struct {
        const char *machine, *more, *named;
        guint mib;
    } cases[] = {
        {"q35", NULL, "machine type", 64},
        {"pc", NULL, "RAM size", 128},
        {"pc", "-smp 2", "number of CPUs", 64},
        {"pc", "-smp 1,maxcpus=2", "CPU topology", 64},
        {"pc", "-cpu qemu64,-sse4.1,+aes", "CPU features", 64},
        {"pc", "-device virtio-rng-pci,id=r", "device r", 64},
        {"pc,hpet=off", NULL, "onboard devices hpet", 64},
    };
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, FALSE, NULL);
    g_autoptr(ColoVm) vm = open_vm(q, NULL);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(TestQemu) o = test_qemu_start(cases[i].machine, cases[i].mib,
                                                SHARED, TRUE, cases[i].more);
        g_autoptr(ColoVm) other = open_vm(o, NULL);
        g_autoptr(GError) error = NULL;

        g_assert_false(
            colo_vm_check_same(vm, colo_vm_description(other), &error));
        expect(&error, COLO_VM_ERROR_MISMATCH, cases[i].named);
    }
}

static gboolean capture(ColoVm *vm, GError **error)
{
    const guint8 *state;
    gint64 paused;
    gsize len;

    return colo_vm_capture_begin(vm, FALSE, error) &&
           colo_vm_capture_state(vm, &state, &len, error) &&
           colo_vm_capture_end(vm, &paused, error);
}

static void test_foreign_capture(void)
{
    g_autoptr(GString) events = g_string_new(NULL);
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, FALSE, NULL);
    g_autoptr(ColoVm) vm = open_vm(q, events);
    g_autoptr(GError) error = NULL;
    const guint8 *state;
    gint64 paused;
    gsize len;

    /* Our own stops and resumes are nobody's news. */
    capture(vm, &error);
    g_assert_no_error(error);
    colo_vm_stop(vm, &error);
    colo_vm_stop(vm, &error);
    g_assert_false(colo_vm_running(vm));
    colo_vm_cont(vm, &error);
    colo_vm_cont(vm, &error);
    g_assert_no_error(error);
    g_assert_true(colo_vm_running(vm));
    expect_events(vm, events, "");

    /* Stopped before: not captured, not resumed. */
    test_qemu_foreign(q, "stop");
    g_assert_false(capture(vm, &error));
    expect(&error, COLO_VM_ERROR_DISTURBED, "stopped");
    expect_events(vm, events, "s");
    g_assert_false(colo_vm_running(vm));
    test_qemu_foreign(q, "cont");
    expect_events(vm, events, "r");
    capture(vm, &error);
    g_assert_no_error(error);

    /* Resumed in between, noticed at once or at the end; runs after. */
    for (int round = 0; round < 20; round++) {
        gboolean late = round % 2;

        colo_vm_capture_begin(vm, FALSE, &error);
        g_assert_no_error(error);
        if (late) {
            colo_vm_capture_state(vm, &state, &len, &error);
            g_assert_no_error(error);
        }
        test_qemu_foreign(q, "cont");
        if (!late) {
            g_assert_true(colo_vm_dispatch(vm, &error));
            g_assert_false(colo_vm_capture_state(vm, &state, &len, &error));
            expect(&error, COLO_VM_ERROR_DISTURBED, "resumed");
        }
        g_assert_false(colo_vm_capture_end(vm, &paused, &error));
        expect(&error, COLO_VM_ERROR_DISTURBED, "resumed");
        expect_events(vm, events, "r");
        g_assert_true(colo_vm_running(vm));
    }

    /* Resumed and stopped: stays stopped. */
    colo_vm_capture_begin(vm, FALSE, &error);
    g_assert_no_error(error);
    test_qemu_foreign(q, "cont");
    test_qemu_foreign(q, "stop");
    g_assert_false(colo_vm_capture_end(vm, &paused, &error));
    expect(&error, COLO_VM_ERROR_DISTURBED, "stopped");
    expect_events(vm, events, "rs");
    g_assert_true(colo_vm_check_alive(vm, &error));
    g_assert_false(colo_vm_running(vm));
}

static gpointer foreign_cont(gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = NULL;

    g_usleep(g_random_int_range(0, 4000));
    node = colo_qmp_client_call(data, "cont", NULL, TIMEOUT, &error);
    g_assert_no_error(error);
    return NULL;
}

/*
 * Somebody resumes the guest at any moment of a load: either it is noticed,
 * or it came after, and then the event comes.
 */
static void test_foreign_load(void)
{
    g_autoptr(GString) events = g_string_new(NULL);
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, TRUE, NULL);
    g_autoptr(ColoVm) vm = open_vm(q, events);
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoQmpClient) c = NULL;
    g_autofree guint8 *copy = NULL;
    const guint8 *state;
    guint during = 0;
    gsize len;

    colo_vm_restore_prepare(vm, &error);
    g_assert_no_error(error);
    colo_vm_save_stopped(vm, &state, &len, &error);
    g_assert_no_error(error);
    copy = g_memdup2(state, len);
    c = colo_qmp_client_connect(q->foreign, TIMEOUT, NULL, NULL, &error);
    g_assert_no_error(error);
    for (int round = 0; round < 40; round++) {
        GThread *t = g_thread_new("foreign", foreign_cont, c);

        if (!colo_vm_load(vm, copy, len, &error)) {
            g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED);
            g_clear_error(&error);
            during++;
        }
        g_thread_join(t);
        expect_events(vm, events, "r");
        g_assert_true(colo_vm_running(vm));
        colo_vm_stop(vm, &error);
        g_assert_no_error(error);
        colo_vm_load(vm, copy, len, &error);
        g_assert_no_error(error);
    }
    g_test_message("%u of 40 came before or during the load", during);
    g_assert_cmpuint(during, >, 0);
}

static void test_bad_state(void)
{
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, TRUE, NULL);
    g_autoptr(ColoVm) vm = open_vm(q, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *copy = NULL;
    const guint8 *state;
    gsize len;

    g_assert_cmpuint(colo_vm_state_room(vm), ==, 0);
    colo_vm_restore_prepare(vm, &error);
    g_assert_no_error(error);
    colo_vm_save_stopped(vm, &state, &len, &error);
    g_assert_no_error(error);
    copy = g_malloc0(MAX(len, colo_vm_state_room(vm) + 1));
    memcpy(copy, state, len);

    g_assert_false(colo_vm_load(vm, copy, len - 1, &error));
    expect(&error, COLO_VM_ERROR_FAILED, "no end");
    g_assert_false(colo_vm_load(vm, copy, colo_vm_state_room(vm) + 1, &error));
    expect(&error, COLO_VM_ERROR_FAILED, "larger");
    /* QEMU itself finds this one out, and goes on. */
    memset(copy + 100, 0x55, 100);
    g_assert_false(colo_vm_load(vm, copy, len, &error));
    expect(&error, COLO_VM_ERROR_FAILED, "snapshot-load");
    colo_vm_save_stopped(vm, &state, &len, &error);
    g_assert_no_error(error);
    colo_vm_load(vm, state, len, &error);
    g_assert_no_error(error);
}

static void test_gone(void)
{
    static const struct {
        const char *command; /* NULL: SIGKILL */
        const char *events, *said, *reason;
    } cases[] = {
        {NULL, "", "without a shutdown", NULL},
        {"quit", "S", "after a shutdown (host-qmp-quit)", "host-qmp-quit"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) events = g_string_new(NULL);
        g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, FALSE, NULL);
        g_autoptr(ColoVm) vm = open_vm(q, events);
        g_autoptr(GError) error = NULL;

        if (cases[i].command) {
            test_qemu_foreign(q, cases[i].command);
            waitpid(q->pid, NULL, 0);
            q->pid = 0;
        } else {
            colo_vm_capture_begin(vm, FALSE, &error);
            g_assert_no_error(error);
            test_qemu_kill(q);
        }
        g_assert_false(colo_vm_check_alive(vm, &error));
        expect(&error, COLO_VM_ERROR_GONE, cases[i].said);
        g_assert_cmpstr(events->str, ==, cases[i].events);
        g_assert_cmpstr(colo_vm_shutdown_reason(vm), ==, cases[i].reason);
        /* And again, from another call. */
        g_assert_false(colo_vm_dispatch(vm, &error));
        expect(&error, COLO_VM_ERROR_GONE, cases[i].said);
    }
}

static void test_hung(void)
{
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, FALSE, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoVm) vm = open_vm(q, NULL);
    gint64 t;

    g_clear_pointer(&vm, colo_vm_free);
    vm = try_open(q, NULL, G_USEC_PER_SEC, 0, &error);
    g_assert_no_error(error);
    kill(q->pid, SIGSTOP);
    t = g_get_monotonic_time();
    g_assert_false(capture(vm, &error));
    expect(&error, COLO_VM_ERROR_HUNG, "--qmp-timeout");
    g_assert_false(colo_vm_check_alive(vm, &error));
    g_assert_cmpint(g_get_monotonic_time() - t, <, 5 * G_USEC_PER_SEC);
    g_clear_error(&error);
    g_clear_pointer(&vm, colo_vm_free);

    /* Not let in, either. */
    g_assert_null(try_open(q, NULL, G_USEC_PER_SEC / 2, 0, &error));
    expect(&error, COLO_VM_ERROR_HUNG, "cannot reach");

    /* Back again: it carries out the stop that it had been sent. */
    kill(q->pid, SIGCONT);
    vm = open_vm(q, NULL);
    colo_vm_cont(vm, &error);
    g_assert_no_error(error);
    capture(vm, &error);
    g_assert_no_error(error);
}

static void test_guest_events(void)
{
    g_autoptr(GString) events = g_string_new(NULL);
    g_autoptr(TestQemu) q =
        test_qemu_start("pc", 64, SHARED, FALSE, "-no-shutdown");
    g_autoptr(ColoVm) vm = open_vm(q, events);

    test_qemu_foreign(q, "system_reset");
    expect_events(vm, events, "R");
}

/* Nodes and descriptors of ours that QEMU has. */
static guint count_ours(ColoVm *vm, const char *command, const char *list,
                        const char *key, const char *prefix)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, command, NULL, NULL);
    JsonArray *a = colo_vm_node_array(node);
    guint n = 0;

    for (guint i = 0; i < json_array_get_length(a); i++) {
        JsonObject *o = colo_vm_element(a, i);

        if (list) {
            JsonArray *inner = colo_json_get_array(o, list);

            o = json_array_get_length(inner) ? colo_vm_element(inner, 0) : NULL;
        }
        n += o && g_str_has_prefix(colo_json_get_string(o, key), prefix);
    }
    return n;
}

/* A process that is killed in the middle of what fn does. */
static void killed_in(TestQemu *q, void (*fn)(ColoVm *vm))
{
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        fn(open_vm(q, NULL));
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void begin_load(ColoVm *vm)
{
    JsonObject *args =
        colo_vm_strings("job-id", COLO_VM_JOB, "tag", COLO_VMSTATE_TAG, NULL);
    JsonArray *devices = json_array_new();

    g_assert_true(colo_vm_restore_prepare(vm, NULL));
    json_object_set_string_member(args, "vmstate", vm->image_node);
    json_array_add_string_element(devices, vm->image_node);
    json_object_set_array_member(args, "devices", devices);
    g_assert_true(colo_vm_do(vm, "snapshot-load", args, NULL));
}

static void begin_capture(ColoVm *vm)
{
    g_assert_true(colo_vm_capture_begin(vm, FALSE, NULL));
}

/* What a predecessor left behind is taken away, whatever it was doing. */
static void test_predecessor(void)
{
    g_autoptr(TestQemu) q = test_qemu_start("pc", 64, SHARED, TRUE, NULL);
    g_autoptr(GError) error = NULL;
    ColoVm *vm;

    for (int round = 0; round < 3; round++) {
        killed_in(q, begin_load);
        vm = open_vm(q, NULL);
        colo_vm_restore_prepare(vm, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(count_ours(vm, "query-named-block-nodes", NULL,
                                    "node-name", "colo-"),
                         ==, 2);
        colo_vm_free(vm);
    }
    vm = open_vm(q, NULL);
    g_assert_cmpuint(
        count_ours(vm, "query-named-block-nodes", NULL, "node-name", "colo-"),
        ==, 0);
    colo_vm_cont(vm, &error);
    g_assert_no_error(error);
    colo_vm_free(vm);

    for (int round = 0; round < 3; round++) {
        killed_in(q, begin_capture);
        vm = open_vm(q, NULL);
        g_assert_false(colo_vm_running(vm));
        colo_vm_cont(vm, &error);
        g_assert_no_error(error);
        capture(vm, &error);
        g_assert_no_error(error);
        /* QEMU lets go of descriptors only while the guest runs. */
        g_assert_cmpuint(
            count_ours(vm, "query-fdsets", "fds", "opaque", "colo-"), ==, 1);
        colo_vm_free(vm);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!test_qemu_binary()) {
        g_print("1..0 # SKIP qemu-system-x86_64 was not found\n");
        return 0;
    }
    g_test_add_func("/vm/refused", test_refused);
    g_test_add_func("/vm/plugged", test_plugged);
    g_test_add_func("/vm/backends", test_backends);
    g_test_add_func("/vm/pid", test_pid);
    g_test_add_func("/vm/mismatch", test_mismatch);
    g_test_add_func("/vm/foreign-capture", test_foreign_capture);
    g_test_add_func("/vm/foreign-load", test_foreign_load);
    g_test_add_func("/vm/bad-state", test_bad_state);
    g_test_add_func("/vm/gone", test_gone);
    g_test_add_func("/vm/hung", test_hung);
    g_test_add_func("/vm/guest-events", test_guest_events);
    g_test_add_func("/vm/predecessor", test_predecessor);
    return g_test_run();
}
