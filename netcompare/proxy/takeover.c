/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The takeover of the network: the tap goes onto the bridge, everybody is told,
 * and connections whose numbers the primary's guest chose are rewritten until
 * they end.
 */
#include "colo/log.h"
#include "netcompare/packet/checksum.h"
#include "netcompare/proxy/resend.h"
#include "netcompare/proxy/secondary.h"

#include <string.h>

#define QUEUE_RCVBUF  (16u << 20)
#define QUEUE_PACKETS 16384
#define MAX_MACS      NET_ANNOUNCE_MAX
/*
 * What the guest sent since shortly before the primary was last heard may not
 * have reached anybody.
 */
#define RECENT_US (50 * 1000)

#define NUDGES_MAX 8192

/* Sends, never reads: no frame matches. */
#define NO_FRAMES "ether src 00:00:00:00:00:00 and ether dst 00:00:00:00:00:00"

/* --- Rewriting ---------------------------------------------------------- */

/* To the guest; nobody tells by which tap, if this host itself sends. */
static gboolean translate_inbound(ProxySecondary *s, NetPacket *packet,
                                  int iface, gboolean unfinished)
{
    guint from = iface >= 0 ? (guint)iface : 0;
    guint to = iface >= 0 ? from + 1 : s->proxy->config->n_taps;

    for (guint i = from; i < to; i++) {
        packet->key.iface = (guint8)i;
        if (net_rewrite_inbound(s->rewrite, packet, s->scratch->data,
                                unfinished, s->now)) {
            return TRUE;
        }
    }
    return FALSE;
}

static void on_packet(const NetQueued *q, gpointer user)
{
    ProxySecondary *s = user;
    int from = proxy_iface(s->proxy, q->physindev);
    gboolean changed = FALSE;
    NetPacket packet;

    if (!q->truncated &&
        net_packet_parse(&packet, q->ethertype, q->data, q->len, PROXY_NO_VLAN,
                         (guint8)MAX(from, 0)) != NET_KIND_BAD) {
        g_byte_array_set_size(s->scratch, 0);
        g_byte_array_append(s->scratch, q->data, (guint)q->len);
        changed = from >= 0
                      ? net_rewrite_outbound(s->rewrite, &packet,
                                             s->scratch->data, q->unfinished,
                                             s->now)
                      : translate_inbound(s, &packet,
                                          proxy_iface(s->proxy, q->physoutdev),
                                          q->unfinished);
        if (changed && q->unfinished) {
            /* The kernel finishes no checksum of a packet that was replaced. */
            net_checksum_fill(&packet, s->scratch->data);
        }
    }
    net_nfqueue_accept(s->proxy->queue, q->id,
                       changed ? s->scratch->data : NULL, changed ? q->len : 0);
}

static gboolean read_queue(gpointer user, GError **error)
{
    ProxySecondary *s = user;

    s->now = g_get_monotonic_time();
    return net_nfqueue_read(s->proxy->queue, PROXY_TURN, on_packet, s,
                            error) >= 0;
}

gboolean takeover_prepare(ProxySecondary *s, GError **error)
{
    const ProxyConfig *c = s->proxy->config;
    const NetRulesConfig rules = {
        .name = c->name,
        .taps = (const char *const *)c->taps,
        .bridges = (const char *const *)c->bridges,
        .queue_num = (guint16)c->queue_num,
        .bypass = TRUE,
    };

    if (c->no_rules) {
        g_autofree char *text = net_rules_format(&rules, NET_RULES_REWRITE);

        colo_log_info("no rules are made (--no-rules); needed are:\n%s", text);
        return TRUE;
    }
    s->rules = TRUE;
    return net_rules_add(&rules, NET_RULES_REWRITE, error);
}

static gboolean start_rewriting(ProxySecondary *s, GError **error)
{
    Proxy *p = s->proxy;
    const NetNfqueueConfig queue = {
        .queue_num = (guint16)p->config->queue_num,
        .max_packets = QUEUE_PACKETS,
        .rcvbuf = QUEUE_RCVBUF,
        .gso = TRUE,
    };

    p->queue = net_nfqueue_new(&queue, error);
    if (!p->queue) {
        return FALSE;
    }
    s->rewriting = proxy_add_fd(p, net_nfqueue_fd(p->queue), read_queue, s);
    return TRUE;
}

/* --- On the bridge ------------------------------------------------------ */

static void send_on_bridge(const guint8 *frame, gsize len, gpointer user)
{
    Standby *b = user;
    const struct virtio_net_hdr none = {0};

    net_tap_send(b->bridge, &none, frame, len, NULL);
}

static void send_again(const NetFrame *frame, gpointer user)
{
    Standby *b = user;

    secondary_send(b, frame, FALSE);
}

static void give_to_guest(const NetFrame *frame, gpointer user)
{
    Standby *b = user;

    /* It has not passed what the operator filters on a bridge. */
    if (nudges_know(b->nudges, frame->data, frame->len)) {
        b->given += secondary_send(b, frame, TRUE);
    }
}

