/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim-qemu: a disk of the guest, and what it is mirrored to. */
#include "tests/sim/sim-disk.h"
#include "tests/sim/sim.h"

#include <fcntl.h>
#include <libnbd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRY_US = 20 * 1000, GUEST_US = 30 * 1000 * 1000 };

SimDisk sim_disks[SIM_MAX_DISKS];
guint sim_n_disks;
char sim_disk_error[80];

/* --- NBD --- */

SimNbd *sim_nbd_new(const char *uri, gint64 patience_us)
{
    SimNbd *n = g_new0(SimNbd, 1);

    n->uri = g_strdup(uri);
    n->patience_us = patience_us;
    return n;
}

static void hang_up(SimNbd *n)
{
    if (n->h) {
        nbd_close(n->h);
        n->h = NULL;
    }
}

void sim_nbd_free(SimNbd *n)
{
    if (n) {
        hang_up(n);
        g_free(n->uri);
        g_free(n);
    }
}

gboolean sim_nbd_connect(SimNbd *n, gint64 end)
{
    if (n->h) {
        return TRUE;
    }
    n->h = nbd_create();
    if (!n->h || nbd_aio_connect_uri(n->h, n->uri) < 0) {
        hang_up(n);
        return FALSE;
    }
    while (nbd_aio_is_connecting(n->h) > 0) {
        gint64 left = end - g_get_monotonic_time();

        if (left <= 0 || nbd_poll(n->h, (int)(left / 1000) + 1) < 0) {
            break;
        }
    }
    if (nbd_aio_is_ready(n->h) <= 0) {
        hang_up(n);
        return FALSE;
    }
    n->given_up = FALSE;
    return TRUE;
}

/* A request that met a broken connection is made again on the next one. */
gboolean sim_nbd_io(SimNbd *n, guint block, guint8 *data, gboolean write)
{
    gint64 end = g_get_monotonic_time() + n->patience_us;
    guint64 at = (guint64)block * SIM_BLOCK;

    for (;;) {
        gint64 now = g_get_monotonic_time();

        if (now >= n->next_try &&
            !sim_nbd_connect(n, n->given_up ? now + TRY_US : end)) {
            n->next_try = g_get_monotonic_time() + TRY_US;
        }
        if (n->h) {
            if ((write ? nbd_pwrite(n->h, data, SIM_BLOCK, at, 0)
                       : nbd_pread(n->h, data, SIM_BLOCK, at, 0)) == 0) {
                return TRUE;
            }
            if (nbd_aio_is_ready(n->h) > 0) {
                /* It answered, with an error. */
                g_strlcpy(sim_disk_error, nbd_get_error(),
                          sizeof(sim_disk_error));
                return FALSE;
            }
            hang_up(n);
            continue;
        }
        if (n->given_up || now >= end) {
            g_strlcpy(sim_disk_error, "no server", sizeof(sim_disk_error));
            n->given_up = TRUE;
            return FALSE;
        }
        g_usleep(TRY_US / 4);
    }
}

/* --- The disk --- */

gboolean sim_disk_open(const char *option)
{
    g_auto(GStrv) parts = g_strsplit(option, "=", 2);
    SimDisk *d = &sim_disks[sim_n_disks];
    off_t bytes = (off_t)SIM_BLOCKS * SIM_BLOCK;

    if (sim_n_disks == SIM_MAX_DISKS || g_strv_length(parts) != 2) {
        return FALSE;
    }
    d->name = g_strdup(parts[0]);
    d->fd = -1;
    sim_n_disks++;
    if (g_str_has_prefix(parts[1], "nbd")) {
        d->nbd = sim_nbd_new(parts[1], GUEST_US);
        return TRUE;
    }
    d->fd = open(parts[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return d->fd >= 0 && ftruncate(d->fd, bytes) == 0;
}

gboolean sim_disk_read(SimDisk *d, guint block, guint8 *data)
{
    return d->nbd ? sim_nbd_io(d->nbd, block, data, FALSE)
                  : pread(d->fd, data, SIM_BLOCK, (off_t)block * SIM_BLOCK) ==
                        SIM_BLOCK;
}

static void mirror_failed(SimMirror *m)
{
    m->failed = TRUE;
    if (!m->told) {
        g_autofree char *data = g_strdup_printf(
            "{\"device\":\"%s\",\"operation\":\"write\",\"action\":\"stop\"}",
            m->id);

        m->told = TRUE;
        sim_post_event("BLOCK_JOB_ERROR", data);
    }
}

gboolean sim_disk_write(SimDisk *d, guint block, guint8 *data)
{
    SimMirror *m = d->mirror;

    if (d->nbd) {
        return sim_nbd_io(d->nbd, block, data, TRUE);
    }
    if (pwrite(d->fd, data, SIM_BLOCK, (off_t)block * SIM_BLOCK) != SIM_BLOCK) {
        return FALSE;
    }
    /* To both before it completes; what fails is remembered. */
    if (m && sim_nbd_io(m->to, block, data, TRUE)) {
        m->dirty[block] = FALSE;
    } else if (m) {
        m->dirty[block] = TRUE;
        mirror_failed(m);
    }
    return TRUE;
}

guint sim_mirror_dirty(const SimMirror *m)
{
    guint n = 0;

    for (guint i = 0; i < SIM_BLOCKS; i++) {
        n += m->dirty[i];
    }
    return n;
}

gboolean sim_mirror_step(SimDisk *d)
{
    SimMirror *m = d->mirror;
    guint8 data[SIM_BLOCK];
    guint i = 0;

    while (m && i < SIM_BLOCKS && !m->dirty[i]) {
        i++;
    }
    if (!m || m->failed || i == SIM_BLOCKS) {
        return FALSE;
    }
    if (!sim_disk_read(d, i, data) || !sim_nbd_io(m->to, i, data, TRUE)) {
        mirror_failed(m);
        return FALSE;
    }
    m->dirty[i] = FALSE;
    m->offset++;
    return TRUE;
}
