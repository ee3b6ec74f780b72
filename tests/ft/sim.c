/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two simulated VMs and what the engine does for them. */
#include "sim.h"

#include <string.h>

/* --- The primary's guest ------------------------------------------------ */

static void guest_write(Sim *sim)
{
    SimPrimary *p = &sim->p;
    guint32 page = (guint32)g_rand_int_range(sim->rand, 1, SIM_PAGES);
    guint32 n = (guint32)g_rand_int_range(sim->rand, 1, 4);

    n = MIN(n, SIM_PAGES - page);
    p->writes++;
    if (g_rand_int_range(sim->rand, 0, 4)) {
        fill_pages(p->ram + page * COLO_PAGE_SIZE, n, p->writes);
    } else {
        memset(p->ram + page * COLO_PAGE_SIZE, 0, n * COLO_PAGE_SIZE);
    }
    p->chain = p->chain * 31 + ft_sum(p->ram + page * COLO_PAGE_SIZE,
                                      n * COLO_PAGE_SIZE);
    memcpy(p->ram, &p->chain, sizeof(p->chain));
    colo_bitmap_set(p->dirty, page, n);
    colo_bitmap_set(p->dirty, 0, 1);
}

static void guest_run(Sim *sim, gint max)
{
    gint steps = g_rand_int_range(sim->rand, 0, max + 1);

    while (steps--) {
        guest_write(sim);
    }
}

/* --- The secondary ------------------------------------------------------ */

/* The commit in the hold becomes the guest's state. */
static void load(SimSecondary *s)
{
    const SimState *state = (const SimState *)s->hold->state;
    gsize at = 0, n;
    guint32 scribble;

    colo_bitmap_or(s->dirty, s->hold->staged);
    while ((n = colo_bitmap_next_run(s->dirty, at, SIM_PAGES, &at))) {
        memcpy(s->ram + at * COLO_PAGE_SIZE,
               s->hold->cache + at * COLO_PAGE_SIZE, n * COLO_PAGE_SIZE);
        at += n;
    }
    colo_bitmap_clear_all(s->dirty);
    s->ram_hash = ft_sum(s->ram, SIM_RAM);
    s->loaded = s->hold->epoch;

    /* I2: whole. */
    g_assert_cmpuint(s->hold->state_len, ==, sizeof(*state));
    g_assert_cmpuint(state->epoch, ==, s->hold->epoch);
    g_assert_cmphex(state->ram_hash, ==, s->ram_hash);
    /* I4: the disk is of that epoch. */
    g_assert_cmpuint(s->sealed, ==, s->hold->epoch);

    if (s->runs) {
        for (guint i = 0; i < 5; i++) {
            scribble = (guint32)((s->loaded * 7 + i * 13) % SIM_PAGES);
            fill_pages(s->ram + scribble * COLO_PAGE_SIZE, 1, ~scribble);
            colo_bitmap_set(s->dirty, scribble, 1);
        }
        s->ram_hash = ft_sum(s->ram, SIM_RAM);
    }
}

static gpointer loader(gpointer data)
{
    SimSecondary *s = data;
    guint what;

    while ((what = GPOINTER_TO_UINT(g_async_queue_pop(s->work))) != 3) {
        if (what == 1) {
            load(s);
            ft_hold_release(s->hold);
        } else {
            g_async_queue_push(s->done, s);
        }
    }
    return NULL;
}

static gboolean seal(guint64 epoch, gpointer user_data, GError **error)
{
    SimSecondary *s = user_data;

    if (g_atomic_int_compare_and_exchange(&s->refuse_next, TRUE, FALSE)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                            "the disk is full");
        return FALSE;
    }
    s->sealed = epoch;
    return TRUE;
}

static void committed(guint64 epoch, gpointer user_data)
{
    SimSecondary *s = user_data;

    g_async_queue_push(s->work, GUINT_TO_POINTER(1));
}

/* --- The primary's engine ------------------------------------------------ */

static void begin(Sim *sim)
{
    SimPrimary *p = &sim->p;

    if (!p->open) {
        ft_log_reset(p->log);
        tx_begin(&p->tx, p->epoch + 1,
                 (p->epoch ? 0 : FT_BEGIN_INIT) |
                     (p->inherit ? FT_BEGIN_INHERIT : 0));
        p->open = TRUE;
        p->inherit = TRUE;
    }
}

static gboolean is_zero(const guint8 *page)
{
    return !page[0] && !memcmp(page, page + 1, COLO_PAGE_SIZE - 1);
}