void takeover_watch(ProxySecondary *s)
{
    for (guint i = 0; i < s->proxy->config->n_taps; i++) {
        Standby *b = &s->standbys[i];
        guint8 macs[MAX_MACS][6];
        guint n = net_addresses_macs(b->addresses, macs, MAX_MACS);

        if (!b->unheard) {
            continue; /* its takeover is done, another's has failed */
        }
        unheard_set_macs(b->unheard, (const guint8(*)[6])macs, n);
        unheard_expire(b->unheard, s->heard_us - RECENT_US);
    }
}

static gboolean announce(gpointer user);

static void next_announcement(ProxySecondary *s)
{
    int ms = net_announce_delay(s->round);

    s->announcing = ms < 0 ? 0 : g_timeout_add((guint)ms, announce, s);
}

static gboolean announce(gpointer user)
{
    ProxySecondary *s = user;

    for (guint i = 0; i < s->proxy->config->n_taps; i++) {
        Standby *b = &s->standbys[i];

        net_addresses_announce(b->addresses, send_on_bridge, b);
    }
    s->round++;
    next_announcement(s);
    return G_SOURCE_REMOVE;
}

static guint nudge(Standby *b)
{
    return nudges_emit(b->nudges, NUDGES_MAX, NUDGE_IDLE_US,
                       g_get_monotonic_time(), send_on_bridge, b);
}

/*
 * The tap is on the bridge: what was missed on either side, and who is told.
 * Clients are told before what the guest said changes what they wait for, and
 * again for those whose oldest segment is another one then.
 */
static void catch_up(Standby *b)
{
    ProxySecondary *s = b->proxy->secondary;
    const char *tap = b->proxy->config->taps[b->iface];
    gint64 since = s->heard_us - RECENT_US;
    guint nudged;

    unheard_stop(b->unheard);
    net_addresses_announce(b->addresses, send_on_bridge, b);
    unheard_foreach(b->unheard, since, give_to_guest, b);
    nudged = nudge(b);
    resend_foreach(b->recent, since, send_again, b);
    nudged += nudge(b);
    colo_log_debug("%s: the guest gets %" G_GUINT64_FORMAT
                   " frames of clients that nobody heard; for %"
                   G_GUINT64_FORMAT " there was no room",
                   tap, b->given, unheard_lost(b->unheard));
    g_clear_pointer(&b->unheard, unheard_free);
    colo_log_debug("%s: %u messages to clients that the path is there again",
                   tap, nudged);
}

static gboolean join(Standby *b, GError **error)
{
    Proxy *p = b->proxy;
    const char *tap = p->config->taps[b->iface];
    const char *bridge = p->config->bridges[b->iface];
    gint64 begin = g_get_monotonic_time();
    guint8 macs[MAX_MACS][6];
    guint n = net_addresses_macs(b->addresses, macs, MAX_MACS);
    JsonObject *data;

    if (!net_host_join(p->host, tap, bridge, (const guint8(*)[6])macs, n,
                       error)) {
        return FALSE;
    }
    b->bridge = net_tap_open(bridge, NET_TAP_INCOMING, NO_FRAMES, 0, error);
    if (!b->bridge) {
        return FALSE;
    }
    catch_up(b);
    data = json_object_new();
    json_object_set_string_member(data, "interface", tap);
    json_object_set_string_member(data, "bridge", bridge);
    json_object_set_double_member(
        data, "ms", (double)(g_get_monotonic_time() - begin) / 1e3);
    colo_qmp_server_emit(p->control, "COLO_PROXY_TAKEOVER", data);
    colo_log_info("%s is on bridge %s", tap, bridge);
    return TRUE;
}

gboolean takeover_begin(ProxySecondary *s, GError **error)
{
    Proxy *p = s->proxy;
    guint flows = net_rewrite_flows(s->rewrite);

    if (flows && !p->queue) {
        colo_log_info("%u connections are rewritten until they end", flows);
        if (!start_rewriting(s, error)) {
            return FALSE;
        }
    }
    for (guint i = 0; i < p->config->n_taps; i++) {
        Standby *b = &s->standbys[i];

        if (!b->bridge && !join(b, error)) {
            return FALSE;
        }
        /* What the guest sends and gets goes over the bridge now. */
        g_clear_handle_id(&b->source, g_source_remove);
        g_clear_pointer(&b->tap, net_tap_close);
    }
    s->round = 1;
    next_announcement(s);
    return TRUE;
}

/* The kernel drops what waits for a verdict; that is TCP, and sent again. */
static void stop_rewriting(ProxySecondary *s)
{
    g_autoptr(GError) error = NULL;

    g_clear_handle_id(&s->rewriting, g_source_remove);
    g_clear_pointer(&s->proxy->queue, net_nfqueue_free);
    if (s->rules &&
        !net_rules_remove(s->proxy->config->name, NET_RULES_REWRITE, &error)) {
        colo_log_warn("%s", error->message);
    }
    s->rules = FALSE;
}

void takeover_tick(ProxySecondary *s)
{
    if ((s->rules || s->rewriting) && !net_rewrite_flows(s->rewrite)) {
        colo_log_info("no connection is rewritten any more");
        stop_rewriting(s);
    }
}

void takeover_end(ProxySecondary *s)
{
    g_clear_handle_id(&s->announcing, g_source_remove);
    stop_rewriting(s);
    for (guint i = 0; i < s->proxy->config->n_taps; i++) {
        g_clear_pointer(&s->standbys[i].bridge, net_tap_close);
    }
}
