/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A wire that breaks at a place told beforehand. */
#include "relay.h"
#include "colo/ft/ft-proto.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct Relay {
    int a, b, stop;
    RelayPlan plan;
    GThread *thread;

    /* Where the forward stream is */
    guint32 frame, at, len;
    guint8 head[FT_HEADER_LEN + FT_CHUNK_LEN]; /* the frame's first bytes */
    guint32 flip_at;   /* in this frame, or RELAY_NEVER */
    gboolean flipped;  /* atomic */
    guint32 back;
};

static gboolean pass(int fd, const guint8 *data, gsize len)
{
    while (len) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            if (poll(&p, 1, 20000) <= 0) {
                return FALSE;
            }
        } else if (n < 0) {
            return FALSE;
        } else {
            data += n;
            len -= (gsize)n;
        }
    }
    return TRUE;
}

/*
 * The frame's last byte of data, or of a COMMIT, or RELAY_NEVER: wrong there,
 * it spoils the transaction but not the place of the next frame.
 */
static guint32 payload_place(const Relay *r, const FtHeader *h)
{
    FtChunk c;

    switch (h->cmd) {
    case FT_CMD_CONTINUE:
        g_assert_null(ft_chunk_get(h, r->head + FT_HEADER_LEN, &c));
        return c.data_len ? r->len - 1 : RELAY_NEVER;
    case FT_CMD_ATOMIC: /* its last chunk is device state */
        return r->len - FT_COMMIT_LEN - 1;
    case FT_CMD_COMMIT:
        return r->len - 1;
    default:
        return RELAY_NEVER;
    }
}

/* The frame's first r->at bytes, at least its header, are in head. */
static void look_at_head(Relay *r)
{
    FtHeader h;

    g_assert_null(ft_header_get(r->head, &h));
    r->len = FT_HEADER_LEN + h.payload_len;
    if (r->plan.flip_payload && r->frame >= r->plan.flip_frame &&
        !r->flipped && r->at == MIN(r->len, sizeof(r->head))) {
        r->flip_at = payload_place(r, &h);
    }
}

/* Pass bytes from a to b, up to the cut; FALSE: cut. */
static gboolean forward(Relay *r, guint8 *data, gsize len)
{
    while (len) {
        guint32 end = r->at < FT_HEADER_LEN ? FT_HEADER_LEN
                      : r->at < sizeof(r->head)
                          ? MIN(r->len, (guint32)sizeof(r->head))
                          : r->len;
        gsize n;

        if (r->frame > r->plan.cut_frame) {
            return FALSE; /* that frame was shorter */
        }
        if (r->frame == r->plan.cut_frame) {
            if (r->at >= r->plan.cut_at) {
                return FALSE;
            }
            end = MIN(end, r->plan.cut_at);
        }
        n = MIN(len, end - r->at);
        for (gsize i = 0; i < n && r->at + i < sizeof(r->head); i++) {
            r->head[r->at + i] = data[i];
        }
        if (r->at == 0) {
            r->flip_at = !r->plan.flip_payload && r->frame == r->plan.flip_frame
                             ? r->plan.flip_at
                             : RELAY_NEVER;
        }
        if (r->flip_at >= r->at && r->flip_at - r->at < n) {
            data[r->flip_at - r->at] ^= (guint8)(1 << r->plan.flip_bit);
            g_atomic_int_set(&r->flipped, TRUE);
        }
        if (!pass(r->b, data, n)) {
            return FALSE;
        }
        data += n;
        len -= n;
        r->at += (guint32)n;
        if (r->at >= FT_HEADER_LEN && r->at <= sizeof(r->head)) {
            look_at_head(r);
        }
        if (r->at >= FT_HEADER_LEN && r->at == r->len) {
            r->frame++;
            r->at = 0;
        }
    }
    /* After a frame is before the next one, also if that never comes. */
    return r->frame != r->plan.cut_frame || r->at < r->plan.cut_at;
}

static gboolean backward(Relay *r, const guint8 *data, gsize len)
{
    gsize n = MIN(len, r->plan.back_cut - r->back);

    r->back += (guint32)n;
    return pass(r->a, data, n) && r->back < r->plan.back_cut;
}

static gpointer run(gpointer user_data)
{
    Relay *r = user_data;
    guint8 buf[64 * 1024];
    gboolean up = r->plan.cut_frame || r->plan.cut_at;

    while (up) {
        struct pollfd p[3] = {
            {.fd = r->a, .events = POLLIN},
            {.fd = r->b, .events = POLLIN},
            {.fd = r->stop, .events = POLLIN},
        };
        ssize_t n;

        if (poll(p, 3, -1) < 0) {
            continue;
        }
        up = !p[2].revents;
        if (up && p[1].revents) {
            n = recv(r->b, buf, sizeof(buf), MSG_DONTWAIT);
            up = n > 0 && backward(r, buf, (gsize)n);
        }
        if (up && p[0].revents) {
            n = recv(r->a, buf, sizeof(buf), MSG_DONTWAIT);
            up = n > 0 && forward(r, buf, (gsize)n);
        }
    }
    shutdown(r->a, SHUT_RDWR);
    shutdown(r->b, SHUT_RDWR);
    return NULL;
}

Relay *relay_new(int a, int b, const RelayPlan *plan)
{
    Relay *r = g_new0(Relay, 1);

    r->a = a;
    r->b = b;
    r->plan = *plan;
    r->stop = eventfd(0, EFD_CLOEXEC);
    r->thread = g_thread_new("relay", run, r);
    return r;
}

gboolean relay_flipped(Relay *r)
{
    return g_atomic_int_get(&r->flipped);
}

void relay_free(Relay *r)
{
    guint64 one = 1;

    g_assert_cmpint(write(r->stop, &one, sizeof(one)), ==, sizeof(one));
    g_thread_join(r->thread);
    close(r->a);
    close(r->b);
    close(r->stop);
    g_free(r);
}
