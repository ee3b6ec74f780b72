/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secondary's proxy: gives its guest what the primary's guest got, and the
 * primary's proxy what its guest sends.
 */
#include "netcompare/proxy/secondary.h"
#include "colo/log.h"
#include "netcompare/proxy/awake.h"
#include "netcompare/proxy/digests.h"
#include "netcompare/proxy/gather.h"
#include "netcompare/proxy/stats.h"

#include <string.h>

#define TICK_MS         100
#define ROTATE_TICKS    50   /* of a backlog: 5 s */
#define TAP_RCVBUF      (32u << 20)
#define KEPT_FRAMES     8192
#define KEPT_BYTES      (64u << 20)
#define RECENT_FRAMES   512
#define RECENT_BYTES    (8u << 20)
#define DRAIN_TURNS     256
#define REWRITE_IDLE_US (G_GINT64_CONSTANT(7200) * 1000 * 1000)

/* --- Into the guest ------------------------------------------------------- */

/* FALSE: not a packet that the rewriter has to see. */
static gboolean parse(ProxySecondary *s, NetPacket *packet,
                      const NetFrame *frame, guint iface)
{
    if (!net_rewrite_flows(s->rewrite) ||
        net_packet_parse_frame(packet, frame->data, frame->len,
                               (guint8)iface) == NET_KIND_BAD) {
        return FALSE;
    }
    packet->key.vlan = PROXY_NO_VLAN;
    return TRUE;
}

/* In s->scratch, the whole frame; FALSE: there is nothing to translate. */
static gboolean translate(ProxySecondary *s, const NetFrame *frame, guint iface,
                          gboolean inbound)
{
    gboolean unfinished = frame->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    NetPacket packet;
    gsize ethernet;
    guint8 *at;

    if (!parse(s, &packet, frame, iface)) {
        return FALSE;
    }
    ethernet = (gsize)(packet.data - frame->data);
    g_byte_array_set_size(s->scratch, 0);
    g_byte_array_append(s->scratch, frame->data, (guint)frame->len);
    at = s->scratch->data + ethernet;
    return inbound ? net_rewrite_inbound(s->rewrite, &packet, at, unfinished,
                                         s->now)
                   : net_rewrite_outbound(s->rewrite, &packet, at, unfinished,
                                          s->now);
}

gboolean secondary_send(Standby *b, const NetFrame *frame, gboolean inbound)
{
    ProxySecondary *s = b->proxy->secondary;
    gboolean changed = translate(s, frame, b->iface, inbound);

    return net_tap_send(inbound ? b->tap : b->bridge, &frame->vnet,
                        changed ? s->scratch->data : frame->data, frame->len,
                        NULL);
}

static void inject(Standby *b)
{
    ProxySecondary *s = b->proxy->secondary;
    const InboundFrame *f;

    s->now = g_get_monotonic_time();
    while (b->tap && (f = inbound_next(b->inbound))) {
        const NetFrame frame = {
            .vnet = f->vnet, .data = f->data, .len = f->len, .buf = f->buf};

        secondary_send(b, &frame, TRUE);
    }
}

/* Frames that we injected, but that QEMU has not read from the tap. */
static guint64 waiting(Standby *b)
{
    Proxy *p = b->proxy;
    NetTapStats stats;
    guint64 read = 0, dropped = 0;
    g_autoptr(GError) error = NULL;

    if (!net_host_consumed(p->host, p->devs[b->iface].index, &read, &dropped,
                           &error)) {
        colo_log_warn("%s", error->message);
        return 0;
    }
    net_tap_stats(b->tap, &stats);
    return backlog_waiting(&b->backlog, stats.sent, read + dropped);
}

/* --- Out of the guest ----------------------------------------------------- */

static gboolean send_frame(Standby *b, const NetFrame *frame)
{
    gboolean tried;

    return digests_send(b, frame, b->sent, &tried) ||
           (!tried && proxy_send_frame(b->proxy, NET_WIRE_FRAME, b->iface,
                                       b->sent, frame));
}

static void on_frame(const NetFrame *frame, gpointer user)
{
    Standby *b = user;
    ProxySecondary *s = b->proxy->secondary;
    NetPacket packet;

    b->sent++;
    gather_count(frame->len);
    awake_count();
    if (s->loading) {
        b->stale++; /* it is the past that is being undone */
        return;
    }
    net_addresses_learn(b->addresses, frame->data, frame->len, TRUE);
    frame = recent_add(b->recent, frame, b->sent, s->now);
    nudges_outbound(b->nudges, frame->data, frame->len);
    if (parse(s, &packet, frame, b->iface)) {
        net_rewrite_watch(s->rewrite, &packet, s->now);
    }
    if (s->wanted && !send_frame(b, frame)) {
        b->unsent++;
    }
}

