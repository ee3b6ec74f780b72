/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's guests: QEMU, its console, and the chain printed there. */
#include "tests/rig/rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NET_APPEND                                                             \
    "colo.net=1 colo.ip=" RIG_GUEST "/24 colo.ip6=" RIG_GUEST6 "/64"

void rig_start_qemu(RigSide *s)
{
    const Rig *r = s->rig;
    const RigOptions *o = &r->o;
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *out = g_build_filename(s->dir, "qemu.log", NULL);
    g_autofree char *pid = NULL;

    if (o->disk_mib && !s->primary) {
        if (!s->colod) {
            rig_start_colod(s);
        }
        rig_wait_disk_served(s);
    }
    rig_add(argv,
            "%s -name %s -nodefaults -display none -accel tcg -smp %u "
            "-m %uM",
            o->plain ? "qemu-system-x86_64" : "colo-qemu", s->name, o->smp,
            o->ram_mib);
    if (o->private_ram) {
        rig_add(argv, "-machine %s", o->machine);
    } else {
        rig_add(argv,
                "-machine %s,memory-backend=ram "
                "-object memory-backend-memfd,id=ram,size=%uM,share=on",
                o->machine, o->ram_mib);
    }
    rig_add(argv,
            "-chardev socket,id=console,path=%s,server=on,wait=off,"
            "logfile=%s,logappend=on -serial chardev:console",
            s->serial, s->console);
    rig_add(argv, "-qmp unix:%s,server=on,wait=off", s->qmp);
    rig_add(argv, "-qmp unix:%s,server=on,wait=off", s->monitor);
    rig_add(argv, "%s %s", s->primary ? "" : "-S", o->qemu ? o->qemu : "");
    if (o->net) {
        rig_plug_tap(s);
        rig_add(argv, "-netdev tap,id=hn0,ifname=tap0,script=no,downscript=no,"
                      "vhost=off "
                      "-device virtio-net-pci,netdev=hn0,"
                      "mac=52:54:00:77:03:64,romfile=");
    }
    if (o->disk_mib) {
        (o->add_disk ? o->add_disk : rig_add_disk)(s, argv);
    }
    g_ptr_array_add(argv, g_strdup("-append"));
    if (o->linux_guest) {
        g_ptr_array_add(argv, g_strdup_printf("%s %s %s %s", r->append,
                                              o->net ? NET_APPEND : "",
                                              o->disk_mib ? "colo.disk=1" : "",
                                              o->append ? o->append : ""));
        rig_add(argv, "-kernel %s -initrd %s", r->kernel, r->initrd);
    } else {
        g_ptr_array_add(argv, g_strdup(o->append ? o->append : ""));
        rig_add(argv, "-kernel %s", r->tiny);
    }
    g_ptr_array_add(argv, NULL);
    unlink(s->qmp);
    unlink(s->monitor);
    unlink(s->console);
    g_file_set_contents(s->console, "", 0, NULL);
    s->qemu = rig_spawn(s->ns, out, (char **)argv->pdata);
    pid = g_strdup_printf("%d", (int)s->qemu);
    g_file_set_contents(s->pid_file, pid, -1, NULL);
    rig_qmp_connect(&s->mon, s->monitor, RIG_PATIENCE_S);
}

void rig_kill_qemu(RigSide *s)
{
    /* A pid that was reaped may soon be somebody else's. */
    unlink(s->pid_file);
    rig_end(&s->qemu, SIGKILL);
    unlink(s->qmp); /* or a colod that waits for the next one finds it */
    rig_qmp_pump(&s->mon, 0);
    g_clear_pointer(&s->mon.client, colo_qmp_client_free);
}

gsize rig_console_size(const RigSide *s)
{
    g_autofree char *text = NULL;
    gsize len = 0;

    g_file_get_contents(s->console, &text, &len, NULL);
    return len;
}

/* A line in the console's log from offset on? */
static gboolean has_line(const RigSide *s, gsize offset, const char *prefix)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    gsize len;

    if (!g_file_get_contents(s->console, &text, &len, NULL) || offset > len) {
        return FALSE;
    }
    lines = g_strsplit(text + offset, "\n", -1);
    for (char **l = lines; *l && l[1]; l++) {
        if (g_str_has_prefix(*l, prefix)) {
            return TRUE;
        }
    }
    return FALSE;
}

