/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After a takeover: what of the guest's last frames is worth sending again.
 *
 * Theory of operation.  Bytes are: the guest believes that they were sent.  An
 * empty ACK is if nothing later of its stream acknowledges as much.  Each one
 * that arrives so late teaches the client that a round trip takes as long as a
 * takeover, and its timer, on which it may depend by then, grows with each.
 * One with SACK blocks tells it to wait: what is missing it has sent again
 * already, in vain.  When it does so once more the guest says the same anew.
 */
#ifndef COLO_PROXY_RESEND_H
#define COLO_PROXY_RESEND_H

#include "netcompare/proxy/recent.h"

/* Calls func with those added at or after since_us, oldest first. */
void resend_foreach(const RecentFrames *r, gint64 since_us, RecentFunc func,
                    gpointer user);

#endif
