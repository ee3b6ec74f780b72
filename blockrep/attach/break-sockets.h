/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breaking another process's connections: QEMU waits forever for an NBD
 * server that is silent, and its monitor with it.
 */
#ifndef COLO_BREAK_SOCKETS_H
#define COLO_BREAK_SOCKETS_H

#include <glib.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * Break every stream socket of the process (pid, and a pidfd of it, so that
 * it is no other) that is connected to peer: what was written and has not
 * arrived yet, never will, unless the network has it.  Returns how many, or
 * -errno when the process may not be looked at (pidfd_getfd(2) needs what
 * ptrace needs).
 */
int colo_break_sockets(pid_t pid, int pidfd, const struct sockaddr *peer,
                       socklen_t len);

#endif