void rig_wait_console(RigSide *s, gsize offset, const char *prefix,
                      int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    while (!has_line(s, offset, prefix)) {
        if (g_get_monotonic_time() > end) {
            rig_die("%s's guest has not printed \"%s\" within %d s", s->name,
                    prefix, seconds);
        }
        g_usleep(10000);
    }
}

void rig_wait_boot(RigSide *s)
{
    gboolean chain = !s->rig->o.append ||
                     !strstr(s->rig->o.append, "colo.chain=0");

    if (s->rig->o.net) {
        rig_wait_console(s, 0, "service ready", RIG_PATIENCE_S);
    }
    if (s->rig->o.disk_mib) {
        rig_wait_console(s, 0, "disk ready", RIG_PATIENCE_S);
    }
    if (chain) {
        rig_wait_console(s, 0, "chain 5 ", RIG_PATIENCE_S);
    }
}

void rig_type(RigSide *s, const char *command, const char *answer, int seconds)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    g_autofree char *line = g_strconcat(command, "\n", NULL);
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;
    gsize offset = rig_console_size(s);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), unread = 1;

    g_strlcpy(a.sun_path, s->serial, sizeof(a.sun_path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        write(fd, line, strlen(line)) != (ssize_t)strlen(line)) {
        rig_die("cannot type to %s's guest: %s", s->name, g_strerror(errno));
    }
    /* QEMU drops what it has not read when the connection closes. */
    while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread) {
        if (g_get_monotonic_time() > end) {
            rig_die("%s's guest does not read \"%s\"", s->name, command);
        }
        g_usleep(2000);
    }
    close(fd);
    if (answer) {
        rig_wait_console(s, offset, answer, seconds);
    }
}

/* The first or the last whole step from offset on. */
static guint64 find_step(const RigSide *s, gsize offset, gboolean last)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    guint64 step = 0;
    gsize len;

    if (!g_file_get_contents(s->console, &text, &len, NULL) || offset > len) {
        return 0;
    }
    lines = g_strsplit(text + offset, "\n", -1);
    for (char **l = lines; *l && l[1]; l++) {
        unsigned long long n, hash;
        unsigned sum;
        int at = 0;

        if (sscanf(*l, "chain %llu %16llx %4x%n", &n, &hash, &sum, &at) == 3 &&
            at && !(*l)[at]) {
            step = n;
            if (!last) {
                break;
            }
        }
    }
    return step;
}

guint64 rig_step(const RigSide *s)
{
    return find_step(s, 0, TRUE);
}

guint64 rig_first_step(const RigSide *s, gsize offset)
{
    return find_step(s, offset, FALSE);
}

void rig_wait_steps(RigSide *s, guint steps, int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    guint64 first = rig_step(s), now = first;

    while (!first || now < first + steps) {
        if (g_get_monotonic_time() > end) {
            rig_die("%s's chain stands at step %" G_GUINT64_FORMAT
                    ", not %u after %" G_GUINT64_FORMAT ", for %d s",
                    s->name, now, steps, first, seconds);
        }
        g_usleep(10000);
        now = rig_step(s);
        /* One that never ran here begins where its checkpoint was. */
        first = first ? first : now;
    }
}

gboolean rig_stands_still(RigSide *s, guint ms)
{
    gsize size;

    g_usleep(20000); /* what was on its way to the log */
    size = rig_console_size(s);
    g_usleep(ms * 1000);
    return rig_console_size(s) == size;
}

gboolean rig_guest_runs(RigSide *s)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->mon, "query-status", NULL);

    return json_object_get_boolean_member(json_node_get_object(node),
                                          "running");
}

gboolean rig_chain_ok(const RigSide *s, gsize offset, const char *options)
{
    g_autofree char *part = g_build_filename(s->dir, "part.log", NULL);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = NULL, *out = NULL;
    gsize len;

    if (!g_file_get_contents(s->console, &text, &len, NULL) || offset > len ||
        !g_file_set_contents(part, text + offset, (gssize)(len - offset),
                             NULL)) {
        rig_die("cannot read %s", s->console);
    }
    rig_add(argv, "chain-check %s %s", options, part);
    g_ptr_array_add(argv, NULL);
    if (!rig_run(-1, (char **)argv->pdata, &out)) {
        g_printerr("# %s: %s", s->name, out);
        return FALSE;
    }
    return TRUE;
}

void rig_operator(RigSide *s, const char *command, const char *args)
{
    json_node_unref(rig_qmp(&s->mon, command, args));
}
