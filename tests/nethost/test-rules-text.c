/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our rules say, and which of all rules are ours. */
#include "config.h"

#include <string.h>

#include "netcompare/host/rules-text.h"

static const char *const one_tap[] = {"tap0", NULL};
static const char *const two_taps[] = {"tap0", "tap.1-b", NULL};
static const char *const same_bridge[] = {"br0", "br0", NULL};

static void test_format_output(void)
{
    const NetRulesConfig c = {
        .name = "vm0", .taps = two_taps, .queue_num = 7, .bypass = TRUE};
    g_autofree char *text = net_rules_format(&c, NET_RULES_OUTPUT);

    g_assert_cmpstr(
        text, ==,
        "modprobe br_netfilter\n"
        "sysctl -w net.bridge.bridge-nf-call-iptables=1\n"
        "sysctl -w net.bridge.bridge-nf-call-ip6tables=1\n"
        "sysctl -w net.bridge.bridge-nf-filter-vlan-tagged=1\n"
        "iptables -t raw -I PREROUTING -m physdev --physdev-in tap0 "
        "-m comment --comment \"colo-proxy vm0 output\" "
        "-j NFQUEUE --queue-num 7 --queue-bypass\n"
        "iptables -t raw -I PREROUTING -m physdev --physdev-in tap.1-b "
        "-m comment --comment \"colo-proxy vm0 output\" "
        "-j NFQUEUE --queue-num 7 --queue-bypass\n"
        "ip6tables -t raw -I PREROUTING -m physdev --physdev-in tap0 "
        "-m comment --comment \"colo-proxy vm0 output\" "
        "-j NFQUEUE --queue-num 7 --queue-bypass\n"
        "ip6tables -t raw -I PREROUTING -m physdev --physdev-in tap.1-b "
        "-m comment --comment \"colo-proxy vm0 output\" "
        "-j NFQUEUE --queue-num 7 --queue-bypass\n");
}

/* The bridge's rule is there once, fail-closed has no bypass. */
static void test_make_rewrite(void)
{
    const NetRulesConfig c = {.name = "vm0",
                              .taps = two_taps,
                              .bridges = same_bridge,
                              .queue_num = 65535};
    g_autoptr(GPtrArray) raw = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) mangle = g_ptr_array_new_with_free_func(g_free);
    guint on_bridge = 0;

    net_rules_make(&c, NET_RULES_REWRITE, "raw", raw);
    net_rules_make(&c, NET_RULES_REWRITE, "mangle", mangle);
    g_assert_cmpuint(raw->len, ==, 2);
    g_assert_cmpuint(mangle->len, ==, 3);
    g_assert_cmpstr(
        raw->pdata[0], ==,
        "PREROUTING -p tcp -m physdev --physdev-in tap0 -m comment --comment "
        "\"colo-proxy vm0 rewrite\" -j NFQUEUE --queue-num 65535");
    for (guint i = 0; i < mangle->len; i++) {
        on_bridge += strstr(mangle->pdata[i], "-o br0 ") != NULL;
    }
    g_assert_cmpuint(on_bridge, ==, 1);
}

static void test_find(void)
{
    static const char listing[] =
        "-P PREROUTING ACCEPT\n"
        "-N colo-proxy\n"
        "-A PREROUTING -m physdev  --physdev-in tap0 -m comment --comment "
        "\"colo-proxy vm.0 output\" -j NFQUEUE --queue-num 3\n"
        /* Of others */
        "-A PREROUTING -m comment --comment \"colo-proxy vm.01 output\" -j A\n"
        "-A PREROUTING -m comment --comment \"colo-proxy vmx0 output\" -j B\n"
        "-A PREROUTING -m comment --comment \"colo-proxy vm.0 rewrite\" -j C\n"
        "-A PREROUTING -m comment --comment \"colo-proxy vm.0 output \" -j D\n"
        "-A PREROUTING -m comment --comment \"x colo-proxy vm.0 output\" -j E\n"
        "-A PREROUTING -m comment --comment \"colo-proxy vm.0\" -j F\n"
        "-A PREROUTING -m string --string \"--comment colo-proxy vm.0 "
        "output\" -j G\n"
        "-A PREROUTING -m comment --comment \"say \\\"colo-proxy vm.0 output"
        "\\\"\" -j H\n"
        "-A PREROUTING -m comment --comment \"unfinished\n"
        "-A PREROUTING -m comment --comment\n"
        "-A\n"
        "\n"
        "-A odd -m comment --comment \"colo-proxy vm.0 output\" -j DROP\n";
    g_autoptr(GPtrArray) rules = g_ptr_array_new_with_free_func(g_free);

    net_rules_find(listing, "vm.0", NET_RULES_OUTPUT, rules);
    g_assert_cmpuint(rules->len, ==, 2);
    g_assert_cmpstr(rules->pdata[0], ==,
                    "PREROUTING -m physdev  --physdev-in tap0 -m comment "
                    "--comment \"colo-proxy vm.0 output\" -j NFQUEUE "
                    "--queue-num 3");
    g_assert_cmpstr(rules->pdata[1], ==,
                    "odd -m comment --comment \"colo-proxy vm.0 output\" "
                    "-j DROP");
    g_ptr_array_set_size(rules, 0);
    net_rules_find(listing, "vm.0", NET_RULES_REWRITE, rules);
    g_assert_cmpuint(rules->len, ==, 1);
    g_ptr_array_set_size(rules, 0);
    net_rules_find("", "vm.0", NET_RULES_REWRITE, rules);
    g_assert_cmpuint(rules->len, ==, 0);
}

/* Nothing that iptables would read as something else gets into a rule. */
static void test_check(void)
{
    static const char *const bad_names[] = {"", "a b", "a\"b", "a\nb", "a/b"};
    static const char *const bad_taps[] = {
        "",      "tap+",   "-tap",   "!",
        "tap 0", "tap\"0", "tap\n0", "sixteen-bytes-xx",
        "t\\0",  "+",
    };
    static const char *const good_taps[] = {"tap0", "a+b", "vnet1.2", "t-0_1",
                                            "fifteen-bytes-x"};
    NetRulesConfig c = {.name = "vm0", .taps = one_tap};

    g_assert_true(net_rules_check(&c, NET_RULES_OUTPUT, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(bad_names); i++) {
        c.name = bad_names[i];
        g_assert_false(net_rules_check(&c, NET_RULES_OUTPUT, NULL));
        g_assert_false(net_rules_remove(c.name, NET_RULES_OUTPUT, NULL));
    }
    c.name = "vm-0.a_B";
    for (guint i = 0; i < G_N_ELEMENTS(bad_taps); i++) {
        const char *const taps[] = {"tap0", bad_taps[i], NULL};
        g_autoptr(GError) error = NULL;

        c.taps = taps;
        g_assert_false(net_rules_add(&c, NET_RULES_OUTPUT, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
        c.taps = one_tap;
        c.bridges = taps + 1;
        g_assert_false(net_rules_check(&c, NET_RULES_REWRITE, NULL));
    }
    for (guint i = 0; i < G_N_ELEMENTS(good_taps); i++) {
        const char *const taps[] = {good_taps[i], NULL};

        c.taps = taps;
        g_assert_true(net_rules_check(&c, NET_RULES_OUTPUT, NULL));
    }
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules-text/format-output", test_format_output);
    g_test_add_func("/rules-text/make-rewrite", test_make_rewrite);
    g_test_add_func("/rules-text/find", test_find);
    g_test_add_func("/rules-text/check", test_check);
    return g_test_run();
}
