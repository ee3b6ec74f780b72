/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a process read files past the page cache, straight into its memory? */
#ifndef COLO_TRACK_DIRECT_IO_H
#define COLO_TRACK_DIRECT_IO_H

#include <glib.h>

/*
 * proc_fd: its /proc folder.  TRUE also when that cannot be found out, and
 * where it has files on FUSE.  Waits for no file system's server.
 */
gboolean colo_track_has_direct_io(int proc_fd);

#endif
