/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP server on a thread of its own, as in the daemons.  Its commands:
 * nothing, echo (its arguments), fail (with a class), emit (n events COUNT
 * with a filler of size bytes), big (a string of size bytes), quit, who (the
 * number of the client that asks).
 */
#ifndef COLO_TEST_QMP_FIXTURE_H
#define COLO_TEST_QMP_FIXTURE_H

#include "colo/qmp-server.h"

#define SECOND G_USEC_PER_SEC

typedef struct QmpFixture {
    char *folder, *path;
    ColoQmpServer *server;
    GThread *thread; /* NULL after a test ended the server itself */
    GMainLoop *loop;
    GMutex lock;
    GCond cond;
    gboolean up;       /* under lock */
    GAsyncQueue *gone; /* numbers of the clients whose connections ended */
    GString *events;   /* "NAMEi " for each, i being data's i or -1 */
} QmpFixture;

extern const ColoQmpCommand qmp_fixture_commands[];
enum { QMP_FIXTURE_COMMANDS = 7 };

void qmp_fixture_set_up(QmpFixture *f, gconstpointer unused);
void qmp_fixture_tear_down(QmpFixture *f, gconstpointer unused);

#define QMP_FIXTURE_ADD(path, func)                                            \
    g_test_add(path, QmpFixture, NULL, qmp_fixture_set_up, func,               \
               qmp_fixture_tear_down)

/* A client of ours that notes its events in the fixture. */
ColoQmpClient *qmp_fixture_connect(QmpFixture *f);

/* A raw client past its negotiation. */
int qmp_fixture_raw(QmpFixture *f);

/* Send request; the next line must contain expected. */
void qmp_fixture_exchange(int fd, const char *request, const char *expected);

/* A deadline. */
static inline gint64 in(gint64 us)
{
    return g_get_monotonic_time() + us;
}

#endif
