/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running programs of the host.  Used by the files of this folder only. */
#ifndef COLO_NET_RUN_H
#define COLO_NET_RUN_H

#include <gio/gio.h>

typedef struct NetCommand {
    const char *const *argv; /* NULL-terminated; no shell */
    const char *input;       /* for its stdin; NULL: none */
    /* Filled; net_command_clear() frees them */
    char *out, *err; /* what it printed, without the last newline */
    int status;      /* its exit status; -1: killed by a signal */
} NetCommand;

/*
 * Run n programs at the same time and wait for all of them, at most
 * timeout_ms; then they are killed.  FALSE if one could not be started or did
 * not end, not if it failed.  Blocks the caller.
 */
gboolean net_run(NetCommand *commands, guint n, guint timeout_ms,
                 GError **error);
void net_command_clear(NetCommand *c);

#endif
