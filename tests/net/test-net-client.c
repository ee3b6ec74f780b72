/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Do the clients see what a wrong takeover would do to them?  A server that
 * makes one mistake: the client must say so, and say nothing about one that
 * makes none.
 */
#include "tests/common/scratch.h"
#include "tests/guest/service.h"
#include "tests/rig/rig.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 3000000

typedef enum {
    NONE,
    FLIP,    /* a byte of a download */
    SKIP,    /* bytes of a download: from a guest that is ahead */
    AGAIN,   /* bytes twice: from a guest that is behind */
    CUT,     /* the connection ends in the middle */
    EXTRA,   /* more than announced */
    LINE,    /* a line is not known any more */
    CHAIN,   /* an id is not known any more */
    COUNTER, /* counted back */
    RECORD,  /* an acknowledged record is not there any more */
    SILENT,  /* nothing comes */
} Mistake;

typedef struct Case {
    const char *name, *sessions;
    Mistake mistake;
    gboolean wrong, lost; /* what has to be said */
} Case;

static unsigned char pattern[SERVICE_PERIOD];

static void put(int fd, const void *data, size_t len)
{
    if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t)len) {
        _exit(0);
    }
}

static void put_pattern(int fd, guint64 at, guint64 end)
{
    while (at < end) {
        size_t n = service_piece(at, end - at);

        put(fd, pattern + at % SERVICE_PERIOD, n);
        at += n;
    }
}

static void put_download(int fd, Mistake m)
{
    const guint64 half = SIZE / 2;
    char other = (char)~pattern[half % SERVICE_PERIOD];

    put_pattern(fd, 0, half);
    switch (m) {
    case FLIP:
        put(fd, &other, 1);
        put_pattern(fd, half + 1, SIZE);
        break;
    case SKIP:
        put_pattern(fd, half + 1448, SIZE + 1448);
        break;
    case AGAIN:
        put_pattern(fd, half - 1448, SIZE - 1448);
        break;
    case CUT:
        _exit(0);
    case SILENT:
        pause();
        break;
    case EXTRA:
        put_pattern(fd, half, SIZE + 1);
        break;
    default:
        put_pattern(fd, half, SIZE);
    }
}

static void answer(int fd, const char *text)
{
    g_autofree char *all = g_strdup_printf(
        "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);

    put(fd, all, strlen(all));
}

static void serve_http(int fd, Mistake m)
{
    guint64 chain = 0, n = 0;
    char in[4096];
    ssize_t len;

    /* The clients wait for each answer: a request comes alone. */
    while ((len = recv(fd, in, sizeof(in) - 1, 0)) > 0) {
        g_autofree char *text = NULL;

        in[len] = '\0';
        n++;
        if (strstr(in, "GET /random")) {
            guint64 id = g_random_int();

            chain = service_chain(m == CHAIN && n == 5 ? 0 : chain, id);
            text = g_strdup_printf("%016" G_GINT64_MODIFIER
                                   "x %016" G_GINT64_MODIFIER "x\n",
                                   id, chain);
            answer(fd, text);
        } else if (strstr(in, "GET /counter")) {
            text = g_strdup_printf("%016" G_GINT64_MODIFIER "x\n",
                                   m == COUNTER && n == 5 ? 4 : n);
            answer(fd, text);
        } else if (strstr(in, "GET /tiny")) {
            answer(fd, SERVICE_TINY);
        } else {
            text = g_strdup_printf(
                "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
            put(fd, text, strlen(text));
            put_download(fd, m);
        }
    }
}

static void serve_echo(int fd, Mistake m)
{
    guint64 h = SERVICE_HASH_START, n = 0, lines = 0;
    FILE *f = fdopen(fd, "r");
    char line[SERVICE_LINE_MAX + 1];

    while (f && fgets(line, sizeof(line), f)) {
        char text[64];

        /* As if the acknowledged line had died with the other guest */
        if (m != LINE || ++n != 5) {
            h = service_hash(h, line, strlen(line));
            lines++;
        }
        snprintf(text, sizeof(text),
                 "%" G_GUINT64_FORMAT " %016" G_GINT64_MODIFIER "x\n", lines,
                 h);
        put(fd, text, strlen(text));
    }
}

static void serve_disk(int fd, Mistake m)
{
    guint64 h = SERVICE_HASH_START, n = 0, h_before = h;
    FILE *f = fdopen(fd, "r");
    char line[SERVICE_LINE_MAX + 1];

    while (f && fgets(line, sizeof(line), f)) {
        gboolean gone = m == RECORD && n > 2 && !strncmp(line, "check", 5);
        char text[64];

        if (*line == '+') {
            h_before = h;
            h = service_hash(h, line, strlen(line));
            n++;
        }
        snprintf(text, sizeof(text),
                 "%" G_GUINT64_FORMAT " %016" G_GINT64_MODIFIER "x\n",
                 n - gone, gone ? h_before : h);
        put(fd, text, strlen(text));
    }
}

/* A process for each connection; they end with their parent. */
static void listen_on(guint16 port, void (*serve)(int, Mistake), Mistake m)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(fd, 64) < 0) {
        rig_die("cannot listen on port %u", port);
    }
    if (fork() != 0) {
        close(fd);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int c = accept(fd, NULL, NULL);

        if (c >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve(c, m);
            _exit(0);
        }
        close(c);
    }
}

