/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What colod says of itself: state and statistics, shared by the engine's
 * thread (writes) and the control thread (reads).  Everything is guarded by
 * lock, which is held for the time of a copy only.
 */
#ifndef COLO_STATUS_H
#define COLO_STATUS_H

#include "colo/engine/replica-states.h"
#include "colo/histogram.h"

#include <json-glib/json-glib.h>

typedef struct ColoStatus {
    GMutex lock;

    gboolean primary;
    ColoState state;
    char *detail;           /* a sentence for the operator */
    const char *reason;     /* of COLO_EXIT: none, request, error, processing */
    gboolean was_active;    /* for last-mode */
    char *name, *peer, *tracker, *qemu_version;
    gboolean periodic;
    gint64 delay_ms;        /* x-checkpoint-delay */
    gboolean guest_running;
    gboolean can_take_over; /* secondary: a checkpoint is there */
    gboolean stale;         /* and the primary's guest went on since */
    guint64 epoch;
    const char *heartbeat;  /* up, lost, none */
    guint64 hb_sent, hb_received, hb_ignored;

    JsonNode *disks;        /* an array, replaced as a whole; NULL: empty */
    gboolean disks_served;  /* by us */
    char *disks_detail;     /* why they are not; NULL: there are none */
    JsonNode *served;       /* primary: likewise an array; NULL: none yet */

    char *proxy_path;       /* NULL: none */
    gboolean proxy_connected, proxy_ready;
    char *proxy_detail;     /* why it is not ready */
    gint64 degraded_us;     /* so far, but for the time since ... */
    gint64 degraded_since;  /* monotonic; 0: not degraded */

    guint64 copy_total, copy_done;      /* bytes of the full copy */
    gint64 copy_start_us, copy_end_us;  /* monotonic; 0: not under way */

    guint64 checkpoints, cancelled, failed, stalls;
    /* How many of each: committed by reason; asked for by the proxy */
    GHashTable *reasons, *causes;
    guint64 bytes_sent, pages_sent, zero_pages;
    guint64 cuts;           /* seals of the disks */
    /* microseconds, but for pages and bytes */
    ColoHistogram *pause, *capture, *cut, *transfer, *commit, *load,
        *clock_lag, *pages, *bytes;
} ColoStatus;

ColoStatus *colo_status_new(gboolean primary, const char *name);
void colo_status_free(ColoStatus *s);

void colo_status_lock(ColoStatus *s);
void colo_status_unlock(ColoStatus *s);

/* Count one more of this name; the lock must be held. */
void colo_status_count(GHashTable *counts, const char *name);

/* Answers of query-colo-status and query-colo-stats (transfer full). */
JsonNode *colo_status_query(ColoStatus *s);
JsonNode *colo_status_stats(ColoStatus *s);

#endif
