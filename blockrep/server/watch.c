/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that keeps nbdkit running. */
#include "blockrep/server/server-priv.h"

#include "colo/common/qmp-wire.h"
#include "colo/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define START_US   (10 * G_USEC_PER_SEC) /* once its socket is there */
#define TELL_US    (10 * G_USEC_PER_SEC)
#define LOOK_MS    10                    /* for its control socket */
#define ANSWER_US  (2 * G_USEC_PER_SEC)
#define QUERY_US   G_USEC_PER_SEC
#define HUNG_US    (15 * G_USEC_PER_SEC)
#define STOP_US    (3 * G_USEC_PER_SEC)  /* for an end in order */
#define LIVED_US   G_USEC_PER_SEC        /* whoever did is replaced at once */
#define DELAY_US   (50 * 1000)           /* before another try, doubled */
#define MAX_DELAY_US (2 * G_USEC_PER_SEC)

static gboolean wants_to_quit(ColoDiskServer *s)
{
    gboolean quit;

    g_mutex_lock(&s->lock);
    quit = s->quit;
    g_mutex_unlock(&s->lock);
    return quit;
}

static void set_down(ColoDiskServer *s, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

static void set_down(ColoDiskServer *s, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    gboolean news;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_mutex_lock(&s->lock);
    news = s->up || g_strcmp0(s->why, why);
    s->up = FALSE;
    g_free(s->why);
    s->why = g_steal_pointer(&why);
    g_cond_broadcast(&s->changed);
    g_mutex_unlock(&s->lock);
    if (news) {
        colo_log_warn("the disks are not served: %s", s->why);
        s->news(s->user_data);
    }
}

/* Only this thread changes why and asked; it reads them without the lock. */

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    ColoDiskServer *s = user_data;

    s->event(event, data, s->user_data);
}

/* Sleep until nbdkit says something or ends, there is an event, or ms. */
static void await(ColoDiskServer *s, int ms)
{
    struct pollfd p[4] = {
        {.fd = s->wake, .events = POLLIN},
        {.fd = s->nbdkit.pidfd, .events = POLLIN},
        {.fd = s->nbdkit.words, .events = POLLIN},
        {.fd = s->watch ? colo_qmp_client_fd(s->watch) : -1,
         .events = POLLIN},
    };

    if (poll(p, 4, ms) < 0) {
        g_assert(errno == EINTR);
    }
    if (p[2].revents && !nbdkit_read(&s->nbdkit)) {
        close(s->nbdkit.words);
        s->nbdkit.words = -1;
    }
}

static gboolean has_ended(ColoDiskServer *s)
{
    struct pollfd p = {.fd = s->nbdkit.pidfd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

static JsonNode *ask(ColoDiskServer *s, const char *command, JsonObject *args,
                     GError **error)
{
    return colo_qmp_client_call(s->watch, command, args, ANSWER_US, error);
}

/* Is it what the plugin is to answer? */
static gboolean is_list_of_objects(JsonNode *node)
{
    JsonArray *a = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node)
                                               : NULL;

    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        if (!JSON_NODE_HOLDS_OBJECT(json_array_get_element(a, i))) {
            return FALSE;
        }
    }
    return a != NULL;
}

static gboolean take_disks(ColoDiskServer *s, JsonNode *node)
{
    if (!is_list_of_objects(node)) {
        json_node_unref(node);
        return FALSE;
    }
    g_mutex_lock(&s->lock);
    g_clear_pointer(&s->disks, json_node_unref);
    s->disks = node;
    g_mutex_unlock(&s->lock);
    return TRUE;
}

/*
 * What the one before knew and no disk holds.  An epoch that this one does not
 * have was not committed, whatever we noted: its caller is told so.
 */
