/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our netfilter rules in the kernel: they catch what they must, and exactly
 * they are removed.  Nobody listens at the queue here, so without bypass what
 * comes to it is dropped.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netcompare/host/netdev.h"
#include "netcompare/host/rules.h"
#include "tests/nethost/netns.h"

static const guint8 guest_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const guint8 client_mac[6] = {0x52, 0x54, 0, 0, 0, 9};
static const guint8 host_mac[6] = {2, 0, 0, 0, 0, 0x77};
static const guint8 everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const guint8 group[6] = {1, 0, 0x5e, 0, 0, 0x42};

#define GUEST  IP4(10, 9, 0, 2)
#define CLIENT IP4(10, 9, 0, 9)
#define HOST   IP4(10, 9, 0, 1)
#define GROUP  IP4(224, 0, 0, 0x42)

static const char *const taps[] = {"tap0", NULL};
static const char *const other_taps[] = {"tap1", NULL};
static const char *const bridges[] = {"br0", NULL};

/* A bridge with the host's address, a guest and a client */
typedef struct Host {
    int guest, client;
    int host; /* sees what reaches the host itself on the bridge */
} Host;

static gboolean setup(Host *f)
{
    if (!netns_enter()) {
        return FALSE;
    }
    if (!netns_try("iptables -t raw -A PREROUTING -m physdev --physdev-in x "
                   "-j NFQUEUE --queue-num 1") ||
        !netns_try("iptables -t raw -F")) {
        g_test_skip("no iptables, or no xt_NFQUEUE and xt_physdev");
        return FALSE;
    }
    netns_run("ip link add br0 address 02:00:00:00:00:77 type bridge "
              "mcast_snooping 0");
    netns_run("ip link set br0 up");
    netns_run("ip addr add 10.9.0.1/24 dev br0");
    f->guest = netns_tap("tap0");
    f->client = netns_tap("client0");
    netns_run("ip link set tap0 master br0");
    netns_run("ip link set client0 master br0");
    netns_run("ip neigh add 10.9.0.2 lladdr 52:54:00:00:00:01 dev br0");
    f->host = netns_packet_socket("br0");
    return TRUE;
}

static void teardown(Host *f)
{
    close(f->guest);
    close(f->client);
    close(f->host);
}

static void add(const char *name, const char *const *t, NetRulesKind kind,
                gboolean bypass)
{
    const NetRulesConfig c = {.name = name,
                              .taps = t,
                              .bridges = bridges,
                              .queue_num = 5,
                              .bypass = bypass};
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    net_rules_add(&c, kind, &error);
    g_assert_no_error(error);
    g_test_message("rules added in %d us",
                   (int)(g_get_monotonic_time() - start));
}

static void remove_rules(const char *name, NetRulesKind kind)
{
    g_autoptr(GError) error = NULL;

    net_rules_remove(name, kind, &error);
    g_assert_no_error(error);
}

/* How many rules have this in them, in both tables of both families */
static guint count(const char *words)
{
    static const char *const programs[] = {"iptables", "ip6tables"};
    static const char *const tables[] = {"raw", "mangle"};
    guint n = 0;

    for (guint i = 0; i < 4; i++) {
        g_autofree char *out =
            netns_output("%s -t %s -S", programs[i / 2], tables[i % 2]);
        g_auto(GStrv) lines = g_strsplit(out, "\n", -1);

        for (guint l = 0; lines[l]; l++) {
            n += strstr(lines[l], words) != NULL;
        }
    }
    return n;
}

/* --- Traffic ------------------------------------------------------------ */

enum { TAGGED = 1, TCP = 2 };

