/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A running QEMU: opening and closing, its events, stop and cont. */
#include "colo/vm/vm-internal.h"

#include <stdio.h>
#include <string.h>

#define RESUME_US G_USEC_PER_SEC /* an event is never on its way for longer */

G_DEFINE_QUARK(colo - vm - error - quark, colo_vm_error)

static void report(ColoVm *vm, ColoVmEvent event, const char *detail)
{
    if (vm->on_event) {
        vm->on_event(event, detail, vm->user_data);
    }
}

/*
 * Is this ours?  Besides our stop and cont: saving and loading stop a guest
 * that somebody has resumed, and resume it afterwards.
 */
static gboolean is_own(ColoVm *vm, gboolean running)
{
    gboolean inner = vm->inner_stop;

    if (running) {
        vm->inner_stop = FALSE;
        return vm->own_cont || inner;
    }
    if (vm->own_stop) {
        return TRUE;
    }
    vm->inner_stop = vm->own_save || vm->loading;
    return vm->inner_stop;
}

static void foreign(ColoVm *vm, gboolean running)
{
    vm->disturbed = TRUE;
    vm->foreign_stopped = !running;
    report(vm, running ? COLO_VM_EVENT_RESUMED : COLO_VM_EVENT_STOPPED,
           running ? "somebody else resumed the guest"
                   : "somebody else stopped the guest");
}

static void run_state_event(ColoVm *vm, gboolean running)
{
    vm->running = running;
    if (!is_own(vm, running)) {
        foreign(vm, running);
    }
}

void colo_vm_inner_done(ColoVm *vm)
{
    if (vm->inner_stop) {
        vm->inner_stop = FALSE;
        foreign(vm, FALSE);
    }
}

/*
 * When the clocks of a guest that is resumed began to go: QEMU says RESUME just
 * before.  The event's time is the host's real time, which may have been set
 * meanwhile: then it is now.
 */
static gint64 resumed_at(gint64 real_us)
{
    gint64 ago = g_get_real_time() - real_us;

    return g_get_monotonic_time() -
           (ago >= 0 && ago <= RESUME_US ? ago : 0);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    const char *reason = data ? colo_json_get_string(data, "reason") : NULL;
    ColoVm *vm = user_data;

    if (g_str_equal(event, "STOP")) {
        vm->stop_time = time_us;
        run_state_event(vm, FALSE);
    } else if (g_str_equal(event, "RESUME")) {
        vm->resumed_us = resumed_at(time_us);
        run_state_event(vm, TRUE);
    } else if (g_str_equal(event, "JOB_STATUS_CHANGE")) {
        const char *id = data ? colo_json_get_string(data, "id") : NULL;
        const char *status = data ? colo_json_get_string(data, "status") : NULL;

        if (g_strcmp0(id, COLO_VM_JOB) == 0) {
            vm->job_concluded |= g_strcmp0(status, "concluded") == 0;
            vm->job_failed |= g_strcmp0(status, "aborting") == 0;
        }
    } else if (g_str_equal(event, "RESET")) {
        if (!vm->loading) {
            report(vm, COLO_VM_EVENT_RESET, reason ? reason : "unknown");
        }
    } else if (g_str_equal(event, "SHUTDOWN")) {
        g_free(vm->shutdown_reason);
        vm->shutdown_reason = g_strdup(reason ? reason : "unknown");
        report(vm, COLO_VM_EVENT_SHUTDOWN, vm->shutdown_reason);
    } else if (g_str_equal(event, "GUEST_PANICKED")) {
        const char *action = data ? colo_json_get_string(data, "action") : NULL;

        report(vm, COLO_VM_EVENT_PANICKED, action ? action : "unknown");
    }
    if (vm->hook) {
        vm->hook(event, data, vm->hook_data);
    }
}

/* Replies come here in the order of the stream, among the events. */
static void on_reply(guint64 id, JsonNode *value, gpointer user_data)
{
    ColoVm *vm = user_data;

    if (id == vm->own_stop) {
        vm->own_stop = 0;
    } else if (id == vm->own_cont) {
        vm->own_cont = 0;
    } else if (id == vm->own_save) {
        vm->own_save = 0;
        colo_vm_inner_done(vm);
    }
}

