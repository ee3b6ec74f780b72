/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pair of hosts on this one. */
#include "tests/sim/rig.h"
#include "colo/common/unix-socket.h"
#include "colo/qmp-client.h"
#include "tests/common/sanitizers.h"
#include "tests/common/scratch.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALL_US = SOON_MS * 1000, TAIL_BYTES = 6000 };
enum { DISK_BYTES = 64 * 4096 }; /* sim-disk.h */

#define HOLD_NBDKIT "no-nbdkit"
#define FENCE_HOLD  "fence.hold"
#define FENCE_LOG   "fence.log"

/* Built with AddressSanitizer: let libcolotrack be preloaded before it. */
static void allow_preload(void)
{
    const char *old = g_getenv("ASAN_OPTIONS");
    g_autofree char *options = g_strconcat(old ? old : "", old ? ":" : "",
                                           "verify_asan_link_order=0", NULL);

    g_setenv("ASAN_OPTIONS", options, TRUE);
}

void rig_set_up(void)
{
    struct ifreq lo = {.ifr_name = "lo"};
    int fd;

    allow_preload();
    if (unshare(CLONE_NEWNET) < 0) {
        return; /* not root: the ports are taken from what is free */
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    lo.ifr_flags = IFF_UP;
    g_assert_cmpint(ioctl(fd, SIOCSIFFLAGS, &lo), ==, 0);
    close(fd);
}

static void side_init(Rig *r, Side *s, const char *name)
{
    s->name = name;
    s->qmp = g_strdup_printf("%s/%s.qmp", r->dir, name);
    s->foreign = g_strdup_printf("%s/%s.foreign", r->dir, name);
    s->control = g_strdup_printf("%s/%s.control", r->dir, name);
    s->state_dir = g_strdup_printf("%s/%s", r->dir, name);
    s->guest_log = g_strdup_printf("%s/%s.guest", r->dir, name);
    s->proxy_path = g_strdup_printf("%s/%s.proxy", r->dir, name);
    s->proxy_log = g_strdup_printf("%s/%s.proxied", r->dir, name);
    s->output = g_strdup_printf("%s/%s.out", r->dir, name);
    g_assert_cmpint(g_mkdir(s->state_dir, 0700), ==, 0);
    s->watch = watch_new(s->control);
}

/* It does not start while rig_hold_nbdkit() says so. */
static void wrap_nbdkit(Rig *r)
{
    g_autofree char *script = g_build_filename(r->dir, "nbdkit", NULL);
    g_auto(GStrv) variables = sanitizers_variables();
    g_autofree char *first = g_strjoinv(" ", variables);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n"
                                            "if [ -e %s/" HOLD_NBDKIT " ]; then"
                                            " echo 'error: held' >&2; exit 1;"
                                            " fi\n"
                                            "%s exec nbdkit \"$@\"\n",
                                            r->dir, first);

    g_assert_true(g_file_set_contents(script, text, -1, NULL));
    g_assert_cmpint(g_chmod(script, 0700), ==, 0);
    g_setenv("COLO_NBDKIT", script, TRUE);
}

void rig_hold_nbdkit(Rig *r, gboolean hold)
{
    g_autofree char *path = g_build_filename(r->dir, HOLD_NBDKIT, NULL);

    if (hold) {
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
    } else {
        g_assert_cmpint(unlink(path), ==, 0);
    }
}

Rig *rig_new(const RigOptions *o)
{
    g_autoptr(GError) error = NULL;
    Rig *r = g_new0(Rig, 1);

    r->o = *o;
    r->o.delay_ms = o->delay_ms ? o->delay_ms : 20;
    r->o.heartbeat_timeout_ms =
        o->heartbeat_timeout_ms ? o->heartbeat_timeout_ms : 300;
    r->o.qmp_timeout_ms = o->qmp_timeout_ms ? o->qmp_timeout_ms : 10000;
    r->dir = g_dir_make_tmp("colo-sim-XXXXXX", &error);
    g_assert_no_error(error);
    if (o->disks) {
        wrap_nbdkit(r); /* before there are threads */
    }
    r->ft_port = scratch_port(SOCK_STREAM);
    r->hb_port = scratch_port(SOCK_DGRAM);
    r->link = relay_new(r->ft_port, r->hb_port);
    if (o->disks) {
        r->nbd_port = scratch_port(SOCK_STREAM);
        r->nbd_link = relay_new(r->nbd_port, scratch_port(SOCK_DGRAM));
    }
    side_init(r, &r->pri, "pri");
    side_init(r, &r->sec, "sec");
    return r;
}

