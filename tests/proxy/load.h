/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of colo-proxy on real guests ask of their clients. */
#ifndef COLO_TESTS_PROXY_LOAD_H
#define COLO_TESTS_PROXY_LOAD_H

#include "tests/rig/rig.h"

/*
 * Every kind of session.  Paced: two guests, their proxies and all clients
 * share the test machine's processors.
 */
#define MIXED_LOAD                                                             \
    "--download 2 --upload 2 --tiny 4 --short 2 --random 2 --counter 2 "       \
    "--echo 4 --dial 4 --udp 2 --ping 2 --size 60000 --pace 25"

/* What all have in common; the rest is the test's. */
RigOptions load_options(gboolean periodic, guint delay_ms);

/* Roles as they are now. */
RigSide *load_primary(Rig *r);
RigSide *load_secondary(Rig *r);

/* Nothing lost, nothing wrong; returns the longest gap, ms. */
double load_good(JsonObject *figures);

/*
 * A mark, and that all was good since the last one.  Also frees it.  Returns
 * the longest gap.
 */
double load_mark(RigClient *c);
/* The same for the whole run, which ends. */
void load_end(RigClient *c);

/* Both sides are active, and checkpoints go on. */
void load_wait_protected(Rig *r);

/* A checkpoint that begins after this call is committed. */
void load_checkpoint(Rig *r);

/*
 * The primary's host vanishes; the other one has taken over when this
 * returns.  The guest's chain is unbroken.
 */
void load_take_over(Rig *r);

/* rig_swap(), when clients' connections no longer need the survivor's proxy. */
void load_swap(Rig *r);

#endif
