/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the comparator's files share.
 *
 * Theory of operation.  A packet of the PVM is judged when it arrives, and
 * leaves at once if it may, without being copied.  Otherwise it becomes a
 * CmpHeld and waits in one of four lists, which together are in the order of
 * arrival:
 *
 *   LATE, COMPARED     known to their flows
 *   WAITING            of an epoch that the SVM does not run yet, or of
 *                      periodic mode: no flow knows them
 *   NEW                the same, after a capture that is not committed
 *
 * A commit releases the first three.  COMPARED ones are in their flow's own
 * queue, too.  What the SVM sent ahead of the PVM is a CmpSeen in its flow.
 *
 * A flow's numbers change with each commit.  Flows with something held or
 * seen are in the ACTIVE list and are changed at once, the others when they
 * are used next, because their generation is not the comparator's.
 */
#ifndef COLO_NET_COMPARE_INTERNAL_H
#define COLO_NET_COMPARE_INTERNAL_H

#include "netcompare/compare/compare.h"
#include "netcompare/compare/list.h"

enum {
    CMP_SMALL = 256,    /* packets up to here are copied into what holds them */
    CMP_OVERHEAD = 512, /* what a packet costs beside its bytes */
    CMP_POOL_MAX = 4096,
    CMP_RECENT = 8,
    /* No TCP window is larger (RFC 7323, 2.3). */
    CMP_MAX_WINDOW = 1 << 30,
    CMP_MAX_WSCALE = 14,
};

enum { CMP_LATE, CMP_COMPARED, CMP_WAITING, CMP_NEW, CMP_LISTS };

/* Flows that may be forgotten are in CLOSED and OPEN, the idlest first. */
enum {
    CMP_ACTIVE, /* used lately, or something is held or seen */
    CMP_BOUND,  /* numbers differ: only a checkpoint frees it */
    CMP_OPEN,
    CMP_CLOSED,
    CMP_WHERES
};

typedef struct CmpFlow CmpFlow;

/* A packet of the PVM that waits. */
typedef struct CmpHeld {
    CmpLink all;   /* one of NetCompare.lists; must be first, see the pool */
    CmpLink queue; /* one of its flow's */
    CmpFlow *flow; /* NULL: only a checkpoint releases it */
    struct CmpHeld *parts; /* fragments: the one that came before */
    NetBuf *buf;
    guint64 id;
    gint64 since;     /* arrived */
    gint64 from;      /* compared since */
    guint32 size;     /* as it arrived; p may be put together of several */
    guint32 seq, end; /* TCP: first byte; behind the last, FIN included */
    guint32 sent;     /* bytes of its payload that have left */
    gboolean gso, has_bytes;
    NetPacket p;
    guint8 small[CMP_SMALL];
} CmpHeld;

/* A packet of the SVM that nothing of the PVM's matched yet, or a part. */
typedef struct CmpSeen {
    CmpLink queue; /* of its flow; must be first, see the pool */
    CmpLink time;  /* datagrams: NetCompare.seen; TCP: fetching */
    CmpFlow *flow;
    NetBuf *buf;
    gint64 since;
    guint32 size;        /* counted */
    guint32 seq, len;    /* TCP, in the PVM's numbers */
    const guint8 *bytes; /* TCP: those of seq on; NULL: not known */
    /* Instead of bytes: of pieces from seq on; NULL: only part of a piece */
    const guint64 *digests;
    guint32 piece;
    guint64 number;      /* of the frame that has the bytes */
    gboolean differs;    /* the digest does: bytes are needed */
    gboolean asked;      /* for them */
    gboolean whole;      /* no other part of the frame is known by digests */
    gboolean borrowed;   /* on somebody's stack */
    NetPacket p;
    guint8 small[CMP_SMALL];
} CmpSeen;

/* A SYN's part of the connection. */
typedef struct CmpSyn {
    guint32 seq, ack, tsval;
    guint8 flags;
    gint8 wscale; /* -1: not offered */
    gboolean has_ts;
    guint8 n_options;
    guint8 options[40]; /* without NOPs and the timestamp's values */
} CmpSyn;

/*
 * Sequence numbers are the PVM's; the SVM's plus delta.  Bytes and FIN before
 * next were sent by both, or a checkpoint covers them.
 */
