/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Setting and removing our netfilter rules, by iptables and ip6tables.
 *
 * What is there is listed by `iptables -S`; all that is to go and to come is
 * one `iptables-restore --noflush`, which does it at once or not at all.  The
 * programs for IPv4 and IPv6 run side by side: at a takeover clients wait.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "colo/log.h"
#include "netcompare/host/rules-text.h"
#include "netcompare/host/run.h"
#include "netcompare/host/sysctl.h"

#define DEADLINE_MS 10000
#define LOCK_S      "5" /* how long the programs wait for each other */
#define TRIES       3

static const struct {
    const char *program, *restore;
} families[] = {
    {"iptables", "iptables-restore"},
    {"ip6tables", "ip6tables-restore"},
};

static guint n_families(void)
{
    /* A kernel without IPv6 has nothing for the second one to do */
    return access("/proc/net/if_inet6", F_OK) == 0 ? G_N_ELEMENTS(families) : 1;
}

/* --- What br_netfilter must do ------------------------------------------ */

static const char *const sysctls[] = {
    "bridge-nf-call-iptables",
    "bridge-nf-call-ip6tables",
    "bridge-nf-filter-vlan-tagged",
};

static void load_br_netfilter(void)
{
    const char *const argv[] = {"modprobe", "br_netfilter", NULL};
    NetCommand c = {.argv = argv};
    g_autoptr(GError) error = NULL;

    /* Whether it helped is seen by the file */
    if (!net_run(&c, 1, DEADLINE_MS, &error)) {
        colo_log_debug("%s", error->message);
    } else if (c.status != 0) {
        colo_log_debug("modprobe br_netfilter: %s", c.err);
    }
    net_command_clear(&c);
}

static gboolean prepare_bridges(GError **error)
{
    if (access("/proc/sys/net/bridge", F_OK) < 0) {
        load_br_netfilter();
    }
    if (access("/proc/sys/net/bridge", F_OK) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "the kernel's module br_netfilter is not loaded, so "
                    "iptables does not see what is bridged: "
                    "modprobe br_netfilter, and for the next boot: "
                    "echo br_netfilter >/etc/modules-load.d/colo.conf");
        return FALSE;
    }
    for (guint i = 0; i < G_N_ELEMENTS(sysctls); i++) {
        g_autofree char *path = g_strconcat("net/bridge/", sysctls[i], NULL);
        int value;

        if (!net_sysctl_get(path, &value, error)) {
            return FALSE;
        }
        if (value) {
            continue;
        }
        if (!net_sysctl_set(path, 1, error)) {
            return FALSE;
        }
        colo_log_info("net.bridge.%s is on now: this host's iptables rules "
                      "apply to bridged packets, too",
                      sysctls[i]);
    }
    return TRUE;
}

/* --- Listing and changing ----------------------------------------------- */

static gboolean run_all(NetCommand *commands, guint n, GError **error)
{
    if (net_run(commands, n, DEADLINE_MS, error)) {
        return TRUE;
    }
    if (error && g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        g_prefix_error(error, "install Debian's package iptables: ");
    }
    return FALSE;
}

static gboolean succeeded(const NetCommand *c, const char *doing,
                          GError **error)
{
    if (c->status != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot %s netfilter rules: %s ended with %d: %s; this "
                    "needs CAP_NET_ADMIN, Debian's package iptables, and the "
                    "kernel's modules xt_NFQUEUE, xt_physdev and xt_comment "
                    "(with iptables-nft nft_compat, too)",
                    doing, c->argv[0], c->status, c->err);
    }
    return c->status == 0;
}

/* What of ours is there: found[family][table], as net_rules_find() gives it */
static gboolean list(const char *name, NetRulesKind kind, guint n,
                     GPtrArray *found[][NET_RULES_N_TABLES], GError **error)
{
    NetCommand commands[G_N_ELEMENTS(families) * NET_RULES_N_TABLES] = {0};
    const char *argv[G_N_ELEMENTS(commands)][7];
    guint n_commands = n * NET_RULES_N_TABLES;
    gboolean ok;

    for (guint i = 0; i < n_commands; i++) {
        const char *const words[] = {
            families[i / NET_RULES_N_TABLES].program, "-w", LOCK_S, "-t",
            net_rules_tables[i % NET_RULES_N_TABLES], "-S", NULL};

        memcpy(argv[i], words, sizeof words);
        commands[i].argv = argv[i];
    }
    ok = run_all(commands, n_commands, error);
    for (guint i = 0; i < n_commands && ok; i++) {
        ok = succeeded(&commands[i], "list", error);
        if (ok) {
            net_rules_find(
                commands[i].out, name, kind,
                found[i / NET_RULES_N_TABLES][i % NET_RULES_N_TABLES]);
        }
    }
    for (guint i = 0; i < n_commands; i++) {
        net_command_clear(&commands[i]);
    }
    return ok;
}

static void append_rules(GString *text, const char *how, GPtrArray *rules)
{
    for (guint i = 0; i < rules->len; i++) {
        g_string_append_printf(text, "%s %s\n", how,
                               (char *)g_ptr_array_index(rules, i));
    }
}

