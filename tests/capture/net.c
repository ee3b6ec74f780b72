/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces for a test.  See net.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "tests/capture/net.h"

#define OWN_NS    "/proc/thread-self/ns/net"
#define FRAME_MAX (65536 + 64)

static int open_ns(void)
{
    int fd = open(OWN_NS, O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

const char *test_net_missing(void)
{
    g_autofree char *ip = g_find_program_in_path("ip");
    int home;

    if (geteuid() != 0)
        return "root is needed";
    if (!ip)
        return "ip is missing: install Debian's package iproute2";
    home = open_ns();
    if (unshare(CLONE_NEWNET) < 0) {
        close(home);
        return "this kernel gives us no network namespaces";
    }
    g_assert_cmpint(setns(home, CLONE_NEWNET), ==, 0);
    close(home);
    return NULL;
}

void test_net_enter(TestNet *n, TestPlace where)
{
    g_assert_cmpint(setns(n->ns[where], CLONE_NEWNET), ==, 0);
}

void test_net_leave(TestNet *n)
{
    g_assert_cmpint(setns(n->home, CLONE_NEWNET), ==, 0);
}

gboolean test_net_run(TestNet *n, TestPlace where, char **out,
                      const char *format, ...)
{
    g_autofree char *command = NULL, *said = NULL;
    g_auto(GStrv) argv = NULL;
    gboolean ok;
    va_list ap;
    int status = -1;

    va_start(ap, format);
    command = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_assert_true(g_shell_parse_argv(command, NULL, &argv, NULL));
    test_net_enter(n, where);
    ok = g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                      &said, &status, NULL) &&
         status == 0;
    test_net_leave(n);
    if (!ok && !out)
        g_test_message("%s: %s", command, said ? said : "not there");
    if (!ok && out)
        *out = g_strdup_printf("%s: %s", command,
                               said ? g_strchomp(said) : "not there");
    return ok;
}

void test_net_sysctl(TestNet *n, TestPlace where, const char *name,
                     const char *value)
{
    g_autofree char *path = g_strdup_printf("/proc/sys/net/%s", name);
    int fd;

    test_net_enter(n, where);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        g_error("cannot write %s: %s", path, g_strerror(errno));
    close(fd);
    test_net_leave(n);
}

guint test_net_ifindex(TestNet *n, TestPlace where, const char *name)
{
    guint i;

    test_net_enter(n, where);
    i = if_nametoindex(name);
    test_net_leave(n);
    g_assert_cmpuint(i, >, 0);
    return i;
}

int test_net_socket(TestNet *n, TestPlace where, int domain, int type)
{
    int fd;

    test_net_enter(n, where);
    fd = socket(domain, type | SOCK_CLOEXEC, 0);
    test_net_leave(n);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void quiet(TestNet *n, TestPlace where)
{
    test_net_sysctl(n, where, "ipv6/conf/default/accept_dad", "0");
    test_net_sysctl(n, where, "ipv6/conf/default/router_solicitations", "0");
    test_net_sysctl(n, where, "ipv6/conf/default/addr_gen_mode", "1");
}

static void give_addresses(TestNet *n, TestPlace where, const char *name,
                           guint number)
{
    g_assert_true(test_net_run(n, where, NULL,
                               "ip link set dev %s up", name));
    g_assert_true(test_net_run(n, where, NULL,
                               "ip addr add 10.0.0.%u/24 dev %s", number,
                               name));
    g_assert_true(test_net_run(n, where, NULL,
                               "ip addr add fd00::%u/64 dev %s nodad", number,
                               name));
    for (guint other = 1; other <= 3; other++) {
        if (other == number)
            continue;
        g_assert_true(test_net_run(
            n, where, NULL, "ip neigh add 10.0.0.%u dev %s lladdr "
            "52:54:00:00:00:0%u", other, name, other));
        g_assert_true(test_net_run(
            n, where, NULL, "ip neigh add fd00::%u dev %s lladdr "
            "52:54:00:00:00:0%u", other, name, other));
    }
}

static void add_port(TestNet *n, const char *port, const char *peer,
                     TestPlace where, guint number, guint mtu)
{
    g_assert_true(test_net_run(
        n, HOST, NULL, "ip link add %s mtu %u type veth peer name %s mtu %u "
        "address 52:54:00:00:00:0%u netns /proc/%d/fd/%d", port, mtu, peer,
        mtu, number, getpid(), n->ns[where]));
    g_assert_true(test_net_run(n, HOST, NULL,
                               "ip link set dev %s master br0 up", port));
    give_addresses(n, where, peer, number);
}

/* The bridge hears of a port's carrier later; what comes before is lost. */
static void await_forwarding(TestNet *n, const char *port)
{
    for (int i = 0; i < 500; i++) {
        if (test_net_run(n, HOST, NULL,
                         "sh -c 'ip -d link show dev %s | "
                         "grep -q \"state forwarding\"'", port))
            return;
        g_usleep(10000);
    }
    g_error("port %s of the bridge forwards nothing", port);
}

TestNet *test_net_new(guint mtu)
{
    TestNet *n = g_new0(TestNet, 1);

    n->home = open_ns();
    for (int i = 0; i < N_PLACES; i++) {
        g_assert_cmpint(unshare(CLONE_NEWNET), ==, 0);
        n->ns[i] = open_ns();
    }
    test_net_leave(n);
    for (TestPlace i = GUEST; i < N_PLACES; i++)
        quiet(n, i);
    g_assert_true(test_net_run(
        n, HOST, NULL, "ip link add br0 mtu %u address 52:54:00:00:00:03 type "
        "bridge forward_delay 0 stp_state 0 mcast_snooping 0", mtu));
    add_port(n, "gp", "g0", GUEST, 1, mtu);
    add_port(n, "cp", "c0", CLIENT, 2, mtu);
    give_addresses(n, HOST, "br0", 3);
    await_forwarding(n, "gp");
    await_forwarding(n, "cp");
    return n;
}

void test_net_free(TestNet *n)
{
    test_net_leave(n);
    close(n->home);
    for (int i = 0; i < N_PLACES; i++)
        close(n->ns[i]);
    g_free(n);
}

int test_net_frames(TestNet *n, TestPlace where, const char *name)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)test_net_ifindex(n, where, name)};
    int fd = test_net_socket(n, where, AF_PACKET, SOCK_RAW);
    int one = 1, bytes = 64 << 20;

    g_assert_cmpint(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
                               sizeof(one)), ==, 0);
    g_assert_cmpint(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one,
                               sizeof(one)), ==, 0);
    g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
                               sizeof(bytes)), ==, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    return fd;
}

