/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu: QMP monitors.
 *
 * As in QEMU, each socket has one client at a time (the next waits in the
 * backlog), commands of one monitor are executed in order, descriptors stay
 * with the monitor until add-fd takes the last one that came, and output is
 * queued without a limit.
 */
#include "tests/sim/sim.h"
#include "colo/common/qmp-wire.h"
#include "colo/common/unix-socket.h"
#include "colo/qmp-client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_MONITORS = 4, MAX_LINE = 1024 * 1024 };

typedef struct Monitor {
    int listen_fd;
    int fd;         /* -1: no client */
    int msg_fd;     /* received and not taken, or -1 */
    gboolean ready; /* past qmp_capabilities */
    ColoQmpLines lines;
    GString *out;
} Monitor;

typedef struct Later {
    void (*func)(void *);
    void *arg;
} Later;

static Monitor monitors[MAX_MONITORS];
static int n_monitors;
static Monitor *current;
static GQueue later = G_QUEUE_INIT;
static gboolean quit;
static GAsyncQueue *posted;
static int posted_fds[2];

void sim_monitor_listen(const char *path)
{
    Monitor *m = &monitors[n_monitors++];
    GError *e = NULL;

    g_assert(n_monitors <= MAX_MONITORS);
    if (!posted) {
        posted = g_async_queue_new();
        g_assert_cmpint(pipe2(posted_fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
    }
    m->fd = m->msg_fd = -1;
    m->out = g_string_new(NULL);
    colo_qmp_lines_init(&m->lines, MAX_LINE);
    m->listen_fd = colo_unix_listen(path, 0600, &e);
    if (m->listen_fd < 0) {
        fprintf(stderr, "sim-qemu: %s\n", e->message);
        exit(1);
    }
}

void sim_monitor_quit(void)
{
    quit = TRUE;
}

void sim_monitor_hang_up(void)
{
    for (int i = 0; i < n_monitors; i++) {
        close(monitors[i].listen_fd);
        if (monitors[i].fd >= 0) {
            close(monitors[i].fd);
        }
    }
}

void sim_later(void (*func)(void *), void *arg)
{
    Later *l = g_new(Later, 1);

    l->func = func;
    l->arg = arg;
    g_queue_push_tail(&later, l);
}

int sim_monitor_take_fd(void)
{
    int fd = current->msg_fd;

    current->msg_fd = -1;
    return fd;
}

static void hang_up(Monitor *m)
{
    gboolean others = FALSE;

    close(m->fd);
    if (m->msg_fd >= 0) {
        close(m->msg_fd);
    }
    m->fd = m->msg_fd = -1;
    m->ready = FALSE;
    g_string_truncate(m->out, 0);
    colo_qmp_lines_clear(&m->lines);
    for (int i = 0; i < n_monitors; i++) {
        others = others || monitors[i].fd >= 0;
    }
    if (!others && sim_guest_running()) {
        sim_fdset_cleanup();
    }
}

static void flush(Monitor *m)
{
    while (m->fd >= 0 && m->out->len) {
        ssize_t n =
            send(m->fd, m->out->str, m->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n < 0) {
            /* Noticed again, and dealt with, when it is read. */
            g_string_truncate(m->out, 0);
            return;
        }
        g_string_erase(m->out, 0, n);
    }
}

typedef struct Posted {
    char *name, *data;
} Posted;

void sim_post_event(const char *name, const char *data)
{
    Posted *p = g_new(Posted, 1);
    char c = 0;

    p->name = g_strdup(name);
    p->data = g_strdup(data);
    g_async_queue_push(posted, p);
    if (write(posted_fds[1], &c, 1) < 0) {
        g_assert(errno == EAGAIN);
    }
}

static void send_event(const char *name, const char *data);

static void send_posted(void)
{
    Posted *p;

    while (posted && (p = g_async_queue_try_pop(posted))) {
        send_event(p->name, p->data);
        g_free(p->name);
        g_free(p->data);
        g_free(p);
    }
}

void sim_event(const char *name, const char *data)
{
    send_posted();
    send_event(name, data);
}

static void send_event(const char *name, const char *data)
{
    gint64 now = g_get_real_time();

    for (int i = 0; i < n_monitors; i++) {
        if (monitors[i].fd >= 0 && monitors[i].ready) {
            g_string_append_printf(
                monitors[i].out,
                "{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %lld}, "
                "\"event\": \"%s\"%s%s}\r\n",
                (long long)(now / 1000000), (long long)(now % 1000000), name,
                data ? ", \"data\": " : "", data ? data : "");
        }
    }
}

static SimHandler find(const char *name)
{
    const SimCommand *tables[] = {sim_query_commands, sim_block_commands,
                                  sim_mirror_commands};

    for (guint t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const SimCommand *c = tables[t]; c->name; c++) {
            if (g_str_equal(c->name, name)) {
                return c->handler;
            }
        }
    }
    return NULL;
}

static char *quote(const char *text)
{
    g_autoptr(JsonNode) n = json_node_new(JSON_NODE_VALUE);

    json_node_set_string(n, text);
    return json_to_string(n, FALSE);
}

static char *execute(Monitor *m, JsonObject *request, GError **error)
{
    g_autoptr(JsonObject) none = json_object_new();
    JsonObject *args = colo_json_get_object(request, "arguments");
    const char *name = colo_json_get_string(request, "execute");
    SimHandler handler;
    char *result;

    if (!name) {
        return sim_fail(error, "QMP input lacks member 'execute'");
    }
    if (g_str_equal(name, "qmp_capabilities")) {
        m->ready = TRUE;
        return g_strdup("{}");
    }
    handler = m->ready ? find(name) : NULL;
    if (!handler) {
        return sim_fail(error, "The command %s has not been found", name);
    }
    if (sim_point("before", name)) {
        return sim_fail(error, "arranged to fail");
    }
    result = handler(args ? args : none, error);
    if (sim_point("after", name) && result) {
        g_free(result);
        return sim_fail(error, "arranged to fail");
    }
    return result;
}

static void request(Monitor *m, const char *line, gsize len)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) e = NULL;
    g_autoptr(JsonNode) node = colo_qmp_parse(parser, line, len, 64, FALSE, &e);
    g_autofree char *result = NULL, *id = NULL, *desc = NULL;
    JsonObject *o = node ? json_node_get_object(node) : NULL;
    JsonNode *id_node = o ? json_object_get_member(o, "id") : NULL;

    current = m;
    if (o) {
        result = execute(m, o, &e);
    }
    if (id_node) {
        id = json_to_string(id_node, FALSE);
    }
    if (!result) {
        desc = quote(e ? e->message : "failed");
        result = g_strdup_printf("{\"class\": \"GenericError\", \"desc\": %s}",
                                 desc);
    }
    send_posted();
    g_string_append_printf(m->out, "{\"%s\": %s%s%s}\r\n",
                           desc ? "error" : "return", result,
                           id ? ", \"id\": " : "", id ? id : "");
}

