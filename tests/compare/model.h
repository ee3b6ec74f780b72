/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two guests that send the same, each in its own way, a client, checkpoints,
 * and an oracle that knows what the comparator may release.
 *
 * Theory of operation.  A connection has one stream of bytes.  Each guest cuts
 * it, repeats and reorders it as the seed says, with its own initial sequence
 * number, and acknowledges what it likes of what the client has sent.  A
 * checkpoint gives the SVM the PVM's state; from there it goes on by itself.
 * Some of what the SVM sends is handed in as digests of pieces of any size, and
 * what fetch() asks for is answered late; with a fault also not at all.
 * Some of the SVM's ACKs say that it has lost something (SACK).
 * With a fault, one of the SVM's streams has another byte, one too few or one
 * too many, until it is loaded.
 *
 * The oracle keeps, for each connection, what the SVM has sent since it was
 * last loaded (handed in, as the comparator saw it), and the PVM's state in
 * the last committed checkpoint.  I1: every byte and FIN of a release by match
 * is in one of the two.  I5: so is its ACK; one that was lowered is no lower
 * than those before, and when all has left the client knows the PVM's last.  A
 * release by checkpoint is of a packet before the capture that is being
 * committed.
 */
#ifndef COLO_TESTS_COMPARE_MODEL_H
#define COLO_TESTS_COMPARE_MODEL_H

#include "netcompare/compare/compare.h"

typedef struct Model Model;

/* Runs one schedule to its end; stops the test when a rule is broken. */
void model_run(guint64 seed, gboolean fault);

/* What all schedules together did, for the test to see that they do a lot. */
typedef struct ModelTotals {
    guint64 schedules, packets, matched, by_checkpoint, needs, windows, lowered;
    guint64 digests, fetched, gone, parts, in_parts;
    guint64 captures, cancels, commits, loads, offsets;
} ModelTotals;

extern ModelTotals model_totals;

#endif
