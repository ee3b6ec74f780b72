/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbdkit-colo-plugin: the secondary's disks over NBD.  Parameters, beginning
 * and end.  See nbdkit-colo-plugin(1).
 *
 * The stores have threads, so they are opened behind nbdkit's fork.
 */
#include <config.h>

#include "blockrep/plugin/plugin.h"
#include "colo/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

enum { QUIT_MS = 1000 };

Plugin the_plugin;

static void load(void)
{
    the_plugin.set = disk_set_new();
}

static void unload(void)
{
    Plugin *p = &the_plugin;

    disk_set_free(g_steal_pointer(&p->set));
    g_clear_pointer(&p->folder, g_free);
    g_clear_pointer(&p->control_path, g_free);
}

/* The server changes its folder. */
static int set_path(char **to, const char *key, const char *value)
{
    char *path;

    if (*to) {
        nbdkit_error("%s is given twice", key);
        return -1;
    }
    path = nbdkit_absolute_path(value);
    if (!path) {
        return -1;
    }
    *to = g_strdup(path);
    free(path);
    return 0;
}

static int add_disk(const char *value)
{
    const char *equals = strchr(value, '=');
    g_autofree char *name = NULL, *base = NULL;
    g_autoptr(GError) error = NULL;

    if (!equals || !equals[1]) {
        nbdkit_error("disk=%s: expected is disk=NAME=PATH", value);
        return -1;
    }
    name = g_strndup(value, (gsize)(equals - value));
    if (set_path(&base, "disk", equals + 1) < 0) {
        return -1;
    }
    if (!disk_set_add(the_plugin.set, name, base, &error)) {
        nbdkit_error("%s", error->message);
        return -1;
    }
    return 0;
}

static int set_durability(const char *value)
{
    if (!strcmp(value, "epoch")) {
        the_plugin.set->durability = COLO_DURABLE_EPOCH;
    } else if (!strcmp(value, "flush")) {
        the_plugin.set->durability = COLO_DURABLE_FLUSH;
    } else {
        nbdkit_error("durability=%s: expected is epoch or flush", value);
        return -1;
    }
    return 0;
}

static int config(const char *key, const char *value)
{
    Plugin *p = &the_plugin;

    if (!strcmp(key, "disk")) {
        return add_disk(value);
    }
    if (!strcmp(key, "folder")) {
        return set_path(&p->folder, key, value);
    }
    if (!strcmp(key, "control")) {
        return set_path(&p->control_path, key, value);
    }
    if (!strcmp(key, "durability")) {
        return set_durability(value);
    }
    if (!strcmp(key, "tls-primary")) {
        p->tls_primary = nbdkit_parse_bool(value);
        return p->tls_primary < 0 ? -1 : 0;
    }
    if (!strcmp(key, "parent")) {
        return nbdkit_parse_int(key, value, &p->parent);
    }
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int config_complete(void)
{
    if (!the_plugin.set->disks->len) {
        nbdkit_error("no disk is given: add disk=NAME=PATH");
        return -1;
    }
    return 0;
}

/*
 * nbdkit waits for its clients to leave, and an idle one never does; then for
 * the exit handlers of all its libraries.  What was answered is safe whatever
 * this process does next: after a moment it just ends.
 */
static struct {
    GThread *thread;
    GMutex lock;
    gboolean stopped; /* nbdkit is on its own way out */
} leaving;

static gpointer leave(gpointer unused)
{
    g_usleep(QUIT_MS * G_TIME_SPAN_MILLISECOND);
    g_mutex_lock(&leaving.lock);
    if (!leaving.stopped) {
        colo_log_info("clients are still connected: left without them");
        control_stop(the_plugin.control);
    }
    _exit(EXIT_SUCCESS);
}

static void quit(void)
{
    nbdkit_shutdown();
    if (!leaving.thread) { /* this is always the same thread */
        leaving.thread = g_thread_new("quit", leave, NULL);
    }
}

static void stop(void)
{
    Plugin *p = &the_plugin;

    g_mutex_lock(&leaving.lock);
    leaving.stopped = TRUE;
    control_stop(p->control);
    disk_set_close(p->set);
    control_free(g_steal_pointer(&p->control));
    checkpoint_free(g_steal_pointer(&p->checkpoint));
    g_mutex_unlock(&leaving.lock); /* not before: closing may take longer */
}

/*
 * nbdkit would end in order, and answer requests with errors meanwhile.  When
 * it is just gone, clients wait for the next one.
 */
static gboolean die_with_parent(int parent)
{
    if (!parent) {
        return TRUE;
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) {
        nbdkit_error("parent=%d is not the parent", parent);
        return FALSE;
    }
    return TRUE;
}

static int after_fork(void)
{
    Plugin *p = &the_plugin;
    const ControlTarget target = {p->set, quit};
    g_autoptr(GError) error = NULL;

    colo_log_init("nbdkit-colo", FALSE);
    if (!die_with_parent(p->parent)) {
        return -1;
    }
    p->checkpoint = checkpoint_new(p->set);
    if (p->control_path) {
        p->control = control_new(p->control_path, &target);
    }
    /* colod finds the socket when the disks are there */
    if (!disk_set_open(p->set, p->folder, &error) ||
        (p->control && !control_start(p->control, &error))) {
        nbdkit_error("%s", error->message);
        stop();
        return -1;
    }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "colo",
    .longname = "colo's epoch store",
    .version = PACKAGE_VERSION,
    .description = "Disks of a protected VM's secondary host.",
    .config_help =
        "disk=NAME=PATH    (required) a disk's image; may be repeated\n"
        "folder=DIR        logs are in DIR/NAME (default: PATH.colo)\n"
        "durability=WHAT   epoch (default) or flush: what FLUSH waits for\n"
        "control=PATH      QMP socket\n"
        "tls-primary=BOOL  other hosts must use TLS (default: off)\n"
        "parent=PID        end at once when this process does",
    .magic_config_key = "disk",
    .load = load,
    .unload = unload,
    .config = config,
    .config_complete = config_complete,
    .after_fork = after_fork,
    .cleanup = stop,
    .list_exports = exports_list,
    .open = exports_open,
    .close = exports_close,
    .export_description = exports_description,
    .get_size = request_size,
    .block_size = request_block_size,
    .can_flush = request_is_disk,
    .can_trim = request_is_disk,
    .can_zero = request_is_disk,
    .can_extents = request_is_disk,
    .can_multi_conn = request_is_disk,
    .can_fua = request_can_fua,
    .can_fast_zero = request_can_fast_zero,
    .pread = request_read,
    .pwrite = request_write,
    .zero = request_zero,
    .trim = request_trim,
    .flush = request_flush,
    .extents = request_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
