/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's proxy: mirrors what its guest gets, holds what its guest
 * sends, and lets go of it as the comparator says.
 */
#include "colo/log.h"
#include "netcompare/proxy/awake.h"
#include "netcompare/proxy/divergence.h"
#include "netcompare/proxy/fetcher.h"
#include "netcompare/proxy/gather.h"
#include "netcompare/proxy/mirror.h"
#include "netcompare/proxy/proxy.h"
#include "netcompare/proxy/stats.h"

#include <string.h>

#define TICK_MS       50
#define ROTATE_TICKS  100  /* of a backlog: 5 s */
#define QUEUE_RCVBUF  (64u << 20)
#define QUEUE_PACKETS 65536
#define DRAIN_TURNS   (QUEUE_PACKETS / PROXY_TURN + 1)
/* How long a colod that is gone may take to come back, protection held. */
#define COLOD_GRACE_US (2 * 1000 * 1000)
/* And how long one that is there may take to act on COLO_PROXY_STALLED. */
#define STALLED_GRACE_US (1000 * 1000)

struct ProxyPrimary {
    Proxy *proxy;
    NetCompare *compare;
    Mirror *mirrors;
    gint64 now;          /* of the present turn */
    guint64 loaded;      /* epoch that the secondary's guest was loaded from */
    gboolean wanted;     /* we asked for what the secondary's guest sends */
    gboolean digests;    /* its proxy knows them */
    guint8 secret[NET_DIGEST_SECRET];
    Fetcher *fetcher;
    gboolean stalled;    /* and said so */
    gboolean peer_left;  /* it took over: blocked until colod says pass */
    guint timer, ticks;
    ColoHistogram *latency; /* of what was held, us */
    DivergenceFile *pcap;
    guint64 foreign;     /* queued packets of interfaces that are not ours */
};

/* --- What the comparator says ------------------------------------------- */

/* Some of it may have left before, in parts. */
static void whole_leaves(ProxyPrimary *s)
{
    for (guint i = 0; i < s->proxy->config->n_taps; i++) {
        partial_whole(s->mirrors[i].partial);
    }
}

static void release(gpointer user, guint64 id, const guint8 *data, gsize len,
                    NetRelease why, gint64 held_us)
{
    ProxyPrimary *s = user;

    if (why == NET_RELEASE_MATCH || why == NET_RELEASE_CHECKPOINT) {
        colo_histogram_add(s->latency, (guint64)held_us);
    }
    if (why == NET_RELEASE_PASS || why == NET_RELEASE_CHECKPOINT) {
        whole_leaves(s);
    }
    net_nfqueue_accept(s->proxy->queue, (guint32)id, data, len);
}

static void drop(gpointer user, guint64 id)
{
    ProxyPrimary *s = user;

    net_nfqueue_drop(s->proxy->queue, (guint32)id);
}

static void need_checkpoint(gpointer user, NetCause cause, const NetKey *flow,
                            const NetPacket *pvm, const NetPacket *svm)
{
    ProxyPrimary *s = user;
    Proxy *p = s->proxy;
    JsonObject *data = json_object_new();
    g_autofree char *text = flow ? net_key_format(flow) : g_strdup("");

    colo_log_debug("a checkpoint is needed: %s %s", net_cause_name(cause),
                   text);
    json_object_set_string_member(data, "cause", net_cause_name(cause));
    json_object_set_string_member(data, "interface",
                                  flow && flow->iface < p->config->n_taps
                                      ? p->config->taps[flow->iface]
                                      : "");
    json_object_set_string_member(data, "flow", text);
    colo_qmp_server_emit(p->control, "COLO_PROXY_CHECKPOINT", data);
    if (s->pcap) {
        divergence_file_add(s->pcap, pvm, svm);
    }
}

static void offset(gpointer user, const NetKey *flow, guint32 seq_delta,
                   guint32 ts_delta)
{
    ProxyPrimary *s = user;
    const NetWireOffset o = {
        .flow = *flow, .seq_delta = seq_delta, .ts_delta = ts_delta};
    guint8 bytes[NET_WIRE_OFFSET_LEN];
    const NetWireHead h = {
        .len = NET_WIRE_OFFSET_LEN,
        .type = NET_WIRE_OFFSET,
        .iface = flow->iface,
        .number = s->loaded,
    };
    const struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    net_wire_put_offset(bytes, &o);
    proxy_send(s->proxy, &h, &iov);
    /*
     * At once: the SYN leaves with the verdicts, and who has it is connected
     * to a guest that only these numbers make the secondary's.
     */
    if (s->proxy->link) {
        net_link_flush(s->proxy->link);
    }
}

