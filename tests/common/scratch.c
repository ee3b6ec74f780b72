/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports and folders for a while.  See scratch.h. */
#include "tests/common/scratch.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below those that the kernel gives away, or it could be gone when used. */
enum { FIRST_PORT = 20000, PORTS = 12000 };

static gboolean is_free(int type, guint16 port)
{
    const struct sockaddr_in a = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    gboolean ok;

    g_assert_cmpint(fd, >=, 0);
    ok = bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
    close(fd);
    return ok;
}

guint16 scratch_port(int type)
{
    static guint32 next, tried;
    guint16 port;

    /* Tests that run at once begin far from one another. */
    if (!tried) {
        next = (guint32)getpid() * 2654435761u;
    }
    do {
        g_assert_cmpuint(tried++, <, PORTS);
        port = (guint16)(FIRST_PORT + next++ % PORTS);
    } while (!is_free(type, port));
    return port;
}

void scratch_remove(const char *path)
{
    g_autoptr(GDir) dir = NULL;
    const char *name;

    if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
        dir = g_dir_open(path, 0, NULL);
    }
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        scratch_remove(child);
    }
    g_remove(path);
}
