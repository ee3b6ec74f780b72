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

static const char *const links[] = {"repl", "hb"};

char *rig_address(const RigSide *s, const char *link)
{
    return g_strdup_printf("10.77.%d.%d", strcmp(link, "repl") ? 2 : 1,
                           s->number);
}

/* A namespace that lives as long as the descriptor or a process in it. */
static int new_ns(void)
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

static void run_ip(Rig *r, int ns, const char *batch)
{
    g_autofree char *path = g_build_filename(r->dir, "ip.batch", NULL);
    char *argv[] = {"ip", "-batch", path, NULL};

    if (!g_file_set_contents(path, batch, -1, NULL) ||
        !rig_run(ns, argv, NULL)) {
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

void rig_lay_out(Rig *r)
{
    g_autoptr(GString) batch = g_string_new("link set lo up\n");

    r->net = new_ns();
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_string_append_printf(batch,
                               "link add %s type bridge forward_delay 0 "
                               "stp_state 0 mcast_snooping 0\n"
                               "link set %s up\n",
                               links[i], links[i]);
    }
    run_ip(r, r->net, batch->str);
    r->net_ctl = socket_in(r->net);
    rig_power_on(&r->pri);
    rig_power_on(&r->sec);
}

void rig_power_on(RigSide *s)
{
    g_autoptr(GString) host = g_string_new("link set lo up\n");
    g_autoptr(GString) net = g_string_new(NULL);

    s->ns = new_ns();
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        const char *l = links[i];
        g_autofree char *addr = rig_address(s, l);

        /* The same address each time, as a card's: peers keep their ARP. */
        g_string_append_printf(
            host,
            "link add %s0 address 02:77:00:00:%02x:%02x type veth "
            "peer name %s-%s netns /proc/%d/fd/%d\n"
            "addr add %s/24 dev %s0\n"
            "link set %s0 up\n",
            l, (guint)i, (guint)s->number, l, s->name, (int)getpid(),
            s->rig->net, addr, l, l);
        g_string_append_printf(net, "link set %s-%s master %s up\n", l, s->name,
                               l);
    }
    run_ip(s->rig, s->ns, host->str);
    run_ip(s->rig, s->rig->net, net->str);
}

void rig_power_cut(RigSide *s)
{
    g_autoptr(GString) net = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *port = g_strdup_printf("%s-%s", links[i], s->name);

        set_up(s->rig, port, FALSE);
        g_string_append_printf(net, "link del %s\n", port);
    }
    kill(s->colod, SIGKILL);
    kill(s->qemu, SIGKILL);
    rig_kill_colod(s, SIGKILL);
    rig_kill_qemu(s);
    run_ip(s->rig, s->rig->net, net->str);
    close(s->ns);
    s->ns = -1;
}
