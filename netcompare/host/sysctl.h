/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in /proc/sys.  Used by the files of this folder only. */
#ifndef COLO_NET_SYSCTL_H
#define COLO_NET_SYSCTL_H

#include <gio/gio.h>

/* path: below /proc/sys.  G_IO_ERROR_NOT_FOUND: this kernel has it not. */
gboolean net_sysctl_get(const char *path, int *value, GError **error);
gboolean net_sysctl_set(const char *path, int value, GError **error);

#endif
