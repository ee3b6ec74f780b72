/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other end of an ft stream, played by the test: INIT and its answer. */
#ifndef TESTS_SIM_FT_PEER_H
#define TESTS_SIM_FT_PEER_H

#include "colo/ft/ft-hello.h"

/* A blocking TCP connection to a port of loopback, or -1. */
int ft_peer_connect(guint16 port);

/* A listening socket on loopback, and one connection to it (within ms). */
int ft_peer_listen(guint16 *port);
int ft_peer_accept(int fd, int ms);

/* FALSE: the other end is gone. */
gboolean ft_peer_send(int fd, FtCmd cmd, const void *payload, gsize len);
gboolean ft_peer_send_hello(int fd, const FtHello *h);
gboolean ft_peer_send_nack(int fd, guint32 code, const char *text);

/* A whole frame within ms; *payload is NUL-terminated. */
gboolean ft_peer_read(int fd, int ms, FtHeader *h, char **payload);

/* Wait for the other end to hang up. */
gboolean ft_peer_is_closed(int fd, int ms);

#endif
