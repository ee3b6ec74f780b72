/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NBD server is lost, in all the ways: the guest's writes go on after a
 * bounded wait, and when the server is back only what changed is copied.
 */
#include "tests/attach/bed.h"

#include <signal.h>
#include <string.h>

#define CHUNK 65536 /* what the mirror's bitmap counts in */

/* Detection by the thread, and scheduling on a busy machine */
#define SLACK_US (2 * G_USEC_PER_SEC)

static Bed *synced(gboolean tcp)
{
    Bed *b = bed_new(tcp);

    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_SYNCED);
    g_assert_false(colo_disk_attach_take_lost(b->a));
    bed_forget_log(b);
    return b;
}

/* Back in sync, with so many chunks copied, no more. */
static void assert_recovered(Bed *b, guint chunks)
{
    guint64 zeroed;

    bed_wait_synced(b);
    bed_assert_same(b);
    g_assert_cmpuint(bed_written(b, &zeroed), <=, (guint64)chunks * CHUNK);
    g_assert_cmpuint(zeroed, ==, 0);
    /* and it is a mirror again */
    bed_io(b, "write -P 99 60M 64k");
    g_assert_true(bed_holds(b->target, 60 << 20, CHUNK, 99));
}

static void test_kill(void)
{
    g_autoptr(Bed) b = synced(FALSE);
    gint64 first, later = 0;

    bed_kill_nbdkit(b, SIGKILL);
    bed_run(b, 300 * 1000);
    /* An idle guest, and yet it is known. */
    g_assert_false(colo_disk_attach_is_synced(b->a));
    g_assert_true(colo_disk_attach_take_lost(b->a));
    g_assert_cmpstr(colo_disk_attach_why(b->a), !=, "");

    first = bed_io(b, "write -P 1 20M 64k");
    g_assert_cmpint(first, <, BED_RECONNECT + SLACK_US);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_LOST);
    for (guint i = 0; i < 10; i++) {
        g_autofree char *line =
            g_strdup_printf("write -P %u %uM 4k", i + 2, 21 + i);

        later = MAX(later, bed_io(b, line));
    }
    g_test_message("waited %d ms at first, at most %d ms later",
                   (int)(first / 1000), (int)(later / 1000));
    g_assert_cmpint(later, <, SLACK_US / 2);
    bed_run(b, G_USEC_PER_SEC);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_LOST);
    g_assert_true(bed_holds(b->source, 20 << 20, CHUNK, 1));
    g_assert_false(bed_holds(b->target, 20 << 20, CHUNK, 1));

    bed_start_nbdkit(b);
    assert_recovered(b, 11);
}

/* Back before QEMU has waited long enough: nobody has lost anything. */
static void test_restart(void)
{
    g_autoptr(Bed) b = synced(FALSE);

    bed_kill_nbdkit(b, SIGKILL);
    bed_start_nbdkit(b);
    bed_run(b, 300 * 1000);
    bed_io(b, "write -P 3 20M 64k");
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_SYNCED);
    g_assert_true(bed_holds(b->target, 20 << 20, CHUNK, 3));
    g_assert_true(colo_disk_attach_take_lost(b->a));
    assert_recovered(b, 1);
}

/* It does not go away, it just does not answer. */
static void silent(gboolean tcp)
{
    g_autoptr(Bed) b = synced(tcp);
    gint64 waited;

    bed_stop_nbdkit(b);
    waited = bed_io(b, "write -P 4 20M 64k");
    g_test_message("waited %d ms", (int)(waited / 1000));
    g_assert_cmpint(waited, <, BED_HANG + BED_RECONNECT + SLACK_US);
    bed_wait(b, COLO_DISK_LOST);
    g_assert_false(colo_disk_attach_is_synced(b->a));
    bed_io(b, "write -P 5 21M 64k");
    kill(b->nbdkit, SIGCONT);
    /* What had been sent before may be written, too. */
    assert_recovered(b, 4);
}

static void test_silent_unix(void)
{
    silent(FALSE);
}

static void test_silent_tcp(void)
{
    silent(TRUE);
}

/*
 * The capture that finds the server silent is over in bounded time, and is
 * known to be no good in the pause already.
 */
