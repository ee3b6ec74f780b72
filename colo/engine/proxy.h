/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy of this VM: colo-proxy on this host, which holds the guest's
 * output, as colod sees it.
 *
 * colod is the client of the proxy's control socket.  Where nobody listens
 * it is looked for twice a second.  Nothing here fails: a proxy that is not
 * there, refuses a command or does not answer in time is not "ready", the
 * reason is kept for the operator, and the engine looks at that where it
 * matters.  A proxy that is silent is dropped and looked for again.
 *
 * It belongs to the engine's thread.  No call takes noticeably long but
 * those that say so.
 */
#ifndef COLO_PROXY_H
#define COLO_PROXY_H

#include "colo/engine/config.h"
#include "colo/engine/status.h"

typedef struct ColoProxy ColoProxy;

ColoProxy *colo_proxy_new(const ColoConfig *config, ColoStatus *status);
void colo_proxy_free(ColoProxy *p);

/*
 * For poll(2): -1 if there is nothing to wait for; when to call dispatch at
 * the latest (monotonic, -1: never); and the call itself, which looks for
 * the proxy and reads what it said.
 */
int colo_proxy_fd(const ColoProxy *p);
gint64 colo_proxy_deadline(const ColoProxy *p);
void colo_proxy_dispatch(ColoProxy *p);

/* Was there ever one, or does the configuration ask for one? */
gboolean colo_proxy_is_wanted(const ColoProxy *p);

/* Connected to us and to the peer's proxy, which has its colod. */
gboolean colo_proxy_is_ready(const ColoProxy *p);

/* Why it is not ready, for the operator. */
const char *colo_proxy_why(const ColoProxy *p);

/* May it hold output?  Until we said that it shall not. */
gboolean colo_proxy_holds(const ColoProxy *p);

/* It took over once, and cannot stand by until it is started anew. */
gboolean colo_proxy_is_alone(const ColoProxy *p);

/* --- What it said since it was last asked ------------------------------- */

/*
 * The reason of a checkpoint that it needs, "divergence: CAUSE FLOW", or
 * NULL; transfer full.
 */
char *colo_proxy_take_request(ColoProxy *p);

/* It was not ready for a moment at least, or refused a command. */
gboolean colo_proxy_take_lost(ColoProxy *p);

/* A packet has been held for longer than it allows. */
gboolean colo_proxy_take_stalled(ColoProxy *p);

/* --- Primary ------------------------------------------------------------ */

/*
 * A capture in two steps: write the command, and wait for the answer, at
 * most until 100 ms after the first step.  TRUE: the proxy has part in this
 * checkpoint.
 */
void colo_proxy_capture_begin(ColoProxy *p, guint64 epoch, gboolean periodic);
gboolean colo_proxy_capture_end(ColoProxy *p);

/* The epoch of the capture that is neither committed nor cancelled; or 0. */
guint64 colo_proxy_captured(const ColoProxy *p);
void colo_proxy_commit(ColoProxy *p);
void colo_proxy_cancel(ColoProxy *p);

/* Release everything; also lifts a block. */
void colo_proxy_pass(ColoProxy *p);

/*
 * Drop everything, now and after each reconnection.  Waits for the answer,
 * 100 ms at most.
 */
void colo_proxy_block(ColoProxy *p);

/* --- Secondary ---------------------------------------------------------- */

/* The guest is stopped to be loaded with this epoch.  TRUE: it was told. */
gboolean colo_proxy_load(ColoProxy *p, guint64 epoch);

/*
 * It is loaded and about to run.  Waits for the answer, 100 ms at most, or a
 * second if it will run alone: nobody hears it without its proxy, and one that
 * was dropped is back after half a second at the earliest.  TRUE: the proxy
 * knows.
 */
gboolean colo_proxy_run(ColoProxy *p, guint64 epoch, gboolean alone);

/* The guest runs alone; the proxy is told after each reconnection, too. */
void colo_proxy_takeover(ColoProxy *p);

/* The guest that ran alone is gone; its proxy is to be started anew. */
void colo_proxy_end_takeover(ColoProxy *p);

#endif
