/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other end of an ft stream, played by the test. */
#include "tests/sim/ft-peer.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(guint16 port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

int ft_peer_connect(guint16 port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int ft_peer_listen(guint16 *port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    g_assert_cmpint(listen(fd, 4), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&a, &len), ==, 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static gboolean readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

int ft_peer_accept(int fd, int ms)
{
    return readable(fd, ms) ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : -1;
}

static gboolean send_all(int fd, const void *data, gsize len)
{
    const char *p = data;

    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return FALSE;
        }
        p += n;
        len -= n;
    }
    return TRUE;
}

gboolean ft_peer_send(int fd, FtCmd cmd, const void *payload, gsize len)
{
    FtHeader h = {.cmd = cmd, .payload_len = (guint32)len};
    guint8 raw[FT_HEADER_LEN];

    ft_header_put(&h, raw);
    return send_all(fd, raw, sizeof(raw)) && send_all(fd, payload, len);
}

gboolean ft_peer_send_hello(int fd, const FtHello *h)
{
    gsize len;
    g_autofree char *text = ft_hello_put(h, &len);

    return ft_peer_send(fd, FT_CMD_INIT, text, len);
}

gboolean ft_peer_send_nack(int fd, guint32 code, const char *text)
{
    FtHeader h = {.cmd = FT_CMD_NACK};
    FtNote note = {.code = code};
    guint8 out[FT_NOTE_LEN + FT_MAX_TEXT];

    g_strlcpy(note.text, text, sizeof(note.text));
    ft_note_put(&h, &note, out);
    return ft_peer_send(fd, FT_CMD_NACK, out, h.payload_len);
}

static gboolean read_all(int fd, int ms, void *data, gsize len)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;
    char *p = data;

    while (len) {
        int left = (int)((end - g_get_monotonic_time()) / 1000);
        ssize_t n;

        if (left < 0 || !readable(fd, left)) {
            return FALSE;
        }
        n = recv(fd, p, len, MSG_DONTWAIT);
        if (n <= 0) {
            return FALSE;
        }
        p += n;
        len -= n;
    }
    return TRUE;
}

gboolean ft_peer_read(int fd, int ms, FtHeader *h, char **payload)
{
    guint8 raw[FT_HEADER_LEN];

    *payload = NULL;
    if (!read_all(fd, ms, raw, sizeof(raw)) || ft_header_get(raw, h)) {
        return FALSE;
    }
    *payload = g_malloc0((gsize)h->payload_len + 1);
    return read_all(fd, ms, *payload, h->payload_len);
}

gboolean ft_peer_is_closed(int fd, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;
    char rest[4096];

    while (g_get_monotonic_time() < end) {
        if (readable(fd, 50) &&
            recv(fd, rest, sizeof(rest), MSG_DONTWAIT) <= 0) {
            return TRUE;
        }
    }
    return FALSE;
}
