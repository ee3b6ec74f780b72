/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Namespaces for a test: a guest and a client at the ports of a host's bridge.
 *
 *      GUEST              HOST               CLIENT
 *   g0 10.0.0.1    gp [ br0 10.0.0.3 ] cp    c0 10.0.0.2
 *      fd00::1              fd00::3             fd00::2
 *      52:54:0:0:0:1        52:54:0:0:0:3       52:54:0:0:0:2
 *
 * Everybody knows everybody's MAC address.  They are gone when the test is.
 */
#ifndef COLO_TESTS_CAPTURE_NET_H
#define COLO_TESTS_CAPTURE_NET_H

#include <glib.h>

typedef enum { GUEST, HOST, CLIENT, N_PLACES } TestPlace;

typedef struct TestNet {
    int home;
    int ns[N_PLACES];
} TestNet;

/* NULL if namespaces can be made and ip(8) is there; else what is missing. */
const char *test_net_missing(void);

TestNet *test_net_new(guint mtu);
void test_net_free(TestNet *n);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestNet, test_net_free)

/* The thread moves to a place; test_net_leave() takes it home. */
void test_net_enter(TestNet *n, TestPlace where);
void test_net_leave(TestNet *n);

/* FALSE: the command failed; then *out, if not NULL, is what it said. */
gboolean test_net_run(TestNet *n, TestPlace where, char **out,
                      const char *format, ...) G_GNUC_PRINTF(4, 5);
void test_net_sysctl(TestNet *n, TestPlace where, const char *name,
                     const char *value);
guint test_net_ifindex(TestNet *n, TestPlace where, const char *name);
int test_net_socket(TestNet *n, TestPlace where, int domain, int type);

/* All frames that come in at an interface, tags told apart; can send, too. */
int test_net_frames(TestNet *n, TestPlace where, const char *name);
void test_net_send(int fd, GByteArray *frame); /* takes the frame */
/* The next one, tag back in place, or NULL when none comes for ms. */
GByteArray *test_net_recv(int fd, guint ms);

/*
 * All but ICMPv6.  FALSE: no iptables or no NFQUEUE here, *why says what is
 * missing.
 */
gboolean test_net_queue(TestNet *n, guint queue, char **why);

#endif
