/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig as a whole: made, protected, removed, and given up. */
#include "tests/rig/rig.h"
#include "tests/common/scratch.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Rig *current; /* whose logs rig_die() shows */
static gboolean dying;

static void show_tail(const RigSide *s, const char *path)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    guint n;

    if (!path || !g_file_get_contents(path, &text, NULL, NULL)) {
        return;
    }
    lines = g_strsplit(text, "\n", -1);
    n = g_strv_length(lines);
    for (guint i = n > 25 ? n - 25 : 0; i < n; i++) {
        if (*lines[i]) {
            g_printerr("# %s: %.200s\n", s->name, lines[i]);
        }
    }
}

void rig_die(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (current) {
        show_tail(&current->pri, current->pri.log);
        show_tail(&current->pri, current->pri.proxy_log);
        show_tail(&current->pri, current->pri.console);
        show_tail(&current->sec, current->sec.log);
        show_tail(&current->sec, current->sec.proxy_log);
        show_tail(&current->sec, current->sec.console);
    }
    g_printerr("%s%s\n", g_test_initialized() ? "Bail out! " : "error: ", text);
    dying = TRUE;
    rig_free(current);
    exit(1);
}

const char *rig_missing(void)
{
    static const struct {
        const char *program, *message;
    } need[] = {
        {"qemu-system-x86_64", "qemu-system-x86_64 is missing: install "
                               "Debian's package qemu-system-x86"},
        {"ip", "ip is missing: install Debian's package iproute2"},
        {"mke2fs", "mke2fs is missing: install Debian's package e2fsprogs"},
        {"nbdkit", "nbdkit is missing: install Debian's package nbdkit"},
        {"nbdcopy", "nbdcopy is missing: install Debian's package libnbd-bin"},
    };

    if (geteuid() != 0) {
        return "root is needed for network namespaces";
    }
    for (gsize i = 0; i < G_N_ELEMENTS(need); i++) {
        g_autofree char *path = g_find_program_in_path(need[i].program);

        if (!path) {
            return need[i].message;
        }
    }
    if (!g_getenv("COLO_SRCDIR") || !g_getenv("COLO_BUILDDIR")) {
        return "run it through ./run, as make check and scripts/bench do";
    }
    return NULL;
}

void rig_test_init(int *argc, char ***argv)
{
    const char *missing;

    g_test_init(argc, argv, NULL);
    missing = rig_missing();
    if (missing) {
        printf("1..0 # SKIP %s\n", missing);
        exit(0);
    }
}

gboolean rig_long_tests(void)
{
    return !g_strcmp0(g_getenv("COLO_LONG"), "1");
}

static void find_guest(Rig *r)
{
    g_autofree char *mkguest =
        g_build_filename(g_getenv("COLO_SRCDIR"), "scripts/mkguest", NULL);
    char *argv[] = {mkguest, NULL};
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;

    if (!rig_run(-1, argv, &out)) {
        rig_die("scripts/mkguest failed");
    }
    lines = g_strsplit(out, "\n", -1);
    for (char **l = lines; *l; l++) {
        char *eq = strchr(*l, '=');
        g_autofree char *value = eq ? g_shell_unquote(eq + 1, NULL) : NULL;

        if (g_str_has_prefix(*l, "KERNEL=")) {
            r->kernel = g_steal_pointer(&value);
        } else if (g_str_has_prefix(*l, "INITRD=")) {
            r->initrd = g_steal_pointer(&value);
        } else if (g_str_has_prefix(*l, "TINY=")) {
            r->tiny = g_steal_pointer(&value);
        } else if (g_str_has_prefix(*l, "APPEND=")) {
            r->append = g_steal_pointer(&value);
        }
    }
    if (!r->kernel || !r->initrd || !r->append || !r->tiny) {
        rig_die("scripts/mkguest printed something else: %s", out);
    }
}

static void new_side(Rig *r, RigSide *s, const char *name, int number)
{
    s->rig = r;
    s->name = name;
    s->number = number;
    s->primary = number == 1;
    s->ns = -1;
    s->dir = g_build_filename(r->dir, name, NULL);
    s->qmp = g_build_filename(s->dir, "qemu.qmp", NULL);
    s->monitor = g_build_filename(s->dir, "operator.qmp", NULL);
    s->serial = g_build_filename(s->dir, "serial", NULL);
    s->console = g_build_filename(s->dir, "console.log", NULL);
    s->control = g_build_filename(s->dir, "colod.qmp", NULL);
    s->log = g_build_filename(s->dir, "colod.log", NULL);
    s->pid_file = g_build_filename(s->dir, "qemu.pid", NULL);
    s->disk = g_build_filename(s->dir, "vda.raw", NULL);
    /* Where colod looks for it */
    s->proxy_control = g_build_filename(s->dir, "vm0-proxy.qmp", NULL);
    s->proxy_log = g_build_filename(s->dir, "proxy.log", NULL);
    if (g_mkdir(s->dir, 0755) < 0) {
        rig_die("cannot make %s", s->dir);
    }
}

