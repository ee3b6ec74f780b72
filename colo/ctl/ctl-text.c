/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text for people: rows with a label, and the bar of what takes a while. */
#include "colo/ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LABEL   14
#define MIN_BAR 10

void ctl_row(const char *label, const char *fmt, ...)
{
    g_autofree char *text = NULL, *plain = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    plain = ctl_plain(text);
    printf("%-*s%s\n", LABEL, label, plain);
}

char *ctl_size(double bytes)
{
    return bytes > 0 && bytes < 1048576
               ? g_strdup_printf("%.1f KiB", bytes / 1024)
               : g_strdup_printf("%.1f MiB", bytes / 1048576);
}

static int columns(void)
{
    struct winsize w;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col
                                                                 : 80;
}

void ctl_draw_bar(const char *label, double percent, const char *after)
{
    int room = columns() - 1 - (int)strlen(label) - (int)strlen(" [] ") -
               (int)strlen(after);
    int full;

    room = MAX(room, MIN_BAR);
    full = (int)(room * CLAMP(percent, 0, 100) / 100);
    printf("\r\033[K%s [", label);
    for (int i = 0; i < room; i++) {
        putchar(i < full ? '#' : '.');
    }
    printf("] %s", after);
    fflush(stdout);
}

void ctl_clear_bar(void)
{
    printf("\r\033[K");
}
