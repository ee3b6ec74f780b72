/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traffic that costs as little as possible, so that the path is measured and
 * not its ends.  Two servers that get the same packets send the same.
 *
 *   net-traffic serve [CONGESTION]  TCP: pages of a file without end, with
 *                                   that congestion control; UDP: as many
 *                                   packets as asked for
 *   net-traffic stream ADDRESS SECONDS FLOWS    prints bytes per second
 *   net-traffic packets ADDRESS SECONDS FLOWS   prints packets per second
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT      5201
#define FILE_SIZE (1 << 20)
#define PACKET    32 /* bytes of a datagram */
#define BATCH     64 /* asked for at once */
#define WINDOW    8  /* batches on their way, of each flow */
#define LOST_MS   300 /* longer than a busy machine takes to answer */
#define WARM_US   300000
#define FLOWS_MAX 64

static void fail(const char *what)
{
    fprintf(stderr, "net-traffic: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

static int new_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1, size = 8 << 20;

    if (fd < 0) {
        fail("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (type == SOCK_DGRAM) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    }
    return fd;
}

static void watch(int poller, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0) {
        fail("epoll");
    }
}

/* --- Servers -------------------------------------------------------------- */

static int new_file(void)
{
    int fd = memfd_create("traffic", MFD_CLOEXEC);
    unsigned char block[4096];

    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (unsigned char)(i * 7);
    }
    for (int i = 0; fd >= 0 && i < FILE_SIZE / (int)sizeof(block); i++) {
        if (write(fd, block, sizeof(block)) != sizeof(block)) {
            fail("memfd");
        }
    }
    return fd;
}

/* The pages themselves go into the stream: nothing is copied here. */
static void send_pages(int fd, int file)
{
    static off_t offsets[1024];

    for (int i = 0; i < 8; i++) {
        off_t *at = &offsets[fd % 1024];
        ssize_t n = sendfile(fd, file, at, (size_t)(FILE_SIZE - *at));

        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n < 0) {
            *at = 0;
            close(fd);
            return;
        }
        if (*at >= FILE_SIZE) {
            *at = 0;
        }
    }
}

/* A request is the number of the first packet of a batch. */
static void send_batches(int fd)
{
    static struct mmsghdr messages[BATCH];
    static struct iovec iov[BATCH];
    static char data[BATCH][PACKET];
    struct sockaddr_in from;

    for (int k = 0; k < 16; k++) {
        socklen_t len = sizeof(from);
        uint64_t first;
        int sent = 0;

        if (recvfrom(fd, &first, sizeof(first), MSG_DONTWAIT,
                     (struct sockaddr *)&from, &len) != sizeof(first)) {
            return;
        }
        for (int i = 0; i < BATCH; i++) {
            uint64_t number = first + (uint64_t)i;

            memcpy(data[i], &number, sizeof(number));
            iov[i] = (struct iovec){data[i], PACKET};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &from,
                                                  .msg_namelen = len,
                                                  .msg_iov = &iov[i],
                                                  .msg_iovlen = 1};
        }
        while (sent < BATCH) {
            int n = sendmmsg(fd, messages + sent, (unsigned)(BATCH - sent), 0);

            if (n <= 0) {
                return;
            }
            sent += n;
        }
    }
}

static void serve(const char *congestion)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int tcp = new_socket(SOCK_STREAM), udp = new_socket(SOCK_DGRAM);
    int poller = epoll_create1(EPOLL_CLOEXEC), file = new_file();
    struct epoll_event events[FLOWS_MAX];

    if (congestion &&
        setsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, congestion,
                   (socklen_t)strlen(congestion)) < 0) {
        fail(congestion);
    }
    if (file < 0 || poller < 0 ||
        bind(tcp, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        bind(udp, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(tcp, FLOWS_MAX) < 0) {
        fail("serve");
    }
    signal(SIGPIPE, SIG_IGN); /* of sendfile */
    watch(poller, tcp, EPOLLIN);
    watch(poller, udp, EPOLLIN);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poller, events, FLOWS_MAX, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (fd == tcp) {
                fd = accept4(tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0) {
                    watch(poller, fd, EPOLLOUT);
                }
            } else if (fd == udp) {
                send_batches(udp);
            } else {
                send_pages(fd, file);
            }
        }
    }
}

