/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cases for the comparator as text: what happens, and what it calls out.
 *
 *   P FLAGS SEQ[:DATA] [KEY=VALUE...]   a segment of the PVM; its id is the
 *                                       number of PVM packets so far, from 1
 *   S FLAGS SEQ[:DATA] [...]            one of the SVM
 *     FLAGS  of S, A, F, R, P, U, E, or - for none
 *     DATA   text; zN for N zero bytes
 *     ack=N win=N opt=HEX flow=N v6=1 gso=1 id=N
 *     digests=N       of the SVM: handed in as digests of pieces of N bytes;
 *                     its number is that of digests so far, from 1
 *     content=N       of the SVM: the answer to a fetch of number N
 *   UP DATA [flow=N] [v6=1] [id=N] [ttl=N]     UDP; US: of the SVM
 *   HP PROTO HEX [v6=1]                        any IP packet; HS
 *   LP, LS                                     an ARP packet
 *   BP, BS                                     a broken one
 *   FP DATA AT LEN id=N [v6=1]                 a fragment of a UDP packet; FS
 *   gone N                                     the other answer to a fetch
 *   capture N, periodic N, commit N, cancel, loaded N, pass, block
 *   no-parts                                   no part can be sent
 *   after MS                                   time passes, tick, settle
 *
 * After "->" what is called out, in order:
 *   m1 c1 l1 p1   id 1 is released: match, checkpoint, link, pass
 *   w1:N          the same as m1, with window N
 *   w1:N@A        and with ACK A
 *   d1            dropped
 *   q1:A+N        N bytes of id 1, from its offset A on, leave as a part
 *   CAUSE         a checkpoint is needed
 *   o:SEQ:TS      offset, as signed numbers
 *   f1 x1         fetch number 1; done with it
 *
 * A script begins in NET_COMPARE_COLO, with epoch 1 loaded, unless its first
 * line is "raw".
 */
#ifndef COLO_TESTS_COMPARE_SCRIPT_H
#define COLO_TESTS_COMPARE_SCRIPT_H

#include "netcompare/compare/compare.h"

typedef struct Script Script;

Script *script_new(const NetCompareConfig *config); /* NULL: default */
void script_free(Script *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Script, script_free)

/* Stops the test at the first line that goes otherwise. */
void script_run(Script *s, const char *text);
NetCompare *script_compare(Script *s);
gint64 script_now(const Script *s);

/* Each of them a test of its own below path; the last has no name. */
typedef struct ScriptCase {
    const char *name;
    const char *text;
    const NetCompareConfig *config;
} ScriptCase;

void script_add_cases(const char *path, const ScriptCase *cases);

#endif
