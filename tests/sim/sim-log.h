/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading what sim-qemu writes to its log. */
#ifndef TESTS_SIM_LOG_H
#define TESTS_SIM_LOG_H

#include <glib.h>

typedef struct SimLine {
    gint64 time_us; /* UNIX epoch */
    char word[16];
    guint64 step;
    char hash[17];
    char detail[96];
} SimLine;

/* All whole lines of the file; GArray of SimLine. */
GArray *sim_log_read(const char *path);

/* The last line with this word not after until_us (0: of all), or NULL. */
const SimLine *sim_log_last(GArray *lines, const char *word, gint64 until_us);

guint sim_log_count(GArray *lines, const char *word);

#endif
