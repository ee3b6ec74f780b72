/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Assertions about a rig; a failure shows both sides' logs first. */
#ifndef TESTS_SIM_RIG_CHECK_H
#define TESTS_SIM_RIG_CHECK_H

#include "tests/sim/rig.h"

/* Both sides protected. */
void check_active(Rig *r);

/* In one of the states ("a|b") within ms. */
void check_state(Rig *r, Side *s, const char *states, int ms);

/* Its status explains itself with this text, within ms. */
void check_detail(Rig *r, Side *s, const char *text, int ms);

/* Its log has a line with this text, within ms. */
void check_said(Rig *r, Side *s, const char *text, int ms);

/* colod ends by itself with this exit code and says this. */
void check_exit(Rig *r, Side *s, int code, const char *text);

/* The guest goes on; its chain is whole. */
void check_guest(Rig *r, Side *s);
void check_guest_stopped(Rig *r, Side *s);

/* rig_inject(), and then: it has happened. */
void check_inject(Rig *r, Side *s, const char *when, const char *what,
                  const char *act, gint64 ms);
/* The same of what was arranged when the log had so many lines "inject". */
void check_injected(Rig *r, Side *s, guint before);

/*
 * How long the slowest answer of its control socket took, and on stdout what
 * kept it; 0: all came within 100 ms.
 */
int check_slow_ms(Side *s);

/* A number of query-colo-stats. */
gint64 check_stat(Side *s, const char *name);

/*
 * At the end of each test: nothing broke, and the control sockets answered
 * within 100 ms all the time.  Frees r.
 */
void check_end(Rig *r);

#endif
