/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many packets for each wakeup. */
#include "netcompare/proxy/gather.h"

#include <stdlib.h>
#include <time.h>

#define WINDOW_US 4000
/* With so much in a window, turns begin no closer than it takes an amount. */
#define BULK_BYTES    (1u << 20) /* 250 MB a second */
#define BULK_FRAMES   80         /* 20000 a second */
#define AMOUNT_BYTES  (160u << 10)
#define AMOUNT_FRAMES 24
#define MIN_US        100
#define MAX_US        400

static gint64 window_us; /* its begin */
static guint frames;     /* in it */
static gsize bytes;
static gint64 turn_us;  /* when the last one began */
static gint64 apart_us; /* turns now; 0: as they come */
static guint64 waits;

/* What a window of us microseconds has shown. */
static gint64 apart_after(gint64 us)
{
    double t = MAX_US;

    if (us >= 2 * WINDOW_US || (bytes < BULK_BYTES && frames < BULK_FRAMES)) {
        return 0;
    }
    t = MIN(t, (double)us * AMOUNT_BYTES / (double)MAX(bytes, 1));
    t = MIN(t, (double)us * AMOUNT_FRAMES / (double)MAX(frames, 1));
    return (gint64)MAX(t, MIN_US);
}

static void begin_turn(void)
{
    turn_us = g_get_monotonic_time();
    if (turn_us - window_us >= WINDOW_US) {
        apart_us = apart_after(turn_us - window_us);
        window_us = turn_us;
        frames = 0;
        bytes = 0;
    }
}

static void wait_for_more(void)
{
    gint64 left = turn_us + apart_us - g_get_monotonic_time();
    const struct timespec t = {.tv_nsec = left * 1000};

    if (left > 0) {
        waits++;
        nanosleep(&t, NULL);
    }
}

gint gather_poll(GPollFD *fds, guint n_fds, gint timeout_ms)
{
    gint ready;

    if (apart_us && timeout_ms) {
        wait_for_more();
    }
    ready = g_poll(fds, n_fds, timeout_ms);
    if (ready > 0) {
        begin_turn();
    }
    return ready;
}

void gather_count(gsize n)
{
    bytes += n;
    frames++;
}

guint64 gather_waits(void)
{
    return waits;
}