/* --- Clients -------------------------------------------------------------- */

typedef struct Flow {
    int fd;
    uint64_t asked, came; /* packets */
    int64_t last_us;
} Flow;

static Flow flows[FLOWS_MAX];

static void connect_flows(int poller, const char *address, int n, int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};

    if (inet_pton(AF_INET, address, &a.sin_addr) != 1) {
        errno = EINVAL;
        fail(address);
    }
    for (int i = 0; i < n; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &flows[i]};

        flows[i].fd = new_socket(type);
        if (connect(flows[i].fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
            epoll_ctl(poller, EPOLL_CTL_ADD, flows[i].fd, &ev) < 0) {
            fail("connect");
        }
    }
}

static uint64_t take_stream(Flow *f)
{
    /* Discarded in the kernel */
    ssize_t n = recv(f->fd, NULL, 8 << 20, MSG_TRUNC | MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        fail("the connection was lost");
    }
    return n > 0 ? (uint64_t)n : 0;
}

static void ask(Flow *f)
{
    while (f->asked - f->came <= (WINDOW - 1) * BATCH) {
        if (send(f->fd, &f->asked, sizeof(f->asked), 0) < 0) {
            return;
        }
        f->asked += BATCH;
    }
}

static uint64_t take_packets(Flow *f)
{
    static struct mmsghdr messages[4 * BATCH];
    int n =
        recvmmsg(f->fd, messages, 4 * BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);

    if (n <= 0) {
        return 0;
    }
    f->came += (uint64_t)n;
    f->last_us = now_us();
    ask(f);
    return (uint64_t)n;
}

/* What was lost does not come any more. */
static uint64_t forget_lost(int n, int64_t now)
{
    uint64_t lost = 0;

    for (int i = 0; i < n; i++) {
        if (now - flows[i].last_us > LOST_MS * 1000) {
            lost += flows[i].asked - flows[i].came;
            flows[i].came = flows[i].asked;
            flows[i].last_us = now;
            ask(&flows[i]);
        }
    }
    return lost;
}

static void measure(const char *address, double seconds, int n, int packets)
{
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[FLOWS_MAX];
    int64_t begin, end, from = 0, now;
    uint64_t count = 0, lost = 0;

    connect_flows(poller, address, n, packets ? SOCK_DGRAM : SOCK_STREAM);
    begin = now = now_us();
    end = begin + WARM_US + (int64_t)(seconds * 1e6);
    while (now < end) {
        int ready = epoll_wait(poller, events, FLOWS_MAX, 10);
        uint64_t got = 0;

        for (int i = 0; i < ready; i++) {
            Flow *f = events[i].data.ptr;

            got += packets ? take_packets(f) : take_stream(f);
        }
        now = now_us();
        if (packets) {
            lost += forget_lost(n, now);
        }
        if (from) {
            count += got;
        } else if (now - begin > WARM_US) {
            from = now;
            lost = 0;
        }
    }
    printf("{\"rate\": %.0f, \"lost\": %llu}\n",
           (double)count * 1e6 / (double)(now - from),
           (unsigned long long)lost);
}

int main(int argc, char **argv)
{
    int packets = argc > 1 && !strcmp(argv[1], "packets");
    double seconds = argc > 3 ? atof(argv[3]) : 0;
    int n = argc > 4 ? atoi(argv[4]) : 0;

    if (argc > 1 && argc < 4 && !strcmp(argv[1], "serve")) {
        serve(argv[2]);
    }
    if (argc != 5 || (!packets && strcmp(argv[1], "stream")) || seconds <= 0 ||
        n < 1 || n > FLOWS_MAX) {
        fprintf(stderr, "usage: net-traffic serve [CONGESTION] | "
                        "stream|packets ADDRESS SECONDS FLOWS\n");
        return 2;
    }
    measure(argv[2], seconds, n, packets);
    return 0;
}
