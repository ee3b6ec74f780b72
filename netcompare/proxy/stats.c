/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What query-colo-proxy-stats says, as far as it comes from the parts. */
#include "netcompare/proxy/stats.h"

#define INT(o, name, value) json_object_set_int_member(o, name, (gint64)(value))

static JsonObject *pair(guint64 packets, guint64 bytes)
{
    JsonObject *o = json_object_new();

    INT(o, "packets", packets);
    INT(o, "bytes", bytes);
    return o;
}

static JsonObject *causes(const guint64 *n)
{
    JsonObject *o = json_object_new();

    for (guint i = 0; i < NET_CAUSE_N; i++) {
        if (n[i]) {
            INT(o, net_cause_name(i), n[i]);
        }
    }
    return o;
}

static JsonArray *worst(const NetCompare *c)
{
    NetFlowCauses flows[10];
    guint n = net_compare_worst(c, flows, G_N_ELEMENTS(flows));
    JsonArray *list = json_array_new();

    for (guint i = 0; i < n; i++) {
        JsonObject *o = json_object_new();
        g_autofree char *text = net_key_format(&flows[i].key);

        json_object_set_string_member(o, "flow", text);
        json_object_set_object_member(o, "causes", causes(flows[i].causes));
        json_array_add_object_element(list, o);
    }
    return list;
}

void stats_put_compare(JsonObject *o, const NetCompare *c, gint64 now_us)
{
    NetCompareStats s;
    JsonObject *released = json_object_new();
    JsonObject *held = json_object_new();

    net_compare_stats(c, &s);
    for (guint i = 0; i < NET_RELEASE_N; i++) {
        json_object_set_object_member(released, net_release_name(i),
                                      pair(s.released[i], s.released_bytes[i]));
    }
    INT(held, "packets", s.held_packets);
    INT(held, "bytes", s.held_bytes);
    INT(held, "max-bytes", s.max_held_bytes);
    INT(held, "oldest-ms", net_compare_oldest_us(c, now_us) / 1000);
    json_object_set_object_member(o, "released", released);
    json_object_set_object_member(o, "held", held);
    json_object_set_object_member(o, "primary",
                                  pair(s.primary_packets, s.primary_bytes));
    json_object_set_object_member(o, "secondary",
                                  pair(s.secondary_packets, s.secondary_bytes));
    json_object_set_object_member(o, "causes", causes(s.causes));
    json_object_set_array_member(o, "worst-flows", worst(c));
    INT(o, "flows", s.flows);
    INT(o, "flows-expired", s.flows_expired);
    INT(o, "dropped", s.dropped);
    INT(o, "windows", s.windows);
    INT(o, "windows-kept", s.windows_kept);
    INT(o, "acks-lowered", s.acks_lowered);
    INT(o, "secondary-ignored", s.secondary_ignored);
    INT(o, "secondary-extra", s.secondary_extra);
    INT(o, "secondary-digests", s.digests);
    INT(o, "pieces-matched", s.pieces);
    INT(o, "fetched", s.fetched);
    INT(o, "gone", s.gone);
    INT(o, "parts", s.parts);
    INT(o, "bad", s.bad);
    INT(o, "fragments", s.fragments);
    INT(o, "fragments-lost", s.fragments_lost);
}

void stats_put_queue(JsonObject *o, const NetNfqueue *queue)
{
    JsonObject *q = json_object_new();
    NetNfqueueStats s;

    net_nfqueue_stats(queue, &s);
    INT(q, "packets", s.packets);
    INT(q, "bytes", s.bytes);
    INT(q, "accepted", s.accepted);
    INT(q, "dropped", s.dropped);
    INT(q, "rewritten", s.rewritten);
    INT(q, "batches", s.batches);
    INT(q, "waiting", s.waiting);
    INT(q, "kernel-dropped", s.kernel_dropped);
    INT(q, "truncated", s.truncated);
    INT(q, "lost-messages", s.lost_messages);
    json_object_set_object_member(o, "queue", q);
}

void stats_put_tap(JsonObject *o, NetTap *tap)
{
    NetTapStats s;

    net_tap_stats(tap, &s);
    INT(o, "read", s.read);
    INT(o, "read-bytes", s.read_bytes);
    INT(o, "sent", s.sent);
    INT(o, "sent-bytes", s.sent_bytes);
    INT(o, "lost", s.lost);
    INT(o, "refused", s.refused);
    INT(o, "bad", s.bad);
}

void stats_put_inbound(JsonObject *o, const Inbound *in)
{
    InboundStats s;

    inbound_stats(in, &s);
    INT(o, "frames", s.frames);
    INT(o, "injected", s.injected);
    INT(o, "injected-again", s.again);
    INT(o, "lost-on-link", s.lost);
    INT(o, "dropped", s.dropped);
    INT(o, "doubled", s.doubled);
    INT(o, "unmarked-loads", s.unmarked);
    INT(o, "kept", s.kept);
    INT(o, "kept-bytes", s.kept_bytes);
}

void stats_put_rewrite(JsonObject *o, const NetRewrite *r)
{
    JsonObject *w = json_object_new();
    NetRewriteStats s;

    net_rewrite_stats(r, &s);
    INT(w, "flows", net_rewrite_flows(r));
    INT(w, "inbound", s.inbound);
    INT(w, "outbound", s.outbound);
    INT(w, "sack-blocks", s.sack_blocks);
    INT(w, "refused", s.refused);
    INT(w, "ended", s.ended);
    INT(w, "expired", s.expired);
    json_object_set_object_member(o, "rewrite", w);
}
