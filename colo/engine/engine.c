/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both roles of the engine share. */
#include "colo/engine/engine.h"
#include "colo/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* For a process to end, once its monitor hangs or is closed */
#define HUNG_MS   300
#define CLOSED_MS 5000

static void count_degraded(ColoStatus *s)
{
    gint64 now = g_get_monotonic_time();

    if (s->degraded_since) {
        s->degraded_us += now - s->degraded_since;
    }
    s->degraded_since = s->state == COLO_STATE_DEGRADED ? now : 0;
}

void colo_engine_step(ColoEngine *e, ColoTrigger on, const char *detail, ...)
{
    ColoState previous = e->state;
    int next = colo_state_next(previous, on, e->config->primary);
    g_autofree char *text = NULL;
    JsonObject *data;
    va_list ap;

    if (next < 0) {
        /* A defect of ours: stay, and say so, rather than guess. */
        colo_log_error("state %s has no step for \"%s\"",
                       colo_state_name(previous), colo_trigger_name(on));
        return;
    }
    va_start(ap, detail);
    text = g_strdup_vprintf(detail, ap);
    va_end(ap);

    e->state = (ColoState)next;
    if (e->vm) {
        colo_vm_patient(e->vm, e->state == COLO_STATE_ACTIVE &&
                                   !e->config->periodic);
    }
    colo_status_lock(e->status);
    e->status->state = e->state;
    e->status->was_active |= e->state == COLO_STATE_ACTIVE ||
                             e->state == COLO_STATE_DEGRADED;
    count_degraded(e->status);
    g_free(e->status->detail);
    e->status->detail = g_strdup(text);
    colo_status_unlock(e->status);

    if (e->state == previous &&
        (on == COLO_ON_COMMIT || on == COLO_ON_COMMIT_OPEN)) {
        return; /* each checkpoint has its own event */
    }
    colo_heartbeat_say(e->heartbeat, e->state, FALSE);
    (e->state == COLO_STATE_FAILED || e->state == COLO_STATE_UNPROTECTED ||
             e->state == COLO_STATE_DEGRADED
         ? colo_log_warn
         : colo_log_info)("%s: %s", colo_state_name(e->state), text);
    data = json_object_new();
    json_object_set_string_member(data, "state", colo_state_name(e->state));
    json_object_set_string_member(data, "previous", colo_state_name(previous));
    json_object_set_string_member(data, "detail", text);
    colo_qmp_server_emit(e->control, "COLO_STATE", data);
}

void colo_engine_note(ColoEngine *e, const char *detail)
{
    colo_status_lock(e->status);
    g_free(e->status->detail);
    e->status->detail = g_strdup(detail);
    colo_status_unlock(e->status);
    colo_log_info("%s", detail);
}

void colo_engine_note_reopen(ColoEngine *e, const GError *error)
{
    GQuark domain = error ? error->domain : 0;
    int code = error ? error->code : 0;

    if (error) {
        colo_log_debug("%s", error->message);
    }
    /* That it is gone has been said. */
    if (error && (domain != e->reopen_domain || code != e->reopen_code) &&
        !g_error_matches(error, COLO_VM_ERROR, COLO_VM_ERROR_GONE)) {
        colo_engine_note(e, error->message);
    }
    e->reopen_domain = domain;
    e->reopen_code = code;
}

void colo_engine_commit(ColoEngine *e, guint64 epoch, gboolean with_proxy)
{
    const char *verb = e->config->primary ? "protected" : "protecting";

    if (with_proxy || !colo_proxy_is_wanted(e->proxy)) {
        colo_engine_step(e, COLO_ON_COMMIT,
                         "%s, checkpoint %" G_GUINT64_FORMAT " is committed",
                         verb, epoch);
        return;
    }
    colo_engine_step(e, COLO_ON_COMMIT_OPEN,
                     "%s but for clients' connections, checkpoint "
                     "%" G_GUINT64_FORMAT " is committed: %s",
                     verb, epoch,
                     colo_proxy_is_ready(e->proxy)
                         ? "the proxy had no part in it"
                         : colo_proxy_why(e->proxy));
}

void colo_engine_degrade(ColoEngine *e, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    colo_engine_step(e, COLO_ON_PART_LOST, "%s", text);
}

