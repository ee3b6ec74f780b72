/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NBD clients, from any address of the loopback network. */
#include "tests/nbd/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_from(Server *s, const char *from)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(inet_pton(AF_INET, from ? from : "127.0.0.1", &a.sin_addr),
                    ==, 1);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(s->port);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    return fd;
}

Nbd *client_try(Server *s, const char *from, const char *export_name)
{
    Nbd *h = nbd_create();

    g_assert_nonnull(h);
    nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION);
    g_assert_cmpint(nbd_set_export_name(h, export_name), ==, 0);
    /* What the server says to odd requests is of interest, too. */
    nbd_set_strict_mode(h, 0);
    if (nbd_connect_socket(h, connect_from(s, from)) < 0) {
        nbd_close(h);
        return NULL;
    }
    return h;
}

Nbd *client_new_from(Server *s, const char *from, const char *export_name)
{
    Nbd *h = client_try(s, from, export_name);

    if (!h) {
        g_error("%s: %s", export_name, nbd_get_error());
    }
    return h;
}

Nbd *client_new(Server *s, const char *export_name)
{
    return client_new_from(s, NULL, export_name);
}

void client_free(Nbd *h)
{
    nbd_shutdown(h, 0);
    nbd_close(h);
}

static int fill(Nbd *h, guint64 offset, guint64 len, int value)
{
    g_autofree char *buf = g_malloc(len);

    g_assert_cmpuint(len, <=, MIB);
    memset(buf, value, len);
    return nbd_pwrite(h, buf, len, offset, 0) < 0 ? nbd_get_errno() : 0;
}

void client_fill(Nbd *h, guint64 offset, guint64 len, int value)
{
    g_assert_cmpint(fill(h, offset, len, value), ==, 0);
}

void client_fill_fails(Nbd *h, guint64 offset, guint64 len, int err)
{
    g_assert_cmpint(fill(h, offset, len, 0x5a), ==, err);
}

void client_check(Nbd *h, guint64 offset, guint64 len, int value)
{
    g_autofree guint8 *buf = g_malloc(len);

    if (nbd_pread(h, buf, len, offset, 0) < 0) {
        g_error("%s", nbd_get_error());
    }
    for (guint64 i = 0; i < len; i++) {
        if (buf[i] != (guint8)value) {
            g_error("at %" G_GUINT64_FORMAT " is %d, expected is %d",
                    offset + i, buf[i], value);
        }
    }
}

int client_request_text(Nbd *h, const char *text, gsize len)
{
    char page[8192] = {0};

    g_assert_cmpuint(len, <=, sizeof(page));
    strncpy(page, text, sizeof(page) - 1);
    return nbd_pwrite(h, page, len, 0, 0) < 0 ? nbd_get_errno() : 0;
}

int client_request(Nbd *h, const char *what, guint64 epoch, const char *session)
{
    g_autofree char *text = g_strdup_printf(
        "{\"execute\":\"%s\",\"arguments\":{\"epoch\":%" G_GUINT64_FORMAT
        ",\"session\":\"%s\"}}",
        what, epoch, session);

    return client_request_text(h, text, 512);
}

int client_cut(Nbd *h, guint64 epoch, const char *session, int cut)
{
    g_autofree char *text = g_strdup_printf(
        "{\"execute\":\"seal\",\"arguments\":{\"epoch\":%" G_GUINT64_FORMAT
        ",\"session\":\"%s\",\"cut\":%d}}",
        epoch, session, cut);

    return client_request_text(h, text, 512);
}

void client_seal(Nbd *h, guint64 epoch)
{
    g_assert_cmpint(client_request(h, "seal", epoch, SESSION), ==, 0);
}