static gboolean brief(ColoDiskServer *s, GError **error)
{
    g_autoptr(JsonNode) done = NULL, committed = NULL;
    g_autofree char *session = NULL;
    g_autoptr(GError) e = NULL;
    JsonObject *args;
    guint64 epoch;

    g_mutex_lock(&s->lock);
    session = g_strdup(s->session);
    epoch = s->committed;
    g_mutex_unlock(&s->lock);
    if (!session) {
        return TRUE;
    }
    args = json_object_new();
    json_object_set_string_member(args, "session", session);
    done = ask(s, "disk-session", args, error);
    if (!done || !epoch) {
        return done != NULL;
    }
    args = json_object_new();
    json_object_set_int_member(args, "epoch", (gint64)epoch);
    committed = ask(s, "disk-commit", args, &e);
    if (!committed) {
        colo_log_warn("disk-commit of epoch %" G_GUINT64_FORMAT
                      " was not repeated: %s",
                      epoch, e->message);
    }
    return committed || e->code < COLO_QMP_ERROR_TIMEOUT;
}

/* The control socket is there when the plugin is ready. */
static gboolean greet(ColoDiskServer *s, GError **error)
{
    JsonNode *disks;

    s->watch =
        colo_qmp_client_connect(s->control, ANSWER_US, on_event, s, error);
    if (!s->watch || !brief(s, error)) {
        return FALSE;
    }
    disks = ask(s, "query-disks", NULL, error);
    if (!disks) {
        return FALSE;
    }
    if (!take_disks(s, disks)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "query-disks is not answered with disks");
        return FALSE;
    }
    return TRUE;
}

static gboolean start(ColoDiskServer *s, GError **error)
{
    gint64 told = g_get_monotonic_time(), end;

    unlink(s->control); /* a predecessor's: who answers there is not ours */
    if (!listener_open(&s->listener, error) ||
        !nbdkit_start(&s->nbdkit, s->argv, s->listener.fd, error)) {
        return FALSE;
    }
    /* However long it takes: it reads the stores' logs. */
    while (access(s->control, F_OK) < 0 && !wants_to_quit(s) && !has_ended(s)) {
        await(s, LOOK_MS);
        if (g_get_monotonic_time() - told > TELL_US) {
            told = g_get_monotonic_time();
            colo_log_info("nbdkit is still opening the disks");
        }
    }
    end = g_get_monotonic_time() + START_US;
    for (;;) {
        g_autoptr(GError) e = NULL;

        if (has_ended(s) || wants_to_quit(s)) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                                "while it was starting");
            return FALSE;
        }
        if (greet(s, &e)) {
            return TRUE;
        }
        g_clear_pointer(&s->watch, colo_qmp_client_free);
        if (g_get_monotonic_time() >= end) {
            g_propagate_error(error, g_steal_pointer(&e));
            return FALSE;
        }
        await(s, LOOK_MS);
    }
}

/* 0: it has answered. */
static void set_asked(ColoDiskServer *s, guint64 id)
{
    g_mutex_lock(&s->lock);
    disk_server_note_silence(s);
    s->asked = id;
    if (id) {
        s->asked_at = g_get_monotonic_time();
    }
    g_mutex_unlock(&s->lock);
}

static void on_reply(guint64 id, JsonNode *value, gpointer user_data)
{
    ColoDiskServer *s = user_data;

    if (id == s->asked) {
        s->answered = TRUE;
    }
}

/* query-disks, once a second.  FALSE: it is time for an answer. */
static gboolean keep_asking(ColoDiskServer *s)
{
    gint64 now = g_get_monotonic_time();
    g_autoptr(GError) e = NULL;

    if (s->answered) {
        JsonNode *disks = colo_qmp_client_wait(s->watch, s->asked, now, &e);

        set_asked(s, 0);
        s->answered = FALSE;
        if (disks && take_disks(s, disks)) {
            s->news(s->user_data);
        }
    }
    if (s->asked) {
        if (!s->said_late && now - s->asked_at >= ANSWER_US) {
            s->said_late = TRUE;
            colo_log_warn("nbdkit has not answered for %d s",
                          (int)(ANSWER_US / G_USEC_PER_SEC));
        }
        return now - s->asked_at < HUNG_US;
    }
    s->said_late = FALSE;
    if (now - s->asked_at >= QUERY_US) {
        set_asked(s, colo_qmp_client_send(s->watch, "query-disks", NULL));
        /* If that does not work out, the next dispatch says so. */
        colo_qmp_client_flush(s->watch, now + ANSWER_US, NULL);
    }
    return TRUE;
}

