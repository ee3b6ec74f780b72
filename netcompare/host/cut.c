/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cutting a tap off from its host.
 *
 * Theory of operation.  The secondary's guest speaks to nobody, but its tap
 * is an interface of the host like any other: the host would answer its ARP
 * for any of the host's addresses, deliver and route its packets, and say
 * things of its own into it.  So the tap becomes a port of a bridge of its own
 * that is down.  A port of a bridge that is down is in the state "disabled":
 * the bridge takes what comes in and drops it, after packet sockets have seen
 * it.  What is sent out of the tap by a packet socket passes no bridge.
 *
 * Frames to the link-local group addresses (01:80:c2:00:00:0x) are what a
 * bridge leaves to the host even then, so the port's group_fwd_mask says that
 * they are the bridge's, too.
 *
 * IPv6 is switched off on the tap: it alone speaks by itself on an interface
 * without an address.  Answering ARP and forwarding are switched off as well,
 * for the instants in which the tap is on no bridge: while it moves to
 * another one.  The values from before are kept in our bridge's alias, where
 * an operator sees them and the next of us finds them after a crash.
 */
#include "config.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "colo/log.h"
#include "netcompare/host/netlink.h"
#include "netcompare/host/sysctl.h"

#define ALIAS "colo-proxy: cut off from this host; before: "
/* All that a port may have: pause frames (01) never pass any bridge */
#define GROUP_FWD_MASK 0xfffd

static const struct {
    const char *family, *name;
    int value;
} settings[] = {
    {"ipv6", "disable_ipv6", 1},
    {"ipv4", "arp_ignore", 8},
    {"ipv4", "forwarding", 0},
};

#define N_SETTINGS G_N_ELEMENTS(settings)
#define NOT_THERE  (-1) /* this kernel has no IPv6 */

/* A tap is not put onto a bridge between the look and its removal */
static GMutex removing;

static char *setting_path(guint i, const char *tap)
{
    return g_strdup_printf("net/%s/conf/%s/%s", settings[i].family, tap,
                           settings[i].name);
}

static gboolean get_settings(const char *tap, int *values, GError **error)
{
    for (guint i = 0; i < N_SETTINGS; i++) {
        g_autofree char *path = setting_path(i, tap);
        g_autoptr(GError) err = NULL;

        if (net_sysctl_get(path, &values[i], &err)) {
            continue;
        }
        if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&err));
            return FALSE;
        }
        values[i] = NOT_THERE;
    }
    return TRUE;
}

static gboolean apply_settings(const char *tap, const int *values,
                               GError **error)
{
    for (guint i = 0; i < N_SETTINGS; i++) {
        g_autofree char *path = setting_path(i, tap);

        if (values[i] != NOT_THERE && !net_sysctl_set(path, values[i], error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean parse_alias(const char *alias, int *values)
{
    return g_str_has_prefix(alias, ALIAS) &&
           sscanf(alias + strlen(ALIAS),
                  "disable_ipv6 %d, arp_ignore %d, forwarding %d", &values[0],
                  &values[1], &values[2]) == N_SETTINGS;
}

void net_host_cut_name(const char *tap, char name[16])
{
    gsize n = strlen(tap);

    if (n <= 10) {
        g_snprintf(name, 16, "%s-colo", tap);
        return;
    }
    /* Names that differ only at their end stay different */
    guint sum = g_str_hash(tap);
    g_snprintf(name, 16, "%.5s%05x-colo", tap, sum & 0xfffff);
}

/* An address of ours there means that we speak into it. */
static gboolean has_no_address(const char *tap, GError **error)
{
    struct ifaddrs *all;
    gboolean ok = TRUE;

    if (getifaddrs(&all) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot list the addresses of this host");
        return FALSE;
    }
    for (struct ifaddrs *i = all; i && ok; i = i->ifa_next) {
        char text[NI_MAXHOST];
        socklen_t len;

        if (!i->ifa_addr || !g_str_equal(i->ifa_name, tap)) {
            continue;
        }
        if (i->ifa_addr->sa_family == AF_INET) {
            len = sizeof(struct sockaddr_in);
        } else if (i->ifa_addr->sa_family == AF_INET6 &&
                   !IN6_IS_ADDR_LINKLOCAL(
                       &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr)) {
            len = sizeof(struct sockaddr_in6);
        } else {
            continue;
        }
        if (getnameinfo(i->ifa_addr, len, text, sizeof text, NULL, 0,
                        NI_NUMERICHOST) != 0) {
            g_strlcpy(text, "an address", sizeof text);
        }
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "cannot cut %s off: this host has %s there, and would "
                    "speak to the guest; remove it: ip addr flush dev %s",
                    tap, text, tap);
        ok = FALSE;
    }
    freeifaddrs(all);
    return ok;
}

/* Our bridge, made if it is not there. */
static gboolean get_cut(NetHost *h, const char *name, NetLink *cut,
                        GError **error)
{
    g_autoptr(GError) err = NULL;

    if (!net_link_get(h, name, 0, cut, &err)) {
        if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&err));
            return FALSE;
        }
        return net_link_add_bridge(h, name, error) &&
               net_link_get(h, name, 0, cut, error);
    }
    /* One that is down and has no alias yet is of a crash of ours */
    if (!g_str_equal(cut->kind, "bridge") ||
        (!g_str_has_prefix(cut->alias, ALIAS) &&
         (cut->dev.up || cut->alias[0]))) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "the interface %s is not colo-proxy's, but has the name "
                    "that it needs: rename it",
                    name);
        return FALSE;
    }
    return TRUE;
}

