/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random schedules of two guests, a client and checkpoints; see model.h.
 *
 * COLO_ROUNDS: how many of each kind; COLO_SEED: the first one's seed.  Each
 * round has a seed of its own, which a failure names.  COLO_TRACE: say what
 * happens.
 */
#include "model.h"

static guint64 from_env(const char *name, guint64 otherwise)
{
    const char *value = g_getenv(name);

    return value ? g_ascii_strtoull(value, NULL, 10) : otherwise;
}

static guint64 seed;

static void on_failure(const char *domain, GLogLevelFlags level,
                       const char *text, gpointer user)
{
    g_test_message("COLO_SEED=%" G_GUINT64_FORMAT " COLO_ROUNDS=1", seed);
    g_log_default_handler(domain, level, text, user);
}

static void run(gboolean fault)
{
    guint64 rounds = from_env("COLO_ROUNDS", 20000);
    guint64 first = from_env("COLO_SEED", 1);

    for (guint64 i = 0; i < rounds; i++) {
        seed = first + i;
        model_run(seed, fault);
    }
    g_test_message(
        "%" G_GUINT64_FORMAT " schedules, %" G_GUINT64_FORMAT
        " packets: %" G_GUINT64_FORMAT " released by match, %" G_GUINT64_FORMAT
        " by checkpoint, %" G_GUINT64_FORMAT
        " windows rewritten, %" G_GUINT64_FORMAT " ACKs lowered",
        model_totals.schedules, model_totals.packets, model_totals.matched,
        model_totals.by_checkpoint, model_totals.windows, model_totals.lowered);
    g_test_message("%" G_GUINT64_FORMAT " by digests, %" G_GUINT64_FORMAT
                   " fetched, %" G_GUINT64_FORMAT " gone; %" G_GUINT64_FORMAT
                   " parts, %" G_GUINT64_FORMAT " packets only by parts",
                   model_totals.digests, model_totals.fetched,
                   model_totals.gone, model_totals.parts,
                   model_totals.in_parts);
    g_test_message("%" G_GUINT64_FORMAT " captures, %" G_GUINT64_FORMAT
                   " commits, %" G_GUINT64_FORMAT " cancels, %" G_GUINT64_FORMAT
                   " loads, %" G_GUINT64_FORMAT " offsets, %" G_GUINT64_FORMAT
                   " checkpoints asked for",
                   model_totals.captures, model_totals.commits,
                   model_totals.cancels, model_totals.loads,
                   model_totals.offsets, model_totals.needs);
    if (rounds >= 1000) {
        /* It does what it is for. */
        g_assert_cmpuint(model_totals.matched, >, 10 * rounds);
        g_assert_cmpuint(model_totals.by_checkpoint, >, rounds);
        g_assert_cmpuint(model_totals.offsets, >, rounds / 4);
        g_assert_cmpuint(model_totals.digests, >, rounds);
        g_assert_cmpuint(model_totals.fetched, >, rounds / 4);
        g_assert_true(!fault || model_totals.gone > rounds / 10);
        g_assert_cmpuint(model_totals.windows, >, rounds / 4);
        g_assert_cmpuint(model_totals.lowered, >, rounds / 200);
        g_assert_cmpuint(model_totals.parts, >, rounds / 4);
        g_assert_cmpuint(model_totals.in_parts, >, rounds / 16);
        g_assert_true(!fault || model_totals.needs > rounds / 4);
    }
}

static void test_same(void)
{
    run(FALSE);
    g_assert_cmpuint(model_totals.needs, ==, 0);
}

static void test_different(void)
{
    run(TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_default_handler(on_failure, NULL);
    g_test_add_func("/compare/streams/same", test_same);
    g_test_add_func("/compare/streams/different", test_different);
    return g_test_run();
}
