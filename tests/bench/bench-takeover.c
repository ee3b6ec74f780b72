/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long after the primary's death the secondary's guest runs alone: from
 * the kill to the timestamp of the secondary's COLO_STATE "alone", which is
 * raised after QEMU has let the guest run.  One machine, one clock.
 */
#include "tests/bench/bench.h"

#include <signal.h>
#include <string.h>

static char *kill_what, *mode;
static int runs = 5, ram = 128, interval = 100;

static const GOptionEntry entries[] = {
    {"kill", 0, 0, G_OPTION_ARG_STRING, &kill_what,
     "QEMU's process, or the whole host (qemu)", "qemu|host"},
    {"runs", 0, 0, G_OPTION_ARG_INT, &runs, "how often (5)", "N"},
    {"ram", 0, 0, G_OPTION_ARG_INT, &ram, "the guest's RAM (128)", "MIB"},
    {"interval", 0, 0, G_OPTION_ARG_INT, &interval, "between checkpoints (100)",
     "MS"},
    {"mode", 0, 0, G_OPTION_ARG_STRING, &mode, "colo or periodic (colo)",
     "MODE"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static double take_over_once(const RigOptions *o, gboolean host)
{
    Rig *r = rig_new_protected(o);
    RigEvent *alone;
    gint64 killed;
    gsize offset;
    double gap;

    /* At any moment between two checkpoints */
    rig_wait_checkpoints(&r->pri, 5, RIG_PATIENCE_S);
    g_usleep((gulong)g_random_int_range(0, interval * 1000));
    killed = g_get_real_time();
    if (host) {
        rig_power_cut(&r->pri);
    } else {
        kill(r->pri.qemu, SIGKILL);
    }
    alone = rig_qmp_wait(&r->sec.ctl, 0, "COLO_STATE", "state", "alone",
                         RIG_PATIENCE_S);
    gap = (double)(alone->time_us - killed) / 1e3;

    /* A gap counts only if the guest is whole. */
    offset = rig_console_size(&r->sec);
    rig_wait_steps(&r->sec, 10, RIG_PATIENCE_S);
    if (!rig_guest_runs(&r->sec) || !rig_chain_ok(&r->sec, 0, RIG_SEAMS) ||
        !rig_first_step(&r->sec, offset)) {
        rig_die("the guest is not whole after the takeover");
    }
    rig_free(r);
    return gap;
}

int main(int argc, char **argv)
{
    RigOptions options = {.linux_guest = TRUE};
    g_autoptr(GString) o = g_string_new(NULL);
    Samples *gap = samples_new();
    gboolean host;

    bench_start("The gap between the primary's death and the secondary's "
                "guest running alone.",
                entries, argc, argv);
    host = bench_choice("kill", kill_what, "qemu", "host");
    bench_range("runs", runs, 1, 10000);
    bench_range("ram", ram, 80, 1 << 20);
    bench_range("interval", interval, 10, 3600000);
    options.periodic = bench_choice("mode", mode, "colo", "periodic");
    options.ram_mib = (guint)ram;
    options.delay_ms = (guint)interval;
    options.failover = TRUE;

    for (int i = 0; i < runs; i++) {
        double ms = take_over_once(&options, host);

        samples_add(gap, ms);
        g_printerr("run %d of %d: %.1f ms\n", i + 1, runs, ms);
    }
    bench_put_string(o, "bench", "takeover");
    bench_put_string(o, "kill", host ? "host" : "qemu");
    bench_put_string(o, "mode", options.periodic ? "periodic" : "colo");
    bench_put_int(o, "runs", runs);
    bench_put_int(o, "timeout_ms", RIG_TIMEOUT_MS);
    bench_put_samples(o, "gap_ms", gap, TRUE);
    bench_print(o);
    samples_free(gap);
    return 0;
}