void colo_engine_emit_exit(ColoEngine *e, const char *reason)
{
    JsonObject *data = json_object_new();

    colo_status_lock(e->status);
    e->status->reason = reason;
    colo_status_unlock(e->status);
    json_object_set_string_member(data, "mode",
                                  e->config->primary ? "primary" : "secondary");
    json_object_set_string_member(data, "reason", reason);
    colo_qmp_server_emit(e->control, "COLO_EXIT", data);
}

void colo_engine_say_end(ColoEngine *e, gboolean in_session)
{
    in_session &= e->state < COLO_STATE_TAKEOVER;
    colo_log_info("ending, as asked%s",
                  !in_session          ? ""
                  : e->config->primary ? ": the guest goes on unprotected"
                                       : ": nobody stands by for the guest");
    if (in_session) {
        colo_engine_emit_exit(e, "request");
    }
}

static void on_vm_event(ColoVmEvent event, const char *detail, gpointer data)
{
    ColoEngine *e = data;

    switch (event) {
    case COLO_VM_EVENT_STOPPED:
        colo_log_info("the guest was stopped by somebody else");
        e->saw_stop = TRUE;
        break;
    case COLO_VM_EVENT_RESUMED:
        colo_log_info("the guest was resumed by somebody else");
        e->saw_resume = TRUE;
        break;
    case COLO_VM_EVENT_RESET:
        colo_log_info("the guest was reset");
        e->saw_reset = TRUE;
        break;
    case COLO_VM_EVENT_SHUTDOWN:
        colo_log_info("the guest shut down (%s)", detail ? detail : "unknown");
        e->saw_shutdown = TRUE;
        g_free(e->shutdown_reason);
        e->shutdown_reason = g_strdup(detail ? detail : "unknown");
        break;
    case COLO_VM_EVENT_PANICKED:
        colo_log_warn("the guest panicked");
        break;
    }
}

gboolean colo_engine_open_vm(ColoEngine *e, gint64 timeout_us, GError **error)
{
    const ColoConfig *c = e->config;
    ColoVmOptions o = {
        .qmp_path = c->qmp,
        .qmp_timeout_us = timeout_us,
        .qemu_pid = c->qemu_pid,
        .on_event = on_vm_event,
        .user_data = e,
    };
    ColoTrackTarget target;

    e->vm = colo_vm_open(&o, error);
    if (!e->vm) {
        return FALSE;
    }
    colo_vm_set_timeout(e->vm, c->qmp_timeout_ms * 1000);
    e->saw_shutdown = e->saw_reset = e->saw_resume = e->saw_stop = FALSE;
    colo_run_state_attach(e->run, colo_vm_pid(e->vm),
                          colo_vm_start_time(e->vm));
    if (c->primary && colo_run_state_get(e->run, COLO_RUN_CAPTURING)) {
        colo_log_warn("the guest was left stopped in a capture: resuming it");
        if (!colo_vm_cont(e->vm, error)) {
            colo_engine_close_vm(e);
            return FALSE;
        }
        colo_run_state_set(e->run, COLO_RUN_CAPTURING, FALSE);
    }

    e->pidfd = (int)syscall(SYS_pidfd_open, colo_vm_pid(e->vm), 0);
    if (e->pidfd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot watch QEMU's process %d: %s",
                    (int)colo_vm_pid(e->vm), g_strerror(errno));
        colo_engine_close_vm(e);
        return FALSE;
    }
    target.pid = colo_vm_pid(e->vm);
    target.addr = colo_vm_ram_addr(e->vm);
    target.ram = colo_vm_ram(e->vm);
    target.n_pages = colo_vm_ram_bytes(e->vm) / COLO_PAGE_SIZE;
    e->tracker = colo_tracker_new(c->tracker, &target, error);
    if (!e->tracker) {
        colo_engine_close_vm(e);
        return FALSE;
    }

    colo_status_lock(e->status);
    g_free(e->status->tracker);
    e->status->tracker =
        g_strdup(colo_tracker_kind_name(colo_tracker_kind(e->tracker)));
    g_free(e->status->qemu_version);
    e->status->qemu_version = g_strdup(colo_vm_qemu_version(e->vm));
    e->status->guest_running = colo_vm_running(e->vm);
    colo_status_unlock(e->status);
    colo_log_info("QEMU %s, pid %d: %s, %zu MiB RAM, dirty tracking by %s",
                  colo_vm_qemu_version(e->vm), (int)colo_vm_pid(e->vm),
                  colo_vm_machine(e->vm), colo_vm_ram_bytes(e->vm) >> 20,
                  colo_tracker_kind_name(colo_tracker_kind(e->tracker)));
    return TRUE;
}

