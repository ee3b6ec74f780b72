/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two simulated VMs and what the engine does for them, for tests of the
 * stream: real sender, receiver, hold and log between a primary whose guest
 * writes all the time and a secondary that applies what is committed.
 *
 * The device state carries the hash of the RAM that it belongs to, so a
 * state that mixes two epochs shows by itself.
 */
#ifndef TESTS_FT_SIM_H
#define TESTS_FT_SIM_H

#include "pair.h"
#include "relay.h"
#include "colo/ft/ft-log.h"

#define SIM_PAGES 160
#define SIM_RAM   (SIM_PAGES * COLO_PAGE_SIZE)

typedef struct SimState {
    guint64 epoch;
    guint64 ram_hash;
    guint8 rest[3000];
} SimState;

typedef struct SimPrimary {
    guint8 *ram;
    ColoBitmap *dirty;
    guint32 writes;         /* steps that the guest has made */
    guint64 chain;          /* over all its writes; kept in page 0 */

    Tx tx;
    FtLog *log;
    guint64 epoch;          /* last acknowledged */
    gboolean open, inherit;
    SimState captured;      /* the last capture, committed or not */
} SimPrimary;

typedef struct SimSecondary {
    guint8 *ram;            /* the guest's */
    gboolean runs;          /* colo mode: the guest runs and writes, too */
    ColoBitmap *dirty;      /* what it wrote since */
    guint64 ram_hash;       /* of ram, as the guest left it */
    guint64 loaded;         /* epoch in the guest; 0: none */
    guint64 sealed;         /* epoch of the disk */
    gboolean refuse_next;   /* atomic: the disk fails once */

    Rx rx;
    FtHold *hold;
    GThread *loader;
    GAsyncQueue *work;
    GAsyncQueue *done;
} SimSecondary;

typedef struct Sim {
    SimPrimary p;
    SimSecondary s;
    Relay *relay;
    GRand *rand;
    gboolean steadfast; /* the primary gives no transaction up */
    FtCoding coding;    /* of this link */

    /* What happened */
    guint commits, acks_lost, resumed, lost_pages, nacks, lost, breaks,
        cancels, atomics, links;
} Sim;

Sim *sim_new(guint32 seed, gboolean colo_mode);
void sim_free(Sim *sim);

/* Forget the session: the next link begins with a full copy. */
void sim_new_session(Sim *sim);

/* Connect through a wire with that plan, resuming if there is a session. */
void sim_connect(Sim *sim, const RelayPlan *plan);

/*
 * Try n checkpoints; returns how many were acknowledged, fewer if the link
 * was lost meanwhile.
 */
guint sim_checkpoints(Sim *sim, guint n);

/*
 * After the link's end, wanted or not: what a takeover would start from
 * must be one whole epoch, at least the last acknowledged one.
 */
void sim_disconnect(Sim *sim);

#endif
