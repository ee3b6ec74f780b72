/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds a TCP connection and says how it ends:
 *   tcp-hold listen|connect ADDRESS PORT SECONDS
 * Prints "connected", then, when the connection ends, "fin" or "reset", or
 * "silent" when nothing came for SECONDS.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "tcp-hold: cannot %s: %s\n", what, strerror(errno));
    return 1;
}

static int wait_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms);
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int one = 1;

    if (argc != 5 || inet_pton(AF_INET, argv[2], &addr.sin_addr) != 1) {
        fprintf(stderr,
                "Usage: tcp-hold listen|connect ADDRESS PORT SECONDS\n");
        return 2;
    }
    addr.sin_port = htons((unsigned short)atoi(argv[3]));
    int ms = atoi(argv[4]) * 1000;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail("make a socket");
    if (strcmp(argv[1], "listen") == 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
            listen(fd, 1) != 0)
            return fail("listen");
        puts("listening");
        fflush(stdout);
        if (wait_readable(fd, ms) != 1)
            return fail("wait for a connection");
        fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return fail("accept");
    } else if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return fail("connect");
    }
    puts("connected");
    fflush(stdout);

    int got = wait_readable(fd, ms);
    char byte;
    if (got < 0)
        return fail("wait");
    if (got == 0)
        puts("silent");
    else if (recv(fd, &byte, 1, 0) == 0)
        puts("fin");
    else
        puts(errno == ECONNRESET ? "reset" : "data");
    return 0;
}