static void side_clear(Side *s)
{
    g_clear_pointer(&s->colod, proc_free);
    g_clear_pointer(&s->qemu, proc_free);
    g_clear_pointer(&s->proxy, proc_free);
    watch_free(s->watch);
    g_free(s->qmp);
    g_free(s->foreign);
    g_free(s->control);
    g_free(s->state_dir);
    g_free(s->guest_log);
    g_free(s->proxy_path);
    g_free(s->proxy_log);
    g_free(s->output);
}

void rig_free(Rig *r)
{
    if (r) {
        side_clear(&r->pri);
        side_clear(&r->sec);
        relay_free(r->link);
        relay_free(r->nbd_link);
        if (!r->keep) {
            scratch_remove(r->dir);
        }
        g_free(r->dir);
        g_free(r);
    }
}

/* The pids that the fence has to kill. */
static void write_pids(Rig *r)
{
    g_autofree char *path = g_build_filename(r->dir, "pids", NULL);
    g_autofree char *text =
        g_strdup_printf("%d %d %d\n", r->pri.qemu ? (int)r->pri.qemu->pid : 0,
                        r->pri.colod ? (int)r->pri.colod->pid : 0,
                        r->pri.proxy ? (int)r->pri.proxy->pid : 0);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static Proc *start(Side *s, const char *program, const char *env, GString *args)
{
    g_autofree char *path = build_path(program);
    g_auto(GStrv) argv = NULL;

    g_string_prepend_c(args, ' ');
    g_string_prepend(args, path);
    argv = g_strsplit(args->str, " ", -1);
    g_string_free(args, TRUE);
    return proc_start(s->name, s->output, env, argv);
}

/* "A" and, unless NULL, "B" */
static void add_more(GString *args, const char *more)
{
    if (more) {
        g_string_append_printf(args, " %s", more);
    }
}

char *rig_disk_path(Rig *r, Side *s, guint i)
{
    return g_strdup_printf("%s/%s-vd%c.img", r->dir, s->name, 'a' + (int)i);
}

/* What sim-qemu and colod of this side are told of its disks. */
static void add_qemu_disks(Rig *r, Side *s, GString *args)
{
    for (guint i = 0; i < r->o.disks; i++) {
        g_autofree char *path = rig_disk_path(r, s, i);

        if (s == &r->pri) {
            g_string_append_printf(args, " --disk=vd%c=%s", 'a' + (int)i, path);
        } else {
            g_string_append_printf(
                args, " --disk=vd%c=nbd://127.0.0.1:%u/vd%c/secondary",
                'a' + (int)i, r->nbd_port, 'a' + (int)i);
        }
    }
}

static void add_colod_disks(Rig *r, Side *s, GString *args)
{
    if (!r->o.disks) {
        return;
    }
    g_string_append_printf(args, " --nbd 127.0.0.1:%u",
                           s == &r->pri ? relay_tcp_port(r->nbd_link)
                                        : r->nbd_port);
    for (guint i = 0; i < r->o.disks; i++) {
        g_autofree char *path = rig_disk_path(r, s, i);

        g_string_append_printf(args, " --disk vd%c", 'a' + (int)i);
        if (s == &r->sec) {
            g_string_append_printf(args, "=%s", path);
            if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
                FILE *f = fopen(path, "w");

                g_assert_true(f && ftruncate(fileno(f), DISK_BYTES) == 0);
                fclose(f);
            }
        }
    }
}

int rig_nbdkit(Rig *r)
{
    int colod = r->sec.colod ? (int)r->sec.colod->pid : 0, pid = 0;
    g_auto(GStrv) tids = proc_threads(colod);

    for (char **tid = tids; *tid && !pid; tid++) {
        g_autofree char *children =
            g_strdup_printf("/proc/%d/task/%s/children", colod, *tid);
        g_autofree char *text = NULL;

        if (g_file_get_contents(children, &text, NULL, NULL)) {
            pid = atoi(text);
        }
    }
    return pid;
}

/* The last of its sockets: then the other one does, too. */
static void wait_listening(Side *s)
{
    int fd;

    for (int i = 0; (fd = colo_unix_connect(s->foreign, CALL_US, NULL)) < 0;
         i++) {
        g_assert_cmpint(i, <, SOON_MS);
        g_assert_true(proc_alive(s->qemu));
        g_usleep(1000);
    }
    close(fd);
}

