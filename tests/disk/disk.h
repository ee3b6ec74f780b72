/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of disks on real guests have in common. */
#ifndef COLO_TESTS_DISK_DISK_H
#define COLO_TESTS_DISK_DISK_H

#include "tests/proxy/load.h"

#define DISK_MIB 64

RigOptions disk_options(gboolean periodic, guint delay_ms);

/* All that was acknowledged is there, and of one moment with the memory. */
void disk_mark(RigClient *c, const RigSide *s);

/*
 * The survivor's disk, after the guest has unmounted it: through its export,
 * and the plain image when all is merged.  Ends clients, guest and colod.
 */
void disk_examine_survivor(Rig *r, RigClient *c, guint sessions);

/* The process; there must be one. */
pid_t disk_nbdkit(const RigSide *s);

/* A member of the first disk in query-colo-status; NULL: not there. */
JsonNode *disk_member(RigSide *s, const char *name);
void disk_wait_string(RigSide *s, const char *name, const char *value);

#endif
