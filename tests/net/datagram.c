/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP and ping: what is not answered is asked again. */
#include "tests/net/session.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <unistd.h>

#define ID_BASE 0x7700

/* Echo request and reply of both families begin alike. */
typedef struct PingHead {
    guint8 type, code;
    guint16 checksum, id, number;
} PingHead;

#define BODY 56 /* as ping's */

int datagram_open(Session *s)
{
    struct sockaddr_storage a;
    gsize len = session_address(
        s, FALSE, s->kind == KIND_UDP ? SERVICE_ECHO_PORT : 0, &a);
    int type = s->kind == KIND_UDP ? SOCK_DGRAM : SOCK_RAW;
    int protocol = s->kind == KIND_UDP ? 0
                   : s->v6             ? IPPROTO_ICMPV6
                                       : IPPROTO_ICMP;
    int fd = socket(a.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, (socklen_t)len) < 0) {
        g_error("cannot open a socket for %s: %s", kind_names[s->kind],
                g_strerror(errno));
    }
    return fd;
}

static guint16 ones_complement(const guint8 *data, gsize len)
{
    guint32 sum = 0;

    for (gsize i = 0; i + 1 < len; i += 2) {
        sum += (guint32)(data[i] << 8 | data[i + 1]);
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return g_htons((guint16)~sum);
}

/* The body that belongs to the present number. */
static gsize fill(const Session *s, guint8 *body)
{
    gsize len = s->kind == KIND_UDP ? 16 + s->number * 97 % 1200 : BODY;
    guint64 x = (guint64)s->index << 48 | s->number;

    memcpy(body, &x, sizeof(x));
    for (gsize i = sizeof(x); i < len; i++) {
        body[i] = (guint8)(s->number + i);
    }
    return len;
}

static PingHead head(const Session *s, gboolean reply)
{
    return (PingHead){
        .type = s->v6   ? reply ? ICMP6_ECHO_REPLY : ICMP6_ECHO_REQUEST
                : reply ? ICMP_ECHOREPLY
                        : ICMP_ECHO,
        .id = g_htons((guint16)(ID_BASE + s->index)),
        .number = g_htons((guint16)s->number),
    };
}

void datagram_send(Session *s, gboolean again)
{
    guint8 data[2048];
    gsize at = s->kind == KIND_PING ? sizeof(PingHead) : 0, len;

    if (again) {
        s->load->total[s->kind].retries++;
        s->load->mark[s->kind].retries++;
    } else {
        s->number++;
    }
    len = at + fill(s, data + at);
    if (at) {
        PingHead h = head(s, FALSE);

        memcpy(data, &h, sizeof(h));
        if (!s->v6) { /* the kernel fills in ICMPv6's */
            h.checksum = ones_complement(data, len);
            memcpy(data, &h, sizeof(h));
        }
    }
    /* Not sent is lost: it is sent again. */
    if (send(s->fd, data, len, MSG_NOSIGNAL) < 0 && errno == EBADF) {
        g_error("send: %s", g_strerror(errno));
    }
}

/* FALSE: another one's, or an old one. */
static gboolean ours(const Session *s, const guint8 **data, gsize *len)
{
    PingHead h, want = head(s, TRUE);
    gsize skip = 0;
    guint64 x;

    if (s->kind == KIND_PING) {
        if (!s->v6) {
            skip = *len ? (gsize)(**data & 15) * 4 : 0;
        }
        if (*len < skip + sizeof(h)) {
            return FALSE;
        }
        memcpy(&h, *data + skip, sizeof(h));
        if (h.type != want.type || h.id != want.id || h.number != want.number) {
            return FALSE;
        }
        skip += sizeof(h);
        *data += skip;
        *len -= skip;
        return TRUE;
    }
    if (*len < sizeof(x)) {
        return FALSE;
    }
    memcpy(&x, *data, sizeof(x));
    return (x & 0xffffffffffff) == s->number;
}

void datagram_receive(Session *s)
{
    guint8 data[2048], right[2048];

    for (int i = 0; i < 64; i++) {
        gssize n = recv(s->fd, data, sizeof(data), 0);
        const guint8 *body = data;
        gsize len = (gsize)n;

        if (n < 0) {
            return;
        }
        if (s->state != STATE_WAITING || !ours(s, &body, &len)) {
            continue;
        }
        if (len != fill(s, right) || memcmp(body, right, len) != 0) {
            session_wrong(s, len, "the answer to %" G_GUINT64_FORMAT " differs",
                          s->number);
        }
        session_done(s);
        return;
    }
}
