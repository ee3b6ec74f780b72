/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tap.c (opening, counters), tap-read.c and tap-send.c share.
 */
#ifndef COLO_NET_TAP_PRIVATE_H
#define COLO_NET_TAP_PRIVATE_H

#include <pcap/pcap.h>

#include "netcompare/capture/tap.h"

#define TAP_READ_BATCH 32 /* frames for each recvmmsg(2) */
/* Large ones, so that they are still in the cache when they are looked at */
#define TAP_READ_FEW   3
#define TAP_READ_LARGE (16 * 1024)

struct NetTap {
    int fd;
    int ifindex;
    char *name;
    gboolean gone; /* the interface; for good */

    gboolean has_filter;
    struct bpf_program filter;

    NetBufPool *pool;
    NetBuf *bufs[TAP_READ_BATCH];
    guint batch; /* of them are used by the next recvmmsg(2) */
    NetTapStats stats;
};

/* Sets the error; TRUE unless the interface still exists (it may be down). */
gboolean tap_is_gone(NetTap *t, GError **error);

#endif
