/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heartbeats over UDP. */
#include "colo/engine/heartbeat.h"
#include "colo/ft/ft-proto.h" /* ft_sum */
#include "colo/log.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC   0x42484f43u /* "COHB" */
#define VERSION 2
#define VM_DIED 1u
#define STALE   2u

/* On the wire: little-endian, sum over all that precedes it. */
typedef struct __attribute__((packed)) Beat {
    guint32 magic;
    guint8 version;
    guint8 primary;         /* 1: from the primary */
    guint8 state;           /* ColoState */
    guint8 flags;
    guint64 key;
    guint64 number;         /* grows with each beat of a session */
    guint64 sum;
} Beat;

typedef struct Link {
    int fd;
    struct sockaddr_storage peer; /* primary: given; secondary: learnt */
    socklen_t peer_len;           /* 0: not known yet */
} Link;

struct ColoHeartbeat {
    Link *links;
    guint n_links;
    gboolean primary;
    gint64 interval, timeout;
    ColoMailbox *engine;
    ColoStatus *status;
    GThread *thread;
    int wake;

    GMutex lock;            /* guards all below */
    gboolean quit;
    gboolean say_now;
    guint64 key;            /* 0: no session */
    guint64 sent, seen;     /* numbers of beats */
    gint64 heard;           /* when the peer was last heard of */
    gint64 last;            /* likewise, or its silence counts only since */
    gboolean lost, died;    /* reported in this session */
    ColoState state, peer_state;
    gboolean vm_died, stale, peer_stale;
};

static void wake(ColoHeartbeat *h)
{
    guint64 one = 1;

    if (write(h->wake, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN);
    }
}

static void count(ColoHeartbeat *h, guint64 *what)
{
    colo_status_lock(h->status);
    (*what)++;
    colo_status_unlock(h->status);
}

static void set_status(ColoHeartbeat *h, const char *text)
{
    colo_status_lock(h->status);
    h->status->heartbeat = text;
    colo_status_unlock(h->status);
}

/* Send one beat on each link.  Called with the lock held. */
static void send_beats(ColoHeartbeat *h)
{
    Beat b = {
        .magic = htole32(MAGIC),
        .version = VERSION,
        .primary = h->primary ? 1 : 0,
        .state = (guint8)h->state,
        .flags = (guint8)((h->vm_died ? VM_DIED : 0) |
                          (h->stale ? STALE : 0)),
        .key = htole64(h->key),
        .number = htole64(++h->sent),
    };

    b.sum = htole64(ft_sum(&b, offsetof(Beat, sum)));
    for (guint i = 0; i < h->n_links; i++) {
        Link *l = &h->links[i];
        ssize_t r;

        if (!l->peer_len) {
            continue;
        }
        r = sendto(l->fd, &b, sizeof(b), MSG_DONTWAIT | MSG_NOSIGNAL,
                   (struct sockaddr *)&l->peer, l->peer_len);
        /* A link that is down, or a peer without a socket, is no news here:
         * what counts is what we hear. */
        if (r == (ssize_t)sizeof(b)) {
            count(h, &h->status->hb_sent);
        }
    }
}

/* Called with the lock held. */
static void take_beat(ColoHeartbeat *h, Link *l, const Beat *b, ssize_t len,
                      const struct sockaddr_storage *from, socklen_t from_len)
{
    if (len != (ssize_t)sizeof(*b) || le32toh(b->magic) != MAGIC ||
        b->version != VERSION || b->primary == (h->primary ? 1 : 0) ||
        b->state >= COLO_STATE_COUNT || !h->key ||
        le64toh(b->key) != h->key ||
        le64toh(b->sum) != ft_sum(b, offsetof(Beat, sum))) {
        count(h, &h->status->hb_ignored);
        return;
    }
    if (!h->primary) {
        l->peer = *from;
        l->peer_len = from_len;
    }
    count(h, &h->status->hb_received);
    h->heard = h->last = g_get_monotonic_time();
    if (le64toh(b->number) <= h->seen) {
        return; /* the same beat on a second link */
    }
    h->seen = le64toh(b->number);
    h->peer_state = (ColoState)b->state;
    h->peer_stale = (b->flags & STALE) != 0;
    if ((b->flags & VM_DIED) && !h->died) {
        h->died = TRUE;
        colo_mailbox_tell(h->engine, COLO_MSG_PEER_VM_DIED, 0, NULL, NULL);
    }
    if (h->lost) {
        h->lost = FALSE;
        set_status(h, "up");
        colo_mailbox_tell(h->engine, COLO_MSG_HEARTBEAT_BACK, 0, NULL, NULL);
    }
}