void rig_kill_host(Side *s)
{
    proc_signal(s->qemu, SIGKILL);
    proc_signal(s->colod, SIGKILL);
    proc_kill(s->qemu);
    proc_kill(s->colod);
}

void rig_start_qemu(Rig *r, Side *s)
{
    gboolean primary = s == &r->pri;
    GString *args = g_string_new(NULL);
    g_autofree char *lib = build_path(".libs/libcolotrack.so");
    g_autofree char *env = g_strconcat("LD_PRELOAD=", lib, NULL);

    g_clear_pointer(&s->qemu, proc_free);
    g_unlink(s->qmp);
    g_unlink(s->foreign);
    s->starts++;
    g_string_printf(args, "--qmp=%s --qmp=%s --log=%s --seed=%d --salt=%d%s",
                    s->qmp, s->foreign, s->guest_log,
                    primary ? 1 : 100 + (int)s->starts, primary ? 1 : 2,
                    primary ? "" : " -S");
    add_qemu_disks(r, s, args);
    add_more(args, primary ? r->o.sim_pri : r->o.sim_sec);
    if (g_getenv("COLO_SIM_PAGES")) {
        g_string_append_printf(args, " --pages=%s/pri", r->dir);
    }
    s->qemu = start(s, "tests/sim/sim-qemu", r->o.preload ? env : NULL, args);
    if (primary) {
        write_pids(r);
    }
    wait_listening(s);
}

static char *fence_command(Rig *r)
{
    /* One word: the command line below is split at spaces. */
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *script = g_build_filename(r->dir, "fence", NULL);
    g_autofree char *text =
        g_strdup_printf("#!/bin/sh\nexec '%s' --fence '%s'\n", self, r->dir);

    g_assert_true(g_file_set_contents(script, text, -1, NULL));
    g_assert_cmpint(g_chmod(script, 0700), ==, 0);
    return g_steal_pointer(&script);
}

void rig_start_colod(Rig *r, Side *s)
{
    gboolean primary = s == (r->swapped ? &r->sec : &r->pri);
    GString *args = g_string_new(NULL);
    g_autofree char *fence = NULL;

    g_clear_pointer(&s->colod, proc_free);
    g_string_printf(args,
                    "--name vm0 --qmp %s --control %s --state-dir %s "
                    "--heartbeat-interval 20 --heartbeat-timeout %d "
                    "--qmp-timeout %d --debug",
                    s->qmp, s->control, s->state_dir, r->o.heartbeat_timeout_ms,
                    r->o.qmp_timeout_ms);
    if (primary) {
        g_string_append_printf(args,
                               " --primary --peer 127.0.0.1:%u --heartbeat "
                               "127.0.0.1:%u --checkpoint-delay %d --mode %s",
                               relay_tcp_port(r->link), relay_udp_port(r->link),
                               r->o.delay_ms,
                               r->o.periodic ? "periodic" : "colo");
    } else {
        g_string_append_printf(args,
                               " --secondary --listen 127.0.0.1:%u "
                               "--heartbeat 127.0.0.1:%u",
                               r->ft_port, r->hb_port);
    }
    if (!primary && r->o.failover) {
        fence = fence_command(r);
        g_string_append_printf(args, " --on-heartbeat-loss failover --fence %s",
                               fence);
    }
    if (r->o.proxy) {
        g_string_append_printf(args, " --proxy %s", s->proxy_path);
    }
    if (r->o.tracker) {
        g_string_append_printf(args, " --tracker %s", r->o.tracker);
    }
    add_colod_disks(r, s, args);
    add_more(args, primary ? r->o.colod_pri : r->o.colod_sec);
    s->colod = start(s, "colod", NULL, args);
    if (primary) {
        write_pids(r);
    }
}

void rig_start_proxy(Rig *r, Side *s)
{
    GString *args = g_string_new(NULL);

    g_clear_pointer(&s->proxy, proc_free);
    g_unlink(s->proxy_path);
    g_string_printf(args, "--control=%s --log=%s --link=%s/link%s",
                    s->proxy_path, s->proxy_log, r->dir,
                    s == &r->pri ? " --primary" : "");
    s->proxy = start(s, "tests/sim/sim-proxy", NULL, args);
    if (s == &r->pri) {
        write_pids(r);
    }
    for (int i = 0; !g_file_test(s->proxy_path, G_FILE_TEST_EXISTS); i++) {
        g_assert_cmpint(i, <, SOON_MS);
        g_assert_true(proc_alive(s->proxy));
        g_usleep(1000);
    }
}

