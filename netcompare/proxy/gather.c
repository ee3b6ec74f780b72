/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many packets for each wakeup. */
#include "netcompare/proxy/gather.h"

#include <stdlib.h>
#include <time.h>

#define WINDOW_US 4000
#define OFTEN     48 /* wakeups in a window, 12000 a second */
#define WAIT_NS   60000
/* With so much in a window a wakeup waits longer, for about an amount. */
#define BULK_BYTES    (96u << 10) /* 25 MB a second */
#define BULK_FRAMES   80          /* 20000 a second */
#define AMOUNT_BYTES  (160u << 10)
#define AMOUNT_FRAMES 24
#define BULK_MIN_NS   100000
#define BULK_MAX_NS   400000

static gint64 window_us;      /* its begin */
static guint wakeups, frames; /* in it */
static gsize bytes;
static gboolean often; /* in the last one that was whole */
static long wait_ns;   /* of a wakeup now; 0: it does not wait */
static guint64 waits;
static int urgent = -1;

/* What a window of us microseconds has shown. */
static long wait_after(gint64 us)
{
    double ns = (double)us * 1e3, t = BULK_MAX_NS;

    /* Waiting makes wakeups fewer: half as many keep it. */
    often = us < 2 * WINDOW_US && wakeups >= (often ? OFTEN / 2 : OFTEN);
    if (us >= 2 * WINDOW_US ||
        (bytes < BULK_BYTES && frames < BULK_FRAMES)) {
        return often ? WAIT_NS : 0;
    }
    t = MIN(t, ns * AMOUNT_BYTES / (double)MAX(bytes, 1));
    t = MIN(t, ns * AMOUNT_FRAMES / (double)MAX(frames, 1));
    return (long)MAX(t, BULK_MIN_NS);
}

static void count_wakeup(void)
{
    gint64 now = g_get_monotonic_time();

    if (now - window_us < WINDOW_US) {
        wakeups++;
        return;
    }
    wait_ns = wait_after(now - window_us);
    window_us = now;
    wakeups = 1;
    frames = 0;
    bytes = 0;
}

static gboolean is_urgent(const GPollFD *fds, guint n_fds, gint ready)
{
    for (guint i = 0; ready == 1 && i < n_fds; i++) {
        if (fds[i].revents) {
            return fds[i].fd == urgent;
        }
    }
    return FALSE;
}

void gather_not_for(int fd)
{
    urgent = fd;
}

gint gather_poll(GPollFD *fds, guint n_fds, gint timeout_ms)
{
    gint ready = g_poll(fds, n_fds, timeout_ms);

    if (ready <= 0) {
        return ready;
    }
    count_wakeup();
    if (wait_ns && !is_urgent(fds, n_fds, ready)) {
        const struct timespec t = {.tv_nsec = wait_ns};

        waits++;
        nanosleep(&t, NULL);
        ready = g_poll(fds, n_fds, 0);
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
