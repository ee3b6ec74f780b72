/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real sender and a real receiver, connected, for tests: the receiver runs
 * on a thread, the sender's events are queued.
 */
#ifndef TESTS_FT_PAIR_H
#define TESTS_FT_PAIR_H

#include "colo/ft/ft-coding.h"
#include "colo/ft/ft-receiver.h"
#include "colo/ft/ft-sender.h"
#include "colo/track/tracker.h" /* COLO_PAGE_SIZE */

#define PAIR_STATE_ROOM (1024 * 1024)
#define ALL_CODINGS     0x7u

typedef struct Event {
    FtEventType type;
    guint16 id;
    guint64 epoch;
    FtNote note;
    char *error;
} Event;

void event_free(Event *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Event, event_free)

/* Only the receiving side */
typedef struct Rx {
    int fd;                 /* closed when the run ends */
    FtHold *hold;
    FtReceiver *receiver;
    GThread *thread;
    gint64 stall_us;

    /* Set by the test before rx_start() */
    gboolean keep;          /* the test releases each commit itself */
    gboolean refuse;        /* seal fails */

    GAsyncQueue *committed; /* epochs, as GUINT_TO_POINTER */

    /* After rx_join() */
    gboolean ended;
    FtNote note;
    GError *error;
} Rx;

void rx_start(Rx *rx, int fd, FtHold *hold, guint codings);
/* The same with other functions than those that fill Rx. */
void rx_start_ops(Rx *rx, int fd, FtHold *hold, guint codings,
                  const FtReceiverOps *ops);
/* Wait for the end of the run. */
void rx_join(Rx *rx);
/* Stop it if it runs, and forget it; the hold stays. */
void rx_clear(Rx *rx);

/* Only the sending side */
typedef struct Tx {
    FtPool *pool;
    int wake;
    FtSender *sender;
    GAsyncQueue *events;
    guint16 id;             /* of the last transaction begun */
} Tx;

void tx_init(Tx *tx, gsize pool_bytes);
void tx_start(Tx *tx, int fd, FtCoding coding, gint64 stall_us);
/* End the sender; the pool stays. */
void tx_stop(Tx *tx);
void tx_clear(Tx *tx);

/* The next event; fails the test when none comes in 20 s. */
Event *tx_event(Tx *tx);
/* The next event must be of this type. */
Event *tx_expect(Tx *tx, FtEventType type);
/* No event was queued. */
void tx_expect_none(Tx *tx);

/* An empty buffer; waits for one. */
FtBuf *tx_buf(Tx *tx);
/* Append a run to a buffer; data NULL: zero pages. */
void buf_add(FtBuf *b, guint64 page, guint32 n_pages, const void *data);

void tx_begin(Tx *tx, guint64 epoch, guint32 flags);
guint32 tx_pages(Tx *tx, guint64 page, guint32 n_pages, const void *data);
/* All of the device state, in as many chunks as it needs. */
void tx_state(Tx *tx, const void *state, gsize len);

/* Connected sockets, non-blocking. */
void unix_pair(int fds[2]);
void tcp_pair(int fds[2]);

/* Fill n pages with what is told by seed. */
void fill_pages(guint8 *out, gsize n_pages, guint32 seed);

#endif
