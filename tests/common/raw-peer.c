/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other end of a QMP socket, byte by byte. */
#include "raw-peer.h"

#include "colo/common/unix-socket.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

struct RawServer {
    int listen_fd;
    const RawStep *steps;
    GThread *thread;
    GMutex lock;
    GCond cond;
    gboolean released; /* under lock */
};

char *raw_folder_new(void)
{
    g_autoptr(GError) error = NULL;
    char *folder = g_dir_make_tmp("colo-test-XXXXXX", &error);

    g_assert_no_error(error);
    return folder;
}

void raw_folder_free(char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        g_remove(path);
    }
    g_rmdir(folder);
    g_free(folder);
}

static gboolean ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, PATIENCE_MS) == 1;
}

int raw_connect(const char *path)
{
    g_autoptr(GError) error = NULL;
    int fd = colo_unix_connect(path, PATIENCE_MS * 1000, &error);

    g_assert_no_error(error);
    return fd;
}

gboolean raw_write(int fd, const void *bytes, gsize n)
{
    const char *p = bytes;

    while (n) {
        ssize_t done;

        g_assert_true(ready(fd, POLLOUT));
        done = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return FALSE;
        }
        g_assert_true(done > 0 || errno == EAGAIN);
        if (done > 0) {
            p += done;
            n -= done;
        }
    }
    return TRUE;
}

char *raw_read_line(int fd)
{
    GString *line = g_string_new(NULL);
    char part[4096], *end = NULL;

    while (!end) {
        ssize_t n;

        g_assert_true(ready(fd, POLLIN));
        n = recv(fd, part, sizeof(part), MSG_PEEK);
        if (n > 0) {
            /* Take this line and not a byte more. */
            end = memchr(part, '\n', n);
            n = recv(fd, part, end ? end + 1 - part : n, 0);
        }
        if (n <= 0) {
            g_string_free(line, TRUE);
            return NULL;
        }
        g_string_append_len(line, part, n);
    }
    g_string_truncate(line, line->len - 1);
    if (g_str_has_suffix(line->str, "\r")) {
        g_string_truncate(line, line->len - 1);
    }
    return g_string_free(line, FALSE);
}

static void run_step(RawServer *s, int fd, const RawStep *step)
{
    switch (step->what) {
    case RAW_SEND:
        raw_write(fd, step->text, strlen(step->text));
        break;
    case RAW_TRICKLE:
        for (const char *p = step->text; *p; p++) {
            raw_write(fd, p, 1);
        }
        break;
    case RAW_FILL: {
        g_autofree char *bytes = g_malloc(step->n);

        memset(bytes, 'x', step->n);
        raw_write(fd, bytes, step->n);
        break;
    }
    case RAW_FLOOD: {
        /* Many at a time: faster than they can be taken. */
        g_autoptr(GString) many = g_string_new(NULL);

        for (int i = 0; i < 1000; i++) {
            g_string_append(many, step->text);
        }
        while (raw_write(fd, many->str, many->len)) {
        }
        break;
    }
    case RAW_EXPECT: {
        g_autofree char *line = raw_read_line(fd);

        g_assert_nonnull(line);
        if (!strstr(line, step->text)) {
            g_error("expected '%s', got '%s'", step->text, line);
        }
        break;
    }
    case RAW_HOLD:
        g_mutex_lock(&s->lock);
        while (!s->released) {
            g_cond_wait(&s->cond, &s->lock);
        }
        s->released = FALSE;
        g_mutex_unlock(&s->lock);
        break;
    case RAW_CLOSE:
        shutdown(fd, SHUT_RDWR);
        break;
    case RAW_END:
        break;
    }
}

static gpointer serve(gpointer data)
{
    RawServer *s = data;
    int fd;

    g_assert_true(ready(s->listen_fd, POLLIN));
    fd = accept(s->listen_fd, NULL, NULL);
    g_assert_cmpint(fd, >=, 0);
    for (const RawStep *step = s->steps; step->what; step++) {
        run_step(s, fd, step);
    }
    close(fd);
    return NULL;
}

RawServer *raw_server_start(const char *path, const RawStep *steps)
{
    g_autoptr(GError) error = NULL;
    RawServer *s = g_new0(RawServer, 1);

    s->listen_fd = colo_unix_listen(path, 0600, &error);
    g_assert_no_error(error);
    s->steps = steps;
    g_mutex_init(&s->lock);
    g_cond_init(&s->cond);
    s->thread = g_thread_new("raw-server", serve, s);
    return s;
}

void raw_server_release(RawServer *s)
{
    g_mutex_lock(&s->lock);
    s->released = TRUE;
    g_cond_signal(&s->cond);
    g_mutex_unlock(&s->lock);
}

void raw_server_join(RawServer *s)
{
    g_thread_join(s->thread);
    close(s->listen_fd);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->cond);
    g_free(s);
}
