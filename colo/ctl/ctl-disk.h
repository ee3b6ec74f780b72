/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of coloctl disk share. */
#ifndef COLO_CTL_DISK_H
#define COLO_CTL_DISK_H

#include "colo/ctl/ctl.h"

#include <sys/types.h>

/* --- ctl-disk-lock.c
 * -----------------------------------------------------------
 */

/*
 * Who has the store in this folder open: a process and the name of its program
 * (g_free()); 0: nobody whom we may see.  Takes no lock, so nobody who starts
 * meanwhile finds it taken.
 */
pid_t disk_holder(const char *folder, char **program);

/*
 * The bytes by which QEMU tells that an image is written to, and by nobody
 * else: a QEMU refuses the image until the descriptor is closed.  -1 with an
 * error: one has it already.
 */
int disk_lock_image(const char *image, GError **error);

/* --- ctl-disk-merge.c
 * ----------------------------------------------------------
 */

/* look: what colo_store_look() says */
int disk_merge(Ctl *c, const char *image, JsonObject *look);

#endif
