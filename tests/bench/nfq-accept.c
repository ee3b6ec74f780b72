/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accepts every packet of a netfilter queue: the reference that colo-proxy's
 * throughput is measured against.  Prints counters when it is terminated.
 *
 *   nfq-accept QUEUE [nogso]
 */
#include "config.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "netcompare/capture/nfqueue.h"

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
    ended = 1;
}

static void accept_it(const NetQueued *p, gpointer user)
{
    net_nfqueue_accept(user, p->id, NULL, 0);
}

static void print_stats(const NetNfqueue *q)
{
    NetNfqueueStats s;
    struct rusage use;

    net_nfqueue_stats(q, &s);
    getrusage(RUSAGE_SELF, &use);
    g_print("packets %" G_GUINT64_FORMAT " bytes %" G_GUINT64_FORMAT
            " batches %" G_GUINT64_FORMAT " kernel-dropped %" G_GUINT64_FORMAT
            " lost-messages %" G_GUINT64_FORMAT " user-ms %ld system-ms %ld\n",
            s.packets, s.bytes, s.batches, s.kernel_dropped, s.lost_messages,
            use.ru_utime.tv_sec * 1000 + use.ru_utime.tv_usec / 1000,
            use.ru_stime.tv_sec * 1000 + use.ru_stime.tv_usec / 1000);
}

int main(int argc, char **argv)
{
    NetNfqueueConfig config = {
        .max_packets = 65536, .rcvbuf = 64 << 20, .gso = TRUE};
    const struct sigaction sa = {.sa_handler = on_signal};
    g_autoptr(GError) error = NULL;
    NetNfqueue *q;
    sigset_t block, unblocked;

    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "nogso") != 0)) {
        g_printerr("usage: nfq-accept QUEUE [nogso]\n");
        return EXIT_FAILURE;
    }
    config.queue_num = (guint16)atoi(argv[1]);
    config.gso = argc == 2;
    q = net_nfqueue_new(&config, &error);
    if (!q) {
        g_printerr("nfq-accept: %s\n", error->message);
        return EXIT_FAILURE;
    }
    /* Signals arrive while waiting only */
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &unblocked);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    g_print("ready\n");
    while (!ended) {
        struct pollfd fd = {.fd = net_nfqueue_fd(q), .events = POLLIN};

        ppoll(&fd, 1, NULL, &unblocked);
        if (net_nfqueue_read(q, 256, accept_it, q, &error) < 0 ||
            !net_nfqueue_flush(q, &error)) {
            g_printerr("nfq-accept: %s\n", error->message);
            return EXIT_FAILURE;
        }
    }
    print_stats(q);
    net_nfqueue_free(q);
    return EXIT_SUCCESS;
}