static void fetch(gpointer user, guint8 iface, guint64 number)
{
    ProxyPrimary *s = user;

    fetcher_ask(s->fetcher, iface, number);
}

static void done(gpointer user, guint8 iface, guint64 number)
{
    ProxyPrimary *s = user;

    fetcher_done(s->fetcher, iface, number);
}

static gboolean part(gpointer user, guint64 id, const NetPacket *packet,
                     guint32 at, guint32 len, guint16 window, guint mss,
                     gint64 held_us)
{
    ProxyPrimary *s = user;
    g_autoptr(GError) error = NULL;

    /* Those released before leave before. */
    if (!net_nfqueue_flush(s->proxy->queue, &error)) {
        proxy_fail(s->proxy, error);
        return FALSE;
    }
    if (!mirror_send_part(&s->mirrors[packet->key.iface], packet, at, len,
                          window, mss)) {
        return FALSE;
    }
    if (at + len == packet->payload_len) {
        colo_histogram_add(s->latency, (guint64)held_us);
    }
    return TRUE;
}

static const NetCompareOps compare_ops = {
    .release = release,
    .drop = drop,
    .need_checkpoint = need_checkpoint,
    .offset = offset,
    .fetch = fetch,
    .done = done,
    .part = part,
};

/* --- What the guest sends ------------------------------------------------ */

static void on_packet(const NetQueued *q, gpointer user)
{
    ProxyPrimary *s = user;
    int iface = proxy_iface(s->proxy, q->physindev ? q->physindev : q->indev);
    NetPacket packet;

    if (iface < 0) {
        s->foreign++;
        net_nfqueue_accept(s->proxy->queue, q->id, NULL, 0);
        return;
    }
    gather_count(q->len);
    awake_count();
    net_packet_parse(&packet, q->ethertype, q->data, q->len, PROXY_NO_VLAN,
                     (guint8)iface);
    if (q->truncated) {
        packet.kind = NET_KIND_BAD;
    }
    net_compare_primary(s->compare, &packet, q->buf, q->id, q->gso, s->now);
}

static gboolean read_queue(gpointer user, GError **error)
{
    ProxyPrimary *s = user;

    s->now = g_get_monotonic_time();
    if (net_nfqueue_read(s->proxy->queue, PROXY_TURN, on_packet, s, error) <
        0) {
        return FALSE;
    }
    fetcher_turn(s->fetcher);
    return TRUE;
}

/* --- The other proxy ----------------------------------------------------- */

static void say_wanted(ProxyPrimary *s)
{
    gboolean digests = s->wanted && s->digests;
    const NetWireHead h = {
        .len = digests ? NET_DIGEST_SECRET : 0,
        .type = NET_WIRE_WANTED,
        .number = s->wanted,
    };
    const struct iovec iov = {.iov_base = s->secret, .iov_len = h.len};

    proxy_send(s->proxy, &h, digests ? &iov : NULL);
}

static void set_wanted(ProxyPrimary *s, gboolean wanted)
{
    if (s->wanted != wanted) {
        s->wanted = wanted;
        say_wanted(s);
    }
}

static void link_up(gpointer user, const NetHello *hello)
{
    Proxy *p = user;

    colo_log_info("connected with the other proxy at %s",
                  net_link_peer(p->link));
    p->peer_attached = hello->attached;
    p->primary->digests = hello->digests;
    say_wanted(p->primary);
    proxy_update_ready(p, hello->attached
                              ? "both proxies are connected"
                              : "the secondary's proxy has no colod yet");
}

static void link_down(gpointer user, const char *why)
{
    Proxy *p = user;

    p->peer_attached = FALSE;
    proxy_update_ready(p, why);
}

/* I3: whatever the colods think, two guests must not speak. */
static void peer_took_over(ProxyPrimary *s)
{
    if (!s->peer_left) {
        s->peer_left = TRUE;
        colo_log_warn("the secondary takes over: nothing of this guest leaves "
                      "any more");
        net_compare_block(s->compare);
    }
}

/* What the link's messages let go. */
static void link_turn(gpointer user)
{
    Proxy *p = user;

    fetcher_turn(p->primary->fetcher);
    proxy_flush(p);
}

