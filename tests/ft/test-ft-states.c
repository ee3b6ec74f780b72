/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state tables of the ft stream: these steps and no others. */
#include "colo/ft/ft-states.h"

#include <string.h>

#define N_MODES 9 /* FT_ERROR to FT_READY */

/*
 * Written down apart from the tables, as the protocol says: for each mode a
 * string of "direction command > mode".  S and R: sends and receives.
 */
typedef struct Want {
    FtMode mode;
    const char *steps;
} Want;

static const Want want_sender[] = {
    {FT_OFF, "S INIT > FT_INIT"},
    {FT_INIT, "R INIT > FT_READY; R NACK > FT_OFF"},
    {FT_READY, "S BEGIN > FT_TRANSACTION_BEGIN; "
               "S ATOMIC > FT_TRANSACTION_ATOMIC; R NACK > FT_READY; "
               "S CANCEL mode > FT_OFF; R CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_BEGIN,
     "S CONTINUE > FT_TRANSACTION_ITER; S COMMIT > FT_TRANSACTION_COMMIT; "
     "S CANCEL transaction > FT_READY; R NACK > FT_READY; "
     "S CANCEL mode > FT_OFF; R CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_ITER,
     "S CONTINUE > FT_TRANSACTION_ITER; S COMMIT > FT_TRANSACTION_COMMIT; "
     "S CANCEL transaction > FT_READY; R NACK > FT_READY; "
     "S CANCEL mode > FT_OFF; R CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_COMMIT,
     "R ACK > FT_READY; R NACK > FT_READY; "
     "S CANCEL mode > FT_OFF; R CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_ATOMIC,
     "R ACK > FT_READY; R NACK > FT_READY; "
     "S CANCEL mode > FT_OFF; R CANCEL mode > FT_OFF"},
};

static const Want want_receiver[] = {
    {FT_OFF, "R INIT > FT_INIT"},
    {FT_INIT, "S INIT > FT_READY; S NACK > FT_OFF"},
    {FT_READY, "R BEGIN > FT_TRANSACTION_RECV; "
               "R ATOMIC > FT_TRANSACTION_ATOMIC; "
               "R CANCEL mode > FT_OFF; S CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_RECV,
     "R CONTINUE > FT_TRANSACTION_RECV; R COMMIT > FT_TRANSACTION_COMMIT; "
     "R CANCEL transaction > FT_READY; S NACK > FT_ERROR; "
     "R CANCEL mode > FT_OFF; S CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_COMMIT,
     "S ACK > FT_READY; S NACK > FT_ERROR; S CANCEL mode > FT_OFF"},
    {FT_TRANSACTION_ATOMIC,
     "S ACK > FT_READY; S NACK > FT_ERROR; S CANCEL mode > FT_OFF"},
    {FT_ERROR,
     "R CONTINUE > FT_ERROR; R COMMIT > FT_ERROR; "
     "R CANCEL transaction > FT_ERROR; R BEGIN > FT_TRANSACTION_RECV; "
     "R ATOMIC > FT_TRANSACTION_ATOMIC; "
     "R CANCEL mode > FT_OFF; S CANCEL mode > FT_OFF"},
};

/* Is "D CMD scope > to" among the steps of from?  to gets the mode's name. */
static const char *wanted(FtRole role, FtMode from, const char *step)
{
    const Want *w = role == FT_SENDER ? want_sender : want_receiver;
    gsize n = role == FT_SENDER ? G_N_ELEMENTS(want_sender)
                                : G_N_ELEMENTS(want_receiver);

    for (gsize i = 0; i < n; i++) {
        g_auto(GStrv) steps = NULL;

        if (w[i].mode != from) {
            continue;
        }
        steps = g_strsplit(w[i].steps, "; ", -1);
        for (char **s = steps; *s; s++) {
            char *arrow = strstr(*s, " > ");

            *arrow = '\0';
            if (g_str_equal(*s, step)) {
                return g_intern_string(arrow + 3);
            }
        }
    }
    return NULL;
}

