/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes lines to a unix socket, for the guests' serial lines:
 *   unix-send SOCKET LINE...
 * Waits until the other side has read them all, since QEMU forgets what it
 * has not read when a client hangs up.
 */
#include "config.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS     5
#define DEADLINE_MS 10000

static int fail(const char *what, const char *path)
{
    fprintf(stderr, "unix-send: cannot %s %s: %s\n", what, path,
            strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (argc < 3 || strlen(argv[1]) >= sizeof(addr.sun_path)) {
        fprintf(stderr, "Usage: unix-send SOCKET LINE...\n");
        return 2;
    }
    strcpy(addr.sun_path, argv[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
        return fail("connect to", argv[1]);
    for (int i = 2; i < argc; i++) {
        if (dprintf(fd, "%s\n", argv[i]) < 0)
            return fail("write to", argv[1]);
    }
    int unread = 1;
    for (int ms = 0; ms < DEADLINE_MS; ms += POLL_MS) {
        struct timespec t = {.tv_nsec = POLL_MS * 1000000};
        if (ioctl(fd, SIOCOUTQ, &unread) != 0)
            return fail("look at the queue of", argv[1]);
        if (unread == 0)
            return 0;
        nanosleep(&t, NULL);
    }
    fprintf(stderr, "unix-send: %s does not read (is the guest stopped?)\n",
            argv[1]);
    close(fd);
    return 1;
}
