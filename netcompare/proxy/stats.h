/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What query-colo-proxy-stats says, as far as it comes from the parts. */
#ifndef COLO_PROXY_STATS_H
#define COLO_PROXY_STATS_H

#include <json-glib/json-glib.h>

#include "netcompare/capture/nfqueue.h"
#include "netcompare/capture/tap.h"
#include "netcompare/compare/compare.h"
#include "netcompare/proxy/inbound.h"
#include "netcompare/rewrite/rewrite.h"

/* Each adds members to o. */
void stats_put_compare(JsonObject *o, const NetCompare *c, gint64 now_us);
void stats_put_queue(JsonObject *o, const NetNfqueue *queue);
void stats_put_tap(JsonObject *o, NetTap *tap);
void stats_put_inbound(JsonObject *o, const Inbound *in);
void stats_put_rewrite(JsonObject *o, const NetRewrite *r);

#endif
