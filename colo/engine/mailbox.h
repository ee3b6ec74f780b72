/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the engine's thread.
 *
 * The engine sleeps in poll(2) on the mailbox's descriptor among others;
 * every other thread speaks to it only by posting here.  Posting never
 * blocks.
 */
#ifndef COLO_MAILBOX_H
#define COLO_MAILBOX_H

#include "colo/ft/ft-sender.h"

typedef enum {
    /* from the control socket */
    COLO_MSG_CHECKPOINT,      /* text: the reason */
    COLO_MSG_LOST_HEARTBEAT,  /* x-colo-lost-heartbeat */
    COLO_MSG_SET_DELAY,       /* number: ms */
    COLO_MSG_QUIT,
    /* from the heartbeat's thread */
    COLO_MSG_HEARTBEAT_LOST,
    COLO_MSG_HEARTBEAT_BACK,
    COLO_MSG_PEER_VM_DIED,    /* the peer's heartbeat says so */
    /* primary: from the link and the sender */
    COLO_MSG_LINK_UP,         /* data: ColoLinkUp */
    COLO_MSG_LINK_FAILED,     /* text; number: FT_TRANS_ERR_* or 0 */
    COLO_MSG_FT_EVENT,        /* ft; number: the sender's generation */
    /* secondary: from receiving threads */
    COLO_MSG_OFFER,           /* data: a ColoConn that asks to be taken */
    COLO_MSG_COMMITTED,       /* number: epoch */
    COLO_MSG_CONN_ENDED,      /* data: the ColoConn */
    COLO_MSG_FENCED,          /* number: exit status of the fence command */
} ColoMsgType;

typedef struct ColoMsg {
    ColoMsgType type;
    gint64 number;
    char *text;
    gpointer data;
    FtEvent ft;               /* FT_EVENT: error is NULL, its text in text */
} ColoMsg;

typedef struct ColoMailbox ColoMailbox;

ColoMailbox *colo_mailbox_new(void);
ColoMailbox *colo_mailbox_ref(ColoMailbox *m);
/* The last one drops what was not taken. */
void colo_mailbox_unref(ColoMailbox *m);

/* Readable while there may be messages; also an eventfd to wake the engine. */
int colo_mailbox_fd(const ColoMailbox *m);

void colo_mailbox_post(ColoMailbox *m, ColoMsg *msg); /* transfer full */
void colo_mailbox_tell(ColoMailbox *m, ColoMsgType type, gint64 number,
                       const char *text, gpointer data);

/* Was COLO_MSG_QUIT posted?  For who is busy and cannot look. */
gboolean colo_mailbox_wants_quit(ColoMailbox *m);

/* The next message (free with colo_msg_free) or NULL; never waits. */
ColoMsg *colo_mailbox_take(ColoMailbox *m);
void colo_msg_free(ColoMsg *msg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoMsg, colo_msg_free)

#endif