typedef struct CmpTcp {
    guint32 next;
    guint32 floor; /* what is before it was never seen */
    guint32 p_end; /* highest end of the PVM's, FIN included */
    guint32 p_fin, s_fin;
    guint32 s_end; /* highest end of the SVM's data */
    guint32 s_bad; /* the SVM contradicted itself here */
    guint32 delta;
    guint mss;      /* of the SVM's large segments; 0: not known */
    guint32 p_ack, s_ack;
    guint32 told_ack; /* the highest that left */
    guint32 p_isn, s_isn;     /* s_isn: in the SVM's numbers */
    guint32 s_win_ack;        /* ack of the packet with s_win */
    guint32 edge_lo, edge_hi; /* right edge released; see tcp-window.c */
    guint16 p_win, s_win;
    guint8 ws_lo, ws_hi;
    guint started : 1; /* next and p_end are known */
    guint synced : 1;  /* delta is known */
    guint has_p_ack : 1, has_s_ack : 1, has_told_ack : 1;
    guint has_p_isn : 1, has_s_isn : 1;
    guint has_p_fin : 1, has_s_fin : 1;
    guint has_p_win : 1, has_s_win : 1;
    guint has_s_end : 1, has_s_bad : 1, has_edge : 1;
    guint p_rst : 1, s_rst : 1;
    guint32 s_rst_ack;
    CmpSyn *p_syn;  /* until compared */
    CmpSyn *s_syn;  /* the SVM's next connection, which the PVM has not begun */
    CmpLink data;   /* CmpHeld, by seq: beyond next */
    CmpLink acks;   /* CmpHeld, by ack: beyond s_ack */
    CmpLink resets; /* CmpHeld */
    CmpLink seen;   /* CmpSeen, by seq, none overlaps another */
} CmpTcp;

typedef struct CmpDatagrams {
    CmpLink held; /* CmpHeld */
    CmpLink seen; /* CmpSeen; with something held only if diverged */
    guint64 recent[CMP_RECENT]; /* hashes of those released */
    guint n_recent;
    gboolean fresh; /* nothing new since the last checkpoint */
} CmpDatagrams;

struct CmpFlow {
    NetKey key;
    CmpLink link;  /* NetCompare.flows[where] */
    /* NetCompare's of these names: see cmp_tcp_look() */
    CmpLink stuck, partial;
    gint64 stuck_since, partial_since;
    guint32 stuck_at, partial_at; /* next was there then */
    gint64 used;
    guint64 generation;
    guint where, n_held, n_seen;
    gboolean tcp;
    gboolean diverged; /* until a checkpoint */
    union {
        CmpTcp t;
        CmpDatagrams d;
    };
};

typedef struct CmpPool {
    gpointer first;
    guint n;
    gsize size;
} CmpPool;

struct NetCompare {
    NetCompareConfig config;
    NetCompareOps ops;
    gpointer user;
    gint64 now;

    NetCompareMode mode;     /* from here on */
    NetCompareMode mode_old; /* before the capture, if there is one */
    gboolean captured;       /* and not committed */
    guint64 capture;
    gboolean awaited; /* a committed epoch's load */
    guint64 await;
    gboolean comparing; /* the SVM runs what WAITING and before belong to */
    gint64 loaded_at;

    CmpLink lists[CMP_LISTS];
    CmpLink seen;
    CmpLink stuck, partial; /* CmpFlow, by their times */
    CmpLink fetching;       /* CmpSeen */
    NetDigestParts *parts;
    gboolean taken; /* a packet's digests are, or some of them */
    gsize cost;
    CmpPool held_pool, seen_pool;

    GHashTable *table;
    CmpFlow *last;
    CmpLink flows[CMP_WHERES];
    guint64 generation;

    struct CmpFrags *frags[2]; /* PVM's, SVM's */

    guint asked, outstanding; /* bits of NetCause */
    GHashTable *causes;
    guint8 *scratch;
    gsize scratch_size;
    NetCompareStats stats;
};

/* A packet of the PVM on its way through. */
typedef struct CmpIn {
    const NetPacket *p;
    NetBuf *buf;
    guint64 id;
    gboolean gso;
    CmpHeld *held; /* NULL: not yet */
} CmpIn;

