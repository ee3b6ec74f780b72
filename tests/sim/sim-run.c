/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu: the run state and its events as QEMU 7.2 makes them, and things
 * arranged to happen at an exact point between two commands.
 */
#include "tests/sim/sim.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void act_when_running(void *unused);

void sim_stop(const char *status)
{
    if (sim_guest_running()) {
        sim_guest_stop(status);
        sim_log("stop", status);
        sim_event("STOP", NULL);
    }
}

void sim_cont(void)
{
    if (!sim_guest_running()) {
        /* QEMU sends the event before the vCPUs run. */
        sim_event("RESUME", NULL);
        sim_log("cont", "");
        sim_guest_cont();
        sim_later(act_when_running, NULL);
    }
}

void sim_reset(gboolean by_guest)
{
    gboolean was = sim_guest_running();

    /* As QEMU's main loop does: paused around it, without events. */
    sim_guest_stop("paused"); /* not "shutdown" any more */
    sim_guest_boot();
    sim_log("reset", "");
    sim_event("RESET", by_guest ? "{\"guest\":true,\"reason\":\"guest-reset\"}"
                                : "{\"guest\":false,"
                                  "\"reason\":\"host-qmp-system-reset\"}");
    if (was) {
        sim_guest_cont();
    }
}

void sim_shutdown(gboolean by_guest, const char *reason)
{
    g_autofree char *data =
        g_strdup_printf("{\"guest\":%s,\"reason\":\"%s\"}",
                        by_guest ? "true" : "false", reason);

    sim_stop("shutdown");
    sim_log("shutdown", reason);
    sim_event("SHUTDOWN", data);
    if (!by_guest || !sim_options.no_shutdown) {
        sim_monitor_quit();
    }
}

void sim_panic(gboolean pause)
{
    sim_event("GUEST_PANICKED",
              pause ? "{\"action\":\"pause\"}" : "{\"action\":\"poweroff\"}");
    sim_stop("guest-panicked");
    if (!pause) {
        sim_shutdown(TRUE, "guest-panic");
    }
}

/* --- Arranged events --- */

typedef struct Arranged {
    char *when; /* "before" or "after" */
    char *what; /* a command, or "job-" and the command that starts it */
    char *act;
    gint64 skip; /* times to let it pass first */
    gint64 ms;
} Arranged;

static GPtrArray *arranged;

static void arranged_free(gpointer p)
{
    Arranged *a = p;

    g_free(a->when);
    g_free(a->what);
    g_free(a->act);
    g_free(a);
}

/* What only a running guest does waits until it runs. */
static const char *of_guest[] = {"guest-reset", "guest-shutdown", "panic",
                                 "panic-pause", NULL};
static char *when_running;

static gboolean act(const char *name, gint64 ms);

static void act_when_running(void *unused)
{
    g_autofree char *name = g_steal_pointer(&when_running);

    if (name) {
        act(name, 0);
    }
}

static gboolean act(const char *name, gint64 ms)
{
    if (g_strv_contains(of_guest, name) && !sim_guest_running()) {
        g_free(when_running);
        when_running = g_strdup(name);
        return FALSE;
    }
    if (g_str_equal(name, "hang")) {
        sim_log("inject", name);
        g_usleep(ms * 1000);
        return FALSE;
    }
    if (g_str_equal(name, "die")) {
        sim_log("inject", name);
        if (ms) {
            sim_stop("paused");
            sim_monitor_hang_up();
            g_usleep(ms * 1000);
        }
        kill(getpid(), SIGKILL);
    } else if (g_str_equal(name, "stop")) {
        sim_stop("paused");
    } else if (g_str_equal(name, "cont")) {
        sim_cont();
    } else if (g_str_equal(name, "stop-cont")) {
        sim_stop("paused");
        sim_cont();
    } else if (g_str_equal(name, "cont-stop")) {
        sim_cont();
        sim_stop("paused");
    } else if (g_str_equal(name, "guest-reset")) {
        sim_reset(TRUE);
    } else if (g_str_equal(name, "guest-shutdown")) {
        sim_shutdown(TRUE, "guest-shutdown");
    } else if (g_str_equal(name, "panic")) {
        sim_panic(FALSE);
    } else if (g_str_equal(name, "panic-pause")) {
        sim_panic(TRUE);
    } else if (g_str_equal(name, "check")) {
        sim_guest_check();
    } else if (g_str_equal(name, "grow")) {
        sim_options.device_bytes = ms;
    } else if (g_str_equal(name, "plug-memory")) {
        sim_options.plugged_bytes = ms;
    } else if (g_str_equal(name, "plug-device")) {
        sim_options.extra_devices++;
    } else if (g_str_equal(name, "discard")) {
        sim_guest_discard();
    }
    /* Whoever waits for this line finds it done. */
    sim_log("inject", name);
    return g_str_equal(name, "fail");
}

gboolean sim_point(const char *when, const char *what)
{
    gboolean fail = FALSE;

    for (guint i = 0; arranged && i < arranged->len; i++) {
        Arranged *a = g_ptr_array_index(arranged, i);

        if (g_str_equal(a->when, when) && g_str_equal(a->what, what) &&
            a->skip-- <= 0) {
            fail |= act(a->act, a->ms);
            g_ptr_array_remove_index(arranged, i--);
        }
    }
    return fail;
}

/* x-sim-inject: do, and when, what, skip, ms; without when: now. */
char *sim_cmd_inject(JsonObject *args, GError **error)
{
    const char *when = sim_arg(args, "when");
    gint64 ms = json_object_get_int_member_with_default(args, "ms", 0);
    Arranged *a;

    if (!*when) {
        act(sim_arg(args, "do"), ms);
        return g_strdup("{}");
    }
    if (!arranged) {
        arranged = g_ptr_array_new_with_free_func(arranged_free);
    }
    a = g_new0(Arranged, 1);
    a->when = g_strdup(when);
    a->what = g_strdup(sim_arg(args, "what"));
    a->act = g_strdup(sim_arg(args, "do"));
    a->skip = json_object_get_int_member_with_default(args, "skip", 0);
    a->ms = ms;
    g_ptr_array_add(arranged, a);
    return g_strdup("{}");
}
