/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rewriter's table of connections.  See flows.h. */
#include "netcompare/rewrite/flows.h"

void net_flows_init(NetFlows *f)
{
    f->table = g_hash_table_new(net_key_hash, net_key_equal);
    for (guint i = 0; i < NET_FLOW_N; i++) {
        g_queue_init(&f->queues[i]);
    }
}

void net_flows_clear(NetFlows *f)
{
    for (guint i = 0; i < NET_FLOW_N; i++) {
        GList *link;

        while ((link = g_queue_peek_head_link(&f->queues[i]))) {
            net_flows_remove(f, link->data);
        }
    }
}

void net_flows_destroy(NetFlows *f)
{
    net_flows_clear(f);
    g_hash_table_unref(f->table);
}

guint net_flows_count(const NetFlows *f)
{
    return g_hash_table_size(f->table);
}

NetFlow *net_flows_find(const NetFlows *f, const NetKey *key)
{
    return g_hash_table_lookup(f->table, key);
}

NetFlow *net_flows_add(NetFlows *f, const NetKey *key, gint64 now_us)
{
    NetFlow *flow = g_new0(NetFlow, 1);

    flow->key = *key;
    flow->last_us = now_us;
    flow->link.data = flow;
    g_queue_push_tail_link(&f->queues[flow->end], &flow->link);
    g_hash_table_add(f->table, flow);
    return flow;
}

void net_flows_remove(NetFlows *f, NetFlow *flow)
{
    g_queue_unlink(&f->queues[flow->end], &flow->link);
    g_hash_table_remove(f->table, &flow->key);
    g_free(flow);
}

void net_flows_touch(NetFlows *f, NetFlow *flow, NetFlowEnd end, gint64 now_us)
{
    if (flow->end == end && flow->last_us == now_us) {
        return;
    }
    g_queue_unlink(&f->queues[flow->end], &flow->link);
    flow->end = end;
    flow->last_us = now_us;
    g_queue_push_tail_link(&f->queues[end], &flow->link);
}

NetFlow *net_flows_ended(const NetFlows *f)
{
    const GList *link = f->queues[NET_FLOW_RESET].head;

    link = link ? link : f->queues[NET_FLOW_CLOSED].head;
    return link ? link->data : NULL;
}

NetFlow *net_flows_due(const NetFlows *f, gint64 idle_us, gint64 now_us)
{
    const gint64 limits[NET_FLOW_N] = {idle_us, NET_FLOW_CLOSED_US,
                                       NET_FLOW_RESET_US};

    for (guint i = 0; i < NET_FLOW_N; i++) {
        NetFlow *flow = g_queue_peek_head((GQueue *)&f->queues[i]);

        if (flow && now_us - flow->last_us >= limits[i]) {
            return flow;
        }
    }
    return NULL;
}
