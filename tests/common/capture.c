/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test's own process writes to stderr. */
#include "capture.h"

#include <stdio.h>
#include <unistd.h>

enum { PIPE_SIZE = 65536 };

static int saved_stderr, pipe_fds[2];

void capture_start(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    g_assert_cmpint(dup2(pipe_fds[1], STDERR_FILENO), ==, STDERR_FILENO);
    close(pipe_fds[1]);
}

char *capture_end(void)
{
    char *text = g_malloc(PIPE_SIZE + 1);
    ssize_t n;

    fflush(stderr);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    n = read(pipe_fds[0], text, PIPE_SIZE);
    close(pipe_fds[0]);
    g_assert_cmpint(n, >=, 0);
    text[n] = 0;
    return text;
}