static void test_capture(void)
{
    g_autoptr(Bed) b = synced(TRUE);
    g_autoptr(GError) error = NULL;
    gint64 start, paused = 0;

    bed_stop_nbdkit(b);
    bed_io(b, "aio_write -P 6 20M 64k");
    g_assert_true(colo_disk_attach_is_synced(b->a));
    start = g_get_monotonic_time();
    g_assert_true(colo_vm_capture_begin(b->vm, FALSE, &error));
    g_assert_no_error(error);
    g_test_message("stop took %d ms",
                   (int)((g_get_monotonic_time() - start) / 1000));
    g_assert_cmpint(g_get_monotonic_time() - start, <,
                    BED_HANG + BED_RECONNECT + SLACK_US);
    g_assert_false(colo_disk_attach_is_synced(b->a));
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_LOST);
    g_assert_true(colo_vm_capture_end(b->vm, &paused, &error));
    g_assert_no_error(error);
    kill(b->nbdkit, SIGCONT);
    assert_recovered(b, 2);
}

/* In the middle of the first copy, which is not begun again. */
static void test_copying(void)
{
    g_autoptr(Bed) b = bed_new(FALSE);
    guint64 zeroed, before, after;

    b->filters = "--filter=delay";
    b->params = "delay-write=200ms";
    bed_start_nbdkit(b);
    bed_start_qemu(b, NULL);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, TRUE);
    bed_wait(b, COLO_DISK_COPYING);
    bed_run(b, 400 * 1000);
    g_assert_cmpint(bed_info(b).state, ==, COLO_DISK_COPYING);
    g_assert_cmpuint(bed_info(b).done, <, bed_info(b).total);
    bed_kill_nbdkit(b, SIGKILL);
    bed_wait(b, COLO_DISK_LOST);
    before = bed_written(b, &zeroed);
    bed_forget_log(b);
    b->filters = b->params = NULL;
    bed_start_nbdkit(b);
    bed_wait(b, COLO_DISK_SYNCED);
    after = bed_written(b, &zeroed);
    bed_assert_same(b);
    g_test_message("%d KiB written before, %d after", (int)(before >> 10),
                   (int)(after >> 10));
    g_assert_cmpuint(before, >, 0);
    g_assert_cmpuint(after, <, 4 << 20);
}

/* Detaching from a server that is silent, or dead */
static void test_detach_lost(void)
{
    for (guint i = 0; i < 2; i++) {
        g_autoptr(Bed) b = synced(TRUE);
        g_autoptr(GError) error = NULL;
        gint64 start = g_get_monotonic_time();

        if (i) {
            bed_kill_nbdkit(b, SIGKILL);
        } else {
            bed_stop_nbdkit(b);
        }
        bed_io(b, "aio_write -P 6 20M 64k");
        g_assert_true(colo_disk_attach_detach(b->a, start + BED_WAIT, &error));
        g_assert_no_error(error);
        g_test_message("took %d ms",
                       (int)((g_get_monotonic_time() - start) / 1000));
        g_assert_cmpint(g_get_monotonic_time() - start, <,
                        2 * (BED_HANG + BED_RECONNECT) + SLACK_US);
        bed_assert_clean(b);
        bed_io(b, "write -P 7 20M 64k");
        g_assert_true(bed_holds(b->source, 20 << 20, CHUNK, 7));
    }
}

/* A job that somebody else cancels: lost, then copied anew. */
static void test_cancelled(void)
{
    g_autoptr(Bed) b = synced(FALSE);
    g_autoptr(JsonNode) node = bed_call(
        b, "block-job-cancel", "{\"device\": \"colo-vda\", \"force\": true}");

    bed_wait(b, COLO_DISK_LOST);
    g_assert_true(colo_disk_attach_take_lost(b->a));
    bed_wait(b, COLO_DISK_SYNCED);
    bed_assert_same(b);
}

/* A colod that finds the mirror stopped goes on with it, too. */
static void test_adopt_lost(void)
{
    g_autoptr(Bed) b = synced(FALSE);

    bed_kill_nbdkit(b, SIGKILL);
    bed_io(b, "write -P 8 20M 64k");
    bed_forget(b);
    bed_start_nbdkit(b);
    bed_attach(b, NULL);
    colo_disk_attach_start(b->a, FALSE);
    assert_recovered(b, 1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        {"kill", test_kill},
        {"restart", test_restart},
        {"silent-unix", test_silent_unix},
        {"silent-tcp", test_silent_tcp},
        {"capture", test_capture},
        {"copying", test_copying},
        {"detach-lost", test_detach_lost},
        {"cancelled", test_cancelled},
        {"adopt-lost", test_adopt_lost},
    };
    g_autofree char *nbdkit = g_find_program_in_path("nbdkit");

    g_test_init(&argc, &argv, NULL);
    if (!nbdkit || !test_qemu_binary()) {
        g_print("1..0 # SKIP qemu-system-x86_64 or nbdkit is missing: install "
                "Debian's packages qemu-system-x86 and nbdkit\n");
        return 0;
    }
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/loss/%s", tests[i].name);

        g_test_add_func(path, tests[i].func);
    }
    return g_test_run();
}
