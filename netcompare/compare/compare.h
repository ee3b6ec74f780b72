/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The comparator: which packets of the primary's guest may leave.
 *
 * Theory of operation.  Each packet of the primary's guest (PVM) is held until
 * the secondary's guest (SVM) has sent the same, or until a checkpoint that
 * contains it is committed (I1); and no TCP ACK leaves that the SVM has not
 * sent, too, or that such a checkpoint covers (I5).
 *
 * TCP is two streams of bytes by offset from the initial sequence number; how
 * they are cut into segments, repeated or reordered makes no difference.
 * Everything else is compared packet by packet, in the order of its flow,
 * without the fields that may differ (IP id, TTL, checksums).
 *
 * Checkpoints cut the time of both guests into epochs:
 *
 *   PVM  ---- old ----| capture(E) |---- new -----------------------------
 *                                        | commit(E): old ones leave
 *   SVM  ---- old --------------------------------| loaded(E) |--- new ----
 *
 * Between capture(E) and loaded(E) new packets of the PVM wait uncompared:
 * what the SVM sends until it is loaded says nothing about what it will send
 * after.  commit(E) may arrive before or after loaded(E), which implies it.
 * cancel() takes a capture back: new becomes old.  The first capture after
 * NET_COMPARE_PASS begins to hold; taken back, everything passes again.  From
 * loaded(E) on both guests have the same sequence numbers, and of each flow
 * only what is beyond the highest released byte is compared.
 *
 * A load of an epoch that nobody waits for makes the SVM's output worthless:
 * it is ignored, and everything waits for the next commit.
 *
 * Instead of the bytes of a TCP segment of the SVM digests of them may be
 * handed in.  A piece of them matches when the PVM's bytes have the same
 * digest; as long as the PVM has sent only a part of a piece, nothing is known
 * of it.  fetch() asks for the bytes where a digest differs, or where the PVM
 * sends no more (net_compare_settle()): bytes decide, in both cases.
 *
 * The two guests' congestion windows need not be the same.  A large segment of
 * the PVM may have more bytes than the SVM sends before it gets an ACK, which
 * only the client could give: so of one that has been matched in part, and no
 * further for a moment, part() lets that part go, and later the rest.
 *
 * A connection that is not known and does not begin with SYN was open before:
 * both sides have the same numbers.
 *
 * No sockets, no clock, no threads: packets and the time are handed in, what
 * is to be done is called out.  Callbacks must not call the comparator.
 * Times are microseconds of any monotonic clock.
 */
#ifndef COLO_NET_COMPARE_H
#define COLO_NET_COMPARE_H

#include "netcompare/packet/buf.h"
#include "netcompare/packet/digest.h"
#include "netcompare/packet/packet.h"

typedef struct NetCompare NetCompare;

typedef enum {
    NET_COMPARE_PASS,     /* nothing is protected: everything leaves at once */
    NET_COMPARE_COLO,     /* by comparison or checkpoint */
    NET_COMPARE_PERIODIC, /* by checkpoint only */
    NET_COMPARE_BLOCK,    /* nothing leaves (I3) */
} NetCompareMode;

/* Why a packet left. */
typedef enum {
    NET_RELEASE_MATCH,      /* the SVM sent the same */
    NET_RELEASE_CHECKPOINT, /* a committed checkpoint contains it */
    NET_RELEASE_LINK,       /* NET_KIND_LINK */
    NET_RELEASE_PASS,       /* nothing is protected */
    NET_RELEASE_N
} NetRelease;

/* Why a checkpoint is needed. */
typedef enum {
    NET_CAUSE_PAYLOAD,    /* other bytes */
    NET_CAUSE_LENGTH,     /* a datagram's length */
    NET_CAUSE_FIN,        /* a stream ends elsewhere */
    NET_CAUSE_RESET,      /* data against RST */
    NET_CAUSE_OPTIONS,    /* of SYN: they bind the connection for life */
    NET_CAUSE_HEADER,     /* another field that has to be the same */
    NET_CAUSE_TIMEOUT,    /* compare_timeout has passed */
    NET_CAUSE_QUEUE_FULL, /* max_queue_size or max_bytes */
    NET_CAUSE_FLOWS_FULL, /* max_flows */
    NET_CAUSE_GONE,       /* the SVM's bytes were asked for, and not there */
    NET_CAUSE_N
} NetCause;