/* FRAME, CONTENT */
static gboolean take_frame(ProxyPrimary *s, const NetWireHead *h,
                           const guint8 *data, NetBuf *buf, GError **error)
{
    struct virtio_net_hdr vnet;
    const guint8 *frame;
    NetPacket packet;
    gsize len;

    if (!proxy_get_frame(h, data, &vnet, &frame, &len, error)) {
        return FALSE;
    }
    net_packet_parse_frame(&packet, frame, len, h->iface);
    packet.key.vlan = PROXY_NO_VLAN;
    if (h->type == NET_WIRE_FRAME) {
        net_compare_secondary(s->compare, &packet, buf,
                              g_get_monotonic_time());
    } else {
        net_compare_content(s->compare, h->iface, h->number, &packet, buf,
                            g_get_monotonic_time());
    }
    return TRUE;
}

static gboolean take_digest(ProxyPrimary *s, const NetWireHead *h,
                            const guint8 *data, GError **error)
{
    NetDigests digests;
    NetPacket packet;

    if (!net_wire_get_digest(h, data, &digests, &packet, error)) {
        return FALSE;
    }
    packet.key.vlan = PROXY_NO_VLAN;
    net_compare_secondary_digests(s->compare, &packet, &digests,
                                  g_get_monotonic_time());
    return TRUE;
}

static gboolean link_message(gpointer user, const NetWireHead *h,
                             const guint8 *data, NetBuf *buf, GError **error)
{
    Proxy *p = user;
    ProxyPrimary *s = p->primary;

    switch (h->type) {
    case NET_WIRE_FRAME:
    case NET_WIRE_CONTENT:
        return take_frame(s, h, data, buf, error);
    case NET_WIRE_DIGEST:
        return take_digest(s, h, data, error);
    case NET_WIRE_GONE:
        net_compare_content(s->compare, h->iface, h->number, NULL, NULL,
                            g_get_monotonic_time());
        return TRUE;
    case NET_WIRE_LOADED:
        s->loaded = h->number;
        net_compare_loaded(s->compare, h->number, g_get_monotonic_time());
        return TRUE;
    case NET_WIRE_ATTACHED:
        p->peer_attached = h->number != 0;
        proxy_update_ready(p, h->number ? "the secondary's colod is there"
                                        : "the secondary's colod is gone");
        return TRUE;
    case NET_WIRE_TAKEOVER:
        peer_took_over(s);
        return TRUE;
    default:
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "message %u is not the secondary's to send", h->type);
        return FALSE;
    }
}

static const NetLinkOps link_ops = {
    .up = link_up,
    .down = link_down,
    .message = link_message,
    .turn = link_turn,
};

/* --- Checkpoints ---------------------------------------------------------- */

void proxy_primary_capture(Proxy *p, guint64 epoch, gboolean periodic)
{
    ProxyPrimary *s = p->primary;
    guint8 marks[8 * NET_WIRE_MAX_IFACES];
    const NetWireHead h = {
        .len = 8 * p->config->n_taps,
        .type = NET_WIRE_CAPTURE,
        .flags = periodic ? 1 : 0,
        .number = epoch,
    };
    const struct iovec iov = {.iov_base = marks, .iov_len = h.len};

    for (guint i = 0; i < p->config->n_taps; i++) {
        guint64 wait = mirror_waiting(&s->mirrors[i]);
        guint64 number = s->mirrors[i].number;
        guint64 le = GUINT64_TO_LE(number - MIN(wait, number));

        memcpy(marks + 8 * i, &le, 8);
    }
    s->now = g_get_monotonic_time();
    for (int i = 0; i < DRAIN_TURNS; i++) {
        if (net_nfqueue_read(p->queue, PROXY_TURN, on_packet, s, NULL) <= 0) {
            break;
        }
    }
    set_wanted(s, !periodic);
    proxy_send(p, &h, &iov);
    net_compare_capture(s->compare, epoch, periodic, s->now);
    proxy_flush(p);
}

void proxy_primary_commit(Proxy *p, guint64 epoch)
{
    net_compare_commit(p->primary->compare, epoch, g_get_monotonic_time());
    proxy_flush(p);
}

void proxy_primary_cancel(Proxy *p)
{
    net_compare_cancel(p->primary->compare, g_get_monotonic_time());
    proxy_flush(p);
}

