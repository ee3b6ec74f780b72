/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checkpoints each 20 ms for a long time: none is left out, they do not get
 * slower or larger, and memory does not grow.  At the end a takeover shows
 * that no page was missed.
 */
#include "tests/rig/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MS 20
#define RAM_MIB  256

/* A slip of the machine is no drift; where others work too, there are more. */
#define MISSED_PERMILLE      50
#define MISSED_PERMILLE_BUSY 500
#define BUSY_LOAD            2.5

typedef struct Memory {
    long anon_kib; /* heap and buffers */
    long own_kib;  /* all that is resident, but for the guest's own RAM */
} Memory;

static Memory memory_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps", (int)pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    gboolean guest = FALSE;
    Memory m = {0};

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; *l; l++) {
        unsigned long from, to;
        long kib;

        if (sscanf(*l, "%lx-%lx ", &from, &to) == 2) {
            guest = strstr(*l, "memory-backend") != NULL;
        } else if (!guest && sscanf(*l, "Rss: %ld kB", &kib) == 1) {
            m.own_kib += kib;
        } else if (!guest && sscanf(*l, "Anonymous: %ld kB", &kib) == 1) {
            m.anon_kib += kib;
        }
    }
    return m;
}

static gboolean machine_is_busy(void)
{
    double load;

    return getloadavg(&load, 1) == 1 && load > BUSY_LOAD;
}

/* Median of a figure over the checkpoints [from, to) of the events. */
static gint compare(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(RigSide *s, guint from, guint to, const char *member)
{
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(double));
    RigEvent *ev;

    while ((ev = rig_qmp_find(&s->ctl, from, "COLO_CHECKPOINT", NULL, NULL,
                              &from)) &&
           from <= to) {
        double v = rig_event_number(ev, member);

        g_array_append_val(values, v);
    }
    g_assert_cmpuint(values->len, >, 0);
    g_array_sort(values, compare);
    return g_array_index(values, double, values->len / 2);
}

static void expect_no_drift(RigSide *s, guint from, const char *member,
                            double slack)
{
    guint to = s->ctl.events->len, quarter = (to - from) / 4;
    double first = median(s, from, from + quarter, member);
    double last = median(s, to - quarter, to, member);
    double times = machine_is_busy() ? 10 : 2;

    g_test_message("%s %s: median %.2f at first, %.2f at last", s->name, member,
                   first, last);
    g_assert_cmpfloat(last, <=, first * times + slack);
}

static void expect_memory(RigSide *s, const char *who, Memory before,
                          long growth_kib, long limit_mib)
{
    Memory now = memory_of(s->colod);

    g_test_message("%s: anonymous %ld KiB, then %ld KiB; all its own %ld KiB "
                   "of %ld MiB",
                   who, before.anon_kib, now.anon_kib, now.own_kib, limit_mib);
    g_assert_cmpint(now.anon_kib, <=, before.anon_kib + growth_kib);
    g_assert_cmpint(now.own_kib, <=, limit_mib * 1024);
}

static void steady(gconstpointer periodic)
{
    gboolean for_long = rig_long_tests() && !periodic;
    guint seconds = for_long ? 100 : 10;
    RigOptions o = {.ram_mib = RAM_MIB,
                    .delay_ms = DELAY_MS,
                    .periodic = periodic != NULL,
                    .failover = TRUE};
    Rig *r = rig_new_protected(&o);
    gint64 done, loaded, expected, begin, missed;
    guint pri_from, sec_from;
    Memory pri, sec;
    gsize since;

    /* Full RAM: what is kept beside it shows at its largest. */
    rig_type(&r->pri, "fill random", "filled ", RIG_PATIENCE_S);
    rig_wait_checkpoints(&r->pri, 100, RIG_PATIENCE_S);
    rig_qmp_pump(&r->sec.ctl, 0);
    pri = memory_of(r->pri.colod);
    sec = memory_of(r->sec.colod);
    pri_from = r->pri.ctl.events->len;
    sec_from = r->sec.ctl.events->len;
    done = rig_int(&r->pri, "query-colo-stats", "checkpoints");

    begin = g_get_monotonic_time();
    while (g_get_monotonic_time() < begin + seconds * G_USEC_PER_SEC) {
        g_assert_true(rig_qmp_pump(&r->pri.ctl, 200));
        g_assert_true(rig_qmp_pump(&r->sec.ctl, 1));
    }
    done = rig_int(&r->pri, "query-colo-stats", "checkpoints") - done;
    expected = (g_get_monotonic_time() - begin) / 1000 / DELAY_MS;
    g_test_message("%" G_GINT64_FORMAT " checkpoints of %" G_GINT64_FORMAT,
                   done, expected);
    missed = machine_is_busy() ? MISSED_PERMILLE_BUSY : MISSED_PERMILLE;
    g_assert_cmpint(done * 1000, >=, expected * (1000 - missed));
    g_assert_cmpint(rig_int(&r->pri, "query-colo-stats", "failed"), ==, 0);

    expect_no_drift(&r->pri, pri_from, "pause-ms", 1);
    expect_no_drift(&r->pri, pri_from, "commit-ms", 2);
    expect_no_drift(&r->pri, pri_from, "pages", 50);
    expect_no_drift(&r->sec, sec_from, "load-ms", 2);
    expect_memory(&r->pri, "primary", pri, 512, 64 + RAM_MIB / 10);
    expect_memory(&r->sec, "secondary", sec, 512, RAM_MIB + 64);

    /* Each was loaded, and all of it is there. */
    rig_power_cut(&r->pri);
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    since = rig_console_size(&r->sec);
    loaded = rig_int(&r->sec, "query-colo-stats", "checkpoints");
    g_assert_cmpint(loaded, >=, done + 100);
    rig_wait_steps(&r->sec, 40, RIG_PATIENCE_S);
    g_assert_true(rig_chain_ok(&r->sec, since, ""));
    g_assert_true(rig_chain_ok(&r->sec, 0, RIG_SEAMS));
    rig_free(r);
}

int main(int argc, char **argv)
{
#ifdef __SANITIZE_ADDRESS__
    /* Its quarantine is memory of its own, and it takes its time. */
    printf("1..0 # SKIP sanitizers change the memory and speed measured\n");
    return 0;
#endif
    rig_test_init(&argc, &argv);
    g_test_add_data_func("/steady/colo", NULL, steady);
    g_test_add_data_func("/steady/periodic", "periodic", steady);
    return g_test_run();
}
