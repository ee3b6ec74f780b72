/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where clients connect to.  It is ours and not nbdkit's, for it stays when
 * nbdkit is exchanged: a client that comes meanwhile waits.  And a listening
 * socket that closes may leave a client behind whose handshake ends just
 * then: connected as it sees it, to nobody, and never told (Linux 6.18, seen
 * once in 20,000 closings).  NBD's server speaks first, so that client would
 * wait for ever, and its guest for the disk.
 */
#include "blockrep/server/server-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

gboolean listener_open(Listener *l, GError **error)
{
    int flags;

    if (l->fd >= 0) {
        return TRUE;
    }
    l->fd = colo_addr_listen(l->addr, error);
    if (l->fd < 0) {
        return FALSE;
    }
    /* nbdkit's accept(2) shares this flag, and tries again and again. */
    flags = fcntl(l->fd, F_GETFL);
    fcntl(l->fd, F_SETFL, flags & ~O_NONBLOCK);
    return TRUE;
}

void listener_refuse(Listener *l)
{
    const struct linger reset = {.l_onoff = 1};
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
    }
}

void listener_close(Listener *l)
{
    if (l->fd < 0) {
        return;
    }
    if (l->addr->path) {
        unlink(l->addr->path);
    }
    close(l->fd);
    l->fd = -1;
}
