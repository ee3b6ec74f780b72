/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test's own process writes to stderr, at most a pipe's worth. */
#ifndef COLO_TEST_CAPTURE_H
#define COLO_TEST_CAPTURE_H

#include <glib.h>

/* From here on stderr is a pipe. */
void capture_start(void);

/* What was written since; stderr is what it was.  Free with g_free. */
char *capture_end(void);

#endif