static gboolean read_tap(gpointer user, GError **error)
{
    Standby *b = user;

    b->proxy->secondary->now = g_get_monotonic_time();
    return net_tap_read(b->tap, PROXY_TURN, on_frame, b, error) >= 0;
}

/* --- The other proxy ------------------------------------------------------ */

static void link_up(gpointer user, const NetHello *hello)
{
    Proxy *p = user;
    ProxySecondary *s = p->secondary;

    if (g_strcmp0(hello->instance, s->peer_instance)) {
        g_free(s->peer_instance);
        s->peer_instance = g_strdup(hello->instance);
        for (guint i = 0; i < p->config->n_taps; i++) {
            inbound_restart(s->standbys[i].inbound);
        }
    }
    s->wanted = s->digests = FALSE; /* until it says so */
    s->heard_us = g_get_monotonic_time();
    colo_log_info("connected with the other proxy at %s",
                  net_link_peer(p->link));
    p->peer_attached = hello->attached;
    proxy_update_ready(p, hello->attached
                              ? "both proxies are connected"
                              : "the primary's proxy has no colod yet");
}

static void link_down(gpointer user, const char *why)
{
    Proxy *p = user;

    p->peer_attached = FALSE;
    p->secondary->wanted = p->secondary->digests = FALSE;
    proxy_update_ready(p, why);
}

static gboolean take_frame(ProxySecondary *s, const NetWireHead *h,
                           const guint8 *data, NetBuf *buf, GError **error)
{
    Standby *b = &s->standbys[h->iface];
    struct virtio_net_hdr vnet;
    const guint8 *frame;
    gsize len;

    if (!proxy_get_frame(h, data, &vnet, &frame, &len, error)) {
        return FALSE;
    }
    net_addresses_learn(b->addresses, frame, len, FALSE);
    nudges_inbound(b->nudges, frame, len, s->now);
    inbound_push(b->inbound, h->number, &vnet, frame, len, buf);
    inject(b);
    return TRUE;
}

static void take_capture(ProxySecondary *s, const NetWireHead *h,
                         const guint8 *data)
{
    for (guint i = 0; i < s->proxy->config->n_taps; i++) {
        guint64 le;

        memcpy(&le, data + 8 * i, 8);
        inbound_capture(s->standbys[i].inbound, h->number,
                        GUINT64_FROM_LE(le), h->flags & 1);
        nudges_capture(s->standbys[i].nudges);
    }
}

static gboolean take_offset(ProxySecondary *s, const NetWireHead *h,
                            const guint8 *data, GError **error)
{
    NetWireOffset o;

    if (!net_wire_get_offset(data, h->len, h->iface, &o, error)) {
        return FALSE;
    }
    /* One of a guest that has been undone since says nothing about this. */
    if (h->number == s->epoch) {
        net_rewrite_set(s->rewrite, &o.flow, o.seq_delta, o.ts_delta, s->now);
    }
    return TRUE;
}

static gboolean link_message(gpointer user, const NetWireHead *h,
                             const guint8 *data, NetBuf *buf, GError **error)
{
    Proxy *p = user;
    ProxySecondary *s = p->secondary;

    s->now = s->heard_us = g_get_monotonic_time();
    if (s->alone) {
        return TRUE; /* whatever it says, it is too late */
    }
    switch (h->type) {
    case NET_WIRE_FRAME:
        return take_frame(s, h, data, buf, error);
    case NET_WIRE_CAPTURE:
        take_capture(s, h, data);
        return TRUE;
    case NET_WIRE_OFFSET:
        return take_offset(s, h, data, error);
    case NET_WIRE_WANTED:
        s->wanted = h->number != 0;
        s->digests = h->len == NET_DIGEST_SECRET;
        if (s->digests) {
            memcpy(s->secret, data, NET_DIGEST_SECRET);
        }
        return TRUE;
    case NET_WIRE_DONE:
        digests_done(&s->standbys[h->iface], data, h->len);
        return TRUE;
    case NET_WIRE_FETCH:
        digests_fetch(&s->standbys[h->iface], h->number);
        return TRUE;
    case NET_WIRE_ATTACHED:
        p->peer_attached = h->number != 0;
        proxy_update_ready(p, h->number ? "the primary's colod is there"
                                        : "the primary's colod is gone");
        return TRUE;
    default:
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "message %u is not the primary's to send", h->type);
        return FALSE;
    }
}

