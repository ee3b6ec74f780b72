/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to the kernel's rtnetlink: one message, one answer, each with a
 * deadline, and the kernel's own words in the error.
 *
 * The messages are put together from attributes, since libnl-route 3.7 knows
 * neither a bridge's STP nor what an entry of its forwarding database is, and
 * keeps the kernel's words and most of its error codes to itself.
 */
#include "config.h"

#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <string.h>

#include "netcompare/host/netlink.h"

/* What one answer brought */
typedef struct NlAnswer {
    int err;         /* errno, 0 */
    char words[160]; /* the kernel's, or "" */
    gboolean done;
    void (*parse)(struct nlmsghdr *nlh, gpointer user);
    gpointer user;
} NlAnswer;

/* The text of an extended acknowledgement (NLMSGERR_ATTR_MSG) */
static void answer_words(NlAnswer *a, struct nlmsghdr *nlh,
                         const struct nlmsgerr *e)
{
    gsize skip = sizeof *e;

    if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS)) {
        return;
    }
    if (!(nlh->nlmsg_flags & NLM_F_CAPPED)) {
        if (e->msg.nlmsg_len < sizeof e->msg ||
            e->msg.nlmsg_len > (guint32)nlmsg_datalen(nlh)) {
            return;
        }
        skip += e->msg.nlmsg_len - sizeof e->msg;
    }
    struct nlattr *words = nlmsg_find_attr(nlh, (int)skip, NLMSGERR_ATTR_MSG);
    if (words) {
        nla_strlcpy(a->words, words, sizeof a->words);
    }
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *user)
{
    NlAnswer *a = user;

    a->err = -e->error;
    a->done = TRUE;
    answer_words(a, (struct nlmsghdr *)e - 1, e);
    return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *user)
{
    NlAnswer *a = user;

    a->done = TRUE;
    return NL_STOP;
}

static int on_valid(struct nl_msg *msg, void *user)
{
    NlAnswer *a = user;

    if (a->parse) {
        a->parse(nlmsg_hdr(msg), a->user);
        a->done = TRUE;
        return NL_STOP;
    }
    return NL_OK;
}

/* Sends and frees msg; fills a.  FALSE only if there was no answer. */
static gboolean exchange(NetHost *h, struct nl_msg *msg, NlAnswer *a,
                         const char *doing, GError **error)
{
    struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    int r;

    nl_cb_err(cb, NL_CB_CUSTOM, on_error, a);
    nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, a);
    nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, a);
    r = nl_send_auto(h->nl, msg);
    nlmsg_free(msg);
    while (r >= 0 && !a->done) {
        r = nl_recvmsgs(h->nl, cb);
    }
    nl_cb_put(cb);
    if (!a->done) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%s: no answer from the kernel's rtnetlink: %s", doing,
                    nl_geterror(r));
        /* A late answer must not be taken for that of the next request */
        nl_close(h->nl);
        net_host_connect(h, NULL);
        return FALSE;
    }
    return TRUE;
}

static gboolean answer_ok(const NlAnswer *a, const char *doing, GError **error)
{
    if (a->err == 0) {
        return TRUE;
    }
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(a->err),
                "%s: %s%s%s%s", doing, g_strerror(a->err),
                a->words[0] ? " (" : "", a->words, a->words[0] ? ")" : "");
    return FALSE;
}

gboolean net_nl_talk(NetHost *h, struct nl_msg *msg, const char *doing,
                     GError **error)
{
    NlAnswer a = {0};

    nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
    return exchange(h, msg, &a, doing, error) && answer_ok(&a, doing, error);
}

/* --- An interface ------------------------------------------------------- */

static struct nl_msg *link_msg(int type, int flags, guint8 family, int index)
{
    struct ifinfomsg ifi = {.ifi_family = family, .ifi_index = index};
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (!msg || nlmsg_append(msg, &ifi, sizeof ifi, NLMSG_ALIGNTO) < 0) {
        g_error("no memory for a netlink message");
    }
    return msg;
}