void proxy_primary_pass(Proxy *p)
{
    ProxyPrimary *s = p->primary;

    if (s->peer_left) {
        colo_log_info("this guest may speak again");
        s->peer_left = FALSE;
    }
    set_wanted(s, FALSE);
    net_compare_pass(s->compare, g_get_monotonic_time());
    proxy_flush(p);
}

void proxy_primary_block(Proxy *p)
{
    peer_took_over(p->primary);
    proxy_flush(p);
}

/* --- Time --------------------------------------------------------------- */

static gboolean holding(const ProxyPrimary *s)
{
    NetCompareMode mode = net_compare_mode(s->compare);

    return mode == NET_COMPARE_COLO || mode == NET_COMPARE_PERIODIC;
}

void proxy_primary_colod(Proxy *p, gboolean there)
{
    if (!there && holding(p->primary)) {
        colo_log_warn("colod is gone: %s",
                      p->config->fail_closed
                          ? "output is held until it is back (--fail-closed)"
                          : "output is held for 2 s, then it passes");
    }
}

static void watch_hold(ProxyPrimary *s)
{
    Proxy *p = s->proxy;
    gint64 limit = p->config->hold_limit_ms * 1000;
    gint64 oldest = net_compare_oldest_us(s->compare, s->now);

    if (oldest <= limit) {
        s->stalled = FALSE;
        return;
    }
    if (!s->stalled) {
        JsonObject *data = json_object_new();

        s->stalled = TRUE;
        colo_log_warn("output was held for %" G_GINT64_FORMAT " ms",
                      oldest / 1000);
        json_object_set_int_member(data, "held-ms", oldest / 1000);
        colo_qmp_server_emit(p->control, "COLO_PROXY_STALLED", data);
    }
    if (oldest > limit + STALLED_GRACE_US && !p->config->fail_closed) {
        colo_log_warn("output passes unprotected: no checkpoint came");
        proxy_primary_pass(p);
    }
}

static gboolean on_tick(gpointer user)
{
    ProxyPrimary *s = user;
    Proxy *p = s->proxy;

    s->now = g_get_monotonic_time();
    net_compare_tick(s->compare, s->now);
    if (holding(s)) {
        watch_hold(s);
        if (!p->colod && !p->config->fail_closed &&
            s->now - p->colod_left_us > COLOD_GRACE_US) {
            colo_log_warn("output passes unprotected: colod did not come back");
            proxy_primary_pass(p);
        }
    }
    awake_tick(net_compare_mode(s->compare) == NET_COMPARE_COLO);
    s->ticks++;
    for (guint i = 0; i < p->config->n_taps; i++) {
        if (s->ticks % ROTATE_TICKS == 0) {
            backlog_rotate(&s->mirrors[i].backlog);
        }
        mirror_waiting(&s->mirrors[i]);
    }
    proxy_flush(p);
    return G_SOURCE_CONTINUE;
}

/* --- Status ------------------------------------------------------------- */

const char *proxy_primary_mode(const Proxy *p)
{
    static const char *const names[] = {
        [NET_COMPARE_PASS] = "pass",
        [NET_COMPARE_COLO] = "colo",
        [NET_COMPARE_PERIODIC] = "periodic",
        [NET_COMPARE_BLOCK] = "block",
    };

    return names[net_compare_mode(p->primary->compare)];
}

void proxy_primary_stats(Proxy *p, JsonObject *o)
{
    ProxyPrimary *s = p->primary;
    JsonObject *taps = json_object_new();

    json_object_set_string_member(o, "mode", proxy_primary_mode(p));
    stats_put_compare(o, s->compare, g_get_monotonic_time());
    json_object_set_member(o, "release-latency-us",
                           colo_histogram_to_json(s->latency, 1));
    stats_put_queue(o, p->queue);
    json_object_set_int_member(o, "foreign", (gint64)s->foreign);
    for (guint i = 0; i < p->config->n_taps; i++) {
        json_object_set_object_member(taps, p->config->taps[i],
                                      mirror_stats(&s->mirrors[i]));
    }
    json_object_set_object_member(o, "mirrored", taps);
}

/* --- Start and end ------------------------------------------------------ */

