/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of colod with a proxy share. */
#include "tests/sim/output-check.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

guint said(Side *s, const char *word)
{
    g_autoptr(GArray) all = sim_log_read(s->proxy_log);

    return sim_log_count(all, word);
}

const char *last_said(Side *s)
{
    g_autoptr(GArray) all = sim_log_read(s->proxy_log);

    g_assert_cmpuint(all->len, >, 0);
    return g_intern_string(g_array_index(all, SimLine, all->len - 1).word);
}

void must(Rig *r, gboolean ok, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (!ok) {
        va_start(ap, fmt);
        text = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        rig_dump(r);
        g_error("%s (see %s)", text, r->dir);
    }
}

/* Wait for one more of this command than there were. */
void wait_said(Rig *r, Side *s, const char *word, guint before)
{
    gint64 end = g_get_monotonic_time() + SOON_MS * 1000;

    while (said(s, word) <= before) {
        must(r, g_get_monotonic_time() < end, "%s's proxy was not told %s",
             s->name, word);
        g_usleep(2000);
    }
}

/* The time of the last line with this word, µs; 0: none. */
gint64 time_of(const char *log, const char *word)
{
    g_autoptr(GArray) all = sim_log_read(log);
    const SimLine *l = sim_log_last(all, word, 0);

    return l ? l->time_us : 0;
}

Rig *start_rig(RigOptions *o)
{
    Rig *r;

    o->proxy = TRUE;
    r = rig_new(o);
    rig_start(r);
    check_active(r);
    wait_said(r, &r->pri, "commit", 0);
    /* What is counted begins here. */
    g_assert_cmpint(g_unlink(r->pri.proxy_log), ==, 0);
    return r;
}

Rig *active_rig(gboolean periodic)
{
    RigOptions o = {.periodic = periodic};

    return start_rig(&o);
}

/* No command came where it makes no sense, and all that check_end() does. */
void end(Rig *r)
{
    must(r, !said(&r->pri, "BAD") && !said(&r->sec, "BAD"),
         "a command came where it makes no sense");
    check_end(r);
}

/* Protected again, and RAM was not copied anew for that. */
void check_healed(Rig *r)
{
    check_active(r);
    g_assert_cmpuint(rig_full_copies(r), ==, 1);
    check_guest(r, &r->pri);
}

void take_over(Rig *r)
{
    guint before = said(&r->sec, "takeover");

    proc_kill(r->pri.qemu);
    check_state(r, &r->sec, "alone", SOON_MS);
    check_guest(r, &r->sec);
    wait_said(r, &r->sec, "takeover", before);
}
