/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's engine.
 *
 * Theory of operation.  Between the peer and us lies one transaction at a
 * time.  Dirty pages are copied into buffers and sent while the guest runs
 * ("ahead"); a page written again later is simply dirty again.  At the
 * checkpoint a few short rounds of that leave only what the guest wrote in
 * the last milliseconds; then the guest is stopped, the rest is copied,
 * QEMU writes its device state meanwhile, the guest runs on, and COMMIT
 * closes the transaction.  The live full copy is the same with every page
 * dirty at first.
 *
 * Which pages the peer lacks is always known: dirty holds those not queued
 * yet, log those queued in the open transaction, by payload.  When a
 * transaction fails or the link breaks, those that did not arrive go back
 * into dirty; nothing else needs to be remembered.
 *
 * All of it belongs to the engine's thread.
 */
#ifndef COLO_PRIMARY_H
#define COLO_PRIMARY_H

#include "colo/engine/engine.h"
#include "colo/ft/ft-hello.h"
#include "colo/ft/ft-log.h"

typedef enum {
    PHASE_OFFLINE,      /* no sender */
    PHASE_IDLE,         /* connected; a transaction may be open */
    PHASE_CLOSING,      /* a checkpoint is due: sending ahead, then capture */
    PHASE_COMMITTING,   /* COMMIT is queued, ACK is awaited */
} PrimaryPhase;

typedef struct PrimaryLink PrimaryLink;

/* primary-disks.c */
typedef struct PrimaryDisks {
    ColoDiskState shown[COLO_MAX_DISKS]; /* what clients were told */
    gint64 shown_at;
    gboolean started;       /* mirrors are there, or will be */
    gboolean noted;         /* that the first checkpoint waits for them */
    gboolean lost;          /* no checkpoint could be made, none was since */
    gboolean cutting;
    gint64 cut_us;          /* what the cut under way has cost the guest */
    guint refusals;         /* of the seal, one after another */
    gint64 refused_since;   /* but for want of room; 0: it was not */
} PrimaryDisks;

typedef struct Primary {
    ColoEngine *e;
    PrimaryLink *link;
    FtPool *pool;
    FtSender *sender;
    guint generation;       /* of sender: tells late events apart */
    PrimaryPhase phase;

    char *session;          /* agreed with the peer; NULL: none */
    guint64 epoch;          /* last one that the peer has acknowledged */
    gboolean open;          /* a transaction has begun */
    guint16 id;             /* its frames' id */
    gboolean inherit;       /* the peer holds pages of this epoch already */
    ColoBitmap *dirty;      /* not queued since they were written */
    gsize cursor;           /* where copying goes on in dirty */
    FtLog *log;             /* queued in the open transaction */
    int nacks;              /* in a row */
    int failures;           /* captures that QEMU refused, in a row */
    gint64 not_before;      /* when the next capture may be tried */
    gint64 next_check;      /* of what others may plug into QEMU */

    gint64 delay_us;        /* x-checkpoint-delay */
    gint64 next_checkpoint, next_ahead, ahead_interval;
    char *request;          /* why a checkpoint was asked for; NULL: timer */
    const char *request_kind; /* the same in one word, for statistics */
    gboolean due;
    int rounds;             /* of sending ahead in this closing */
    gsize last_round;       /* pages dirty at its start */
    gint64 grid;            /* when the checkpoint under way was due */
    gboolean yielded;       /* the secondary took over: never run again */
    gboolean stop_owed;     /* and it did not answer when it was to stop */
    gint64 reopen_at;       /* VM lost but alive: when to try again */
    int hung;               /* pidfd of a QEMU that did not answer; or -1 */

    /* The proxy (primary-output.c) */
    gint64 held_since;      /* since when there is a grace; 0: there is none */
    gint64 pass_at;         /* when output is no longer held; 0: not decided */
    gint64 aging_since;     /* no checkpoint is made; 0: they are */
    gint64 old_at;          /* when the last one is too old; 0: not decided */
    gint64 stalled_at;      /* when the checkpoint asked for is late; or 0 */
    gboolean healing;       /* degraded, ready, and a checkpoint is asked for */

    PrimaryDisks disks;

    /* The checkpoint under way, for its event and statistics */
    char *reason;
    const char *reason_kind;
    gint64 resumed, paused_us, capture_us;
    gsize pages, zero_pages, last_pages;
    guint64 bytes_before;   /* ft_sender_bytes() when it began */
} Primary;

/* --- primary.c --------------------------------------------------------- */

/* As soon as possible.  kind: for statistics; why: for the event. */
void primary_ask_checkpoint(Primary *p, const char *kind, const char *why);

/* --- primary-copy.c ---------------------------------------------------- */

/*
 * Copy dirty pages to b until it is full or none is left.  FALSE: none was
 * left to begin with.
 */
gboolean primary_fill(Primary *p, FtBuf *b);

/* Queue a filled buffer as part of the open transaction. */
void primary_queue(Primary *p, FtBuf *b);

/* Pages in a buffer that is not going to be queued are dirty again. */
void primary_drop(Primary *p, FtBuf *b);

