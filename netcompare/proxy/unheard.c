/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients sent while nobody heard them. */
#include "netcompare/proxy/unheard.h"
#include "colo/log.h"
#include "netcompare/host/ports.h"
#include "netcompare/packet/packet.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_FRAMES 8192
#define KEPT_BYTES  (32u << 20)
#define RCVBUF      (4u << 20) /* of each port */
#define DRAIN_TURNS 64

typedef struct Port {
    Unheard *unheard;
    NetTap *tap;
    guint source;
} Port;

struct Unheard {
    Proxy *proxy;
    char *bridge;
    NetPorts *ports;
    guint source;         /* of ports */
    GHashTable *by_index; /* of interfaces: Port */
    guint8 macs[NET_TAP_DESTINATIONS][6];
    guint n_macs;
    RecentFrames *frames;
    guint64 number, lost;
    gint64 now;
};

static gboolean is_for_guest(const Unheard *u, const NetFrame *frame)
{
    NetPacket packet;

    for (guint i = 0; i < u->n_macs; i++) {
        if (frame->len >= 6 && !memcmp(frame->data, u->macs[i], 6)) {
            return net_packet_parse_frame(&packet, frame->data, frame->len,
                                          0) == NET_KIND_TCP;
        }
    }
    return FALSE; /* from before the filter was there */
}

/* The first ones are those that a guest can use. */
static void on_frame(const NetFrame *frame, gpointer user)
{
    Unheard *u = user;

    if (!is_for_guest(u, frame)) {
        return;
    }
    if (!recent_has_room(u->frames, frame->len)) {
        u->lost++;
        return;
    }
    recent_add(u->frames, frame, ++u->number, u->now);
}

/* An interface that is gone is none to end for: net_ports_read() will tell. */
static gboolean read_port(gpointer user, GError **error)
{
    Port *port = user;
    g_autoptr(GError) gone = NULL;

    port->unheard->now = g_get_monotonic_time();
    if (net_tap_read(port->tap, PROXY_TURN, on_frame, port->unheard, &gone) <
        0) {
        g_clear_handle_id(&port->source, g_source_remove);
    }
    return TRUE;
}

static void port_free(gpointer data)
{
    Port *port = data;

    g_clear_handle_id(&port->source, g_source_remove);
    net_tap_close(port->tap);
    g_free(port);
}

static void on_port(int index, const char *name, gboolean there, gpointer user)
{
    Unheard *u = user;
    g_autoptr(GError) error = NULL;
    Port *port;

    if (!there) {
        g_hash_table_remove(u->by_index, GINT_TO_POINTER(index));
        return;
    }
    port = g_new0(Port, 1);
    port->unheard = u;
    port->tap = net_tap_open(name, NET_TAP_INCOMING, NULL, RCVBUF, &error);
    if (!port->tap ||
        !net_tap_only_to(port->tap, u->macs, u->n_macs, &error)) {
        colo_log_debug("what clients send while nobody hears them is not kept "
                       "at port %s of %s: %s",
                       name, u->bridge, error->message);
        port_free(port);
        return;
    }
    port->source =
        proxy_add_fd(u->proxy, net_tap_fd(port->tap), read_port, port);
    g_hash_table_insert(u->by_index, GINT_TO_POINTER(index), port);
}

static gboolean read_ports(gpointer user, GError **error)
{
    return net_ports_read(((Unheard *)user)->ports, error);
}

Unheard *unheard_new(Proxy *p, const char *bridge, GError **error)
{
    Unheard *u = g_new0(Unheard, 1);

    u->proxy = p;
    u->bridge = g_strdup(bridge);
    u->by_index = g_hash_table_new_full(NULL, NULL, NULL, port_free);
    u->frames = recent_new(KEPT_FRAMES, KEPT_BYTES);
    u->ports = net_ports_new(bridge, on_port, u, error);
    if (!u->ports) {
        unheard_free(u);
        return NULL;
    }
    u->source = proxy_add_fd(p, net_ports_fd(u->ports), read_ports, u);
    return u;
}

void unheard_free(Unheard *u)
{
    if (!u) {
        return;
    }
    g_clear_handle_id(&u->source, g_source_remove);
    net_ports_free(u->ports);
    g_hash_table_unref(u->by_index);
    recent_free(u->frames);
    g_free(u->bridge);
    g_free(u);
}

static int compare_macs(const void *a, const void *b)
{
    return memcmp(a, b, 6);
}

void unheard_set_macs(Unheard *u, const guint8 (*macs)[6], guint n)
{
    guint8 sorted[NET_TAP_DESTINATIONS][6];
    GHashTableIter i;
    gpointer value;

    n = MIN(n, NET_TAP_DESTINATIONS);
    memcpy(sorted, macs, n * sizeof(sorted[0]));
    qsort(sorted, n, sizeof(sorted[0]), compare_macs);
    if (n == u->n_macs && !memcmp(sorted, u->macs, n * sizeof(sorted[0]))) {
        return;
    }
    u->n_macs = n;
    memcpy(u->macs, sorted, n * sizeof(sorted[0]));
    g_hash_table_iter_init(&i, u->by_index);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        g_autoptr(GError) error = NULL;
        Port *port = value;

        if (!net_tap_only_to(port->tap, u->macs, u->n_macs, &error)) {
            colo_log_debug("%s", error->message);
            g_hash_table_iter_remove(&i); /* rather than everybody's frames */
        }
    }
}

void unheard_expire(Unheard *u, gint64 before_us)
{
    recent_expire(u->frames, before_us);
}

void unheard_stop(Unheard *u)
{
    GHashTableIter i;
    gpointer value;

    u->now = g_get_monotonic_time();
    g_hash_table_iter_init(&i, u->by_index);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        Port *port = value;

        for (int turn = 0; turn < DRAIN_TURNS; turn++) {
            if (net_tap_read(port->tap, PROXY_TURN, on_frame, u, NULL) <= 0) {
                break;
            }
        }
    }
    g_hash_table_remove_all(u->by_index);
    g_clear_handle_id(&u->source, g_source_remove);
}

void unheard_foreach(Unheard *u, gint64 since_us, RecentFunc func,
                     gpointer user)
{
    recent_foreach(u->frames, since_us, func, user);
}

guint64 unheard_lost(const Unheard *u)
{
    return u->lost;
}
