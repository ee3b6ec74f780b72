/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix stream sockets: connecting in bounded time, replacing stale ones. */
#ifndef COLO_UNIX_SOCKET_H
#define COLO_UNIX_SOCKET_H

#include <gio/gio.h>
#include <sys/types.h>

/*
 * Connect within timeout_us.  Returns a blocking, close-on-exec file
 * descriptor or -1 (G_IO_ERROR).
 */
int colo_unix_connect(const char *path, gint64 timeout_us, GError **error);

/*
 * Listen at path with the given mode; missing parent folders are made
 * (0755).  A socket nobody answers at is replaced; a live one, or a file
 * that is no socket, is an error.  Returns a non-blocking, close-on-exec
 * file descriptor or -1 (G_IO_ERROR).
 */
int colo_unix_listen(const char *path, mode_t mode, GError **error);

#endif
