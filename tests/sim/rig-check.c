/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Assertions about a rig. */
#include "tests/sim/rig-check.h"

#include <string.h>

enum { CONTROL_MS = 100 };

static void must(Rig *r, gboolean ok, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

static void must(Rig *r, gboolean ok, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (ok) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    rig_dump(r);
    g_error("%s (see %s)", text, r->dir);
}

void check_state(Rig *r, Side *s, const char *states, int ms)
{
    gboolean ok = watch_wait(s->watch, states, ms);
    WatchStatus now;

    watch_status(s->watch, &now);
    must(r, ok, "%s is \"%s\" (%s), not %s", s->name, now.state, now.detail,
         states);
}

void check_active(Rig *r)
{
    check_state(r, &r->pri, "active", SOON_MS);
    check_state(r, &r->sec, "active", SOON_MS);
}

void check_detail(Rig *r, Side *s, const char *text, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;
    WatchStatus now;

    do {
        watch_status(s->watch, &now);
        if (strstr(now.detail, text)) {
            return;
        }
        g_usleep(2000);
    } while (g_get_monotonic_time() < end);
    must(r, FALSE, "%s explains \"%s\" with \"%s\", not \"%s\"", s->name,
         now.state, now.detail, text);
}

void check_said(Rig *r, Side *s, const char *text, int ms)
{
    must(r, rig_output_has(s, text, ms), "%s never said \"%s\"", s->name, text);
}

void check_exit(Rig *r, Side *s, int code, const char *text)
{
    must(r, proc_wait(s->colod, SOON_MS), "colod of %s does not end", s->name);
    must(r, proc_code(s->colod) == code, "colod of %s ended with %d, not %d",
         s->name, proc_code(s->colod), code);
    check_said(r, s, text, 0);
}

static gboolean is_broken(Rig *r, Side *s)
{
    g_autoptr(GArray) lines = sim_log_read(s->guest_log);
    const SimLine *broken = sim_log_last(lines, "BROKEN", 0);
    const SimLine *load = sim_log_last(lines, "load", 0);

    return broken && (!r->strayed || !load || broken > load);
}

void check_guest(Rig *r, Side *s)
{
    must(r, proc_alive(s->qemu), "QEMU of %s is gone", s->name);
    must(r, rig_guest_runs(s, SOON_MS), "the guest of %s does not run",
         s->name);
    must(r, !is_broken(r, s), "the chain of %s is broken", s->name);
}

void check_guest_stopped(Rig *r, Side *s)
{
    must(r, !rig_guest_runs(s, 100), "the guest of %s runs", s->name);
}

void check_injected(Rig *r, Side *s, guint before)
{
    for (int i = 0; i < SOON_MS / 5; i++) {
        if (rig_log_count(s, "inject") > before) {
            return;
        }
        g_usleep(5000);
    }
    rig_dump(r);
    g_error("what was arranged on %s did not happen", s->name);
}

void check_inject(Rig *r, Side *s, const char *when, const char *what,
                  const char *act, gint64 ms)
{
    guint before = rig_log_count(s, "inject");

    rig_inject(s, when, what, act, ms);
    check_injected(r, s, before);
}

gint64 check_stat(Side *s, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = rig_colod(s, "query-colo-stats", NULL, &error);

    g_assert_no_error(error);
    return json_object_get_int_member(json_node_get_object(node), name);
}

int check_slow_ms(Side *s)
{
    g_autofree char *why = NULL;
    int ms = (int)(watch_worst_us(s->watch, &why) / 1000);

    if (ms < CONTROL_MS) {
        return 0;
    }
    g_print("%s", why);
    return ms;
}

static void check_quick(Rig *r, Side *s)
{
    int ms = check_slow_ms(s);

    must(r, !ms, "%s answered its control socket after %d ms", s->name, ms);
}

void check_end(Rig *r)
{
    check_quick(r, &r->pri);
    check_quick(r, &r->sec);
    must(r, !is_broken(r, &r->pri) && !is_broken(r, &r->sec),
         "a chain is broken");
    rig_free(r);
}