static gboolean add_rules(Proxy *p, GError **error)
{
    const ProxyConfig *c = p->config;
    const NetRulesConfig rules = {
        .name = c->name,
        .taps = (const char *const *)c->taps,
        .queue_num = (guint16)c->queue_num,
        .bypass = !c->fail_closed,
    };

    if (c->no_rules) {
        g_autofree char *text = net_rules_format(&rules, NET_RULES_OUTPUT);

        colo_log_info("no rules are made (--no-rules); needed are:\n%s", text);
        return TRUE;
    }
    return net_rules_add(&rules, NET_RULES_OUTPUT, error);
}

static gboolean open_taps(ProxyPrimary *s, GError **error)
{
    Proxy *p = s->proxy;

    s->mirrors = g_new0(Mirror, p->config->n_taps);
    for (guint i = 0; i < p->config->n_taps; i++) {
        if (!mirror_open(&s->mirrors[i], p, i, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean open_queue(ProxyPrimary *s, GError **error)
{
    Proxy *p = s->proxy;
    const NetNfqueueConfig c = {
        .queue_num = (guint16)p->config->queue_num,
        .max_packets = QUEUE_PACKETS,
        .rcvbuf = QUEUE_RCVBUF,
        .gso = TRUE,
    };

    p->queue = net_nfqueue_new(&c, error);
    if (!p->queue) {
        return FALSE;
    }
    proxy_add_fd(p, net_nfqueue_fd(p->queue), read_queue, s);
    return TRUE;
}

gboolean proxy_primary_start(Proxy *p, GError **error)
{
    const ProxyConfig *c = p->config;
    ProxyPrimary *s = g_new0(ProxyPrimary, 1);
    const NetLinkConfig link = {.connect = c->peer, .max_queue = 64u << 20};
    const NetHello hello = {
        .version_min = NET_WIRE_VERSION,
        .version_max = NET_WIRE_VERSION,
        .name = c->name,
        .primary = TRUE,
        .ifaces = c->n_taps,
        .instance = p->instance,
        .digests = TRUE,
    };
    NetCompareConfig compare;

    p->primary = s;
    s->proxy = p;
    s->latency = colo_histogram_new();
    net_compare_config_default(&compare);
    compare.compare_timeout_us = c->compare_timeout_ms * 1000;
    compare.expired_scan_us = c->expired_scan_cycle_ms * 1000;
    compare.max_queue_size = (guint)c->max_queue_size;
    compare.max_bytes = (gsize)c->max_queue_mib << 20;
    compare.max_flows = (guint)c->max_flows;
    memcpy(s->secret, compare.secret, sizeof(s->secret));
    s->compare = net_compare_new(&compare, &compare_ops, s);
    s->fetcher = fetcher_new(p, s->compare);
    if (c->pcap) {
        s->pcap = divergence_file_new(c->pcap, (gsize)c->pcap_mib << 20, error);
        if (!s->pcap) {
            return FALSE;
        }
    }
    /* The queue before the rules: packets that match find it there. */
    if (!open_taps(s, error) || !open_queue(s, error) ||
        !add_rules(p, error)) {
        return FALSE;
    }
    if (c->peer) {
        p->link = net_link_new(&link, &hello, &link_ops, p, error);
        if (!p->link) {
            return FALSE;
        }
    } else {
        colo_log_warn("no --peer: everything passes, nothing is protected");
    }
    s->timer = g_timeout_add(TICK_MS, on_tick, s);
    return TRUE;
}

void proxy_primary_stop(Proxy *p)
{
    ProxyPrimary *s = p->primary;
    g_autoptr(GError) error = NULL;

    if (!s) {
        return;
    }
    g_clear_handle_id(&s->timer, g_source_remove);
    if (s->compare) {
        /* In order: what is held leaves rather than being lost. */
        if (p->queue && !s->peer_left && !p->config->fail_closed) {
            net_compare_pass(s->compare, g_get_monotonic_time());
            net_nfqueue_flush(p->queue, NULL);
        }
        net_compare_free(s->compare);
    }
    fetcher_free(s->fetcher);
    if (!p->config->no_rules &&
        !net_rules_remove(p->config->name, NET_RULES_OUTPUT, &error)) {
        colo_log_warn("%s", error->message);
    }
    for (guint i = 0; s->mirrors && i < p->config->n_taps; i++) {
        mirror_close(&s->mirrors[i]);
    }
    g_free(s->mirrors);
    divergence_file_free(s->pcap);
    colo_histogram_free(s->latency);
    g_clear_pointer(&p->primary, g_free);
}