static void read_beats(ColoHeartbeat *h, Link *l)
{
    /* Bounded: a flood must not keep us from sending. */
    for (int i = 0; i < 64; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof(from);
        Beat b;
        ssize_t len = recvfrom(l->fd, &b, sizeof(b), MSG_DONTWAIT | MSG_TRUNC,
                               (struct sockaddr *)&from, &from_len);

        if (len < 0 && errno != ECONNREFUSED && errno != EINTR) {
            return;
        }
        if (len >= 0) {
            g_mutex_lock(&h->lock);
            take_beat(h, l, &b, len, &from, from_len);
            g_mutex_unlock(&h->lock);
        }
    }
}

static void real_time(void)
{
    struct sched_param p = {.sched_priority = 1};

    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) < 0) {
        colo_log_debug("heartbeats without real-time priority: %s",
                       g_strerror(errno));
    }
}

static gpointer heartbeat_thread(gpointer data)
{
    ColoHeartbeat *h = data;
    g_autofree struct pollfd *p = g_new0(struct pollfd, h->n_links + 1);
    gint64 next = g_get_monotonic_time(), before = next;

    real_time();
    for (guint i = 0; i < h->n_links; i++) {
        p[i].fd = h->links[i].fd;
        p[i].events = POLLIN;
    }
    p[h->n_links].fd = h->wake;
    p[h->n_links].events = POLLIN;

    for (;;) {
        gint64 now = g_get_monotonic_time();
        struct timespec wait = {0};
        guint64 n;

        if (next > now) {
            wait.tv_sec = (next - now) / G_USEC_PER_SEC;
            wait.tv_nsec = (next - now) % G_USEC_PER_SEC * 1000;
        }
        if (ppoll(p, h->n_links + 1, &wait, NULL) < 0 && errno != EINTR) {
            g_error("cannot poll heartbeat sockets: %s", g_strerror(errno));
        }
        if (read(h->wake, &n, sizeof(n)) < 0) {
            g_assert(errno == EAGAIN);
        }
        for (guint i = 0; i < h->n_links; i++) {
            read_beats(h, &h->links[i]);
        }

        g_mutex_lock(&h->lock);
        now = g_get_monotonic_time();
        if (h->quit) {
            g_mutex_unlock(&h->lock);
            return NULL;
        }
        if (now - before > h->timeout / 2) {
            /* We ourselves did not run: the peer's silence proves nothing. */
            h->last = MAX(h->last, now - h->timeout / 2);
        }
        before = now;
        if (h->key && !h->lost && now - h->last > h->timeout) {
            h->lost = TRUE;
            set_status(h, "lost");
            colo_mailbox_tell(h->engine, COLO_MSG_HEARTBEAT_LOST, 0, NULL,
                              NULL);
        }
        if (h->key && (now >= next || h->say_now)) {
            send_beats(h);
            h->say_now = FALSE;
        }
        if (now >= next) {
            next += h->interval;
            if (next <= now) {
                next = now + h->interval;
            }
        }
        if (h->key && !h->lost) {
            next = MIN(next, h->last + h->timeout + 1);
            next = MAX(next, now + 1000);
        }
        g_mutex_unlock(&h->lock);
    }
}

