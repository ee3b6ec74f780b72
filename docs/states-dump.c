/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the state tables as docs/internals.md shows them, in Markdown: a
 * drawing as text, a mode with the steps that leave it, for each machine.
 * "make update-docs" puts the output there.
 */
#include "colo/engine/replica-states.h"
#include "colo/ft/ft-states.h"

#include <stdio.h>
#include <string.h>

/* A step from one state to another, as text. */
typedef struct Step {
    const char *from, *to;
    char *on, *who;
} Step;

static GArray *steps_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(Step));
}

static void add(GArray *steps, const char *from, const char *to, char *on,
                const char *who)
{
    Step s = {.from = from, .to = to, .on = on, .who = g_strdup(who)};

    g_array_append_val(steps, s);
}

static void print_state(const GArray *steps, const char *from)
{
    printf("%s\n", from);
    for (guint i = 0; i < steps->len; i++) {
        const Step *s = &g_array_index(steps, Step, i);

        if (g_str_equal(s->from, from)) {
            printf("  |-- %-28s--> %s%s%s%s\n", s->on,
                   g_str_equal(s->to, from) ? "(stays)" : s->to,
                   s->who ? "  [" : "", s->who ? s->who : "",
                   s->who ? "]" : "");
        }
    }
}

/* Takes steps: a state for each block, in the order of the table. */
static void print_machine(const char *title, GArray *steps)
{
    g_autoptr(GHashTable) done = g_hash_table_new(g_str_hash, g_str_equal);

    printf("### %s\n\n```\n", title);
    for (guint i = 0; i < steps->len; i++) {
        const char *from = g_array_index(steps, Step, i).from;

        if (g_hash_table_add(done, (gpointer)from)) {
            print_state(steps, from);
        }
    }
    printf("```\n\n| state | on | next |\n|---|---|---|\n");
    for (guint i = 0; i < steps->len; i++) {
        Step *s = &g_array_index(steps, Step, i);

        printf("| %s | %s%s%s%s | %s |\n", s->from, s->on,
               s->who ? " (" : "", s->who ? s->who : "", s->who ? ")" : "",
               s->to);
        g_free(s->on);
        g_free(s->who);
    }
    printf("\n");
    g_array_unref(steps);
}

static void print_ft(FtRole role, const char *title)
{
    static const char *const scopes[] = {"", " (transaction)", " (ft mode)"};
    GArray *steps = steps_new();
    gsize n;
    const FtTransition *t = ft_transitions(role, &n);

    for (gsize i = 0; i < n; i++) {
        add(steps, ft_mode_name(t[i].from), ft_mode_name(t[i].to),
            g_strdup_printf("%s %s%s",
                            t[i].direction == FT_SEND ? "send" : "receive",
                            ft_cmd_name((gint16)t[i].cmd), scopes[t[i].scope]),
            NULL);
    }
    print_machine(title, steps);
}

static void print_replica(void)
{
    GArray *steps = steps_new();
    gsize n;
    const ColoStateRow *t = colo_state_table(&n);

    for (gsize i = 0; i < n; i++) {
        add(steps, colo_state_name(t[i].from), colo_state_name(t[i].to),
            g_strdup(colo_trigger_name(t[i].on)),
            g_str_equal(t[i].who, "both") ? NULL : t[i].who);
    }
    print_machine("The replica", steps);
}

int main(void)
{
    print_replica();
    print_ft(FT_SENDER, "The ft stream's sender");
    print_ft(FT_RECEIVER, "The ft stream's receiver");
    return 0;
}
