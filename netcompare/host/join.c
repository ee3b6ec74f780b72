/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The takeover's part in the host: the guest's tap becomes a port of the
 * bridge that clients are on, and forwards at once.
 */
#include "config.h"

#include <linux/if_bridge.h>
#include <string.h>

#include "colo/log.h"
#include "netcompare/host/netlink.h"

/* Until our bridge, on which nothing is any more, is removed */
#define LEFTOVER_MS 1000

static gboolean get_bridge(NetHost *h, const char *name, NetLink *bridge,
                           GError **error)
{
    if (!net_link_get(h, name, 0, bridge, error)) {
        g_prefix_error(error, "no bridge for the guest: ");
        return FALSE;
    }
    if (!g_str_equal(bridge->kind, "bridge")) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s is no bridge: name the one that clients are on, see "
                    "'ip link show type bridge'",
                    name);
        return FALSE;
    }
    return TRUE;
}

static gboolean bridge_is_up(const NetLink *bridge, GError **error)
{
    if (!bridge->dev.up) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the bridge %s is down, nobody can reach its guests: "
                    "ip link set %s up",
                    bridge->dev.name, bridge->dev.name);
    }
    return bridge->dev.up;
}

gboolean net_host_check_bridge(NetHost *h, const char *name, GError **error)
{
    NetLink bridge;

    if (!get_bridge(h, name, &bridge, error) || !bridge_is_up(&bridge, error)) {
        return FALSE;
    }
    if (bridge.stp) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the bridge %s runs STP: a guest taken over would wait "
                    "%.0f s for its port; switch it off if there are no loops: "
                    "ip link set %s type bridge stp_state 0",
                    name, bridge.forward_delay * 2 / 100.0, name);
        return FALSE;
    }
    return TRUE;
}

/* FALSE if it is on a bridge of which we know nothing */
static gboolean may_move(NetHost *h, const NetLink *port, const char *cut,
                         const NetLink *bridge, GError **error)
{
    NetLink master;

    if (!port->dev.master || port->dev.master == bridge->dev.index) {
        return TRUE;
    }
    if (!net_link_get(h, NULL, port->dev.master, &master, error)) {
        return FALSE;
    }
    if (g_str_equal(master.dev.name, cut)) {
        return TRUE;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                "cannot put %s onto %s: somebody has put it onto %s; if that "
                "is wrong: ip link set %s nomaster",
                port->dev.name, bridge->dev.name, master.dev.name,
                port->dev.name);
    return FALSE;
}

/*
 * Without STP a port forwards as soon as it has a carrier, whatever the
 * bridge's forward delay.  With STP, the kernel's or a program's, it first
 * listens for loops, and we had better not stop it.
 */
static gboolean check_forwarding(NetHost *h, const NetLink *port,
                                 const NetLink *bridge, gboolean *forwards,
                                 GError **error)
{
    NetLink now;

    if (!net_link_get(h, NULL, port->dev.index, &now, error)) {
        return FALSE;
    }
    *forwards = now.port_state == BR_STATE_FORWARDING;
    if (*forwards) {
        return TRUE;
    }
    if (bridge->stp) {
        colo_log_warn("%s runs STP: %s forwards only in %.0f s",
                      bridge->dev.name, port->dev.name,
                      bridge->forward_delay * 2 / 100.0);
        return TRUE;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "%s is on %s, but has no carrier: is its guest's QEMU "
                "running?",
                port->dev.name, bridge->dev.name);
    return FALSE;
}

/*
 * Frames for the guest go to its old place until the bridge sees one of its
 * own.  That it does not know better now is worth a line, but no failure.
 */
static void move_addresses(NetHost *h, const NetLink *port,
                           const guint8 (*macs)[6], guint n_macs)
{
    static const guint8 zero[6];

    for (guint i = 0; i < n_macs; i++) {
        g_autoptr(GError) err = NULL;

        if (macs[i][0] & 1 || memcmp(macs[i], zero, 6) == 0) {
            continue;
        }
        if (!net_port_move_fdb(h, port, macs[i], &err)) {
            colo_log_warn("%s", err->message);
        }
    }
}

/*
 * The kernel takes some ten milliseconds to remove a bridge, and lets nobody
 * change interfaces meanwhile.  Clients wait for other taps of the same guest
 * and for announcements, but nobody for this.
 */
static gpointer remove_cut(gpointer data)
{
    g_autofree char *tap = data;
    g_autoptr(GError) error = NULL;
    NetHost *h;

    g_usleep(LEFTOVER_MS * 1000);
    h = net_host_new(&error);
    if (!h || !net_host_drop_cut(h, tap, &error)) {
        colo_log_warn("%s", error->message);
    }
    net_host_free(h);
    return NULL;
}

static void remove_cut_later(NetHost *h, const char *tap, const char *cut)
{
    NetLink link;

    if (net_link_get(h, cut, 0, &link, NULL)) {
        g_thread_unref(
            g_thread_new("colo-net-tidy", remove_cut, g_strdup(tap)));
    }
}

gboolean net_host_join(NetHost *h, const char *tap, const char *bridge_name,
                       const guint8 (*macs)[6], guint n_macs, GError **error)
{
    NetLink port, bridge;
    gboolean forwards;
    char cut[16];

    if (!net_link_get(h, tap, 0, &port, error) ||
        !get_bridge(h, bridge_name, &bridge, error)) {
        return FALSE;
    }
    net_host_cut_name(tap, cut);
    if (!may_move(h, &port, cut, &bridge, error)) {
        return FALSE;
    }
    /* A bridge shrinks to the smallest MTU of its ports */
    if (port.dev.mtu < bridge.dev.mtu &&
        !net_link_set_mtu(h, &port, bridge.dev.mtu, error)) {
        return FALSE;
    }
    if (!net_link_set_master(h, &port, &bridge, error) ||
        (!port.dev.up && !net_link_set_up(h, &port, TRUE, error)) ||
        /* All is there but this; the operator's one command brings it */
        !bridge_is_up(&bridge, error) ||
        !check_forwarding(h, &port, &bridge, &forwards, error)) {
        return FALSE;
    }
    /* A port that does not forward yet can have no addresses */
    if (forwards) {
        move_addresses(h, &port, macs, n_macs);
    }
    remove_cut_later(h, tap, cut);
    return TRUE;
}
