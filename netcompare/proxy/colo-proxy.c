/* SPDX-License-Identifier: GPL-2.0-or-later */
/* colo-proxy: start, loop and end. */
#include "colo/names.h"
#include "colo/log.h"
#include "netcompare/proxy/awake.h"
#include "netcompare/proxy/gather.h"
#include "netcompare/proxy/proxy.h"

#include <glib-unix.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static gboolean on_signal(gpointer data)
{
    Proxy *p = data;

    g_main_loop_quit(p->loop);
    return G_SOURCE_CONTINUE;
}

/*
 * On a host full of busy guests a process that preempts them for each packet
 * costs them more than the packet costs itself: what they had in the caches,
 * and an interrupt of another processor.  This one runs when a processor is
 * free, or when a guest has used its slice or waits, as it soon does for what
 * is held here; until then more has come.
 */
static void yield_to_guests(void)
{
    const struct sched_param param = {.sched_priority = 0};

    /* One that the operator has given another policy keeps it. */
    if (sched_getscheduler(0) == SCHED_OTHER) {
        (void)sched_setscheduler(0, SCHED_BATCH, &param);
    }
}

/*
 * Packets lie in buffers of 64 KiB and more, which take turns: with pages of
 * 4 KiB a processor looks each up anew, and so does the kernel that copies to
 * them.  What is not used of the heap is not allocated all the same.
 */
static void use_huge_pages(void)
{
    enum { HEAP = 32 << 20, HUGE = 2 << 20, BLOCK = 100 << 10 };
    guint8 *begin = sbrk(0), *end;
    void *blocks[4]; /* more than the heap has left: it grows */

    mallopt(M_TOP_PAD, HEAP);
    for (guint i = 0; i < G_N_ELEMENTS(blocks); i++) {
        blocks[i] = g_malloc(BLOCK);
    }
    for (guint i = 0; i < G_N_ELEMENTS(blocks); i++) {
        g_free(blocks[i]);
    }
    end = sbrk(0);
    begin += -(guintptr)begin % HUGE;
    if (end > begin) { /* not with another allocator */
        (void)madvise(begin, (gsize)(end - begin), MADV_HUGEPAGE);
    }
}

static gboolean start(Proxy *p, GError **error)
{
    const ProxyConfig *c = p->config;

    p->host = net_host_new(error);
    if (!p->host) {
        return FALSE;
    }
    p->devs = g_new0(NetDev, c->n_taps);
    for (guint i = 0; i < c->n_taps; i++) {
        if (!net_host_get(p->host, c->taps[i], &p->devs[i], error)) {
            return FALSE;
        }
    }
    /* A second proxy of this VM is found before anything is touched. */
    return colo_qmp_server_listen(p->control, c->control, error) &&
           (c->primary ? proxy_primary_start(p, error)
                       : proxy_secondary_start(p, error));
}

static void finish(Proxy *p)
{
    proxy_primary_stop(p);
    proxy_secondary_stop(p);
    net_link_free(p->link);
    net_nfqueue_free(p->queue);
    net_host_free(p->host);
    colo_qmp_server_free(p->control);
    g_main_loop_unref(p->loop);
    g_free(p->devs);
    g_free(p->instance);
}

int main(int argc, char **argv)
{
    ProxyConfig *c = proxy_config_parse(argc, argv);
    g_autofree char *ident =
        g_strdup_printf("colo-proxy %s %s",
                        c->primary ? "primary" : "secondary", c->name);
    g_autoptr(GError) error = NULL;
    Proxy p = {.config = c};

    signal(SIGPIPE, SIG_IGN);
    use_huge_pages();
    colo_log_init(ident, c->debug);
    p.loop = g_main_loop_new(NULL, FALSE);
    p.instance = colo_new_id();
    p.control = colo_qmp_server_new("colo", proxy_commands, &p);
    colo_qmp_server_set_gone_func(p.control, proxy_client_gone);
    if (start(&p, &error)) {
        yield_to_guests();
        awake_init(c->cpu_latency_us);
        g_main_context_set_poll_func(NULL, gather_poll);
        g_unix_signal_add(SIGTERM, on_signal, &p);
        g_unix_signal_add(SIGINT, on_signal, &p);
        g_main_loop_run(p.loop);
    } else {
        proxy_fail(&p, error);
    }
    finish(&p);
    proxy_config_free(c);
    return p.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
