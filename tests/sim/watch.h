/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching a colod over its control socket: a thread that asks for its
 * status again and again, keeps the answers and the events, and measures
 * how long each answer took.  It connects anew when colod is restarted.
 */
#ifndef TESTS_SIM_WATCH_H
#define TESTS_SIM_WATCH_H

#include <json-glib/json-glib.h>

typedef struct WatchStatus {
    gboolean connected;
    guint64 serial; /* answers so far */
    char state[16], mode[16], reason[16], heartbeat[8], tracker[16];
    char detail[256];
    gboolean guest_running;
    guint64 epoch;
} WatchStatus;

typedef struct WatchEvent {
    gint64 time_us; /* colod's stamp, UNIX epoch */
    char name[32];
    char state[16];  /* COLO_STATE */
    char reason[24]; /* COLO_CHECKPOINT, COLO_EXIT */
    guint64 epoch;
} WatchEvent;

typedef struct Watch Watch;

Watch *watch_new(const char *control);
void watch_free(Watch *w);

/* The latest; not one from before an event that was seen already. */
void watch_status(Watch *w, WatchStatus *s);

/* Wait for one of the states (separated by "|"); FALSE after ms. */
gboolean watch_wait(Watch *w, const char *states, int ms);

/* The number of events so far, and the i-th. */
guint watch_events(Watch *w);
WatchEvent watch_event(Watch *w, guint i);

/* The last event of this name from number from on; FALSE: none. */
gboolean watch_last(Watch *w, const char *name, guint from, WatchEvent *e);

/* The same, waiting for at most ms until there is one. */
gboolean watch_wait_event(Watch *w, const char *name, int ms, WatchEvent *e);

/*
 * The slowest answer so far, without the time for which the threads of the
 * two processes concerned were kept waiting for a processor.  why: where they
 * were meanwhile, as comments; transfer full.
 */
gint64 watch_worst_us(Watch *w, char **why);

#endif
