/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model's schedules: who does something next, and checkpoints. */
#include "model-internal.h"

#include <string.h>

ModelTotals model_totals;
gboolean model_trace;

/* --- Checkpoints -------------------------------------------------------- */

static void do_capture(Model *m)
{
    wire_flush(m, TRUE);
    m->capture.epoch = ++m->epoch;
    m->capture.upto = m->n_packets;
    for (guint i = 0; i < m->n_conns; i++) {
        m->capture.sides[i] = m->conns[i].p;
    }
    /* What a capture before it kept back may be compared now. */
    m->captured = TRUE;
    TRACE("capture %u", (guint)m->epoch);
    net_compare_capture(m->compare, m->capture.epoch, FALSE, m->now);
    model_totals.captures++;
}

/* The captured state is what the SVM will have. */
static void committed(Model *m)
{
    for (guint i = 0; i < m->n_conns; i++) {
        Conn *c = &m->conns[i];

        c->committed = m->capture.sides[i];
        memset(c->seen, 0, sizeof(c->seen));
        c->seen_reset = c->seen_syn = c->seen_ack = FALSE;
        c->svm_acked = 0;
    }
    m->await = m->capture;
    m->awaited = TRUE;
    m->captured = FALSE;
    m->listening = FALSE;
    m->committing = m->capture.upto;
    m->needs = 0;
}

static void do_commit(Model *m)
{
    gboolean late = m->awaited && pick(m, 2);
    guint64 before = m->await.epoch;

    committed(m);
    TRACE("commit %u", (guint)m->capture.epoch);
    net_compare_commit(m->compare, m->capture.epoch, m->now);
    m->committing = 0;
    if (late) {
        net_compare_loaded(m->compare, before, m->now);
    }
    model_totals.commits++;
}

static void do_cancel(Model *m)
{
    m->captured = FALSE;
    m->needs = 0;
    TRACE("cancel");
    net_compare_cancel(m->compare, m->now);
    model_totals.cancels++;
}

/* The committed one's; or the captured one's, which commits it. */
static void do_load(Model *m, gboolean captured)
{
    wire_flush(m, FALSE);
    if (captured) {
        committed(m);
    }
    svm_load(m, &m->await);
    m->awaited = FALSE;
    m->listening = TRUE;
    TRACE("loaded %u", (guint)m->await.epoch);
    net_compare_loaded(m->compare, m->await.epoch, m->now);
    m->committing = 0;
    while (m->n_late) {
        net_compare_content(m->compare, 1, m->late_gone[--m->n_late], NULL,
                            NULL, m->now);
    }
    model_totals.loads++;
}

static void checkpoint_step(Model *m)
{
    if (!m->captured) {
        if (m->awaited && pick(m, 3)) {
            do_load(m, FALSE);
        } else {
            do_capture(m);
        }
        return;
    }
    switch (pick(m, 5)) {
    case 0:
        do_cancel(m);
        break;
    case 1:
        do_capture(m);
        break;
    case 2:
        do_load(m, !m->awaited || pick(m, 3) == 0);
        break;
    default:
        do_commit(m);
    }
}

/* --- Schedules ---------------------------------------------------------- */

static void step(Model *m)
{
    Conn *c = &m->conns[pick(m, m->n_conns)];
    guint what = pick(m, 100);

    m->now += pick(m, 50);
    if (what < 43) {
        guest_step(m, c, TRUE);
    } else if (what < 86) {
        guest_step(m, c, FALSE);
    } else if (what < 92) {
        c->client_sent += c->established || c->kind == OPEN_BEFORE ? 100 : 0;
        c->opened = TRUE;
    } else if (what < 95) {
        net_compare_tick(m->compare, m->now);
        m->now += pick(m, 2) * 11 * 1000;
        net_compare_settle(m->compare, m->now);
        svm_answer(m, FALSE);
    } else {
        checkpoint_step(m);
    }
}

static void settle_checkpoints(Model *m)
{
    if (m->captured) {
        if (pick(m, 2)) {
            do_cancel(m);
        } else {
            do_commit(m);
        }
    }
    if (m->awaited) {
        do_load(m, FALSE);
    }
}

static void finish_guests(Model *m)
{
    gboolean first = pick(m, 2);

    wire_flush(m, first);
    wire_flush(m, !first);
    for (guint i = 0; i < m->n_conns; i++) {
        Conn *c = &m->conns[i];
        gboolean shake = c->kind == ANSWERS || c->kind == ASKS;

        if (shake && !c->established) {
            if (!c->p.syn) {
                guest_syn(m, c, TRUE);
            }
            guest_syn(m, c, FALSE);
            g_assert_true(c->established);
        }
        if (shake && !c->s.syn) {
            guest_syn(m, c, FALSE);
        }
        guest_finish(m, c, first);
        guest_finish(m, c, !first);
    }
    wire_flush(m, first);
    wire_flush(m, !first);
}

static gboolean faulty(const Model *m)
{
    for (guint i = 0; i < m->n_conns; i++) {
        if (m->conns[i].diff != G_MAXUINT) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Everything that the PVM has sent must have left in the end. */
static void finish(Model *m)
{
    NetCompareStats stats;

    settle_checkpoints(m);
    finish_guests(m);
    do {
        svm_answer(m, TRUE);
        m->now += 1000;
        net_compare_settle(m->compare, m->now);
    } while (m->n_asked);
    if (m->n_unreleased) {
        g_assert_true(faulty(m) || m->silent);
        m->now += 4 * G_USEC_PER_SEC;
        net_compare_tick(m->compare, m->now);
        g_assert_cmpuint(m->needs, >, 0);
    }
    if (m->fault) {
        do_capture(m);
        do_commit(m);
        do_load(m, FALSE);
    }
    g_assert_cmpuint(m->n_unreleased, ==, 0);
    for (guint i = 0; i < m->n_conns; i++) {
        const Conn *c = &m->conns[i];

        for (guint j = 0; j < c->len; j++) {
            g_assert_true(c->got[j]);
        }
        g_assert_cmpuint(c->told, ==, c->pvm_acked);
    }
    net_compare_stats(m->compare, &stats);
    g_assert_cmpuint(stats.held_packets, ==, 0);
    g_assert_cmpuint(stats.held_bytes, ==, 0);
    g_assert_cmpuint(stats.dropped, ==, 0);
}

void model_run(guint64 seed, gboolean fault)
{
    static Model *m;
    NetCompareConfig config;
    guint steps;

    if (!m) {
        m = g_new0(Model, 1);
        model_trace = g_getenv("COLO_TRACE") != NULL;
    }
    m->random = seed * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) + 1;
    for (guint i = 0; i < 4; i++) {
        pick(m, 2);
    }
    m->now = G_USEC_PER_SEC;
    m->fault = fault;
    m->p_wire.n = m->s_wire.n = 0;
    m->n_packets = m->n_unreleased = 0;
    m->n_frames = m->n_asked = m->n_late = 0;
    m->silent = FALSE;
    m->epoch = 0;
    m->captured = m->awaited = m->listening = FALSE;
    m->committing = 0;
    m->needs = 0;
    net_compare_config_default(&config);
    memcpy(m->secret, config.secret, sizeof(m->secret));
    m->compare = net_compare_new(&config, &oracle_ops, m);
    guests_init(m);
    do_capture(m);
    do_load(m, TRUE);
    steps = pick(m, 150);
    for (guint i = 0; i < steps; i++) {
        step(m);
    }
    finish(m);
    net_compare_free(m->compare);
    model_totals.schedules++;
}