/* Begin a transaction unless one is open. */
void primary_begin(Primary *p);

/*
 * Copy and queue dirty pages while there are buffers; TRUE when none is
 * dirty any more (so far as it was collected).
 */
gboolean primary_send_ahead(Primary *p);

/* Every page is dirty; those that were never written are sent as zero. */
void primary_all_dirty(Primary *p);
void primary_send_holes(Primary *p);

/* --- primary-checkpoint.c ---------------------------------------------- */

/* Stop, save, copy, resume, queue COMMIT. */
gboolean primary_capture(Primary *p, GError **error);

/* Give the open transaction up; its pages are dirty again. */
void primary_cancel(Primary *p);
void primary_committed(Primary *p, guint64 epoch);

/* The peer holds this epoch: output until its capture leaves.  TRUE: the
 * proxies of both sides had part in it. */
gboolean primary_release(Primary *p, guint64 epoch);

/* --- primary-session.c -------------------------------------------------- */

/* Look for the peer, to go on with the session or to begin one. */
void primary_connect(Primary *p);

/* INIT was exchanged: resume, or begin with a full copy.  Takes up->fd. */
struct ColoLinkUp;
void primary_link_up(Primary *p, struct ColoLinkUp *up);
void primary_link_failed(Primary *p, guint32 code, const char *text);

/* Is there a peer that has, or is getting, a copy of the guest? */
gboolean primary_has_peer(const Primary *p);

/* The stream is gone; the peer may be as well. */
void primary_lose_link(Primary *p, const char *why);
void primary_heartbeat_lost(Primary *p);
void primary_peer_left(Primary *p, const ColoMsg *m);

/* Leave the ft mode in order; the peer is told why. */
void primary_end_session(Primary *p, FtCancel code, const char *text);

/* The operator's end of replication: the guest goes on alone. */
void primary_end_replication(Primary *p);

/* --- primary-output.c --------------------------------------------------- */

/*
 * Let what the proxy holds leave, and hold nothing until the next capture.
 * orderly: somebody here wanted protection to end; otherwise --fail-closed
 * forbids it.
 */
void primary_output_pass(Primary *p, gboolean orderly);

/*
 * The same, and this guest may be heard whatever was before: the proxy may
 * have been blocked by us, or by the peer's when that took over.
 */
void primary_output_begin(Primary *p, gboolean orderly);

/* The peer was just lost: the grace begins now. */
void primary_output_restart_grace(Primary *p);

/* Is the next capture one of the output, too? */
gboolean primary_output_is_captured(const Primary *p);

/*
 * Tell the secondary when its checkpoint is too old to go on from by itself.
 * Before primary_watch_proxy(): it has to know before output passes.
 */
void primary_watch_age(Primary *p);

/* Act on the proxy's news and on the time. */
void primary_watch_proxy(Primary *p);

/* --- primary-disks.c; where there is no disk they do nothing ------------- */

/* With a VM that was just opened. */
gboolean primary_open_disks(Primary *p, GError **error);
void primary_offer_disks(Primary *p, FtHello *h);

/* The peer has agreed.  whole: its disks are empty. */
void primary_start_disks(Primary *p, gboolean whole);

/*
 * Take the mirrors down, step by step (all: also what a predecessor of ours
 * left); or within some seconds.
 */
void primary_stop_disks(Primary *p, gboolean all);
void primary_detach_disks(Primary *p);

/* Can a checkpoint be tried, and did the last try not say that it is vain? */
gboolean primary_disks_are_ready(const Primary *p);
gboolean primary_disks_are_well(const Primary *p);
/* It cannot: the first one waits. */
void primary_wait_for_disks(Primary *p);

/*
 * In the pause: have the secondary's disks sealed, and wait for that.  TRUE
 * for the end if it was not begun.
 */
gboolean primary_cut_begin(Primary *p, GError **error);
gboolean primary_cut_end(Primary *p, gint64 deadline, GError **error);

/* It failed.  FALSE: it is refused for so long that all has to begin anew. */
gboolean primary_cut_failed(Primary *p, const GError *error);
gint64 primary_cut_pause(const Primary *p); /* until the next try, us */

/* Protection is not what it was, unless that was said. */
void primary_degrade_disks(Primary *p, const char *reason);

/* Act on the disks' news. */
void primary_watch_disks(Primary *p);

/* --- primary-link.c ---------------------------------------------------- */

/* What COLO_MSG_LINK_UP carries. */
typedef struct ColoLinkUp {
    int fd;
    FtHello *hello;         /* the peer's answer */
} ColoLinkUp;

void colo_link_up_free(ColoLinkUp *u); /* closes fd if it is not -1 */

PrimaryLink *primary_link_new(const ColoConfig *config, ColoMailbox *engine);
void primary_link_free(PrimaryLink *l);

/*
 * Connect as soon as possible and go on trying until it succeeds (LINK_UP)
 * or the peer refuses us (LINK_FAILED).  hello: what to say, copied.
 */
void primary_link_connect(PrimaryLink *l, const FtHello *hello);
void primary_link_stop(PrimaryLink *l);

#endif