void rig_start(Rig *r)
{
    if (r->o.proxy) {
        rig_start_proxy(r, &r->sec);
        rig_start_proxy(r, &r->pri);
    }
    rig_start_qemu(r, &r->pri);
    rig_start_qemu(r, &r->sec);
    rig_start_colod(r, &r->sec);
    rig_start_colod(r, &r->pri);
}

gboolean rig_wait_active(Rig *r, int ms)
{
    gint64 start = g_get_monotonic_time();

    return watch_wait(r->pri.watch, "active", ms) &&
           watch_wait(r->sec.watch, "active",
                      ms - (int)((g_get_monotonic_time() - start) / 1000));
}

static JsonNode *call(const char *path, const char *command, JsonObject *args,
                      GError **error)
{
    g_autoptr(ColoQmpClient) c =
        colo_qmp_client_connect(path, CALL_US, NULL, NULL, error);

    if (!c) {
        if (args) {
            json_object_unref(args);
        }
        return NULL;
    }
    return colo_qmp_client_call(c, command, args, CALL_US, error);
}

JsonNode *rig_colod(Side *s, const char *command, JsonObject *args,
                    GError **error)
{
    return call(s->control, command, args, error);
}

JsonNode *rig_qemu(Side *s, const char *command, JsonObject *args,
                   GError **error)
{
    return call(s->foreign, command, args, error);
}

void rig_proxy(Side *s, const char *command, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = call(s->proxy_path, command, args, &error);

    g_assert_no_error(error);
}

void rig_arm_proxy(Side *s, const char *what, const char *act, gint64 ms)
{
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, "what", what);
    json_object_set_string_member(args, "do", act);
    json_object_set_int_member(args, "ms", ms);
    rig_proxy(s, "x-sim-arm", args);
}

void rig_inject(Side *s, const char *when, const char *what, const char *act,
                gint64 ms)
{
    JsonObject *args = json_object_new();
    g_autoptr(JsonNode) node = NULL;
    g_autoptr(GError) error = NULL;

    if (when) {
        json_object_set_string_member(args, "when", when);
        json_object_set_string_member(args, "what", what);
    }
    json_object_set_string_member(args, "do", act);
    json_object_set_int_member(args, "ms", ms);
    node = rig_qemu(s, "x-sim-inject", args, &error);
    g_assert_no_error(error);
}

guint rig_log_count(Side *s, const char *word)
{
    g_autoptr(GArray) lines = sim_log_read(s->guest_log);

    return sim_log_count(lines, word);
}

gboolean rig_guest_runs(Side *s, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;
    guint seen = rig_log_count(s, "chain");

    while (g_get_monotonic_time() < end) {
        g_usleep(5000);
        if (rig_log_count(s, "chain") > seen) {
            return TRUE;
        }
    }
    return FALSE;
}

guint rig_full_copies(Rig *r)
{
    g_autofree char *all = NULL;
    guint n = 0;

    g_assert_true(g_file_get_contents(r->pri.output, &all, NULL, NULL));
    for (char *p = all; (p = strstr(p, "copying the guest's RAM")); p++) {
        n++;
    }
    return n;
}

gboolean rig_output_has(Side *s, const char *text, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;

    for (;;) {
        g_autofree char *all = NULL;

        if (g_file_get_contents(s->output, &all, NULL, NULL) &&
            strstr(all, text)) {
            return TRUE;
        }
        if (g_get_monotonic_time() > end) {
            return FALSE;
        }
        g_usleep(5000);
    }
}

static void dump(const char *path)
{
    g_autofree char *all = NULL;
    g_auto(GStrv) lines = NULL;
    gsize len;

    printf("# --- %s\n", path);
    if (g_file_get_contents(path, &all, &len, NULL)) {
        lines = g_strsplit(all + (len > TAIL_BYTES ? len - TAIL_BYTES : 0),
                           "\n", -1);
        for (char **l = lines; *l; l++) {
            /* Of a chain's steps, the last will do. */
            if (**l && (!strstr(*l, " chain ") || !l[1] || !*l[1])) {
                printf("#   %s\n", *l);
            }
        }
    }
}