void test_net_send(int fd, GByteArray *frame)
{
    if (send(fd, frame->data, frame->len, 0) != (ssize_t)frame->len)
        g_error("cannot send a frame of %u bytes: %s", frame->len,
                g_strerror(errno));
    g_byte_array_unref(frame);
}

static void put_tag_back(GByteArray *frame, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        struct tpacket_auxdata aux;
        guint16 tag[2];

        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
            continue;
        tag[0] = htons(aux.tp_vlan_tpid);
        tag[1] = htons(aux.tp_vlan_tci);
        g_byte_array_set_size(frame, frame->len + 4);
        memmove(frame->data + 16, frame->data + 12, frame->len - 16);
        memcpy(frame->data + 12, tag, 4);
    }
}

GByteArray *test_net_recv(int fd, guint ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    GByteArray *frame = g_byte_array_new();
    union {
        char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_len = FRAME_MAX};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t len;

    g_byte_array_set_size(frame, FRAME_MAX);
    iov.iov_base = frame->data;
    if (poll(&p, 1, (int)ms) != 1 ||
        (len = recvmsg(fd, &msg, MSG_DONTWAIT)) < 14) {
        g_byte_array_unref(frame);
        return NULL;
    }
    g_byte_array_set_size(frame, (guint)len);
    put_tag_back(frame, &msg);
    return frame;
}

gboolean test_net_queue(TestNet *n, guint queue, char **why)
{
    static const char *const commands[] = {"iptables", "ip6tables"};

    /* MLD comes when it likes, and no test is about it */
    if (!test_net_run(n, HOST, why,
                      "ip6tables -w -t raw -A PREROUTING -p icmpv6 -j ACCEPT"))
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        if (!test_net_run(n, HOST, why,
                          "%s -w -t raw -A PREROUTING -m physdev "
                          "--physdev-in gp -j NFQUEUE --queue-num %u "
                          "--queue-bypass", commands[i], queue))
            return FALSE;
    return TRUE;
}
