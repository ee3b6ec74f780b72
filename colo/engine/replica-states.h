/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replica's states, one table for both roles.
 *
 * docs/internals.md draws it from here, the tests walk it, and the engine
 * changes state in no other way.
 */
#ifndef COLO_REPLICA_STATES_H
#define COLO_REPLICA_STATES_H

#include <glib.h>

typedef enum {
    COLO_STATE_NONE,        /* not started */
    COLO_STATE_WAITING,     /* for the peer; nothing is protected yet */
    COLO_STATE_SYNCING,     /* the live full copy */
    COLO_STATE_ACTIVE,      /* protected */
    COLO_STATE_DEGRADED,    /* a proxy or a disk is not what it has to be */
    COLO_STATE_PAUSED,      /* the link is lost, waiting to go on */
    COLO_STATE_UNPROTECTED, /* the primary goes on alone, takes a peer back */
    COLO_STATE_TAKEOVER,    /* the secondary is taking over */
    COLO_STATE_ALONE,       /* took over, or replication was ended */
    COLO_STATE_ENDED,       /* the guest shut down */
    COLO_STATE_FAILED,      /* this side cannot do its job any more */
    COLO_STATE_COUNT,
} ColoState;

typedef enum {
    COLO_ON_START,          /* colod is ready */
    COLO_ON_FULL_COPY,      /* the peer is there; a full copy begins */
    COLO_ON_RESUME,         /* the peer is back; only what changed is sent */
    COLO_ON_COMMIT,         /* a checkpoint is committed */
    COLO_ON_COMMIT_OPEN,    /* one that the proxy had no part in */
    COLO_ON_PART_LOST,     /* colo-proxy, or the peer's; a disk */
    COLO_ON_LINK_LOST,      /* the ft stream broke */
    COLO_ON_PEER_LOST,      /* heartbeat lost, or the peer left */
    COLO_ON_TAKE_OVER,      /* decided: the secondary takes over */
    COLO_ON_TAKEN_OVER,     /* the secondary's guest runs alone */
    COLO_ON_END,            /* the operator ended replication */
    COLO_ON_SHUTDOWN,       /* the guest shut down */
    COLO_ON_FAILURE,
    COLO_ON_COUNT,
} ColoTrigger;

typedef struct ColoStateRow {
    ColoState from;
    ColoTrigger on;
    ColoState to;
    const char *who;        /* primary, secondary, both */
} ColoStateRow;

const ColoStateRow *colo_state_table(gsize *n);
const char *colo_state_name(ColoState state);
const char *colo_trigger_name(ColoTrigger on);

/* The next state, or -1: the table has no such step. */
int colo_state_next(ColoState from, ColoTrigger on, gboolean primary);

#endif
