/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far a loaded guest's clocks are moved forward.
 *
 * A state shows the clocks of the moment when a guest was stopped.  Where that
 * guest was resumed at once and runs on, on another host, while its state
 * travels and is loaded, the loaded one would be behind it by all that time.
 * It is known but for the last part, which is still to come when the image is
 * made: the load itself, up to the moment when the guest runs.  For that
 * counts what most of the last loads took; one that is ready sooner waits, so
 * that its guest runs when its clocks say so.
 *
 * The virtual clock is moved by that time, the TSC by the ticks that the other
 * guest's made in it.  How many follows from two states of that guest, in
 * which both clocks were read at the same moment; or nearly: a QEMU that loses
 * its processor between the two is ms off, so the median of some counts.
 *
 * Pure computation; times are of this host's monotonic clock, in us.
 */
#ifndef COLO_VM_CLOCK_H
#define COLO_VM_CLOCK_H

#include "colo/vm/vm-timer.h"

#define COLO_VM_CLOCK_LOADS 8 /* the last ones, of which most count */
#define COLO_VM_CLOCK_RATES 9 /* the last ones */

/* Further than this they are never moved: something is wrong. */
#define COLO_VM_CLOCK_MAX_US G_USEC_PER_SEC

typedef struct ColoVmClock {
    ColoVmTimer last;       /* of the last state */
    gboolean known;         /* there is one */
    gint64 rates[COLO_VM_CLOCK_RATES]; /* the TSC's ticks in a second, from
                                          each state to the next */
    guint n_rates;          /* so far; 0: not known */
    gint64 loads[COLO_VM_CLOCK_LOADS]; /* us from the image to the run, but
                                          for the wait */
    guint n_loads;          /* so far */
    gint64 cont_us;         /* what resuming takes of it */

    /* The load under way */
    gboolean loading;       /* there is one */
    gboolean moved;         /* and its clocks are moved */
    gint64 built_us, ready_us;
    gint64 expected_us;     /* when its guest is to run */
} ColoVmClock;

/* What follows are another guest's states. */
void colo_vm_clock_forget(ColoVmClock *c);

/*
 * The image of a state is made now.  t: what the state shows; it is moved if
 * the guest that it was taken from runs on since since_us (0: it does not, or
 * nobody knows).  Returns by how many us; 0: t is as it was, for since_us is 0
 * or cannot be right, or the TSC's rate is not known yet.
 */
gint64 colo_vm_clock_move(ColoVmClock *c, ColoVmTimer *t, gint64 since_us,
                          gint64 now_us);

/* All is loaded.  For so long, in us, the guest is to wait to be resumed. */
gint64 colo_vm_clock_wait(ColoVmClock *c, gint64 now_us);

/*
 * cont was sent at sent_us, after that wait, and the guest runs since
 * resumed_us.  Returns how much later than was expected, in us; 0 if its clocks
 * were not moved.
 */
gint64 colo_vm_clock_ran(ColoVmClock *c, gint64 sent_us, gint64 resumed_us);

#endif