/* Queue some dirty pages: at most max_bufs buffers of a few pages each. */
static void send_dirty(Sim *sim, guint max_bufs)
{
    SimPrimary *p = &sim->p;
    gsize at = 0, start, n;

    while (max_bufs--) {
        gsize pages = (gsize)g_rand_int_range(sim->rand, 1, 40);
        FtRun runs[FT_CHUNK_RUNS];
        guint n_runs;
        FtBuf *b;

        if (!colo_bitmap_next_run(p->dirty, at, 1, &start)) {
            return;
        }
        begin(sim);
        b = tx_buf(&p->tx);
        while (pages &&
               (n = colo_bitmap_next_run(p->dirty, at, pages, &start))) {
            for (gsize i = start; i < start + n; i++) {
                const guint8 *data = p->ram + i * COLO_PAGE_SIZE;
                buf_add(b, i, 1, is_zero(data) ? NULL : data);
            }
            colo_bitmap_clear(p->dirty, start, n);
            pages -= n;
            at = start + n;
        }
        n_runs = b->n_runs;
        memcpy(runs, b->runs, n_runs * sizeof(runs[0]));
        ft_log_add(p->log, ft_sender_chunk(p->tx.sender, b), runs, n_runs);
    }
}

/* The guest stands still: the rest, the device state, COMMIT. */
static void capture(Sim *sim)
{
    SimPrimary *p = &sim->p;

    begin(sim);
    p->captured.epoch = p->epoch + 1;
    p->captured.ram_hash = ft_sum(p->ram, SIM_RAM);
    memset(p->captured.rest, (int)p->epoch, sizeof(p->captured.rest));
    send_dirty(sim, G_MAXUINT);
    tx_state(&p->tx, &p->captured, sizeof(p->captured));
    ft_sender_commit(p->tx.sender, 0);
}

static void mark_lost(Sim *sim, guint32 n_good)
{
    SimPrimary *p = &sim->p;
    gsize before = colo_bitmap_count(p->dirty);

    ft_log_lost(p->log, n_good, p->dirty);
    ft_log_reset(p->log);
    p->open = FALSE;
    sim->lost_pages += (guint)(colo_bitmap_count(p->dirty) - before);
}

/*
 * The next event.  TRUE: the transaction is at an end, acknowledged or not;
 * *up: the link is still there.
 */
static gboolean take_event(Sim *sim, Event *e, gboolean *up)
{
    SimPrimary *p = &sim->p;

    *up = TRUE;
    switch (e->type) {
    case FT_EVENT_ACK:
        g_assert_cmpuint(e->epoch, ==, p->epoch + 1);
        g_assert_cmpuint(e->id, ==, p->tx.id);
        p->epoch = e->epoch;
        p->open = p->inherit = FALSE;
        ft_log_reset(p->log);
        sim->commits++;
        return TRUE;
    case FT_EVENT_NACK:
        sim->nacks++;
        if (e->id != p->tx.id || !p->open) {
            return FALSE; /* of one that we gave up */
        }
        mark_lost(sim, e->note.n_good);
        return TRUE;
    case FT_EVENT_CANCEL:
        g_error("the receiver left: %s", e->note.text);
    case FT_EVENT_LOST:
        sim->lost++;
        sim->breaks += e->error && strstr(e->error, "could not read") != NULL;
        *up = FALSE;
        return TRUE;
    }
    return FALSE;
}

/* Take what there is. */
static gboolean take_events(Sim *sim)
{
    gboolean up = TRUE;
    Event *e;

    while (up && (e = g_async_queue_try_pop(sim->p.tx.events))) {
        take_event(sim, e, &up);
        event_free(e);
    }
    return up;
}

static gboolean checkpoint(Sim *sim)
{
    SimPrimary *p = &sim->p;
    guint64 was = p->epoch;
    gboolean up = TRUE, end = FALSE;

    /* Send ahead while the guest runs. */
    for (gint rounds = g_rand_int_range(sim->rand, 0, 3); rounds > 0;
         rounds--) {
        guest_run(sim, 10);
        send_dirty(sim, (guint)g_rand_int_range(sim->rand, 1, 8));
        if (!take_events(sim)) {
            return FALSE;
        }
    }
    if (p->open && !sim->steadfast &&
        g_rand_int_range(sim->rand, 0, 12) == 0) {
        g_assert_true(ft_sender_cancel(p->tx.sender));
        mark_lost(sim, 0);
        sim->cancels++;
    }
    guest_run(sim, 20);
    if (!p->open && g_rand_boolean(sim->rand)) {
        ft_sender_hold(p->tx.sender);
        capture(sim);
        ft_sender_unhold(p->tx.sender);
        sim->atomics++;
    } else {
        capture(sim);
    }
    guest_run(sim, 10); /* while it is on its way */
    while (!end) {
        g_autoptr(Event) e = tx_event(&p->tx);

        end = take_event(sim, e, &up);
    }
    g_assert_true(!up || p->epoch == was || p->epoch == was + 1);
    return up;
}

guint sim_checkpoints(Sim *sim, guint n)
{
    guint64 from = sim->p.epoch;

    while (n-- && checkpoint(sim)) {
    }
    return (guint)(sim->p.epoch - from);
}

/* --- Both --------------------------------------------------------------- */