static gboolean arrives(int from, int to, const guint8 dst[6],
                        const guint8 src[6], guint32 sip, guint32 dip,
                        int flags, int timeout_ms)
{
    static const char text[] = "something to be caught by rules";
    static const guint8 tag[4] = {0x81, 0, 0, 42};
    guint8 frame[192];
    gsize len = frame_udp4(frame, dst, src, sip, dip, 7777, text);

    if (flags & TCP) {
        /* Another protocol: the checksum of the header changes by as much */
        frame[23] = 6;
        guint16 sum = (guint16)(frame[24] << 8 | frame[25]);
        guint32 fixed = (guint32)sum + (17 - 6);
        fixed = (fixed & 0xffff) + (fixed >> 16);
        frame[24] = (guint8)(fixed >> 8);
        frame[25] = (guint8)fixed;
    }
    if (flags & TAGGED) {
        memmove(frame + 16, frame + 12, len - 12);
        memcpy(frame + 12, tag, 4);
        len += 4;
    }
    netns_drain(to);
    netns_send(from, frame, len);
    return netns_receive(to, text, strlen(text), frame, sizeof frame,
                         timeout_ms) != 0;
}

static gboolean arrives6(int from, int to, const guint8 dst[6],
                         const guint8 src[6], const char *dip, int timeout_ms)
{
    static const char text[] = "something to be caught by rules";
    guint8 frame[192];

    netns_drain(to);
    netns_send(from, frame,
               frame_udp6(frame, dst, src, "fd09::2", dip, 7777, text));
    return netns_receive(to, text, strlen(text), frame, sizeof frame,
                         timeout_ms) != 0;
}

static void check_output(Host *f, gboolean passes)
{
    int ms = passes ? 1000 : 50;
    int g = f->guest, c = f->client, h = f->host;

    g_assert_cmpint(arrives(g, c, client_mac, guest_mac, GUEST, CLIENT, 0, ms),
                    ==, passes);
    g_assert_cmpint(
        arrives(g, c, client_mac, guest_mac, GUEST, CLIENT, TAGGED, ms), ==,
        passes);
    g_assert_cmpint(arrives(g, c, everybody, guest_mac, 0, 0xffffffff, 0, ms),
                    ==, passes);
    g_assert_cmpint(arrives(g, c, group, guest_mac, GUEST, GROUP, 0, ms), ==,
                    passes);
    g_assert_cmpint(arrives(g, h, host_mac, guest_mac, GUEST, HOST, 0, ms), ==,
                    passes);
    g_assert_cmpint(
        arrives(g, h, everybody, guest_mac, GUEST, 0xffffffff, 0, ms), ==,
        passes);
    g_assert_cmpint(arrives6(g, c, client_mac, guest_mac, "fd09::9", ms), ==,
                    passes);
    g_assert_cmpint(arrives6(g, h, host_mac, guest_mac, "fd09::1", ms), ==,
                    passes);
    /* What others send, and what is sent to the guest, is not held */
    g_assert_true(arrives(c, g, guest_mac, client_mac, CLIENT, GUEST, 0, 1000));
    g_assert_true(arrives(c, h, host_mac, client_mac, CLIENT, HOST, 0, 1000));
}

static void test_output(void)
{
    Host f;

    if (!setup(&f)) {
        return;
    }
    check_output(&f, TRUE);
    add("vm0", taps, NET_RULES_OUTPUT, FALSE);
    check_output(&f, FALSE);
    remove_rules("vm0", NET_RULES_OUTPUT);
    check_output(&f, TRUE);
    add("vm0", taps, NET_RULES_OUTPUT, TRUE);
    check_output(&f, TRUE);

    /* An operator's rule that lets all pass does not come before ours */
    netns_run("iptables -t raw -I PREROUTING -j ACCEPT");
    netns_run("ip6tables -t raw -I PREROUTING -j ACCEPT");
    add("vm0", taps, NET_RULES_OUTPUT, FALSE);
    check_output(&f, FALSE);
    teardown(&f);
}

/* Does a connection attempt of the host itself reach the guest? */
static gboolean host_connects(Host *f, int ms)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(80),
                             .sin_addr.s_addr = htonl(GUEST)};
    static const guint8 ports[] = {0, 80};
    guint8 frame[2048];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    gint64 end = g_get_monotonic_time() + ms * 1000;
    gboolean seen = FALSE;

    netns_drain(f->guest);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&to, sizeof to), ==, -1);
    g_assert_cmpint(errno, ==, EINPROGRESS);
    while (!seen && g_get_monotonic_time() < end) {
        gsize n = netns_any(f->guest, frame, sizeof frame, ms);

        seen = n >= 54 && frame[12] == 8 && frame[13] == 0 && frame[23] == 6 &&
               memcmp(frame + 36, ports, 2) == 0;
    }
    close(fd);
    return seen;
}

