/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket's thread. */
#include "blockrep/plugin/control.h"

struct Control {
    const char *path;
    ControlTarget target;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;

    GMutex lock;
    GCond cond;
    ColoQmpServer *server; /* NULL: not there yet, or no more */
    gboolean ready;        /* listening, or failed */
    GError *error;
};

static void on_event(const char *event, JsonObject *data, gpointer user)
{
    Control *c = user;

    g_mutex_lock(&c->lock);
    if (c->server) {
        colo_qmp_server_emit(c->server, event, g_steal_pointer(&data));
    }
    g_mutex_unlock(&c->lock);
    g_clear_pointer(&data, json_object_unref);
}

static gpointer serve(gpointer user)
{
    Control *c = user;
    ColoQmpServer *server;
    gboolean ok;

    g_main_context_push_thread_default(c->context);
    server = colo_qmp_server_new("colo", control_commands, &c->target);
    ok = colo_qmp_server_listen(server, c->path, &c->error);
    g_mutex_lock(&c->lock);
    c->server = ok ? server : NULL;
    c->ready = TRUE;
    g_cond_signal(&c->cond);
    g_mutex_unlock(&c->lock);
    if (ok) {
        g_main_loop_run(c->loop);
    }
    g_mutex_lock(&c->lock);
    c->server = NULL;
    g_mutex_unlock(&c->lock);
    colo_qmp_server_free(server);
    g_main_context_pop_thread_default(c->context);
    return NULL;
}

Control *control_new(const char *path, const ControlTarget *target)
{
    Control *c = g_new0(Control, 1);

    c->path = path;
    c->target = *target;
    c->context = g_main_context_new();
    c->loop = g_main_loop_new(c->context, FALSE);
    g_mutex_init(&c->lock);
    g_cond_init(&c->cond);
    target->set->event = on_event;
    target->set->user = c;
    return c;
}

gboolean control_start(Control *c, GError **error)
{
    c->thread = g_thread_new("control", serve, c);
    g_mutex_lock(&c->lock);
    while (!c->ready) {
        g_cond_wait(&c->cond, &c->lock);
    }
    g_mutex_unlock(&c->lock);
    if (c->error) {
        g_propagate_error(error, g_steal_pointer(&c->error));
        return FALSE;
    }
    return TRUE;
}

static gboolean end_loop(gpointer user)
{
    Control *c = user;

    g_main_loop_quit(c->loop);
    return G_SOURCE_REMOVE;
}

void control_stop(Control *c)
{
    GSource *source;

    if (!c || !c->thread) {
        return;
    }
    source = g_idle_source_new();
    g_source_set_callback(source, end_loop, c, NULL);
    g_source_attach(source, c->context);
    g_source_unref(source);
    g_thread_join(g_steal_pointer(&c->thread));
}

void control_free(Control *c)
{
    if (c) {
        c->target.set->event = NULL;
        g_main_loop_unref(c->loop);
        g_main_context_unref(c->context);
        g_mutex_clear(&c->lock);
        g_cond_clear(&c->cond);
        g_free(c);
    }
}
