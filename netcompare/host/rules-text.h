/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our rules as iptables' text: what they say, and which of those that are
 * there are ours.  Used by the files of this folder only.
 */
#ifndef COLO_NET_RULES_TEXT_H
#define COLO_NET_RULES_TEXT_H

#include "netcompare/host/rules.h"

/* The tables that rules of ours are in */
#define NET_RULES_N_TABLES 2
extern const char *const net_rules_tables[NET_RULES_N_TABLES];

/*
 * Add to rules (of char *) all of this kind in this table, as what follows -A
 * or -I: "PREROUTING -m physdev ...".
 */
void net_rules_make(const NetRulesConfig *c, NetRulesKind kind,
                    const char *table, GPtrArray *rules);

/*
 * Add to rules those of this VM and kind in what `iptables -S` printed, in
 * the same form.
 */
void net_rules_find(const char *listing, const char *name, NetRulesKind kind,
                    GPtrArray *rules);

/* Can all of this be said in rules?  The VM's name may be checked alone. */
gboolean net_rules_check_name(const char *name, GError **error);
gboolean net_rules_check(const NetRulesConfig *c, NetRulesKind kind,
                         GError **error);

#endif
