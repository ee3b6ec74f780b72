/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames for the secondary's guest of one interface: which are to be injected
 * now, and which once more after a load.
 *
 * Frames carry the number under which the primary mirrored them.  They are
 * kept for a while after they were injected: at a load the guest's past is
 * replaced by the primary's, which had consumed the frames up to a number
 * that the capture tells.  Those after it are injected again, in order,
 * except the ones that still wait in the tap.  See docs/internals.md, "What
 * frames count as consumed".  No sockets, no clock.
 */
#ifndef COLO_PROXY_INBOUND_H
#define COLO_PROXY_INBOUND_H

#include <linux/virtio_net.h>

#include "netcompare/packet/buf.h"

typedef struct Inbound Inbound;

typedef struct InboundFrame {
    guint64 number;
    struct virtio_net_hdr vnet;
    const guint8 *data;
    gsize len;
    NetBuf *buf;
    guint64 injected; /* when: counts injections from 1; 0: not yet */
} InboundFrame;

/* At most so many frames and bytes are kept; the oldest give way, counted. */
Inbound *inbound_new(guint max_frames, gsize max_bytes);
void inbound_free(Inbound *in);

/*
 * A frame from the primary.  Numbers grow; a gap is counted as lost on the
 * way.  buf: where data lies, or NULL.
 */
void inbound_push(Inbound *in, guint64 number,
                  const struct virtio_net_hdr *vnet, const guint8 *data,
                  gsize len, NetBuf *buf);

/*
 * The next frame to inject, or NULL: there is none, or none may be now.  It is
 * the queue's, valid until the next call; counts as injected.
 */
const InboundFrame *inbound_next(Inbound *in);

/* The numbers begin anew: another run of the primary's proxy. */
void inbound_restart(Inbound *in);

/* The primary's guest had consumed frames up to number at this capture. */
void inbound_capture(Inbound *in, guint64 epoch, guint64 consumed,
                     gboolean periodic);

/* This checkpoint is committed and will be loaded: inject no more. */
void inbound_load(Inbound *in, guint64 epoch);

/*
 * It is loaded and the guest is about to run.  waiting: how many of the frames
 * last injected wait in the tap.
 */
void inbound_run(Inbound *in, guint64 waiting);

typedef struct InboundStats {
    guint64 frames, injected, again;
    guint64 lost;     /* gaps in the numbers */
    guint64 dropped;  /* never injected, for want of room */
    guint64 doubled;  /* consumed before the capture, but still in the tap */
    guint64 unmarked; /* loads whose capture was not told */
    guint64 kept, kept_bytes; /* now */
} InboundStats;
void inbound_stats(const Inbound *in, InboundStats *s);

#endif
