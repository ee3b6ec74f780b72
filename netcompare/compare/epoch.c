/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checkpoints.  Which list is what, and what comparing means, is in
 * internal.h; what the epochs mean, in compare.h.
 *
 *   captured  awaited   lists with something
 *   no        no        LATE, COMPARED (WAITING in periodic mode)
 *   yes       no        the same, and NEW
 *   no        yes       WAITING: the SVM is being loaded
 *   yes       yes       WAITING, NEW
 */
#include "netcompare/compare/internal.h"

static void release_list(NetCompare *c, guint list, NetRelease why)
{
    CmpHeld *h;

    while ((h = cmp_oldest(c, list))) {
        cmp_release_held(c, h, why);
    }
}

/* The SVM runs what they belong to. */
static void compare_waiting(NetCompare *c)
{
    CmpHeld *h;

    while (c->comparing && (h = cmp_oldest(c, CMP_WAITING))) {
        CmpIn in = cmp_in_held(h);

        cmp_unlink(&h->all);
        cmp_primary(c, &in);
    }
}

/* --- Release by checkpoint ---------------------------------------------- */

/* What its flow has to know of a packet that leaves without being compared. */
static void left(NetCompare *c, const CmpHeld *h, gboolean compared)
{
    CmpFlow *f = h->flow;

    if (!compared &&
        (h->p.kind == NET_KIND_TCP || h->p.kind == NET_KIND_DATAGRAM)) {
        f = cmp_flow_get(c, &h->p);
    }
    if (f && f->tcp) {
        cmp_tcp_left(c, f, &h->p, compared);
    } else if (f) {
        cmp_datagram_left(f, &h->p);
    }
}

static void leave(NetCompare *c, guint list)
{
    CmpHeld *h;

    while ((h = cmp_oldest(c, list))) {
        /* Periodic mode keeps no flows. */
        if (list != CMP_WAITING || c->mode == NET_COMPARE_COLO) {
            left(c, h, list != CMP_WAITING);
        }
        cmp_release_held(c, h, NET_RELEASE_CHECKPOINT);
    }
}

static void commit(NetCompare *c)
{
    leave(c, CMP_LATE);
    leave(c, CMP_COMPARED);
    leave(c, CMP_WAITING);
    cmp_list_move(&c->lists[CMP_WAITING], &c->lists[CMP_NEW]);
    cmp_frags_clear(c->frags[0]);
    cmp_frags_clear(c->frags[1]);
    if (c->mode == NET_COMPARE_PERIODIC) {
        cmp_flows_clear(c);
    } else {
        cmp_flows_commit(c);
    }
    c->asked = c->outstanding = 0;
    c->captured = FALSE;
    c->mode_old = c->mode;
    c->comparing = FALSE;
    c->awaited = TRUE;
    c->await = c->capture;
}

/* --- What colod says ---------------------------------------------------- */

static gboolean holding(const NetCompare *c)
{
    return c->mode == NET_COMPARE_COLO || c->mode == NET_COMPARE_PERIODIC;
}

void net_compare_capture(NetCompare *c, guint64 epoch, gboolean periodic,
                         gint64 now_us)
{
    c->now = now_us;
    if (c->captured) {
        /* Never committed: what came after it is old now, too. */
        cmp_list_move(&c->lists[CMP_WAITING], &c->lists[CMP_NEW]);
        compare_waiting(c);
    } else {
        c->mode_old = c->mode;
    }
    c->captured = TRUE;
    c->capture = epoch;
    c->mode = periodic ? NET_COMPARE_PERIODIC : NET_COMPARE_COLO;
}

void net_compare_commit(NetCompare *c, guint64 epoch, gint64 now_us)
{
    if (!c->captured || c->capture != epoch) {
        g_debug("commit of epoch %" G_GUINT64_FORMAT
                ": it was not captured, or is committed",
                epoch);
        return;
    }
    c->now = now_us;
    commit(c);
}

/* The causes that were said, or not said because of the capture. */
static void say_again(NetCompare *c)
{
    guint outstanding = c->outstanding;

    c->asked = 0;
    for (guint i = 0; i < NET_CAUSE_N; i++) {
        if (outstanding & 1u << i) {
            c->asked |= 1u << i;
            c->ops.need_checkpoint(c->user, (NetCause)i, NULL, NULL, NULL);
        }
    }
}

void net_compare_cancel(NetCompare *c, gint64 now_us)
{
    if (!c->captured) {
        return;
    }
    c->now = now_us;
    if (c->mode_old == NET_COMPARE_PASS) {
        net_compare_pass(c, now_us);
        return;
    }
    if (c->mode_old == NET_COMPARE_BLOCK) {
        net_compare_block(c);
        return;
    }
    c->captured = FALSE;
    c->mode = c->mode_old;
    say_again(c);
    cmp_list_move(&c->lists[CMP_WAITING], &c->lists[CMP_NEW]);
    compare_waiting(c);
}

void net_compare_loaded(NetCompare *c, guint64 epoch, gint64 now_us)
{
    if (!holding(c)) {
        return;
    }
    c->now = now_us;
    if (c->captured && c->capture == epoch) {
        commit(c);
    }
    if (c->awaited && c->await == epoch) {
        c->awaited = FALSE;
        c->comparing = c->mode_old == NET_COMPARE_COLO;
        c->loaded_at = now_us;
        compare_waiting(c);
    } else {
        g_debug("load of epoch %" G_GUINT64_FORMAT ": nobody waits for it",
                epoch);
        c->comparing = FALSE;
        cmp_flows_blind(c);
        cmp_frags_clear(c->frags[1]);
    }
}

void net_compare_pass(NetCompare *c, gint64 now_us)
{
    c->now = now_us;
    for (guint i = 0; i < CMP_LISTS; i++) {
        release_list(c, i, NET_RELEASE_PASS);
    }
    cmp_frags_clear(c->frags[0]);
    cmp_frags_clear(c->frags[1]);
    cmp_flows_clear(c);
    c->mode = c->mode_old = NET_COMPARE_PASS;
    c->captured = c->awaited = c->comparing = FALSE;
    c->asked = c->outstanding = 0;
}

void net_compare_block(NetCompare *c)
{
    CmpHeld *h;

    for (guint i = 0; i < CMP_LISTS; i++) {
        while ((h = cmp_oldest(c, i))) {
            cmp_drop_held(c, h);
        }
    }
    cmp_frags_clear(c->frags[0]);
    cmp_frags_clear(c->frags[1]);
    cmp_flows_clear(c);
    c->mode = c->mode_old = NET_COMPARE_BLOCK;
    c->captured = c->awaited = c->comparing = FALSE;
}