Sim *sim_new(guint32 seed, gboolean colo_mode)
{
    Sim *sim = g_new0(Sim, 1);
    SimPrimary *p = &sim->p;
    SimSecondary *s = &sim->s;
    g_autoptr(GError) error = NULL;

    sim->rand = g_rand_new_with_seed(seed);
    p->ram = g_malloc0(SIM_RAM);
    p->dirty = colo_bitmap_new(SIM_PAGES);
    p->log = ft_log_new();
    tx_init(&p->tx, 0);
    s->runs = colo_mode;
    s->ram = g_malloc(SIM_RAM);
    memset(s->ram, 0xee, SIM_RAM);
    s->dirty = colo_bitmap_new(SIM_PAGES);
    s->hold = ft_hold_new(SIM_PAGES, sizeof(SimState), &error);
    g_assert_no_error(error);
    s->work = g_async_queue_new();
    s->done = g_async_queue_new();
    s->loader = g_thread_new("loader", loader, s);
    sim_new_session(sim);
    return sim;
}

void sim_free(Sim *sim)
{
    g_async_queue_push(sim->s.work, GUINT_TO_POINTER(3));
    g_thread_join(sim->s.loader);
    g_async_queue_unref(sim->s.work);
    g_async_queue_unref(sim->s.done);
    ft_hold_free(sim->s.hold);
    colo_bitmap_free(sim->s.dirty);
    g_free(sim->s.ram);
    tx_clear(&sim->p.tx);
    ft_log_free(sim->p.log);
    colo_bitmap_free(sim->p.dirty);
    g_free(sim->p.ram);
    g_rand_free(sim->rand);
    g_free(sim);
}

void sim_new_session(Sim *sim)
{
    SimPrimary *p = &sim->p;

    ft_hold_reset(sim->s.hold);
    sim->s.sealed = sim->s.loaded = 0;
    sim->s.ram_hash = ft_sum(sim->s.ram, SIM_RAM);
    colo_bitmap_set(sim->s.dirty, 0, SIM_PAGES);
    p->epoch = 0;
    p->open = p->inherit = FALSE;
    ft_log_reset(p->log);
    colo_bitmap_set(p->dirty, 0, SIM_PAGES);
}

void sim_connect(Sim *sim, const RelayPlan *plan)
{
    FtReceiverOps ops = {.seal = seal, .committed = committed,
                         .user_data = &sim->s};
    SimPrimary *p = &sim->p;
    const FtHold *h = sim->s.hold;
    int a[2], b[2];

    /* What the secondary says in INIT, and what the primary makes of it. */
    if (h->epoch == p->epoch + 1) {
        g_assert_true(p->open);
        p->epoch++;
        ft_log_reset(p->log);
        sim->acks_lost++;
    } else {
        g_assert_cmpuint(h->epoch, ==, p->epoch);
        if (p->open) {
            mark_lost(sim, h->open_epoch && h->open_id == p->tx.id ? h->good
                                                                   : 0);
        }
        sim->resumed += h->good > 1;
    }
    p->open = FALSE;
    p->inherit = p->epoch || h->open_epoch;

    unix_pair(a);
    unix_pair(b);
    sim->relay = relay_new(a[1], b[1], plan);
    rx_start_ops(&sim->s.rx, b[0], sim->s.hold, ALL_CODINGS, &ops);
    sim->coding = (FtCoding)(g_rand_int_range(sim->rand, 0, 6) % 4 % 3);
    tx_start(&p->tx, a[0], sim->coding, 0);
    sim->links++;
}

void sim_disconnect(Sim *sim)
{
    SimPrimary *p = &sim->p;
    SimSecondary *s = &sim->s;
    Event *e;

    relay_free(sim->relay);
    sim->relay = NULL;
    tx_stop(&p->tx);
    rx_join(&s->rx);
    /* An ACK that came with the end of the link counts. */
    while ((e = g_async_queue_try_pop(p->tx.events))) {
        gboolean up;

        if (e->type == FT_EVENT_ACK) {
            take_event(sim, e, &up);
        }
        event_free(e);
    }
    rx_clear(&s->rx);
    /* What is committed is loaded to its end. */
    g_async_queue_push(s->work, GUINT_TO_POINTER(2));
    g_async_queue_pop(s->done);
    g_assert_false(ft_hold_is_committed(s->hold));

    /* The guest is untouched since it was loaded: one epoch, no other. */
    g_assert_cmphex(ft_sum(s->ram, SIM_RAM), ==, s->ram_hash);
    g_assert_cmpuint(s->loaded, ==, s->hold->epoch);
    g_assert_cmpuint(s->loaded, ==, s->sealed);
    /* What the primary was promised is there. */
    g_assert_cmpuint(s->loaded, >=, p->epoch);
    g_assert_cmpuint(s->loaded, <=, p->epoch + 1);
    if (s->loaded == p->captured.epoch && !s->runs && s->loaded) {
        g_assert_cmphex(s->ram_hash, ==, p->captured.ram_hash);
    }
    /* Where the cache is not what was committed, the hold knows. */
    for (gsize i = 0; i < SIM_PAGES && s->loaded && !s->runs; i++) {
        if (!colo_bitmap_test(s->hold->scratch, i)) {
            g_assert_true(!memcmp(s->hold->cache + i * COLO_PAGE_SIZE,
                                  s->ram + i * COLO_PAGE_SIZE,
                                  COLO_PAGE_SIZE));
        }
    }
}
