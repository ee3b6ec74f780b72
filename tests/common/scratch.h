/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test takes of its host for a while: ports, folders. */
#ifndef TESTS_COMMON_SCRATCH_H
#define TESTS_COMMON_SCRATCH_H

#include <glib.h>

/*
 * A port of loopback that nobody uses and the kernel gives to nobody.
 * type: SOCK_STREAM or SOCK_DGRAM.
 */
guint16 scratch_port(int type);
/* A file, or a folder and all in it; no matter whether it is there. */
void scratch_remove(const char *path);

#endif