static void clients_see(gconstpointer data)
{
    const Case *c = data;
    int ns = rig_new_ns(), ready[2];
    Rig r = {.cli = ns};
    RigClient *client;
    pid_t server;
    char byte;

    rig_ip(ns, "link set lo up\n");
    r.dir = g_dir_make_tmp("colo-client-XXXXXX", NULL);
    g_assert_cmpint(pipe(ready), ==, 0);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setns(ns, CLONE_NEWNET) < 0) {
            _exit(1);
        }
        listen_on(SERVICE_HTTP_PORT, serve_http, c->mistake);
        listen_on(SERVICE_ECHO_PORT, serve_echo, c->mistake);
        listen_on(SERVICE_DISK_PORT, serve_disk, c->mistake);
        if (write(ready[1], "", 1) == 1) {
            pause();
        }
        _exit(0);
    }
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    client = rig_client_spawn(&r, c->sessions);
    {
        g_autoptr(JsonObject) o = rig_client_wait(client, RIG_PATIENCE_S);
        gint64 wrong = json_object_get_int_member(o, "wrong_bytes");
        gint64 lost = json_object_get_int_member(o, "connections_lost");

        g_assert_cmpint(wrong > 0, ==, c->wrong);
        g_assert_cmpint(lost > 0, ==, c->lost);
        g_assert_cmpint(json_object_get_int_member(o, "exchanges"), >, 0);
    }
    rig_client_free(client);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    close(ns);
    scratch_remove(r.dir);
    g_free(r.dir);
}

#define RUN " --target 127.0.0.1 --family 4 --count 10 --limit 20"
/* Never ends by itself, and the tiny ones give it its exchanges. */
#define FAILING " --tiny 1 --target 127.0.0.1 --family 4 --seconds 1"

int main(int argc, char **argv)
{
    static const Case cases[] = {
        {"none",
         "--download 2 --tiny 2 --random 2 --echo 2 --counter 2 --record 2 "
         "--size 3000000 --target 127.0.0.1 --family 4 --count 20 --limit 20",
         NONE, FALSE, FALSE},
        {"flip", "--download 1 --size 3000000" RUN, FLIP, TRUE, FALSE},
        {"skip", "--download 1 --size 3000000" RUN, SKIP, TRUE, FALSE},
        {"again", "--download 1 --size 3000000" RUN, AGAIN, TRUE, FALSE},
        {"cut", "--download 1 --size 3000000" FAILING, CUT, FALSE, TRUE},
        {"extra", "--download 1 --size 3000000" RUN, EXTRA, TRUE, FALSE},
        {"line", "--echo 1" RUN, LINE, TRUE, TRUE},
        {"chain", "--random 1" RUN, CHAIN, TRUE, FALSE},
        {"counter", "--counter 1" RUN, COUNTER, TRUE, FALSE},
        {"record", "--record 1" FAILING, RECORD, TRUE, TRUE},
        {"silent",
         "--download 1 --size 3000000 --stall 1 --tiny 1 --target "
         "127.0.0.1 --family 4 --seconds 2",
         SILENT, FALSE, TRUE},
    };

    rig_test_init(&argc, &argv);
    service_pattern(pattern);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/client/", cases[i].name, NULL);

        g_test_add_data_func(path, &cases[i], clients_see);
    }
    return g_test_run();
}
