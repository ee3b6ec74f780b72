/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's colods. */
#include "tests/rig/rig.h"

#include <signal.h>
#include <string.h>

#define FT_PORT 8888

/*
 * Out of band, as a power switch is: kills the peer's QEMU, if the rig has
 * not reaped it yet, and waits for its end.
 */
static char *fence_command(const RigSide *s)
{
    const RigSide *peer = s == &s->rig->pri ? &s->rig->sec : &s->rig->pri;

    return g_strdup_printf(
        "pid=$(cat %s 2>/dev/null) || exit 0; kill -KILL $pid 2>/dev/null; "
        "for i in $(seq 500); do "
        "case $(cut -d' ' -f3 /proc/$pid/stat 2>/dev/null) in "
        "''|Z) exit 0 ;; esac; sleep 0.01; done; exit 1",
        peer->pid_file);
}

/* The options of a command line become keys, but those of the mission's. */
static void move_to_file(const RigSide *s, GPtrArray *argv)
{
    g_autofree char *path = g_build_filename(s->dir, "vm0.conf", NULL);
    g_autoptr(GKeyFile) file = g_key_file_new();

    for (guint i = 1; i < argv->len; i++) {
        const char *key = (char *)argv->pdata[i] + 2;
        const char *value = "true";
        g_autofree char *before = NULL, *all = NULL;

        if (i + 1 < argv->len && !g_str_has_prefix(argv->pdata[i + 1], "--")) {
            value = argv->pdata[++i];
        }
        before = g_key_file_get_value(file, "colod", key, NULL);
        all = before ? g_strconcat(before, ";", value, NULL) : g_strdup(value);
        g_key_file_set_value(file, "colod", key, all);
    }
    g_key_file_remove_key(file, "colod", "secondary", NULL);
    g_key_file_remove_key(file, "colod", "nbd", NULL);
    if (!g_key_file_save_to_file(file, path, NULL)) {
        rig_die("cannot write %s", path);
    }
    g_ptr_array_set_size(argv, 0);
    rig_add(argv, "colod --secondary --nbd :" RIG_NBD_PORT);
}

void rig_spawn_colod(RigSide *s)
{
    const RigOptions *o = &s->rig->o;
    const Rig *r = s->rig;
    const RigSide *standby = r->pri.primary ? &r->sec : &r->pri;
    g_autofree char *repl = rig_address(standby, "repl");
    g_autofree char *hb = rig_address(standby, "hb");
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *config = g_strdup(g_getenv("COLO_CONFIG_DIR"));

    rig_add(argv,
            "colod --debug --name vm0 --qmp %s --state-dir %s "
            "--control %s --heartbeat %s:%d --heartbeat %s:%d",
            s->qmp, s->dir, s->control, repl, FT_PORT, hb, FT_PORT);
    if (s->primary) {
        rig_add(argv,
                "--primary --peer %s:%d --checkpoint-delay %u "
                "--mode %s --compress %s",
                repl, FT_PORT, o->delay_ms, o->periodic ? "periodic" : "colo",
                o->compress ? o->compress : "none");
        rig_add(argv, "%s", o->fail_closed ? "--fail-closed" : "");
    } else {
        rig_add(argv, "--secondary --listen %s:%d", repl, FT_PORT);
        if (o->failover) {
            rig_add(argv, "--on-heartbeat-loss failover --fence");
            g_ptr_array_add(argv, fence_command(s));
        }
    }
    if (o->disk_mib && s->primary) {
        rig_add(argv, "--disk %s", o->disk);
        if (s->survivor) {
            rig_add(argv, "--serve-disk %s=%s", o->disk, s->disk);
        }
    } else if (o->disk_mib) {
        rig_add(argv, "--nbd :" RIG_NBD_PORT " --disk %s=%s", o->disk, s->disk);
    }
    if (o->disk_mib && o->disk_folder && (!s->primary || s->survivor)) {
        rig_add(argv, "--disk-folder %s", o->disk_folder);
    }
    rig_add(argv, "--tracker %s %s", o->tracker ? o->tracker : "auto",
            o->colod ? o->colod : "");
    if (o->configured && !s->primary) {
        move_to_file(s, argv);
        g_setenv("COLO_CONFIG_DIR", s->dir, TRUE);
    }
    g_ptr_array_add(argv, NULL);
    s->colod = rig_spawn(s->ns, s->log, (char **)argv->pdata);
    if (config) {
        g_setenv("COLO_CONFIG_DIR", config, TRUE);
    } else {
        g_unsetenv("COLO_CONFIG_DIR");
    }
}

void rig_connect_colod(RigSide *s)
{
    rig_qmp_connect(&s->ctl, s->control, RIG_PATIENCE_S);
}

void rig_start_colod(RigSide *s)
{
    rig_spawn_colod(s);
    rig_connect_colod(s);
}

void rig_kill_colod(RigSide *s, int sig)
{
    rig_end(&s->colod, sig);
    rig_qmp_pump(&s->ctl, 0); /* its last words */
    g_clear_pointer(&s->ctl.client, colo_qmp_client_free);
}

char *rig_state(RigSide *s)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-status", NULL);

    return g_strdup(
        json_object_get_string_member(json_node_get_object(node), "state"));
}

void rig_wait_state(RigSide *s, const char *state, int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    for (;;) {
        g_autofree char *now = rig_state(s);

        if (!strcmp(now, state)) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("%s is %s, not %s, after %d s", s->name, now, state,
                    seconds);
        }
        rig_qmp_pump(&s->ctl, 10);
    }
}

static guint count_checkpoints(RigSide *s)
{
    guint n = 0, at = 0;

    while (rig_qmp_find(&s->ctl, at, "COLO_CHECKPOINT", NULL, NULL, &at)) {
        n++;
    }
    return n;
}

void rig_wait_checkpoints(RigSide *s, guint n, int seconds)
{
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    guint want = count_checkpoints(s) + n;

    while (count_checkpoints(s) < want) {
        if (!rig_qmp_pump(&s->ctl, 5)) {
            rig_die("%s's colod is gone", s->name);
        }
        if (g_get_monotonic_time() > end) {
            rig_die("%s has made %u checkpoints, not %u, within %d s", s->name,
                    count_checkpoints(s) + n - want, n, seconds);
        }
    }
}

gint64 rig_epoch(RigSide *s)
{
    gint64 epoch = 0;
    RigEvent *ev;
    guint at = 0;

    rig_qmp_pump(&s->ctl, 0);
    while (
        (ev = rig_qmp_find(&s->ctl, at, "COLO_CHECKPOINT", NULL, NULL, &at))) {
        epoch = json_object_get_int_member(ev->data, "epoch");
    }
    return epoch;
}

char *rig_detail(RigSide *s)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-status", NULL);

    return g_strdup(
        json_object_get_string_member(json_node_get_object(node), "detail"));
}

gint64 rig_int(RigSide *s, const char *query, const char *member)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, query, NULL);

    return json_object_get_int_member(json_node_get_object(node), member);
}

double rig_event_number(const RigEvent *ev, const char *member)
{
    return ev->data && json_object_has_member(ev->data, member)
               ? json_object_get_double_member(ev->data, member)
               : 0;
}