static const NetLinkOps link_ops = {
    .up = link_up,
    .down = link_down,
    .message = link_message,
};

/* --- Checkpoints -------------------------------------------------------- */

static gboolean refuse_alone(const ProxySecondary *s, GError **error)
{
    if (s->alone) {
        g_set_error_literal(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                            "this guest has taken over: nothing is loaded any "
                            "more");
    }
    return s->alone;
}

gboolean proxy_secondary_load(Proxy *p, guint64 epoch, GError **error)
{
    ProxySecondary *s = p->secondary;

    if (refuse_alone(s, error)) {
        return FALSE;
    }
    s->loading = TRUE;
    for (guint i = 0; i < p->config->n_taps; i++) {
        /* Nobody may have put it onto a bridge meanwhile (I3). */
        if (!net_host_isolate(p->host, p->config->taps[i], error)) {
            return FALSE;
        }
        inbound_load(s->standbys[i].inbound, epoch);
    }
    return TRUE;
}

gboolean proxy_secondary_run(Proxy *p, guint64 epoch, GError **error)
{
    ProxySecondary *s = p->secondary;

    if (refuse_alone(s, error)) {
        return FALSE;
    }
    s->loading = TRUE;
    for (guint i = 0; i < p->config->n_taps; i++) {
        Standby *b = &s->standbys[i];

        for (int turn = 0; turn < DRAIN_TURNS; turn++) {
            if (net_tap_read(b->tap, PROXY_TURN, on_frame, b, NULL) <= 0) {
                break;
            }
        }
        recent_clear(b->recent);
        recent_clear(b->digested);
    }
    s->loading = FALSE;
    s->epoch = epoch;
    net_rewrite_clear(s->rewrite);
    proxy_send_word(p, NET_WIRE_LOADED, epoch);
    for (guint i = 0; i < p->config->n_taps; i++) {
        Standby *b = &s->standbys[i];

        inbound_run(b->inbound, waiting(b));
        inject(b);
    }
    proxy_flush(p);
    return TRUE;
}

gboolean proxy_secondary_takeover(Proxy *p, GError **error)
{
    ProxySecondary *s = p->secondary;

    if (s->alone) {
        return TRUE;
    }
    s->now = g_get_monotonic_time();
    proxy_send_word(p, NET_WIRE_TAKEOVER, s->epoch);
    proxy_flush(p);
    for (guint i = 0; i < p->config->n_taps; i++) {
        inject(&s->standbys[i]);
    }
    if (!takeover_begin(s, error)) {
        return FALSE;
    }
    s->alone = TRUE;
    return TRUE;
}

/* --- Status ------------------------------------------------------------- */

const char *proxy_secondary_mode(const Proxy *p)
{
    const ProxySecondary *s = p->secondary;

    return s->alone ? "alone" : s->epoch ? "standby" : "waiting";
}

void proxy_secondary_stats(Proxy *p, JsonObject *o)
{
    ProxySecondary *s = p->secondary;
    JsonObject *taps = json_object_new();

    json_object_set_string_member(o, "mode", proxy_secondary_mode(p));
    json_object_set_int_member(o, "epoch", (gint64)s->epoch);
    stats_put_rewrite(o, s->rewrite);
    if (p->queue) {
        stats_put_queue(o, p->queue);
    }
    for (guint i = 0; i < p->config->n_taps; i++) {
        Standby *b = &s->standbys[i];
        JsonObject *t = json_object_new();

        json_object_set_int_member(t, "guest-sent", (gint64)b->sent);
        json_object_set_int_member(t, "stale", (gint64)b->stale);
        json_object_set_int_member(t, "not-sent", (gint64)b->unsent);
        json_object_set_int_member(t, "fetched", (gint64)b->fetched);
        json_object_set_int_member(t, "gone", (gint64)b->gone);
        json_object_set_int_member(t, "unheard", (gint64)b->given);
        stats_put_inbound(t, b->inbound);
        if (b->tap) {
            stats_put_tap(t, b->tap);
        }
        json_object_set_object_member(taps, p->config->taps[i], t);
    }
    json_object_set_object_member(o, "standby", taps);
}

/* --- Start and end ------------------------------------------------------ */

