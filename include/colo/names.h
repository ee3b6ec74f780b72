/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of VMs, and identities of runs and sessions. */
#ifndef COLO_NAMES_H
#define COLO_NAMES_H

#include <glib.h>

/* A VM's name becomes part of paths: letters, digits and ._-, at most 64. */
gboolean colo_name_is_valid(const char *name);

/* 32 random hex digits; free with g_free(). */
char *colo_new_id(void);

#endif
