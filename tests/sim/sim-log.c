/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading what sim-qemu writes to its log. */
#include "tests/sim/sim-log.h"

#include <stdio.h>
#include <string.h>

GArray *sim_log_read(const char *path)
{
    GArray *lines = g_array_new(FALSE, TRUE, sizeof(SimLine));
    g_autofree char *text = NULL;
    char *p, *end;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return lines;
    }
    for (p = text; (end = strchr(p, '\n')); p = end + 1) {
        long long sec, usec;
        unsigned long long step;
        SimLine l = {0};

        *end = '\0';
        if (sscanf(p, "%lld.%lld %15s %llu %16s %95[^\n]", &sec, &usec, l.word,
                   &step, l.hash, l.detail) < 5) {
            g_error("%s has a line of another form: %s", path, p);
        }
        l.time_us = sec * 1000000 + usec;
        l.step = step;
        g_array_append_val(lines, l);
    }
    return lines;
}

const SimLine *sim_log_last(GArray *lines, const char *word, gint64 until_us)
{
    for (guint i = lines->len; i-- > 0;) {
        SimLine *l = &g_array_index(lines, SimLine, i);

        if ((!until_us || l->time_us <= until_us) &&
            g_str_equal(l->word, word)) {
            return l;
        }
    }
    return NULL;
}

guint sim_log_count(GArray *lines, const char *word)
{
    guint n = 0;

    for (guint i = 0; i < lines->len; i++) {
        n += g_str_equal(g_array_index(lines, SimLine, i).word, word);
    }
    return n;
}