const char *net_release_name(NetRelease r); /* "match", ... */
const char *net_cause_name(NetCause c);     /* "payload", ..., "queue-full" */

typedef struct NetCompareOps {
    /*
     * The held packet with this id may leave.  data NULL: as it is;
     * otherwise with these len bytes in its place, all checksums filled in
     * (a smaller window).  held_us: how long it was held.
     */
    void (*release)(gpointer user, guint64 id, const guint8 *data, gsize len,
                    NetRelease why, gint64 held_us);
    /* It must not leave, ever. */
    void (*drop)(gpointer user, guint64 id);
    /*
     * A checkpoint is needed, said once for each cause until the next commit
     * or cancel.  flow: whose, or NULL.  pvm, svm: the packets that differ,
     * where there are such (NULL otherwise); valid during the call only.
     * Between capture and commit only what the captured one does not cure
     * is said; cancel() says the rest (flow NULL).
     */
    void (*need_checkpoint)(gpointer user, NetCause cause, const NetKey *flow,
                            const NetPacket *pvm, const NetPacket *svm);
    /*
     * A connection's SYN was compared and the guests chose different numbers.
     * Called before its release.  flow: the guest's direction.  PVM minus
     * SVM, for sequence numbers and timestamps.
     */
    void (*offset)(gpointer user, const NetKey *flow, guint32 seq_delta,
                   guint32 ts_delta);
    /*
     * Find the bytes of the SVM's frame with this number, to be answered by
     * net_compare_content().  NULL: no digests are handed in.
     */
    void (*fetch)(gpointer user, guint8 iface, guint64 number);
    /* It will not be asked for, or not any more.  Not said of every one. */
    void (*done)(gpointer user, guint8 iface, guint64 number);
    /*
     * Send len bytes of what this TCP segment of the PVM carries, from the
     * offset at on, as a segment of its own, after all that was released
     * before; FIN and PSH only with its last bytes.  mss: what a packet may
     * carry.  FALSE: it could not.  The packet stays held; drop() follows the
     * last part, unless a checkpoint releases it whole before.  NULL: segments
     * leave whole.  Never of one with SYN, URG or a signature.  held_us: how
     * long it has been held.
     */
    gboolean (*part)(gpointer user, guint64 id, const NetPacket *p, guint32 at,
                     guint32 len, guint16 window, guint mss, gint64 held_us);
} NetCompareOps;

typedef struct NetCompareConfig {
    gint64 compare_timeout_us; /* 3000 ms, as QEMU's colo-compare */
    gint64 expired_scan_us;    /* expired_scan_cycle, 3000 ms */
    gint64 idle_us;            /* a flow without packets is forgotten: 2 h */
    guint max_queue_size;      /* packets of one flow on one side: 1024 */
    gsize max_bytes;           /* of all packets held, both sides: 256 MiB */
    guint max_flows;           /* 65536 */
    gint64 settle_us;          /* until part of a piece is fetched: 1 ms */
    gint64 part_us;            /* until part of a segment leaves: 10 ms */
    guint8 secret[NET_DIGEST_SECRET]; /* of digests; random */
} NetCompareConfig;

void net_compare_config_default(NetCompareConfig *c);

NetCompare *net_compare_new(const NetCompareConfig *config,
                            const NetCompareOps *ops, gpointer user);
/* Held packets are forgotten, neither released nor dropped. */
void net_compare_free(NetCompare *c);

/*
 * A packet of the PVM.  id: what release() or drop() is called with, perhaps
 * at once, or later.  gso: the packet is several in one: it is not rewritten
 * (any other is, with its checksum, whether that was finished or not).  buf:
 * where p->data lies, or NULL.
 */
