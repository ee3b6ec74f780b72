/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both roles of the engine share.
 *
 * Threads of colod and what each owns:
 *   control     main(): the QMP server; touches only status and mailbox
 *   engine      the VM, the tracker, the dirty pages; decides everything
 *   ft-sender   primary: the ft socket (colo/ft/ft-sender.h)
 *   link        primary: connects and exchanges INIT
 *   ft-conn     secondary: one per connection; INIT, then receives
 *   heartbeat   the heartbeat's sockets
 *   fence       secondary: runs the fence command
 *   disks       nbdkit, if disks are served (blockrep/server/server.h)
 * All of them speak to the engine through its mailbox.
 */
#ifndef COLO_ENGINE_H
#define COLO_ENGINE_H

#include "blockrep/attach/attach.h"
#include "blockrep/attach/cut.h"
#include "blockrep/server/server.h"
#include "colo/engine/config.h"
#include "colo/engine/heartbeat.h"
#include "colo/engine/mailbox.h"
#include "colo/engine/proxy.h"
#include "colo/engine/run-state.h"
#include "colo/engine/status.h"
#include "colo/qmp-server.h"
#include "colo/vm/vm.h"

typedef struct ColoEngine {
    const ColoConfig *config;
    ColoMailbox *mailbox;
    ColoStatus *status;
    ColoHeartbeat *heartbeat;
    ColoRunState *run;
    ColoQmpServer *control;     /* for events; thread-safe */
    ColoDiskServer *disks;      /* served here: thread-safe; NULL: none */

    /* The engine thread's own */
    ColoVm *vm;                 /* NULL: QEMU is gone or does not answer */
    int pidfd;                  /* of QEMU; -1 */
    ColoTracker *tracker;
    ColoProxy *proxy;
    ColoDiskAttach *attach;     /* primary, with vm; NULL: no disk */
    ColoDiskCut *cut;           /* likewise */
    ColoState state;
    char *instance;             /* identity of this run of colod */
    gboolean quit;
    gboolean failed;            /* it could not even begin */
    gboolean unprotectable;     /* and will not, with QEMU as it is */
    GQuark reopen_domain;       /* why QEMU cannot be had again, as noted */
    int reopen_code;
    gpointer role;              /* Secondary */

    /* Events of the VM since they were last looked at */
    gboolean saw_shutdown, saw_reset, saw_resume, saw_stop;
    char *shutdown_reason;
} ColoEngine;

/* Until the engine is given back; in whatever state it is. */
gboolean colo_serve_disks(ColoEngine *e, GError **error);

/*
 * The secondary in four steps: open its VM and make room for the copy, which may
 * be tried again; listen; the body of the engine's thread, which returns when asked to quit; and give
 * all back.  The primary needs only its body.
 */
void colo_primary_run(ColoEngine *e);
gboolean colo_secondary_open(ColoEngine *e, gint64 timeout_us, GError **error);
gboolean colo_secondary_listen(ColoEngine *e, GError **error);
void colo_secondary_run(ColoEngine *e);
void colo_secondary_close(ColoEngine *e);

/*
 * Take a step of the state table, tell everybody (log, COLO_STATE,
 * heartbeat).  detail: a sentence for the operator.
 */
void colo_engine_step(ColoEngine *e, ColoTrigger on, const char *detail, ...)
    G_GNUC_PRINTF(3, 4);

/* A new sentence for the operator; the state stays. */
void colo_engine_note(ColoEngine *e, const char *detail);

/*
 * The same of why QEMU cannot be had again; once for each kind of reason, for
 * it is tried all the time.  error NULL: it was had.
 */
void colo_engine_note_reopen(ColoEngine *e, const GError *error);

/*
 * A checkpoint is committed here.  with_proxy: the proxy had part in it, and
 * both sides' still work together.  Otherwise, and if there is a proxy, that
 * does not protect clients' connections.
 */
void colo_engine_commit(ColoEngine *e, guint64 epoch, gboolean with_proxy);

/* Protection is not what it was: a proxy or a disk is lost. */
void colo_engine_degrade(ColoEngine *e, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* COLO_EXIT, as QEMU raises it; reason: request or error. */
void colo_engine_emit_exit(ColoEngine *e, const char *reason);

/*
 * colod was asked to end: say so, and if that ends a session (in_session),
 * which COLO_EXIT tells.
 */
void colo_engine_say_end(ColoEngine *e, gboolean in_session);

/*
 * Open the VM (config's socket), map its RAM and arm a tracker.  A guest
 * that a predecessor of ours had stopped for a capture is resumed.
 * timeout_us: for each of QEMU's answers until it is open; then it is
 * --qmp-timeout.
 */
gboolean colo_engine_open_vm(ColoEngine *e, gint64 timeout_us, GError **error);
void colo_engine_close_vm(ColoEngine *e);

/*
 * The VM's connection broke: is the process gone too?  Waits a moment for
 * an exit that is under way, and longer when QEMU has closed the connection
 * (error, of colo_vm_*(); may be NULL): an exiting process does that first.
 */
gboolean colo_engine_vm_died(ColoEngine *e, const GError *error);

/* Is the connection to QEMU over with this error of colo_vm_*()? */
gboolean colo_engine_vm_lost(const GError *error);

/*
 * Sleep until the mailbox, the VM's monitor, the proxy or a disk has
 * something, or until deadline_us (monotonic, -1: none); then deliver what
 * they say.  FALSE: the VM's connection broke.
 */
gboolean colo_engine_wait(ColoEngine *e, gint64 deadline_us, GError **error);

/* All bytes zero?  len: a multiple of 64. */
gboolean colo_is_zero(const void *data, gsize len);

#endif
