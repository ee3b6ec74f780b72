/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of colod's own QMP socket.
 *
 * They run on the control thread and answer at once, from the status or by
 * a message to the engine.
 */
#ifndef COLO_CONTROL_H
#define COLO_CONTROL_H

#include "colo/engine/mailbox.h"
#include "colo/engine/status.h"
#include "colo/qmp-server.h"

typedef struct ColoControl {
    ColoMailbox *engine;
    ColoStatus *status;
} ColoControl;

/* For colo_qmp_server_new(); the user data is a ColoControl. */
extern const ColoQmpCommand colo_control_commands[];

#endif