void net_compare_primary(NetCompare *c, const NetPacket *p, NetBuf *buf,
                         guint64 id, gboolean gso, gint64 now_us);

/* A packet of the SVM. */
void net_compare_secondary(NetCompare *c, const NetPacket *p, NetBuf *buf,
                           gint64 now_us);

/*
 * The same for a TCP segment, not SYN nor RST, of which s has the headers and
 * d stands for the rest (s->payload_len is 0).
 */
void net_compare_secondary_digests(NetCompare *c, const NetPacket *s,
                                   const NetDigests *d, gint64 now_us);

/*
 * The frame that fetch() asked for: its packet, or NULL: it is not there any
 * more.  Ignored where nobody waits for it.
 */
void net_compare_content(NetCompare *c, guint8 iface, guint64 number,
                         const NetPacket *s, NetBuf *buf, gint64 now_us);
/*
 * To be called when packets of the PVM were handed in, and at the time that it
 * returns (G_MAXINT64: not again).
 */
gint64 net_compare_settle(NetCompare *c, gint64 now_us);

/*
 * Checkpoints.  capture: the PVM stands still and every packet that it sent
 * was handed in.  A second capture before commit or cancel takes the place of
 * the first.  periodic: NET_COMPARE_PERIODIC from here on, else COLO.
 */
void net_compare_capture(NetCompare *c, guint64 epoch, gboolean periodic,
                         gint64 now_us);
void net_compare_commit(NetCompare *c, guint64 epoch, gint64 now_us);
void net_compare_cancel(NetCompare *c, gint64 now_us);
/* In the order of the SVM's packets: those before it count no more. */
void net_compare_loaded(NetCompare *c, guint64 epoch, gint64 now_us);

/*
 * Release everything and hold nothing, until the next capture.  Takes a block
 * back, too.
 */
void net_compare_pass(NetCompare *c, gint64 now_us);
/* Drop everything, until net_compare_pass() or a capture. */
void net_compare_block(NetCompare *c);
NetCompareMode net_compare_mode(const NetCompare *c);

/*
 * Time has passed: timeouts, flows that expire.  Returns when to call again
 * at the latest.
 */
gint64 net_compare_tick(NetCompare *c, gint64 now_us);

/* How long the oldest packet has been held; 0: none is. */
gint64 net_compare_oldest_us(const NetCompare *c, gint64 now_us);

typedef struct NetCompareStats {
    guint64 primary_packets, primary_bytes;
    guint64 secondary_packets, secondary_bytes;
    guint64 released[NET_RELEASE_N], released_bytes[NET_RELEASE_N];
    guint64 dropped;
    guint64 causes[NET_CAUSE_N]; /* every one, also while one is asked for */
    guint64 windows;             /* rewritten to a smaller window */
    guint64 windows_kept;        /* smaller, but could not be rewritten */
    guint64 acks_lowered;        /* to the SVM's, which has lost something */
    guint64 secondary_ignored;   /* before loaded, or released already */
    guint64 secondary_dropped;   /* queue full: as if never sent */
    guint64 secondary_extra;     /* of the SVM alone; forgotten in time */
    guint64 digests;             /* packets of the SVM */
    guint64 pieces;              /* that matched by digest */
    guint64 fetched, gone;       /* frames: asked for; not there */
    guint64 parts;               /* of segments, released */
    guint64 bad;                 /* NET_KIND_BAD */
    guint64 fragments, fragments_lost;
    guint64 flows, flows_expired;                     /* now; ever */
    guint64 held_packets, held_bytes, max_held_bytes; /* now; ever */
} NetCompareStats;

void net_compare_stats(const NetCompare *c, NetCompareStats *stats);

/* The flows that diverged most often, worst first; returns how many. */
typedef struct NetFlowCauses {
    NetKey key;
    guint64 causes[NET_CAUSE_N];
} NetFlowCauses;
guint net_compare_worst(const NetCompare *c, NetFlowCauses *list, guint n);

#endif