void colo_vm_set_patience(ColoVm *vm, ColoVmPatienceFunc patience,
                          gpointer user_data)
{
    vm->patience = patience;
    vm->patience_data = user_data;
}

static gint64 waited(const ColoVm *vm)
{
    return g_get_monotonic_time() - vm->asked_us;
}

static gint64 deadline_after(const ColoVm *vm, gint64 waited_us)
{
    gint64 us = vm->patience ? vm->patience(waited_us, vm->patience_data) : 0;

    return vm->asked_us + MAX(us, vm->timeout_us);
}

static gint64 later_deadline(gpointer user_data)
{
    const ColoVm *vm = user_data;

    return deadline_after(vm, waited(vm));
}

gint64 colo_vm_deadline(ColoVm *vm)
{
    vm->asked_us = g_get_monotonic_time();
    return deadline_after(vm, 0);
}

void colo_vm_take_error(ColoVm *vm, GError *qmp_error, const char *what,
                        GError **error)
{
    g_autoptr(GError) e = qmp_error;

    if (g_error_matches(e, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_HUNG,
                    "QEMU at %s did not answer for %" G_GINT64_FORMAT
                    " ms (%s): it hangs, or --qmp-timeout is too short",
                    vm->qmp_path, waited(vm) / 1000, what);
    } else if (g_error_matches(e, COLO_QMP_ERROR, COLO_QMP_ERROR_CLOSED) ||
               g_error_matches(e, COLO_QMP_ERROR, COLO_QMP_ERROR_PROTOCOL)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_GONE,
                    vm->shutdown_reason
                        ? "QEMU at %s ended after a shutdown (%s) (%s: %s)"
                        : "QEMU at %s is gone without a shutdown%.0s "
                          "(%s: %s)",
                    vm->qmp_path,
                    vm->shutdown_reason ? vm->shutdown_reason : "", what,
                    e->message);
    } else {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "QEMU at %s refused %s: %s", vm->qmp_path, what,
                    e->message);
    }
}

JsonNode *colo_vm_wait(ColoVm *vm, guint64 id, const char *what, GError **error)
{
    GError *e = NULL;
    JsonNode *node =
        colo_qmp_client_wait(vm->qmp, id, colo_vm_deadline(vm), &e);

    if (!node) {
        colo_vm_take_error(vm, e, what, error);
    }
    return node;
}

JsonNode *colo_vm_call(ColoVm *vm, const char *command, JsonObject *args,
                       GError **error)
{
    return colo_vm_wait(vm, colo_qmp_client_send(vm->qmp, command, args),
                        command, error);
}

void colo_vm_set_hook(ColoVm *vm, ColoVmHookFunc hook, gpointer user_data)
{
    vm->hook = hook;
    vm->hook_data = user_data;
}

gboolean colo_vm_do(ColoVm *vm, const char *command, JsonObject *args,
                    GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, command, args, error);

    return node != NULL;
}

char *colo_vm_hmp(ColoVm *vm, const char *line, GError **error)
{
    g_autoptr(JsonNode) node =
        colo_vm_call(vm, "human-monitor-command",
                     colo_vm_strings("command-line", line, NULL), error);

    if (!node) {
        return NULL;
    }
    return g_strdup(JSON_NODE_HOLDS_VALUE(node) &&
                            json_node_get_value_type(node) == G_TYPE_STRING
                        ? json_node_get_string(node)
                        : "");
}

JsonNode *colo_vm_qom_get(ColoVm *vm, const char *path, const char *property,
                          GError **error)
{
    return colo_vm_call(
        vm, "qom-get",
        colo_vm_strings("path", path, "property", property, NULL), error);
}

char *colo_vm_qom_string(ColoVm *vm, const char *path, const char *property,
                         GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_qom_get(vm, path, property, error);

    if (node && (!JSON_NODE_HOLDS_VALUE(node) ||
                 json_node_get_value_type(node) != G_TYPE_STRING)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "QEMU at %s: property %s of %s is not a string",
                    vm->qmp_path, property, path);
        return NULL;
    }
    return node ? g_strdup(json_node_get_string(node)) : NULL;
}

