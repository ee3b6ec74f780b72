/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a checkpoint is needed: said once, counted for each flow. */
#include "netcompare/compare/internal.h"

#include <string.h>

enum { MAX_COUNTED_FLOWS = 256 };

const char *net_release_name(NetRelease r)
{
    static const char *const names[NET_RELEASE_N] = {
        [NET_RELEASE_MATCH] = "match",
        [NET_RELEASE_CHECKPOINT] = "checkpoint",
        [NET_RELEASE_LINK] = "link",
        [NET_RELEASE_PASS] = "pass",
    };

    return (guint)r < NET_RELEASE_N ? names[r] : "?";
}

const char *net_cause_name(NetCause c)
{
    static const char *const names[NET_CAUSE_N] = {
        [NET_CAUSE_PAYLOAD] = "payload",
        [NET_CAUSE_LENGTH] = "length",
        [NET_CAUSE_FIN] = "fin",
        [NET_CAUSE_RESET] = "reset",
        [NET_CAUSE_OPTIONS] = "options",
        [NET_CAUSE_HEADER] = "header",
        [NET_CAUSE_TIMEOUT] = "timeout",
        [NET_CAUSE_QUEUE_FULL] = "queue-full",
        [NET_CAUSE_FLOWS_FULL] = "flows-full",
        [NET_CAUSE_GONE] = "gone",
    };

    return (guint)c < NET_CAUSE_N ? names[c] : "?";
}

static guint64 total(const NetFlowCauses *f)
{
    guint64 n = 0;

    for (guint i = 0; i < NET_CAUSE_N; i++) {
        n += f->causes[i];
    }
    return n;
}

/* The flow that diverged least makes room. */
static void forget_least(NetCompare *c)
{
    NetFlowCauses *f, *least = NULL;
    GHashTableIter iter;

    g_hash_table_iter_init(&iter, c->causes);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&f)) {
        if (!least || total(f) < total(least)) {
            least = f;
        }
    }
    g_hash_table_remove(c->causes, &least->key);
}

static void count(NetCompare *c, NetCause cause, const NetKey *key)
{
    NetFlowCauses *f = g_hash_table_lookup(c->causes, key);

    if (!f) {
        if (g_hash_table_size(c->causes) >= MAX_COUNTED_FLOWS) {
            forget_least(c);
        }
        f = g_new0(NetFlowCauses, 1);
        f->key = *key;
        g_hash_table_insert(c->causes, &f->key, f);
    }
    f->causes[cause]++;
}

static gint more(gconstpointer a, gconstpointer b)
{
    guint64 na = total(*(NetFlowCauses *const *)a);
    guint64 nb = total(*(NetFlowCauses *const *)b);

    return na < nb ? 1 : na > nb ? -1 : 0;
}

guint net_compare_worst(const NetCompare *c, NetFlowCauses *list, guint n)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    GHashTableIter iter;
    gpointer f;

    g_hash_table_iter_init(&iter, c->causes);
    while (g_hash_table_iter_next(&iter, NULL, &f)) {
        g_ptr_array_add(all, f);
    }
    g_ptr_array_sort(all, more);
    n = MIN(n, all->len);
    for (guint i = 0; i < n; i++) {
        list[i] = *(NetFlowCauses *)g_ptr_array_index(all, i);
    }
    return n;
}

/* What a captured checkpoint does not help against. */
static gboolean outlives_commit(NetCause cause)
{
    return cause == NET_CAUSE_QUEUE_FULL || cause == NET_CAUSE_FLOWS_FULL;
}

void cmp_need(NetCompare *c, NetCause cause, const NetKey *key,
              const NetPacket *pvm, const NetPacket *svm)
{
    guint bit = 1u << cause;

    c->stats.causes[cause]++;
    if (key) {
        count(c, cause, key);
    }
    c->outstanding |= bit;
    /* What is compared now is part of the captured one; see cancel. */
    if (c->asked & bit || (c->captured && !outlives_commit(cause))) {
        return;
    }
    c->asked |= bit;
    c->ops.need_checkpoint(c->user, cause, key, pvm, svm);
}

void cmp_diverge(NetCompare *c, CmpFlow *f, NetCause cause,
                 const NetPacket *pvm, const NetPacket *svm)
{
    if (!f->diverged) {
        f->diverged = TRUE;
        cmp_need(c, cause, &f->key, pvm, svm);
    }
}