/* One family's changes in the language of iptables-restore; "": none */
static GString *changes(GPtrArray *found[NET_RULES_N_TABLES],
                        const NetRulesConfig *c, NetRulesKind kind)
{
    GString *text = g_string_new(NULL);

    for (guint t = 0; t < NET_RULES_N_TABLES; t++) {
        g_autoptr(GPtrArray) wanted = g_ptr_array_new_with_free_func(g_free);

        if (c) {
            net_rules_make(c, kind, net_rules_tables[t], wanted);
        }
        if (!found[t]->len && !wanted->len) {
            continue;
        }
        g_string_append_printf(text, "*%s\n", net_rules_tables[t]);
        append_rules(text, "-D", found[t]);
        append_rules(text, "-I", wanted);
        g_string_append(text, "COMMIT\n");
    }
    return text;
}

static gboolean apply(GString *texts[], guint n, GError **error)
{
    NetCommand commands[G_N_ELEMENTS(families)] = {0};
    const char *argv[G_N_ELEMENTS(families)][5];
    guint n_commands = 0;
    gboolean ok;

    for (guint f = 0; f < n; f++) {
        const char *const words[] = {families[f].restore, "-w", LOCK_S,
                                     "--noflush", NULL};

        if (texts[f]->len) {
            memcpy(argv[n_commands], words, sizeof words);
            commands[n_commands].argv = argv[n_commands];
            commands[n_commands++].input = texts[f]->str;
        }
    }
    ok = run_all(commands, n_commands, error);
    for (guint i = 0; i < n_commands; i++) {
        ok = ok && succeeded(&commands[i], "change", error);
        net_command_clear(&commands[i]);
    }
    return ok;
}

/* Replace what is there by what c wants; by nothing if it is NULL. */
static gboolean change(const char *name, NetRulesKind kind,
                       const NetRulesConfig *c, GError **error)
{
    GPtrArray *found[G_N_ELEMENTS(families)][NET_RULES_N_TABLES];
    GString *texts[G_N_ELEMENTS(families)];
    guint n = n_families();
    guint n_found = 0;
    gboolean ok;

    for (guint f = 0; f < n; f++) {
        for (guint t = 0; t < NET_RULES_N_TABLES; t++) {
            found[f][t] = g_ptr_array_new_with_free_func(g_free);
        }
    }
    ok = list(name, kind, n, found, error);
    for (guint f = 0; f < n; f++) {
        texts[f] = changes(found[f], c, kind);
        for (guint t = 0; t < NET_RULES_N_TABLES; t++) {
            n_found += found[f][t]->len;
            g_ptr_array_unref(found[f][t]);
        }
    }
    if (ok && c && n_found) {
        colo_log_info("replacing %u netfilter rules of an earlier run",
                      n_found);
    }
    ok = ok && apply(texts, n, error);
    for (guint f = 0; f < n; f++) {
        g_string_free(texts[f], TRUE);
    }
    return ok;
}

/* Others change rules, too: one that we found may be gone meanwhile. */
static gboolean change_rules(const char *name, NetRulesKind kind,
                             const NetRulesConfig *c, GError **error)
{
    g_autoptr(GError) err = NULL;

    for (int tries = 0; tries < TRIES; tries++) {
        g_clear_error(&err);
        if (change(name, kind, c, &err)) {
            return TRUE;
        }
        if (!g_error_matches(err, G_IO_ERROR, G_IO_ERROR_FAILED)) {
            break;
        }
    }
    g_propagate_error(error, g_steal_pointer(&err));
    return FALSE;
}

gboolean net_rules_add(const NetRulesConfig *c, NetRulesKind kind,
                       GError **error)
{
    if (!net_rules_check(c, kind, error) || !prepare_bridges(error)) {
        return FALSE;
    }
    if (change_rules(c->name, kind, c, error)) {
        return TRUE;
    }
    /* What one of the families has got already helps nobody */
    change_rules(c->name, kind, NULL, NULL);
    return FALSE;
}

gboolean net_rules_remove(const char *name, NetRulesKind kind, GError **error)
{
    return net_rules_check_name(name, error) &&
           change_rules(name, kind, NULL, error);
}

char *net_rules_format(const NetRulesConfig *c, NetRulesKind kind)
{
    GString *text = g_string_new("modprobe br_netfilter\n");

    for (guint i = 0; i < G_N_ELEMENTS(sysctls); i++) {
        g_string_append_printf(text, "sysctl -w net.bridge.%s=1\n", sysctls[i]);
    }
    for (guint f = 0; f < G_N_ELEMENTS(families); f++) {
        for (guint t = 0; t < NET_RULES_N_TABLES; t++) {
            g_autoptr(GPtrArray) rules = g_ptr_array_new_with_free_func(g_free);
            g_autofree char *how = g_strdup_printf(
                "%s -t %s -I", families[f].program, net_rules_tables[t]);

            net_rules_make(c, kind, net_rules_tables[t], rules);
            append_rules(text, how, rules);
        }
    }
    return g_string_free(text, FALSE);
}