Rig *rig_new(const RigOptions *o)
{
    Rig *r = g_new0(Rig, 1);
    g_autoptr(GError) error = NULL;

    r->o = *o;
    r->o.machine = o->machine ? o->machine : "pc";
    r->o.disk = o->disk ? o->disk : "vda";
    r->o.smp = o->smp ? o->smp : 1;
    r->o.ram_mib = o->ram_mib ? o->ram_mib : o->linux_guest ? 96 : 64;
    r->o.delay_ms = o->delay_ms ? o->delay_ms : 20000;
    r->net = r->net_ctl = r->cli = -1;
    r->dir = g_dir_make_tmp("colo-rig-XXXXXX", &error);
    if (!r->dir) {
        rig_die("%s", error->message);
    }
    find_guest(r);
    new_side(r, &r->pri, "pri", 1);
    new_side(r, &r->sec, "sec", 2);
    current = r;
    if (o->disk_mib) {
        rig_make_disks(r);
    }
    rig_lay_out(r);
    return r;
}

void rig_protect(Rig *r)
{
    if (r->o.net) {
        rig_start_proxy(&r->sec);
        rig_start_proxy(&r->pri);
    }
    if (!r->sec.colod) {
        rig_start_colod(&r->sec);
    }
    rig_start_colod(&r->pri);
    rig_wait_state(&r->pri, "active", RIG_PATIENCE_S);
    rig_wait_state(&r->sec, "active", RIG_PATIENCE_S);
}

Rig *rig_new_protected(const RigOptions *o)
{
    Rig *r = rig_new(o);

    rig_start_qemu(&r->pri);
    rig_start_qemu(&r->sec);
    rig_wait_boot(&r->pri);
    rig_protect(r);
    return r;
}

/* As an operator does who begins anew on a disk that had survived. */
static void forget_disk(const RigSide *s)
{
    const char *folder = s->rig->o.disk_folder;
    g_autofree char *logs =
        folder ? g_build_filename(folder, s->rig->o.disk, NULL)
               : g_strconcat(s->disk, ".colo", NULL);

    scratch_remove(logs);
}

void rig_swap(Rig *r)
{
    RigSide *survivor = r->pri.primary ? &r->sec : &r->pri;
    RigSide *fresh = r->pri.primary ? &r->pri : &r->sec;

    rig_kill_colod(survivor, SIGTERM);
    if (fresh->ns < 0) {
        rig_power_on(fresh);
    }
    rig_kill_colod(fresh, SIGTERM);
    rig_kill_proxy(fresh, SIGTERM);
    rig_kill_qemu(fresh);
    rig_kill_proxy(survivor, SIGTERM);
    survivor->primary = survivor->survivor = TRUE;
    fresh->primary = fresh->survivor = FALSE;
    rig_start_colod(survivor); /* first: its guest waits for the disk */
    if (r->o.disk_mib) {
        forget_disk(fresh);
    }
    rig_start_qemu(fresh);
    if (r->o.net) {
        rig_start_proxy(fresh);
        rig_start_proxy(survivor);
    }
    if (!fresh->colod) {
        rig_start_colod(fresh);
    }
}

/* What is still there ends in order, and the sanitizers agree. */
static void end_in_order(RigSide *s, pid_t *pid, const char *what)
{
    if (!*pid || dying) {
        return;
    }
    kill(*pid, SIGTERM);
    if (rig_wait_exit(pid, RIG_PATIENCE_S) != 0) {
        rig_die("%s's %s has failed", s->name, what);
    }
}

static void end_side(RigSide *s)
{
    end_in_order(s, &s->colod, "colod");
    end_in_order(s, &s->proxy, "colo-proxy");
}

static void free_side(RigSide *s)
{
    rig_qmp_close(&s->ctl);
    rig_qmp_close(&s->mon);
    rig_qmp_close(&s->px);
    rig_end(&s->colod, SIGKILL);
    rig_end(&s->proxy, SIGKILL);
    rig_end(&s->qemu, SIGKILL);
    if (s->ns >= 0) {
        close(s->ns);
    }
    g_free(s->dir);
    g_free(s->qmp);
    g_free(s->monitor);
    g_free(s->serial);
    g_free(s->console);
    g_free(s->control);
    g_free(s->log);
    g_free(s->pid_file);
    g_free(s->disk);
    g_free(s->proxy_control);
    g_free(s->proxy_log);
}

void rig_free(Rig *r)
{
    if (!r) {
        return;
    }
    end_side(&r->pri);
    end_side(&r->sec);
    current = NULL;
    free_side(&r->pri);
    free_side(&r->sec);
    if (r->net_ctl >= 0) {
        close(r->net_ctl);
    }
    if (r->net >= 0) {
        close(r->net);
    }
    if (r->cli >= 0) {
        close(r->cli);
    }
    if (g_getenv("COLO_KEEP")) {
        g_printerr("# kept: %s\n", r->dir);
    } else {
        scratch_remove(r->dir);
    }
    g_free(r->dir);
    g_free(r->kernel);
    g_free(r->initrd);
    g_free(r->append);
    g_free(r->tiny);
    g_free(r);
}
