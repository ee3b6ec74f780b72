/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's side of digests: asks for bytes where they do not do, and says
 * which it will not ask for.
 */
#ifndef COLO_PROXY_FETCHER_H
#define COLO_PROXY_FETCHER_H

#include "netcompare/proxy/proxy.h"

typedef struct Fetcher Fetcher;

Fetcher *fetcher_new(Proxy *p, NetCompare *compare);
void fetcher_free(Fetcher *f);
/* What the comparator calls out. */
void fetcher_ask(Fetcher *f, guint8 iface, guint64 number);
void fetcher_done(Fetcher *f, guint8 iface, guint64 number);
/* At the end of a turn that handed packets in. */
void fetcher_turn(Fetcher *f);

#endif
