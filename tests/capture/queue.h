/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest sends, in a queue of its host: namespaces, rules and queue.
 */
#ifndef COLO_TESTS_CAPTURE_QUEUE_H
#define COLO_TESTS_CAPTURE_QUEUE_H

#include "netcompare/capture/nfqueue.h"
#include "netcompare/packet/packet.h"
#include "tests/capture/net.h"

#define TEST_QUEUE 7
#define TEST_PORT  2222

typedef struct TestPacket {
    NetQueued q;       /* data points to bytes, buf is NULL */
    GByteArray *bytes;
    NetPacket p;
} TestPacket;

typedef struct TestQueue {
    TestNet *net;
    NetNfqueue *q;
    int tx;          /* the guest's frames out */
    int rx;          /* what comes to the client */
    GPtrArray *held; /* TestPacket, in the order of the queue */
} TestQueue;

/* Of 65536 packets, GSO; or as *config says.  NULL: the test was skipped. */
TestQueue *test_queue_new(guint mtu, const NetNfqueueConfig *config);
void test_queue_free(TestQueue *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestQueue, test_queue_free)

/* NULL, or why there are no queues here. */
const char *test_queue_missing(void);

/* The guest sends datagram number n, of len bytes, to client or host. */
GByteArray *test_queue_datagram(guint16 ethertype, guint32 n, gsize len);
void test_queue_send(TestQueue *t, TestPlace to, const char *tags,
                     guint16 ethertype, GByteArray *packet);
/* The number of such a datagram; asserts that it is one and undamaged. */
guint32 test_queue_number(const NetPacket *p);

/* Read until want more packets are held. */
void test_queue_take(TestQueue *t, guint want);
TestPacket *test_queue_held(TestQueue *t, guint i);
void test_queue_flush(TestQueue *t);

/* The next frame at fd that does not keep the link going, parsed; or NULL. */
GByteArray *test_queue_frame(int fd, guint ms, NetPacket *p);
/* The next one is datagram n. */
void test_queue_expect(int fd, guint32 n);
void test_queue_expect_none(int fd);

#endif
