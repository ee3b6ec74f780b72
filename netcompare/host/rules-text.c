/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our rules as iptables' text.
 *
 * Theory of operation.  br_netfilter shows bridged IP packets to iptables.
 * A packet that a guest sends comes through PREROUTING once, wherever it goes
 * from there, and with physdev-in as its tap: to other ports, to the host
 * itself, to all of them.  Table raw is the first one there, before
 * connections are tracked, NAT or filters.
 *
 * What goes to a guest passes FORWARD with physdev-out if it is bridged, and
 * only then.  What the host sends or routes towards the guest's bridge does
 * not know its port yet; it is known by the bridge as its output interface,
 * in POSTROUTING, where its final address is known, too.
 *
 * A packet that comes back from the queue does not see the rest of the chain,
 * so ours go first: no rule before may let a packet pass unseen.
 */
#include "config.h"

#include <string.h>

#include "colo/names.h"
#include "netcompare/host/rules-text.h"

#define TAP    "<tap>"
#define BRIDGE "<bridge>"

const char *const net_rules_tables[NET_RULES_N_TABLES] = {"raw", "mangle"};

static const struct {
    NetRulesKind kind;
    const char *table;
    const char *rule; /* the chain and what is matched */
} rows[] = {
    {NET_RULES_OUTPUT, "raw", "PREROUTING -m physdev --physdev-in " TAP},
    {NET_RULES_REWRITE, "raw",
     "PREROUTING -p tcp -m physdev --physdev-in " TAP},
    {NET_RULES_REWRITE, "mangle",
     "FORWARD -p tcp -m physdev --physdev-is-bridged --physdev-out " TAP},
    {NET_RULES_REWRITE, "mangle",
     "POSTROUTING -o " BRIDGE " -p tcp -m physdev ! --physdev-is-bridged"},
};

static char *comment(const char *name, NetRulesKind kind)
{
    return g_strdup_printf("colo-proxy %s %s", name,
                           kind == NET_RULES_OUTPUT ? "output" : "rewrite");
}

/* Takes over text. */
static char *replace(char *text, const char *what, const char *by)
{
    g_auto(GStrv) parts = g_strsplit(text, what, -1);

    g_free(text);
    return g_strjoinv(by, parts);
}

void net_rules_make(const NetRulesConfig *c, NetRulesKind kind,
                    const char *table, GPtrArray *rules)
{
    g_autofree char *mark = comment(c->name, kind);

    for (guint r = 0; r < G_N_ELEMENTS(rows); r++) {
        if (rows[r].kind != kind || !g_str_equal(rows[r].table, table)) {
            continue;
        }
        for (guint i = 0; c->taps[i]; i++) {
            char *rule = g_strdup_printf(
                "%s -m comment --comment \"%s\" -j NFQUEUE --queue-num %u%s",
                rows[r].rule, mark, c->queue_num,
                c->bypass ? " --queue-bypass" : "");

            rule = replace(rule, TAP, c->taps[i]);
            if (strstr(rule, BRIDGE)) {
                rule = replace(rule, BRIDGE, c->bridges[i]);
            }
            /* Two taps may be on the same bridge */
            if (g_ptr_array_find_with_equal_func(rules, rule, g_str_equal,
                                                 NULL)) {
                g_free(rule);
            } else {
                g_ptr_array_add(rules, rule);
            }
        }
    }
}

/* Is this "-A CHAIN ..." with exactly our comment? */
static gboolean is_ours(const char *line, const char *mark)
{
    g_auto(GStrv) words = NULL;

    if (!g_str_has_prefix(line, "-A ") ||
        !g_shell_parse_argv(line, NULL, &words, NULL)) {
        return FALSE;
    }
    for (guint i = 2; words[i] && words[i + 1]; i++) {
        if (g_str_equal(words[i], "--comment")) {
            return g_str_equal(words[i + 1], mark);
        }
    }
    return FALSE;
}

void net_rules_find(const char *listing, const char *name, NetRulesKind kind,
                    GPtrArray *rules)
{
    g_auto(GStrv) lines = g_strsplit(listing, "\n", -1);
    g_autofree char *mark = comment(name, kind);

    for (guint i = 0; lines[i]; i++) {
        if (is_ours(lines[i], mark)) {
            g_ptr_array_add(rules, g_strdup(lines[i] + strlen("-A ")));
        }
    }
}

/* --- Checks ------------------------------------------------------------- */

gboolean net_rules_check_name(const char *name, GError **error)
{
    if (!colo_name_is_valid(name)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s' is not the name of a VM: letters, digits and ._-, "
                    "at most 64",
                    name);
        return FALSE;
    }
    return TRUE;
}

/* To iptables a + at the end of a name means all that begin like it */
static gboolean check_interface(const char *name, GError **error)
{
    const char *p = name;

    while (g_ascii_isalnum(*p) || (*p && strchr("._@", *p)) ||
           (p > name && (*p == '-' || (*p == '+' && p[1])))) {
        p++;
    }
    if (*p || p == name || p - name > 15) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "no iptables rule can name the interface '%s': rename it "
                    "to letters, digits and ._-",
                    name);
        return FALSE;
    }
    return TRUE;
}

gboolean net_rules_check(const NetRulesConfig *c, NetRulesKind kind,
                         GError **error)
{
    if (!net_rules_check_name(c->name, error)) {
        return FALSE;
    }
    for (guint i = 0; c->taps[i]; i++) {
        if (!check_interface(c->taps[i], error) ||
            (kind == NET_RULES_REWRITE &&
             !check_interface(c->bridges[i], error))) {
            return FALSE;
        }
    }
    return TRUE;
}
