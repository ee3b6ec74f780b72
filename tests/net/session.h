/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients of the test guest's services: many sessions in one epoll loop, each
 * of which asks again and again and verifies every byte of the answers.
 *
 * An exchange is a request and its whole answer.  A session waits from its
 * request (or from connecting) to the last byte; a gap is a time in which it
 * waited and nothing arrived.  Gaps while connecting count apart: a lost SYN
 * is sent again after a second, whatever the network does.
 */
#ifndef COLO_TESTS_NET_SESSION_H
#define COLO_TESTS_NET_SESSION_H

#include <glib.h>
#include <sys/socket.h>

#include "tests/guest/service.h"

typedef enum {
    KIND_DOWNLOAD, /* GET /SIZE, one connection */
    KIND_UPLOAD,   /* POST of SIZE */
    KIND_TINY,     /* GET /tiny, one connection */
    KIND_SHORT,    /* GET /tiny, a connection for each */
    KIND_RANDOM,   /* GET /random: differs in each guest */
    KIND_COUNTER,  /* GET /counter */
    KIND_ECHO,     /* lines */
    KIND_DIAL,     /* echo on a connection that the guest opens */
    KIND_UDP,
    KIND_PING,
    KIND_RECORD, /* lines for a file on the guest's disk */
    KIND_FSYNC,  /* pages written and synced there */
    KIND_WRITE,  /* SIZE written there, and synced */
    KIND_N
} Kind;

extern const char *const kind_names[KIND_N];

/* Figures of one kind, since the start or since the last mark. */
typedef struct Figures {
    guint64 exchanges, bytes, lost, wrong_bytes, retries;
    gint64 gap_us, connect_gap_us;
    GArray *ms; /* double: how long each exchange took */
} Figures;

typedef struct Load Load;

typedef enum {
    STATE_IDLE,      /* until next_us */
    STATE_DIALING,   /* the request to dial is under way */
    STATE_LISTENING, /* for the guest's connection */
    STATE_CONNECTING,
    STATE_WAITING, /* for an answer */
    STATE_OVER,    /* as many exchanges as were asked for */
} State;

typedef struct Session {
    Load *load;
    Kind kind;
    guint index;
    gboolean v6;
    State state;
    int fd, listener;
    guint32 events;
    gboolean connected;            /* an end now is a loss */
    gint64 begun_us;               /* the exchange */
    gint64 since_us;               /* the last progress */
    gint64 next_us;                /* IDLE: begin; datagrams: send again */
    gint64 gap_us, connect_gap_us; /* the longest since the last mark */
    guint64 exchanges;
    gboolean marked; /* answered what was asked after the mark */
    guint64 mark_bytes;

    GByteArray *out;
    gsize out_at;
    guint64 body_at, body_left; /* upload: to be sent; else to come */
    int unacked;                /* upload: bytes that the guest has not got */
    GString *in;                /* head of an answer, or a line */
    gboolean in_body;
    guint64 number, hash; /* lines, datagrams, counter, chain; records that
                             were acknowledged */
    guint64 sent, sent_hash; /* records */
    gboolean opened;         /* its file of records is there */
    gboolean anew;           /* the connection is */
} Session;

typedef struct LoadOptions {
    char *target, *target6, *save;
    int counts[KIND_N];
    gint64 size;
    int pace_ms, stall_s, exchanges; /* exchanges 0: no end */
    int port; /* of HTTP */
    gboolean v4, v6;
    gboolean fresh; /* a connection for each exchange */
} LoadOptions;

struct Load {
    LoadOptions o;
    int epoll;
    GPtrArray *sessions;
    Figures total[KIND_N], mark[KIND_N];
    gint64 begun_us, mark_us;
    guint marks;
    gboolean marking; /* some sessions are not marked yet */
    gboolean opened;  /* every session has had an answer */
    gboolean ending;  /* only answers are waited for */
    guint over;       /* sessions */
    int save_fd;
    guint8 *pattern;
    GPtrArray *errors; /* the first sentences */
};

/* --- session.c: connections and time ------------------------------------ */

Session *session_new(Load *l, Kind kind, guint index);
void session_free(gpointer data);
/* What is due: the next request, a retry, a stall.  Returns when again. */
gint64 session_tick(Session *s, gint64 now);
void session_ready(Session *s, guint32 events);
/* Something arrived while it waited. */
void session_progress(Session *s);
void session_done(Session *s); /* the whole answer */
/* The connection is of no use any more; begins anew. */
void session_lost(Session *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void session_wrong(Session *s, guint64 bytes, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
gsize session_address(const Session *s, gboolean client, guint16 port,
                      struct sockaddr_storage *a);
void session_wait(Session *s, guint32 events);

/* --- protocol.c: what is asked and answered ------------------------------ */

void protocol_ask(Session *s);
/* Of a stream; FALSE: the session was lost. */
gboolean protocol_take(Session *s, const guint8 *data, gsize len);

/* --- disk.c -------------------------------------------------------------- */

void disk_ask(Session *s);
/* As protocol_take(). */
gboolean disk_take(Session *s, const guint8 *data, gsize len);

/* --- datagram.c ---------------------------------------------------------- */

int datagram_open(Session *s);
void datagram_send(Session *s, gboolean again);
void datagram_receive(Session *s);

/* --- report.c ------------------------------------------------------------ */

/* One JSON object a line on stdout. */
void report(Load *l, const char *event, Figures *figures, gint64 since_us);

#endif