ColoHeartbeat *colo_heartbeat_new(GPtrArray *addrs, gboolean primary,
                                  gint64 interval_us, gint64 timeout_us,
                                  ColoMailbox *engine, ColoStatus *status,
                                  GError **error)
{
    ColoHeartbeat *h = g_new0(ColoHeartbeat, 1);

    g_mutex_init(&h->lock);
    h->links = g_new0(Link, addrs->len);
    h->primary = primary;
    h->interval = interval_us;
    h->timeout = timeout_us;
    h->engine = engine;
    h->status = status;
    h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(h->wake >= 0);
    for (guint i = 0; i < addrs->len; i++) {
        Link *l = &h->links[i];

        l->fd = primary ? colo_addr_udp_to(addrs->pdata[i], &l->peer,
                                           &l->peer_len, error)
                        : colo_addr_udp(addrs->pdata[i], error);
        if (l->fd < 0) {
            g_prefix_error(error, "cannot send heartbeats: ");
            colo_heartbeat_free(h);
            return NULL;
        }
        h->n_links++;
    }
    h->thread = g_thread_new("heartbeat", heartbeat_thread, h);
    return h;
}

void colo_heartbeat_free(ColoHeartbeat *h)
{
    if (!h) {
        return;
    }
    if (h->thread) {
        g_mutex_lock(&h->lock);
        h->quit = TRUE;
        g_mutex_unlock(&h->lock);
        wake(h);
        g_thread_join(h->thread);
    }
    for (guint i = 0; i < h->n_links; i++) {
        close(h->links[i].fd);
    }
    close(h->wake);
    g_free(h->links);
    g_mutex_clear(&h->lock);
    g_free(h);
}

void colo_heartbeat_start(ColoHeartbeat *h, guint64 key)
{
    g_mutex_lock(&h->lock);
    if (key != h->key) {
        h->key = key;
        h->sent = h->seen = 0;
    }
    h->heard = h->last = g_get_monotonic_time();
    h->lost = h->died = FALSE;
    h->peer_state = COLO_STATE_NONE;
    h->peer_stale = FALSE;
    g_mutex_unlock(&h->lock);
    set_status(h, "up");
    wake(h);
}

void colo_heartbeat_stop(ColoHeartbeat *h, ColoState state)
{
    g_mutex_lock(&h->lock);
    if (h->key) {
        /* A guest that died is not alone. */
        h->state = h->vm_died ? h->state : state;
        send_beats(h);
    }
    h->key = 0;
    h->lost = FALSE;
    g_mutex_unlock(&h->lock);
    set_status(h, "none");
}

void colo_heartbeat_say(ColoHeartbeat *h, ColoState state, gboolean vm_died)
{
    g_mutex_lock(&h->lock);
    h->state = state;
    h->vm_died = vm_died;
    h->say_now = TRUE;
    g_mutex_unlock(&h->lock);
    wake(h);
}

void colo_heartbeat_say_stale(ColoHeartbeat *h, gboolean stale)
{
    gboolean news;

    g_mutex_lock(&h->lock);
    news = h->stale != stale;
    h->stale = stale;
    h->say_now |= news;
    g_mutex_unlock(&h->lock);
    if (news) {
        wake(h);
    }
}

gboolean colo_heartbeat_peer_is_stale(ColoHeartbeat *h)
{
    gboolean stale;

    g_mutex_lock(&h->lock);
    stale = h->peer_stale;
    g_mutex_unlock(&h->lock);
    return stale;
}

gboolean colo_heartbeat_is_lost(ColoHeartbeat *h)
{
    gboolean lost;

    g_mutex_lock(&h->lock);
    lost = h->key && h->lost;
    g_mutex_unlock(&h->lock);
    return lost;
}

gint64 colo_heartbeat_heard_at(ColoHeartbeat *h)
{
    gint64 at;

    g_mutex_lock(&h->lock);
    at = h->key ? h->heard : G_MAXINT64;
    g_mutex_unlock(&h->lock);
    return at;
}

ColoState colo_heartbeat_peer_state(ColoHeartbeat *h)
{
    ColoState state;

    g_mutex_lock(&h->lock);
    state = h->peer_state;
    g_mutex_unlock(&h->lock);
    return state;
}
