/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What checkpoints cost a real guest: how long it stands still, and how long
 * until the secondary has the checkpoint.  The full copy and the first
 * checkpoints after it are not counted.
 */
#include "tests/bench/bench.h"

#define WARM_UP 5

static int ram = 128, dirty, interval = 100, seconds = 10;
static char *mode, *machine, *tracker, *compress;
static int smp = 1;

static const GOptionEntry entries[] = {
    {"ram", 0, 0, G_OPTION_ARG_INT, &ram, "the guest's RAM (128)", "MIB"},
    {"dirty", 0, 0, G_OPTION_ARG_INT, &dirty,
     "written by the guest each 100 ms (0)", "MIB"},
    {"interval", 0, 0, G_OPTION_ARG_INT, &interval, "between checkpoints (100)",
     "MS"},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "to measure (10)", "S"},
    {"mode", 0, 0, G_OPTION_ARG_STRING, &mode, "colo or periodic (colo)",
     "MODE"},
    {"machine", 0, 0, G_OPTION_ARG_STRING, &machine, "pc or q35 (pc)", "M"},
    {"smp", 0, 0, G_OPTION_ARG_INT, &smp, "CPUs (1)", "N"},
    {"tracker", 0, 0, G_OPTION_ARG_STRING, &tracker, "as colod's (auto)",
     "KIND"},
    {"compress", 0, 0, G_OPTION_ARG_STRING, &compress, "as colod's (none)",
     "HOW"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

/* Where in a COLO_CHECKPOINT event each figure is. */
static const struct {
    const char *member, *name;
    gboolean secondary;
} figures[] = {
    {"pause-ms", "pause_ms", FALSE},       {"capture-ms", "capture_ms", FALSE},
    {"transfer-ms", "transfer_ms", FALSE}, {"commit-ms", "commit_ms", FALSE},
    {"load-ms", "load_ms", TRUE},          {"pages", "pages", FALSE},
};

static int by_timer(RigSide *s, guint from)
{
    int n = 0;

    while (rig_qmp_find(&s->ctl, from, "COLO_CHECKPOINT", NULL, NULL, &from)) {
        n++;
    }
    return n;
}

static void put_figure(Rig *r, gsize i, guint pri_from, guint sec_from,
                       GString *o)
{
    RigSide *s = figures[i].secondary ? &r->sec : &r->pri;
    guint at = figures[i].secondary ? sec_from : pri_from;
    Samples *samples = samples_new();
    RigEvent *ev;

    while (
        (ev = rig_qmp_find(&s->ctl, at, "COLO_CHECKPOINT", NULL, NULL, &at))) {
        samples_add(samples, rig_event_number(ev, figures[i].member));
    }
    bench_put_samples(o, figures[i].name, samples, FALSE);
    samples_free(samples);
}

static void measure(Rig *r, gboolean periodic)
{
    g_autoptr(GString) o = g_string_new(NULL);
    guint pri_from = r->pri.ctl.events->len;
    guint sec_from = r->sec.ctl.events->len;
    gint64 begin = g_get_monotonic_time(), end = begin + seconds * 1000000LL;
    int done, expected;

    while (g_get_monotonic_time() < end) {
        gint64 left = (end - g_get_monotonic_time()) / 1000;

        /* In turns, so that neither event queue overflows. */
        if (!rig_qmp_pump(&r->pri.ctl, (int)CLAMP(left, 1, 500)) ||
            !rig_qmp_pump(&r->sec.ctl, 1)) {
            rig_die("a colod ended while it was measured");
        }
    }
    done = by_timer(&r->pri, pri_from);
    expected = (int)((g_get_monotonic_time() - begin) / 1000 / interval);
    bench_put_string(o, "bench", "checkpoint");
    bench_put_int(o, "ram_mib", ram);
    bench_put_int(o, "dirty_mib_per_100ms", dirty);
    bench_put_string(o, "mode", periodic ? "periodic" : "colo");
    bench_put_int(o, "interval_ms", interval);
    bench_put_int(o, "seconds", seconds);
    bench_put_int(o, "checkpoints", done);
    bench_put_int(o, "missed", MAX(expected - done, 0));
    for (gsize i = 0; i < G_N_ELEMENTS(figures); i++) {
        put_figure(r, i, pri_from, sec_from, o);
    }
    bench_print(o);
}

int main(int argc, char **argv)
{
    RigOptions o = {.linux_guest = TRUE};
    gboolean intact;
    Rig *r;

    bench_start("Pause, capture, transfer, commit and load times of "
                "checkpoints on real guests.",
                entries, argc, argv);
    bench_range("ram", ram, 80, 1 << 20);
    bench_range("dirty", dirty, 0, ram);
    bench_range("interval", interval, 10, 3600000);
    bench_range("seconds", seconds, 1, 86400);
    o.periodic = bench_choice("mode", mode, "colo", "periodic");
    o.ram_mib = (guint)ram;
    o.smp = (guint)smp;
    o.delay_ms = (guint)interval;
    o.machine = machine;
    o.tracker = tracker;
    o.compress = compress;

    r = rig_new_protected(&o);
    if (dirty) {
        g_autofree char *command = g_strdup_printf("load %d 100", dirty);

        rig_type(&r->pri, command, "load ", RIG_PATIENCE_S);
    }
    rig_wait_checkpoints(&r->pri, WARM_UP,
                         RIG_PATIENCE_S + WARM_UP * interval / 1000);
    rig_qmp_pump(&r->sec.ctl, 10);
    measure(r, o.periodic);
    intact = rig_chain_ok(&r->pri, 0, "");
    rig_free(r);
    return intact ? 0 : 1;
}
