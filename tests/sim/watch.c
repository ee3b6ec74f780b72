/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watching a colod. */
#include "tests/sim/watch.h"
#include "tests/sim/cpu-wait.h"
#include "tests/sim/proc.h"
#include "colo/common/qmp-wire.h"
#include "colo/qmp-client.h"

#include <string.h>
#include <unistd.h>

enum {
    CONNECT_US = 1000 * 1000,
    ANSWER_US = 5000 * 1000,
    REST_US = 4000,
    LONG_US = 20 * 1000, /* worth to ask why */
    SLOW_US = 60 * 1000, /* worth to look where they are */
};

struct Watch {
    char *control;
    GThread *thread;
    /* The thread's own: */
    ColoQmpClient *client;
    CpuWait ours, theirs; /* when the question was asked */
    gint64 stolen_us, forked_us, answer_by;
    GString *slow; /* where the threads were meanwhile; empty: it was fast */

    GMutex lock; /* guards all below */
    GCond changed;
    gboolean quit;
    gboolean stale; /* the state changed since status was asked for */
    guint changes;  /* of the state, so far */
    WatchStatus status;
    GArray *events; /* of WatchEvent */
    gint64 worst_us;
    char *worst; /* slow, of that one */
};

static void copy(char *to, gsize size, JsonObject *o, const char *name)
{
    const char *text = o ? colo_json_get_string(o, name) : NULL;

    g_strlcpy(to, text ? text : "", size);
}

static void on_event(const char *name, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    Watch *w = user_data;
    WatchEvent e = {.time_us = time_us};
    gint64 epoch = 0;

    g_strlcpy(e.name, name, sizeof(e.name));
    copy(e.state, sizeof(e.state), data, "state");
    copy(e.reason, sizeof(e.reason), data, "reason");
    if (data) {
        colo_json_get_int(data, "epoch", &epoch);
    }
    e.epoch = epoch;
    g_mutex_lock(&w->lock);
    if (g_str_equal(name, "COLO_STATE")) {
        w->changes++;
        w->stale = TRUE;
    }
    g_array_append_val(w->events, e);
    g_cond_broadcast(&w->changed);
    g_mutex_unlock(&w->lock);
}

/* asked: the changes until then. */
static void take_status(Watch *w, JsonObject *o, guint asked)
{
    WatchStatus *s = &w->status;
    gint64 epoch = 0;

    g_mutex_lock(&w->lock);
    w->stale = w->changes != asked;
    s->connected = TRUE;
    s->serial++;
    copy(s->state, sizeof(s->state), o, "state");
    copy(s->mode, sizeof(s->mode), o, "mode");
    copy(s->reason, sizeof(s->reason), o, "reason");
    copy(s->heartbeat, sizeof(s->heartbeat), o, "heartbeat");
    copy(s->tracker, sizeof(s->tracker), o, "tracker");
    copy(s->detail, sizeof(s->detail), o, "detail");
    s->guest_running = FALSE;
    colo_json_get_bool(o, "guest-running", &s->guest_running);
    colo_json_get_int(o, "epoch", &epoch);
    s->epoch = epoch;
    g_cond_broadcast(&w->changed);
    g_mutex_unlock(&w->lock);
}

/* Without what the machine's other load costs. */
static void took(Watch *w, gint64 us)
{
    gint64 theirs = 0, ours = 0, stolen = 0, forked = 0, left = us;

    if (us > LONG_US) {
        theirs = cpu_wait_us(&w->theirs);
        ours = cpu_wait_us(&w->ours);
        stolen = cpu_stolen_us() - w->stolen_us;
        forked = proc_forked_us() - w->forked_us;
        /* A colod that ended after its answer took its record along. */
        left = theirs < 0 ? 0 : us - theirs - ours - stolen - forked;
    }
    g_mutex_lock(&w->lock);
    if (left > w->worst_us) {
        w->worst_us = left;
        g_free(w->worst);
        w->worst = g_strdup_printf(
            "# %d ms; kept waiting: colod %d, this test %d and %d by its own "
            "forks, all %d\n%s",
            (int)(us / 1000), (int)(theirs / 1000), (int)(ours / 1000),
            (int)(forked / 1000), (int)(stolen / 1000), w->slow->str);
    }
    g_mutex_unlock(&w->lock);
}

/* No answer yet: whoever keeps it waiting can be seen now. */
static gint64 look(gpointer user_data)
{
    Watch *w = user_data;

    if (w->slow->len) {
        return 0;
    }
    proc_where(w->slow, "the slow colod", (int)w->theirs.pid);
    proc_where(w->slow, "this test", (int)w->ours.pid);
    return w->answer_by;
}

static guint changes(Watch *w)
{
    guint n;

    g_mutex_lock(&w->lock);
    n = w->changes;
    g_mutex_unlock(&w->lock);
    return n;
}

