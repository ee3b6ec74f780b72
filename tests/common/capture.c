/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test's own process writes to stderr. */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
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
    /* Processes that were started since may have the other end open. */
    g_assert_cmpint(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK), ==, 0);
    n = read(pipe_fds[0], text, PIPE_SIZE);
    g_assert_true(n >= 0 || errno == EAGAIN);
    close(pipe_fds[0]);
    text[MAX(n, 0)] = 0;
    return text;
}