static void parse_linkinfo(NetLink *l, struct nlattr *attr)
{
    struct nlattr *info[IFLA_INFO_MAX + 1];
    struct nlattr *data[IFLA_BR_MAX + 1];
    struct nlattr *port[IFLA_BRPORT_MAX + 1];

    if (nla_parse_nested(info, IFLA_INFO_MAX, attr, NULL) < 0) {
        return;
    }
    if (info[IFLA_INFO_KIND]) {
        nla_strlcpy(l->kind, info[IFLA_INFO_KIND], sizeof l->kind);
    }
    if (info[IFLA_INFO_DATA] && g_str_equal(l->kind, "bridge") &&
        nla_parse_nested(data, IFLA_BR_MAX, info[IFLA_INFO_DATA], NULL) == 0) {
        l->stp =
            data[IFLA_BR_STP_STATE] ? nla_get_u32(data[IFLA_BR_STP_STATE]) : 0;
        l->forward_delay = data[IFLA_BR_FORWARD_DELAY]
                               ? nla_get_u32(data[IFLA_BR_FORWARD_DELAY])
                               : 0;
        l->vlan_filtering = data[IFLA_BR_VLAN_FILTERING] &&
                            nla_get_u8(data[IFLA_BR_VLAN_FILTERING]);
    }
    if (info[IFLA_INFO_SLAVE_KIND] && info[IFLA_INFO_SLAVE_DATA] &&
        nla_strcmp(info[IFLA_INFO_SLAVE_KIND], "bridge") == 0 &&
        nla_parse_nested(port, IFLA_BRPORT_MAX, info[IFLA_INFO_SLAVE_DATA],
                         NULL) == 0 &&
        port[IFLA_BRPORT_STATE]) {
        l->port_state = nla_get_u8(port[IFLA_BRPORT_STATE]);
    }
}

static void parse_link(struct nlmsghdr *nlh, gpointer user)
{
    NetLink *l = user;
    struct nlattr *tb[IFLA_MAX + 1];
    struct ifinfomsg *ifi;

    if (nlh->nlmsg_type != RTM_NEWLINK ||
        nlmsg_parse(nlh, sizeof *ifi, tb, IFLA_MAX, NULL) < 0) {
        return;
    }
    ifi = nlmsg_data(nlh);
    l->dev.index = ifi->ifi_index;
    l->dev.up = (ifi->ifi_flags & IFF_UP) != 0;
    if (tb[IFLA_IFNAME]) {
        nla_strlcpy(l->dev.name, tb[IFLA_IFNAME], sizeof l->dev.name);
    }
    if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == 6) {
        memcpy(l->dev.mac, nla_data(tb[IFLA_ADDRESS]), 6);
    }
    l->dev.mtu = tb[IFLA_MTU] ? nla_get_u32(tb[IFLA_MTU]) : 0;
    l->dev.master = tb[IFLA_MASTER] ? (int)nla_get_u32(tb[IFLA_MASTER]) : 0;
    if (tb[IFLA_IFALIAS]) {
        nla_strlcpy(l->alias, tb[IFLA_IFALIAS], sizeof l->alias);
    }
    if (tb[IFLA_LINKINFO]) {
        parse_linkinfo(l, tb[IFLA_LINKINFO]);
    }
}

gboolean net_link_get(NetHost *h, const char *name, int index, NetLink *link,
                      GError **error)
{
    NlAnswer a = {.parse = parse_link, .user = link};
    struct nl_msg *msg = link_msg(RTM_GETLINK, 0, AF_UNSPEC, index);
    g_autofree char *doing =
        name ? g_strdup_printf("cannot look up the interface %s", name)
             : g_strdup_printf("cannot look up the interface number %d", index);

    memset(link, 0, sizeof *link);
    if (name && (name[0] == '\0' || strlen(name) >= sizeof link->dev.name ||
                 strchr(name, '/'))) {
        nlmsg_free(msg);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s' is not the name of an interface: it has 1 to %zu "
                    "bytes and no slash",
                    name, sizeof link->dev.name - 1);
        return FALSE;
    }
    if (name) {
        nla_put_string(msg, IFLA_IFNAME, name);
    }
    nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (!exchange(h, msg, &a, doing, error)) {
        return FALSE;
    }
    if (a.err == ENODEV) {
        if (name) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "there is no interface %s: see 'ip link'", name);
        } else {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "there is no interface number %d any more", index);
        }
        return FALSE;
    }
    return answer_ok(&a, doing, error);
}

/* --- Changing one ------------------------------------------------------- */

gboolean net_link_add_bridge(NetHost *h, const char *name, GError **error)
{
    struct nl_msg *msg =
        link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0);
    g_autofree char *doing = g_strdup_printf("cannot make the bridge %s", name);
    struct nlattr *info, *data;

    nla_put_string(msg, IFLA_IFNAME, name);
    info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "bridge");
    data = nla_nest_start(msg, IFLA_INFO_DATA);
    nla_put_u32(msg, IFLA_BR_STP_STATE, 0);
    nla_put_u8(msg, IFLA_BR_MCAST_SNOOPING, 0);
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
    return net_nl_talk(h, msg, doing, error);
}

gboolean net_link_del(NetHost *h, const NetLink *link, GError **error)
{
    struct nl_msg *msg = link_msg(RTM_DELLINK, 0, AF_UNSPEC, link->dev.index);
    g_autofree char *doing =
        g_strdup_printf("cannot remove the interface %s", link->dev.name);

    return net_nl_talk(h, msg, doing, error);
}

