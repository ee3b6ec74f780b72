/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secondary's engine.
 *
 * Theory of operation.  A connection's thread receives transactions into
 * the hold and acknowledges them.  Each commit is then taken here: pages
 * that the primary changed, and in colo mode those that our own guest
 * changed since, are copied from the hold's cache into the guest's RAM, the
 * device state is loaded, and the guest runs on.  In periodic mode the
 * guest does not run; pages are copied at each commit, and the device state
 * is kept for the takeover.
 *
 * The next transaction's pages are received only when the last commit has
 * been taken, so at any moment the guest, the cache and the kept device
 * state are enough to go on from exactly one epoch (I4).
 */
#ifndef COLO_SECONDARY_H
#define COLO_SECONDARY_H

#include "colo/engine/engine.h"
#include "colo/ft/ft-hello.h"
#include "colo/ft/ft-receiver.h"

typedef struct SecondaryLink SecondaryLink;

/* One incoming connection, and the thread that serves it. */
typedef struct ColoConn {
    guint64 id;             /* never used twice */
    GThread *thread;
    int fd;
    char *from;             /* the peer's address, for messages */
    FtHello *hello;         /* what the peer said */

    GMutex lock;            /* guards down to receiver */
    GCond decided;
    gboolean verdict;       /* given: by accept or by nack */
    FtHello *accept;        /* answer, or NULL: nack */
    FtNote nack;
    gboolean stop;
    FtReceiver *receiver;   /* while receiving */

    FtHold *hold;           /* set with accept */

    /* How it ended; valid once the thread has ended */
    gboolean cancelled;     /* by the peer: note */
    FtNote note;
    char *error;            /* otherwise */
} ColoConn;

/* Listen at the configured address.  disks: sealed before each ACK, or NULL. */
SecondaryLink *secondary_link_new(const ColoConfig *config,
                                  ColoMailbox *engine, ColoDiskServer *disks,
                                  GError **error);

/* Accept no more; those who have not said INIT yet are sent away. */
void secondary_link_stop(SecondaryLink *l);

/*
 * Wait a moment for the connections' threads; FALSE: some are left (they
 * may wait for an answer to their offer).  l may be NULL.
 */
gboolean secondary_link_free(SecondaryLink *l);

/* Answers to COLO_MSG_OFFER.  answer: transfer full. */
void secondary_conn_accept(ColoConn *c, FtHello *answer, FtHold *hold);
void secondary_conn_refuse(ColoConn *c, guint32 code, const char *text);

/*
 * End a connection and wait for its thread (which never waits for the peer
 * alone).  cancel: tell the peer why, 0: just end.  c stays valid.
 */
void secondary_conn_end(ColoConn *c, FtCancel cancel, const char *text);

/* After that: has the peer closed its end?  Waits up to ms for news. */
gboolean secondary_conn_closed(ColoConn *c, int ms);
void secondary_conn_free(ColoConn *c);

typedef struct Secondary {
    ColoEngine *e;
    SecondaryLink *link;
    FtHold *hold;           /* while there is a VM */
    ColoConn *conn;         /* the primary's */
    char *session, *primary_instance;
    guint64 heartbeat_key;
    gboolean periodic;
    gboolean complete;      /* there is an epoch to take over from */
    gboolean with_proxy;    /* the proxy had part in the last commit */
    gboolean stale;         /* the primary went on without us since */
    gint64 clock_us;        /* by how much the last load moved the clocks */
    GByteArray *state;      /* device state of the last commit */
    ColoBitmap *touched;    /* pages to copy into the guest */
    gint64 reopen_at;       /* when to look for QEMU again; 0: it is there */
    gboolean fencing;
    gboolean vm_died;       /* the primary's QEMU, says its colod */
    gint64 said_silent_us;  /* of the silence that was last said of QEMU */
} Secondary;

/* --- secondary.c -------------------------------------------------------- */

/* Take what was committed, if anything was; FALSE: the VM is lost by that. */
gboolean secondary_catch_up(Secondary *s);

/* The VM cannot be driven any more, for this reason. */
void secondary_lose_vm(Secondary *s, const char *why);

/* --- secondary-session.c ------------------------------------------------ */

/* A primary asks to be served (COLO_MSG_OFFER).  c: transfer full. */
void secondary_offer(Secondary *s, ColoConn *c);

/* End the primary's connection, if there is one, as secondary_conn_end(). */
void secondary_end_conn(Secondary *s, FtCancel cancel, const char *text);
void secondary_forget_session(Secondary *s);

/* Its checkpoint, in the status: is there one, and is it stale? */
void secondary_show_copy(Secondary *s);

/* --- secondary-takeover.c ----------------------------------------------- */

/* The primary does not answer: its link or all of it is gone. */
gboolean secondary_is_alone(const Secondary *s);
/* It is all of it, as far as is known. */
gboolean secondary_is_last(const Secondary *s);

/* reason: as in COLO_EXIT; why: for the operator. */
void secondary_take_over(Secondary *s, const char *reason, const char *why);

/*
 * A primary whose guest was heard after our checkpoint, or that ended
 * protection in order, leaves it behind.
 */
void secondary_watch_age(Secondary *s);

/* What happened to the primary (what), and what that means. */
void secondary_primary_gone(Secondary *s, const char *what);

/* Its QEMU died, says its colod: no fencing is needed. */
void secondary_primary_died(Secondary *s, const char *what);

/* It ended the ft mode and said why. */
void secondary_primary_left(Secondary *s, const FtNote *note);

/* The fence command has ended. */
void secondary_fenced(Secondary *s, int status);

/* --- secondary-load.c --------------------------------------------------- */

/* Take the hold's commit into the guest; the receiver may go on after. */
gboolean secondary_take_commit(Secondary *s, GError **error);

/*
 * Make the guest run alone from the last commit, and from its own run
 * since in colo mode.
 */
gboolean secondary_run_guest(Secondary *s, GError **error);

/* --- secondary-disks.c; where there is no disk they do nothing ---------- */

/* Why these disks do not fit ours, or NULL; g_free(). */
char *secondary_check_disks(Secondary *s, const FtHello *h);

/* The session has the disks; anew: they begin empty. */
gboolean secondary_begin_disks(Secondary *s, gboolean anew, GError **error);

/* On a connection's thread, before the ACK: they hold this epoch. */
gboolean secondary_seal_disks(guint64 epoch, ColoDiskServer *disks,
                              GError **error);

/* The guest, which stands still, sees this epoch; or they are its own. */
gboolean secondary_load_disks(Secondary *s, guint64 epoch, GError **error);
gboolean secondary_promote_disks(Secondary *s, GError **error);

/* --- fence.c ------------------------------------------------------------ */

/*
 * Run a shell command on a thread of its own; its exit status arrives as
 * COLO_MSG_FENCED (-1: it could not be run).
 */
void colo_fence(const char *command, const char *name, const char *peer,
                ColoMailbox *engine);

#endif
