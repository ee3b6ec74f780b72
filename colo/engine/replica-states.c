/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The replica's state table. */
#include "colo/engine/replica-states.h"

#define PRI  "primary"
#define SEC  "secondary"
#define BOTH "both"

#define STATE(x) COLO_STATE_##x
#define ROW(from, on, to, who) {STATE(from), COLO_ON_##on, STATE(to), who}

static const ColoStateRow table[] = {
    ROW(NONE, START, WAITING, BOTH),
    ROW(NONE, TAKEN_OVER, ALONE, SEC), /* colod restarted after a takeover */
    ROW(NONE, FAILURE, FAILED, BOTH),

    ROW(WAITING, FULL_COPY, SYNCING, BOTH),
    ROW(WAITING, PEER_LOST, WAITING, BOTH),
    ROW(WAITING, END, ALONE, PRI),
    ROW(WAITING, SHUTDOWN, ENDED, BOTH),
    ROW(WAITING, FAILURE, FAILED, BOTH),

    ROW(SYNCING, FULL_COPY, SYNCING, BOTH),
    ROW(SYNCING, RESUME, SYNCING, PRI),
    ROW(SYNCING, COMMIT, ACTIVE, BOTH),
    ROW(SYNCING, COMMIT_OPEN, DEGRADED, BOTH),
    ROW(SYNCING, LINK_LOST, PAUSED, BOTH),
    ROW(SYNCING, PEER_LOST, UNPROTECTED, PRI),
    ROW(SYNCING, END, ALONE, PRI),
    ROW(SYNCING, END, WAITING, SEC), /* the primary ended it, or died */
    ROW(SYNCING, SHUTDOWN, ENDED, BOTH),
    ROW(SYNCING, FAILURE, FAILED, BOTH),

    ROW(ACTIVE, COMMIT, ACTIVE, BOTH),
    ROW(ACTIVE, COMMIT_OPEN, DEGRADED, BOTH),
    ROW(ACTIVE, PART_LOST, DEGRADED, BOTH),
    ROW(ACTIVE, FULL_COPY, SYNCING, BOTH),
    ROW(ACTIVE, RESUME, SYNCING, PRI),
    ROW(ACTIVE, RESUME, ACTIVE, SEC),
    ROW(ACTIVE, LINK_LOST, PAUSED, BOTH),
    ROW(ACTIVE, PEER_LOST, UNPROTECTED, PRI),
    ROW(ACTIVE, PEER_LOST, PAUSED, SEC),
    ROW(ACTIVE, TAKE_OVER, TAKEOVER, SEC),
    ROW(ACTIVE, END, ALONE, PRI),
    ROW(ACTIVE, END, WAITING, SEC),
    ROW(ACTIVE, SHUTDOWN, ENDED, BOTH),
    ROW(ACTIVE, FAILURE, FAILED, BOTH),

    ROW(DEGRADED, COMMIT, ACTIVE, BOTH), /* the proxy took part */
    ROW(DEGRADED, COMMIT_OPEN, DEGRADED, BOTH),
    ROW(DEGRADED, PART_LOST, DEGRADED, BOTH),
    ROW(DEGRADED, FULL_COPY, SYNCING, BOTH),
    ROW(DEGRADED, RESUME, SYNCING, PRI),
    ROW(DEGRADED, RESUME, DEGRADED, SEC),
    ROW(DEGRADED, LINK_LOST, PAUSED, BOTH),
    ROW(DEGRADED, PEER_LOST, UNPROTECTED, PRI),
    ROW(DEGRADED, PEER_LOST, PAUSED, SEC),
    ROW(DEGRADED, TAKE_OVER, TAKEOVER, SEC),
    ROW(DEGRADED, END, ALONE, PRI),
    ROW(DEGRADED, END, WAITING, SEC),
    ROW(DEGRADED, SHUTDOWN, ENDED, BOTH),
    ROW(DEGRADED, FAILURE, FAILED, BOTH),

    ROW(PAUSED, COMMIT, ACTIVE, SEC), /* the heartbeat is back */
    ROW(PAUSED, COMMIT_OPEN, DEGRADED, SEC),
    ROW(PAUSED, LINK_LOST, PAUSED, BOTH),
    ROW(PAUSED, FULL_COPY, SYNCING, BOTH),
    ROW(PAUSED, RESUME, SYNCING, PRI),
    ROW(PAUSED, RESUME, ACTIVE, SEC),
    ROW(PAUSED, PEER_LOST, UNPROTECTED, PRI),
    ROW(PAUSED, PEER_LOST, PAUSED, SEC), /* waits for the operator */
    ROW(PAUSED, TAKE_OVER, TAKEOVER, SEC),
    ROW(PAUSED, END, ALONE, PRI),
    ROW(PAUSED, END, WAITING, SEC),
    ROW(PAUSED, SHUTDOWN, ENDED, BOTH),
    ROW(PAUSED, FAILURE, FAILED, BOTH),

    ROW(UNPROTECTED, LINK_LOST, UNPROTECTED, PRI),
    ROW(UNPROTECTED, PEER_LOST, UNPROTECTED, PRI),
    ROW(UNPROTECTED, FULL_COPY, SYNCING, PRI),
    ROW(UNPROTECTED, RESUME, SYNCING, PRI),
    ROW(UNPROTECTED, END, ALONE, PRI),
    ROW(UNPROTECTED, SHUTDOWN, ENDED, PRI),
    ROW(UNPROTECTED, FAILURE, FAILED, PRI),

    ROW(TAKEOVER, TAKEN_OVER, ALONE, SEC),
    ROW(TAKEOVER, FAILURE, FAILED, SEC),

    ROW(ENDED, START, WAITING, BOTH),  /* QEMU was started again */
    ROW(FAILED, START, WAITING, BOTH),
    ROW(FAILED, TAKEN_OVER, ALONE, SEC), /* at another attempt */

    ROW(ALONE, SHUTDOWN, ENDED, BOTH),
    ROW(ALONE, FAILURE, FAILED, BOTH),
};

const ColoStateRow *colo_state_table(gsize *n)
{
    *n = G_N_ELEMENTS(table);
    return table;
}

const char *colo_state_name(ColoState state)
{
    static const char *const names[COLO_STATE_COUNT] = {
        "none",   "waiting",     "syncing",  "active", "degraded",
        "paused", "unprotected", "takeover", "alone",  "ended",
        "failed",
    };

    return names[state];
}

const char *colo_trigger_name(ColoTrigger on)
{
    static const char *const names[COLO_ON_COUNT] = {
        "start",      "full copy", "resume",    "commit",
        "commit without proxy",    "part lost", "link lost",
        "peer lost",  "take over", "taken over", "end",
        "shutdown",   "failure",
    };

    return names[on];
}

int colo_state_next(ColoState from, ColoTrigger on, gboolean primary)
{
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].from == from && table[i].on == on &&
            table[i].who[0] != (primary ? 's' : 'p')) {
            return (int)table[i].to;
        }
    }
    return -1;
}
