/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breaking another process's connections.
 *
 * pidfd_getfd(2) gives us a descriptor for the same socket.  shutdown(2) on
 * it is the process's end of file, and it has to see to the rest, as if the
 * peer had gone away.  But the kernel would go on sending what the process
 * had written, which may arrive after a link's outage, behind what the
 * process wrote meanwhile on a new connection: old data over new.  So TCP is
 * disconnected, which throws that away and sends a reset.
 */
#include "blockrep/attach/break-sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_FDS 100000

/* IPv4 may be mapped into IPv6 on one side and not on the other. */
static gboolean inet_of(const struct sockaddr *a, struct in6_addr *addr,
                        in_port_t *port)
{
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, a, sizeof(in6));
        *addr = in6.sin6_addr;
        *port = in6.sin6_port;
        return TRUE;
    }
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, a, sizeof(in));
        memset(addr, 0, sizeof(*addr));
        addr->s6_addr[10] = addr->s6_addr[11] = 0xff;
        memcpy(addr->s6_addr + 12, &in.sin_addr, 4);
        *port = in.sin_port;
        return TRUE;
    }
    return FALSE;
}

static gboolean same(const struct sockaddr_storage *a, socklen_t a_len,
                     const struct sockaddr *b, socklen_t b_len)
{
    struct in6_addr a_addr, b_addr;
    in_port_t a_port, b_port;

    if (a_len < sizeof(a->ss_family)) {
        return FALSE;
    }
    if (inet_of((const struct sockaddr *)a, &a_addr, &a_port) &&
        inet_of(b, &b_addr, &b_port)) {
        return a_port == b_port && !memcmp(&a_addr, &b_addr, sizeof(a_addr));
    }
    /* A client of a nameless unix socket is not told from another. */
    return a->ss_family == AF_UNIX && b->sa_family == AF_UNIX &&
           a_len > sizeof(sa_family_t) && a_len == b_len &&
           !memcmp(a, b, a_len);
}

static gboolean break_one(int fd, int family)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};

    /* Denied while a thread sits in recv(2): it has nothing to be sent. */
    return (family != AF_UNIX && !connect(fd, &none, sizeof(none))) ||
           !shutdown(fd, SHUT_RDWR);
}

int colo_break_sockets(pid_t pid, int pidfd, const struct sockaddr *peer,
                       socklen_t len)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    int broken = 0, seen = 0;

    if (!dir) {
        return -EACCES;
    }
    while ((name = g_dir_read_name(dir)) && seen++ < MAX_FDS) {
        g_autofree char *link = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(link, NULL);
        struct sockaddr_storage theirs = {0};
        socklen_t n = sizeof(theirs);
        int fd;

        if (!target || !g_str_has_prefix(target, "socket:")) {
            continue;
        }
        fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(name), 0);
        if (fd < 0) {
            if (errno == EBADF) {
                continue; /* closed meanwhile */
            }
            return broken ? broken : -errno;
        }
        if (!getpeername(fd, (struct sockaddr *)&theirs, &n) &&
            same(&theirs, MIN(n, sizeof(theirs)), peer, len) &&
            break_one(fd, theirs.ss_family)) {
            broken++;
        }
        close(fd);
    }
    return broken;
}
