/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends of a link on one main context, and raw sockets as a third. */
#ifndef TESTS_LINK_FIXTURE_H
#define TESTS_LINK_FIXTURE_H

#include "netcompare/link/link.h"

enum { PATIENCE_MS = 60000 };

#define ID_A "00112233445566778899aabbccddeeff"
#define ID_B "ffeeddccbbaa99887766554433221100"

/* In place of g_test_init(). */
void link_test_init(int *argc, char ***argv);

/* One end: a link, and what it reported. */
typedef struct End {
    NetLink *link;
    guint ups, downs, rooms, messages;
    char *why;           /* the last down's */
    char *peer_instance; /* the last up's */
    gboolean peer_attached;
    NetWireHead last; /* header of the last message */
    guint64 expect;   /* FRAMEs: the next number, if check is set */
    gboolean check;   /* FRAMEs are those of frame_fill(), in order */
    gboolean refuse;  /* the message callback fails */
    gboolean drop;    /* the message callback ends the connection */
    guint hold;       /* keep the buffers of up to so many messages */
    GQueue held;      /* of Held */
} End;

/* A kept message: it has to be the same later. */
typedef struct Held {
    NetBuf *buf;
    const guint8 *data;
    NetWireHead head;
} Held;

/* A hello for one of the two ends: name "vm0", two interfaces. */
NetHello *hello_of(gboolean primary);

/* at: an address's text; hello: NULL for the usual one; max_queue: 0. */
void end_start(End *e, gboolean primary, const char *at, const NetHello *hello,
               gsize max_queue);
void end_stop(End *e);

/*
 * A secondary listening at a unix socket (folder not NULL) or at a free port
 * of 127.0.0.1, and a primary connected to it.  *at: its address.
 */
void pair_start(End *primary, End *secondary, const char *folder, char **at);

/* Iterate the main context until cond, for PATIENCE_MS at most. */
#define WAIT(cond) WAIT_MS(cond, PATIENCE_MS)
#define WAIT_MS(cond, ms)                                                      \
    do {                                                                       \
        gint64 wait_until = g_get_monotonic_time() + (ms)*1000LL;              \
        while (!(cond)) {                                                      \
            if (g_get_monotonic_time() > wait_until) {                         \
                g_error("%s:%d: not in %d ms: %s", __FILE__, __LINE__,         \
                        (int)(ms), #cond);                                     \
            }                                                                  \
            turn();                                                            \
        }                                                                      \
    } while (0)

/* One iteration of the main context, of at most 5 ms. */
void turn(void);
/* Iterate for a while. */
void turns(guint ms);

/*
 * The payload of frame number: its length and bytes follow from the number.
 * max: of the length, at least NET_WIRE_FRAME_MIN.
 */
gsize frame_len(guint64 number, gsize max);
void frame_fill(guint8 *out, guint64 number, gsize len);
/* FALSE: the link refused it. */
gboolean frame_send(End *e, guint64 number, gsize max);

/*
 * "127.0.0.1:PORT" where nobody listens, with a port that the kernel gives to
 * nobody meanwhile.
 */
char *free_at(void);

/* Sockets that speak by hand; blocking, closed by the caller. */
int raw_listen(char **at);     /* 127.0.0.1, a free port */
int raw_accept(int listen_fd); /* turns meanwhile */
int raw_join(const char *at);  /* connects to an end */
void raw_say(int fd, const void *bytes, gsize n);
void raw_say_hello(int fd, const NetHello *h);
void raw_say_head(int fd, const NetWireHead *h);
/* Read until a message of that type, its payload skipped; turns meanwhile. */
void raw_expect(int fd, NetWireType type);
/* Read until the other end closes; turns meanwhile. */
void raw_expect_end(int fd);

#endif