static void dump_side(const Side *s)
{
    if (s->qemu) {
        proc_dump("sim-qemu", s->qemu->pid);
    }
    if (s->colod) {
        proc_dump("colod", s->colod->pid);
    }
}

/* Connections to a port, as the kernel has them. */
static void dump_port(guint16 port)
{
    g_autofree char *all = NULL;
    g_autofree char *hex = g_strdup_printf(":%04X ", port);
    g_auto(GStrv) lines = NULL;

    if (g_file_get_contents("/proc/net/tcp", &all, NULL, NULL)) {
        printf("# --- TCP of port %u\n", port);
        lines = g_strsplit(all, "\n", -1);
        for (char **l = lines; *l; l++) {
            if (strstr(*l, hex)) {
                printf("#   %s\n", *l);
            }
        }
    }
}

void rig_dump(Rig *r)
{
    int nbdkit = rig_nbdkit(r);

    dump_side(&r->pri);
    dump_side(&r->sec);
    if (nbdkit) {
        proc_dump("nbdkit", nbdkit);
    }
    if (r->nbd_port) {
        dump_port(r->nbd_port);
    }
    dump(r->pri.guest_log);
    dump(r->sec.guest_log);
    dump(r->pri.proxy_log);
    dump(r->sec.proxy_log);
    dump(r->pri.output);
    dump(r->sec.output);
    fflush(stdout);
}

/* --- The fence command --- */

static gboolean is_zombie(const char *stat)
{
    g_autofree char *text = NULL;
    char *p;

    return !g_file_get_contents(stat, &text, NULL, NULL) ||
           !(p = strrchr(text, ')')) || p[2] == 'Z' || p[2] == 'X';
}

/* All its threads; the first one may be gone before the others. */
static gboolean is_dead(int pid)
{
    g_auto(GStrv) tids = proc_threads(pid);
    gboolean dead = TRUE;

    for (char **tid = tids; *tid && dead; tid++) {
        g_autofree char *stat =
            g_strdup_printf("/proc/%d/task/%s/stat", pid, *tid);

        dead = is_zombie(stat);
    }
    return dead;
}

static int fence(const char *dir)
{
    g_autofree char *pids = g_build_filename(dir, "pids", NULL);
    g_autofree char *fail = g_build_filename(dir, "fence.fail", NULL);
    g_autofree char *hold = g_build_filename(dir, FENCE_HOLD, NULL);
    g_autofree char *record = g_build_filename(dir, FENCE_LOG, NULL);
    g_autofree char *text = NULL;
    int pid[3] = {0};
    FILE *f = fopen(record, "a");

    if (!f || !g_file_get_contents(pids, &text, NULL, NULL) ||
        sscanf(text, "%d %d %d", &pid[0], &pid[1], &pid[2]) != 3) {
        return 1;
    }
    fprintf(f, "%lld %s\n", (long long)g_get_real_time(),
            g_file_test(fail, G_FILE_TEST_EXISTS) ? "failed" : "fenced");
    fclose(f);
    for (int i = 0; g_file_test(hold, G_FILE_TEST_EXISTS); i++) {
        if (i > SOON_MS / 5) {
            return 1;
        }
        g_usleep(5000);
    }
    if (g_file_test(fail, G_FILE_TEST_EXISTS)) {
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        if (pid[i] > 0) {
            kill(pid[i], SIGKILL);
        }
        for (int k = 0; pid[i] > 0 && !is_dead(pid[i]); k++) {
            if (k > 2000) {
                return 1;
            }
            g_usleep(500);
        }
    }
    return 0;
}

void rig_hold_fence(Rig *r, gboolean hold)
{
    g_autofree char *path = g_build_filename(r->dir, FENCE_HOLD, NULL);

    if (hold) {
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
    } else {
        g_unlink(path);
    }
}

guint rig_fences(Rig *r)
{
    g_autofree char *path = g_build_filename(r->dir, FENCE_LOG, NULL);
    g_autofree char *text = NULL;
    guint n = 0;

    g_file_get_contents(path, &text, NULL, NULL);
    for (const char *p = text; p && (p = strchr(p, '\n')); p++) {
        n++;
    }
    return n;
}

gboolean rig_fence_main(int argc, char **argv, int *status)
{
    if (argc != 3 || strcmp(argv[1], "--fence")) {
        return FALSE;
    }
    *status = fence(argv[2]);
    return TRUE;
}
