/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does sim-qemu do to colo/vm what QEMU does?  And does its guest notice
 * when something is missing?  The other tests here rest on both.
 */
#include "tests/sim/proc.h"
#include "tests/sim/sim-log.h"
#include "colo/vm/vm.h"
#include "colo/qmp-client.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct Sim {
    char *qmp, *foreign, *log;
    Proc *proc;
    ColoVm *vm;
} Sim;

static char *dir;

enum { PATIENCE_US = 30 * G_USEC_PER_SEC };

static Sim *sim_new(const char *name, const char *more)
{
    g_autofree char *binary = build_path("tests/sim/sim-qemu");
    g_autofree char *args = NULL;
    g_auto(GStrv) argv = NULL;
    ColoVmOptions options = {.qmp_timeout_us = PATIENCE_US};
    gint64 end = g_get_monotonic_time() + PATIENCE_US;
    GError *error = NULL;
    Sim *s = g_new0(Sim, 1);

    s->qmp = g_strdup_printf("%s/%s.qmp", dir, name);
    s->foreign = g_strdup_printf("%s/%s.foreign", dir, name);
    s->log = g_strdup_printf("%s/%s.log", dir, name);
    args = g_strdup_printf("%s --qmp=%s --qmp=%s --log=%s %s", binary, s->qmp,
                           s->foreign, s->log, more);
    argv = g_strsplit(args, " ", -1);
    s->proc = proc_start(name, NULL, NULL, argv);
    options.qmp_path = s->qmp;
    while (!(s->vm = colo_vm_open(&options, &error)) &&
           g_error_matches(error, COLO_VM_ERROR, COLO_VM_ERROR_GONE) &&
           g_get_monotonic_time() < end) {
        g_clear_error(&error);
        g_usleep(2000);
    }
    g_assert_no_error(error);
    g_assert_nonnull(s->vm);
    return s;
}

static void sim_free(Sim *s)
{
    colo_vm_free(s->vm);
    proc_free(s->proc);
    g_unlink(s->qmp);
    g_unlink(s->foreign);
    g_unlink(s->log);
    g_free(s->qmp);
    g_free(s->foreign);
    g_free(s->log);
    g_free(s);
}

static void foreign(Sim *s, const char *json)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ColoQmpClient) c = colo_qmp_client_connect(
        s->foreign, PATIENCE_US, NULL, NULL, &error);
    g_autoptr(JsonNode) args = NULL, node = NULL;

    g_assert_no_error(error);
    args = json_from_string(json, &error);
    g_assert_no_error(error);
    node = colo_qmp_client_call(c, "x-sim-inject", json_node_dup_object(args),
                                PATIENCE_US, &error);
    g_assert_no_error(error);
}

static guint count(Sim *s, const char *word)
{
    g_autoptr(GArray) lines = sim_log_read(s->log);

    return sim_log_count(lines, word);
}

/* Wait until the log has this word (again, after seen of them). */
static void wait_for(Sim *s, const char *word, guint seen)
{
    gint64 end = g_get_monotonic_time() + PATIENCE_US;

    while (count(s, word) <= seen) {
        if (g_get_monotonic_time() > end) {
            g_autofree char *all = NULL;

            g_file_get_contents(s->log, &all, NULL, NULL);
            g_error("%s lacks \"%s\" after %u of them:\n%s", s->log, word,
                    seen, all);
        }
        g_usleep(1000);
    }
}

typedef struct Moment {
    guint8 *ram;
    gsize ram_bytes;
    GByteArray *state;
} Moment;

static gboolean capture(Sim *s, Moment *m, GError **error)
{
    const guint8 *state;
    gint64 paused;
    gsize len;
    gboolean ok;

    memset(m, 0, sizeof(*m));
    if (!colo_vm_capture_begin(s->vm, FALSE, error)) {
        return FALSE;
    }
    m->ram_bytes = colo_vm_ram_bytes(s->vm);
    m->ram = g_memdup2(colo_vm_ram(s->vm), m->ram_bytes);
    ok = colo_vm_capture_state(s->vm, &state, &len, error);
    if (ok) {
        m->state = g_byte_array_append(g_byte_array_new(), state, len);
    }
    return colo_vm_capture_end(s->vm, &paused, ok ? error : NULL) && ok;
}

static void moment_clear(Moment *m)
{
    g_free(m->ram);
    if (m->state) {
        g_byte_array_unref(m->state);
    }
}

static void load(Sim *s, const Moment *m)
{
    GError *error = NULL;

    memcpy(colo_vm_ram(s->vm), m->ram, m->ram_bytes);
    g_assert_true(colo_vm_load(s->vm, m->state->data, m->state->len, &error));
    g_assert_no_error(error);
}