JsonObject *colo_vm_strings(const char *name, ...)
{
    JsonObject *o = json_object_new();
    va_list ap;

    va_start(ap, name);
    for (; name; name = va_arg(ap, const char *)) {
        json_object_set_string_member(o, name, va_arg(ap, const char *));
    }
    va_end(ap);
    return o;
}

JsonObject *colo_vm_node_object(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node)
                                                : NULL;
}

JsonArray *colo_vm_node_array(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node)
                                               : NULL;
}

JsonObject *colo_vm_element(JsonArray *a, guint i)
{
    return colo_vm_node_object(json_array_get_element(a, i));
}

guint64 colo_vm_send_stop(ColoVm *vm)
{
    vm->own_stop = colo_qmp_client_send(vm->qmp, "stop", NULL);
    return vm->own_stop;
}

guint64 colo_vm_send_cont(ColoVm *vm)
{
    vm->own_cont = colo_qmp_client_send(vm->qmp, "cont", NULL);
    return vm->own_cont;
}

gboolean colo_vm_stop(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = NULL;

    if (!colo_vm_dispatch(vm, error)) {
        return FALSE;
    }
    node = colo_vm_wait(vm, colo_vm_send_stop(vm), "stop", error);
    return node != NULL;
}

gboolean colo_vm_cont(ColoVm *vm, GError **error)
{
    g_autoptr(JsonNode) node = NULL;
    gint64 sent;

    colo_vm_restore_wait(vm);
    if (!colo_vm_dispatch(vm, error)) {
        return FALSE;
    }
    sent = g_get_monotonic_time();
    node = colo_vm_wait(vm, colo_vm_send_cont(vm), "cont", error);
    if (!node) {
        return FALSE;
    }
    colo_vm_restore_ran(vm, sent);
    return TRUE;
}

/* QEMU's version out of the greeting. */
static gboolean read_version(ColoVm *vm, GError **error)
{
    JsonObject *o = colo_qmp_client_greeting(vm->qmp);
    const char *package;
    gint64 major, minor, micro;

    o = o ? colo_json_get_object(o, "version") : NULL;
    package = o ? colo_json_get_string(o, "package") : NULL;
    o = o ? colo_json_get_object(o, "qemu") : NULL;
    /* Our own sockets greet in the same form. */
    if (!o || (package && g_str_has_prefix(package, "colo")) ||
        !colo_json_get_int(o, "major", &major) ||
        !colo_json_get_int(o, "minor", &minor) ||
        !colo_json_get_int(o, "micro", &micro)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "%s does not greet as QEMU's monitor does: give the "
                    "socket of QEMU's -qmp option to --qmp",
                    vm->qmp_path);
        return FALSE;
    }
    vm->version = g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT
                                  ".%" G_GINT64_FORMAT,
                                  major, minor, micro);
    if (major < 7 || (major == 7 && minor < 2)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "QEMU at %s is version %s: 7.2 or newer is needed",
                    vm->qmp_path, vm->version);
        return FALSE;
    }
    return TRUE;
}

/* The machine type, and whether the guest is in a state to be protected. */
static gboolean read_machine(ColoVm *vm, GError **error)
{
    g_autofree char *type = colo_vm_qom_string(vm, "/machine", "type", error);
    g_autoptr(JsonNode) node = NULL;
    JsonObject *o;
    const char *status;

    if (!type) {
        return FALSE;
    }
    vm->machine = g_str_has_suffix(type, "-machine")
                      ? g_strndup(type, strlen(type) - strlen("-machine"))
                      : g_strdup(type);
    node = colo_vm_call(vm, "query-status", NULL, error);
    if (!node) {
        return FALSE;
    }
    o = colo_vm_node_object(node);
    status = o ? colo_json_get_string(o, "status") : NULL;
    if (o) {
        colo_json_get_bool(o, "running", &vm->running);
    }
    if (g_strcmp0(status, "inmigrate") == 0) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "QEMU at %s waits for a migration: start it with -S "
                    "instead of -incoming",
                    vm->qmp_path);
        return FALSE;
    }
    return TRUE;
}

gboolean colo_vm_refuse(GError **error, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                        text);
    return FALSE;
}