/* Until it ends, or has to. */
static void serve(ColoDiskServer *s)
{
    s->answered = FALSE;
    colo_qmp_client_set_reply_func(s->watch, on_reply);
    g_mutex_lock(&s->lock);
    disk_server_note_silence(s); /* until now */
    s->up = TRUE;
    s->asked = 0;
    s->asked_at = g_get_monotonic_time();
    s->generation++;
    g_free(s->why);
    s->why = g_strdup("");
    g_cond_broadcast(&s->changed);
    g_mutex_unlock(&s->lock);
    colo_log_info("nbdkit serves the disks, pid %d", (int)s->nbdkit.pid);
    s->news(s->user_data);

    while (!wants_to_quit(s) && !has_ended(s)) {
        g_autoptr(GError) e = NULL;

        await(s, (int)(QUERY_US / 1000));
        if (!colo_qmp_client_dispatch(s->watch, &e)) {
            /* It dies now, or its control server broke. */
            await(s, LOOK_MS);
            if (!has_ended(s)) {
                colo_log_warn("nbdkit hung up: %s", e->message);
            }
            return;
        }
        if (!keep_asking(s)) {
            colo_log_error("nbdkit does not answer: ending it");
            return;
        }
    }
}

/*
 * In order it answers requests with errors until it is gone: right for a
 * primary's mirror, which needs not wait then, but not for a survivor's guest.
 */
static gboolean end_in_order(ColoDiskServer *s)
{
    gboolean promoted;
    g_autoptr(JsonNode) done = NULL;

    g_mutex_lock(&s->lock);
    promoted = s->promoted;
    g_mutex_unlock(&s->lock);
    if (promoted || !s->watch || !wants_to_quit(s)) {
        return FALSE;
    }
    done = ask(s, "quit", NULL, NULL);
    return done != NULL;
}

/*
 * Before another attempt: there is no nbdkit, and perhaps none will start for
 * long.  Clients are told so rather than kept.
 */
static void pause_for(ColoDiskServer *s, gint64 delay_us)
{
    gint64 end = g_get_monotonic_time() + delay_us, left;

    while (!wants_to_quit(s) && (left = end - g_get_monotonic_time()) > 0) {
        struct pollfd p[2] = {
            {.fd = s->wake, .events = POLLIN},
            {.fd = s->listener.fd, .events = POLLIN},
        };

        if (poll(p, 2, (int)(left / 1000) + 1) < 0) {
            g_assert(errno == EINTR);
        } else if (p[1].revents) {
            listener_refuse(&s->listener);
        }
    }
}

gpointer disk_server_thread(gpointer server)
{
    ColoDiskServer *s = server;
    gint64 delay = 0;

    while (!wants_to_quit(s)) {
        gint64 begin = g_get_monotonic_time();
        g_autoptr(GError) error = NULL;
        g_autofree char *how = NULL;
        const char *why;
        gboolean started = start(s, &error), order;

        if (started) {
            serve(s);
        }
        order = end_in_order(s);
        g_clear_pointer(&s->watch, colo_qmp_client_free);
        how = nbdkit_end(&s->nbdkit, order ? STOP_US : 0);
        if (wants_to_quit(s)) {
            break;
        }
        why = s->nbdkit.complaint ? s->nbdkit.complaint
              : error             ? error->message
                                  : NULL;
        if (how) {
            set_down(s, "nbdkit has ended (%s)%s%s", how, why ? ": " : "",
                     why ? why : "");
        } else {
            set_down(s, "%s", why);
        }
        delay = started && g_get_monotonic_time() - begin > LIVED_US ? 0
                : delay ? MIN(2 * delay, MAX_DELAY_US)
                        : DELAY_US;
        pause_for(s, delay);
    }
    listener_close(&s->listener);
    set_down(s, "colod is ending");
    return NULL;
}