/* Does the guest get what comes from behind the host, as by a router? */
static gboolean is_routed(Host *f, int far, int ms)
{
    guint8 mac[6];
    g_autoptr(GError) error = NULL;
    NetHost *h = net_host_new(&error);
    NetDev dev;

    g_assert_no_error(error);
    net_host_get(h, "far0", &dev, &error);
    g_assert_no_error(error);
    net_host_free(h);
    memcpy(mac, dev.mac, 6);
    return arrives(far, f->guest, mac, client_mac, IP4(10, 8, 0, 2), GUEST, TCP,
                   ms);
}

static void check_rewrite(Host *f, int far, gboolean passes)
{
    int ms = passes ? 1000 : 50;
    int g = f->guest, c = f->client, h = f->host;

    g_assert_cmpint(
        arrives(g, c, client_mac, guest_mac, GUEST, CLIENT, TCP, ms), ==,
        passes);
    g_assert_cmpint(
        arrives(g, c, client_mac, guest_mac, GUEST, CLIENT, TCP | TAGGED, ms),
        ==, passes);
    g_assert_cmpint(
        arrives(c, g, guest_mac, client_mac, CLIENT, GUEST, TCP, ms), ==,
        passes);
    g_assert_cmpint(arrives(g, h, host_mac, guest_mac, GUEST, HOST, TCP, ms),
                    ==, passes);
    g_assert_cmpint(host_connects(f, ms), ==, passes);
    g_assert_cmpint(is_routed(f, far, ms), ==, passes);
    /* Only TCP, and only the guest's */
    g_assert_true(arrives(g, c, client_mac, guest_mac, GUEST, CLIENT, 0, 1000));
    g_assert_true(arrives(c, g, guest_mac, client_mac, CLIENT, GUEST, 0, 1000));
    g_assert_true(arrives(c, h, host_mac, client_mac, CLIENT, HOST, TCP, 1000));
}

static void test_rewrite(void)
{
    Host f;

    if (!setup(&f)) {
        return;
    }
    int far = netns_tap("far0");
    netns_run("ip addr add 10.8.0.1/24 dev far0");
    netns_run("sysctl -qw net.ipv4.ip_forward=1");
    check_rewrite(&f, far, TRUE);
    add("vm0", taps, NET_RULES_REWRITE, FALSE);
    check_rewrite(&f, far, FALSE);
    remove_rules("vm0", NET_RULES_REWRITE);
    check_rewrite(&f, far, TRUE);
    close(far);
    teardown(&f);
}

/* --- Exactly ours ------------------------------------------------------- */

static void test_only_ours(void)
{
    Host f;

    if (!setup(&f)) {
        return;
    }
    netns_run("iptables -t raw -A PREROUTING -i lo -m comment "
              "--comment 'colo-proxy vm0' -j ACCEPT");
    netns_run("iptables -t raw -A PREROUTING -i lo -m comment "
              "--comment 'colo-proxy vm0 outputs' -j ACCEPT");
    add("vm0", taps, NET_RULES_OUTPUT, TRUE);
    add("vm0", taps, NET_RULES_OUTPUT, TRUE);
    g_assert_cmpuint(count("colo-proxy vm0 output\""), ==, 2);
    add("vm0", taps, NET_RULES_REWRITE, TRUE);
    g_assert_cmpuint(count("colo-proxy vm0 rewrite\""), ==, 6);
    add("vm01", other_taps, NET_RULES_OUTPUT, TRUE);
    g_assert_cmpuint(count("colo-proxy vm01 output\""), ==, 2);

    /* A killed one's rules for other taps go away with the new ones */
    add("vm0", other_taps, NET_RULES_OUTPUT, TRUE);
    g_assert_cmpuint(count("colo-proxy vm0 output\""), ==, 2);
    g_assert_cmpuint(count("tap0"), ==, 4);

    remove_rules("vm0", NET_RULES_OUTPUT);
    remove_rules("vm0", NET_RULES_OUTPUT);
    g_assert_cmpuint(count("colo-proxy vm0 output\""), ==, 0);
    g_assert_cmpuint(count("colo-proxy vm0 rewrite\""), ==, 6);
    remove_rules("vm0", NET_RULES_REWRITE);
    g_assert_cmpuint(count("colo-proxy vm0 rewrite\""), ==, 0);
    g_assert_cmpuint(count("colo-proxy vm01 output\""), ==, 2);
    g_assert_cmpuint(count("colo-proxy vm0\""), ==, 1);
    g_assert_cmpuint(count("colo-proxy vm0 outputs\""), ==, 1);
    teardown(&f);
}

