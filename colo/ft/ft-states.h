/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state machines of the ft stream's two ends, as tables.
 *
 * The names of the modes are Kemari's enum FT_MODE; READY is ours, for a
 * connection between transactions.  docs/internals.md draws both machines
 * from these tables (docs/states-dump prints them).
 */
#ifndef COLO_FT_STATES_H
#define COLO_FT_STATES_H

#include "colo/ft/ft-proto.h"

typedef enum {
    FT_ERROR = -1,          /* a transaction failed; the next begins anew */
    FT_OFF,                 /* no ft mode */
    FT_INIT,                /* INIT is on its way */
    FT_TRANSACTION_BEGIN,   /* begun, nothing of it sent yet */
    FT_TRANSACTION_ITER,    /* payloads are on their way */
    FT_TRANSACTION_COMMIT,  /* COMMIT is on its way, waiting for the answer */
    FT_TRANSACTION_ATOMIC,  /* the same for a transaction in one frame */
    FT_TRANSACTION_RECV,    /* receiving payloads */
    FT_READY,               /* connected, between transactions */
} FtMode;

typedef enum { FT_SENDER, FT_RECEIVER } FtRole;
typedef enum { FT_SEND, FT_RECV } FtDirection;

/* Which of the two CANCELs a row means; for other commands 0. */
typedef enum { FT_SCOPE_ANY, FT_SCOPE_TRANSACTION, FT_SCOPE_MODE } FtScope;

typedef struct FtTransition {
    FtMode from;
    FtDirection direction;
    FtCmd cmd;
    FtScope scope;
    FtMode to;
} FtTransition;

/* The table of a role and its number of rows. */
const FtTransition *ft_transitions(FtRole role, gsize *n);
const char *ft_mode_name(FtMode mode);

/*
 * Take one step: *mode becomes the next mode.  FALSE, and *mode unchanged,
 * when the table has no such step: the frame must not be sent, or, if it
 * was received, the peer broke the protocol.
 */
gboolean ft_step(FtRole role, FtMode *mode, FtDirection direction, FtCmd cmd,
                 FtScope scope);

#endif