void colo_engine_close_vm(ColoEngine *e)
{
    g_clear_pointer(&e->tracker, colo_tracker_free);
    g_clear_pointer(&e->attach, colo_disk_attach_free);
    g_clear_pointer(&e->cut, colo_disk_cut_free);
    g_clear_pointer(&e->vm, colo_vm_free);
    if (e->pidfd >= 0) {
        close(e->pidfd);
        e->pidfd = -1;
    }
    colo_status_lock(e->status);
    e->status->guest_running = FALSE;
    colo_status_unlock(e->status);
}

gboolean colo_engine_vm_died(ColoEngine *e, const GError *error)
{
    struct pollfd p = {.fd = e->pidfd, .events = POLLIN};
    /*
     * A process that dies closes its sockets just before it is gone; on a
     * busy host its other threads take their time.  Nothing of its guest is
     * sent any more, and one that is taken for silent instead is not taken
     * over: so it is given as long as that may be.
     */
    gboolean closed =
        g_error_matches(error, COLO_VM_ERROR, COLO_VM_ERROR_GONE) &&
        !e->saw_shutdown;
    gboolean died =
        e->pidfd < 0 || poll(&p, 1, closed ? CLOSED_MS : HUNG_MS) > 0;

    /* Its last words may be there still: that the guest shut down. */
    if (died && e->vm) {
        colo_vm_dispatch(e->vm, NULL);
    }
    return died;
}

gboolean colo_engine_vm_lost(const GError *error)
{
    return g_error_matches(error, COLO_VM_ERROR, COLO_VM_ERROR_GONE) ||
           g_error_matches(error, COLO_VM_ERROR, COLO_VM_ERROR_HUNG);
}

/* Of two times the first; -1: never */
static gint64 sooner(gint64 a, gint64 b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

gboolean colo_engine_wait(ColoEngine *e, gint64 deadline_us, GError **error)
{
    struct pollfd p[5] = {
        {.fd = colo_mailbox_fd(e->mailbox), .events = POLLIN},
        {.fd = e->vm ? colo_vm_fd(e->vm) : -1, .events = POLLIN},
        {.fd = colo_proxy_fd(e->proxy), .events = POLLIN},
        {.fd = e->attach ? colo_disk_attach_fd(e->attach) : -1,
         .events = POLLIN},
        {.fd = e->cut ? colo_disk_cut_fd(e->cut) : -1, .events = POLLIN},
    };
    struct timespec wait = {0};
    gint64 left;
    gboolean ok = TRUE;

    deadline_us = sooner(deadline_us, colo_proxy_deadline(e->proxy));
    if (e->attach) {
        deadline_us =
            sooner(deadline_us, colo_disk_attach_deadline(e->attach));
    }
    left = deadline_us - g_get_monotonic_time();
    if (left > 0) {
        wait.tv_sec = left / G_USEC_PER_SEC;
        wait.tv_nsec = left % G_USEC_PER_SEC * 1000;
    }
    if (ppoll(p, 5, deadline_us < 0 ? NULL : &wait, NULL) < 0 &&
        errno != EINTR) {
        g_error("the engine cannot poll: %s", g_strerror(errno));
    }
    colo_proxy_dispatch(e->proxy);
    if (e->vm && p[1].revents) {
        ok = colo_vm_dispatch(e->vm, error);
    }
    if (e->cut && p[4].revents) {
        colo_disk_cut_dispatch(e->cut);
    }
    if (e->attach && ok) {
        ok = colo_disk_attach_dispatch(e->attach, error);
    }
    if (e->vm) {
        gboolean running = ok && colo_vm_running(e->vm);

        colo_status_lock(e->status);
        e->status->guest_running = running;
        colo_status_unlock(e->status);
    }
    return ok;
}

gboolean colo_is_zero(const void *data, gsize len)
{
    const guint64 *p = data;

    /* Most pages that are not zero show it at once. */
    for (gsize i = 0; i < len / sizeof(*p); i += 8) {
        if (p[i] | p[i + 1] | p[i + 2] | p[i + 3] | p[i + 4] | p[i + 5] |
            p[i + 6] | p[i + 7]) {
            return FALSE;
        }
    }
    return TRUE;
}
