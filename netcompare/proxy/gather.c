/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many packets for each wakeup. */
#include "netcompare/proxy/gather.h"

#include <stdlib.h>
#include <time.h>

#define WINDOW_US 4000
#define OFTEN     48 /* wakeups in a window, 12000 a second */
#define WAIT_NS   60000
#define BULK      (96u << 10) /* bytes in a window, 25 MB a second */
#define BULK_NS   400000

static gint64 window_us; /* its begin */
static guint wakeups;    /* in it */
static gsize bytes;
static gboolean often, bulk; /* in the last one that was whole */
static guint64 waits;
static int urgent = -1;

static void count_wakeup(void)
{
    gint64 now = g_get_monotonic_time();

    if (now - window_us < WINDOW_US) {
        wakeups++;
        return;
    }
    /* Waiting makes wakeups fewer: half as many keep it. */
    often = now - window_us < 2 * WINDOW_US &&
            wakeups >= (often ? OFTEN / 2 : OFTEN);
    bulk = now - window_us < 2 * WINDOW_US && bytes >= BULK;
    window_us = now;
    wakeups = 1;
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
    if ((often || bulk) && !is_urgent(fds, n_fds, ready)) {
        const struct timespec t = {.tv_nsec = bulk ? BULK_NS : WAIT_NS};

        waits++;
        nanosleep(&t, NULL);
        ready = g_poll(fds, n_fds, 0);
    }
    return ready;
}

void gather_count(gsize n)
{
    bytes += n;
}

guint64 gather_waits(void)
{
    return waits;
}
