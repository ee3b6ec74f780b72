/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ports of a bridge, as they come and go. */
#include "config.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>

#include "netcompare/host/ports.h"

#define TURNS 64 /* of reading, before others have theirs */

struct NetPorts {
    struct nl_sock *nl;
    char bridge[IF_NAMESIZE];
    int bridge_index;  /* 0: it is not there */
    GHashTable *known; /* indexes of ports */
    NetPortFunc on_port;
    gpointer user;
};

static gboolean nl_failed(const NetPorts *p, int err, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "cannot watch the ports of bridge %s: rtnetlink: %s", p->bridge,
                nl_geterror(err));
    return FALSE;
}

static void lose(NetPorts *p, int index)
{
    if (g_hash_table_remove(p->known, GINT_TO_POINTER(index))) {
        p->on_port(index, NULL, FALSE, p->user);
    }
}

static void find(NetPorts *p, int index, const char *name)
{
    if (g_hash_table_add(p->known, GINT_TO_POINTER(index))) {
        p->on_port(index, name, TRUE, p->user);
    }
}

static int on_link(struct nl_msg *msg, void *user)
{
    NetPorts *p = user;
    struct nlmsghdr *nlh = nlmsg_hdr(msg);
    struct nlattr *tb[IFLA_MAX + 1];
    struct ifinfomsg *ifi;
    char name[IF_NAMESIZE] = "";
    int master;

    if ((nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK) ||
        nlmsg_parse(nlh, sizeof *ifi, tb, IFLA_MAX, NULL) < 0) {
        return NL_OK;
    }
    ifi = nlmsg_data(nlh);
    if (ifi->ifi_family != AF_UNSPEC) {
        return NL_OK; /* the bridge's own words; the link's follow */
    }
    if (tb[IFLA_IFNAME]) {
        nla_strlcpy(name, tb[IFLA_IFNAME], sizeof name);
    }
    if (nlh->nlmsg_type == RTM_DELLINK) {
        lose(p, ifi->ifi_index);
        p->bridge_index =
            ifi->ifi_index == p->bridge_index ? 0 : p->bridge_index;
        return NL_OK;
    }
    if (!strcmp(name, p->bridge)) {
        p->bridge_index = ifi->ifi_index;
    }
    master = tb[IFLA_MASTER] ? (int)nla_get_u32(tb[IFLA_MASTER]) : 0;
    if (master && master == p->bridge_index) {
        find(p, ifi->ifi_index, name);
    } else {
        lose(p, ifi->ifi_index);
    }
    return NL_OK;
}

/* The answers come to on_link() as news do. */
static int ask_for_all(NetPorts *p)
{
    struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_DUMP);
    int r;

    if (!msg || nlmsg_append(msg, &ifi, sizeof ifi, NLMSG_ALIGNTO) < 0 ||
        nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0) {
        g_error("no memory for a netlink message");
    }
    p->bridge_index = (int)if_nametoindex(p->bridge);
    r = nl_send_auto(p->nl, msg);
    nlmsg_free(msg);
    return r;
}

/* News were lost, or changed what was being told. */
static int begin_anew(NetPorts *p)
{
    g_autoptr(GList) all = g_hash_table_get_keys(p->known);

    for (GList *l = all; l; l = l->next) {
        lose(p, GPOINTER_TO_INT(l->data));
    }
    return ask_for_all(p);
}

NetPorts *net_ports_new(const char *bridge, NetPortFunc on_port, gpointer user,
                        GError **error)
{
    NetPorts *p = g_new0(NetPorts, 1);
    int r;

    g_strlcpy(p->bridge, bridge, sizeof p->bridge);
    p->on_port = on_port;
    p->user = user;
    p->known = g_hash_table_new(NULL, NULL);
    p->nl = nl_socket_alloc();
    if (!p->nl) {
        g_error("no memory for a netlink socket");
    }
    nl_socket_disable_seq_check(p->nl);
    nl_socket_modify_cb(p->nl, NL_CB_VALID, NL_CB_CUSTOM, on_link, p);
    if ((r = nl_connect(p->nl, NETLINK_ROUTE)) < 0 ||
        (r = nl_socket_set_nonblocking(p->nl)) < 0 ||
        (r = nl_socket_add_membership(p->nl, RTNLGRP_LINK)) < 0 ||
        (r = ask_for_all(p)) < 0) {
        nl_failed(p, r, error);
        net_ports_free(p);
        return NULL;
    }
    return p;
}

void net_ports_free(NetPorts *p)
{
    if (!p) {
        return;
    }
    nl_socket_free(p->nl);
    g_hash_table_unref(p->known);
    g_free(p);
}

int net_ports_fd(const NetPorts *p)
{
    return nl_socket_get_fd(p->nl);
}

gboolean net_ports_read(NetPorts *p, GError **error)
{
    int r = 0;

    for (int turn = 0; turn < TURNS && r >= 0; turn++) {
        r = nl_recvmsgs_default(p->nl);
    }
    if (r == -NLE_NOMEM || r == -NLE_DUMP_INTR) {
        r = begin_anew(p);
    }
    return r >= 0 || r == -NLE_AGAIN || nl_failed(p, r, error);
}