/* compare.c: judge a packet; the mode is COLO and its epoch is compared. */
void cmp_primary(NetCompare *c, CmpIn *in);
void cmp_secondary(NetCompare *c, const NetPacket *s, NetBuf *buf);

/* hold.c */
gpointer cmp_pool_get(CmpPool *pool);
void cmp_pool_put(CmpPool *pool, gpointer item);
void cmp_pool_clear(CmpPool *pool);
/* Into lists[list]; bytes: its bytes are needed later.  NULL: dropped. */
CmpHeld *cmp_hold(NetCompare *c, CmpIn *in, guint list, gboolean bytes);
/* The same for a packet that a flow knows, in its queue. */
CmpHeld *cmp_hold_in_flow(NetCompare *c, CmpFlow *f, CmpIn *in, CmpLink *at);
/* Its flow knows it no more. */
void cmp_orphan(CmpHeld *h);
void cmp_release(NetCompare *c, CmpIn *in, NetRelease why, const guint8 *data,
                 gsize len);
/* All of it has left in parts. */
void cmp_release_sent(NetCompare *c, CmpHeld *h);
void cmp_drop(NetCompare *c, CmpIn *in);
/* Alone, without its other fragments; frees it. */
void cmp_release_held(NetCompare *c, CmpHeld *h, NetRelease why);
void cmp_drop_held(NetCompare *c, CmpHeld *h);
void cmp_forget_held(NetCompare *c, CmpHeld *h);
CmpIn cmp_in_held(CmpHeld *h);
/* NULL: there is no room. */
CmpSeen *cmp_see(NetCompare *c, CmpFlow *f, const NetPacket *s, NetBuf *buf);
/* Copies n digests into what cmp_see() returned. */
void cmp_see_digests(NetCompare *c, CmpSeen *s, const guint64 *digests,
                     guint n);
void cmp_seen_free(NetCompare *c, CmpSeen *s);

/* cause.c */
void cmp_need(NetCompare *c, NetCause cause, const NetKey *key,
              const NetPacket *pvm, const NetPacket *svm);
void cmp_diverge(NetCompare *c, CmpFlow *f, NetCause cause,
                 const NetPacket *pvm, const NetPacket *svm);

/* flow.c */
CmpFlow *cmp_flow_get(NetCompare *c, const NetPacket *p); /* NULL: full */
void cmp_flows_commit(NetCompare *c); /* everything that was held has left */
void cmp_flows_blind(NetCompare *c);  /* forget what the SVM sent */
void cmp_flows_clear(NetCompare *c);
void cmp_flows_tick(NetCompare *c);

/* tcp.c and its parts */
void cmp_tcp_init(CmpFlow *f);
void cmp_tcp_primary(NetCompare *c, CmpFlow *f, CmpIn *in);
/* d: of its bytes, which s has not; or NULL. */
void cmp_tcp_secondary(NetCompare *c, CmpFlow *f, const NetPacket *s,
                       NetBuf *buf, const NetDigests *d);
/* A packet of the SVM was taken in: what follows from it. */
void cmp_tcp_settled(NetCompare *c, CmpFlow *f, const NetPacket *s);
/* It leaves by a checkpoint; compared: its flow has seen it. */
void cmp_tcp_left(NetCompare *c, CmpFlow *f, const NetPacket *p,
                  gboolean compared);
void cmp_tcp_commit(NetCompare *c, CmpFlow *f);
void cmp_tcp_blind(NetCompare *c, CmpFlow *f);
gboolean cmp_tcp_bound(const CmpFlow *f);
gboolean cmp_tcp_closed(const CmpFlow *f);
void cmp_tcp_run(NetCompare *c, CmpFlow *f, const NetPacket *svm);

/* tcp-syn.c */
void cmp_tcp_begin(NetCompare *c, CmpFlow *f, const NetPacket *p);
void cmp_tcp_syn_primary(NetCompare *c, CmpFlow *f, CmpIn *in);
/* TRUE: it belongs to the connection as it is known. */
gboolean cmp_tcp_syn_secondary(NetCompare *c, CmpFlow *f, const NetPacket *s,
                               NetBuf *buf);
void cmp_tcp_forget_syns(NetCompare *c, CmpFlow *f);

