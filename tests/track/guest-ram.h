/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ram-writer process, its RAM mapped here too, and the model of a peer
 * that has a copy of the RAM, kept up to date by a tracker.
 */
#ifndef TESTS_GUEST_RAM_H
#define TESTS_GUEST_RAM_H

#include "colo/track/tracker.h"

typedef enum { RAM_MEMFD, RAM_FILE, RAM_ANON, RAM_HUGE } RamKind;

typedef struct GuestRam {
    pid_t pid;
    int to, from;        /* its stdin and stdout */
    int fd;              /* the RAM */
    char *path;          /* its file, if RAM_FILE */
    ColoTrackTarget target;
    guint8 *ram;         /* our mapping */
    guint8 *peer;        /* what the peer has */
    ColoTracker *tracker;
    ColoBitmap *dirty;
} GuestRam;

/* preload: with libcolotrack.so.  Aborts the test on any failure. */
GuestRam *guest_ram_start(RamKind kind, gsize mib, gboolean preload);
void guest_ram_free(GuestRam *g);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestRam, guest_ram_free)

/* One command of ram-writer's table; returns "ok" or "error ..." */
char *guest_ram_ask(GuestRam *g, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* The same, which must answer "ok". */
#define guest_ram_do(g, ...)                                                   \
    do {                                                                       \
        g_autofree char *answer_ = guest_ram_ask(g, __VA_ARGS__);              \
        g_assert_cmpstr(answer_, ==, "ok");                                    \
    } while (0)

/* Start tracking, then give the peer everything. */
void guest_ram_track(GuestRam *g, ColoTrackerKind kind);

/* Collect into g->dirty (cleared before); returns the number of pages. */
gsize guest_ram_collect(GuestRam *g, gboolean quiesced);

/* Copy the pages in g->dirty to the peer. */
void guest_ram_copy(GuestRam *g);

/* A quiesced collect and copy; then the peer must have all of the RAM. */
void guest_ram_check(GuestRam *g);

#endif