static gboolean on_tick(gpointer user)
{
    ProxySecondary *s = user;
    Proxy *p = s->proxy;

    s->now = g_get_monotonic_time();
    awake_tick(s->wanted && !s->alone);
    s->ticks++;
    for (guint i = 0; !s->alone && i < p->config->n_taps; i++) {
        if (s->ticks % ROTATE_TICKS == 0) {
            nudges_expire(s->standbys[i].nudges, NUDGE_IDLE_US, s->now);
            backlog_rotate(&s->standbys[i].backlog);
        }
        waiting(&s->standbys[i]); /* keeps the backlog's measure */
    }
    if (!s->alone) {
        takeover_watch(s);
    }
    if (s->ticks % 10 == 0) {
        net_rewrite_tick(s->rewrite, REWRITE_IDLE_US, s->now);
        if (s->alone) {
            takeover_tick(s);
        }
    }
    return G_SOURCE_CONTINUE;
}

static gboolean open_tap(ProxySecondary *s, guint i, GError **error)
{
    Proxy *p = s->proxy;
    Standby *b = &s->standbys[i];
    const NetDev *dev = &p->devs[i];

    b->proxy = p;
    b->iface = i;
    b->inbound = inbound_new(KEPT_FRAMES, KEPT_BYTES);
    b->addresses = net_addresses_new();
    b->recent = recent_new(RECENT_FRAMES, RECENT_BYTES);
    b->nudges = nudges_new((guint)p->config->max_flows);
    b->digested = recent_new(DIGESTS_FRAMES, DIGESTS_BYTES);
    backlog_init(&b->backlog);
    if (dev->master_is_bridge &&
        !strcmp(dev->master_name, p->config->bridges[i])) {
        /*
         * This may be a guest that has taken over, and a proxy that was
         * started anew: colod will say, before its guest is loaded again.
         */
        colo_log_warn("%s is on bridge %s already: left there until colod "
                      "says what it is",
                      dev->name, dev->master_name);
    } else if (!net_host_isolate(p->host, dev->name, error)) {
        return FALSE;
    } else {
        colo_log_info("%s: cut off from this host until a takeover, then on "
                      "bridge %s", dev->name, p->config->bridges[i]);
    }
    b->tap = net_tap_open(dev->name, NET_TAP_INCOMING, NULL, TAP_RCVBUF, error);
    if (!b->tap) {
        return FALSE;
    }
    b->source = proxy_add_fd(p, net_tap_fd(b->tap), read_tap, b);
    b->unheard = unheard_new(p, p->config->bridges[i], error);
    return b->unheard != NULL;
}

/* What is wrong with a bridge is better said now than at the takeover. */
static void check_bridges(Proxy *p)
{
    for (guint i = 0; i < p->config->n_taps; i++) {
        g_autoptr(GError) error = NULL;

        if (!net_host_check_bridge(p->host, p->config->bridges[i], &error)) {
            colo_log_warn("a takeover will not work: %s", error->message);
        }
    }
}

gboolean proxy_secondary_start(Proxy *p, GError **error)
{
    const ProxyConfig *c = p->config;
    ProxySecondary *s = g_new0(ProxySecondary, 1);
    const NetLinkConfig link = {.listen = c->listen, .max_queue = 64u << 20};
    const NetHello hello = {
        .version_min = NET_WIRE_VERSION,
        .version_max = NET_WIRE_VERSION,
        .name = c->name,
        .ifaces = c->n_taps,
        .instance = p->instance,
        .digests = TRUE,
    };

    p->secondary = s;
    s->proxy = p;
    s->rewrite = net_rewrite_new((guint)c->max_flows);
    s->scratch = g_byte_array_new();
    s->standbys = g_new0(Standby, c->n_taps);
    if (!takeover_prepare(s, error)) {
        return FALSE;
    }
    for (guint i = 0; i < c->n_taps; i++) {
        if (!open_tap(s, i, error)) {
            return FALSE;
        }
    }
    check_bridges(p);
    p->link = net_link_new(&link, &hello, &link_ops, p, error);
    if (!p->link) {
        return FALSE;
    }
    s->timer = g_timeout_add(TICK_MS, on_tick, s);
    return TRUE;
}

void proxy_secondary_stop(Proxy *p)
{
    ProxySecondary *s = p->secondary;

    if (!s) {
        return;
    }
    g_clear_handle_id(&s->timer, g_source_remove);
    takeover_end(s);
    for (guint i = 0; i < p->config->n_taps; i++) {
        Standby *b = &s->standbys[i];

        g_clear_pointer(&b->tap, net_tap_close);
        inbound_free(b->inbound);
        net_addresses_free(b->addresses);
        recent_free(b->recent);
        nudges_free(b->nudges);
        unheard_free(b->unheard);
        recent_free(b->digested);
    }
    g_free(s->standbys);
    net_rewrite_free(s->rewrite);
    g_byte_array_unref(s->scratch);
    g_free(s->peer_instance);
    g_clear_pointer(&p->secondary, g_free);
}
