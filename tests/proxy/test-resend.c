/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a guest's last frames is sent again after a takeover. */
#include "netcompare/proxy/resend.h"
#include "netcompare/packet/packet.h"
#include "tests/packet/build.h"

#include <string.h>

#define SACK "01 01 05 0a 00 00 00 50 00 00 00 60"
#define ACK  NET_TCP_ACK

typedef struct Sent {
    guint16 port; /* the client's; 0: not TCP */
    guint32 ack;
    guint8 flags;
    const char *options;
    guint len;
    gboolean again; /* is to be sent again */
} Sent;

typedef struct Case {
    const char *name;
    Sent sent[6];
} Case;

static const Case cases[] = {
    {"bytes", {{1, 10, ACK, NULL, 5, TRUE}, {1, 20, ACK, NULL, 5, TRUE}}},
    {"overtaken", {{1, 10, ACK, NULL, 0, FALSE}, {1, 20, ACK, NULL, 0, TRUE}}},
    {"by-bytes", {{1, 10, ACK, NULL, 0, FALSE}, {1, 10, ACK, NULL, 5, TRUE}}},
    {"behind-bytes",
     {{1, 10, ACK, NULL, 5, TRUE}, {1, 20, ACK, NULL, 0, TRUE}}},
    {"same-twice", {{1, 10, ACK, NULL, 0, FALSE}, {1, 10, ACK, NULL, 0, TRUE}}},
    {"out-of-order",
     {{1, 20, ACK, NULL, 0, TRUE}, {1, 10, ACK, NULL, 0, FALSE}}},
    {"other-stream",
     {{1, 20, ACK, NULL, 0, TRUE}, {2, 10, ACK, NULL, 0, TRUE}}},
    {"wraps",
     {{1, 0xfffffff0, ACK, NULL, 0, FALSE}, {1, 5, ACK, NULL, 0, TRUE}}},
    {"blocks", {{1, 10, ACK, SACK, 0, FALSE}}},
    {"blocks-with-bytes", {{1, 10, ACK, SACK, 5, TRUE}}},
    {"blocks-then-none",
     {{1, 10, ACK, SACK, 0, FALSE}, {1, 20, ACK, NULL, 0, TRUE}}},
    {"begin-and-end",
     {{1, 10, ACK | NET_TCP_SYN, NULL, 0, TRUE},
      {1, 10, ACK, NULL, 0, FALSE},
      {1, 11, ACK | NET_TCP_FIN, NULL, 0, TRUE},
      {2, 10, ACK | NET_TCP_RST, NULL, 0, TRUE},
      {3, 0, NET_TCP_SYN, NULL, 0, TRUE}}},
    {"not-tcp", {{0, 0, 0, NULL, 5, TRUE}, {1, 10, ACK, NULL, 0, TRUE}}},
};

static GByteArray *build(const Sent *s)
{
    GByteArray *ip =
        s->port ? build_ipv4(6, build_tcp(80, s->port, 1, s->ack, s->flags,
                                          s->options, build_zeros(s->len)))
                : build_ipv4(1, build_zeros(8));

    return build_ether(NULL, NULL, BUILD_IPV4, ip);
}

typedef struct Expected {
    const Case *c;
    guint at;
} Expected;

static void skip_others(Expected *e)
{
    while (e->at < G_N_ELEMENTS(e->c->sent) && !e->c->sent[e->at].again) {
        e->at++;
    }
}

static void on_frame(const NetFrame *frame, gpointer user)
{
    Expected *e = user;
    g_autoptr(GByteArray) f = NULL;

    skip_others(e);
    g_assert_cmpuint(e->at, <, G_N_ELEMENTS(e->c->sent));
    f = build(&e->c->sent[e->at++]);
    g_assert_cmpmem(frame->data, frame->len, f->data, f->len);
}

/* With one from too long ago, which says nothing about the others. */
static void run(gconstpointer data)
{
    static const Sent old = {1, 15, ACK, NULL, 5, FALSE};
    Expected e = {.c = data};
    RecentFrames *r = recent_new(16, 1 << 20);

    for (gsize i = 0; i <= G_N_ELEMENTS(e.c->sent); i++) {
        const Sent *s = i ? &e.c->sent[i - 1] : &old;
        g_autoptr(GByteArray) bytes = NULL;
        NetFrame frame = {0};

        if (!s->port && !s->len) {
            break;
        }
        bytes = build(s);
        frame.data = bytes->data;
        frame.len = bytes->len;
        recent_add(r, &frame, i + 1, i ? 1000 + (gint64)i : 999);
    }
    resend_foreach(r, 1000, on_frame, &e);
    skip_others(&e);
    g_assert_cmpuint(e.at, ==, G_N_ELEMENTS(e.c->sent));
    recent_free(r);
}

/* What is kept of clients' frames ends with the primary's last word. */
static void room_and_age(void)
{
    RecentFrames *r = recent_new(3, 100);
    guint8 data[60] = {0};
    NetFrame frame = {.data = data, .len = 40};

    g_assert_true(recent_has_room(r, 100));
    g_assert_false(recent_has_room(r, 101));
    recent_add(r, &frame, 1, 10);
    recent_add(r, &frame, 2, 20);
    g_assert_true(recent_has_room(r, 20));
    g_assert_false(recent_has_room(r, 21));
    recent_expire(r, 10);
    g_assert_nonnull(recent_find(r, 1));
    recent_expire(r, 11);
    g_assert_null(recent_find(r, 1));
    g_assert_nonnull(recent_find(r, 2));
    g_assert_true(recent_has_room(r, 60));
    frame.len = 1;
    recent_add(r, &frame, 3, 30);
    recent_add(r, &frame, 4, 40);
    g_assert_false(recent_has_room(r, 1));
    recent_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/resend/", cases[i].name, NULL);

        g_test_add_data_func(path, &cases[i], run);
    }
    g_test_add_func("/recent/room-and-age", room_and_age);
    return g_test_run();
}