static void test_sysctls(void)
{
    Host f;

    if (!setup(&f)) {
        return;
    }
    netns_run("sysctl -qw net.bridge.bridge-nf-call-iptables=0 "
              "net.bridge.bridge-nf-call-ip6tables=0 "
              "net.bridge.bridge-nf-filter-vlan-tagged=0");
    add("vm0", taps, NET_RULES_OUTPUT, FALSE);
    check_output(&f, FALSE);
    teardown(&f);
}

/* What --no-rules prints does the same. */
static void test_format(void)
{
    const NetRulesConfig c = {.name = "vm0", .taps = taps, .queue_num = 5};
    g_autofree char *text = net_rules_format(&c, NET_RULES_OUTPUT);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    Host f;

    if (!setup(&f)) {
        return;
    }
    g_assert_cmpstr(lines[0], ==, "modprobe br_netfilter");
    for (guint i = 1; lines[i] && *lines[i]; i++) {
        netns_run("%s", lines[i]);
    }
    check_output(&f, FALSE);
    remove_rules("vm0", NET_RULES_OUTPUT);
    check_output(&f, TRUE);
    teardown(&f);
}

static void check_failure(const char *path, const char *words)
{
    const NetRulesConfig c = {.name = "vm0", .taps = taps, .queue_num = 5};
    g_autofree char *old = g_strdup(g_getenv("PATH"));
    g_autoptr(GError) error = NULL;

    g_setenv("PATH", path, TRUE);
    gboolean ok = net_rules_add(&c, NET_RULES_OUTPUT, &error);
    g_setenv("PATH", old, TRUE);
    g_assert_false(ok);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
}

/* A kernel or an iptables that cannot: programs that fail as theirs do */
static void test_failures(void)
{
    static const char broken[] =
        "#!/bin/sh\n"
        "case $0 in *-restore) cat >/dev/null; echo 'line 2: RULE_INSERT "
        "failed (No such file or directory)' >&2; exit 1;; esac\n";
    static const char *const programs[] = {"iptables", "iptables-restore",
                                           "ip6tables", "ip6tables-restore"};
    g_autofree char *dir = g_dir_make_tmp("colo-rules-XXXXXX", NULL);
    g_autofree char *path = g_strconcat(dir, ":", g_getenv("PATH"), NULL);
    Host f;

    if (!setup(&f)) {
        g_assert_cmpint(rmdir(dir), ==, 0);
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_autofree char *file = g_build_filename(dir, programs[i], NULL);

        g_assert_true(g_file_set_contents(file, broken, -1, NULL));
        netns_run("chmod 755 %s", file);
    }
    check_failure(path, "RULE_INSERT failed");
    check_failure(path, "xt_NFQUEUE");

    /* Half done is undone: the IPv4 side works, the other one does not */
    for (guint i = 0; i < 2; i++) {
        g_autofree char *file = g_build_filename(dir, programs[i], NULL);

        g_assert_cmpint(unlink(file), ==, 0);
    }
    check_failure(path, "ip6tables-restore");
    g_assert_cmpuint(count("colo-proxy"), ==, 0);
    netns_run("rm -r %s", dir);
    teardown(&f);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules/output", test_output);
    g_test_add_func("/rules/rewrite", test_rewrite);
    g_test_add_func("/rules/only-ours", test_only_ours);
    g_test_add_func("/rules/sysctls", test_sysctls);
    g_test_add_func("/rules/format", test_format);
    g_test_add_func("/rules/failures", test_failures);
    return g_test_run();
}