/* tcp-seen.c: the SVM's bytes ahead of the PVM's */
void cmp_tcp_see(NetCompare *c, CmpFlow *f, const NetPacket *s, NetBuf *buf,
                 const NetDigests *d, guint32 seq);
void cmp_tcp_trim(NetCompare *c, CmpFlow *f);
void cmp_tcp_unsee(NetCompare *c, CmpFlow *f);
/*
 * Advances next over [seq, end) of p as far as both sides have it.  h: p, when
 * it is held.
 */
gboolean cmp_tcp_match(NetCompare *c, CmpFlow *f, const NetPacket *p,
                       guint32 seq, const CmpHeld *h);
void cmp_tcp_advance(CmpTcp *t, guint32 n);
/* The first n bytes are of no use any more; of digests, whole pieces of them.
 */
void cmp_seen_cut(CmpSeen *s, guint32 n);

/* I5: has the SVM acknowledged as much? */
gboolean cmp_tcp_ack_ok(const CmpTcp *t, const NetPacket *p);

/* tcp-digest.c */
/* The piece at next, which s begins with: the same as the PVM's? */
gboolean cmp_tcp_match_piece(NetCompare *c, CmpFlow *f, CmpSeen *s,
                             const NetPacket *p, guint32 seq,
                             const CmpHeld *h);
/* What every path takes: RFC 9293, 3.7.1. */
#define CMP_LEAST_MSS 536
/*
 * Something was handed in: is the flow stuck now?  The PVM has sent a part of
 * a piece, or the SVM a part of a segment.
 */
void cmp_tcp_look(NetCompare *c, CmpFlow *f);

/* tcp-window.c */
/* Summed with a key by the guest: nobody else can change it. */
gboolean cmp_tcp_signed(const NetPacket *p);
/* Up to next, which lies in h. */
void cmp_tcp_release_part(NetCompare *c, CmpFlow *f, CmpHeld *h);
void cmp_tcp_release(NetCompare *c, CmpFlow *f, CmpIn *in);
void cmp_tcp_edge(CmpTcp *t, const NetPacket *p, guint16 window);
void cmp_tcp_window(CmpTcp *t, const NetPacket *s);
/* After what the SVM's packet lets go has left. */
void cmp_tcp_hole(NetCompare *c, CmpFlow *f, const NetPacket *s);

/* datagram.c */
void cmp_datagrams_init(CmpFlow *f);
void cmp_datagram_primary(NetCompare *c, CmpFlow *f, CmpIn *in);
void cmp_datagram_secondary(NetCompare *c, CmpFlow *f, const NetPacket *s,
                            NetBuf *buf);
void cmp_datagram_left(CmpFlow *f, const NetPacket *p);
void cmp_datagrams_commit(NetCompare *c, CmpFlow *f);
void cmp_datagrams_blind(NetCompare *c, CmpFlow *f);
void cmp_datagrams_tick(NetCompare *c);

/* fields.c: what of a datagram is compared */
guint64 cmp_fields_hash(const NetPacket *p);
gboolean cmp_fields_equal(const NetPacket *a, const NetPacket *b);
NetCause cmp_fields_cause(const NetPacket *a, const NetPacket *b);

/* frag.c */
struct CmpFrags *cmp_frags_new(void);
void cmp_frags_free(struct CmpFrags *frags);
void cmp_frags_clear(struct CmpFrags *frags);
void cmp_frag_primary(NetCompare *c, CmpIn *in);
void cmp_frag_secondary(NetCompare *c, const NetPacket *s);
void cmp_frags_tick(NetCompare *c);

static inline CmpHeld *cmp_first_held(const CmpLink *queue)
{
    return cmp_list_empty(queue) ? NULL
                                 : CMP_ENTRY(queue->next, CmpHeld, queue);
}

static inline CmpSeen *cmp_first_seen(const CmpLink *queue)
{
    return cmp_list_empty(queue) ? NULL
                                 : CMP_ENTRY(queue->next, CmpSeen, queue);
}

static inline CmpHeld *cmp_oldest(const NetCompare *c, guint list)
{
    const CmpLink *l = &c->lists[list];

    return cmp_list_empty(l) ? NULL : CMP_ENTRY(l->next, CmpHeld, all);
}

#endif
