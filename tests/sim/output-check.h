/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of colod with a proxy share. */
#ifndef TESTS_SIM_OUTPUT_CHECK_H
#define TESTS_SIM_OUTPUT_CHECK_H

#include "tests/sim/rig-check.h"

/* How often this side's proxy was told this, and what it was told last. */
guint said(Side *s, const char *word);
const char *last_said(Side *s);

/* Wait for one more of this command than there were. */
void wait_said(Rig *r, Side *s, const char *word, guint before);

/* The time of the last line with this word, µs; 0: none. */
gint64 time_of(const char *log, const char *word);

void must(Rig *r, gboolean ok, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* Both sides with proxies and protected; what is said counts from now on. */
Rig *start_rig(RigOptions *o);
Rig *active_rig(gboolean periodic);

/* Protected again, and RAM was not copied anew for that. */
void check_healed(Rig *r);

/* The primary's QEMU dies. */
void take_over(Rig *r);

/* No command came where it makes no sense, and all that check_end() does. */
void end(Rig *r);

#endif