gboolean net_link_set_up(NetHost *h, const NetLink *link, gboolean up,
                         GError **error)
{
    struct nl_msg *msg = link_msg(RTM_SETLINK, 0, AF_UNSPEC, link->dev.index);
    struct ifinfomsg *ifi = nlmsg_data(nlmsg_hdr(msg));
    g_autofree char *doing =
        g_strdup_printf("cannot set %s %s", link->dev.name, up ? "up" : "down");

    ifi->ifi_change = IFF_UP;
    ifi->ifi_flags = up ? IFF_UP : 0;
    return net_nl_talk(h, msg, doing, error);
}

gboolean net_link_set_mtu(NetHost *h, const NetLink *link, guint mtu,
                          GError **error)
{
    struct nl_msg *msg = link_msg(RTM_SETLINK, 0, AF_UNSPEC, link->dev.index);
    g_autofree char *doing =
        g_strdup_printf("cannot set the MTU of %s to %u", link->dev.name, mtu);

    nla_put_u32(msg, IFLA_MTU, mtu);
    return net_nl_talk(h, msg, doing, error);
}

gboolean net_link_set_alias(NetHost *h, const NetLink *link, const char *alias,
                            GError **error)
{
    struct nl_msg *msg = link_msg(RTM_SETLINK, 0, AF_UNSPEC, link->dev.index);
    g_autofree char *doing =
        g_strdup_printf("cannot set the alias of %s", link->dev.name);

    nla_put_string(msg, IFLA_IFALIAS, alias);
    return net_nl_talk(h, msg, doing, error);
}

gboolean net_link_set_master(NetHost *h, const NetLink *port,
                             const NetLink *master, GError **error)
{
    struct nl_msg *msg = link_msg(RTM_SETLINK, 0, AF_UNSPEC, port->dev.index);
    g_autofree char *doing = g_strdup_printf("cannot put %s onto the bridge %s",
                                             port->dev.name, master->dev.name);

    nla_put_u32(msg, IFLA_MASTER, (guint32)master->dev.index);
    return net_nl_talk(h, msg, doing, error);
}

/* --- A port of a bridge ------------------------------------------------- */

gboolean net_port_set_group_fwd_mask(NetHost *h, const NetLink *port,
                                     guint16 mask, GError **error)
{
    struct nl_msg *msg = link_msg(RTM_SETLINK, 0, AF_BRIDGE, port->dev.index);
    struct nlattr *info = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED);
    g_autofree char *doing = g_strdup_printf(
        "cannot keep link-local frames of the port %s from the host",
        port->dev.name);

    nla_put_u16(msg, IFLA_BRPORT_GROUP_FWD_MASK, mask);
    nla_nest_end(msg, info);
    return net_nl_talk(h, msg, doing, error);
}

static struct nl_msg *fdb_msg(int type, int flags, int port, guint16 state,
                              const guint8 mac[6])
{
    struct ndmsg ndm = {
        .ndm_family = AF_BRIDGE,
        .ndm_ifindex = port,
        .ndm_state = state,
        .ndm_flags = NTF_MASTER,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (!msg || nlmsg_append(msg, &ndm, sizeof ndm, NLMSG_ALIGNTO) < 0) {
        g_error("no memory for a netlink message");
    }
    nla_put(msg, NDA_LLADDR, 6, mac);
    return msg;
}

static void parse_fdb_state(struct nlmsghdr *nlh, gpointer user)
{
    if (nlh->nlmsg_type == RTM_NEWNEIGH &&
        nlmsg_valid_hdr(nlh, sizeof(struct ndmsg))) {
        *(guint16 *)user = ((struct ndmsg *)nlmsg_data(nlh))->ndm_state;
    }
}

gboolean net_port_move_fdb(NetHost *h, const NetLink *port, const guint8 mac[6],
                           GError **error)
{
    guint16 state = 0;
    NlAnswer a = {.parse = parse_fdb_state, .user = &state};
    g_autofree char *doing = g_strdup_printf(
        "cannot tell the bridge that %02x:%02x:%02x:%02x:%02x:%02x is at %s",
        mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], port->dev.name);

    /* Without an entry, or where the kernel cannot tell, it is no one's */
    if (!exchange(h, fdb_msg(RTM_GETNEIGH, 0, port->dev.index, 0, mac), &a,
                  doing, error)) {
        return FALSE;
    }
    if (state & (NUD_PERMANENT | NUD_NOARP)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "%s: it is the host's own there, or was set by hand",
                    doing);
        return FALSE;
    }
    return net_nl_talk(h,
                       fdb_msg(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE,
                               port->dev.index, NUD_REACHABLE, mac),
                       doing, error);
}
