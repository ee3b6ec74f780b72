/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl stats: the figures of checkpoints as a table. */
#include "colo/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

static void print_histogram(const char *label, JsonObject *h, int digits)
{
    static const char *const columns[] = {"p50", "p90", "p99", "max", "mean"};

    printf("%-14s%10.0f", label, ctl_num(h, "count"));
    for (gsize i = 0; i < G_N_ELEMENTS(columns); i++) {
        printf("%12.*f", digits, ctl_num(h, columns[i]));
    }
    putchar('\n');
}

static void print_stats(JsonObject *o)
{
    static const struct {
        const char *member, *label;
        int digits;
    } rows[] = {
        {"pause-ms", "pause ms", 2},   {"capture-ms", "capture ms", 2},
        {"cut-ms", "disk cut ms", 2},  {"transfer-ms", "transfer ms", 2},
        {"commit-ms", "commit ms", 2}, {"load-ms", "load ms", 2},
        {"clock-lag-ms", "clock lag ms", 2},
        {"pages", "pages", 0},         {"bytes", "bytes", 0},
    };
    JsonObject *copy = ctl_obj(o, "full-copy"), *hb = ctl_obj(o, "heartbeats");
    JsonObject *disks = ctl_obj(o, "disks");
    g_autofree char *reasons = ctl_counts(ctl_obj(o, "reasons"));

    printf("checkpoints   %.0f committed, %.0f cancelled, %.0f failed, "
           "%.0f stalls\n",
           ctl_num(o, "checkpoints"), ctl_num(o, "cancelled"),
           ctl_num(o, "failed"), ctl_num(o, "stalls"));
    if (*reasons) {
        printf("              %s\n", reasons);
    }
    if (ctl_num(o, "degraded-seconds") > 0) {
        printf("degraded      for %.1f s\n", ctl_num(o, "degraded-seconds"));
    }
    printf("sent          %.1f MB, %.0f pages, %.0f of them zero\n",
           ctl_num(o, "bytes-sent") / 1e6, ctl_num(o, "pages-sent"),
           ctl_num(o, "zero-pages"));
    if (copy) {
        printf("full copy     %.1f MB in %.2f s, %.0f MB/s\n",
               ctl_num(copy, "bytes") / 1e6, ctl_num(copy, "seconds"),
               ctl_num(copy, "mb-s"));
    }
    if (disks && ctl_num(disks, "sealed") > 0) {
        printf("disks         %.0f epochs sealed", ctl_num(disks, "sealed"));
        if (ctl_num(disks, "pending-bytes") > 0 ||
            ctl_num(disks, "sealed-bytes") > 0) {
            printf(", %.1f MB in the next, %.1f MB to be merged",
                   ctl_num(disks, "pending-bytes") / 1e6,
                   ctl_num(disks, "sealed-bytes") / 1e6);
        }
        putchar('\n');
    }
    if (hb) {
        printf("heartbeats    %.0f sent, %.0f received, %.0f ignored\n",
               ctl_num(hb, "sent"), ctl_num(hb, "received"),
               ctl_num(hb, "ignored"));
    }
    printf("\n%-14s%10s%12s%12s%12s%12s%12s\n", "a checkpoint", "count", "p50",
           "p90", "p99", "max", "mean");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        JsonObject *h = ctl_obj(o, rows[i].member);

        if (h && ctl_num(h, "count") > 0) {
            print_histogram(rows[i].label, h, rows[i].digits);
        }
    }
}

int ctl_stats(Ctl *c)
{
    g_autoptr(JsonNode) answer = ctl_call(c, "query-colo-stats", NULL);
    JsonObject *o = answer ? ctl_object_of(answer) : NULL;
    g_autoptr(JsonNode) proxy = NULL;

    if (!o) {
        return CTL_FAILED;
    }
    proxy = ctl_proxy_stats(c);
    if (c->json) {
        if (proxy) {
            json_object_set_member(o, "proxy", g_steal_pointer(&proxy));
        }
        ctl_print_json(answer);
    } else {
        print_stats(o);
        if (proxy) {
            ctl_print_proxy(json_node_get_object(proxy));
        }
    }
    return CTL_OK;
}
