/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A link between two hosts that can be cut as a cable is: nothing passes,
 * nobody is told, and when it is mended TCP goes on where it was.
 *
 * A thread passes TCP connections and UDP datagrams on loopback from a port
 * of its own to another one.
 */
#ifndef TESTS_SIM_RELAY_H
#define TESTS_SIM_RELAY_H

#include <glib.h>

typedef struct Relay Relay;

/* tcp_to, udp_to: the ports of the other end. */
Relay *relay_new(guint16 tcp_to, guint16 udp_to);
void relay_free(Relay *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Relay, relay_free)

/* The ports to connect and send to. */
guint16 relay_tcp_port(const Relay *r);
guint16 relay_udp_port(const Relay *r);

/* In force when they return. */
void relay_cut(Relay *r, gboolean tcp, gboolean udp);
void relay_mend(Relay *r);
void relay_mend_udp(Relay *r); /* TCP stays as it is */

/* Let n more bytes pass to the other end, then cut TCP. */
void relay_cut_after(Relay *r, guint64 n);

/* Bytes passed to the other end so far. */
guint64 relay_bytes(Relay *r);

#endif
