/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection of the test guest's services, from epoll's side and HTTP's. */
#ifndef COLO_GUEST_GUEST_SERVICE_H
#define COLO_GUEST_GUEST_SERVICE_H

#include "service.h"

#include <stdbool.h>

#define CONN_IN  4096u
#define CONN_OUT 4096u

typedef enum ConnKind {
    CONN_LISTEN_HTTP,
    CONN_LISTEN_ECHO,
    CONN_UDP,
    CONN_HTTP,
    CONN_ECHO,
} ConnKind;

typedef struct Conn {
    int fd;
    ConnKind kind;
    bool connecting; /* by /dial */
    bool ends;       /* when all output is sent */
    uint32_t events; /* what epoll waits for */
    size_t in_len;
    size_t out_len, out_at;
    uint64_t body_at, body_left; /* of the pattern, after out */
    uint64_t upload_at, upload_left;
    bool upload_wrong;
    uint64_t lines, hash; /* of echo */
    uint64_t chain;       /* of /random */
    char in[CONN_IN];
    char out[CONN_OUT];
} Conn;

/* Text to be sent; what does not fit ends the connection. */
void conn_put(Conn *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Connect to there and serve kind; failures are said. */
void conn_dial(const char *host, unsigned port, ConnKind kind);

/*
 * Take one request from c->in and put its answer.  false: it is not there as
 * a whole.
 */
bool http_request(Conn *c);
/* After the last byte of an upload. */
void http_uploaded(Conn *c);

#endif