static void take_message_fds(Monitor *m, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), fd;

            for (int i = 0; i < n; i++) {
                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                if (m->msg_fd >= 0) {
                    close(m->msg_fd);
                }
                m->msg_fd = fd;
            }
        }
    }
}

static void receive(Monitor *m)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(16 * sizeof(int))];
    } control;
    struct msghdr msg = {0};
    struct iovec iov;
    gboolean too_long;
    const char *line;
    gsize len, room;
    ssize_t n;

    iov.iov_base = colo_qmp_lines_space(&m->lines, &room);
    iov.iov_len = room;
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);
    n = recvmsg(m->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        hang_up(m);
        return;
    }
    take_message_fds(m, &msg);
    colo_qmp_lines_fed(&m->lines, n);
    while (m->fd >= 0 &&
           (line = colo_qmp_lines_next(&m->lines, &len, &too_long))) {
        if (len) {
            request(m, line, len);
        }
        /* QEMU's replies leave one by one, not when all is done. */
        flush(m);
    }
    if (too_long) {
        hang_up(m);
    }
}

static void greet(Monitor *m)
{
    int major = 0, minor = 0, micro = 0;

    m->fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (m->fd < 0) {
        return;
    }
    sscanf(sim_options.version, "%d.%d.%d", &major, &minor, &micro);
    g_string_append_printf(m->out,
                           "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": %d,"
                           " \"minor\": %d, \"major\": %d}, \"package\": "
                           "\"sim\"}, \"capabilities\": [\"oob\"]}}\r\n",
                           micro, minor, major);
}

void sim_monitor_run(void)
{
    while (!quit) {
        struct pollfd p[MAX_MONITORS + 1];
        char rest[64];
        Later *l;

        send_posted();

        for (int i = 0; i < n_monitors; i++) {
            Monitor *m = &monitors[i];

            flush(m);
            p[i].fd = m->fd >= 0 ? m->fd : m->listen_fd;
            p[i].events = POLLIN | (m->out->len ? POLLOUT : 0);
            p[i].revents = 0;
        }
        p[n_monitors].fd = posted_fds[0];
        p[n_monitors].events = POLLIN;
        if (poll(p, n_monitors + 1, g_queue_is_empty(&later) ? -1 : 0) < 0) {
            continue;
        }
        while (read(posted_fds[0], rest, sizeof(rest)) > 0) {
        }
        l = g_queue_pop_head(&later);
        if (l) {
            l->func(l->arg);
            g_free(l);
        }
        for (int i = 0; i < n_monitors; i++) {
            if (p[i].revents & ~POLLOUT) {
                if (p[i].fd == monitors[i].listen_fd) {
                    greet(&monitors[i]);
                } else if (p[i].fd == monitors[i].fd) {
                    receive(&monitors[i]);
                }
            }
        }
    }
    for (int i = 0; i < n_monitors; i++) {
        flush(&monitors[i]);
    }
}
