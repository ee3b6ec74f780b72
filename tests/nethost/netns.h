/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host for a test: a network namespace of the test's own, taps whose guest
 * is the test, and packet sockets.
 */
#ifndef TEST_NETNS_H
#define TEST_NETNS_H

#include <glib.h>

/*
 * Moves the calling thread into a fresh namespace with lo up.  FALSE, after
 * g_test_skip(), without root or namespaces.
 */
gboolean netns_enter(void);
/* A command with its arguments, split as by a shell; must succeed. */
void netns_run(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* The same, where it may fail. */
gboolean netns_try(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* What it printed on stdout. */
char *netns_output(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* A tap that is up, without packet information: the guest's end. */
int netns_tap(const char *name);
/* A packet socket: all frames of an interface, sends raw frames. */
int netns_packet_socket(const char *name);

void netns_send(int fd, const guint8 *frame, gsize len);
/*
 * The next frame within timeout_ms that contains these bytes anywhere; others
 * are skipped.  Returns its length, or 0.
 */
gsize netns_receive(int fd, const void *needle, gsize needle_len,
                    guint8 *frame, gsize size, int timeout_ms);
/* Take out everything that waits. */
void netns_drain(int fd);
/* The next frame within timeout_ms, whatever it is; 0: none came. */
gsize netns_any(int fd, guint8 *frame, gsize size, int timeout_ms);

/* --- Frames, in buf of at least 128 bytes; the length is returned -------- */

gsize frame_arp_request(guint8 *buf, const guint8 src[6], guint32 sip,
                        guint32 tip);
/* UDP with this payload (no checksum on IPv4). */
gsize frame_udp4(guint8 *buf, const guint8 dst[6], const guint8 src[6],
                 guint32 sip, guint32 dip, guint16 port, const char *payload);
gsize frame_udp6(guint8 *buf, const guint8 dst[6], const guint8 src[6],
                 const char *sip, const char *dip, guint16 port,
                 const char *payload);

#define IP4(a, b, c, d)                                                        \
    ((guint32)(a) << 24 | (guint32)(b) << 16 | (guint32)(c) << 8 | (guint32)(d))

#endif
