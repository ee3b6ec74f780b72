/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections that the rewriter knows, and when each is forgotten.
 *
 * Each is in one of three queues by what is known of its end, and in that
 * queue in the order of its last packet: what has to be forgotten first is at
 * the head, so looking costs nothing where nothing is due.
 */
#ifndef COLO_NET_REWRITE_FLOWS_H
#define COLO_NET_REWRITE_FLOWS_H

#include "netcompare/packet/packet.h"

#define NET_FLOW_CLOSED_US (G_GINT64_CONSTANT(120) * 1000 * 1000) /* 2 MSL */
#define NET_FLOW_RESET_US  (G_GINT64_CONSTANT(10) * 1000 * 1000)

typedef enum {
    NET_FLOW_OPEN,
    NET_FLOW_CLOSED, /* FIN both ways */
    NET_FLOW_RESET,
    NET_FLOW_N
} NetFlowEnd;

typedef struct NetFlow {
    NetKey key; /* first: the table's key */
    guint32 seq_delta, ts_delta;
    gboolean fin_in, fin_out;
    NetFlowEnd end;
    /*
     * What the guest said last; numbers are its own.  first: the number
     * behind its SYN, or if that was not seen, of the first segment that was.
     */
    gboolean has_first, has_ack;
    guint32 first, ack;
    gint64 last_us;
    GList link;
} NetFlow;

typedef struct NetFlows {
    GHashTable *table;
    GQueue queues[NET_FLOW_N];
} NetFlows;

void net_flows_init(NetFlows *f);
void net_flows_clear(NetFlows *f); /* all are forgotten */
void net_flows_destroy(NetFlows *f);

guint net_flows_count(const NetFlows *f);
NetFlow *net_flows_find(const NetFlows *f, const NetKey *key); /* or NULL */
NetFlow *net_flows_add(NetFlows *f, const NetKey *key, gint64 now_us);
void net_flows_remove(NetFlows *f, NetFlow *flow);
/* It had a packet, and ends like this. */
void net_flows_touch(NetFlows *f, NetFlow *flow, NetFlowEnd end, gint64 now_us);

/* One that has ended, the longest without packets; NULL: all are open. */
NetFlow *net_flows_ended(const NetFlows *f);
/* One that is due; NULL: there is none.  idle_us: for those that are open. */
NetFlow *net_flows_due(const NetFlows *f, gint64 idle_us, gint64 now_us);

#endif
