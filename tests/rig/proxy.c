/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's colo-proxies. */
#include "tests/rig/rig.h"

#include <signal.h>

#define PROXY_PORT 8890

void rig_start_proxy(RigSide *s)
{
    const RigOptions *o = &s->rig->o;
    const RigSide *standby = s->rig->pri.primary ? &s->rig->sec : &s->rig->pri;
    g_autofree char *peer = rig_address(standby, "hb");
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

    rig_add(argv, "colo-proxy --debug --name vm0 --control %s",
            s->proxy_control);
    if (s->primary) {
        rig_add(argv, "--primary-if tap0 --peer %s:%d %s", peer, PROXY_PORT,
                o->fail_closed ? "--fail-closed" : "");
    } else {
        rig_add(argv, "--secondary-if tap0 --bridge br0 --listen %s:%d", peer,
                PROXY_PORT);
    }
    rig_add(argv, "%s", o->proxy ? o->proxy : "");
    g_ptr_array_add(argv, NULL);
    s->proxy = rig_spawn(s->ns, s->proxy_log, (char **)argv->pdata);
    rig_qmp_connect(&s->px, s->proxy_control, RIG_PATIENCE_S);
}

void rig_kill_proxy(RigSide *s, int sig)
{
    rig_end(&s->proxy, sig);
    rig_qmp_pump(&s->px, 0);
    g_clear_pointer(&s->px.client, colo_qmp_client_free);
}

gint64 rig_proxy_int(RigSide *s, const char *path)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->px, "query-colo-proxy-stats", NULL);
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    JsonNode *at = node;

    for (char **n = names; *n; n++) {
        at = JSON_NODE_HOLDS_OBJECT(at)
                 ? json_object_get_member(json_node_get_object(at), *n)
                 : NULL;
        if (!at) {
            rig_die("query-colo-proxy-stats has no %s", path);
        }
    }
    return json_node_get_int(at);
}
