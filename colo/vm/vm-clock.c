/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a loaded guest's clocks are moved forward. */
#include "colo/vm/vm-clock.h"

/* Of a TSC, in ticks each ns; what else is found is none. */
#define LEAST_RATE 0.1
#define MOST_RATE  10.0
/* Rates of a shorter time are not exact. */
#define LEAST_NS   (10 * 1000 * 1000)

#define MORE_US    (5 * 1000) /* than the median, at most */

void colo_vm_clock_forget(ColoVmClock *c)
{
    c->known = FALSE;
    c->n_rates = 0;
}

static void sort(gint64 *sorted, const gint64 *values, guint n)
{
    for (guint i = 0; i < n; i++) {
        guint at = i;

        for (; at && sorted[at - 1] > values[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = values[i];
    }
}

/* The states are one guest's, the newest one t. */
static void learn_rate(ColoVmClock *c, const ColoVmTimer *t)
{
    gint64 ns, ticks;

    if (c->known) {
        if (__builtin_sub_overflow(t->clock, c->last.clock, &ns) ||
            __builtin_sub_overflow(t->ticks, c->last.ticks, &ticks) ||
            ns < 0) {
            c->n_rates = 0; /* it was set back: begin anew */
        } else if (ns < LEAST_NS) {
            return; /* perhaps the same state once more */
        } else {
            double rate = (double)ticks / (double)ns;

            if (rate >= LEAST_RATE && rate <= MOST_RATE) {
                c->rates[c->n_rates++ % COLO_VM_CLOCK_RATES] =
                    (gint64)(rate * 1e9);
            } else {
                c->n_rates = 0;
            }
        }
    }
    c->last = *t;
    c->known = TRUE;
}

/* The TSC's ticks in us */
static gint64 ticks_in(const ColoVmClock *c, gint64 us)
{
    guint n = MIN(c->n_rates, COLO_VM_CLOCK_RATES);
    gint64 sorted[COLO_VM_CLOCK_RATES];

    sort(sorted, c->rates, n);
    return (gint64)((double)us * (double)sorted[(n - 1) / 2] / 1e6);
}

/*
 * What three of four loads do not exceed; but where they differ much, the
 * guest is not to wait for that.
 */
static gint64 load_us(const ColoVmClock *c)
{
    guint n = MIN(c->n_loads, COLO_VM_CLOCK_LOADS);
    gint64 sorted[COLO_VM_CLOCK_LOADS];

    if (!n) {
        return 0;
    }
    sort(sorted, c->loads, n);
    return MIN(sorted[(n - 1) * 3 / 4], sorted[(n - 1) / 2] + MORE_US);
}

gint64 colo_vm_clock_move(ColoVmClock *c, ColoVmTimer *t, gint64 since_us,
                          gint64 now_us)
{
    ColoVmTimer moved;
    gint64 us;

    learn_rate(c, t);
    c->loading = TRUE;
    c->moved = FALSE;
    c->built_us = c->ready_us = now_us;
    c->expected_us = now_us + load_us(c);
    us = c->expected_us - since_us;
    if (!since_us || since_us > now_us || us > COLO_VM_CLOCK_MAX_US ||
        !c->n_rates ||
        __builtin_add_overflow(t->clock, us * 1000, &moved.clock) ||
        __builtin_add_overflow(t->ticks, ticks_in(c, us), &moved.ticks)) {
        return 0;
    }
    c->moved = TRUE;
    *t = moved;
    return us;
}

gint64 colo_vm_clock_wait(ColoVmClock *c, gint64 now_us)
{
    if (!c->loading) {
        return 0;
    }
    c->ready_us = now_us;
    return c->moved ? MAX(c->expected_us - c->cont_us - now_us, 0) : 0;
}

gint64 colo_vm_clock_ran(ColoVmClock *c, gint64 sent_us, gint64 resumed_us)
{
    gint64 cont = resumed_us - sent_us, us = c->ready_us - c->built_us + cont;
    gboolean loaded = c->loading && cont >= 0;

    c->loading = FALSE;
    if (!loaded) {
        return 0;
    }
    if (us <= COLO_VM_CLOCK_MAX_US) {
        c->cont_us = c->n_loads ? (3 * c->cont_us + cont) / 4 : cont;
        c->loads[c->n_loads++ % COLO_VM_CLOCK_LOADS] = us;
    }
    return c->moved ? resumed_us - c->expected_us : 0;
}