static void test_load(void)
{
    Sim *a = sim_new("a", "--seed=1 --salt=1");
    Sim *b = sim_new("b", "--seed=2 --salt=2 -S");
    g_autoptr(GArray) pri = NULL, sec = NULL;
    GError *error = NULL;

    g_assert_true(
        colo_vm_check_same(b->vm, colo_vm_description(a->vm), &error));
    g_assert_no_error(error);
    g_assert_true(colo_vm_restore_prepare(b->vm, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(colo_vm_state_room(b->vm), >, 100000);
    for (guint i = 0; i < 20; i++) {
        Moment m;

        wait_for(a, "chain", i);
        g_assert_true(capture(a, &m, &error));
        g_assert_no_error(error);
        g_assert_true(colo_vm_stop(b->vm, &error));
        load(b, &m);
        /* What the reset of the load wrote to */
        g_assert_cmpint(memcmp(colo_vm_ram(b->vm), m.ram, m.ram_bytes), !=, 0);
        memcpy(colo_vm_ram(b->vm), m.ram, m.ram_bytes);
        g_assert_true(colo_vm_cont(b->vm, &error));
        g_assert_no_error(error);
        wait_for(b, "resumed", i);
        moment_clear(&m);
    }
    wait_for(b, "chain", 1);
    pri = sim_log_read(a->log);
    sec = sim_log_read(b->log);
    g_assert_cmpuint(sim_log_count(pri, "BROKEN"), ==, 0);
    g_assert_cmpuint(sim_log_count(sec, "BROKEN"), ==, 0);
    /* One of them is the trial when it was prepared. */
    g_assert_cmpuint(sim_log_count(sec, "load"), ==, 21);
    g_assert_cmpstr(sim_log_last(pri, "save", 0)->hash, ==,
                    sim_log_last(sec, "load", 0)->hash);
    sim_free(a);
    sim_free(b);
}

/* One page, one word of a page, the state of another moment: all noticed. */
static void test_notices(void)
{
    Sim *a = sim_new("a", "--seed=1");
    Sim *b = sim_new("b", "--seed=2 -S");
    GError *error = NULL;
    Moment first, second;

    g_assert_true(colo_vm_restore_prepare(b->vm, &error));
    g_assert_no_error(error);
    wait_for(a, "chain", 0);
    g_assert_true(capture(a, &first, &error));
    g_assert_no_error(error);
    wait_for(a, "chain", count(a, "chain"));
    g_assert_true(capture(a, &second, &error));
    g_assert_no_error(error);
    for (int i = 0; i < 3; i++) {
        load(b, i == 2 ? &first : &second);
        memcpy(colo_vm_ram(b->vm), second.ram, second.ram_bytes);
        if (i == 0) {
            memset(colo_vm_ram(b->vm) + 77 * 4096, 1, 4096);
        } else if (i == 1) {
            colo_vm_ram(b->vm)[99 * 4096 + 8] ^= 1;
        }
        g_assert_true(colo_vm_cont(b->vm, &error));
        wait_for(b, "BROKEN", 0);
        sim_free(b);
        b = sim_new("b", "--seed=2 -S");
        g_assert_true(colo_vm_restore_prepare(b->vm, &error));
        g_assert_no_error(error);
    }
    moment_clear(&first);
    moment_clear(&second);
    sim_free(a);
    sim_free(b);
}

/* Others at the monitor in the middle of a capture or a load. */
static void test_disturbed(void)
{
    Sim *a = sim_new("a", "--seed=1");
    Sim *b = sim_new("b", "--seed=2 -S");
    GError *error = NULL;
    Moment m, good;

    g_assert_true(capture(a, &good, &error));
    g_assert_no_error(error);
    foreign(a, "{\"when\":\"before\",\"what\":\"xen-save-devices-state\","
               "\"do\":\"cont\"}");
    g_assert_false(capture(a, &m, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED);
    g_clear_error(&error);
    moment_clear(&m);
    g_assert_true(colo_vm_running(a->vm));

    foreign(a, "{\"when\":\"after\",\"what\":\"xen-save-devices-state\","
               "\"do\":\"cont-stop\"}");
    g_assert_false(capture(a, &m, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED);
    g_clear_error(&error);
    moment_clear(&m);
    g_assert_false(colo_vm_running(a->vm));

    g_assert_true(colo_vm_restore_prepare(b->vm, &error));
    g_assert_no_error(error);
    foreign(b, "{\"when\":\"before\",\"what\":\"job-snapshot-load\","
               "\"do\":\"cont\"}");
    g_assert_false(
        colo_vm_load(b->vm, good.state->data, good.state->len, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_DISTURBED);
    g_clear_error(&error);
    moment_clear(&good);
    sim_free(a);
    sim_free(b);
}

/* What others plug into a guest that runs. */
static void test_plugged(void)
{
    Sim *a = sim_new("a", "--seed=1");
    g_autofree char *before = g_strdup(colo_vm_description(a->vm));
    GError *error = NULL;

    g_assert_true(colo_vm_check_quick(a->vm, &error));
    g_assert_true(colo_vm_check_again(a->vm, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(colo_vm_description(a->vm), ==, before);

    foreign(a, "{\"do\":\"plug-device\"}");
    g_assert_true(colo_vm_check_again(a->vm, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(colo_vm_description(a->vm), !=, before);
    g_assert_false(colo_vm_check_same(a->vm, before, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH);
    g_clear_error(&error);

    foreign(a, "{\"do\":\"plug-memory\",\"ms\":134217728}");
    g_assert_false(colo_vm_check_quick(a->vm, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE);
    g_assert_nonnull(strstr(error->message, "134217728 bytes"));
    g_clear_error(&error);
    g_assert_false(colo_vm_check_again(a->vm, &error));
    g_assert_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE);
    g_clear_error(&error);

    foreign(a, "{\"do\":\"plug-memory\",\"ms\":0}");
    g_assert_true(colo_vm_check_quick(a->vm, &error));
    g_assert_no_error(error);
    sim_free(a);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int r;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("colo-simvm-XXXXXX", &error);
    g_assert_no_error(error);
    g_test_add_func("/sim/vm/load", test_load);
    g_test_add_func("/sim/vm/notices", test_notices);
    g_test_add_func("/sim/vm/disturbed", test_disturbed);
    g_test_add_func("/sim/vm/plugged", test_plugged);
    r = g_test_run();
    g_rmdir(dir);
    return r;
}
