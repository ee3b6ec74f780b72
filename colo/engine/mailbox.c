/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages to the engine's thread. */
#include "colo/engine/mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ColoMailbox {
    GAsyncQueue *queue; /* ColoMsg */
    int fd;
    gint quit; /* atomic: once it was posted */
};

ColoMailbox *colo_mailbox_new(void)
{
    ColoMailbox *m = g_atomic_rc_box_new0(ColoMailbox);

    m->queue = g_async_queue_new_full((GDestroyNotify)colo_msg_free);
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(m->fd >= 0);
    return m;
}

ColoMailbox *colo_mailbox_ref(ColoMailbox *m)
{
    return g_atomic_rc_box_acquire(m);
}

static void clear(gpointer data)
{
    ColoMailbox *m = data;

    g_async_queue_unref(m->queue);
    close(m->fd);
}

void colo_mailbox_unref(ColoMailbox *m)
{
    g_atomic_rc_box_release_full(m, clear);
}

int colo_mailbox_fd(const ColoMailbox *m)
{
    return m->fd;
}

void colo_mailbox_post(ColoMailbox *m, ColoMsg *msg)
{
    guint64 one = 1;

    if (msg->type == COLO_MSG_QUIT) {
        g_atomic_int_set(&m->quit, TRUE);
    }
    g_async_queue_push(m->queue, msg);
    if (write(m->fd, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN); /* full of wakes: it will wake */
    }
}

void colo_mailbox_tell(ColoMailbox *m, ColoMsgType type, gint64 number,
                       const char *text, gpointer data)
{
    ColoMsg *msg = g_new0(ColoMsg, 1);

    msg->type = type;
    msg->number = number;
    msg->text = g_strdup(text);
    msg->data = data;
    colo_mailbox_post(m, msg);
}

gboolean colo_mailbox_wants_quit(ColoMailbox *m)
{
    return g_atomic_int_get(&m->quit);
}

ColoMsg *colo_mailbox_take(ColoMailbox *m)
{
    guint64 count;

    /* Cleared before looking: a message posted later wakes again. */
    if (read(m->fd, &count, sizeof(count)) < 0) {
        g_assert(errno == EAGAIN || errno == EINTR);
    }
    return g_async_queue_try_pop(m->queue);
}

void colo_msg_free(ColoMsg *msg)
{
    if (msg) {
        g_free(msg->text);
        g_free(msg);
    }
}