ColoVm *colo_vm_open(const ColoVmOptions *options, GError **error)
{
    g_autoptr(ColoVm) vm = g_new0(ColoVm, 1);
    GError *e = NULL;

    vm->qmp_path = g_strdup(options->qmp_path);
    vm->timeout_us = options->qmp_timeout_us;
    vm->on_event = options->on_event;
    vm->user_data = options->user_data;
    vm->ram.fd = -1;
    vm->capture.fd = vm->capture.shared = -1;
    vm->image.fd = vm->image.shared = -1;
    vm->qmp = colo_qmp_client_connect(options->qmp_path, vm->timeout_us,
                                      on_event, vm, &e);
    if (!vm->qmp) {
        gboolean hung =
            g_error_matches(e, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT);

        g_set_error(error, COLO_VM_ERROR,
                    hung ? COLO_VM_ERROR_HUNG : COLO_VM_ERROR_GONE,
                    "cannot reach QEMU: %s", e->message);
        g_error_free(e);
        return NULL;
    }
    colo_qmp_client_set_deadline_func(vm->qmp, later_deadline);
    colo_qmp_client_set_reply_func(vm->qmp, on_reply);
    if (!read_version(vm, error) || !read_machine(vm, error) ||
        !colo_vm_ram_find(vm, error) || !colo_vm_check_protectable(vm, error) ||
        !colo_vm_ram_map(vm, options->qemu_pid, error) ||
        !colo_vm_check_no_vhost_fd(vm->pid, error) ||
        !colo_vm_describe(vm, error)) {
        return NULL;
    }
    return g_steal_pointer(&vm);
}

gboolean colo_vm_check_again(ColoVm *vm, GError **error)
{
    return colo_vm_ram_check(vm, error) &&
           colo_vm_check_protectable(vm, error) &&
           colo_vm_check_no_vhost_fd(vm->pid, error) &&
           colo_vm_describe(vm, error);
}

void colo_vm_free(ColoVm *vm)
{
    if (!vm) {
        return;
    }
    if (vm->qmp) {
        colo_vm_restore_close(vm);
        colo_vm_fdset_drop(vm, &vm->capture);
    }
    if (vm->patient) {
        colo_vm_patient(vm, FALSE);
    }
    colo_vm_ram_unmap(vm);
    g_clear_pointer(&vm->qmp, colo_qmp_client_free);
    g_clear_pointer(&vm->state, g_byte_array_unref);
    g_free(vm->shutdown_reason);
    g_free(vm->reads);
    g_free(vm->description);
    g_free(vm->machine);
    g_free(vm->version);
    g_free(vm->qmp_path);
    g_free(vm);
}

void colo_vm_set_timeout(ColoVm *vm, gint64 timeout_us)
{
    vm->timeout_us = timeout_us;
}

pid_t colo_vm_pid(const ColoVm *vm)
{
    return vm->pid;
}

guint64 colo_vm_ram_addr(const ColoVm *vm)
{
    return vm->ram.addr;
}

guint8 *colo_vm_ram(const ColoVm *vm)
{
    return vm->ram.map;
}

gsize colo_vm_ram_bytes(const ColoVm *vm)
{
    return vm->ram.bytes;
}

const char *colo_vm_qemu_version(const ColoVm *vm)
{
    return vm->version;
}

const char *colo_vm_machine(const ColoVm *vm)
{
    return vm->machine;
}

guint64 colo_vm_start_time(const ColoVm *vm)
{
    return vm->start_time;
}

gboolean colo_vm_running(const ColoVm *vm)
{
    return vm->running;
}

gint64 colo_vm_resumed_us(const ColoVm *vm)
{
    return vm->resumed_us;
}

const char *colo_vm_shutdown_reason(const ColoVm *vm)
{
    return vm->shutdown_reason;
}

gboolean colo_vm_check_alive(ColoVm *vm, GError **error)
{
    return colo_vm_do(vm, "query-status", NULL, error);
}

const char *colo_vm_description(const ColoVm *vm)
{
    return vm->description;
}

int colo_vm_fd(const ColoVm *vm)
{
    return colo_qmp_client_fd(vm->qmp);
}

gboolean colo_vm_dispatch(ColoVm *vm, GError **error)
{
    GError *e = NULL;

    if (!colo_qmp_client_dispatch(vm->qmp, &e)) {
        colo_vm_take_error(vm, e, "reading events", error);
        return FALSE;
    }
    return TRUE;
}
