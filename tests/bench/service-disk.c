/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What protection costs a guest's disk: how often it can sync, how fast it
 * writes, first without, then with it; and how long checkpoints pause a guest
 * that writes and syncs a file in a loop.
 */
#include "tests/bench/service-disk.h"

#include <stdlib.h>

#define SYNCS       16 /* in one exchange of net-client --fsync */
#define WRITE_BYTES (32 << 20)
#define LOAD_MIB    32
#define PAUSE_MS    250 /* between the checkpoints that are looked at */

typedef struct DiskFigures {
    double fsync_s, write_mb_s;
} DiskFigures;

static double rate(Rig *r, const char *what, int seconds)
{
    g_autofree char *options = g_strdup_printf(
        "--%s 1 --size %d --family 4 --seconds %d", what, WRITE_BYTES, seconds);
    g_autoptr(JsonObject) o =
        rig_client_run(r, options, seconds + RIG_PATIENCE_S);

    if (json_object_get_int_member(o, "wrong_bytes") ||
        json_object_get_int_member(o, "connections_lost")) {
        rig_die("the guest's disk failed: %s",
                json_array_get_string_element(
                    json_object_get_array_member(o, "errors"), 0));
    }
    return json_object_get_int_member(o, "exchanges") /
           json_object_get_double_member(o, "seconds");
}

static GString *begin_line(const char *mode, const char *op, int seconds)
{
    GString *o = g_string_new(NULL);

    bench_put_string(o, "bench", "service");
    bench_put_string(o, "mode", mode);
    bench_put_string(o, "op", op);
    bench_put_int(o, "seconds", seconds);
    return o;
}

static void print(const char *mode, const char *op, const char *unit,
                  double value, double bare, int seconds)
{
    g_autoptr(GString) o = begin_line(mode, op, seconds);

    bench_put_number(o, unit, value);
    if (bare > 0) {
        bench_put_number(o, "ratio", value / bare);
    }
    bench_print(o);
}

static DiskFigures measure(Rig *r, const char *mode, const DiskFigures *bare,
                           int seconds)
{
    DiskFigures f;

    f.fsync_s = rate(r, "fsync", seconds) * SYNCS;
    print(mode, "fsync", "fsync_s", f.fsync_s, bare ? bare->fsync_s : 0,
          seconds);
    f.write_mb_s = rate(r, "write", seconds) * WRITE_BYTES / 1e6;
    print(mode, "write", "write_mb_s", f.write_mb_s,
          bare ? bare->write_mb_s : 0, seconds);
    return f;
}

static void measure_pause(Rig *r, const char *mode, int seconds)
{
    g_autofree char *args =
        g_strdup_printf("{\"x-checkpoint-delay\": %d}", PAUSE_MS);
    g_autofree char *load = g_strdup_printf("fsync %d", LOAD_MIB);
    g_autoptr(GString) o = begin_line(mode, "pause", seconds);
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    Samples *pause = samples_new();
    guint at, n = 0;
    RigEvent *ev;

    json_node_unref(rig_qmp(&r->pri.ctl, "migrate-set-parameters", args));
    rig_type(&r->pri, load, load, RIG_PATIENCE_S);
    rig_wait_checkpoints(&r->pri, 5, RIG_PATIENCE_S);
    at = r->pri.ctl.events->len;
    while (g_get_monotonic_time() < end) {
        /* In turns, so that neither event queue overflows. */
        if (!rig_qmp_pump(&r->pri.ctl, 200) || !rig_qmp_pump(&r->sec.ctl, 1)) {
            rig_die("a colod ended while it was measured");
        }
    }
    while ((ev = rig_qmp_find(&r->pri.ctl, at, "COLO_CHECKPOINT", NULL, NULL,
                              &at))) {
        samples_add(pause, rig_event_number(ev, "pause-ms"));
        n++;
    }
    bench_put_int(o, "load_mib", LOAD_MIB);
    bench_put_int(o, "checkpoints", n);
    bench_put_samples(o, "pause_ms", pause, FALSE);
    bench_print(o);
    samples_free(pause);
}

void service_disk(const RigOptions *options, int seconds)
{
    const char *mode = options->periodic ? "periodic" : "colo";
    RigOptions o = *options;
    DiskFigures bare;
    gboolean intact;
    Rig *r;

    o.disk_mib = 256;
    r = rig_new(&o);
    rig_start_qemu(&r->pri);
    rig_wait_boot(&r->pri);
    bare = measure(r, "none", NULL, seconds);
    rig_start_qemu(&r->sec);
    rig_protect(r);
    measure(r, mode, &bare, seconds);
    measure_pause(r, mode, seconds);
    intact = rig_disk_ok(&r->pri, 0);
    rig_free(r);
    if (!intact) {
        exit(1);
    }
}
