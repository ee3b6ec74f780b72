/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colod: start, the control thread's loop, and the end. */
#include "colo/engine/control.h"
#include "colo/engine/engine.h"
#include "colo/log.h"
#include "colo/names.h"

#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

/* To start colod again would not help: QEMU's command line has to change. */
#define EXIT_UNPROTECTABLE 3

static gboolean on_signal(gpointer data)
{
    colo_mailbox_tell(data, COLO_MSG_QUIT, 0, NULL, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean open_vm(ColoEngine *e, GError **error)
{
    gint64 timeout = e->config->qmp_timeout_ms * 1000;

    return e->config->primary ? colo_engine_open_vm(e, timeout, error)
                              : colo_secondary_open(e, timeout, error);
}

/* A rest between two attempts; the operator may end them. */
static void rest(ColoEngine *e)
{
    struct pollfd p = {.fd = colo_mailbox_fd(e->mailbox), .events = POLLIN};
    g_autoptr(ColoMsg) m = NULL;

    poll(&p, 1, 20);
    m = colo_mailbox_take(e->mailbox);
    e->quit |= m && m->type == COLO_MSG_QUIT;
}

/*
 * QEMU may be starting at this moment, so it gets a little time.  That its
 * socket is there does not say that anybody listens: it appears before, and
 * one that was killed leaves its own behind.
 */
static gboolean open_patiently(ColoEngine *e, GError **error)
{
    gint64 end =
        g_get_monotonic_time() + e->config->qmp_timeout_ms * 1000;
    g_autoptr(GError) why = NULL;

    if (e->disks) {
        /* It can only be started when its disks are served. */
        end = G_MAXINT64;
        colo_engine_note(e, "waiting for QEMU");
    }
    while (!open_vm(e, &why)) {
        if (!colo_engine_vm_lost(why) || g_get_monotonic_time() >= end) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        colo_log_debug("%s", why->message);
        g_clear_error(&why);
        rest(e);
        if (e->quit) {
            return TRUE;
        }
    }
    return e->config->primary || colo_secondary_listen(e, error);
}

/* The VM is opened here, so that the control socket answers meanwhile. */
static gpointer engine_thread(gpointer data)
{
    ColoEngine *e = data;
    g_autoptr(GError) error = NULL;

    if (!open_patiently(e, &error)) {
        colo_log_error("%s", error->message);
        e->failed = TRUE;
        e->unprotectable = g_error_matches(error, COLO_VM_ERROR,
                                           COLO_VM_ERROR_UNPROTECTABLE);
    } else if (e->quit) {
        return NULL;
    } else if (e->config->primary) {
        colo_primary_run(e);
    } else {
        colo_secondary_run(e);
    }
    return NULL;
}

typedef struct Main {
    ColoEngine *e;
    GMainLoop *loop;
} Main;

static gpointer watch_engine(gpointer data)
{
    Main *m = data;
    GThread *t = g_thread_new("engine", engine_thread, m->e);

    g_thread_join(t);
    g_main_loop_quit(m->loop);
    return NULL;
}

static gboolean start(ColoEngine *e, GError **error)
{
    const ColoConfig *c = e->config;

    e->run = colo_run_state_open(c->state_dir, c->name, error);
    if (!e->run ||
        !colo_qmp_server_listen(e->control, c->control, error)) {
        return FALSE;
    }
    e->heartbeat = colo_heartbeat_new(c->heartbeats, c->primary,
                                      c->hb_interval_ms * 1000,
                                      c->hb_timeout_ms * 1000, e->mailbox,
                                      e->status, error);
    if (!e->heartbeat) {
        return FALSE;
    }
    if (!c->disks.list->len) {
        colo_log_info("no disk is replicated%s",
                      c->disks.nbd ? ": name it by --disk" : "");
    }
    return !c->disks.served->len || colo_serve_disks(e, error);
}

static void finish(ColoEngine *e)
{
    colo_heartbeat_free(e->heartbeat);
    colo_secondary_close(e);
    colo_engine_close_vm(e);
    colo_disk_server_free(e->disks);
    colo_proxy_free(e->proxy);
    colo_qmp_server_free(e->control);
    colo_run_state_close(e->run);
    colo_mailbox_unref(e->mailbox);
    colo_status_free(e->status);
    g_free(e->instance);
    g_free(e->shutdown_reason);
}

int main(int argc, char **argv)
{
    ColoConfig *c = colo_config_parse(argc, argv);
    g_autofree char *ident =
        g_strdup_printf("colod %s %s", c->primary ? "primary" : "secondary",
                        c->name);
    g_autoptr(GError) error = NULL;
    ColoEngine e = {.config = c, .pidfd = -1};
    ColoControl control;
    Main m = {.e = &e};
    int status = EXIT_FAILURE;

    signal(SIGPIPE, SIG_IGN);
    colo_log_init(ident, c->debug);
    e.mailbox = colo_mailbox_new();
    e.status = colo_status_new(c->primary, c->name);
    e.status->delay_ms = c->delay_ms;
    e.status->periodic = c->periodic;
    e.status->peer = c->peer ? colo_addr_format(c->peer) : NULL;
    e.status->proxy_path = g_strdup(c->proxy);
    e.proxy = colo_proxy_new(c, e.status);
    e.instance = colo_new_id();
    control.engine = e.mailbox;
    control.status = e.status;
    e.control = colo_qmp_server_new("colo", colo_control_commands, &control);

    if (!start(&e, &error)) {
        colo_log_error("%s", error->message);
    } else {
        GThread *watch;

        g_unix_signal_add(SIGTERM, on_signal, e.mailbox);
        g_unix_signal_add(SIGINT, on_signal, e.mailbox);
        m.loop = g_main_loop_new(NULL, FALSE);
        watch = g_thread_new("watch", watch_engine, &m);
        g_main_loop_run(m.loop);
        g_thread_join(watch);
        g_main_loop_unref(m.loop);
        status = e.unprotectable ? EXIT_UNPROTECTABLE
                 : e.failed      ? EXIT_FAILURE
                                 : EXIT_SUCCESS;
    }
    finish(&e);
    colo_config_free(c);
    return status;
}
