/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's hosts and links. */
#include "tests/rig/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const links[] = {"repl", "hb", "lan"};

static gsize n_links(const Rig *r)
{
    return r->o.net ? 3 : 2;
}

static int link_number(const char *link)
{
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        if (!strcmp(links[i], link)) {
            return (int)i + 1;
        }
    }
    rig_die("there is no link %s", link);
}

char *rig_address(const RigSide *s, const char *link)
{
    return g_strdup_printf("10.77.%d.%d", link_number(link), s->number);
}

/* A namespace that lives as long as the descriptor or a process in it. */
int rig_new_ns(void)
{
    int self = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int ns;

    if (self < 0 || unshare(CLONE_NEWNET) < 0) {
        rig_die("cannot make a network namespace: %s", g_strerror(errno));
    }
    ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(self, CLONE_NEWNET) < 0) {
        rig_die("cannot leave a network namespace: %s", g_strerror(errno));
    }
    close(self);
    return ns;
}

static int socket_in(int ns)
{
    int self = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (self < 0 || setns(ns, CLONE_NEWNET) < 0) {
        rig_die("cannot enter a network namespace: %s", g_strerror(errno));
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setns(self, CLONE_NEWNET) < 0) {
        rig_die("cannot leave a network namespace: %s", g_strerror(errno));
    }
    close(self);
    return fd;
}

void rig_ip(int ns, const char *batch)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("colo-ip-XXXXXX", &path, &error);
    char *argv[] = {"ip", "-batch", path, NULL};
    gboolean done;

    done = fd >= 0 && g_file_set_contents(path, batch, -1, NULL) &&
           rig_run(ns, argv, NULL);
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    if (!done) {
        rig_die("cannot set up links (as root, with iproute2?):\n%s", batch);
    }
}

/* At once and without a process: what is cut is cut when this returns. */
static void set_up(Rig *r, const char *device, gboolean up)
{
    struct ifreq ifr = {0};

    g_strlcpy(ifr.ifr_name, device, sizeof(ifr.ifr_name));
    if (ioctl(r->net_ctl, SIOCGIFFLAGS, &ifr) < 0) {
        rig_die("there is no %s in the switches' namespace", device);
    }
    ifr.ifr_flags =
        (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
    if (ioctl(r->net_ctl, SIOCSIFFLAGS, &ifr) < 0) {
        rig_die("cannot switch %s: %s", device, g_strerror(errno));
    }
}

void rig_link(Rig *r, const char *link, gboolean up)
{
    set_up(r, link, up);
}

/* IPv6 addresses are good at once: nobody else can have them here. */
static void no_dad(int ns)
{
    char *argv[] = {"sh", "-c",
                    "for f in default all; do "
                    "echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; "
                    "echo 0 >/proc/sys/net/ipv6/conf/$f/router_solicitations; "
                    "done",
                    NULL};

    if (!rig_run(ns, argv, NULL)) {
        rig_die("cannot set IPv6's options in a namespace");
    }
}

static void add_clients(Rig *r)
{
    g_autofree char *host =
        g_strdup_printf("link set lo up\n"
                        "link add eth0 address 02:77:00:00:02:09 type veth "
                        "peer name lan-cli netns /proc/%d/fd/%d\n"
                        "addr add " RIG_CLIENT "/24 dev eth0\n"
                        "addr add " RIG_CLIENT6 "/64 dev eth0 nodad\n"
                        "link set eth0 up\n",
                        (int)getpid(), r->net);

    r->cli = rig_new_ns();
    no_dad(r->cli);
    rig_ip(r->cli, host);
    rig_ip(r->net, "link set lan-cli master lan up\n");
}

void rig_lay_out(Rig *r)
{
    g_autoptr(GString) batch = g_string_new("link set lo up\n");

    r->net = rig_new_ns();
    for (gsize i = 0; i < n_links(r); i++) {
        g_string_append_printf(batch,
                               "link add %s type bridge forward_delay 0 "
                               "stp_state 0 mcast_snooping 0\n"
                               "link set %s up\n",
                               links[i], links[i]);
    }
    rig_ip(r->net, batch->str);
    r->net_ctl = socket_in(r->net);
    if (r->o.net) {
        add_clients(r);
    }
    rig_power_on(&r->pri);
    rig_power_on(&r->sec);
}

/* lan0 is a port of br0, which has the host's address. */
static void add_bridge(RigSide *s, GString *host)
{
    g_string_append_printf(
        host,
        "link add br0 address 02:77:00:00:03:%02x type bridge "
        "forward_delay 0 stp_state 0 mcast_snooping 0\n"
        "link set lan0 master br0 up\n"
        "link set br0 up\n"
        "addr add 10.77.3.%d/24 dev br0\n"
        "addr add fd77:3::%d/64 dev br0 nodad\n",
        (guint)s->number, s->number, s->number);
}

void rig_plug_tap(RigSide *s)
{
    g_autoptr(GString) batch = g_string_new(NULL);
    char *del[] = {"sh", "-c", "ip link del tap0 2>/dev/null", NULL};

    rig_run(s->ns, del, NULL); /* of a host that stayed */
    g_string_append(batch, "tuntap add tap0 mode tap\n");
    if (s->primary) {
        g_string_append(batch, "link set tap0 master br0\n");
    }
    g_string_append(batch, "link set tap0 up\n");
    rig_ip(s->ns, batch->str);
}

void rig_power_on(RigSide *s)
{
    g_autoptr(GString) host = g_string_new("link set lo up\n");
    g_autoptr(GString) net = g_string_new(NULL);

    s->ns = rig_new_ns();
    no_dad(s->ns);
    for (gsize i = 0; i < n_links(s->rig); i++) {
        const char *l = links[i];
        g_autofree char *addr = rig_address(s, l);

        /* The same address each time, as a card's: peers keep their ARP. */
        g_string_append_printf(
            host,
            "link add %s0 address 02:77:00:00:%02x:%02x type veth "
            "peer name %s-%s netns /proc/%d/fd/%d\n",
            l, (guint)i, (guint)s->number, l, s->name, (int)getpid(),
            s->rig->net);
        if (i < 2) {
            g_string_append_printf(
                host, "addr add %s/24 dev %s0\nlink set %s0 up\n", addr, l, l);
        } else {
            add_bridge(s, host);
        }
        g_string_append_printf(net, "link set %s-%s master %s up\n", l, s->name,
                               l);
        if (i == 2 && s->rig->o.no_flood) {
            g_string_append_printf(
                net, "link set lan-%s type bridge_slave flood off\n", s->name);
        }
    }
    rig_ip(s->ns, host->str);
    rig_ip(s->rig->net, net->str);
}

void rig_power_cut(RigSide *s)
{
    g_autoptr(GString) net = g_string_new(NULL);

    for (gsize i = 0; i < n_links(s->rig); i++) {
        g_autofree char *port = g_strdup_printf("%s-%s", links[i], s->name);

        set_up(s->rig, port, FALSE);
        g_string_append_printf(net, "link del %s\n", port);
    }
    kill(s->colod, SIGKILL);
    kill(s->qemu, SIGKILL);
    rig_kill_colod(s, SIGKILL);
    rig_kill_proxy(s, SIGKILL);
    rig_kill_qemu(s);
    rig_ip(s->rig->net, net->str);
    close(s->ns);
    s->ns = -1;
}
