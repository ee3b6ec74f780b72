/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the primary's guest gets.  See mirror.h. */
#include "netcompare/proxy/mirror.h"
#include "colo/log.h"
#include "netcompare/proxy/stats.h"

#define MIRROR_RCVBUF (32u << 20)
#define DRAIN_TURNS   256 /* more than the tap's and our buffer can hold */

static void on_frame(const NetFrame *frame, gpointer user)
{
    Mirror *m = user;

    m->number++;
    partial_learn(m->partial, frame->data, frame->len, g_get_monotonic_time());
    if (!m->proxy->link || !proxy_send_frame(m->proxy, NET_WIRE_FRAME, m->iface,
                                             m->number, frame)) {
        m->refused++;
    }
}

static gboolean read_mirror(gpointer user, GError **error)
{
    Mirror *m = user;

    return net_tap_read(m->tap, PROXY_TURN, on_frame, m, error) >= 0;
}

guint64 mirror_waiting(Mirror *m)
{
    Proxy *p = m->proxy;
    NetTapStats stats;
    guint64 read = 0, dropped = 0;
    g_autoptr(GError) error = NULL;

    if (!net_host_consumed(p->host, p->devs[m->iface].index, &read, &dropped,
                           &error)) {
        colo_log_warn("%s", error->message);
        return 0;
    }
    /* Those that came after the counter was read wait, too. */
    for (int i = 0; i < DRAIN_TURNS; i++) {
        if (net_tap_read(m->tap, PROXY_TURN, on_frame, m, NULL) <= 0) {
            break;
        }
    }
    net_tap_stats(m->tap, &stats);
    return backlog_waiting(&m->backlog, m->number + stats.lost, read + dropped);
}

gboolean mirror_send_part(Mirror *m, const NetPacket *segment, guint32 at,
                          guint32 len, guint16 window, guint mss)
{
    if (!partial_send(m->partial, segment, at, len, window, mss,
                      g_get_monotonic_time())) {
        return FALSE;
    }
    m->parts++;
    return TRUE;
}

JsonObject *mirror_stats(const Mirror *m)
{
    JsonObject *o = json_object_new();

    json_object_set_int_member(o, "frames", (gint64)m->number);
    json_object_set_int_member(o, "not-sent", (gint64)m->refused);
    json_object_set_int_member(o, "parts-sent", (gint64)m->parts);
    stats_put_tap(o, m->tap);
    return o;
}

/* --- Start and end ------------------------------------------------------ */

gboolean mirror_open(Mirror *m, Proxy *p, guint iface, GError **error)
{
    const NetDev *dev = &p->devs[iface];

    if (!dev->master_is_bridge) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%s is on no bridge: put it on the one that leads to "
                    "the clients (ip link set %s master BRIDGE)",
                    dev->name, dev->name);
        return FALSE;
    }
    m->proxy = p;
    m->iface = iface;
    backlog_init(&m->backlog);
    m->tap =
        net_tap_open(dev->name, NET_TAP_OUTGOING, NULL, MIRROR_RCVBUF, error);
    if (!m->tap) {
        return FALSE;
    }
    m->partial = partial_new(dev, error);
    if (!m->partial) {
        return FALSE;
    }
    proxy_add_fd(p, net_tap_fd(m->tap), read_mirror, m);
    colo_log_info("%s: on bridge %s, MTU %u", dev->name, dev->master_name,
                  dev->mtu);
    return TRUE;
}

void mirror_close(Mirror *m)
{
    g_clear_pointer(&m->tap, net_tap_close);
    g_clear_pointer(&m->partial, partial_free);
}
