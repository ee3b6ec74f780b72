/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The secondary's guest's large TCP segments, said by digests: the bytes stay
 * here, and are sent only when the primary asks for them.
 */
#ifndef COLO_PROXY_DIGESTS_H
#define COLO_PROXY_DIGESTS_H

#include "netcompare/proxy/secondary.h"

/* Of the largest windows of a few connections */
#define DIGESTS_FRAMES 8192
#define DIGESTS_BYTES  (64u << 20)

/*
 * Send the frame's DIGEST, and keep it.  FALSE with tried TRUE: there was no
 * room for it, or no peer; with tried FALSE: it is not of that kind.
 */
gboolean digests_send(Standby *b, const NetFrame *frame, guint64 number,
                      gboolean *tried);
/* The primary will not ask for these. */
void digests_done(Standby *b, const guint8 *numbers, gsize len);
/* The primary asks for one. */
void digests_fetch(Standby *b, guint64 number);

#endif