/* The values of before are in the alias before any is changed. */
static gboolean silence(NetHost *h, const NetLink *cut, const char *tap,
                        GError **error)
{
    int values[N_SETTINGS];
    g_autofree char *alias = NULL;

    if (!parse_alias(cut->alias, values)) {
        if (!get_settings(tap, values, error)) {
            return FALSE;
        }
        alias = g_strdup_printf(ALIAS
                                "disable_ipv6 %d, arp_ignore %d, forwarding %d",
                                values[0], values[1], values[2]);
        if (!net_link_set_alias(h, cut, alias, error)) {
            return FALSE;
        }
    }
    for (guint i = 0; i < N_SETTINGS; i++) {
        if (values[i] != NOT_THERE) {
            values[i] = settings[i].value;
        }
    }
    return apply_settings(tap, values, error);
}

static gboolean isolate(NetHost *h, const char *tap, GError **error)
{
    NetLink port, cut;
    char name[16];

    if (!net_link_get(h, tap, 0, &port, error)) {
        return FALSE;
    }
    net_host_cut_name(tap, name);
    if (port.dev.master) {
        NetLink master;

        if (!net_link_get(h, NULL, port.dev.master, &master, error)) {
            return FALSE;
        }
        if (!g_str_equal(master.dev.name, name)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                        "cannot cut %s off: it is on %s; until a takeover a "
                        "secondary's tap is on no bridge: ip link set %s "
                        "nomaster",
                        tap, master.dev.name, tap);
            return FALSE;
        }
    }
    if (!has_no_address(tap, error) || !get_cut(h, name, &cut, error)) {
        return FALSE;
    }
    if (cut.dev.up) {
        colo_log_warn("the bridge %s, which cuts %s off, was up: set it down "
                      "again",
                      name, tap);
        if (!net_link_set_up(h, &cut, FALSE, error)) {
            return FALSE;
        }
    }
    /* Up only when it can say nothing of its own any more */
    return silence(h, &cut, tap, error) &&
           net_link_set_master(h, &port, &cut, error) &&
           net_port_set_group_fwd_mask(h, &port, GROUP_FWD_MASK, error) &&
           (port.dev.up || net_link_set_up(h, &port, TRUE, error));
}

gboolean net_host_isolate(NetHost *h, const char *tap, GError **error)
{
    gboolean ok;

    g_mutex_lock(&removing);
    ok = isolate(h, tap, error);
    g_mutex_unlock(&removing);
    return ok;
}

/* Our bridge, if it is there: TRUE with an index of 0 if not. */
static gboolean find_cut(NetHost *h, const char *tap, NetLink *cut,
                         GError **error)
{
    g_autoptr(GError) err = NULL;
    char name[16];

    net_host_cut_name(tap, name);
    if (net_link_get(h, name, 0, cut, &err)) {
        if (!g_str_has_prefix(cut->alias, ALIAS)) {
            cut->dev.index = 0;
        }
        return TRUE;
    }
    cut->dev.index = 0;
    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&err));
    return FALSE;
}

gboolean net_host_unisolate(NetHost *h, const char *tap, GError **error)
{
    NetLink cut, port;
    int values[N_SETTINGS];

    if (!find_cut(h, tap, &cut, error)) {
        return FALSE;
    }
    /* The alias goes last: a crash before leaves it to the next of us */
    if (cut.dev.index && net_link_get(h, tap, 0, &port, NULL) &&
        port.dev.master == cut.dev.index && parse_alias(cut.alias, values) &&
        !apply_settings(tap, values, error)) {
        return FALSE;
    }
    return !cut.dev.index || net_link_del(h, &cut, error);
}

gboolean net_host_drop_cut(NetHost *h, const char *tap, GError **error)
{
    NetLink cut, port;
    gboolean ok;

    g_mutex_lock(&removing);
    ok = find_cut(h, tap, &cut, error);
    if (ok && cut.dev.index &&
        (!net_link_get(h, tap, 0, &port, NULL) ||
         port.dev.master != cut.dev.index)) {
        ok = net_link_del(h, &cut, error);
    }
    g_mutex_unlock(&removing);
    return ok;
}
