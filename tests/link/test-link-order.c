/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many messages both ways through a relay that passes them on in random
 * pieces, between sockets with random buffers: all arrive, whole and in order.
 */
#include "link-fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 10, MESSAGES = 5000, MAX_FRAME = 20000 }; /* each way */

typedef struct Relay {
    int listen_fd;
    guint16 to; /* port */
    guint32 seed;
    GThread *thread;
    gint ended; /* by the test */
} Relay;

static void set(int fd, int level, int name, int value)
{
    g_assert_cmpint(setsockopt(fd, level, name, &value, sizeof(value)), ==, 0);
}

/* Small segments, so that a small window still moves at once. */
static void set_sizes(GRand *rand, int fd)
{
    static const int sizes[] = {10000, 30000, 200000, 1000000};

    set(fd, IPPROTO_TCP, TCP_MAXSEG, 1400);
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_RCVBUF,
        sizes[g_rand_int_range(rand, 0, G_N_ELEMENTS(sizes))]);
    set(fd, SOL_SOCKET, SO_SNDBUF,
        sizes[g_rand_int_range(rand, 0, G_N_ELEMENTS(sizes))]);
}

/* Pass on what there is, in pieces; FALSE at the end. */
static gboolean pass(GRand *r, int from, int to, gsize most)
{
    guint8 buf[65536];
    gsize at = 0;
    ssize_t n = recv(from, buf, g_rand_int_range(r, 1, (gint32)most + 1), 0);

    while (n > 0 && at < (gsize)n) {
        gsize piece = g_rand_int_range(r, 1, (gint32)n + 1);
        ssize_t done =
            send(to, buf + at, MIN(piece, (gsize)n - at), MSG_NOSIGNAL);

        if (done < 0) {
            return FALSE;
        }
        at += done;
    }
    return n > 0;
}

/* One thread for each direction, so that neither waits for the other. */
typedef struct Pump {
    GRand *rand;
    int from, to;
    gsize most;
} Pump;

static gpointer pump(gpointer data)
{
    Pump *p = data;

    while (pass(p->rand, p->from, p->to, p->most)) {
    }
    shutdown(p->to, SHUT_WR);
    return NULL;
}

/* One connection, until it ends. */
static void serve(Relay *relay, GRand *rand)
{
    static const guint pieces[] = {2000, 20000, 65536};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(relay->to),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    Pump there, back;
    GThread *thread;

    there.from = accept4(relay->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    there.to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_sizes(rand, there.to);
    g_assert_cmpint(connect(there.to, (struct sockaddr *)&to, sizeof(to)), ==,
                    0);
    there.most = pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))];
    there.rand = g_rand_new_with_seed(g_rand_int(rand));
    back = (Pump){g_rand_new_with_seed(g_rand_int(rand)), there.to, there.from,
                  pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]};
    thread = g_thread_new("back", pump, &back);
    pump(&there);
    g_thread_join(thread);
    close(there.from);
    close(there.to);
    g_rand_free(there.rand);
    g_rand_free(back.rand);
}

/* Where all is slow, the first connection may be given up for another. */
static gpointer relay(gpointer data)
{
    Relay *relay = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(relay->seed);
    struct pollfd wait = {.fd = relay->listen_fd, .events = POLLIN};

    set_sizes(rand, relay->listen_fd); /* inherited */
    while (!g_atomic_int_get(&relay->ended)) {
        if (poll(&wait, 1, 10) == 1) {
            serve(relay, rand);
        }
    }
    return NULL;
}

/* Send some more; FALSE when there is no room. */
static gboolean send_some(End *e, guint64 *sent)
{
    guint64 last = *sent + g_test_rand_int_range(1, 1500);

    last = MIN(last, MESSAGES);
    while (*sent < last && frame_send(e, *sent + 1, MAX_FRAME)) {
        (*sent)++;
    }
    if (g_test_rand_bit()) {
        net_link_flush(e->link);
    }
    return *sent == last;
}

static void test_order(void)
{
    guint64 refused = 0;

    for (int round = 0; round < ROUNDS; round++) {
        g_autofree char *front = NULL;
        guint64 p_sent = 0, s_sent = 0;
        Relay r = {.listen_fd = raw_listen(&front), .seed = g_test_rand_int()};
        NetLinkStats stats;
        End p, s;

        /* Queues that are full now and then. */
        end_start(&s, FALSE, "127.0.0.1:0", NULL, 400000);
        r.to = net_link_port(s.link);
        r.thread = g_thread_new("relay", relay, &r);
        end_start(&p, TRUE, front, NULL, 200000);
        p.check = s.check = TRUE;
        p.hold = round;
        s.hold = ROUNDS - round;
        WAIT(p.ups && s.ups);
        while (p_sent < MESSAGES || s_sent < MESSAGES) {
            guint p_rooms = p.rooms, s_rooms = s.rooms;
            gboolean p_room = send_some(&p, &p_sent);
            gboolean s_room = send_some(&s, &s_sent);

            turn();
            if (!p_room && !s_room) {
                WAIT(p.rooms != p_rooms || s.rooms != s_rooms);
            }
        }
        WAIT(p.expect == MESSAGES + 1 && s.expect == MESSAGES + 1);
        g_assert_cmpuint(p.downs + s.downs, ==, 0);
        net_link_stats(p.link, &stats);
        refused += stats.refused;
        net_link_stats(s.link, &stats);
        refused += stats.refused;
        g_atomic_int_set(&r.ended, TRUE);
        end_stop(&p);
        end_stop(&s);
        g_thread_join(r.thread);
        close(r.listen_fd);
    }
    g_test_message("%d messages, %" G_GUINT64_FORMAT " times no room",
                   2 * ROUNDS * MESSAGES, refused);
    g_assert_cmpuint(refused, >, 0);
}

int main(int argc, char **argv)
{
    link_test_init(&argc, &argv);
    g_test_add_func("/link-order/random", test_order);
    return g_test_run();
}
