/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A wire between sender and receiver that breaks, or flips a bit, at a place
 * told beforehand.
 */
#ifndef TESTS_FT_RELAY_H
#define TESTS_FT_RELAY_H

#include <glib.h>

#define RELAY_NEVER G_MAXUINT32

typedef struct RelayPlan {
    /* From sender to receiver: cut before byte cut_at of frame cut_frame */
    guint32 cut_frame, cut_at;
    /* From receiver to sender: cut before this byte */
    guint32 back_cut;
    /* Flip bit flip_bit of byte flip_at of frame flip_frame */
    guint32 flip_frame, flip_at;
    guint flip_bit;
    /*
     * Instead of byte flip_at: the last byte of data, or of a COMMIT, in
     * frame flip_frame or the first one after it that has such.
     */
    gboolean flip_payload;
} RelayPlan;

#define RELAY_PLAN_NONE                                                    \
    ((RelayPlan){RELAY_NEVER, RELAY_NEVER, RELAY_NEVER, RELAY_NEVER,       \
                 RELAY_NEVER, 0, FALSE})

typedef struct Relay Relay;

/* a, b: the relay's ends of the two connections; becomes their owner. */
Relay *relay_new(int a, int b, const RelayPlan *plan);
/* Has the bit been flipped? */
gboolean relay_flipped(Relay *r);
/* Cut now, if it is not yet. */
void relay_free(Relay *r);

#endif