/* Every combination: the table has exactly the steps above. */
static void test_steps(gconstpointer data)
{
    static const char *const scopes[] = {"", " transaction", " mode"};
    FtRole role = (FtRole)GPOINTER_TO_UINT(data);
    gsize rows, taken = 0;

    ft_transitions(role, &rows);
    for (int mode = FT_ERROR; mode <= FT_READY; mode++) {
        for (int dir = FT_SEND; dir <= FT_RECV; dir++) {
            for (int cmd = FT_CMD_NACK; cmd <= FT_CMD_ACK; cmd++) {
                for (int scope = 0; scope < 3; scope++) {
                    g_autofree char *step = g_strdup_printf(
                        "%c %s%s", dir == FT_SEND ? 'S' : 'R',
                        ft_cmd_name((gint16)cmd), scopes[scope]);
                    const char *to = wanted(role, (FtMode)mode, step);
                    FtMode m = (FtMode)mode;
                    gboolean ok = ft_step(role, &m, (FtDirection)dir,
                                          (FtCmd)cmd, (FtScope)scope);

                    if (ok != (to != NULL) ||
                        !g_str_equal(to ? to : ft_mode_name((FtMode)mode),
                                     ft_mode_name(m))) {
                        g_error("%s: %s leads to %s",
                                ft_mode_name((FtMode)mode), step,
                                ok ? ft_mode_name(m) : "nothing");
                    }
                    taken += ok;
                }
            }
        }
    }
    /* No row is there twice, or can never be taken. */
    g_assert_cmpuint(taken, ==, rows);
}

/* From each mode that can be reached, FT_READY and FT_OFF can be, too. */
static void reach(FtRole role, FtMode from, gboolean *seen)
{
    gsize n;
    const FtTransition *t = ft_transitions(role, &n);

    seen[from + 1] = TRUE;
    for (gsize i = 0; i < n; i++) {
        if (t[i].from == from && !seen[t[i].to + 1]) {
            reach(role, t[i].to, seen);
        }
    }
}

static void test_reach(gconstpointer data)
{
    FtRole role = (FtRole)GPOINTER_TO_UINT(data);
    gboolean live[N_MODES] = {FALSE};

    reach(role, FT_OFF, live);
    for (int mode = FT_ERROR; mode <= FT_READY; mode++) {
        gboolean other = role == FT_SENDER
                             ? mode == FT_ERROR || mode == FT_TRANSACTION_RECV
                             : mode == FT_TRANSACTION_BEGIN ||
                                   mode == FT_TRANSACTION_ITER;

        g_assert_true(live[mode + 1] != other);
        if (!other) {
            gboolean from_here[N_MODES] = {FALSE};

            reach(role, (FtMode)mode, from_here);
            g_assert_true(from_here[FT_READY + 1] && from_here[FT_OFF + 1]);
        }
    }
}

/* What one end sends in some mode, the other can receive in some mode. */
static void test_match(void)
{
    for (int role = FT_SENDER; role <= FT_RECEIVER; role++) {
        gsize n, n_peer;
        const FtTransition *t = ft_transitions((FtRole)role, &n);
        const FtTransition *peer = ft_transitions(
            role == FT_SENDER ? FT_RECEIVER : FT_SENDER, &n_peer);

        for (gsize i = 0; i < n; i++) {
            gboolean found = FALSE;

            for (gsize j = 0; j < n_peer; j++) {
                found |= t[i].direction != peer[j].direction &&
                         t[i].cmd == peer[j].cmd && t[i].scope == peer[j].scope;
            }
            g_assert_true(found);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ft/states/sender/steps",
                         GUINT_TO_POINTER(FT_SENDER), test_steps);
    g_test_add_data_func("/ft/states/sender/reach",
                         GUINT_TO_POINTER(FT_SENDER), test_reach);
    g_test_add_data_func("/ft/states/receiver/steps",
                         GUINT_TO_POINTER(FT_RECEIVER), test_steps);
    g_test_add_data_func("/ft/states/receiver/reach",
                         GUINT_TO_POINTER(FT_RECEIVER), test_reach);
    g_test_add_func("/ft/states/match", test_match);
    return g_test_run();
}
