/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The netfilter rules that bring a guest's packets into our queue.
 *
 * Made with iptables and ip6tables: the table of rules and why they are where
 * they are is in rules-text.c.  Every rule carries a comment, "colo-proxy NAME
 * output" or "colo-proxy NAME rewrite", by which exactly ours are found and
 * removed again, also those of a proxy that was killed.  They are the first
 * of their chains, and what they catch does not see the rest of the chain, not
 * even when nobody listens and bypass lets it pass.  bridge-nf-call-* and
 * bridge-nf-filter-vlan-tagged are switched on, which a line of the log says,
 * and stay on: others may need them by then.
 *
 * Not seen by iptables, and so not held, are frames with two VLAN tags and
 * all that is not IP.
 */
#ifndef COLO_NET_RULES_H
#define COLO_NET_RULES_H

#include <gio/gio.h>

typedef enum {
    /* Everything IP that the taps' guests send. */
    NET_RULES_OUTPUT,
    /*
     * After a takeover: TCP of the taps' guests, both ways, also with the
     * bridge's own host.
     */
    NET_RULES_REWRITE,
} NetRulesKind;

typedef struct NetRulesConfig {
    const char *name;         /* of the VM */
    const char *const *taps;  /* NULL-terminated */
    const char *const *bridges; /* of each tap, for NET_RULES_REWRITE */
    guint16 queue_num;
    gboolean bypass;          /* --queue-bypass: pass when nobody listens */
} NetRulesConfig;

/*
 * Removes what is left of an earlier run first.  Runs six processes, four and
 * then two at a time: 15 to 90 ms.  All or nothing.
 */
gboolean net_rules_add(const NetRulesConfig *c, NetRulesKind kind,
                       GError **error);
/* Remove all rules of this VM name of this kind; TRUE if none is left. */
gboolean net_rules_remove(const char *name, NetRulesKind kind, GError **error);
/* What an operator would have to type, one command a line: --no-rules. */
char *net_rules_format(const NetRulesConfig *c, NetRulesKind kind);

#endif