/* FALSE: the connection is over. */
static gboolean ask(Watch *w)
{
    g_autoptr(GError) error = NULL;
    guint asked = changes(w);
    gboolean known = cpu_wait_begin(&w->ours, getpid()) &&
                     cpu_wait_begin(&w->theirs,
                                    colo_qmp_client_peer_pid(w->client));
    gint64 start;
    guint64 id;
    g_autoptr(JsonNode) node = NULL;

    w->stolen_us = cpu_stolen_us();
    w->forked_us = proc_forked_us();
    g_string_truncate(w->slow, 0);
    start = g_get_monotonic_time();
    w->answer_by = start + ANSWER_US;
    id = colo_qmp_client_send(w->client, "query-colo-status", NULL);
    colo_qmp_client_set_deadline_func(w->client, look);
    node = colo_qmp_client_wait(w->client, id, start + SLOW_US, &error);
    colo_qmp_client_set_deadline_func(w->client, NULL);
    if (!node) {
        if (g_error_matches(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT)) {
            took(w, g_get_monotonic_time() - start);
        }
        return FALSE;
    }
    if (known) {
        took(w, g_get_monotonic_time() - start);
    }
    take_status(w, json_node_get_object(node), asked);
    colo_qmp_client_wait_any(w->client, g_get_monotonic_time() + REST_US, NULL);
    return TRUE;
}

static gboolean quitting(Watch *w)
{
    gboolean quit;

    g_mutex_lock(&w->lock);
    quit = w->quit;
    g_mutex_unlock(&w->lock);
    return quit;
}

static gpointer run(gpointer data)
{
    Watch *w = data;

    while (!quitting(w)) {
        if (!w->client) {
            w->client = colo_qmp_client_connect(w->control, CONNECT_US,
                                                on_event, w, NULL);
            if (!w->client) {
                g_usleep(REST_US);
                continue;
            }
        }
        if (!ask(w)) {
            g_clear_pointer(&w->client, colo_qmp_client_free);
            g_mutex_lock(&w->lock);
            w->stale = w->status.connected = FALSE;
            w->status.state[0] = '\0';
            w->status.guest_running = FALSE;
            g_cond_broadcast(&w->changed);
            g_mutex_unlock(&w->lock);
        }
    }
    g_clear_pointer(&w->client, colo_qmp_client_free);
    return NULL;
}

Watch *watch_new(const char *control)
{
    Watch *w = g_new0(Watch, 1);

    w->control = g_strdup(control);
    w->slow = g_string_new(NULL);
    w->events = g_array_new(FALSE, FALSE, sizeof(WatchEvent));
    g_mutex_init(&w->lock);
    g_cond_init(&w->changed);
    w->thread = g_thread_new("watch", run, w);
    return w;
}

void watch_free(Watch *w)
{
    if (w) {
        g_mutex_lock(&w->lock);
        w->quit = TRUE;
        g_mutex_unlock(&w->lock);
        g_thread_join(w->thread);
        g_array_unref(w->events);
        g_mutex_clear(&w->lock);
        g_cond_clear(&w->changed);
        g_free(w->control);
        g_string_free(w->slow, TRUE);
        g_free(w->worst);
        g_free(w);
    }
}

/*
 * Who has seen an event does not see the state before it.  Called with the
 * lock held.
 */
static void wait_fresh(Watch *w)
{
    gint64 end = g_get_monotonic_time() + ANSWER_US;

    while (w->stale && g_cond_wait_until(&w->changed, &w->lock, end)) {
    }
}

void watch_status(Watch *w, WatchStatus *s)
{
    g_mutex_lock(&w->lock);
    wait_fresh(w);
    *s = w->status;
    g_mutex_unlock(&w->lock);
}

/* Called with the lock held. */
static gboolean is_in(const Watch *w, char **states)
{
    return w->status.connected &&
           g_strv_contains((const char *const *)states, w->status.state);
}

gboolean watch_wait(Watch *w, const char *states, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;
    g_auto(GStrv) wanted = g_strsplit(states, "|", -1);
    gboolean ok;

    g_mutex_lock(&w->lock);
    wait_fresh(w);
    while (!(ok = is_in(w, wanted)) &&
           g_cond_wait_until(&w->changed, &w->lock, end)) {
        wait_fresh(w);
    }
    g_mutex_unlock(&w->lock);
    return ok;
}

guint watch_events(Watch *w)
{
    guint n;

    g_mutex_lock(&w->lock);
    n = w->events->len;
    g_mutex_unlock(&w->lock);
    return n;
}

WatchEvent watch_event(Watch *w, guint i)
{
    WatchEvent e;

    g_mutex_lock(&w->lock);
    e = g_array_index(w->events, WatchEvent, i);
    g_mutex_unlock(&w->lock);
    return e;
}

gboolean watch_last(Watch *w, const char *name, guint from, WatchEvent *e)
{
    gboolean found = FALSE;

    g_mutex_lock(&w->lock);
    for (guint i = w->events->len; !found && i-- > from;) {
        *e = g_array_index(w->events, WatchEvent, i);
        found = g_str_equal(e->name, name);
    }
    g_mutex_unlock(&w->lock);
    return found;
}

gboolean watch_wait_event(Watch *w, const char *name, int ms, WatchEvent *e)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;

    while (!watch_last(w, name, 0, e)) {
        if (g_get_monotonic_time() > end) {
            return FALSE;
        }
        g_usleep(2000);
    }
    return TRUE;
}

gint64 watch_worst_us(Watch *w, char **why)
{
    gint64 us;

    g_mutex_lock(&w->lock);
    us = w->worst_us;
    *why = g_strdup(w->worst ? w->worst : "");
    g_mutex_unlock(&w->lock);
    return us;
}
