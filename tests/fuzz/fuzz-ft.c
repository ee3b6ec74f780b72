/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ft stream: bytes to our receiver, answers to our sender, and INIT.
 *
 * The first byte says which (modulo 3): 0 what a sender sends after INIT,
 * 1 what a receiver answers to a transaction, 2 the payload of INIT.
 * Checksums count as right here (ft_sum_is()): no fuzzer would guess one.
 */
#include "fuzz.h"

#include "colo/ft/ft-hello.h"
#include "colo/ft/ft-receiver.h"
#include "colo/ft/ft-sender.h"
#include "colo/track/tracker.h" /* COLO_PAGE_SIZE */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#error "build this, and what it tests, with that macro defined"
#endif

const char fuzz_corpus[] = "ft";

enum { MAX_SIZE = 48 * 1024, PAGES = 16, ROOM = 64 };

#define STATE "ten bytes!"

static FtHold *hold;

static void stream_of(const uint8_t *data, size_t size, int fds[2])
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                    ==, 0);
    if (size) {
        /* Fits into the socket's buffer, so one thread will do. */
        g_assert_cmpint(send(fds[1], data, size, MSG_DONTWAIT), ==, size);
    }
}

static void committed(guint64 epoch, gpointer user_data)
{
    guint64 *last = user_data;

    g_assert_cmpuint(epoch, ==, *last + 1);
    *last = epoch;
    g_assert_cmpuint(hold->state_len, >, 0);
    g_assert_cmpuint(hold->state_len, <=, ROOM);
    g_assert_true(ft_hold_is_committed(hold));
    ft_hold_release(hold);
}

static void fuzz_receiver(const uint8_t *data, size_t size)
{
    guint64 last = 0;
    FtReceiverOps ops = {.committed = committed, .user_data = &last};
    g_autoptr(GError) error = NULL;
    FtReceiver *r;
    FtNote note;
    gboolean ended;
    int fds[2];

    if (!hold) {
        hold = ft_hold_new(PAGES, ROOM, &error);
        g_assert_no_error(error);
    }
    ft_hold_reset(hold);
    stream_of(data, size, fds);
    shutdown(fds[1], SHUT_WR);
    r = ft_receiver_new(fds[0], hold, 7, 10 * G_USEC_PER_SEC, &ops);
    ended = ft_receiver_run(r, &note, &error);
    g_assert_true(ended == !error);
    if (ended) {
        g_assert_cmpuint(note.code, >, FT_CANCEL_TRANSACTION);
        g_assert_cmpuint(note.code, <=, FT_CANCEL_FAILED);
        g_assert_nonnull(memchr(note.text, 0, sizeof(note.text)));
    }
    /* The stream ends: nothing may have waited for a time limit. */
    g_assert_false(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT));
    g_assert_cmpuint(hold->epoch, ==, last);
    ft_receiver_free(r);
    close(fds[0]);
    close(fds[1]);
}

static void on_event(const FtEvent *event, gpointer user_data)
{
    g_async_queue_push(user_data, GUINT_TO_POINTER(event->type + 1));
}

static void queue_transaction(FtSender *s, FtPool *pool)
{
    FtBuf *b = ft_pool_get(pool);

    b->type = FT_CHUNK_DEVICE;
    b->len = strlen(STATE);
    memcpy(b->data, STATE, b->len);
    ft_sender_hold(s);
    ft_sender_begin(s, 7, 1, 0);
    ft_sender_chunk(s, b);
    ft_sender_commit(s, 0);
    ft_sender_unhold(s);
}

/* The fuzzer's alarm, every ten minutes, may come in between. */
static void skip(int fd, gsize n)
{
    guint8 sent[256];

    while (n) {
        ssize_t got = recv(fd, sent, MIN(n, sizeof(sent)), 0);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        g_assert_cmpint(got, >, 0);
        n -= (gsize)got;
    }
}

static void fuzz_sender(const uint8_t *data, size_t size)
{
    g_autoptr(GAsyncQueue) events = g_async_queue_new();
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fds[2];
    FtPool *pool = ft_pool_new(0, wake);
    guint event, answers = 0;
    FtSender *s;

    stream_of(NULL, 0, fds);
    s = ft_sender_new(fds[0], pool, FT_CODING_NONE, 10 * G_USEC_PER_SEC,
                      on_event, events);
    queue_transaction(s, pool);
    skip(fds[1], FT_HEADER_LEN + FT_BEGIN_LEN + 4 + FT_CHUNK_LEN +
                     strlen(STATE) + FT_COMMIT_LEN);
    g_assert_cmpint(send(fds[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL), ==,
                    size);
    shutdown(fds[1], SHUT_WR);
    do {
        event = GPOINTER_TO_UINT(
                    g_async_queue_timeout_pop(events, 5 * G_USEC_PER_SEC)) -
                1;
        g_assert_cmpint(event, <=, FT_EVENT_LOST);
        answers += event == FT_EVENT_ACK || event == FT_EVENT_NACK;
    } while (event != FT_EVENT_CANCEL && event != FT_EVENT_LOST);
    g_assert_cmpuint(answers, <=, 1); /* one transaction, one answer */
    ft_sender_free(s);
    close(fds[1]);
    ft_pool_free(pool);
    close(wake);
}

static void fuzz_hello(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(FtHello) h = ft_hello_get((const char *)data, size, &error);
    g_autoptr(FtHello) again = NULL;
    g_autofree char *payload = NULL;
    gsize len;

    g_assert_true(!h == !!error);
    if (!h) {
        return;
    }
    /* What was taken can be said again. */
    payload = ft_hello_put(h, &len);
    if (len <= FT_MAX_HELLO) {
        again = ft_hello_get(payload, len, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(h->name, ==, again->name);
        g_assert_cmpstr(h->description, ==, again->description);
        g_assert_cmpstr(h->session, ==, again->session);
        g_assert_cmpuint(h->heartbeat_key, ==, again->heartbeat_key);
        g_assert_cmpuint(h->epoch, ==, again->epoch);
        g_assert_cmpuint(h->open_good, ==, again->open_good);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_SIZE) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        fuzz_receiver(data + 1, size - 1);
        break;
    case 1:
        fuzz_sender(data + 1, size - 1);
        break;
    default:
        fuzz_hello(data + 1, size - 1);
        break;
    }
    return 0;
}
